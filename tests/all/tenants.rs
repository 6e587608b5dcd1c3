//! A tenant's life: made, renamed, suspended, deleted, taken back and removed; its own settings and
//! secrets.

use std::collections::BTreeMap;

use hostel::{ModuleName, Secret, TenantChange, TenantQuery, TenantSlug, TenantStatus, Tenants};
use hostel_tests::{Client, TestPlatform, eventually};
use serde_json::json;

const INSERT: &str = "INSERT INTO things (id, name, amount) VALUES (randomblob(16), $1, 1)";

fn slug(name: &str) -> TenantSlug {
    name.parse().unwrap()
}

async fn becomes(client: &Client, code: &str) {
    eventually(code, async || {
        let answer = client.get("/api/probe/counter").await;
        (answer.status() != 200 && answer.code() == code).then_some(())
    })
    .await;
}

async fn is_served(client: &Client) {
    eventually("it is served", async || {
        (client.get("/api/probe/counter").await.status() == 200).then_some(())
    })
    .await;
}

async fn slugs(tenants: &Tenants, query: TenantQuery) -> Vec<String> {
    let found = tenants.list(&query).await.unwrap();
    found.iter().map(|tenant| tenant.slug.to_string()).collect()
}

#[tokio::test]
async fn a_suspended_tenant_is_refused_and_comes_back_with_its_rows() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    acme.execute(INSERT, json!(["kept"])).await.ok();
    let tenants = platform.inner().tenants();
    tenants.suspend(&slug("acme")).await.unwrap();
    becomes(&acme, "403 tenant-suspended").await;
    tenants.resume(&slug("acme")).await.unwrap();
    is_served(&acme).await;
    let rows = acme.query("SELECT name FROM things", json!([])).await.ok();
    assert_eq!(rows, json!([{ "name": "kept" }]));
}

#[tokio::test]
async fn a_renamed_tenant_keeps_everything_but_its_slug() {
    let platform = TestPlatform::start().await;
    let (acme, other) = (platform.tenant("acme").await, platform.tenant("other").await);
    acme.execute(INSERT, json!(["kept"])).await.ok();
    other.get("/api/probe/counter").await.ok();
    let tenants = platform.inner().tenants();
    let rename = |new: &str| TenantChange { slug: Some(slug(new)), ..TenantChange::default() };
    let taken = tenants.change(&slug("acme"), rename("other")).await.unwrap_err();
    assert_eq!(taken.code(), "tenant-exists");
    assert!(tenants.change(&slug("acme"), rename("platform")).await.is_err(), "it is reserved");
    tenants.change(&slug("acme"), rename("emca")).await.unwrap();
    becomes(&acme, "404 tenant-not-found").await;
    let renamed = platform.client("emca");
    let rows = renamed.query("SELECT name FROM things", json!([])).await.ok();
    assert_eq!(rows, json!([{ "name": "kept" }]));
    // Another one may have the old slug, and none of the rows.
    let new = platform.tenant("acme").await;
    is_served(&new).await;
    assert_eq!(new.query("SELECT name FROM things", json!([])).await.ok(), json!([]));
}

#[tokio::test]
async fn a_deleted_tenant_is_unknown_and_can_be_taken_back() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    acme.execute(INSERT, json!(["kept"])).await.ok();
    let tenants = platform.inner().tenants();
    let deleted = tenants.delete(&slug("acme")).await.unwrap();
    assert_eq!(deleted.status, TenantStatus::Deleting);
    assert!(deleted.purge_at.is_some());
    becomes(&acme, "404 tenant-not-found").await;
    assert_eq!(tenants.suspend(&slug("acme")).await.unwrap_err().code(), "tenant-status");
    let again = tenants.delete(&slug("acme")).await.unwrap_err();
    assert_eq!(again.code(), "tenant-status");
    tenants.undelete(&slug("acme")).await.unwrap();
    is_served(&acme).await;
    let rows = acme.query("SELECT name FROM things", json!([])).await.ok();
    assert_eq!(rows, json!([{ "name": "kept" }]));
}

