//! Entities: types, constraints, versions, deletion, what is written and what clients say. `library`
//! is the guest; `entities_queries` asks it.

use hostel_tests::{Answer, Client, TestPlatform, library, probe};
use serde_json::{Value, json};

/// A library of a tenant of its own.
pub(crate) async fn start() -> (TestPlatform, Client) {
    let platform =
        TestPlatform::setup().built(|builder| builder.module_file(library())).start().await;
    let acme = platform.tenant("acme").await;
    (platform, acme)
}

pub(crate) fn api(path: impl AsRef<str>) -> String {
    format!("/api/library/{}", path.as_ref())
}

pub(crate) fn id(made: &Value) -> String {
    made["id"].as_str().unwrap().to_owned()
}

pub(crate) fn book(title: &str, pages: u32) -> Value {
    json!({ "title": title, "pages": pages, "price": "9.95" })
}

pub(crate) async fn add(client: &Client, what: &str, draft: Value) -> Value {
    client.post(&api(what), draft).await.ok()
}

fn pointers(answer: &Answer) -> Vec<String> {
    let document = answer.json();
    let errors = document["errors"].as_array().cloned().unwrap_or_default();
    errors.iter().map(|it| it["pointer"].as_str().unwrap().to_owned()).collect()
}

async fn send(client: &Client, method: &str, path: &str, body: Value) -> Answer {
    client.request(method, &api(path)).json(&body).send().await
}

#[tokio::test]
async fn every_type_is_read_as_it_was_written() {
    let (_platform, acme) = start().await;
    let author =
        add(&acme, "authors", json!({ "name": "Jane Austen", "born": "1775-12-16" })).await;
    let made = add(
        &acme,
        "books",
        json!({
            "author": author["id"],
            "title": "Emma",
            "summary": "Größe, \"quotes\" and 'others'\nin two lines",
            "pages": 474,
            "price": "12.5",
            "weight": 0.25,
            "details": { "languages": ["en", "fr"] },
            "published_on": "1815-12-23",
        }),
    )
    .await;
    assert_eq!(made["status"], "in_print");
    assert_eq!((&made["version"], &made["is_lent"]), (&json!(1), &json!(false)));
    assert_eq!(made["created_at"], made["updated_at"]);
    assert_eq!(made["published_on"], "1815-12-23");
    assert_eq!(made["details"], json!({ "languages": ["en", "fr"] }));
    let read = acme.get(&api(format!("books/{}", id(&made)))).await.ok();
    assert_eq!(read, made);
    assert_eq!(
        acme.get(&api("books/018bcfe5-6800-7000-8000-000000000000")).await.code(),
        "404 not-found"
    );
}

#[tokio::test]
async fn what_the_database_refuses_names_its_fields() {
    let (_platform, acme) = start().await;
    let author = add(&acme, "authors", json!({ "name": "Jane Austen" })).await;
    let again = acme.post(&api("authors"), json!({ "name": "Jane Austen" })).await;
    assert_eq!((again.code().as_str(), pointers(&again)), ("409 not-unique", vec!["/name".into()]));
    assert_eq!(again.json()["detail"], "another author has the same");

    let mut emma = book("Emma", 474);
    emma["author"] = author["id"].clone();
    let made = add(&acme, "books", emma.clone()).await;
    let twice = acme.post(&api("books"), emma.clone()).await;
    assert_eq!(twice.code(), "409 not-unique");
    assert_eq!(pointers(&twice), ["/author", "/title"]);

    emma["title"] = json!("Persuasion");
    emma["price"] = json!("-1");
    let cheap = acme.post(&api("books"), emma.clone()).await;
    assert_eq!(
        (cheap.code().as_str(), pointers(&cheap)),
        ("422 invalid-fields", vec!["/price".into()])
    );

    emma["price"] = json!("1");
    emma["author"] = json!("018bcfe5-6800-7000-8000-000000000000");
    let unknown = acme.post(&api("books"), emma).await;
    assert_eq!(unknown.code(), "422 invalid-fields");
    assert_eq!(pointers(&unknown), ["/author"]);

    acme.post(&api(format!("books/{}/loans", id(&made))), json!("Ada")).await.ok();
    acme.request("DELETE", &api(format!("books/{}", id(&made)))).send().await.ok();
    // It is deleted softly, and somebody has it still.
    assert_eq!(acme.request("DELETE", &api("deleted")).send().await.code(), "409 in-use");
}

