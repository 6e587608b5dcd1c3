//! PostgreSQL: a schema for each tenant, and a pool whose connections see that schema alone.

use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{
    PgArgumentBuffer, PgConnectOptions, PgHasArrayType, PgPoolOptions, PgTypeInfo, PgValueRef,
};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Decode, Encode, PgPool, Type};
use uuid::Uuid;

use super::model::{Change, Entry, Item, Micros};
use super::{CONNECTIONS, MIGRATIONS, Store, WantedArticles};
use crate::articles::{Article, Articles, Author};

#[derive(Clone)]
pub(super) struct Postgres(PgPool);

type EntryRow = (i32, String, i32, Micros);

fn entry((id, name, amount, created_at): EntryRow) -> Entry {
    Entry { id, name, amount, created_at }
}

impl Store for Postgres {
    type Place = PgConnectOptions;

    async fn open(server: &PgConnectOptions, tenant: &str) -> Result<Self, sqlx::Error> {
        let schema = format!("t_{tenant}");
        let options =
            server.clone().options([("search_path", &schema)]).disable_statement_logging();
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            // It would be a round trip more for each request.
            .test_before_acquire(false)
            .connect_with(options)
            .await?;
        // Tenants' names are our own.
        sqlx::query(AssertSqlSafe(format!("CREATE SCHEMA IF NOT EXISTS \"{schema}\"")))
            .execute(&pool)
            .await?;
        MIGRATIONS.run(&pool).await?;
        sqlx::query(
            "CREATE INDEX IF NOT EXISTS articles_title
             ON articles USING gin (to_tsvector('simple', title))",
        )
        .execute(&pool)
        .await?;
        Ok(Self(pool))
    }

    async fn find(&self, id: i32) -> Result<Option<Entry>, sqlx::Error> {
        let row = sqlx::query_as("SELECT id, name, amount, created_at FROM rows WHERE id = $1")
            .bind(id)
            .fetch_optional(&self.0)
            .await?;
        Ok(row.map(entry))
    }

    async fn list(&self, after: i32, limit: u32) -> Result<Vec<Entry>, sqlx::Error> {
        let rows: Vec<EntryRow> = sqlx::query_as(
            "SELECT id, name, amount, created_at FROM rows WHERE id > $1 ORDER BY id LIMIT $2",
        )
        .bind(after)
        .bind(i64::from(limit))
        .fetch_all(&self.0)
        .await?;
        Ok(rows.into_iter().map(entry).collect())
    }

    async fn insert(&self, item: &Item) -> Result<(), sqlx::Error> {
        sqlx::query("INSERT INTO items (id, name, amount, created_at) VALUES ($1, $2, $3, $4)")
            .bind(Key(item.id))
            .bind(&item.name)
            .bind(item.amount)
            .bind(item.created_at)
            .execute(&self.0)
            .await?;
        Ok(())
    }

    async fn insert_many(&self, items: &[Item]) -> Result<u64, sqlx::Error> {
        let inserted = sqlx::query(
            "INSERT INTO items (id, name, amount, created_at)
             SELECT * FROM UNNEST($1::uuid[], $2::text[], $3::integer[], $4::timestamptz[])",
        )
        .bind(items.iter().map(|item| Key(item.id)).collect::<Vec<_>>())
        .bind(items.iter().map(|item| item.name.as_str()).collect::<Vec<_>>())
        .bind(items.iter().map(|item| item.amount).collect::<Vec<_>>())
        .bind(items.iter().map(|item| item.created_at).collect::<Vec<_>>())
        .execute(&self.0)
        .await?;
        Ok(inserted.rows_affected())
    }

