//! `/api/tenants`: tenants over HTTP, for whoever runs the platform, and for nobody else.

use hostel::ModuleSource;
use hostel_tests::{Answer, Client, TestPlatform, eventually, tenants};
use insta::assert_snapshot;
use serde_json::{Value, json};

const TENANTS: &str = "/api/tenants";

/// A platform with the module, and one who runs it.
struct Operated {
    platform: TestPlatform,
    operator: Operator,
}

struct Operator {
    client: Client,
    token: String,
}

impl Operated {
    async fn start() -> Self {
        let config = "[plans.small.limits]\ncpu_ms = 500\n[dev]\nanonymous_grants = ['*']";
        let platform = TestPlatform::setup().config(config).with_tenants_module().start().await;
        let (client, token) = (platform.client("platform"), platform.operator_token());
        Self { platform, operator: Operator { client, token } }
    }
}

impl Operator {
    async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let path = format!("{TENANTS}{path}");
        let request = self.client.request(method, &path).bearer(&self.token);
        match body {
            Some(body) => request.json(&body).send().await,
            None => request.send().await,
        }
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, None).await
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.ask("POST", path, Some(body)).await
    }

    async fn patch(&self, path: &str, body: Value) -> Answer {
        self.ask("PATCH", path, Some(body)).await
    }
}

fn slugs(page: &Value) -> Vec<&str> {
    page["items"].as_array().unwrap().iter().map(|it| it["slug"].as_str().unwrap()).collect()
}

