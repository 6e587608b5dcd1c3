//! A tenant leaves as a file and arrives as it was, on the same database or the other one.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use hostel::Secret;
use hostel_tests::{Client, TestPlatform, eventually, patched, probe};
use serde_json::{Value, json};

const ALL: &str = "SELECT id, name, amount, done, data, made_at, price FROM things ORDER BY name";

async fn filled(platform: &TestPlatform) -> Client {
    let acme = platform.tenant("acme").await;
    let insert = "INSERT INTO things (id, name, amount, done, data, price)
                  VALUES (randomblob(16), $1, $2, $3, $4, 0.5000)";
    for (number, name) in ["plain", "tab\tand\nline\\", "é\"quoted\"", ""].iter().enumerate() {
        acme.execute(insert, json!([name, number, null, "{\"a\": [1, 2.5]}"])).await.ok();
    }
    acme
}

async fn many(platform: &TestPlatform, rows: u32) {
    let id = match platform.inner().config().database.url {
        Some(_) => "gen_random_uuid()",
        None => "randomblob(16)",
    };
    let insert = format!(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
         INSERT INTO things (id, name, amount) SELECT {id}, 'thing ' || i, i FROM n"
    );
    platform.inner().query(&"acme".parse().unwrap(), "probe", insert).await.unwrap();
}

fn file(platform: &TestPlatform) -> PathBuf {
    platform.data("acme.zip")
}

async fn rows(client: &Client) -> Value {
    client.query(ALL, json!([])).await.ok()
}

async fn is_served(client: &Client) {
    eventually("it is served", async || {
        (client.get("/api/probe/counter").await.status() == 200).then_some(())
    })
    .await;
}

/// The archive with `change` made to its entries.
fn changed(archive: &Path, change: impl FnOnce(&mut Vec<(String, Vec<u8>)>)) {
    let mut zip = zip::ZipArchive::new(std::fs::File::open(archive).unwrap()).unwrap();
    let mut entries = Vec::new();
    for number in 0..zip.len() {
        let mut entry = zip.by_index(number).unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        entries.push((entry.name().unwrap().into_owned(), content));
    }
    change(&mut entries);
    let mut zip = zip::ZipWriter::new(std::fs::File::create(archive).unwrap());
    for (name, content) in entries {
        zip.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(&content).unwrap();
    }
    zip.finish().unwrap();
}

fn in_manifest(entries: &mut [(String, Vec<u8>)], from: &str, to: &str) {
    let (_, manifest) = entries.iter_mut().find(|(name, _)| name == "manifest.json").unwrap();
    let text = String::from_utf8(manifest.clone()).unwrap();
    assert!(text.contains(from), "{text}");
    *manifest = text.replace(from, to).into_bytes();
}

/// Why it is refused; nothing of it is left then.
async fn refused(platform: &TestPlatform) -> String {
    let archives = platform.inner().archives();
    let error = archives.import(&file(platform), Some("copy".parse().unwrap())).await.unwrap_err();
    let query = hostel::TenantQuery { limit: 10, ..hostel::TenantQuery::default() };
    let left = platform.inner().tenants().list(&query).await.unwrap();
    assert!(
        left.iter().all(|tenant| ["acme", "default", "platform"].contains(&tenant.slug.as_str()))
    );
    if let Ok(units) = std::fs::read_dir(platform.data("tenants")) {
        assert!(units.count() <= 2, "its files are left");
    }
    error.to_string()
}

#[tokio::test]
async fn a_tenant_arrives_under_another_slug_as_it_was() {
    let platform = TestPlatform::start().await;
    let acme = filled(&platform).await;
    let secrets = platform.inner().secrets();
    secrets.set(&"acme".parse().unwrap(), "KEY", &Secret::new("s".into())).await.unwrap();
    let archives = platform.inner().archives();
    let exported = archives.export(&"acme".parse().unwrap(), &file(&platform)).await.unwrap();
    assert_eq!((exported.rows, exported.secrets), (4, vec!["KEY".to_owned()]));
    let again = archives.export(&"acme".parse().unwrap(), &file(&platform)).await;
    assert_eq!(again.unwrap_err().code(), "file-exists");
    let taken = archives.import(&file(&platform), None).await.unwrap_err();
    assert_eq!(taken.code(), "tenant-exists");
    let imported = archives.import(&file(&platform), Some("copy".parse().unwrap())).await.unwrap();
    assert_eq!((imported.rows, imported.secrets), (4, vec!["KEY".to_owned()]));
    let copy = platform.client("copy");
    is_served(&copy).await;
    assert_eq!(rows(&copy).await, rows(&acme).await);
    // Each goes its own way.
    copy.execute("DELETE FROM things", json!([])).await.ok();
    assert_ne!(rows(&copy).await, rows(&acme).await);
}

/// From SQLite to PostgreSQL and back, where there is one.
#[tokio::test]
async fn a_tenant_moves_to_the_other_database_and_back() {
    let here = TestPlatform::start().await;
    if here.inner().config().database.url.is_none() {
        return;
    }
    let there = TestPlatform::setup().in_files().start().await;
    let acme = filled(&here).await;
    let original = rows(&acme).await;
    let (first, second) = (here.data("first.zip"), here.data("second.zip"));
    here.inner().archives().export(&"acme".parse().unwrap(), &first).await.unwrap();
    there.inner().archives().import(&first, None).await.unwrap();
    assert_eq!(rows(&there.client("acme")).await, original);
    there.inner().archives().export(&"acme".parse().unwrap(), &second).await.unwrap();
    here.inner().archives().import(&second, Some("copy".parse().unwrap())).await.unwrap();
    let copy = here.client("copy");
    is_served(&copy).await;
    assert_eq!(rows(&copy).await, original);
}

