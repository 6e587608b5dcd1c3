//! What somebody who knows axum and sqlx would write.

use std::path::Path as FilePath;

use axum::extract::{Path, State};
use axum::routing::get;
use axum::{Json, Router};
use jiff::Timestamp;
use serde::Serialize;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, SqlitePool};
use tokio::net::TcpListener;

use crate::works::ROWS;

/// As many as Hostel has by default.
const CONNECTIONS: u32 = 4;

pub(super) async fn serve(data: &FilePath) -> anyhow::Result<()> {
    let pool = open(data).await?;
    let app = Router::new()
        .route("/api/bench/hello/{name}", get(hello))
        .route("/api/bench/rows/{id}", get(read))
        .with_state(pool);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    super::tell_ready(listener.local_addr()?)?;
    axum::serve(listener, app).await?;
    Ok(())
}

async fn open(data: &FilePath) -> anyhow::Result<SqlitePool> {
    let options = SqliteConnectOptions::new()
        .filename(data.join("native.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal)
        .disable_statement_logging();
    let pool = SqlitePoolOptions::new()
        .max_connections(CONNECTIONS)
        // A connection to a file does not break while it waits; Hostel's pool does not ask it, either.
        .test_before_acquire(false)
        .connect_with(options)
        .await?;
    sqlx::query(
        "CREATE TABLE rows (
            id INTEGER NOT NULL PRIMARY KEY, name TEXT NOT NULL, amount INTEGER NOT NULL,
            created_at INTEGER NOT NULL)",
    )
    .execute(&pool)
    .await?;
    let mut transaction = pool.begin().await?;
    for id in 1..=i64::from(ROWS) {
        sqlx::query("INSERT INTO rows (id, name, amount, created_at) VALUES ($1, $2, $3, $4)")
            .bind(id)
            .bind(format!("row {id}"))
            .bind(id * 7)
            .bind(1_700_000_000_000_000 + id)
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await?;
    Ok(pool)
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

#[derive(Serialize)]
struct Entry {
    id: i64,
    name: String,
    amount: i64,
    created_at: String,
}

async fn read(
    Path(id): Path<i64>,
    State(pool): State<SqlitePool>,
) -> Result<Json<Entry>, axum::http::StatusCode> {
    use axum::http::StatusCode;

    let row: Option<(i64, String, i64, i64)> =
        sqlx::query_as("SELECT id, name, amount, created_at FROM rows WHERE id = $1")
            .bind(id)
            .fetch_optional(&pool)
            .await
            .map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    let (id, name, amount, micros) = row.ok_or(StatusCode::NOT_FOUND)?;
    let created_at =
        Timestamp::from_microsecond(micros).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    // Always six digits, as Hostel's guest answers.
    let created_at = format!("{created_at:.6}");
    Ok(Json(Entry { id, name, amount, created_at }))
}
