//! Modules that come, change and go while the platform runs.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hostel::ModuleSource;
use hostel_tests::{
    Client, Folder, Friendly, HalfSent, Hostel, TestPlatform, eventually, notes, patched, probe,
};
use serde_json::{Value, json};
use sqlx::{Connection as _, SqliteConnection};

/// The probe with one route under another name, by which its versions are told apart.
fn renamed(name: &str) -> Vec<u8> {
    patched(probe(), "/random/{n}", &format!("/{name}/{{n}}"))
}

/// The probe with another table, which is made by another migration.
fn with_table(table: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("probe.wasm");
    std::fs::write(&file, patched(probe(), "0001_things", "0002_things")).unwrap();
    patched(&file, "CREATE TABLE things (", &format!("CREATE TABLE {table} ("))
}

fn operators(wasm: impl Into<bytes::Bytes>) -> ModuleSource {
    ModuleSource::operator("upload", wasm)
}

async fn is_served(client: &Client, path: &str) -> bool {
    match client.get(path).await.status() {
        200 => true,
        404 => false,
        other => panic!("{path}: {other}"),
    }
}

async fn until_served(client: &Client, path: &str) {
    eventually(path, async || is_served(client, path).await.then_some(())).await;
}

async fn until_gone(client: &Client, path: &str) {
    eventually(path, async || (!is_served(client, path).await).then_some(())).await;
}

/// Serves from an empty folder of modules.
async fn serving() -> (Folder, Hostel) {
    let folder = Folder::warm().await;
    let hostel = folder.start(&["serve"]);
    (folder, hostel)
}

fn line(hostel: &Hostel, parts: &[&str]) -> Value {
    serde_json::from_str(&hostel.line(parts)).unwrap()
}

#[tokio::test]
async fn a_file_is_served_replaced_and_removed_while_others_are_asked() {
    let (folder, hostel) = serving().await;
    let nobody = hostel.nobody();
    assert!(!is_served(&nobody, "/api/probe/random/3").await);

    std::fs::copy(probe(), folder.path("data/modules/probe.wasm")).unwrap();
    until_served(&nobody, "/api/probe/random/3").await;
    let told = line(&hostel, &["probe 0.1.0: compiled in", "swapped in"]);
    assert_eq!((&told["level"], &told["module"]), (&json!("INFO"), &json!("probe")));

    folder.write("data/modules/probe.wasm", renamed("casual"));
    until_served(&nobody, "/api/probe/casual/3").await;
    assert!(!is_served(&nobody, "/api/probe/random/3").await, "the old routes went with it");
    hostel.line(&["probe 0.1.0 replaces 0.1.0: compiled in"]);

    std::fs::remove_file(folder.path("data/modules/probe.wasm")).unwrap();
    until_gone(&nobody, "/api/probe/casual/3").await;
    assert_eq!(nobody.get("/api/probe/casual/3").await.code(), "404 route-not-found");
    hostel.line(&["probe 0.1.0 is removed"]);
    assert_eq!(nobody.get("/api/notes").await.code(), "401 unauthenticated", "others are served");
}

#[tokio::test]
async fn a_broken_file_leaves_the_old_version_and_a_half_copied_one_is_taken_when_it_is_whole() {
    let (folder, hostel) = serving().await;
    let nobody = hostel.nobody();
    std::fs::copy(probe(), folder.path("data/modules/probe.wasm")).unwrap();
    until_served(&nobody, "/api/probe/random/3").await;

    let whole = renamed("casual");
    folder.write("data/modules/probe.wasm", &whole[..whole.len() / 2]);
    let told = line(&hostel, &["ERROR", "probe.wasm", "probe is served as before"]);
    assert!(told["message"].as_str().unwrap().contains("data/modules/probe.wasm: "), "{told}");
    assert!(is_served(&nobody, "/api/probe/random/3").await);

    folder.write("data/modules/probe.wasm", &whole);
    until_served(&nobody, "/api/probe/casual/3").await;

    folder.write("data/modules/new.wasm", "no module");
    hostel.line(&["ERROR", "new.wasm", "it is not served"]);
}