#[tokio::test]
async fn a_tenant_that_is_too_large_is_refused_and_leaves_nothing() {
    let platform = TestPlatform::start().await;
    platform.tenant("acme").await;
    many(&platform, 20_000).await;
    platform
        .change("acme", json!({ "limits": { "database_max_bytes": 1_048_576 } }))
        .await
        .unwrap();
    platform.inner().archives().export(&"acme".parse().unwrap(), &file(&platform)).await.unwrap();
    assert!(refused(&platform).await.contains("size limit"));
}

#[tokio::test]
async fn an_archive_that_is_damaged_is_refused_and_leaves_nothing() {
    let platform = TestPlatform::start().await;
    filled(&platform).await;
    let whole = file(&platform);
    platform.inner().archives().export(&"acme".parse().unwrap(), &whole).await.unwrap();
    let bytes = std::fs::read(&whole).unwrap();

    std::fs::write(&whole, &bytes[..bytes.len() / 2]).unwrap();
    assert!(refused(&platform).await.contains("not all of one"));

    let mut flipped = bytes.clone();
    flipped[120] ^= 0x10;
    std::fs::write(&whole, &flipped).unwrap();
    assert!(refused(&platform).await.contains("tables/1.jsonl"));

    type Change = fn(&mut Vec<(String, Vec<u8>)>);
    let cases: [(Change, &str); 6] = [
        (|it| in_manifest(it, "\"format\": 1", "\"format\": 9"), "of format 9"),
        (|it| it.push(("../../x".into(), vec![1])), "names no entry \"../../x\""),
        (|it| in_manifest(it, "\"sha256\": \"", "\"sha256\": \"0"), "its checksum"),
        (|it| in_manifest(it, "\"probe\"", "\"absent\""), "not served here"),
        (
            |it| {
                it.iter_mut().for_each(|(name, lines)| {
                    if name.starts_with("tables/") {
                        lines.resize(10_000_000, b'[');
                    }
                })
            },
            "it has more than",
        ),
        (|it| in_manifest(it, "\"checksum\": \"", "\"checksum\": \"00"), "is another one"),
    ];
    for (change, expected) in cases {
        std::fs::write(&whole, &bytes).unwrap();
        changed(&whole, change);
        let told = refused(&platform).await;
        assert!(told.contains(expected), "{told}");
    }
}

/// Keys in a circle, columns that are computed, rows that are numbered, and a trigger that would
/// remove what has just come.
#[tokio::test]
async fn what_tables_say_of_their_rows_holds_again_in_the_end() {
    let script = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/guests/probe/migrations/0001_things.up.sql"
    ));
    let (numbered, next) = match hostel_tests::superuser() {
        Some(_) => ("CREATE TABLE s(i int GENERATED ALWAYS AS IDENTITY,x int)", 4),
        // There, a row is numbered after the greatest that is there.
        None => (
            "CREATE TABLE s(i integer PRIMARY KEY,x int);\
             CREATE TRIGGER t AFTER INSERT ON b BEGIN DELETE FROM s;END",
            3,
        ),
    };
    let tables = format!(
        "CREATE TABLE b(id int PRIMARY KEY);\
         CREATE TABLE things(id int PRIMARY KEY,up int REFERENCES b,\
         twice int GENERATED ALWAYS AS(id*2)STORED);\
         ALTER TABLE b ADD up int REFERENCES things;{numbered}"
    );
    let probe = patched(probe(), script.unwrap().trim_end(), &tables);
    let platform = TestPlatform::setup().probe_is(&probe).start().await;
    let acme = platform.tenant("acme").await;
    for statement in [
        "INSERT INTO b (id) VALUES (1)",
        "INSERT INTO things (id, up) VALUES (1, 1)",
        "UPDATE b SET up = 1",
        "INSERT INTO s (x) VALUES (7), (8), (9)",
        "DELETE FROM s WHERE i = 3",
    ] {
        acme.execute(statement, json!([])).await.ok();
    }
    let archives = platform.inner().archives();
    archives.export(&"acme".parse().unwrap(), &file(&platform)).await.unwrap();
    archives.import(&file(&platform), Some("copy".parse().unwrap())).await.unwrap();
    let copy = platform.client("copy");
    is_served(&copy).await;
    let things = copy.query("SELECT id, up, twice FROM things", json!([])).await.ok();
    assert_eq!(things, json!([{ "id": 1, "up": 1, "twice": 2 }]));
    let numbers = copy.query("SELECT i, x FROM s ORDER BY i", json!([])).await.ok();
    assert_eq!(numbers, json!([{ "i": 1, "x": 7 }, { "i": 2, "x": 8 }]));
    copy.execute("INSERT INTO s (x) VALUES (10)", json!([])).await.ok();
    let newest = copy.query("SELECT max(i) AS i FROM s", json!([])).await.ok();
    assert_eq!(newest, json!([{ "i": next }]), "numbering goes on");
    let refused = copy.execute("INSERT INTO things (id, up) VALUES (2, 9)", json!([])).await;
    assert_ne!(refused.status(), 200, "keys are looked at again");
}