#[tokio::test]
async fn a_removed_tenant_leaves_nothing_and_its_slug_is_free() {
    let platform = TestPlatform::start().await;
    let (acme, other) = (platform.tenant("acme").await, platform.tenant("other").await);
    for client in [&acme, &other] {
        client.execute(INSERT, json!(["row"])).await.ok();
    }
    let tenants = platform.inner().tenants();
    assert_eq!(tenants.purge(&slug("acme")).await.unwrap_err().code(), "tenant-status");
    platform.inner().secrets().set(&slug("acme"), "KEY", &Secret::new("s".into())).await.unwrap();
    tenants.delete(&slug("acme")).await.unwrap();
    tenants.purge(&slug("acme")).await.unwrap();
    assert!(tenants.find(&slug("acme")).await.unwrap().is_none());
    becomes(&acme, "404 tenant-not-found").await;
    let new = platform.tenant("acme").await;
    is_served(&new).await;
    assert_eq!(new.query("SELECT name FROM things", json!([])).await.ok(), json!([]));
    assert_eq!(platform.inner().secrets().names(&slug("acme")).await.unwrap(), []);
    let rows = other.query("SELECT name FROM things", json!([])).await.ok();
    assert_eq!(rows, json!([{ "name": "row" }]));
}

/// Time alone removes it, without anybody who asks.
#[tokio::test]
async fn a_deleted_tenant_is_removed_when_its_time_has_come() {
    let platform = TestPlatform::configured("[tenancy]\ndelete_grace_ms = 0").await;
    let acme = platform.tenant("acme").await;
    acme.execute(INSERT, json!(["row"])).await.ok();
    platform.inner().tenants().delete(&slug("acme")).await.unwrap();
    let setup = platform.stop().await;
    let platform = setup.start().await;
    eventually("it is removed", async || {
        platform.inner().tenants().find(&slug("acme")).await.unwrap().is_none().then_some(())
    })
    .await;
}

#[tokio::test]
async fn tenants_are_found_by_status_plan_and_part_of_a_name() {
    let platform = TestPlatform::configured("[plans.small]\n[tenancy]\ndefault_tenant = ''").await;
    for name in ["alpha", "beta-one", "beta-two", "gamma"] {
        platform.tenant(name).await;
    }
    let tenants = platform.inner().tenants();
    tenants.suspend(&slug("gamma")).await.unwrap();
    platform.change("alpha", json!({ "plan": "small" })).await.unwrap();
    let all = TenantQuery { limit: 10, ..TenantQuery::default() };
    assert_eq!(
        slugs(tenants, all.clone()).await,
        ["alpha", "beta-one", "beta-two", "gamma", "platform"]
    );
    let query = TenantQuery { name: Some("BETA".into()), ..all.clone() };
    assert_eq!(slugs(tenants, query).await, ["beta-one", "beta-two"]);
    let query = TenantQuery { name: Some("%".into()), ..all.clone() };
    assert_eq!(slugs(tenants, query).await, [""; 0]);
    let query = TenantQuery { status: Some(TenantStatus::Suspended), ..all.clone() };
    assert_eq!(slugs(tenants, query).await, ["gamma"]);
    let query = TenantQuery { plan: Some("small".into()), ..all.clone() };
    assert_eq!(slugs(tenants, query).await, ["alpha"]);
    let query = TenantQuery { after: Some(slug("beta-one")), limit: 1, ..all };
    assert_eq!(slugs(tenants, query).await, ["beta-two"]);
}

