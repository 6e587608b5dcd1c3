//! A tenant that is made or removed while a process dies is there whole, or not at all.

use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use hostel::{TenantQuery, TenantStatus};
use hostel_tests::{Client, Hostel, TestPlatform, eventually, probe};
use serde_json::json;
use sqlx::{Connection as _, PgConnection};

/// One module of a tenant shares its database with nobody, and one has it to share.
const APART: &str = "[modules.databases]\nprobe = 'own'";

/// Few, as one of many tests; more by `HOSTEL_TEST_KILLS`.
pub(crate) fn kills() -> u32 {
    #[expect(clippy::disallowed_methods, reason = "whoever runs the tests says how many")]
    std::env::var("HOSTEL_TEST_KILLS").map_or(5, |number| number.parse().unwrap())
}

/// The moment of one of many kills, which are spread over what takes `span`.
pub(crate) fn moment(nth: u32, span: Duration) -> Duration {
    span * (2 * nth + 1) / (2 * kills())
}

/// `hostel` on the data of a platform that runs in this process, and says nothing.
fn command(platform: &TestPlatform, arguments: &[&str]) -> Command {
    let mut command = platform.command(arguments);
    command.stdout(Stdio::null());
    command
}

pub(crate) async fn ended(mut child: Child) -> ExitStatus {
    tokio::task::spawn_blocking(move || child.wait().unwrap()).await.unwrap()
}

/// Whether anything of a unit is there: a folder, or a schema and roles.
pub(crate) async fn is_left(platform: &TestPlatform, id: &str) -> bool {
    let Some(url) = &platform.inner().config().database.url else {
        return platform.data("tenants").join(id).exists();
    };
    let mut server = PgConnection::connect(url.expose()).await.unwrap();
    let left: i64 = sqlx::query_scalar(
        "SELECT (SELECT count(*) FROM pg_namespace WHERE nspname LIKE '%' || $1 || '%')
              + (SELECT count(*) FROM pg_roles WHERE rolname LIKE '%' || $1 || '%')",
    )
    .bind(id.replace('-', ""))
    .fetch_one(&mut server)
    .await
    .unwrap();
    left > 0
}