async fn answers(client: &Client, code: &str) {
    eventually(code, async || {
        let answer = client.get("/api/notes").await;
        (if answer.status() == 200 { code == "200" } else { answer.code() == code }).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_tenant_lives_over_http() {
    let Operated { platform, operator } = Operated::start().await;
    let made = operator.post("", json!({ "slug": "acme", "display_name": "Acme Ltd" })).await;
    assert_eq!(made.status(), 201);
    assert_eq!(made.header("location"), Some("/api/tenants/acme"));
    let acme = platform.client("acme");
    answers(&acme, "200").await;

    let changed = operator.patch("/acme", json!({ "plan": "small", "limits": { "cpu_ms": 100 } }));
    let changed = changed.await.ok();
    assert_eq!(
        (&changed["plan"], &changed["limits"]),
        (&json!("small"), &json!({ "cpu_ms": 100 }))
    );
    let renamed = operator.patch("/acme", json!({ "slug": "acme-2", "plan": null })).await.ok();
    assert_eq!((&renamed["slug"], &renamed["plan"]), (&json!("acme-2"), &Value::Null));
    assert_eq!(renamed["display_name"], "Acme Ltd");
    answers(&acme, "404 tenant-not-found").await;
    let acme = platform.client("acme-2");
    answers(&acme, "200").await;

    assert_eq!(operator.post("/acme-2/suspend", json!(null)).await.ok()["status"], "suspended");
    answers(&acme, "403 tenant-suspended").await;
    assert_eq!(operator.post("/acme-2/resume", json!(null)).await.ok()["status"], "active");
    answers(&acme, "200").await;

    let deleted = operator.ask("DELETE", "/acme-2", None).await.ok();
    assert_eq!(deleted["status"], "deleting");
    assert!(deleted["purge_at"].is_string());
    answers(&acme, "404 tenant-not-found").await;
    assert_eq!(operator.post("/acme-2/undelete", json!(null)).await.ok()["status"], "active");
    answers(&acme, "200").await;
    operator.ask("DELETE", "/acme-2", None).await.ok();
    assert_eq!(operator.post("/acme-2/purge", json!(null)).await.status(), 204);
    assert_eq!(operator.get("/acme-2").await.code(), "404 tenant-not-found");
}

#[tokio::test]
async fn tenants_are_listed_in_pages_and_by_what_they_are() {
    let Operated { platform: _platform, operator } = Operated::start().await;
    for (slug, plan) in [("one", None), ("two", Some("small")), ("three", Some("small"))] {
        let made = operator.post("", json!({ "slug": slug, "plan": plan })).await;
        assert_eq!(made.status(), 201);
    }
    operator.post("/two/suspend", json!(null)).await.ok();
    let all = operator.get("").await.ok();
    assert_eq!(slugs(&all), ["default", "one", "platform", "three", "two"]);
    let first = operator.get("?limit=2").await;
    assert!(first.header("link").unwrap().contains("cursor=one&limit=2"));
    assert_eq!(slugs(&operator.get("?limit=2&cursor=one").await.ok()), ["platform", "three"]);
    assert_eq!(slugs(&operator.get("?plan=small&limit=9").await.ok()), ["three", "two"]);
    assert_eq!(slugs(&operator.get("?status=suspended").await.ok()), ["two"]);
    assert_eq!(slugs(&operator.get("?name=T&plan=small").await.ok()), ["three", "two"]);
}

#[tokio::test]
async fn settings_and_secrets_are_a_tenants_own() {
    let Operated { platform, operator } = Operated::start().await;
    let acme = platform.tenant("acme").await;
    for title in ["first", "second"] {
        acme.post("/api/notes", json!({ "title": title })).await;
    }
    let set = operator.patch("/acme/settings/notes", json!({ "page-size": 1 })).await.ok();
    assert_eq!(set, json!({ "notes": { "page-size": 1 } }));
    eventually("pages are of one", async || {
        let page = acme.get("/api/notes").await.ok();
        (page["items"].as_array().unwrap().len() == 1).then_some(())
    })
    .await;
    let taken = operator.patch("/acme/settings/notes", json!({ "page-size": null })).await.ok();
    assert_eq!(taken, json!({}));

    let set = json!({ "value": "s3cret" });
    let answer = operator.ask("PUT", "/acme/secrets/PAY_KEY", Some(set)).await;
    assert_eq!(answer.status(), 204);
    let listed = operator.get("/acme/secrets").await;
    assert_eq!(listed.ok()[0]["name"], "PAY_KEY");
    assert!(!listed.text().contains("s3cret"));
    let read = acme.get("/api/probe/tenant-secret/PAY_KEY").await;
    assert!(read.text().contains("s3cret"), "{}", read.text());
    assert_eq!(operator.ask("DELETE", "/acme/secrets/PAY_KEY", None).await.status(), 204);
    assert_eq!(operator.get("/acme/secrets").await.ok(), json!([]));
}

#[tokio::test]
async fn what_cannot_be_is_told_by_field() {
    let Operated { platform: _platform, operator } = Operated::start().await;
    operator.post("", json!({ "slug": "acme" })).await;
    let mut told = String::new();
    let mut tell = |what: &str, answer: Answer| {
        assert!((400..500).contains(&answer.status()), "{what}: {}", answer.text());
        let problem: Value = serde_json::from_str(answer.text()).unwrap();
        let errors = problem.get("errors").filter(|errors| errors[0].is_object());
        let errors = errors.map(|errors| format!(" {}", errors[0])).unwrap_or_default();
        told += &format!("{what}: {} {}{errors}\n", answer.code(), problem["detail"]);
    };
    tell("no slug", operator.post("", json!({})).await);
    tell("slug that is none", operator.post("", json!({ "slug": "No Slug" })).await);
    tell("slug that is taken", operator.post("", json!({ "slug": "acme" })).await);
    tell("slug of the platform", operator.post("", json!({ "slug": "platform" })).await);
    tell("plan", operator.post("", json!({ "slug": "b", "plan": "large" })).await);
    tell("name", operator.patch("/acme", json!({ "display_name": "a\nb" })).await);
    tell("limit", operator.patch("/acme", json!({ "limits": { "cpu": 1 } })).await);
    tell("limit's value", operator.patch("/acme", json!({ "limits": { "cpu_ms": 0 } })).await);
    tell("nobody", operator.get("/nobody").await);
    tell("no slug in the path", operator.get("/No%20Slug").await);
    tell("cursor", operator.get("?cursor=No").await);
    tell("status", operator.get("?status=gone").await);
    tell("purge of one that is there", operator.post("/acme/purge", json!(null)).await);
    tell("undelete of one that is there", operator.post("/acme/undelete", json!(null)).await);
    tell("platform", operator.post("/platform/suspend", json!(null)).await);
    tell("module", operator.patch("/acme/settings/none", json!({ "a": 1 })).await);
    tell("setting", operator.patch("/acme/settings/notes", json!({ "page-size": 0 })).await);
    tell("secret", operator.ask("DELETE", "/acme/secrets/NONE", None).await);
    assert_snapshot!("mistakes", told);
}

#[tokio::test]
async fn nobody_but_an_operator_in_the_platforms_own_tenant_reaches_tenants() {
    let Operated { platform, operator } = Operated::start().await;
    let acme = platform.tenant("acme").await;
    // Others are not even served the module, whatever they hold.
    assert_eq!(acme.get(TENANTS).await.code(), "404 route-not-found");
    let elsewhere = Operator { client: acme, token: operator.token.clone() };
    assert_eq!(elsewhere.get("").await.code(), "401 invalid-credentials");
    // What everybody holds (here: everything) nobody does in the platform's own tenant.
    let anonymous = platform.client("platform");
    for path in ["", "/acme", "/acme/secrets"] {
        let answer = anonymous.get(&format!("{TENANTS}{path}")).await;
        assert_eq!(answer.code(), "401 unauthenticated", "{path}");
    }
    let guesser = Operator { client: anonymous, token: format!("{}x", operator.token) };
    assert_eq!(guesser.get("").await.code(), "401 invalid-credentials");
    // The operator is one to every module of that tenant.
    let who = operator.client.request("GET", "/api/probe/echo/who");
    let who = who.bearer(&operator.token).send().await;
    assert!(who.text().contains("operator"), "{}", who.text());
}

#[tokio::test]
async fn power_over_tenants_is_granted_by_its_name_alone() {
    let wasm = std::fs::read(tenants()).unwrap();
    let platform = TestPlatform::start().await;
    let install = async |platform: &TestPlatform| {
        platform.inner().install(ModuleSource::operator("tenants", wasm.clone())).await
    };
    let refused = install(&platform).await.unwrap_err().to_string();
    assert!(refused.contains("`tenancy/admin` is not granted"), "{refused}");
    let platform =
        TestPlatform::configured("[modules.grants]\noperator = ['*', 'tenancy/admin']").await;
    install(&platform).await.unwrap();
    let acme = platform.tenant("acme").await;
    assert_eq!(acme.get(TENANTS).await.code(), "404 route-not-found");
    let anonymous = platform.client("platform");
    assert_eq!(anonymous.get(TENANTS).await.code(), "401 unauthenticated");
}
