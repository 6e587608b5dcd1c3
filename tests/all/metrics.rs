//! What operators see: `/metrics`, and accounts of usage.

use hostel_tests::{Answer, Client, Folder, PLATFORM_KEY, TestPlatform, eventually};
use serde_json::{Value, json};

async fn metrics(platform: &TestPlatform) -> Answer {
    platform.nobody().get("/metrics").await
}

#[tokio::test]
async fn metrics_tell_of_each_tenants_modules() {
    let platform = TestPlatform::configured("[limits]\ncpu_ms = 20").await;
    let (acme, other) = (platform.tenant("acme").await, platform.tenant("other").await);
    for _ in 0..3 {
        acme.get("/api/hostile/counter").await.ok();
    }
    assert_eq!(acme.get("/api/hostile/spin").await.code(), "504 cpu-limit");
    assert_eq!(acme.get("/api/hostile/problem?status=409&code=own").await.status(), 409);
    other.get("/api/probe/counter").await.ok();
    assert_eq!(other.get("/api/absent").await.status(), 404);

    let told = metrics(&platform).await;
    assert!(told.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    assert!(told.text().ends_with("# EOF\n"));
    let of_acme = ["tenant=\"acme\"", "module=\"hostile\""];
    let with = |labels: &[&'static str]| [&of_acme[..], labels].concat();
    assert_eq!(told.figure("hostel_requests_total", &with(&["status=\"200\"", "code=\"\""])), 3.0);
    let limited = with(&["status=\"504\"", "code=\"cpu-limit\""]);
    assert_eq!(told.figure("hostel_requests_total", &limited), 1.0);
    let own = with(&["status=\"409\"", "code=\"module\""]);
    assert_eq!(told.figure("hostel_requests_total", &own), 1.0);
    assert_eq!(told.figure("hostel_limit_hits_total", &with(&["limit=\"cpu-limit\""])), 1.0);
    assert_eq!(told.figure("hostel_request_seconds_count", &of_acme), 5.0);
    assert_eq!(told.figure("hostel_request_seconds_bucket", &with(&["le=\"+Inf\""])), 5.0);
    assert!(told.figure("hostel_cpu_seconds_total", &of_acme) >= 0.02);
    assert!(told.figure("hostel_memory_peak_bytes", &of_acme) >= 65_536.0);
    assert_eq!(told.figure("hostel_requests_total", &["tenant=\"other\"", "\"200\""]), 1.0);
    // What reached no module belongs to nobody.
    assert_eq!(told.figure("hostel_requests_total", &["_others", "route-not-found"]), 1.0);
    assert_eq!(told.figure("hostel_calls_running", &[]), 0.0);
    assert_eq!(told.figure("hostel_calls_max", &[]), 60.0);
}

#[tokio::test]
async fn tenants_beyond_the_series_that_are_shown_are_added_up() {
    let platform = TestPlatform::configured("[metrics]\nseries_max = 3").await;
    for slug in ["one", "two", "three"] {
        platform.tenant(slug).await.get("/api/probe/counter").await.ok();
    }
    let told = metrics(&platform).await;
    // Three series: the modules of the first tenant.
    assert_eq!(told.figure("hostel_requests_total", &["tenant=\"one\""]), 1.0);
    assert_eq!(told.figure("hostel_requests_total", &["tenant=\"_others\""]), 2.0);
    assert!(!told.text().contains("\"two\"") && !told.text().contains("\"three\""));
}

#[tokio::test]
async fn metrics_are_for_this_machine_and_for_operators() {
    let platform = TestPlatform::start().await;
    let nobody = platform.nobody();
    assert_eq!(nobody.get("/metrics").await.status(), 200);
    let forwarded = |token: Option<String>| {
        let request = nobody.request("GET", "/metrics").header("x-forwarded-for", "192.0.2.1");
        match token {
            Some(token) => request.bearer(&token).send(),
            None => request.send(),
        }
    };
    assert_eq!(forwarded(None).await.code(), "401 unauthenticated");
    let token = platform.operator_token();
    assert_eq!(forwarded(Some(token.clone())).await.status(), 200);
    let mut wrong = token;
    wrong.pop();
    for wrong in [wrong, String::new(), "hostel_op_AAAA".to_owned()] {
        assert_eq!(forwarded(Some(wrong)).await.code(), "401 invalid-credentials");
    }
}

async fn usage(platform: &TestPlatform, query: &str) -> Answer {
    let request = platform.nobody().request("GET", &format!("/platform/v1/usage{query}"));
    request.bearer(&platform.operator_token()).send().await
}

#[tokio::test]
async fn usage_is_exact_and_survives_a_restart() {
    let platform = TestPlatform::start().await;
    let (acme, other) = (platform.tenant("acme").await, platform.tenant("other").await);
    assert_eq!(platform.nobody().get("/platform/v1/usage").await.code(), "401 unauthenticated");
    acme.get("/api/hostile/counter").await.ok();
    assert_eq!(acme.get("/api/hostile/panic").await.status(), 500);
    other.get("/api/hostile/counter").await.ok();

    let told = usage(&platform, "").await.ok();
    let items = told["items"].as_array().unwrap();
    assert_eq!(items.len(), 2, "{told}");
    assert_eq!(told["next"], Value::Null);
    assert_eq!(
        [&items[0]["tenant"], &items[0]["module"], &items[0]["requests"], &items[0]["failures"]],
        [&json!("acme"), &json!("hostile"), &json!(2), &json!(1)]
    );
    assert!(items[0]["answer_bytes"].as_u64().unwrap() > 0);

    let first = usage(&platform, "?limit=1").await.ok();
    let next = first["next"].as_str().unwrap();
    let second = usage(&platform, &format!("?limit=1&after={next}")).await.ok();
    assert_eq!(second["items"][0]["tenant"], "other");
    assert_eq!(usage(&platform, "?to=2020-01-01").await.ok()["items"], json!([]));

    let platform = platform.stop().await.start().await;
    platform.client("acme").get("/api/hostile/counter").await.ok();
    let told = usage(&platform, "?tenant=acme").await.ok();
    assert_eq!(told["items"][0]["requests"], 3, "{told}");
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let platform = TestPlatform::start().await;
    for (query, code) in [
        ("?tenant=absent", "404 tenant-not-found"),
        ("?tenant=No+Slug", "400 invalid-query"),
        ("?day=2026-01-01", "400 invalid-query"),
        ("?from=yesterday", "400 invalid"),
        ("?limit=0", "400 invalid-query"),
        ("?after=x", "400 invalid-query"),
    ] {
        assert_eq!(usage(&platform, query).await.code(), code, "{query}");
    }
}

#[tokio::test]
async fn the_command_shows_what_was_used_and_the_token_works() {
    let folder = Folder::warm().await;
    folder.write("data/platform.key", PLATFORM_KEY);
    let mut hostel = folder.start(&["serve"]);
    assert_eq!(hostel.nobody().get("/api/notes").await.status(), 401);
    let token = folder.run(&["key", "operator-token"]).stdout;
    let asked = hostel.nobody();
    let asked = asked.request("GET", "/platform/v1/usage").bearer(token.trim());
    assert_eq!(asked.send().await.ok()["items"][0]["requests"], 1);
    hostel.terminate();
    assert_eq!(hostel.wait(), Some(0));
    let told = folder.run(&["tenant", "usage", "default", "--json"]).stdout;
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((&told[0]["module"], &told[0]["requests"]), (&json!("notes"), &json!(1)));
    assert!(folder.run(&["tenant", "usage"]).stdout.starts_with("day"));
    assert!(
        folder.run(&["tenant", "usage", "absent"]).stderr.contains("there is no tenant `absent`")
    );
}

/// A tenant's own limits and its plan's hold without a restart, and never widen the platform's.
#[tokio::test]
async fn the_tightest_limit_holds() {
    let config = "
        [limits]
        answer_max_bytes = 2097152
        [plans.small]
        weight = 2
        [plans.small.limits]
        answer_max_bytes = 1048576
        [plans.large.limits]
        answer_max_bytes = 10485760
    ";
    let platform = TestPlatform::configured(config).await;
    let acme = platform.tenant("acme").await;
    let fits = async |client: &Client, mib: u32| {
        client.get(&format!("/api/hostile/huge?mib={mib}")).await.status() == 200
    };
    assert!(fits(&acme, 2).await && !fits(&acme, 3).await);
    let change = |change| platform.change("acme", change);
    change(json!({ "plan": "small" })).await.unwrap();
    eventually("the plan holds", async || (!fits(&acme, 2).await).then_some(())).await;
    assert!(fits(&acme, 1).await);
    change(json!({ "plan": "large" })).await.unwrap();
    eventually("the other plan holds", async || fits(&acme, 2).await.then_some(())).await;
    assert!(!fits(&acme, 3).await, "a plan does not widen what the platform allows");
    change(json!({ "limits": { "answer_max_bytes": 1024 } })).await.unwrap();
    eventually("its own limit holds", async || (!fits(&acme, 1).await).then_some(())).await;
    let unknown = change(json!({ "plan": "huge" })).await.unwrap_err();
    assert_eq!(
        unknown.to_string(),
        "there is no plan `huge` in the configuration: there are large, small"
    );
    let without = platform.stop().await.without("plans").try_start().await;
    let refused = without.err().expect("a plan that tenants are on is missing").to_string();
    assert!(refused.contains("tenants are on plan `large`"), "{refused}");
}

#[tokio::test]
async fn a_tenants_minute_of_cpu_is_its_own() {
    let platform =
        TestPlatform::configured("[limits]\ncpu_ms = 60\ntenant_minute_cpu_ms = 100").await;
    let (greedy, modest) = (platform.tenant("greedy").await, platform.tenant("modest").await);
    assert_eq!(greedy.get("/api/hostile/spin").await.code(), "504 cpu-limit");
    assert_eq!(greedy.get("/api/hostile/spin").await.code(), "429 tenant-cpu-limit");
    let refused = greedy.get("/api/probe/counter").await;
    assert_eq!(refused.code(), "429 tenant-cpu-limit");
    let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds));
    modest.get("/api/probe/counter").await.ok();
}
