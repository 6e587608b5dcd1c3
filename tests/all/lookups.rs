//! Look-ups: loaded by the operator, read by modules of every tenant, whole and soon.

use std::process::Stdio;

use futures_util::future::join_all;
use hostel::LookupName;
use hostel_tests::{Answer, Client, Folder, TestPlatform, eventually};
use insta::assert_snapshot;
use serde_json::{Value, json};
use sqlx::Connection as _;

const COUNTRIES: &str =
    "code,name,vat\nNO,Norway,25\nSE,\"Sweden, the kingdom\",25\nGL,Grønland,\n";

async fn load(platform: &TestPlatform, name: &str, csv: &str) -> u64 {
    let name: LookupName = name.parse().unwrap();
    platform.inner().lookups().load(&name, csv.as_bytes(), None).await.unwrap().version
}

async fn row(client: &Client, key: &str) -> Answer {
    client.get(&format!("/api/probe/lookups/countries/row?key={key}")).await
}

async fn rows(client: &Client, keys: Value) -> Answer {
    client.post("/api/probe/lookups/countries/rows", keys).await
}

/// What the command says, in another process on the same data as a platform that runs.
fn command(platform: &TestPlatform, arguments: &[&str]) -> String {
    let folder = Folder::new();
    folder.write("countries.csv", COUNTRIES);
    folder.write("renamed.csv", COUNTRIES.replace("Norway", "Norge"));
    let data = platform.data("");
    let mut command = folder.command(&[&["lookup"], arguments].concat());
    command.arg("--data").arg(data).stdin(Stdio::null());
    if let Some(url) = &platform.inner().config().database.url {
        command.env("HOSTEL_DATABASE_URL", url.expose());
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8(output.stderr).unwrap());
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn every_tenant_reads_what_the_operator_loaded() {
    let platform = TestPlatform::start().await;
    let version = load(&platform, "countries", COUNTRIES).await;
    let norway = json!({ "code": "NO", "name": "Norway", "vat": "25" });
    let greenland = json!({ "code": "GL", "name": "Grønland", "vat": null });
    let sweden = json!({ "code": "SE", "name": "Sweden, the kingdom", "vat": "25" });
    for tenant in ["acme", "other"] {
        let client = platform.tenant(tenant).await;
        assert_eq!(row(&client, "NO").await.ok(), norway);
        assert_eq!(row(&client, "no").await.ok(), Value::Null);
        let found = rows(&client, json!(["SE", "??", "GL", "SE"])).await.ok();
        assert_eq!(found, json!([sweden, null, greenland, sweden]));
        let all = client.get("/api/probe/lookups/countries/all").await.ok();
        assert_eq!(all, json!([greenland, norway, sweden]));
        let page = client.get("/api/probe/lookups/countries?limit=2").await.ok();
        let first = json!({ "version": version, "rows": [greenland, norway], "next": "NO" });
        assert_eq!(page, first);
        let page = client.get("/api/probe/lookups/countries?limit=2&after=NO").await.ok();
        assert_eq!(page, json!({ "version": version, "rows": [sweden], "next": null }));
        assert_eq!(client.get("/api/probe/lookups/countries/version").await.ok(), json!(version));
        let absent = client.get("/api/probe/lookups/currencies/version").await;
        assert_eq!(absent.code(), "404 not-found");
    }
}

#[tokio::test]
async fn a_running_platform_reads_what_another_process_loads_and_removes() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    assert_eq!(row(&acme, "NO").await.code(), "404 not-found");
    let name_becomes = async |expected: &str| {
        eventually("the new version is read", async || {
            let answer = row(&acme, "NO").await;
            (answer.status() == 200 && answer.json()["name"] == expected).then_some(())
        })
        .await;
    };
    command(&platform, &["load", "countries", "countries.csv"]);
    name_becomes("Norway").await;
    command(&platform, &["load", "countries", "renamed.csv"]);
    name_becomes("Norge").await;
    command(&platform, &["remove", "countries", "--yes"]);
    eventually("it is gone", async || (row(&acme, "NO").await.status() == 404).then_some(())).await;
}

#[tokio::test]
async fn a_version_is_read_whole_while_others_are_loaded() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    let table = |cell: &str| -> String {
        let rows = (0..700).map(|key| format!("{key},{cell}\n"));
        format!("key,cell\n{}", rows.collect::<String>())
    };
    load(&platform, "countries", &table("first")).await;
    let keys: Vec<String> = (0..700).map(|key| key.to_string()).collect();
    let read = async || {
        let found = rows(&acme, json!(keys)).await.ok();
        let first = found[0]["cell"].clone();
        assert!(first.is_string());
        assert!(found.as_array().unwrap().iter().all(|row| row["cell"] == first), "{found}");
    };
    let loading = async {
        for version in 0..10 {
            load(&platform, "countries", &table(&version.to_string())).await;
        }
    };
    let reading = join_all((0..4).map(|_| async {
        for _ in 0..10 {
            read().await;
        }
    }));
    tokio::join!(loading, reading);
    assert_eq!(row(&acme, "699").await.ok()["cell"], "9");
}

#[tokio::test]
async fn what_was_read_once_needs_no_database_on_sqlite() {
    let platform = TestPlatform::start().await;
    load(&platform, "countries", COUNTRIES).await;
    let acme = platform.tenant("acme").await;
    assert_eq!(row(&acme, "NO").await.ok()["name"], "Norway");
    let url = format!("sqlite://{}", platform.data("platform.db").display());
    let mut database = sqlx::SqliteConnection::connect(&url).await.unwrap();
    sqlx::query("DROP TABLE lookup_rows").execute(&mut database).await.unwrap();
    assert_eq!(row(&acme, "SE").await.ok()["name"], "Sweden, the kingdom");
}

