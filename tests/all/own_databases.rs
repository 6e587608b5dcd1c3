//! Modules with a database of their own: their rows are in it and nowhere else, and no other module
//! of the same tenant reaches them.

use std::path::PathBuf;

use hostel::{MigrationGoal, MigrationScope, TablesState};
use hostel_tests::{Client, Setup, TestPlatform, hostile_with_migrations, superuser};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection};

use super::crash_tenants::is_left;
use super::postgres::{ATTACKS, as_superuser};
use super::sqlite_refused::REFUSED;

/// Where the probe, or the hostile guest, keeps its rows.
fn kept(module: &str, database: &str) -> String {
    format!("[modules.databases]\n{module} = '{database}'")
}

const INSERT: &str = "INSERT INTO things (id, name, amount) VALUES (randomblob(16), $1, 1)";

/// The hostile guest, with a table that is called like the probe's, and a row in it.
fn with_canary(setup: Setup) -> Setup {
    setup.hostile_is(&hostile_with_migrations([
        "CREATE TABLE things (name text, amount integer); INSERT INTO things VALUES ('canary', 1)",
    ]))
}

async fn rows(client: &Client) -> Value {
    client.query("SELECT name, amount FROM things ORDER BY name", json!([])).await.ok()
}

fn only(name: &str) -> Value {
    json!([{ "name": name, "amount": 1 }])
}

/// The tables in one of a tenant's databases, but the platform's own; none where there is none.
async fn tables(platform: &TestPlatform, slug: &str, module: Option<&str>) -> Vec<String> {
    if superuser().is_some() {
        let schema = platform.schema_of(slug, module).await;
        let statement = format!(
            "SELECT relname::text FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace
             WHERE nspname = '{schema}' AND relkind = 'r' AND relname !~ '^hostel_' ORDER BY 1"
        );
        let mut server = as_superuser(platform).await;
        return sqlx::query_scalar(AssertSqlSafe(statement)).fetch_all(&mut server).await.unwrap();
    }
    let file = platform.unit_of(slug, module).await;
    if !file.exists() {
        return Vec::new();
    }
    let mut file = SqliteConnection::connect(&file.display().to_string()).await.unwrap();
    let statement = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'hostel%' ORDER BY 1";
    sqlx::query_scalar(statement).fetch_all(&mut file).await.unwrap()
}

#[tokio::test]
async fn a_modules_rows_are_in_its_own_database_and_nowhere_else() {
    let platform = TestPlatform::configured(&kept("probe", "own")).await;
    let (acme, other) = (platform.tenant("acme").await, platform.tenant("other").await);
    for (client, name) in [(&acme, "first"), (&other, "second")] {
        client.execute(INSERT, json!([name])).await.ok();
        client.post("/api/notes", json!({ "title": name })).await.ok();
    }
    assert_eq!(rows(&acme).await, only("first"));
    assert_eq!(rows(&other).await, only("second"));
    for slug in ["acme", "other"] {
        assert_eq!(tables(&platform, slug, Some("probe")).await, ["things"]);
        assert_eq!(tables(&platform, slug, None).await, ["notes"]);
        assert_eq!(tables(&platform, slug, Some("notes")).await, [""; 0]);
    }
    // One is not there for the other, by any name.
    let asked = acme.query("SELECT title FROM notes", json!([])).await;
    assert_eq!(asked.status(), 422, "{}", asked.text());
    // Both go with the tenant.
    let (slug, tenants) = ("acme".parse().unwrap(), platform.inner().tenants());
    let id = tenants.get(&slug).await.unwrap().id.to_string();
    assert!(is_left(&platform, &id).await);
    tenants.delete_now(&slug).await.unwrap();
    assert!(!is_left(&platform, &id).await);
    let again = platform.tenant("acme").await;
    assert_eq!(rows(&again).await, json!([]));
    assert_eq!(rows(&other).await, only("second"));
}

