//! Migrations of many tenants that are cut short: each tenant is before a step or after it, and
//! whoever begins again gets to the end.

use std::process::{Command, Stdio};
use std::time::Instant;

use hostel::{MigrationScope, ModuleTables};
use hostel_tests::{TestPlatform, hostile_with_migrations, reversible};
use serde_json::json;

use super::crash_tenants::{ended, kills, moment};

/// Few, as one of many tests; those that the requirement names where somebody asks for as many kills.
fn tenants() -> u32 {
    if kills() >= 100 { 200 } else { 12 }
}

fn module(with_second: bool) -> Vec<u8> {
    let first =
        reversible("CREATE TABLE pots (id integer PRIMARY KEY, name text)", "DROP TABLE pots");
    let second = reversible(
        "ALTER TABLE pots ADD COLUMN size integer; CREATE INDEX pots_by_size ON pots (size)",
        "DROP INDEX pots_by_size; ALTER TABLE pots DROP COLUMN size",
    );
    let steps = [first.as_str(), second.as_str()];
    hostile_with_migrations(steps.into_iter().take(if with_second { 2 } else { 1 }))
}

fn scope() -> MigrationScope {
    MigrationScope {
        modules: vec!["hostile".parse().unwrap()],
        used_only: true,
        ..MigrationScope::default()
    }
}

/// How many tenants have the second step; each has all of it or nothing.
async fn with_second(platform: &TestPlatform) -> u32 {
    let mut all: Vec<ModuleTables> = Vec::new();
    platform.inner().migrations().status(&scope(), |tables| all.push(tables)).await.unwrap();
    assert_eq!(u32::try_from(all.len()).unwrap(), tenants());
    let mut with_second = 0;
    for tables in all {
        let slug = tables.tenant.as_str();
        let applied: Vec<&str> = tables.applied.iter().map(|step| step.id.as_str()).collect();
        let client = platform.client(slug);
        let column = client.query("SELECT size FROM pots", json!([])).await;
        match applied.as_slice() {
            ["0000"] => {
                assert_eq!(column.status(), 422, "{slug} has a part of it: {}", column.text());
            }
            ["0000", "0001"] => {
                column.ok();
                with_second += 1;
            }
            other => panic!("{slug}: {other:?}"),
        }
        // Whoever is served meanwhile has what was there before.
        let name = client.query("SELECT name FROM pots", json!([])).await.ok();
        assert_eq!(name, json!([{ "name": slug }]));
    }
    with_second
}

fn command(platform: &TestPlatform, direction: &[&str]) -> Command {
    let common = ["--module", "hostile", "--used", "--with", "next.wasm"];
    let mut command = platform.command(&[&["migrate"], direction, common.as_slice()].concat());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_it_migrates_tenants_each_is_before_a_step_or_after_it() {
    let platform = TestPlatform::setup().hostile_is(&module(false)).start().await;
    std::fs::write(platform.data("next.wasm"), module(true)).unwrap();
    for nth in 0..tenants() {
        let slug = format!("tenant-{nth}");
        let client = platform.tenant(&slug).await;
        client.get("/api/hostile/counter").await.ok();
        let insert = "INSERT INTO pots (id, name) VALUES (1, $1)";
        client.execute(insert, json!([slug])).await.ok();
    }
    let (mut spans, mut cut_short) = ([None, None], 0);
    for nth in 0..kills() + 2 {
        // Forward and back in turn.
        let (direction, expected): (&[&str], u32) = match nth % 2 {
            0 => (&["up"], tenants()),
            _ => (&["down", "--to", "0000", "--yes"], 0),
        };
        let started = Instant::now();
        let mut child = command(&platform, direction).spawn().unwrap();
        let span = &mut spans[(nth % 2) as usize];
        if let Some(span) = *span {
            tokio::time::sleep(moment(nth - 2, span)).await;
            child.kill().unwrap();
            ended(child).await;
            let with_second = with_second(&platform).await;
            cut_short += u32::from(with_second != 0 && with_second != tenants());
            let again = command(&platform, direction).spawn().unwrap();
            assert!(ended(again).await.success());
        } else {
            assert!(ended(child).await.success());
            *span = Some(started.elapsed());
        }
        assert_eq!(with_second(&platform).await, expected, "begun again, it gets to the end");
    }
    println!("{} kills, {cut_short} in the middle of the tenants", kills());
}
