//! Notes, as their clients meet them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails, and says where")]

use hostel_sdk::testing::{Answer, App, RunningApp, Value, json};
use serde::Deserialize;

fn notes() -> RunningApp {
    App::new().granting("notes:*").start()
}

/// Makes a note; gives its path.
fn note(app: &RunningApp, title: &str) -> String {
    let made = app.post("/").json(&json!({ "title": title })).expect(201).json();
    format!("/{}", made["id"].as_str().unwrap())
}

fn titles(list: &Answer<'_>) -> Vec<String> {
    let list = list.json();
    let title = |note: &Value| note["title"].as_str().unwrap().to_owned();
    list["items"].as_array().unwrap().iter().map(title).collect()
}

#[test]
fn a_note_can_be_read_where_its_location_says() {
    #[derive(Deserialize)]
    struct Note {
        title: String,
        body: String,
        version: u32,
    }
    let app = notes();
    let made = app.post("/").json(&json!({ "title": " Milk ", "body": "two" })).expect(201);
    let id = made.json()["id"].as_str().unwrap().to_owned();
    let location = made.header("location").unwrap();
    assert!(app.url(&format!("/{id}")).ends_with(location), "{location}");
    let note: Note = app.get(&format!("/{id}")).expect(200).json_as();
    assert_eq!((note.title.as_str(), note.body.as_str(), note.version), ("Milk", "two", 1));
}