    async fn change(&self, row_id: i32, amount: i32) -> Result<Option<Change>, sqlx::Error> {
        let mut transaction = self.0.begin().await?;
        let row: Option<(i32,)> =
            sqlx::query_as("SELECT amount FROM rows WHERE id = $1 FOR UPDATE")
                .bind(row_id)
                .fetch_optional(&mut *transaction)
                .await?;
        let Some((amount_before,)) = row else { return Ok(None) };
        let change = Change::new(row_id, amount_before, amount);
        sqlx::query("UPDATE rows SET amount = $2 WHERE id = $1")
            .bind(row_id)
            .bind(amount)
            .execute(&mut *transaction)
            .await?;
        sqlx::query(
            "INSERT INTO changes (id, row_id, amount_before, amount_after, changed_at)
             VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(Key(change.id))
        .bind(row_id)
        .bind(amount_before)
        .bind(amount)
        .bind(change.changed_at)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(Some(change))
    }

    async fn fill(&self, entries: &[Entry]) -> Result<(), sqlx::Error> {
        sqlx::query(
            "INSERT INTO rows (id, name, amount, created_at)
             SELECT * FROM UNNEST($1::integer[], $2::text[], $3::integer[], $4::timestamptz[])",
        )
        .bind(entries.iter().map(|entry| entry.id).collect::<Vec<_>>())
        .bind(entries.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>())
        .bind(entries.iter().map(|entry| entry.amount).collect::<Vec<_>>())
        .bind(entries.iter().map(|entry| entry.created_at).collect::<Vec<_>>())
        .execute(&self.0)
        .await?;
        Ok(())
    }

    async fn articles(&self, wanted: &WantedArticles) -> Result<Vec<Article>, sqlx::Error> {
        let mut query = wanted.select(|query, word| {
            let beginning = format!("'{}':*", word.replace('\'', "''"));
            query.push(" AND to_tsvector('simple', title) @@ to_tsquery('simple', ");
            query.push_bind(beginning).push(")");
        });
        query.build_query_as().fetch_all(&self.0).await
    }

    async fn authors(&self, ids: &[i32]) -> Result<Vec<Author>, sqlx::Error> {
        sqlx::query_as("SELECT id, name FROM authors WHERE id = ANY($1)")
            .bind(ids)
            .fetch_all(&self.0)
            .await
    }

    async fn fill_articles(&self, all: &Articles) -> Result<(), sqlx::Error> {
        let Articles { authors, articles } = all;
        sqlx::query(
            "INSERT INTO authors (id, name) SELECT * FROM UNNEST($1::integer[], $2::text[])",
        )
        .bind(authors.iter().map(|author| author.id).collect::<Vec<_>>())
        .bind(authors.iter().map(|author| author.name.as_str()).collect::<Vec<_>>())
        .execute(&self.0)
        .await?;
        sqlx::query(
            "INSERT INTO articles (id, author_id, title, language, words) SELECT *
             FROM UNNEST($1::integer[], $2::integer[], $3::text[], $4::text[], $5::integer[])",
        )
        .bind(articles.iter().map(|article| article.id).collect::<Vec<_>>())
        .bind(articles.iter().map(|article| article.author_id).collect::<Vec<_>>())
        .bind(articles.iter().map(|article| article.title.as_str()).collect::<Vec<_>>())
        .bind(articles.iter().map(|article| article.language.as_str()).collect::<Vec<_>>())
        .bind(articles.iter().map(|article| article.words).collect::<Vec<_>>())
        .execute(&self.0)
        .await?;
        Ok(())
    }
}

/// Built-in types that sqlx knows with features only, with which the host would be built, too, where
/// the whole workspace is.
const UUID: PgTypeInfo = PgTypeInfo::with_oid(Oid(2950));
const UUID_ARRAY: PgTypeInfo = PgTypeInfo::with_oid(Oid(2951));
const TIMESTAMPTZ: PgTypeInfo = PgTypeInfo::with_oid(Oid(1184));
const TIMESTAMPTZ_ARRAY: PgTypeInfo = PgTypeInfo::with_oid(Oid(1185));

/// 2000-01-01, from which PostgreSQL counts.
const EPOCH_MICROS: i64 = 946_684_800_000_000;

struct Key(Uuid);

impl Type<sqlx::Postgres> for Key {
    fn type_info() -> PgTypeInfo {
        UUID
    }
}

impl PgHasArrayType for Key {
    fn array_type_info() -> PgTypeInfo {
        UUID_ARRAY
    }
}

impl Encode<'_, sqlx::Postgres> for Key {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        buffer.extend_from_slice(self.0.as_bytes());
        Ok(IsNull::No)
    }
}

impl Type<sqlx::Postgres> for Micros {
    fn type_info() -> PgTypeInfo {
        TIMESTAMPTZ
    }
}

impl PgHasArrayType for Micros {
    fn array_type_info() -> PgTypeInfo {
        TIMESTAMPTZ_ARRAY
    }
}

impl Encode<'_, sqlx::Postgres> for Micros {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        Encode::<sqlx::Postgres>::encode(self.0 - EPOCH_MICROS, buffer)
    }
}

impl Decode<'_, sqlx::Postgres> for Micros {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        // Prepared statements answer in the binary format.
        let micros = i64::from_be_bytes(value.as_bytes()?.try_into()?);
        Ok(Self(micros + EPOCH_MICROS))
    }
}
