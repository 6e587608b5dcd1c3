//! Databases on the PostgreSQL server that `scripts/test` starts: one for each test, prepared as an
//! operator would.

use hostel::{Preparation, Secret};

/// The address of the server's superuser; tests run on SQLite where it is missing.
const SERVER: &str = "HOSTEL_TEST_POSTGRES";

/// The address of a new and prepared database, where tests run on PostgreSQL.
pub(crate) async fn database() -> Option<String> {
    let superuser = superuser()?;
    let name = format!("test_{}", uuid::Uuid::now_v7().simple());
    let (_, server) = superuser.split_once('@').unwrap();
    let (server, _) = server.split_once('/').unwrap();
    let url = format!("postgres://{name}:password@{server}/{name}");
    let preparation =
        Preparation::plan(&Secret::new(superuser), &Secret::new(url.clone())).await.unwrap();
    preparation.apply().await.unwrap();
    Some(url)
}

/// The address of the server's superuser, where tests run on PostgreSQL.
pub fn superuser() -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "the test command says where its server is")]
    std::env::var(SERVER).ok()
}
