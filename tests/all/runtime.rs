//! Modules at work: instances, settings, compiled artefacts.

use std::path::PathBuf;

use futures_util::future::join_all;
use hostel_tests::{Client, TestPlatform, patched, probe};
use insta::assert_snapshot;
use serde_json::json;

async fn counter(client: &Client) -> u64 {
    client.get("/api/probe/counter").await.ok()["count"].as_u64().unwrap()
}

const REUSED: &str = "[modules.instances]\nprobe = 'reused'";

#[tokio::test]
async fn every_request_gets_an_instance_of_its_own() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    for _ in 0..3 {
        assert_eq!(counter(&acme).await, 1);
    }
}

#[tokio::test]
async fn a_reused_instance_stays_with_its_tenant() {
    let platform = TestPlatform::configured(REUSED).await;
    let (acme, beta) = (platform.tenant("acme").await, platform.tenant("beta").await);
    for round in 1..=5 {
        assert_eq!(counter(&acme).await, round);
    }
    assert_eq!(counter(&beta).await, 1, "what acme left is not beta's to see");
    assert_eq!(counter(&acme).await, 6);
}

#[tokio::test]
async fn a_reused_instance_is_dropped_after_a_trap_and_after_its_time() {
    let counter =
        async |client: &Client| client.get("/api/hostile/counter").await.ok()["count"].clone();
    let reused = "[modules.instances]\nhostile = 'reused'";
    let platform = TestPlatform::configured(reused).await;
    let acme = platform.tenant("acme").await;
    assert_eq!([counter(&acme).await, counter(&acme).await], [1, 2]);
    assert_eq!(acme.get("/api/hostile/panic").await.code(), "500 module-failed");
    assert_eq!(counter(&acme).await, 1);
    assert_eq!(acme.get("/api/hostile/alloc?mib=500").await.code(), "500 memory-limit");
    assert_eq!(counter(&acme).await, 1);

    let short = format!("{reused}\n[runtime]\nreused_calls_max = 2");
    let platform = TestPlatform::configured(&short).await;
    let acme = platform.tenant("acme").await;
    let counted = [counter(&acme).await, counter(&acme).await, counter(&acme).await];
    assert_eq!(counted, [1, 2, 1]);
}

#[tokio::test]
async fn requests_that_come_at_once_to_a_cold_platform_are_all_answered() {
    let platform = TestPlatform::setup().cold().start().await;
    let tenants = [platform.tenant("acme").await, platform.tenant("beta").await];
    let requests = tenants.iter().cycle().take(20).map(|tenant| {
        tenant.execute(
            "INSERT INTO things (id, name, amount) VALUES (randomblob(16), hex(randomblob(8)), 1)",
            json!([]),
        )
    });
    for answer in join_all(requests).await {
        assert_eq!(answer.ok()["changed"], 1);
    }
    for tenant in &tenants {
        let rows = tenant.query("SELECT count(*) AS n FROM things", json!([])).await.ok();
        assert_eq!(rows, json!([{ "n": 10 }]));
    }
}

#[tokio::test]
async fn a_setting_has_its_default_until_the_operator_says_another() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    assert_eq!(acme.get("/api/probe/settings/greeting").await.ok(), "hello");
    assert_eq!(acme.get("/api/probe/settings/limit").await.ok(), 10);
    assert_snapshot!(acme.get("/api/probe/settings/absent").await.problem());

    let platform = TestPlatform::configured("[settings.probe]\ngreeting = 'hi'\nlimit = 99").await;
    let acme = platform.tenant("acme").await;
    assert_eq!(acme.get("/api/probe/settings/greeting").await.ok(), "hi");
    assert_eq!(acme.get("/api/probe/settings/limit").await.ok(), 99);
}

#[tokio::test]
async fn a_setting_that_its_schema_forbids_is_refused_at_the_start() {
    let refusal = async |config: &str| match TestPlatform::setup().config(config).try_start().await
    {
        Ok(_) => panic!("started with {config}"),
        Err(error) => error.to_string(),
    };
    assert_snapshot!("too_much", refusal("[settings.probe]\nlimit = 101").await);
    assert_snapshot!("no_text", refusal("[settings.probe]\ngreeting = 7").await);
    assert_snapshot!("no_setting", refusal("[settings.probe]\nlimits = 7").await);
    assert_snapshot!("no_module", refusal("[settings.prove]\nlimit = 7").await);
    assert_snapshot!("no_instances", refusal("[modules.instances]\nprove = 'reused'").await);
    assert_snapshot!("no_grant", refusal("[modules.grants]\noperator = ['sqll']").await);
}

#[tokio::test]
async fn a_capability_that_is_not_granted_keeps_a_module_out() {
    let started = TestPlatform::setup().config("[modules.grants]\noperator = ['log']");
    let Err(error) = started.try_start().await else { panic!("it started") };
    let message = error.to_string();
    assert!(message.contains("is not granted to it"), "{message}");
    assert!(error.hint_text().unwrap().contains("[modules.grants]"));
}