#[tokio::test]
async fn of_two_files_with_one_name_the_first_is_served_until_it_goes() {
    let (folder, hostel) = serving().await;
    let nobody = hostel.nobody();
    std::fs::copy(probe(), folder.path("data/modules/one.wasm")).unwrap();
    until_served(&nobody, "/api/probe/random/3").await;
    folder.write("data/modules/two.wasm", renamed("casual"));
    hostel.line(&["ERROR", "two.wasm", "there are two modules named `probe`: remove one"]);
    assert!(is_served(&nobody, "/api/probe/random/3").await);

    // A module of the platform itself is not replaced, and not removed with a file.
    std::fs::copy(notes(), folder.path("data/modules/notes.wasm")).unwrap();
    hostel.line(&["ERROR", "notes.wasm", "there are two modules named `notes`: remove one"]);
    std::fs::remove_file(folder.path("data/modules/notes.wasm")).unwrap();

    std::fs::remove_file(folder.path("data/modules/one.wasm")).unwrap();
    until_served(&nobody, "/api/probe/casual/3").await;
    assert_eq!(nobody.get("/api/notes").await.code(), "401 unauthenticated");
}

#[tokio::test]
async fn what_is_not_watched_does_not_change() {
    let folder = Folder::warm().await;
    folder.write("platform.toml", "[modules]\nwatch = false");
    let hostel = folder.start(&["serve"]);
    folder.module("probe", probe());
    assert!(!is_served(&hostel.nobody(), "/api/probe/random/3").await);
    drop(hostel);
    let hostel = folder.start(&["serve"]);
    assert!(is_served(&hostel.nobody(), "/api/probe/random/3").await, "with the next start");
}

#[tokio::test]
async fn requests_in_flight_finish_on_the_version_that_they_began_with() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    let length = "/api/probe/length";
    let mut running = HalfSent::to(platform.address(), length, "acme").await;
    let without = patched(probe(), "/length", "/absent");
    let installed = platform.inner().install(operators(without)).await.unwrap();
    assert_eq!(installed.replaced, Some(installed.version.clone()));
    assert_eq!(acme.post(length, json!({})).await.code(), "404 route-not-found");
    let answer = running.finish().await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");

    platform.inner().install(operators(std::fs::read(probe()).unwrap())).await.unwrap();
    let mut running = HalfSent::to(platform.address(), length, "acme").await;
    platform.inner().remove("probe").await.unwrap();
    assert_eq!(acme.get("/api/probe/counter").await.code(), "404 route-not-found");
    let answer = running.finish().await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let twice = platform.inner().remove("probe").await.unwrap_err();
    assert_eq!(twice.code(), "not-found");
}

#[tokio::test]
async fn a_swap_loses_no_request() {
    let platform = TestPlatform::start().await;
    let asking = [
        Friendly::beside(&platform, "acme").await,
        Friendly::beside(&platform, "beta").await,
        Friendly::beside(&platform, "gamma").await,
    ];
    // New tenants come to hand all the time, too.
    let enough = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&enough);
    let newcomers = async {
        let mut came = 0;
        while !told.load(Ordering::Relaxed) {
            let newcomer = platform.tenant(&format!("new-{came}")).await;
            newcomer.get("/api/probe/counter").await.ok();
            came += 1;
        }
        came
    };
    let swaps = async {
        let versions = [std::fs::read(probe()).unwrap(), renamed("casual")];
        for swap in 1..=20 {
            platform.inner().install(operators(versions[swap % 2].clone())).await.unwrap();
        }
        enough.store(true, Ordering::Relaxed);
    };
    let (came, ()) = tokio::join!(newcomers, swaps);
    for asking in asking {
        asking.finish().await;
    }
    assert!(came > 0);
    for newcomer in 0..came {
        let client = platform.client(&format!("new-{newcomer}"));
        assert!(is_served(&client, "/api/probe/random/3").await, "it got the last version");
    }
}

#[tokio::test]
async fn settings_hold_for_what_is_installed_and_must_fit_it() {
    let platform = TestPlatform::configured("[settings.probe]\ngreeting = 'hi'").await;
    let acme = platform.tenant("acme").await;
    let greeting = async || acme.get("/api/probe/settings/greeting").await.ok();
    platform.inner().install(operators(renamed("casual"))).await.unwrap();
    assert_eq!(greeting().await, "hi");

    let without = patched(probe(), "greeting", "farewell");
    let refused = platform.inner().install(operators(without)).await.unwrap_err();
    assert!(refused.to_string().contains("`settings.probe.greeting`"), "{refused}");
    assert_eq!(greeting().await, "hi");
}

