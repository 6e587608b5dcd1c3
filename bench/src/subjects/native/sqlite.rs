//! SQLite: a file for each tenant.

use std::path::PathBuf;
use std::sync::Arc;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, QueryBuilder, SqlitePool};
use tokio::sync::Mutex;

use super::model::{Change, Entry, Item, Micros};
use super::{CONNECTIONS, MIGRATIONS, ROWS_PER_STATEMENT, Store, WantedArticles};
use crate::articles::{Article, Articles, Author};

#[derive(Clone)]
pub(super) struct Sqlite {
    pool: SqlitePool,
    /// There is one writer; SQLite's own way to wait is to sleep and look again.
    writer: Arc<Mutex<()>>,
}

type EntryRow = (i32, String, i32, i64);

fn entry((id, name, amount, created_at): EntryRow) -> Entry {
    Entry { id, name, amount, created_at: Micros(created_at) }
}

impl Store for Sqlite {
    type Place = PathBuf;

    async fn open(folder: &PathBuf, tenant: &str) -> Result<Self, sqlx::Error> {
        let options = SqliteConnectOptions::new()
            .filename(folder.join(format!("{tenant}.db")))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .disable_statement_logging();
        let pool = SqlitePoolOptions::new()
            .max_connections(CONNECTIONS)
            // A connection to a file does not break while it waits; Hostel's pool does not ask it,
            // either.
            .test_before_acquire(false)
            .connect_with(options)
            .await?;
        MIGRATIONS.run(&pool).await?;
        Ok(Self { pool, writer: Arc::default() })
    }

    async fn find(&self, id: i32) -> Result<Option<Entry>, sqlx::Error> {
        let row = sqlx::query_as("SELECT id, name, amount, created_at FROM rows WHERE id = $1")
            .bind(id)
            .fetch_optional(&self.pool)
            .await?;
        Ok(row.map(entry))
    }

    async fn list(&self, after: i32, limit: u32) -> Result<Vec<Entry>, sqlx::Error> {
        let rows: Vec<EntryRow> = sqlx::query_as(
            "SELECT id, name, amount, created_at FROM rows WHERE id > $1 ORDER BY id LIMIT $2",
        )
        .bind(after)
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(entry).collect())
    }

    async fn insert(&self, item: &Item) -> Result<(), sqlx::Error> {
        let _turn = self.writer.lock().await;
        sqlx::query("INSERT INTO items (id, name, amount, created_at) VALUES ($1, $2, $3, $4)")
            .bind(item.id.as_bytes().as_slice())
            .bind(&item.name)
            .bind(item.amount)
            .bind(item.created_at.0)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    async fn insert_many(&self, items: &[Item]) -> Result<u64, sqlx::Error> {
        let _turn = self.writer.lock().await;
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let mut inserted = 0;
        for items in items.chunks(ROWS_PER_STATEMENT) {
            let mut statement =
                QueryBuilder::new("INSERT INTO items (id, name, amount, created_at) ");
            statement.push_values(items, |mut row, item| {
                row.push_bind(item.id.as_bytes().as_slice())
                    .push_bind(&item.name)
                    .push_bind(item.amount)
                    .push_bind(item.created_at.0);
            });
            inserted += statement.build().execute(&mut *transaction).await?.rows_affected();
        }
        transaction.commit().await?;
        Ok(inserted)
    }

    async fn change(&self, row_id: i32, amount: i32) -> Result<Option<Change>, sqlx::Error> {
        let _turn = self.writer.lock().await;
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let row: Option<(i32,)> = sqlx::query_as("SELECT amount FROM rows WHERE id = $1")
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
        .bind(change.id.as_bytes().as_slice())
        .bind(row_id)
        .bind(amount_before)
        .bind(amount)
        .bind(change.changed_at.0)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(Some(change))
    }

    async fn fill(&self, entries: &[Entry]) -> Result<(), sqlx::Error> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        for entry in entries {
            sqlx::query("INSERT INTO rows (id, name, amount, created_at) VALUES ($1, $2, $3, $4)")
                .bind(entry.id)
                .bind(&entry.name)
                .bind(entry.amount)
                .bind(entry.created_at.0)
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await
    }

    async fn articles(&self, wanted: &WantedArticles) -> Result<Vec<Article>, sqlx::Error> {
        let mut query = wanted.select(|query, word| {
            query.push(" AND ' ' || title LIKE ").push_bind(format!("% {word}%"));
        });
        query.build_query_as().fetch_all(&self.pool).await
    }

    async fn authors(&self, ids: &[i32]) -> Result<Vec<Author>, sqlx::Error> {
        let mut query = QueryBuilder::new("SELECT id, name FROM authors WHERE id IN (NULL");
        for id in ids {
            query.push(", ").push_bind(*id);
        }
        query.push(")").build_query_as().fetch_all(&self.pool).await
    }

    async fn fill_articles(&self, all: &Articles) -> Result<(), sqlx::Error> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        for Author { id, name } in &all.authors {
            sqlx::query("INSERT INTO authors (id, name) VALUES ($1, $2)")
                .bind(id)
                .bind(name)
                .execute(&mut *transaction)
                .await?;
        }
        for Article { id, author_id, title, language, words } in &all.articles {
            sqlx::query(
                "INSERT INTO articles (id, author_id, title, language, words)
                 VALUES ($1, $2, $3, $4, $5)",
            )
            .bind(id)
            .bind(author_id)
            .bind(title)
            .bind(language)
            .bind(words)
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await
    }
}
