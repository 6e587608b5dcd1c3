//! Acme's program, over real TCP, and what its platform refuses.

#![allow(clippy::unwrap_used, reason = "a helper that cannot go on fails the test, and says where")]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use embed_example::{Payments, SHOP};
use hostel::wasmtime::component::Linker;
use hostel::{CallState, Capability, Platform, PlatformBuilder, wasmtime};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// Few slots, because each test has a pool of its own.
const CONFIG: &str = "
[runtime]
pool_slots = 20
calls_max = 10
idle_instances_max = 5

[limits]
tenant_calls_max = 10
";

/// A platform in `data` where the operator's modules may import these capabilities.
fn builder(data: &Path, granted: &[&str]) -> PlatformBuilder {
    let config = format!("{CONFIG}\n[modules.grants]\noperator = {granted:?}");
    Platform::builder().config_toml(&config).unwrap().data_dir(data)
}

/// Keeps a module as an operator would, in a file.
fn file(data: &Path, wasm: &[u8]) -> PathBuf {
    let path = data.join("module.wasm");
    std::fs::write(&path, wasm).unwrap();
    path
}

/// What `build` says when it refuses.
async fn refusal(builder: PlatformBuilder) -> String {
    builder.build().await.expect_err("it should have been refused").to_string()
}

/// Acme's program. It stops when it is dropped.
struct Program {
    address: SocketAddr,
    client: reqwest::Client,
    _serving: JoinSet<()>,
    data: TempDir,
}

impl Program {
    async fn start() -> Self {
        let data = tempfile::tempdir().unwrap();
        let shop = file(data.path(), SHOP);
        let platform = builder(data.path(), &["payments", "sql"])
            .capability(Payments::new())
            .module_file(shop)
            .build()
            .await
            .unwrap();
        embed_example::open_shops(&platform).await.unwrap();
        embed_example::open_shops(&platform).await.expect("a second start finds its tenants");
        Self::serve(platform, data).await
    }

    async fn serve(platform: Platform, data: TempDir) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = embed_example::router(&platform);
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, router).await.unwrap() });
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { address, client, _serving: serving, data }
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> (u16, String) {
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    async fn get(&self, path: &str) -> (u16, String) {
        self.send(self.client.get(format!("http://{}{path}", self.address))).await
    }

    async fn order(&self, tenant: &str, order: &Value) -> (u16, Value) {
        let url = format!("http://{}/api/shop/orders", self.address);
        let request = self.client.post(url).header("x-tenant", tenant).json(order);
        let (status, body) = self.send(request).await;
        (status, serde_json::from_str(&body).unwrap())
    }

    async fn total(&self, tenant: &str) -> Value {
        let url = format!("http://{}/api/shop/total", self.address);
        let (status, body) = self.send(self.client.get(url).header("x-tenant", tenant)).await;
        assert_eq!(status, 200, "{body}");
        serde_json::from_str::<Value>(&body).unwrap()["total_cents"].clone()
    }
}