#[tokio::test]
async fn what_the_probe_asks_for_works() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    let now = acme.get("/api/probe/clock").await.ok();
    assert!(now["micros"].as_i64().unwrap() > 1_700_000_000_000_000);
    let (one, two) =
        (acme.get("/api/probe/random/32").await, acme.get("/api/probe/random/32").await);
    assert_eq!((one.bytes().len(), two.bytes().len()), (32, 32));
    assert_ne!(one.bytes(), two.bytes());
    assert_eq!(acme.get("/api/probe/random/4294967295").await.status() / 100, 4);
}

/// The compiled modules of a data folder, and when each was written.
fn artefacts(platform: &TestPlatform) -> Vec<(PathBuf, std::time::SystemTime)> {
    let entries = std::fs::read_dir(platform.data("artefacts")).unwrap();
    let mut files: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "cwasm"))
        .map(|path| (path.clone(), path.metadata().unwrap().modified().unwrap()))
        .collect();
    files.sort();
    files
}

/// A file is never written in place: others may share it.
fn replace(path: &std::path::Path, content: &[u8]) {
    std::fs::remove_file(path).unwrap();
    std::fs::write(path, content).unwrap();
}

#[tokio::test]
async fn a_second_start_compiles_nothing() {
    let platform = TestPlatform::start().await;
    let before = artefacts(&platform);
    assert!(before.len() >= 2, "{before:?}");
    let platform = platform.stop().await.start().await;
    let acme = platform.tenant("acme").await;
    assert_eq!(counter(&acme).await, 1);
    assert_eq!(artefacts(&platform), before);
}

/// Calls every guest of which there is an artefact, which needs its code.
/// A platform that serves all of which the harness has artefacts.
async fn with_all_guests() -> TestPlatform {
    let tenants = std::fs::read(hostel_tests::tenants()).unwrap();
    TestPlatform::setup()
        .config("[dev]\nanonymous_grants = ['notes:*', 'bookings:*']")
        .built(move |builder| {
            let builder = builder.system_module("tenants", tenants.clone());
            builder.module_file(hostel_tests::bookings()).module_file(hostel_tests::library())
        })
        .start()
        .await
}

async fn call_all_guests(platform: &TestPlatform) {
    let acme = platform.client("acme");
    assert_eq!(acme.get("/api/bookings/rooms").await.status(), 200);
    assert_eq!(acme.get("/api/library/numbers").await.status(), 200);
    assert_eq!(counter(&acme).await, 1);
    assert_eq!(acme.get("/api/notes").await.status(), 200);
    assert_eq!(acme.get("/api/hostile/counter").await.status(), 200);
    let asked = platform.client("platform").request("GET", "/api/tenants");
    assert_eq!(asked.bearer(&platform.operator_token()).send().await.status(), 200);
}

#[tokio::test]
async fn an_artefact_that_was_tampered_with_is_compiled_again() {
    let mut platform = with_all_guests().await;
    for damage in [|content: &mut Vec<u8>| flip_a_byte(content), truncate, empty] {
        for extension in ["cwasm", "mac"] {
            let known = artefacts(&platform);
            for (path, _) in &known {
                let path = path.with_extension(extension);
                let mut content = std::fs::read(&path).unwrap();
                damage(&mut content);
                replace(&path, &content);
            }
            platform = platform.stop().await.start().await;
            let acme = platform.client("acme");
            if acme.get("/api/probe/counter").await.status() == 404 {
                platform.tenant("acme").await;
            }
            call_all_guests(&platform).await;
            for ((path, before), (_, after)) in known.iter().zip(artefacts(&platform)) {
                assert_ne!(*before, after, "{} was compiled again", path.display());
            }
        }
    }
}

fn flip_a_byte(content: &mut [u8]) {
    let middle = content.len() / 2;
    content[middle] ^= 1;
}

fn truncate(content: &mut Vec<u8>) {
    content.truncate(content.len() / 2);
}

fn empty(content: &mut Vec<u8>) {
    content.clear();
}

#[tokio::test]
async fn another_platforms_artefacts_are_not_trusted() {
    let platform = with_all_guests().await;
    let before = artefacts(&platform);
    let other_key = "11".repeat(32);
    let setup = platform.stop().await.config(&format!("[platform]\nkey = '{other_key}'"));
    let platform = setup.start().await;
    platform.tenant("acme").await;
    call_all_guests(&platform).await;
    for ((_, before), (_, after)) in before.iter().zip(artefacts(&platform)) {
        assert_ne!(*before, after);
    }
}

#[tokio::test]
async fn two_modules_of_one_name_are_refused() {
    let wasm = patched(probe(), "Shows what a guest sees", "Another one that does");
    let setup = TestPlatform::setup().probe_is(&wasm).config("[modules]\ndirectory = 'DIR'");
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(probe(), folder.path().join("probe.wasm")).unwrap();
    let directory = format!("[modules]\ndirectory = {:?}", folder.path());
    let Err(error) = setup.config(&directory).try_start().await else { panic!("it started") };
    assert_eq!(error.to_string(), "there are two modules named `probe`: remove one");
}