/// In both directions: the one who attacks has its own database, or the one who is attacked.
#[tokio::test]
async fn no_statement_reaches_another_module_of_the_same_tenant() {
    let attacks = if superuser().is_some() { ATTACKS } else { REFUSED };
    for (apart, attacked) in [("probe", None), ("hostile", Some("hostile"))] {
        let platform = with_canary(TestPlatform::setup().config(&kept(apart, "own"))).start().await;
        let acme = platform.tenant("acme").await;
        acme.execute(INSERT, json!(["own"])).await.ok();
        acme.get("/api/hostile/counter").await.ok();
        let slug = "acme".parse().unwrap();
        let canary = || platform.inner().query(&slug, "hostile", "SELECT name, amount FROM things");
        let before = canary().await.unwrap();
        assert!(String::from_utf8_lossy(&before).contains("canary"));
        let schema = platform.schema_of("acme", attacked).await;
        for attack in attacks {
            let attack = attack.replace("OTHER", &schema);
            let work = ["UPDATE things SET amount = 2", &attack];
            for answer in [
                acme.query(&attack, json!([])).await,
                acme.execute(&attack, json!([])).await,
                acme.transaction(&work, "commit").await,
            ] {
                assert!([403, 422].contains(&answer.status()), "{attack}: {}", answer.text());
                assert!(!answer.text().contains("canary"), "{attack}: {}", answer.text());
            }
        }
        assert_eq!(canary().await.unwrap(), before, "with {apart} apart");
        assert_eq!(rows(&acme).await, only("own"), "with {apart} apart");
    }
}

/// Nobody is served as if there were no rows, because the configuration looks for them elsewhere.
#[tokio::test]
async fn a_changed_configuration_is_told_of_and_loses_nothing() {
    for (before, after) in [("shared", "own"), ("own", "shared")] {
        let platform = TestPlatform::configured(&kept("probe", before)).await;
        let (slug, new) = ("acme".parse().unwrap(), "new".parse().unwrap());
        platform.tenant("acme").await.execute(INSERT, json!(["kept"])).await.ok();
        let archive = platform.data("acme.zip");
        platform.inner().archives().export(&slug, &archive).await.unwrap();

        let platform = platform.stop().await.config(&kept("probe", after)).start().await;
        let acme = platform.client("acme");
        let refused = acme.query("SELECT name FROM things", json!([])).await;
        assert_eq!(refused.code(), "503 tables-elsewhere");
        acme.post("/api/notes", json!({ "title": "Others are served" })).await.ok();
        assert_eq!(rows(&platform.tenant("new").await).await, json!([]), "who had none");

        let migrations = platform.inner().migrations();
        let mut states = Vec::new();
        let scope =
            MigrationScope { modules: vec!["probe".parse().unwrap()], ..Default::default() };
        let told = |tables: hostel::ModuleTables| {
            if [&slug, &new].contains(&&tables.tenant) {
                states.push((tables.tenant.to_string(), tables.state(), tables.unreadable));
            }
        };
        migrations.status(&scope, told).await.unwrap();
        let why = states[0].2.as_ref().unwrap();
        assert!(why.contains(&format!("`modules.databases.probe` says \"{after}\"")), "{why}");
        let states: Vec<_> = states.iter().map(|(slug, state, _)| (&**slug, *state)).collect();
        assert_eq!(states, [("acme", TablesState::Unreadable), ("new", TablesState::UpToDate)]);
        let plan = migrations.plan(&scope, &MigrationGoal::UP).await.unwrap();
        assert_eq!(plan.failures[0].code, "tables-elsewhere");
        let ran = migrations.run(&scope, &MigrationGoal::UP, 1, &|_| {}).await.unwrap();
        let failures: Vec<_> =
            ran.failures.iter().map(|it| (it.tenant.as_str(), it.code)).collect();
        assert_eq!(failures, [("acme", "tables-elsewhere")]);

        // What left before arrives where the configuration says.
        platform.inner().archives().import(&archive, Some("copy".parse().unwrap())).await.unwrap();
        assert_eq!(rows(&platform.client("copy")).await, only("kept"));
        let home = (after == "own").then_some("probe");
        assert_eq!(tables(&platform, "copy", home).await, ["things"]);

        let platform = platform.stop().await.config(&kept("probe", before)).start().await;
        assert_eq!(rows(&platform.client("acme")).await, only("kept"));
    }
}