#[tokio::test]
async fn a_change_that_somebody_else_was_quicker_with_is_refused() {
    let (_platform, acme) = start().await;
    let made = add(&acme, "books", book("Emma", 474)).await;
    let path = format!("books/{}", id(&made));
    let changed = send(&acme, "PATCH", &path, json!({ "pages": 475, "version": 1 })).await.ok();
    assert_eq!((&changed["pages"], &changed["version"]), (&json!(475), &json!(2)));
    assert_eq!((&changed["title"], &changed["price"]), (&json!("Emma"), &made["price"]));
    assert_ne!(changed["updated_at"], changed["created_at"]);
    let late = send(&acme, "PATCH", &path, json!({ "pages": 1, "version": 1 })).await;
    assert_eq!(late.code(), "409 version-conflict");
    assert_eq!(
        late.json()["detail"],
        "somebody changed this book since it was read: read it again"
    );
    let unseen = send(&acme, "PATCH", &path, json!({ "title": "Emma, again" })).await.ok();
    assert_eq!(unseen["version"], 3);

    let stale = send(&acme, "PUT", &format!("{path}/stale"), json!(null)).await;
    assert_eq!(stale.code(), "409 version-conflict");
    let read = acme.get(&api(&path)).await.ok();
    assert_eq!(
        (&read["pages"], &read["is_lent"], &read["version"]),
        (&json!(7), &json!(false), &json!(4))
    );

    let nowhere = "books/018bcfe5-6800-7000-8000-000000000000";
    assert_eq!(send(&acme, "PATCH", nowhere, json!({ "pages": 1 })).await.code(), "404 not-found");
}

#[tokio::test]
async fn what_is_deleted_softly_can_be_taken_back() {
    let (_platform, acme) = start().await;
    let made = add(&acme, "books", book("Emma", 474)).await;
    let path = format!("books/{}", id(&made));
    let delete = async || acme.request("DELETE", &api(&path)).send().await;
    assert_eq!(delete().await.status(), 204);
    assert_eq!(acme.get(&api(&path)).await.code(), "404 not-found");
    assert_eq!(acme.get(&api("books")).await.ok()["items"], json!([]));
    assert_eq!(delete().await.code(), "404 not-found");
    assert_eq!(send(&acme, "PATCH", &path, json!({ "pages": 1 })).await.code(), "404 not-found");

    let restored = acme.post(&api(format!("{path}/restored")), json!(null)).await.ok();
    assert_eq!((&restored["title"], &restored["version"]), (&json!("Emma"), &json!(3)));
    let again = acme.post(&api(format!("{path}/restored")), json!(null)).await;
    assert_eq!(again.code(), "404 not-found");

    delete().await.ok();
    let gone = acme.request("DELETE", &api("deleted")).send().await.ok();
    assert_eq!(gone, json!({ "titles": ["Emma"], "all": 1, "gone": 1 }));
    let gone = acme.request("DELETE", &api("deleted")).send().await.ok();
    assert_eq!(gone, json!({ "titles": [], "all": 0, "gone": 0 }));
}

#[tokio::test]
async fn a_row_is_added_or_becomes_what_is_said() {
    let (_platform, acme) = start().await;
    let set = async |name: &str, uses: u32| acme.post(&api("tags"), json!([name, uses])).await.ok();
    assert_eq!(set("classic", 1).await, json!({ "name": "classic", "uses": 1 }));
    assert_eq!(set("classic", 5).await, json!({ "name": "classic", "uses": 5 }));
    assert_eq!(set("novel", 2).await["uses"], 2);
    let made = add(&acme, "books", book("Emma", 474)).await;
    let path = api(format!("books/{}/cover", id(&made)));
    for colour in ["red", "blue"] {
        assert_eq!(acme.post(&path, json!(colour)).await.ok()["colour"], colour);
    }
}

#[tokio::test]
async fn ten_thousand_rows_are_added_in_one_call() {
    let (_platform, acme) = start().await;
    assert_eq!(acme.post(&api("bulk?count=10000"), json!(null)).await.ok(), 10_000);
    let counted = acme.get(&api("books?count=true&limit=1")).await.ok();
    assert_eq!(counted["total"], 10_000);
    // The ids are the same: all or none.
    let again = acme.post(&api("bulk?count=20000"), json!(null)).await;
    assert_eq!((again.code().as_str(), pointers(&again)), ("409 not-unique", vec!["/id".into()]));
    assert_eq!(acme.get(&api("books?count=true&limit=1")).await.ok()["total"], 10_000);
    assert_eq!(acme.request("DELETE", &api("drafts")).send().await.ok(), 10_000);
    assert_eq!(acme.get(&api("books?count=true")).await.ok()["total"], 0);
}