#[tokio::test]
async fn a_call_asks_for_no_more_than_it_may() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    let large = "x".repeat(60_000);
    let table = (100..200).map(|key| format!("{key},{large}\n"));
    load(&platform, "countries", &format!("key,cell\n{}", table.collect::<String>())).await;
    let page = async |query: &str| acme.get(&format!("/api/probe/lookups/countries?{query}")).await;
    assert_eq!(page("limit=0").await.code(), "422 invalid");
    assert_eq!(page("limit=1001").await.code(), "422 invalid");
    let first = page("limit=1000").await.ok();
    assert_eq!((first["rows"].as_array().unwrap().len(), &first["next"]), (69, &json!("168")));
    let rest = page("limit=1000&after=168").await.ok();
    assert_eq!((rest["rows"].as_array().unwrap().len(), &rest["next"]), (31, &Value::Null));
    let keys: Vec<String> = (100..200).map(|key| key.to_string()).collect();
    let too_large = rows(&acme, json!(keys)).await;
    assert_eq!(too_large.code(), "429 limit");
    assert!(too_large.text().contains("4194304 bytes"), "{}", too_large.text());
    let too_many = rows(&acme, json!(vec!["100"; 1001])).await;
    assert_eq!(too_many.code(), "429 limit");
    assert!(too_many.text().contains("1000 keys"), "{}", too_many.text());

    let platform = TestPlatform::configured("[limits]\nhostcalls_total_max_bytes = 65536").await;
    let table = format!("key,cell\n1,{large}\n");
    load(&platform, "countries", &table).await;
    load(&platform, "others", &table).await;
    let acme = platform.tenant("acme").await;
    assert_eq!(row(&acme, "1").await.status(), 200);
    assert_eq!(rows(&acme, json!(["1", "1"])).await.code(), "429 limit");
}

#[tokio::test]
async fn a_module_that_is_not_granted_them_is_not_served() {
    let grants = "[modules.grants]\noperator = ['clock', 'crypto', 'http-client', 'log', 'settings', 'sql', 'tenancy', 'tenancy/secrets']";
    let Err(error) = TestPlatform::setup().config(grants).try_start().await else {
        panic!("it started")
    };
    let told = error.to_string();
    assert!(told.contains("lookups") && told.contains("is not granted to it"), "{told}");
}

#[test]
fn a_look_up_lives_by_the_command() {
    let folder = Folder::new();
    folder.write("countries.csv", COUNTRIES);
    folder.write("lines.csv", "key,text\n1,\"one\ntwo\"\n2,\u{1b}[31m\n");
    assert_snapshot!(folder.transcript(
        "lookup",
        &[
            "list",
            "load countries countries.csv",
            "load by-name countries.csv --key name",
            "load lines lines.csv",
            "list",
            "show countries",
            "show countries --limit 2",
            "show countries --after NO",
            "show lines",
            "load countries countries.csv",
            "remove by-name",
            "remove by-name --yes",
            "remove by-name --yes",
            "show by-name",
        ],
    ));
    let parsed = |arguments: &[&str]| -> Value {
        let told = folder.run(&[&["lookup"], arguments, &["--json"]].concat()).stdout;
        serde_json::from_str(&told).unwrap()
    };
    let mut shown = parsed(&["show", "countries", "--limit", "1"]);
    assert_eq!(shown["rows"].take(), json!([{ "code": "GL", "name": "Grønland", "vat": "" }]));
    assert!(shown["loaded_at"].take().is_string());
    assert_eq!(
        shown,
        json!({
            "name": "countries", "version": 4, "key": "code", "columns": ["code", "name", "vat"],
            "row_count": 3, "rows": null, "loaded_at": null,
        })
    );
    assert_eq!(parsed(&["list"])[0]["name"], "countries");
}

#[test]
fn what_is_no_table_says_why() {
    let folder = Folder::new();
    for (name, csv) in [
        ("good.csv", COUNTRIES),
        ("empty.csv", ""),
        ("blank.csv", "\n\n"),
        ("unnamed.csv", "code,\nNO,Norway\n"),
        ("columns.csv", "code,name,code\n"),
        ("twice.csv", "code,name\nNO,Norway\n\nSE,Sweden\nNO,Norge\n"),
        ("nameless.csv", "code,name\nNO,Norway\n,Sweden\n"),
        ("short.csv", "code,name\nNO,\"Nor\nway\"\nSE\n"),
        ("semicolons.csv", "code;name\nNO;Norway\n"),
        ("header.csv", "code,name\n"),
    ] {
        folder.write(name, csv);
    }
    folder.write("latin1.csv", b"code,name\nGL,Gr\xf8nland\n");
    assert_snapshot!(folder.transcript(
        "lookup",
        &[
            "load countries empty.csv",
            "load countries blank.csv",
            "load countries unnamed.csv",
            "load countries columns.csv",
            "load countries twice.csv",
            "load countries nameless.csv",
            "load countries short.csv",
            "load countries semicolons.csv",
            "load countries latin1.csv",
            "load countries absent.csv",
            "load countries good.csv --key iso",
            "load Countries good.csv",
            "load countries header.csv",
            "list",
        ],
    ));
}
