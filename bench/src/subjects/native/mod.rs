//! What somebody who knows axum and sqlx would write: HTTP here, SQL in a file for each database.

mod model;
#[path = "../../../guest/src/numbers.rs"]
mod numbers;
mod postgres;
mod sqlite;

use std::collections::{BTreeSet, HashMap};
use std::convert::Infallible;
use std::path::Path as FilePath;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequestParts, Path, Query};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, LINK, LOCATION};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, patch, post};
use axum::{Json, Router};
use futures_util::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use sqlx::migrate::Migrator;
use sqlx::{Database, Encode, QueryBuilder, Type};
use tokio::net::TcpListener;
use tokio::sync::OnceCell;

use self::model::{Change, Draft, Entry, Item, now};
use self::postgres::Postgres;
use self::sqlite::Sqlite;
use super::Setup;
use crate::articles::{Article, Articles, Author};
use crate::works::one_of_many;

/// As many as Hostel has for a tenant by default.
const CONNECTIONS: u32 = 4;
/// Rows of one statement.
const ROWS_PER_STATEMENT: usize = 250;
const ITEMS_MAX: usize = 10_000;
const PAGE_MAX: u32 = 100;

/// The schema of the module.
static MIGRATIONS: Migrator = sqlx::migrate!("guest/migrations");

pub(super) async fn serve(data: &FilePath, setup: &Setup) -> anyhow::Result<()> {
    match &setup.database_url {
        Some(url) => listen::<Postgres>(url.parse()?, setup).await,
        None => listen::<Sqlite>(data.to_owned(), setup).await,
    }
}

/// A tenant's data.
trait Store: Clone + Send + Sync + 'static {
    /// Where all tenants' data is.
    type Place: Send + Sync;

    fn open(
        place: &Self::Place,
        tenant: &str,
    ) -> impl Future<Output = Result<Self, sqlx::Error>> + Send;

    fn find(&self, id: i32) -> impl Future<Output = Result<Option<Entry>, sqlx::Error>> + Send;

    fn list(
        &self,
        after: i32,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<Entry>, sqlx::Error>> + Send;

    fn insert(&self, item: &Item) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    fn insert_many(&self, items: &[Item]) -> impl Future<Output = Result<u64, sqlx::Error>> + Send;

    /// None when there is no such row.
    fn change(
        &self,
        row_id: i32,
        amount: i32,
    ) -> impl Future<Output = Result<Option<Change>, sqlx::Error>> + Send;

    fn fill(&self, entries: &[Entry]) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// One more than the page has, where there are more.
    fn articles(
        &self,
        wanted: &WantedArticles,
    ) -> impl Future<Output = Result<Vec<Article>, sqlx::Error>> + Send;

    fn authors(&self, ids: &[i32])
    -> impl Future<Output = Result<Vec<Author>, sqlx::Error>> + Send;

    fn fill_articles(&self, all: &Articles)
    -> impl Future<Output = Result<(), sqlx::Error>> + Send;
}

/// All tenants, each of which is opened when it is first asked for.
struct Tenants<S: Store> {
    place: S::Place,
    stores: HashMap<String, OnceCell<S>>,
}

/// The store of the tenant that a request names.
struct Tenant<S>(S);

impl<S: Store> FromRequestParts<Arc<Tenants<S>>> for Tenant<S> {
    type Rejection = Failure;

    async fn from_request_parts(
        parts: &mut Parts,
        tenants: &Arc<Tenants<S>>,
    ) -> Result<Self, Failure> {
        let named = parts.headers.get("x-tenant").map(|name| name.to_str());
        let name = named.unwrap_or(Ok("default")).map_err(|_| Failure::NotFound)?;
        let store = tenants.stores.get(name).ok_or(Failure::NotFound)?;
        let store = store.get_or_try_init(|| S::open(&tenants.place, name)).await?;
        Ok(Self(store.clone()))
    }
}

async fn listen<S: Store>(place: S::Place, setup: &Setup) -> anyhow::Result<()> {
    let names = (0..setup.tenants).map(one_of_many).chain(["default".to_owned()]);
    let stores = names.map(|name| (name, OnceCell::new())).collect();
    let app = Router::new()
        .route("/api/bench/hello/{name}", get(hello))
        .route("/api/bench/rows/{id}", get(read::<S>))
        .route("/api/bench/rows", get(page::<S>))
        .route("/api/bench/rows/{id}", patch(change::<S>))
        .route("/api/bench/items", post(insert::<S>))
        .route("/api/bench/items/bulk", post(insert_many::<S>))
        .route("/api/bench/upload", post(upload))
        .route("/api/bench/download/{bytes}", get(download))
        .route("/api/bench/rows", post(fill::<S>))
        .route("/api/bench/articles", get(articles::<S>))
        .route("/api/bench/articles", post(fill_articles::<S>))
        .with_state(Arc::new(Tenants::<S> { place, stores }));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    super::tell_ready(listener.local_addr()?)?;
    axum::serve(listener, app).await?;
    Ok(())
}

