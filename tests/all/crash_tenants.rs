//! A tenant that is made or removed while a process dies is there whole, or not at all.

use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use hostel::TenantStatus;
use hostel_tests::{Client, Hostel, TestPlatform, eventually, program};
use serde_json::json;
use sqlx::{Connection as _, PgConnection};

/// Few, as one of many tests; more by `HOSTEL_TEST_KILLS`.
fn kills() -> u32 {
    #[expect(clippy::disallowed_methods, reason = "whoever runs the tests says how many")]
    std::env::var("HOSTEL_TEST_KILLS").map_or(5, |number| number.parse().unwrap())
}

/// The moment of one of many kills, which are spread over what takes `span`.
fn moment(nth: u32, span: Duration) -> Duration {
    span * (2 * nth + 1) / (2 * kills())
}

/// `hostel` on the data of a platform that runs in this process.
fn command(platform: &TestPlatform, arguments: &[&str]) -> Command {
    let config = platform.inner().config();
    let mut command = Command::new(program());
    command
        .args(arguments)
        .arg("--data")
        .arg(platform.data(""))
        .current_dir(platform.data(""))
        .env("HOSTEL_PLATFORM_KEY", config.platform.key.as_ref().unwrap().expose())
        .stdout(Stdio::null());
    if let Some(url) = &config.database.url {
        command.env("HOSTEL_DATABASE_URL", url.expose());
    }
    command
}

async fn ended(mut child: Child) -> ExitStatus {
    tokio::task::spawn_blocking(move || child.wait().unwrap()).await.unwrap()
}

/// Whether anything of a unit is there: a folder, or a schema and roles.
async fn is_left(platform: &TestPlatform, id: &str) -> bool {
    let Some(url) = &platform.inner().config().database.url else {
        return platform.data("tenants").join(id).exists();
    };
    let mut server = PgConnection::connect(url.expose()).await.unwrap();
    let left: i64 = sqlx::query_scalar(
        "SELECT (SELECT count(*) FROM pg_namespace WHERE nspname LIKE '%' || $1)
              + (SELECT count(*) FROM pg_roles WHERE rolname LIKE '%' || $1)",
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
    let platform = TestPlatform::start().await;
    let tenants = platform.inner().tenants();
    let mut span = None;
    for nth in 0..=kills() {
        let name = format!("tenant-{nth}");
        let (slug, client) = (name.parse().unwrap(), platform.tenant(&name).await);
        let insert = "INSERT INTO things (id, name, amount) VALUES (randomblob(16), 'kept', 1)";
        client.execute(insert, json!([])).await.ok();
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

    let platform = TestPlatform::start().await;
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
        // Another module's tables are made beside them.
        platform.client(&name).query("SELECT name FROM things", json!([])).await.ok();
    }
}
