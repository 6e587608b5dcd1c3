//! `/openapi.json`, `/docs` and `hostel openapi`: what an API says of itself.

use hostel::ModuleSource;
use hostel_tests::{Folder, TestPlatform, bookings, patched, probe};
use insta::assert_snapshot;
use serde_json::{Value, json};

const PATH: &str = "/openapi.json";

/// An empty folder in which the command finds notes and bookings.
async fn folder() -> Folder {
    let folder = Folder::warm().await;
    folder.module("bookings", bookings());
    folder
}

fn operations(document: &Value) -> Vec<(&str, &str, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    let each = paths.iter().flat_map(|(path, methods)| {
        let methods = methods.as_object().unwrap();
        methods.iter().map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
    });
    each.collect()
}

/// Every reference in the document leads somewhere.
fn references(document: &Value, part: &Value, found: &mut Vec<String>) {
    match part {
        Value::Object(members) => {
            if let Some(Value::String(to)) = members.get("$ref") {
                let there = to.strip_prefix('#').and_then(|pointer| document.pointer(pointer));
                assert!(there.is_some(), "{to} leads nowhere");
                found.push(to.clone());
            }
            members.values().for_each(|member| references(document, member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(document, item, found)),
        _ => {}
    }
}

#[tokio::test]
async fn the_description_of_notes_and_bookings() {
    let folder = folder().await;
    let told = folder.run(&["openapi"]);
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    assert_snapshot!("notes_and_bookings", told.stdout);
    assert_eq!(folder.run(&["openapi", "--out", "api.json"]).code, Some(0));
    assert_eq!(std::fs::read_to_string(folder.path("api.json")).unwrap(), told.stdout);
    let hostel = folder.start(&["serve"]);
    let served = hostel.nobody().get(PATH).await.ok();
    assert_eq!(served, serde_json::from_str::<Value>(&told.stdout).unwrap());
}

#[tokio::test]
async fn every_operation_has_a_name_of_its_own_and_every_reference_leads_somewhere() {
    let platform = TestPlatform::setup().with_tenants_module().start().await;
    for tenant in ["default", "platform"] {
        let document = platform.client(tenant).get(PATH).await.ok();
        let mut names: Vec<_> =
            operations(&document).iter().map(|(.., it)| it["operationId"].clone()).collect();
        let all = names.len();
        names.sort_by_key(Value::to_string);
        names.dedup();
        assert_eq!(names.len(), all);
        let mut found = Vec::new();
        references(&document, &document, &mut found);
        let components = document["components"].as_object().unwrap();
        for (kind, named) in components.iter().filter(|(kind, _)| *kind != "securitySchemes") {
            for name in named.as_object().unwrap().keys() {
                let reference = format!("#/components/{kind}/{name}");
                assert!(found.contains(&reference), "nothing refers to {reference}");
            }
        }
    }
}

#[tokio::test]
async fn a_tenant_reads_what_it_is_served_and_nothing_else() {
    let platform = TestPlatform::setup().with_tenants_module().start().await;
    let paths = async |tenant| {
        let document = platform.client(tenant).get(PATH).await.ok();
        let paths = document["paths"].as_object().unwrap().keys();
        paths.filter(|path| path.starts_with("/api/tenants")).count()
    };
    assert_eq!(paths("default").await, 0);
    assert!(paths("platform").await > 5);
    assert_eq!(platform.client("nobody").get(PATH).await.code(), "404 tenant-not-found");
    let acme = platform.tenant("acme").await;
    platform.inner().tenants().suspend(&"acme".parse().unwrap()).await.unwrap();
    assert_eq!(acme.get(PATH).await.code(), "403 tenant-suspended");
}

#[tokio::test]
async fn a_description_is_sent_again_when_it_has_changed() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    let first = acme.get(PATH).await;
    let etag = first.header("etag").unwrap().to_owned();
    assert_eq!(first.header("vary"), Some("x-tenant, host"));
    let again = async |known: &str| {
        let answer = acme.request("GET", PATH).header("if-none-match", known).send().await;
        (answer.status(), answer.bytes().is_empty(), answer.header("etag").unwrap().to_owned())
    };
    assert_eq!(again(&etag).await, (304, true, etag.clone()));
    assert_eq!(again(&format!("\"other\", W/{etag}")).await, (304, true, etag.clone()));
    assert_eq!(again("\"other\"").await, (200, false, etag.clone()));
    let other = platform.tenant("other").await.get(PATH).await;
    assert_eq!(other.bytes(), first.bytes(), "the same modules, the same description");
    let changed = patched(probe(), "Shows what a guest sees", "Shows what guests see");
    platform.inner().install(ModuleSource::operator("probe", changed)).await.unwrap();
    let (status, _, newer) = again(&etag).await;
    assert_eq!(status, 200);
    assert_ne!(newer, etag);
}

#[tokio::test]
async fn who_may_call_is_told() {
    let platform = TestPlatform::start().await;
    let document = platform.tenant("acme").await.get(PATH).await.ok();
    let security = |path: &str| document["paths"][path]["get"]["security"].clone();
    assert_eq!(security("/api/notes"), json!([{}, { "bearer": ["notes:read"] }]));
    assert_eq!(security("/api/probe/secret"), json!([{ "bearer": ["probe:secret"] }]));
    assert_eq!(security("/api/probe/counter"), json!([]));
    assert_eq!(document["components"]["parameters"]["Tenant"]["required"], false);
    let strict = "[tenancy]\nheader = 'x-acme'\ndefault_tenant = ''";
    let platform = TestPlatform::configured(strict).await;
    assert_eq!(platform.nobody().get(PATH).await.code(), "400 tenant-missing");
    platform.tenant("acme").await;
    let document =
        platform.nobody().request("GET", PATH).header("x-acme", "acme").send().await.ok();
    let header = &document["components"]["parameters"]["Tenant"];
    assert_eq!((&header["name"], &header["required"]), (&json!("x-acme"), &json!(true)));
}

#[tokio::test]
async fn bodies_are_described_as_they_are_read() {
    let platform = TestPlatform::start().await;
    let document = platform.tenant("acme").await.get(PATH).await.ok();
    let content = |path: &str| {
        let body = &document["paths"][path]["post"]["requestBody"]["content"];
        body.as_object().unwrap().keys().next().unwrap().clone()
    };
    assert_eq!(content("/api/probe/form"), "application/x-www-form-urlencoded");
    assert_eq!(content("/api/probe/parts"), "multipart/form-data");
    assert_eq!(content("/api/probe/echo"), "application/octet-stream");
    assert_eq!(content("/api/probe/sql/query"), "application/json");
    let rest = &document["paths"]["/api/probe/echo/{rest}"]["get"]["parameters"][1];
    assert_eq!((&rest["name"], &rest["in"]), (&json!("rest"), &json!("path")));
}

#[tokio::test]
async fn the_page_is_served_with_what_it_needs_and_may_load_nothing_else() {
    let platform = TestPlatform::start().await;
    let nobody = platform.nobody();
    let page = nobody.get("/docs").await;
    assert_eq!(page.status(), 200);
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    assert!(page.text().contains("content=\"x-tenant\""));
    let named: Vec<_> = page.text().split('"').filter(|it| it.starts_with("docs/")).collect();
    assert!(named.len() >= 4, "{named:?}");
    for file in named {
        assert_eq!(nobody.get(&format!("/{file}")).await.status(), 200, "{file}");
    }
    assert_eq!(nobody.get("/docs/other.js").await.code(), "404 not-found");
    let quiet = TestPlatform::configured("[http]\napi_docs = false").await;
    for path in ["/docs", "/docs/main.js", PATH] {
        assert_eq!(quiet.nobody().get(path).await.code(), "404 not-found", "{path}");
    }
}

#[tokio::test]
async fn what_changes_for_clients_is_told_and_what_breaks_them_fails() {
    let folder = folder().await;
    let text = folder.run(&["openapi"]).stdout;
    folder.write("old.json", &text);
    folder.write("new.json", text.replace("\"maxLength\": 200", "\"maxLength\": 100"));
    folder.write("other.json", text.replace("bookings.book\"", "bookings.take\""));
    folder.write("no.json", "{}");
    let diff = |one: &str, other: &str| {
        let done = folder.run(&["openapi", "diff", one, other]);
        format!("exit code {}\n{}{}", done.code.unwrap(), done.stdout, done.stderr)
    };
    let told = [
        diff("old.json", "old.json"),
        diff("old.json", "new.json"),
        diff("new.json", "old.json"),
        diff("old.json", "other.json"),
        diff("old.json", "no.json"),
        diff("old.json", "absent.json"),
    ];
    assert_snapshot!("diff", told.join("\n"));
    let json = folder.run(&["openapi", "diff", "old.json", "new.json", "--json"]);
    let changes: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(changes[0]["breaking"], true);
}
