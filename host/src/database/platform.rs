//! The platform's own database: a file in the data folder, or PostgreSQL where one is configured.
//!
//! Its statements are the same for both: few, simple, and never with anything of a guest's in them.
//! What guests write lives in units, which this connection never touches.

use std::path::Path;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::migrate::Migrator;
use sqlx::{AnyConnection, Connection as _, Row as _};

use super::{DatabaseConfig, memory};
use crate::error::{Error, Result};

/// The platform's own database.
pub(crate) type PlatformDatabase = sqlx::AnyPool;

/// The schema of the platform's tables on PostgreSQL. No guest has any right in it, and nothing else
/// is in the search path of the platform's connections.
pub(super) const SCHEMA: &str = "hostel";

const CONNECTIONS_MAX: u32 = 8;

/// The platform's own migrations, in each database's words.
pub(super) static ON_SQLITE: Migrator = sqlx::migrate!("../migrations/sqlite");
pub(super) static ON_POSTGRES: Migrator = sqlx::migrate!("../migrations/postgres");

/// Opens the platform's database, in `file` unless a server is configured, and brings its tables up
/// to date.
///
/// # Errors
/// When it cannot be opened, or belongs to a newer platform.
pub(crate) async fn open_platform(
    config: &DatabaseConfig,
    file: &Path,
) -> Result<PlatformDatabase> {
    sqlx::any::install_default_drivers();
    match &config.url {
        Some(url) => open_server(url.expose()).await,
        None => open_file(file).await,
    }
}

/// Opens the platform's database as it is.
///
/// # Errors
/// When it cannot be opened.
pub(super) async fn connect(config: &DatabaseConfig, file: &Path) -> Result<PlatformDatabase> {
    sqlx::any::install_default_drivers();
    match &config.url {
        Some(url) => connect_to_server(url.expose()).await,
        None => connect_to_file(file).await,
    }
}

async fn open_file(file: &Path) -> Result<PlatformDatabase> {
    let pool = connect_to_file(file).await?;
    migrate_file(&pool).await.map_err(|cause| unusable_file(file, &*cause))?;
    Ok(pool)
}

fn unusable_file(file: &Path, cause: &(dyn std::error::Error + Send + Sync)) -> Error {
    Error::internal(format!("{}: {cause}", file.display())).hint(
        "the data folder must be writable, and its database made by this version or an older one",
    )
}

async fn connect_to_file(file: &Path) -> Result<PlatformDatabase> {
    // Before anything else is asked of SQLite.
    memory::install()?;
    let unusable = |cause: Box<dyn std::error::Error + Send + Sync>| unusable_file(file, &*cause);
    let path = file.to_str().ok_or_else(|| unusable("its name is no UTF-8".into()))?;
    let path = utf8_percent_encode(path, NON_ALPHANUMERIC);
    let options: AnyConnectOptions = format!("sqlite:{path}?mode=rwc")
        .parse()
        .map_err(|error: sqlx::Error| unusable(error.into()))?;
    let pool = AnyPoolOptions::new()
        .max_connections(CONNECTIONS_MAX)
        .after_connect(|connection, _| {
            Box::pin(async {
                for pragma in [
                    "PRAGMA busy_timeout = 10000",
                    "PRAGMA journal_mode = WAL",
                    // Few writes, each of which matters: a tenant that was created stays created.
                    "PRAGMA synchronous = FULL",
                ] {
                    sqlx::raw_sql(pragma).execute(&mut *connection).await?;
                }
                Ok(())
            })
        })
        .connect_with(options)
        .await
        .map_err(|error| unusable(error.into()))?;
    Ok(pool)
}

/// Waits for the disk once at most, and not after each migration: what a power failure takes of them
/// is made again at the next start, and the next write that matters takes them to the disk with it.
async fn migrate_file(
    pool: &PlatformDatabase,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut connection = pool.acquire().await?;
    sqlx::raw_sql("PRAGMA synchronous = NORMAL").execute(&mut *connection).await?;
    // In one transaction: of processes that start at once, one migrates and the others wait.
    let mut migrating = connection.begin_with("BEGIN IMMEDIATE").await?;
    ON_SQLITE.run_direct(None, &mut *migrating, false).await?;
    migrating.commit().await?;
    sqlx::raw_sql("PRAGMA synchronous = FULL").execute(&mut *connection).await?;
    Ok(())
}

/// Neither the address nor what the driver says of it is repeated: it holds a password.
fn unusable_server(error: sqlx::Error) -> Error {
    let cause = match &error {
        sqlx::Error::Database(refusal) => format!(": {}", refusal.message()),
        sqlx::Error::Io(error) => format!(": {error}"),
        sqlx::Error::PoolTimedOut => ": it did not answer in time".to_owned(),
        _ => String::new(),
    };
    Error::internal(format!("`database.url`: PostgreSQL cannot be used{cause}"))
        .hint("it looks like postgres://user:password@host/name, and `hostel db prepare` says what the server must allow")
        .because(error)
}

async fn connect_to_server(url: &str) -> Result<PlatformDatabase> {
    let separator = if url.contains('?') { '&' } else { '?' };
    let options: AnyConnectOptions =
        format!("{url}{separator}application_name=hostel&options[search_path]={SCHEMA}")
            .parse()
            .map_err(unusable_server)?;
    AnyPoolOptions::new()
        .max_connections(CONNECTIONS_MAX)
        .connect_with(options)
        .await
        .map_err(unusable_server)
}

async fn open_server(url: &str) -> Result<PlatformDatabase> {
    let pool = connect_to_server(url).await?;
    let made = sqlx::query("CREATE SCHEMA IF NOT EXISTS hostel").execute(&pool).await;
    // Another process may make it at this moment, which the server reports as a duplicate key.
    if !made.as_ref().is_err_and(is_duplicate) {
        made.map_err(unusable_server)?;
    }
    ON_POSTGRES.run(&pool).await.map_err(|error| {
        Error::internal(format!("`database.url`: {error}"))
            .hint("the database must be made by this version or an older one")
    })?;
    Ok(pool)
}

fn is_duplicate(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|refusal| refusal.is_unique_violation())
}

/// The number of the newest change of `what`.
///
/// # Errors
/// When the database does not answer.
pub(crate) async fn newest_revision(
    database: &PlatformDatabase,
    what: &'static str,
) -> Result<i64> {
    let newest = sqlx::query_scalar("SELECT value FROM revisions WHERE name = $1").bind(what);
    Ok(newest.fetch_one(database).await?)
}

/// The next number of the order in which `what` changes, in the transaction that is open: whoever
/// draws one waits for those who drew before, so that numbers become visible in their order.
///
/// # Errors
/// When the database does not answer.
pub(crate) async fn next_revision(
    connection: &mut AnyConnection,
    what: &'static str,
) -> Result<i64> {
    let row = sqlx::query("UPDATE revisions SET value = value + 1 WHERE name = $1 RETURNING value")
        .bind(what)
        .fetch_one(connection)
        .await?;
    Ok(row.try_get(0)?)
}