#[tokio::test]
async fn one_router_answers_for_the_program_and_for_the_platform() {
    let program = Program::start().await;
    let (status, home) = program.get("/").await;
    assert_eq!((status, home.contains("/api/shop")), (200, true), "{home}");
    assert_eq!(program.get("/health/ready").await.0, 200);
    assert_eq!(program.get("/api/shop/total").await, (200, r#"{"total_cents":0}"#.to_owned()));
    assert_eq!(program.get("/elsewhere").await.0, 404);
}

#[tokio::test]
async fn tenants_have_accounts_of_their_own() {
    let program = Program::start().await;
    let order = json!({ "amount_cents": 1250, "reference": "A-17" });
    let (status, receipt) = program.order("north", &order).await;
    let first = json!({ "number": 1, "amount_cents": 1250, "reference": "A-17" });
    assert_eq!((status, receipt), (201, first));
    assert_eq!(program.order("north", &order).await.1["number"], 2);

    // Naming another tenant in the body is a field that nobody reads.
    let order = json!({ "amount_cents": 5, "reference": "B-1", "tenant": "north" });
    assert_eq!(program.order("south", &order).await.1["number"], 1);

    assert_eq!(program.total("north").await, 2500);
    assert_eq!(program.total("south").await, 5);
    assert_eq!(program.total("default").await, 0);
}

#[tokio::test]
async fn what_payments_refuses_is_a_problem_of_the_shop() {
    let program = Program::start().await;
    let long = "x".repeat(65);
    for (amount_cents, reference, pointer, detail) in [
        (0, "A-1", "/amount_cents", "must be from 1 to 1000000"),
        (1_000_001, "A-1", "/amount_cents", "must be from 1 to 1000000"),
        (1, "", "/reference", "must have 1 to 64 bytes"),
        (1, long.as_str(), "/reference", "must have 1 to 64 bytes"),
    ] {
        let order = json!({ "amount_cents": amount_cents, "reference": reference });
        let (status, problem) = program.order("north", &order).await;
        assert_eq!(status, 422, "{problem}");
        assert_eq!(problem["errors"], json!([{ "pointer": pointer, "detail": detail }]));
    }
    assert_eq!(program.total("north").await, 0);
}

#[tokio::test]
async fn without_the_capability_the_shop_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let shop = file(data.path(), SHOP);
    let said = refusal(builder(data.path(), &["*"]).module_file(shop)).await;
    assert!(said.contains("imports `acme:payments/payments@0.1.0`"), "{said}");
    assert!(said.contains("which this platform does not have"), "{said}");
    let said = refusal(builder(data.path(), &["payments"])).await;
    assert!(said.contains("there is no capability `payments`"), "{said}");
}

#[tokio::test]
async fn a_grant_names_the_capability() {
    let data = tempfile::tempdir().unwrap();
    let shop = file(data.path(), SHOP);
    let offering = |granted: &[&str]| {
        builder(data.path(), granted).capability(Payments::new()).module_file(&shop)
    };
    let said = refusal(offering(&["log", "sql"])).await;
    assert!(said.contains("the capability `payments` is not granted"), "{said}");

    let inspection = offering(&["payments", "sql"]).inspect(&shop).await.unwrap();
    let asked: Vec<_> = inspection.imports.iter().filter_map(|import| import.capability).collect();
    assert_eq!(asked, ["sql", "payments"]);
    offering(&["log", "sql", "payments"]).build().await.unwrap();
}

#[tokio::test]
async fn a_description_calls_no_capability() {
    let data = tempfile::tempdir().unwrap();
    let eager = file(data.path(), &std::fs::read(env!("EAGER_MODULE")).unwrap());
    let builder = builder(data.path(), &["*"]).capability(Payments::new()).module_file(eager);
    let error = builder.build().await.expect_err("it should have been refused");
    assert!(error.message().contains("`describe` failed"), "{error}");
    assert!(error.message().contains("acme:payments/payments@0.1.0"), "{error}");
    assert!(error.hint_text().is_some_and(|hint| hint.contains("every capability traps")));
}

/// A capability with a mistake in it.
struct Broken;

impl Capability for Broken {
    fn name(&self) -> &'static str {
        "payments"
    }

    fn package(&self) -> &'static str {
        "acme:payments"
    }

    fn link(&self, linker: &mut Linker<CallState>) -> Result<(), wasmtime::Error> {
        let mut payments = linker.instance("acme:payments/payments@0.1.0")?;
        payments.func_new("total", |_, _, _, _| panic!("total is broken"))?;
        payments.func_new_async("charge", |_, _, _, _| {
            Box::new(async {
                tokio::task::yield_now().await;
                panic!("charge is broken")
            })
        })?;
        payments.func_new("charge-later", |_, _, _, _| panic!("charge-later is broken"))
    }
}

#[tokio::test]
async fn a_panic_in_a_capability_costs_its_call_alone() {
    let data = tempfile::tempdir().unwrap();
    let shop = file(data.path(), SHOP);
    let platform =
        builder(data.path(), &["*"]).capability(Broken).module_file(shop).build().await.unwrap();
    let program = Program::serve(platform, data).await;
    for _ in 0..30 {
        // More often than there are slots and turns: each comes back.
        let (status, problem) = program.get("/api/shop/total").await;
        assert_eq!(status, 500, "{problem}");
        assert!(problem.contains("\"code\":\"internal\"") && !problem.contains("broken"));
    }
    let order = json!({ "amount_cents": 5, "reference": "B-1" });
    assert_eq!(program.order("default", &order).await.1["code"], "internal");
    assert_eq!(program.get("/health/ready").await.0, 200);

    // `axum::serve` tells nobody who asks, so that even this machine needs the token.
    assert_eq!(program.get("/metrics").await.0, 401);
    let token = Platform::builder().data_dir(program.data.path()).operator_token().unwrap();
    let asked = program.client.get(format!("http://{}/metrics", program.address));
    let (_, metrics) = program.send(asked.bearer_auth(token.expose())).await;
    let panics = "hostel_panics_total{tenant=\"default\",module=\"shop\"} 31.0";
    assert!(metrics.lines().any(|line| line == panics), "{metrics}");
}

/// A capability that goes by these names.
struct Named {
    name: &'static str,
    package: &'static str,
}

impl Capability for Named {
    fn name(&self) -> &'static str {
        self.name
    }

    fn package(&self) -> &'static str {
        self.package
    }

    fn link(&self, _linker: &mut Linker<CallState>) -> Result<(), wasmtime::Error> {
        Ok(())
    }
}

#[tokio::test]
async fn names_and_packages_are_taken_once() {
    let data = tempfile::tempdir().unwrap();
    for (name, package, complaint) in [
        ("sql", "acme:sql", "there are two capabilities named `sql`"),
        ("payments", "acme:pay", "there are two capabilities named `payments`"),
        ("store", "hostel:sql", "the package `hostel:sql` is taken"),
        ("store", "hostel:new", "the package `hostel:new` is taken"),
        ("store", "wasi:filesystem", "the package `wasi:filesystem` is taken"),
        ("pay", "acme:payments", "the package `acme:payments` is taken"),
        ("pay", "acme:pay@0.1.0", "without version"),
    ] {
        let taken = builder(data.path(), &["*"])
            .capability(Payments::new())
            .capability(Named { name, package });
        let said = refusal(taken).await;
        assert!(said.contains(complaint), "{name} {package}: {said}");
    }
    let two = builder(data.path(), &["*"])
        .capability(Named { name: "one", package: "acme:one" })
        .capability(Named { name: "two", package: "acme:two" });
    assert!(refusal(two).await.contains("of one Rust type"));
}