enum Failure {
    NotFound,
    Invalid,
    Database(sqlx::Error),
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        match self {
            Self::NotFound => StatusCode::NOT_FOUND.into_response(),
            Self::Invalid => StatusCode::UNPROCESSABLE_ENTITY.into_response(),
            Self::Database(error) => {
                (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response()
            }
        }
    }
}

#[derive(Serialize)]
struct Greeting {
    hello: String,
    language: &'static str,
    words: u32,
}

async fn hello(Path(name): Path<String>) -> Json<Greeting> {
    Json(Greeting { hello: name, language: "en", words: 2 })
}

async fn read<S: Store>(
    Path(id): Path<i32>,
    Tenant(store): Tenant<S>,
) -> Result<Json<Entry>, Failure> {
    Ok(Json(store.find(id).await?.ok_or(Failure::NotFound)?))
}

#[derive(Deserialize)]
struct Wanted {
    #[serde(default)]
    cursor: i32,
    limit: Option<u32>,
}

#[derive(Serialize)]
struct Page {
    items: Vec<Entry>,
    next: Option<String>,
}

/// Cuts off what is more than a page; its last item, where there was more.
fn last_before_more<T>(items: &mut Vec<T>, limit: u32) -> Option<&T> {
    let has_next = items.len() > limit as usize;
    items.truncate(limit as usize);
    items.last().filter(|_| has_next)
}