#[tokio::test]
async fn idle_instances_of_the_old_version_go() {
    let platform = TestPlatform::configured("[modules.instances]\nprobe = 'reused'").await;
    let client = platform.client("default");
    let count = async || client.get("/api/probe/counter").await.ok()["count"].clone();
    let idle = async || {
        let told = platform.nobody().get("/metrics").await;
        let line = told.text().lines().find(|line| line.starts_with("hostel_instances_idle "));
        line.unwrap().to_owned()
    };
    assert_eq!([count().await, count().await], [1, 2]);
    assert_eq!(idle().await, "hostel_instances_idle 1");

    // One that runs during the swap is not kept either.
    let mut running = HalfSent::to(platform.address(), "/api/probe/length", "default").await;
    platform.inner().install(operators(renamed("casual"))).await.unwrap();
    assert_eq!(idle().await, "hostel_instances_idle 0");
    assert!(running.finish().await.starts_with("HTTP/1.1 200"));
    assert_eq!(idle().await, "hostel_instances_idle 0");
    assert_eq!(count().await, 1);

    let told = platform.nobody().get("/metrics").await;
    let counted = told.text().lines().find(|line| {
        line.starts_with("hostel_request_seconds_count{")
            && line.contains("\"default\",module=\"probe\"")
    });
    assert!(counted.unwrap().ends_with(" 4"), "figures go on: {counted:?}");
}

async fn tables(unit: &Path) -> Vec<String> {
    let mut connection =
        SqliteConnection::connect(&format!("sqlite://{}", unit.display())).await.unwrap();
    sqlx::query_scalar("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
        .fetch_all(&mut connection)
        .await
        .unwrap()
}

/// A platform with these tenants at hand, whose tables are there. A tenant that was just made is
/// looked up again a moment later, so they are from an earlier start.
async fn with_tenants(slugs: &[&str]) -> TestPlatform {
    let platform = TestPlatform::start().await;
    for slug in slugs {
        platform.tenant(slug).await;
    }
    let platform = platform.stop().await.start().await;
    for slug in slugs {
        let client = platform.client(slug);
        client.query("SELECT name FROM things", json!([])).await.ok();
    }
    platform
}

#[tokio::test]
async fn tables_of_tenants_at_hand_are_migrated_before_anybody_is_served_the_new_version_on_sqlite()
{
    let platform = with_tenants(&["acme"]).await;
    let unit = platform.unit("acme").await;
    let idle = platform.tenant("idle").await;
    platform.inner().install(operators(with_table("thingz"))).await.unwrap();
    assert_eq!(tables(&unit).await, ["hostel_migrations", "things", "thingz"]);
    let acme = platform.client("acme");
    acme.query("SELECT amount FROM thingz", json!([])).await.ok();
    assert!(!platform.unit("idle").await.exists(), "who does not use it has no tables");
    idle.query("SELECT amount FROM thingz", json!([])).await.ok();
}

#[tokio::test]
async fn a_migration_that_fails_for_one_tenant_changes_nothing_for_any_on_sqlite() {
    let slugs = ["acme", "beta", "gamma"];
    let platform = with_tenants(&slugs).await;
    // As if an earlier version had left it there.
    let in_the_way = "CREATE TABLE thingz (id)";
    let beta = platform.unit("beta").await;
    let mut connection =
        SqliteConnection::connect(&format!("sqlite://{}", beta.display())).await.unwrap();
    sqlx::query(in_the_way).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();

    let refused = platform.inner().install(operators(with_table("thingz"))).await.unwrap_err();
    assert_eq!(refused.code(), "migration-failed");
    let told = refused.to_string();
    assert!(told.contains("upload: ") && told.contains("`beta`"), "{told}");
    assert!(told.contains("0002_things") && told.contains("thingz"), "{told}");
    for slug in slugs {
        let made = tables(&platform.unit(slug).await).await.contains(&"thingz".to_owned());
        assert_eq!(made, slug == "beta", "{slug}");
        let client = platform.client(slug);
        client.query("SELECT name FROM things", json!([])).await.ok();
    }
    let changed = patched(probe(), "CREATE TABLE things (", "CREATE TABLE thingz (");
    let refused = platform.inner().install(operators(changed)).await.unwrap_err();
    assert!(refused.to_string().contains("has changed since: restore it"), "{refused}");
    assert_eq!((refused.code(), refused.causes()), ("migration-changed", None), "it is said once");
    // Corrected, it is taken.
    platform.inner().install(operators(with_table("thingy"))).await.unwrap();
    platform.client("beta").query("SELECT amount FROM thingy", json!([])).await.ok();
}

#[tokio::test]
async fn what_came_with_the_program_is_its_own_to_replace() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    let bytes = std::fs::read(notes()).unwrap();
    let refused = platform.inner().install(operators(bytes.clone())).await.unwrap_err();
    assert_eq!(refused.to_string(), "upload: there are two modules named `notes`: remove one");
    assert_eq!(
        platform.inner().remove("notes").await.unwrap_err().code(),
        "module-of-the-platform"
    );
    platform.inner().install(ModuleSource::system("development", bytes)).await.unwrap();
    assert_eq!(acme.get("/api/notes").await.status(), 200);
}