#[test]
fn a_note_looks_like_this() {
    let app = notes();
    let made = app.post("/").json(&json!({ "title": "Milk" })).expect(201);
    insta::assert_snapshot!(made.snapshot(), @r#"
    201 Created
    location: /api/notes/[uuid]

    {
      "body": "",
      "created_at": "[time]",
      "id": "[uuid]",
      "title": "Milk",
      "updated_at": "[time]",
      "version": 1
    }
    "#);
}

#[test]
fn a_draft_that_cannot_be_a_note_is_told_its_fields() {
    let app = notes();
    for (draft, wrong) in [
        (json!({}), &["/title"][..]),
        (json!({ "title": "  " }), &["/title"]),
        (json!({ "title": "two\nlines" }), &["/title"]),
        (json!({ "title": "a".repeat(201) }), &["/title"]),
        (json!({ "title": "fine", "body": "a".repeat(10_001) }), &["/body"]),
        (json!({ "title": "fine", "colour": "red" }), &["/colour"]),
        (
            json!({ "body": 1, "colour": "red", "version": -1 }),
            &["/body", "/colour", "/title", "/version"],
        ),
    ] {
        app.post("/").json(&draft).expect_invalid(wrong);
    }
    assert_eq!(app.rows("SELECT title FROM notes"), [Value::Null; 0]);
}

#[test]
fn a_change_by_who_has_not_seen_the_last_one_is_refused() {
    let app = notes();
    let path = note(&app, "First");
    app.put(&path).json(&json!({ "title": "Second", "version": 1 })).expect(200);
    let late = json!({ "title": "Late", "version": 1 });
    app.put(&path).json(&late).expect_problem(409, "version-conflict");
    let unseen = app.put(&path).json(&json!({ "title": "Third" })).expect(200).json();
    assert_eq!((&unseen["title"], &unseen["version"]), (&json!("Third"), &json!(3)));
}

#[test]
fn a_note_that_was_deleted_is_gone() {
    let app = notes();
    let path = note(&app, "Brief");
    app.delete(&path).expect(204);
    app.get(&path).expect_problem(404, "not-found");
    app.delete(&path).expect_problem(404, "not-found");
    app.put(&path).json(&json!({ "title": "Again" })).expect_problem(404, "not-found");
}

#[test]
fn pages_begin_with_the_newest_and_end() {
    let app = App::new().granting("notes:*").setting("page-size", 2).start();
    for title in ["one", "two", "three"] {
        note(&app, title);
    }
    let first = app.get("/").expect(200);
    assert_eq!(titles(&first), ["three", "two"]);
    let link = first.header("link").unwrap();
    let (_, query) = link.split_once('?').unwrap();
    let (query, _) = query.split_once('>').unwrap();
    let second = app.get(&format!("/?{query}")).expect(200);
    assert_eq!(titles(&second), ["one"]);
    assert_eq!((second.header("link"), &second.json()["next"]), (None, &Value::Null));
    assert_eq!(titles(&app.get("/").query("limit", 1).expect(200)), ["three"]);
}

#[test]
fn every_note_is_on_one_page() {
    let app = notes();
    app.sql_file("tests/hundred_notes.sql");
    let (mut all, mut next) = (Vec::new(), "limit=30".to_owned());
    loop {
        let page = app.get(&format!("/?{next}")).expect(200);
        all.extend(titles(&page));
        let Some(cursor) = page.json()["next"].as_str().map(ToOwned::to_owned) else { break };
        next = format!("limit=30&cursor={cursor}");
    }
    let expected: Vec<_> = (1..=100).rev().map(|n| format!("Note {n}")).collect();
    assert_eq!(all, expected);
}

#[test]
fn notes_are_searched_sorted_and_counted() {
    let app = notes();
    for (title, body) in [("Milk", "Two bottles"), ("Bread", "With milk"), ("Soap", "")] {
        app.post("/").json(&json!({ "title": title, "body": body })).expect(201);
    }
    let listed = |query: &str| titles(&app.get(&format!("/?{query}")).expect(200));
    assert_eq!(listed("search=MILK"), ["Bread", "Milk"]);
    assert_eq!(listed("search=milk+bot"), ["Milk"]);
    assert_eq!(listed("sort=title"), ["Bread", "Milk", "Soap"]);
    assert_eq!(listed("sort=-title&limit=1"), ["Soap"]);
    let counted = app.get("/?count=true&limit=1&search=milk").expect(200).json();
    assert_eq!((&counted["total"], counted["items"].as_array().unwrap().len()), (&json!(2), 1));
    app.get("/?body=milk&sort=body&count=yes").expect_invalid(&[
        "query/body",
        "query/sort",
        "query/count",
    ]);
}

#[test]
fn pages_of_what_is_sorted_have_every_note_once() {
    let app = App::new().granting("notes:*").clock("2026-01-01T09:00:00Z").start();
    for number in 0..10 {
        note(&app, &format!("Note {}", number % 3));
    }
    let (mut all, mut next) = (Vec::new(), "limit=3".to_owned());
    loop {
        let page = app.get(&format!("/?sort=title,created_at&{next}")).expect(200);
        all.extend(titles(&page));
        note(&app, "Meanwhile");
        let Some(cursor) = page.json()["next"].as_str().map(ToOwned::to_owned) else { break };
        next = format!("limit=3&cursor={cursor}");
        app.get(&format!("/?sort=title&{next}")).expect_invalid(&["query/cursor"]);
    }
    all.retain(|title| title != "Meanwhile");
    let expected: Vec<_> = [(0, 4), (1, 3), (2, 3)]
        .iter()
        .flat_map(|(number, times)| vec![format!("Note {number}"); *times])
        .collect();
    assert_eq!(all, expected);
}

#[test]
fn a_note_knows_when_it_was_made_and_changed() {
    let app = App::new().granting("notes:*").clock("2026-01-01T09:00:00Z").start();
    let path = note(&app, "First");
    app.clock().set("2026-02-01T09:00:00Z");
    let note = app.put(&path).json(&json!({ "title": "Second" })).expect(200).json();
    assert_eq!(note["created_at"], "2026-01-01T09:00:00Z");
    assert_eq!(note["updated_at"], "2026-02-01T09:00:00Z");
}

#[test]
fn readers_do_not_write() {
    let app = App::new().start();
    let (reader, draft) = (app.user("rita").granting("notes:read"), json!({ "title": "No" }));
    reader.get("/").expect(200);
    reader.post("/").json(&draft).expect_problem(403, "denied");
    app.post("/").json(&draft).expect_problem(401, "unauthenticated");
}

#[test]
fn tenants_do_not_see_each_others_notes() {
    let (one, other) = (notes(), notes());
    let path = note(&one, "Mine");
    other.get(&path).expect_problem(404, "not-found");
    assert_eq!(titles(&other.get("/").expect(200)), [""; 0]);
}

#[test]
fn seeds_are_notes_like_any_others() {
    let app = notes();
    app.seed("notes", 30);
    let list = app.get("/").query("limit", 100).expect(200);
    let made_up = titles(&list);
    assert_eq!(made_up.len(), 30);
    let found = app.get("/").query("search", &made_up[0]).query("limit", 100).expect(200);
    assert!(titles(&found).contains(&made_up[0]), "{:?}", titles(&found));
}