async fn page<S: Store>(
    Query(wanted): Query<Wanted>,
    Tenant(store): Tenant<S>,
) -> Result<Response, Failure> {
    let limit = wanted.limit.unwrap_or(20);
    if !(1..=PAGE_MAX).contains(&limit) {
        return Err(Failure::Invalid);
    }
    let mut items = store.list(wanted.cursor, limit + 1).await?;
    let next = last_before_more(&mut items, limit).map(|last| last.id.to_string());
    Ok(match &next {
        Some(id) => {
            let link = format!("<?cursor={id}&limit={limit}>; rel=\"next\"");
            ([(LINK, link)], Json(Page { items, next })).into_response()
        }
        None => Json(Page { items, next }).into_response(),
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewAmount {
    amount: i32,
}

async fn change<S: Store>(
    Path(row_id): Path<i32>,
    Tenant(store): Tenant<S>,
    Json(new): Json<NewAmount>,
) -> Result<Json<Change>, Failure> {
    Ok(Json(store.change(row_id, new.amount).await?.ok_or(Failure::NotFound)?))
}

async fn insert<S: Store>(
    Tenant(store): Tenant<S>,
    Json(draft): Json<Draft>,
) -> Result<impl IntoResponse, Failure> {
    let item = Item::new(draft, now());
    store.insert(&item).await?;
    let location = format!("/api/bench/items/{}", item.id);
    Ok((StatusCode::CREATED, [(LOCATION, location)], Json(item)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Drafts {
    items: Vec<Draft>,
}

#[derive(Serialize)]
struct Inserted {
    inserted: u64,
}

async fn insert_many<S: Store>(
    Tenant(store): Tenant<S>,
    Json(drafts): Json<Drafts>,
) -> Result<impl IntoResponse, Failure> {
    if drafts.items.len() > ITEMS_MAX {
        return Err(Failure::Invalid);
    }
    let now = now();
    let items: Vec<Item> = drafts.items.into_iter().map(|draft| Item::new(draft, now)).collect();
    let inserted = store.insert_many(&items).await?;
    Ok((StatusCode::CREATED, Json(Inserted { inserted })))
}

#[derive(Deserialize)]
struct Fill {
    count: i32,
}

async fn fill<S: Store>(
    Tenant(store): Tenant<S>,
    Json(fill): Json<Fill>,
) -> Result<StatusCode, Failure> {
    let entries: Vec<Entry> = (1..=fill.count).map(Entry::numbered).collect();
    store.fill(&entries).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What clients may ask of the list of articles.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WantedArticles {
    language: Option<String>,
    #[serde(rename = "words.gte")]
    words: Option<i32>,
    /// A word of the title, or its beginning.
    search: Option<String>,
    sort: Option<Sort>,
    limit: Option<u32>,
    /// The words and the key of the last article of the page before.
    cursor: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
enum Sort {
    #[serde(rename = "-words")]
    MostWordsFirst,
}

impl WantedArticles {
    fn limit(&self) -> u32 {
        self.limit.unwrap_or(20)
    }

    fn after(&self) -> Option<(i32, i32)> {
        let (words, id) = self.cursor.as_ref()?.split_once('.')?;
        Some((words.parse().ok()?, id.parse().ok()?))
    }

    /// The statement; the words that are searched for are each database's own.
    fn select<DB: Database>(
        &self,
        search: impl FnOnce(&mut QueryBuilder<DB>, &str),
    ) -> QueryBuilder<DB>
    where
        i32: Type<DB> + for<'q> Encode<'q, DB>,
        i64: Type<DB> + for<'q> Encode<'q, DB>,
        for<'t> &'t str: Type<DB> + Encode<'t, DB>,
    {
        let mut query = QueryBuilder::new(
            "SELECT id, author_id, title, language, words FROM articles WHERE true",
        );
        if let Some(language) = self.language.as_deref() {
            query.push(" AND language = ").push_bind(language);
        }
        if let Some(words) = self.words {
            query.push(" AND words >= ").push_bind(words);
        }
        if let Some(word) = &self.search {
            search(&mut query, word);
        }
        let after = self.after();
        match self.sort {
            Some(Sort::MostWordsFirst) => {
                if let Some((words, id)) = after {
                    query.push(" AND (words < ").push_bind(words);
                    query.push(" OR words = ").push_bind(words);
                    query.push(" AND id > ").push_bind(id).push(")");
                }
                query.push(" ORDER BY words DESC, id");
            }
            None => {
                if let Some((_, id)) = after {
                    query.push(" AND id > ").push_bind(id);
                }
                query.push(" ORDER BY id");
            }
        }
        query.push(" LIMIT ").push_bind(i64::from(self.limit()) + 1);
        query
    }
}

#[derive(Serialize)]
struct ShownArticle {
    id: i32,
    title: String,
    language: String,
    words: i32,
    author: Arc<Author>,
}

#[derive(Serialize)]
struct ArticlesPage {
    items: Vec<ShownArticle>,
    next: Option<String>,
}

async fn articles<S: Store>(
    Query(wanted): Query<WantedArticles>,
    Tenant(store): Tenant<S>,
) -> Result<Json<ArticlesPage>, Failure> {
    let limit = wanted.limit();
    let is_cursor = wanted.cursor.is_none() || wanted.after().is_some();
    if !(1..=PAGE_MAX).contains(&limit) || !is_cursor {
        return Err(Failure::Invalid);
    }
    let mut articles = store.articles(&wanted).await?;
    let last = last_before_more(&mut articles, limit);
    let next = last.map(|last| format!("{}.{}", last.words, last.id));
    let ids: BTreeSet<i32> = articles.iter().map(|article| article.author_id).collect();
    let authors = store.authors(&ids.into_iter().collect::<Vec<_>>()).await?;
    let authors: HashMap<i32, Arc<Author>> =
        authors.into_iter().map(|author| (author.id, Arc::new(author))).collect();
    let shown = |article: Article| {
        let author = Arc::clone(authors.get(&article.author_id)?);
        let Article { id, title, language, words, .. } = article;
        Some(ShownArticle { id, title, language, words, author })
    };
    Ok(Json(ArticlesPage { items: articles.into_iter().filter_map(shown).collect(), next }))
}

async fn fill_articles<S: Store>(
    Tenant(store): Tenant<S>,
    Json(all): Json<Articles>,
) -> Result<StatusCode, Failure> {
    store.fill_articles(&all).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Serialize)]
struct Sum {
    bytes: u64,
    sum: u64,
}

async fn upload(body: Body) -> Result<impl IntoResponse, Failure> {
    let (mut bytes, mut sum) = (0, 0);
    let mut pieces = body.into_data_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|_| Failure::Invalid)?;
        sum = numbers::add(sum, bytes, &piece);
        bytes += piece.len() as u64;
    }
    Ok((StatusCode::CREATED, Json(Sum { bytes, sum })))
}

/// What is made before it is sent.
const PIECE_BYTES: usize = 64 * 1024;

async fn download(Path(bytes): Path<u64>) -> impl IntoResponse {
    let mut numbers = 0..bytes / 8;
    let pieces = std::iter::from_fn(move || {
        let mut piece = vec![0; PIECE_BYTES];
        let filled = numbers::fill(&mut piece, &mut numbers);
        piece.truncate(filled);
        (filled > 0).then_some(Ok::<_, Infallible>(piece))
    });
    let headers = [
        (CONTENT_TYPE, "application/octet-stream".to_owned()),
        (CONTENT_LENGTH, bytes.to_string()),
    ];
    (headers, Body::from_stream(stream::iter(pieces)))
}