/// What its clients see is what the platform says of it.
async fn is_seen_as(client: &Client, status: TenantStatus) {
    eventually(&format!("it is seen as {status}"), async || {
        let answer = client.query("SELECT name FROM things", json!([])).await;
        if status != TenantStatus::Active {
            return (answer.status() == 404).then_some(());
        }
        assert_eq!(answer.ok(), json!([{ "name": "kept" }]));
        Some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_it_removes_a_tenant_it_goes_on_with_the_next_call() {
    let platform = TestPlatform::configured(APART).await;
    let tenants = platform.inner().tenants();
    let mut span = None;
    for nth in 0..=kills() {
        let name = format!("tenant-{nth}");
        let (slug, client) = (name.parse().unwrap(), platform.tenant(&name).await);
        let insert = "INSERT INTO things (id, name, amount) VALUES (randomblob(16), 'kept', 1)";
        client.execute(insert, json!([])).await.ok();
        client.post("/api/notes", json!({ "title": "First" })).await.ok();
        let id = tenants.get(&slug).await.unwrap().id.to_string();
        assert!(is_left(&platform, &id).await);

        let mut delete = command(&platform, &["tenant", "delete", &name, "--now", "--yes"]);
        let started = Instant::now();
        let mut child = delete.spawn().unwrap();
        if let Some(span) = span {
            tokio::time::sleep(moment(nth - 1, span)).await;
            child.kill().unwrap();
            ended(child).await;
            if let Some(left) = tenants.find(&slug).await.unwrap() {
                is_seen_as(&client, left.status).await;
                // The platform may go on with it first, by itself.
                let again = ended(delete.spawn().unwrap()).await.success();
                assert!(again || tenants.find(&slug).await.unwrap().is_none());
            }
        } else {
            assert!(ended(child).await.success());
            span = Some(started.elapsed());
        }
        assert!(tenants.find(&slug).await.unwrap().is_none());
        eventually("nothing is left", async || (!is_left(&platform, &id).await).then_some(()))
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_it_makes_tenants_databases_it_makes_them_at_the_next_request() {
    const AT_ONCE: u32 = 8;
    const NOTES_APART: &str = "[modules.databases]\nnotes = 'own'";

    let platform = TestPlatform::configured(NOTES_APART).await;
    std::fs::write(platform.data("platform.toml"), NOTES_APART).unwrap();
    let start = || {
        let mut serving = command(&platform, &["dev", "--listen", "127.0.0.1:0"]);
        serving.stderr(Stdio::null());
        Hostel::start(serving)
    };
    let note = async |client: Client| {
        client.request("POST", "/api/notes").json(&json!({ "title": "First" })).try_send().await
    };
    let mut names = Vec::new();
    let mut span = None;
    for nth in 0..=kills() {
        let mut hostel = start();
        let mut clients = Vec::new();
        for number in 0..AT_ONCE {
            let name = format!("tenant-{nth}-{number}");
            platform.tenant(&name).await;
            clients.push(hostel.client(&name));
            names.push(name);
        }
        let started = Instant::now();
        let asking = join_all(clients.into_iter().map(note));
        if let Some(span) = span {
            let killing = async {
                tokio::time::sleep(moment(nth - 1, span)).await;
                hostel.kill();
            };
            tokio::join!(asking, killing);
        } else {
            for answer in asking.await {
                assert_eq!(answer.unwrap().status(), 201);
            }
            span = Some(started.elapsed());
        }
    }
    let hostel = start();
    for name in names {
        let answer = note(hostel.client(&name)).await.unwrap();
        assert_eq!(answer.status(), 201, "{name}: {}", answer.text());
        // What modules share is made beside them.
        platform.client(&name).query("SELECT name FROM things", json!([])).await.ok();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_it_imports_a_tenant_it_is_there_whole_or_not_at_all() {
    const ROWS: i64 = 5_000;

    let platform = TestPlatform::configured(APART).await;
    platform.tenant("acme").await.post("/api/notes", json!({ "title": "First" })).await.ok();
    let (acme, archive) = ("acme".parse().unwrap(), platform.data("acme.zip"));
    let numbers = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)";
    let id = match platform.inner().config().database.url {
        Some(_) => "gen_random_uuid()",
        None => "randomblob(16)",
    };
    let insert = format!(
        "{numbers} INSERT INTO things (id, name, amount) SELECT {id}, 'thing ' || i, i FROM n"
    );
    platform.inner().query(&acme, "probe", insert).await.unwrap();
    platform.inner().archives().export(&acme, &archive).await.unwrap();
    // The command finds the probe where an operator would put it.
    let modules = platform.data("more");
    std::fs::create_dir(&modules).unwrap();
    std::fs::copy(probe(), modules.join("probe.wasm")).unwrap();
    let config = format!("{APART}\n[modules]\ndirectory = '{}'", modules.display());
    std::fs::write(platform.data("platform.toml"), config).unwrap();

    let (mut span, mut whole, mut killed) = (None, 0, 0);
    for nth in 0..=kills() {
        let name = format!("copy-{nth}");
        let mut import = command(&platform, &["tenant", "import", "acme.zip", "--as", &name]);
        let started = Instant::now();
        let mut child = import.spawn().unwrap();
        if let Some(span) = span {
            tokio::time::sleep(moment(nth - 1, span)).await;
            child.kill().unwrap();
            killed += 1;
            ended(child).await;
        } else {
            assert!(ended(child).await.success());
            span = Some(started.elapsed());
        }
        if platform.inner().tenants().find(&name.parse().unwrap()).await.unwrap().is_some() {
            let client = platform.client(&name);
            let count = client.query("SELECT count(*) AS n FROM things", json!([])).await.ok();
            assert_eq!(count, json!([{ "n": ROWS }]), "{name}");
            let notes = client.get("/api/notes").await.ok();
            assert_eq!(notes["items"][0]["title"], "First", "{name}");
            whole += 1;
        }
    }
    let importing = TenantQuery {
        status: Some(TenantStatus::Importing),
        limit: 1_000,
        ..TenantQuery::default()
    };
    let left = platform.inner().tenants().list(&importing).await.unwrap();
    println!("{killed} kills: {whole} whole with the first, {} cut short", left.len());

    // Hours later, nothing of those that were cut short is there.
    let later = hostel::Clock::system().now_micros() + 3_600_000_000;
    let clock = hostel::Clock::fixed(later);
    let setup = platform.stop().await;
    let platform = setup.built(move |builder| builder.clock(clock.clone())).start().await;
    eventually("what was cut short is removed", async || {
        platform.inner().tenants().list(&importing).await.unwrap().is_empty().then_some(())
    })
    .await;
    for tenant in left {
        let id = tenant.id.to_string();
        eventually("nothing is left", async || (!is_left(&platform, &id).await).then_some(()))
            .await;
    }
}