/// Two modules with a table of one name each: nothing is mixed up on the way.
#[tokio::test]
async fn a_tenant_with_several_databases_leaves_and_arrives_with_all_of_them() {
    let platform = with_canary(TestPlatform::setup().config(&kept("probe", "own"))).start().await;
    let (slug, copy) = ("acme".parse().unwrap(), "copy".parse::<hostel::TenantSlug>().unwrap());
    let acme = platform.tenant("acme").await;
    acme.execute(INSERT, json!(["own"])).await.ok();
    acme.post("/api/notes", json!({ "title": "First" })).await.ok();
    acme.get("/api/hostile/counter").await.ok();
    let archive: PathBuf = platform.data("acme.zip");
    let archives = platform.inner().archives();
    let exported = archives.export(&slug, &archive).await.unwrap();
    assert_eq!((exported.tables, exported.rows), (3, 3));
    let imported = archives.import(&archive, Some(copy.clone())).await.unwrap();
    assert_eq!((imported.tables, imported.rows), (3, 3));
    let client = platform.client("copy");
    assert_eq!(rows(&client).await, only("own"));
    assert_eq!(client.get("/api/notes").await.ok()["items"][0]["title"], "First");
    let canary = platform.inner().query(&copy, "hostile", "SELECT name FROM things").await.unwrap();
    assert!(String::from_utf8_lossy(&canary).contains("canary"));

    // Where both share a database, only one of them can have the table.
    let platform = platform.stop().await.config(&kept("probe", "shared")).start().await;
    let archives = platform.inner().archives();
    let error = archives.import(&archive, Some("third".parse().unwrap())).await.unwrap_err();
    assert!(error.to_string().contains("things"), "{error}");
    let left = platform.inner().tenants().find(&"third".parse().unwrap()).await.unwrap();
    assert!(left.is_none());
}

/// Forward and back, by the command, beside a module that shares.
#[tokio::test]
async fn tables_in_a_database_of_ones_own_are_migrated_as_others_are() {
    let platform = TestPlatform::configured(&kept("probe", "own")).await;
    let folder = platform.data("more");
    std::fs::create_dir(&folder).unwrap();
    std::fs::copy(hostel_tests::probe(), folder.join("probe.wasm")).unwrap();
    let config = format!("{}\n[modules]\ndirectory = '{}'", kept("probe", "own"), folder.display());
    std::fs::write(platform.data("platform.toml"), config).unwrap();
    let acme = platform.tenant("acme").await;
    acme.execute(INSERT, json!(["row"])).await.ok();
    let migrate = async |arguments: &str| {
        let words = format!("migrate {arguments} --module probe --tenant acme");
        let ran = platform.run(&words.split(' ').collect::<Vec<_>>()).await;
        assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
        ran.stdout
    };
    assert!(migrate("status").await.contains("up-to-date"));
    migrate("down --yes").await;
    assert_eq!(tables(&platform, "acme", Some("probe")).await, [""; 0]);
    migrate("up").await;
    assert_eq!(tables(&platform, "acme", Some("probe")).await, ["things"]);
    assert_eq!(tables(&platform, "acme", None).await, [""; 0]);
    hostel_tests::eventually("it is served again", async || {
        let answer = acme.query("SELECT name FROM things", json!([])).await;
        (answer.status() == 200).then(|| assert_eq!(answer.ok(), json!([])))
    })
    .await;
}

/// What one module fills is full for itself alone.
#[tokio::test]
async fn a_database_that_is_full_keeps_no_other_module_from_writing() {
    let config = format!("[limits]\ndatabase_max_bytes = 1048576\n{}", kept("probe", "own"));
    let platform = TestPlatform::configured(&config).await;
    let acme = platform.tenant("acme").await;
    let id = match superuser() {
        Some(_) => "gen_random_uuid()",
        None => "randomblob(16)",
    };
    let numbers = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)";
    let insert = format!(
        "{numbers} INSERT INTO things (id, name, amount) SELECT {id}, $1 || i || ' takes room', 1 FROM n"
    );
    let mut filled = 0;
    hostel_tests::eventually("it is full", async || {
        filled += 1;
        let answer = acme.execute(&insert, json!([format!("{filled}-")])).await;
        if answer.status() == 200 {
            return None;
        }
        assert_eq!(answer.status(), 429, "{}", answer.text());
        Some(())
    })
    .await;
    acme.post("/api/notes", json!({ "title": "There is room" })).await.ok();
}

/// The operator says so before the module comes: it is never served otherwise.
#[tokio::test]
async fn a_module_that_comes_later_has_its_own_database_from_the_start() {
    let platform = TestPlatform::configured(&kept("library", "own")).await;
    let acme = platform.tenant("acme").await;
    acme.execute(INSERT, json!(["row"])).await.ok();
    let library = hostel::ModuleSource::file(hostel_tests::library()).unwrap();
    platform.inner().install(library).await.unwrap();
    let migrations = platform.inner().migrations();
    let ran = migrations.run(&MigrationScope::default(), &MigrationGoal::UP, 1, &|_| {}).await;
    assert!(ran.unwrap().failures.is_empty());
    assert!(tables(&platform, "acme", Some("library")).await.contains(&"library_books".to_owned()));
    assert_eq!(tables(&platform, "acme", None).await, ["notes", "things"]);
}