#[tokio::test]
async fn a_tenants_own_settings_hold_over_the_configuration() {
    let platform = TestPlatform::configured("[settings.probe]\ngreeting = 'all'").await;
    let (acme, other) = (platform.tenant("acme").await, platform.tenant("other").await);
    let greeting = async |client: &Client| client.get("/api/probe/settings/greeting").await.ok();
    assert_eq!(greeting(&acme).await, "all");
    assert_eq!(greeting(&other).await, "all");
    let tenants = platform.inner().tenants();
    let probe: ModuleName = "probe".parse().unwrap();
    let set = async |values: serde_json::Value| {
        let values: BTreeMap<String, Option<serde_json::Value>> =
            serde_json::from_value(values).unwrap();
        tenants.set_settings(&slug("acme"), &probe, values).await
    };
    set(json!({ "greeting": "own" })).await.unwrap();
    eventually("its own", async || (greeting(&acme).await == "own").then_some(())).await;
    assert_eq!(greeting(&other).await, "all");
    let wrong = set(json!({ "limit": 0, "greeting": 7, "absent": 1 })).await.unwrap_err();
    for part in ["probe.limit", "probe.greeting", "probe.absent"] {
        assert!(wrong.to_string().contains(part), "{wrong}");
    }
    set(json!({ "greeting": null })).await.unwrap();
    eventually("that of all", async || (greeting(&acme).await == "all").then_some(())).await;
}

#[tokio::test]
async fn a_tenants_secret_is_its_own() {
    let platform = TestPlatform::start().await;
    let (acme, other) = (platform.tenant("acme").await, platform.tenant("other").await);
    let secrets = platform.inner().secrets();
    let own = Secret::new("hunter2".to_owned());
    secrets.set(&slug("acme"), "KEY", &own).await.unwrap();
    assert_eq!(acme.get("/api/probe/tenant-secret/KEY").await.ok(), "hunter2");
    assert_eq!(other.get("/api/probe/tenant-secret/KEY").await.ok(), json!(null));
    assert_eq!(acme.get("/api/probe/tenant-secret/OTHER").await.ok(), json!(null));
    for wrong in ["", "a b", "a/b", &"x".repeat(65)] {
        assert!(secrets.set(&slug("acme"), wrong, &own).await.is_err(), "{wrong}");
    }
    let names = secrets.names(&slug("acme")).await.unwrap();
    assert_eq!(names.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["KEY"]);
    secrets.set(&slug("acme"), "KEY", &Secret::new("changed".to_owned())).await.unwrap();
    assert_eq!(acme.get("/api/probe/tenant-secret/KEY").await.ok(), "changed");
    secrets.remove(&slug("acme"), "KEY").await.unwrap();
    assert_eq!(acme.get("/api/probe/tenant-secret/KEY").await.ok(), json!(null));
    assert_eq!(secrets.remove(&slug("acme"), "KEY").await.unwrap_err().code(), "not-found");
}

/// What lies in the database tells nothing, and opens nowhere else.
#[tokio::test]
async fn a_secret_that_is_moved_does_not_open_on_sqlite() {
    use sqlx::{Connection as _, SqliteConnection};

    let platform = TestPlatform::start().await;
    let (_, other) = (platform.tenant("acme").await, platform.tenant("other").await);
    let secrets = platform.inner().secrets();
    let own = Secret::new("hunter2".to_owned());
    for name in ["acme", "other"] {
        secrets.set(&slug(name), "KEY", &own).await.unwrap();
    }
    let path = platform.data("platform.db");
    let mut database = SqliteConnection::connect(&path.display().to_string()).await.unwrap();
    let kept: Vec<Vec<u8>> = sqlx::query_scalar("SELECT ciphertext FROM tenant_secrets")
        .fetch_all(&mut database)
        .await
        .unwrap();
    assert_eq!(kept.len(), 2);
    assert_ne!(kept[0], kept[1], "equal secrets do not look equal");
    assert!(kept.iter().all(|one| !one.windows(7).any(|part| part == b"hunter2")));
    sqlx::query(
        "UPDATE tenant_secrets SET ciphertext = (
            SELECT ciphertext FROM tenant_secrets JOIN tenants ON id = tenant_id WHERE slug = 'acme'
         ) WHERE tenant_id = (SELECT id FROM tenants WHERE slug = 'other')",
    )
    .execute(&mut database)
    .await
    .unwrap();
    let answer = other.get("/api/probe/tenant-secret/KEY").await;
    assert_ne!(answer.status(), 200);
    assert!(!answer.text().contains("hunter2"));
}