#[tokio::test]
async fn many_rows_are_changed_by_what_they_have_in_common() {
    let (_platform, acme) = start().await;
    for (title, pages) in [("Emma", 474), ("Ulysses", 730), ("Pamphlet", 12)] {
        add(&acme, "books", book(title, pages)).await;
    }
    let told = acme.post(&api("sale"), json!(null)).await.ok();
    assert_eq!(told["cheaper"], 2);
    let first = &told["first"][0];
    assert_eq!((&first["title"], &first["is_lent"]), (&json!("Emma"), &json!(true)));
    assert_eq!((&first["price"], &first["version"]), (&json!("8.95"), &json!(3)));
    let lent = acme.get(&api("filtered/both")).await.ok();
    assert_eq!(lent, json!(["Ulysses"]));
}

#[tokio::test]
async fn a_unit_of_work_is_whole_or_not_at_all() {
    let (_platform, acme) = start().await;
    let mut dear = book("Emma", 474);
    dear["price"] = json!("20");
    let (one, other) =
        (add(&acme, "books", dear).await, add(&acme, "books", book("Ulysses", 730)).await);
    let swapped = acme.post(&api("swap"), json!([one["id"], other["id"]])).await.ok();
    assert_eq!((&swapped[0]["price"], &swapped[1]["price"]), (&json!("9.95"), &json!("20")));
    let nowhere = "018bcfe5-6800-7000-8000-000000000000";
    assert_eq!(acme.post(&api("swap"), json!([one["id"], nowhere])).await.code(), "404 not-found");

    let path = api(format!("books/{}/tags", id(&one)));
    acme.post(&path, json!(["novel", "classic"])).await.ok();
    // The same twice is none: what was there before stays.
    assert_eq!(acme.post(&path, json!(["new", "new"])).await.code(), "409 not-unique");
    let books = acme.get(&api("relations")).await.ok();
    let tags: Vec<_> = books[0]["tags"].as_array().unwrap().iter().map(|it| &it["name"]).collect();
    assert_eq!(tags, ["novel", "classic"]);
}

#[tokio::test]
async fn what_refers_to_a_row_that_goes_does_what_it_says() {
    let (_platform, acme) = start().await;
    let author = add(&acme, "authors", json!({ "name": "Jane Austen" })).await;
    let mut emma = book("Emma", 474);
    emma["author"] = author["id"].clone();
    let made = add(&acme, "books", emma).await;
    acme.request("DELETE", &api(format!("authors/{}", id(&author)))).send().await.ok();
    let read = acme.get(&api(format!("books/{}", id(&made)))).await.ok();
    assert_eq!(read["author"], Value::Null);
}

#[tokio::test]
async fn tenants_have_rows_of_their_own() {
    let (platform, acme) = start().await;
    let beta = platform.tenant("beta").await;
    let made = add(&acme, "books", book("Emma", 474)).await;
    assert_eq!(beta.get(&api(format!("books/{}", id(&made)))).await.code(), "404 not-found");
    assert_eq!(beta.get(&api("books?count=true")).await.ok()["total"], 0);
}

/// Names of functions are left in modules, for backtraces.
fn holds(module: &std::path::Path, text: &str) -> bool {
    let wasm = std::fs::read(module).unwrap();
    wasm.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn a_module_that_asks_for_no_rows_of_entities_has_no_query_builder_in_it() {
    assert!(holds(library(), "sea_query"), "the names are as they are thought to be");
    assert!(!holds(probe(), "sea_query"));
}

/// The text of a block of code without what differs between a guide and a file.
fn plain(code: &str) -> String {
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ").replace("pub(crate) ", "")
}

#[test]
fn every_example_of_the_guide_is_code_that_these_tests_run() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let guide = std::fs::read_to_string(root.join("docs/data.md")).unwrap();
    let mut sources = String::new();
    for entry in std::fs::read_dir(root.join("tests/guests/library/src")).unwrap() {
        sources += &std::fs::read_to_string(entry.unwrap().path()).unwrap();
    }
    for entry in std::fs::read_dir(root.join("tests/guests/library/migrations")).unwrap() {
        sources += &std::fs::read_to_string(entry.unwrap().path()).unwrap();
    }
    let sources = plain(&sources);
    let blocks = guide.split("```").skip(1).step_by(2);
    let (mut found, mut strange) = (0, Vec::new());
    for block in blocks {
        let (language, code) = block.split_once('\n').unwrap();
        if !["rust", "sql"].contains(&language) {
            continue;
        }
        found += 1;
        // What is left out of an example stands between these.
        let is_there = code.split("// …\n").all(|part| sources.contains(&plain(part)));
        if !is_there {
            strange.push(code.to_owned());
        }
    }
    assert!(found > 10, "the guide is written in another way");
    assert!(strange.is_empty(), "nothing runs these:\n{}", strange.join("\n---\n"));
}
