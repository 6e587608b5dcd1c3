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
    let (superuser, own) = (Secret::new(superuser), Secret::new(url.clone()));
    Preparation::plan(&superuser, &own).await.unwrap().apply().await.unwrap();
    Some(url)
}

/// The address of the server's superuser, where tests run on PostgreSQL.
pub fn superuser() -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "the test command says where its server is")]
    std::env::var(SERVER).ok()
}

/// The statements of a request to the probe in PostgreSQL's words, where tests run on it: few
/// functions that tests need have another name there.
pub(crate) fn spoken(body: &mut serde_json::Value) {
    use serde_json::Value;

    match body {
        Value::String(text) if text.contains("blob(") => {
            *text = text
                .replace("hex(randomblob(8))", "gen_random_uuid()::text")
                .replace("randomblob(16)", "gen_random_uuid()")
                .replace("zeroblob(20000)", "convert_to(repeat('0', 20000), 'UTF8')");
        }
        Value::Array(items) => items.iter_mut().for_each(spoken),
        Value::Object(members) => members.values_mut().for_each(spoken),
        _ => {}
    }
}
