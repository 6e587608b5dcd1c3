//! Seeds: rows to try things with, made by modules at the operator's word alone.

use std::collections::BTreeSet;
use std::path::Path;

use hostel::SeedWish;
use hostel_tests::{Client, TestPlatform};
use insta::assert_snapshot;
use serde_json::{Value, json};

/// The titles of all notes of a tenant that has at most a hundred.
async fn titles(tenant: &Client) -> BTreeSet<String> {
    let listed = tenant.get("/api/notes?limit=100").await.ok();
    let title = |note: &Value| note["title"].as_str().unwrap().to_owned();
    listed["items"].as_array().unwrap().iter().map(title).collect()
}

#[tokio::test]
async fn the_same_number_makes_the_same_rows_beside_a_platform_that_runs() {
    let platform = TestPlatform::start().await;
    let (acme, beta) = (platform.tenant("acme").await, platform.tenant("beta").await);
    let seed = async |tenant: &str, rows: &str, number: &str| {
        let wish = ["--tenant", tenant, "--rows", rows, "--number", number];
        let done = platform.run(&[&["seed", "notes"], wish.as_slice()].concat()).await;
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        assert!(done.stdout.starts_with("made `notes` of notes for "), "{}", done.stdout);
    };
    seed("acme", "40", "7").await;
    seed("beta", "40", "7").await;
    let of_acme = titles(&acme).await;
    assert_eq!(of_acme.len(), 40);
    assert_eq!(of_acme, titles(&beta).await);
    seed("beta", "20", "8").await;
    let of_both = titles(&beta).await;
    assert!(of_both.len() > 50 && of_both.is_superset(&of_acme), "{of_both:?}");
    // They are notes as any others.
    let newest = &acme.get("/api/notes?limit=1").await.ok()["items"][0];
    let path = format!("/api/notes/{}", newest["id"].as_str().unwrap());
    assert_eq!(acme.get(&path).await.ok()["version"], 1);
}

#[tokio::test]
async fn rows_come_from_files_all_or_none() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    let (csv, json) = (platform.data("notes.csv"), platform.data("notes.json"));
    let load = async |tenant: &str, file: &Path| {
        let file = file.to_str().unwrap();
        let done = platform.run(&["seed", "notes", "--tenant", tenant, "--from", file]).await;
        (done.code, done.stdout + &done.stderr.replace(file, "[file]"))
    };
    std::fs::write(
        &csv,
        "title,body,created_at\nMilk,Two bottles,2026-01-31T12:00:00Z\nBread,,noon\n",
    )
    .unwrap();
    assert_snapshot!("csv", load("acme", &csv).await.1);
    assert!(titles(&acme).await.is_empty());
    std::fs::write(&csv, "title,body\nMilk,Two bottles\nBread,\n").unwrap();
    let told = "added 2 rows to the tables of notes for acme\n".to_owned();
    assert_eq!(load("acme", &csv).await, (Some(0), told));
    assert_eq!(titles(&acme).await, ["Bread", "Milk"].map(str::to_owned).into());
    let milk = &acme.get("/api/notes?search=milk").await.ok()["items"][0];
    let path = format!("/api/notes/{}", milk["id"].as_str().unwrap());
    assert_eq!(acme.get(&path).await.ok()["version"], 1);

    let id = milk["id"].as_str().unwrap();
    let taken = json!([{ "title": "Tea", "body": "" }, { "id": id, "title": "Jam", "body": "" }]);
    std::fs::write(&json, taken.to_string()).unwrap();
    let (code, told) = load("acme", &json).await;
    assert_eq!(code, Some(1));
    assert!(told.contains("notes_pkey") || told.contains("notes.id"), "{told}");
    std::fs::write(&json, r#"{"title": "Tea", "colour": "red"}"#).unwrap();
    assert_snapshot!("json", load("acme", &json).await.1);
    let other = platform.data("absent.csv");
    std::fs::write(&other, "a\n1\n").unwrap();
    assert_snapshot!("absent", load("acme", &other).await.1);
    assert_eq!(titles(&acme).await.len(), 2);
}

#[tokio::test]
async fn a_program_makes_seeds_and_is_told_what_is_wrong() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    let seeds = platform.inner().seeds();
    let (module, seed) =
        seeds.list().into_iter().find(|(module, _)| module.as_str() == "notes").unwrap();
    assert_eq!(seed.summary, "Notes of the last month");
    let wish = SeedWish { rows: Some(3), number: 0 };
    seeds.make(&"acme".parse().unwrap(), &module, &seed.name, &wish).await.unwrap();
    assert_eq!(titles(&acme).await.len(), 3);

    let wrong = async |tenant: &str, module: &str, seed: &str| {
        let (tenant, module) = (tenant.parse().unwrap(), module.parse().unwrap());
        let error = seeds.make(&tenant, &module, seed, &wish).await.unwrap_err();
        format!("{}: {error}", error.code())
    };
    assert_snapshot!(
        [
            wrong("nobody", "notes", "notes").await,
            wrong("acme", "absent", "notes").await,
            wrong("acme", "notes", "absent").await,
            wrong("acme", "probe", "notes").await,
            wrong("acme", "probe", "refused").await,
        ]
        .join("\n")
    );
    assert_eq!(titles(&acme).await.len(), 3);
}

#[tokio::test]
async fn no_request_comes_to_a_seed() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    for path in ["/api/notes/seeds/notes", "/api/probe/refused", "/api/probe/seeds/refused"] {
        assert_eq!(acme.post(path, Value::Null).await.status(), 404, "{path}");
    }
    let described = acme.get("/openapi.json").await.text().to_owned();
    assert!(described.contains("List notes") && !described.contains("Notes of the last month"));
}
