//! Tables of many tenants, forward and back, and what becomes of a tenant for whom that fails: by the
//! command and by the library, while the platform serves.

use std::collections::BTreeMap;
use std::path::PathBuf;

use futures_util::future::join_all;
use hostel::runtime::{Direction, Until};
use hostel::{Clock, MigrationGoal, MigrationScope, Platform};
use hostel_tests::{
    Answer, Client, Finished, TestPlatform, eventually, hostile_with_migrations, reversible,
};
use serde_json::{Value, json};

/// Up and down.
type Step = (&'static str, &'static str);

const POTS: Step = ("CREATE TABLE pots (id integer PRIMARY KEY, name text)", "DROP TABLE pots");
/// Fails where two pots have one name.
const NAMES: Step = (
    "ALTER TABLE pots ADD COLUMN size integer; CREATE UNIQUE INDEX pots_by_name ON pots (name)",
    "DROP INDEX pots_by_name; ALTER TABLE pots DROP COLUMN size",
);
const LIDS: Step = ("CREATE TABLE lids (id integer PRIMARY KEY)", "DROP TABLE lids");

/// A module with these migrations.
fn module(steps: &[Step]) -> Vec<u8> {
    let texts: Vec<String> = steps.iter().map(|(up, down)| reversible(up, down)).collect();
    hostile_with_migrations(texts.iter().map(String::as_str))
}

/// A platform whose hostile module has these migrations, with tenants that have used it.
async fn serving(steps: &[Step], slugs: &[&str]) -> TestPlatform {
    let platform = TestPlatform::setup().hostile_is(&module(steps)).start().await;
    for slug in slugs {
        let client = platform.tenant(slug).await;
        client.get("/api/hostile/counter").await.ok();
    }
    platform
}

/// A file with a version of the module that is not served yet.
fn file(platform: &TestPlatform, steps: &[Step]) -> PathBuf {
    let path = platform.data("next.wasm");
    std::fs::write(&path, module(steps)).unwrap();
    path
}

/// `hostel migrate` for the module in `next.wasm`.
async fn migrate(platform: &TestPlatform, arguments: &str) -> Finished {
    let words = format!("migrate {arguments} --with next.wasm");
    let words: Vec<&str> = words.split(' ').collect();
    platform.run(&words).await
}

fn ok(done: &Finished) -> Value {
    assert_eq!(done.code, Some(0), "{}{}", done.stdout, done.stderr);
    serde_json::from_str(&done.stdout).unwrap_or_else(|error| panic!("{error}: {}", done.stdout))
}

/// The state of the hostile module's tables, by tenant, with what is pending.
async fn states(platform: &TestPlatform) -> BTreeMap<String, String> {
    let told = ok(&migrate(platform, "status --module hostile --used --json").await);
    let tables = told["tables"].as_array().unwrap().clone();
    let state = |table: &Value| {
        let pending = table["pending"].as_array().unwrap().len();
        format!("{} {pending}", table["state"].as_str().unwrap())
    };
    let slug = |table: &Value| table["tenant"].as_str().unwrap().to_owned();
    tables.iter().map(|table| (slug(table), state(table))).collect()
}

fn all(states: &BTreeMap<String, String>, expected: &str) -> bool {
    !states.is_empty() && states.values().all(|state| state == expected)
}

/// Whether a column is there, as a module sees it.
async fn has_column(client: &Client, column: &str) -> bool {
    client.query(&format!("SELECT {column} FROM pots"), json!([])).await.status() == 200
}

async fn insert(client: &Client, id: i64, name: &str) {
    let statement = "INSERT INTO pots (id, name) VALUES ($1, $2)";
    client.execute(statement, json!([id, name])).await.ok();
}

async fn quarantine(platform: &TestPlatform, query: &str) -> Answer {
    let path = format!("/platform/v1/quarantine{query}");
    let request = platform.nobody().request("GET", &path);
    request.bearer(&platform.operator_token()).send().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_go_forward_and_back_by_the_command_while_tenants_are_served() {
    let slugs = ["acme", "beta", "gamma"];
    let platform = serving(&[POTS], &slugs).await;
    file(&platform, &[POTS, NAMES, LIDS]);
    assert!(all(&states(&platform).await, "pending 2"));

    let plan = migrate(&platform, "up --module hostile --used --dry-run").await;
    assert_eq!(plan.code, Some(0), "{}", plan.stderr);
    assert!(
        plan.stdout.contains("migration 0001, for 3 tenants (acme, beta, gamma)"),
        "{}",
        plan.stdout
    );
    assert!(plan.stdout.contains(&format!("\n{};\n", NAMES.0)), "{}", plan.stdout);
    assert!(all(&states(&platform).await, "pending 2"), "nothing was done");

    let done = ok(&migrate(&platform, "up --tenant beta --to 0001 --module hostile --json").await);
    assert_eq!(
        done["steps"],
        json!([{ "tenant": "beta", "module": "hostile", "migration": "0001" }])
    );
    let done = ok(&migrate(&platform, "up --module hostile --used --workers 2 --json").await);
    assert_eq!((&done["tenants"], &done["changed"]), (&json!(5), &json!(3)), "{done}");
    assert_eq!(done["steps"].as_array().unwrap().len(), 5);
    assert!(all(&states(&platform).await, "up-to-date 0"));
    for slug in slugs {
        let client = platform.client(slug);
        assert!(has_column(&client, "size").await, "{slug}");
        client.get("/api/hostile/counter").await.ok();
    }

    let asked = migrate(&platform, "down --module hostile --to 0000").await;
    assert_eq!(asked.code, Some(1), "nobody was there to be asked");
    assert!(
        asked.stderr.contains("takes back 0002 of hostile for 3 tenants, 0001"),
        "{}",
        asked.stderr
    );
    let plan = migrate(&platform, "down --module hostile --to 0000 --dry-run").await.stdout;
    let (lids, names) = (plan.find(LIDS.1).unwrap(), plan.find(NAMES.1).unwrap());
    assert!(lids < names, "the last one first: {plan}");
    let done = ok(&migrate(&platform, "down --module hostile --to 0000 --yes --json").await);
    assert_eq!(done["steps"].as_array().unwrap().len(), 6);
    assert!(all(&states(&platform).await, "quarantined 2"));
    for slug in slugs {
        let client = platform.client(slug);
        assert!(!has_column(&client, "size").await, "{slug}");
        // What is served has no other migrations.
        client.get("/api/hostile/counter").await.ok();
    }
    ok(&migrate(&platform, "up --module hostile --used --json").await);
    assert!(all(&states(&platform).await, "up-to-date 0"));
    assert_eq!(migrate(&platform, "status --module hostile --used --check").await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_taken_back_is_not_served_until_it_is_applied_again() {
    let slugs = ["acme", "beta"];
    let platform = serving(&[POTS, NAMES], &slugs).await;
    file(&platform, &[POTS, NAMES]);
    let acme = platform.client("acme");
    ok(&migrate(&platform, "down --module hostile --tenant acme --yes --json").await);
    eventually("it is not served", async || {
        let answer = acme.get("/api/hostile/counter").await;
        (answer.status() != 200).then(|| {
            assert_eq!(answer.code(), "503 migration-undone");
            assert_eq!(answer.header("retry-after"), Some("60"));
        })
    })
    .await;
    assert!(!has_column(&acme, "size").await, "no call applies it again");
    platform.client("beta").get("/api/hostile/counter").await.ok();
    let found = quarantine(&platform, "?tenant=acme").await.ok();
    assert_eq!(found["items"][0]["code"], "migration-undone");

    ok(&migrate(&platform, "up --module hostile --tenant acme --json").await);
    acme.warm("/api/hostile/counter").await;
    assert!(has_column(&acme, "size").await);
    assert_eq!(quarantine(&platform, "").await.ok()["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_for_whom_a_migration_fails_is_in_quarantine_and_the_others_are_served() {
    let slugs = ["acme", "beta", "gamma"];
    let before = serving(&[POTS], &slugs).await;
    let beta = before.client("beta");
    insert(&beta, 1, "same").await;
    insert(&beta, 2, "same").await;
    let clock = Clock::fixed(Clock::system().now_micros());
    let told = clock.clone();
    let later = |seconds: i64| clock.set(clock.now_micros() + seconds * 1_000_000);
    let setup = before.stop().await.hostile_is(&module(&[POTS, NAMES]));
    let platform = setup.built(move |builder| builder.clock(told.clone())).start().await;
    file(&platform, &[POTS, NAMES]);

    let (acme, beta) = (platform.client("acme"), platform.client("beta"));
    acme.get("/api/hostile/counter").await.ok();
    for _ in 0..3 {
        let refused = beta.get("/api/hostile/counter").await;
        assert_eq!(refused.code(), "503 migration-failed");
        assert_eq!(refused.header("retry-after"), Some("1"));
        assert!(!refused.text().contains("pots"), "what failed is for operators");
    }
    // Other modules, and the tenant's rows, are there.
    assert!(has_column(&beta, "name").await && !has_column(&beta, "size").await);
    platform.client("gamma").get("/api/hostile/counter").await.ok();

    let items = async || quarantine(&platform, "").await.ok()["items"].clone();
    let found = items().await;
    let (first, only) = (&found[0], found.as_array().unwrap().len() == 1);
    assert!(only, "{found}");
    assert_eq!(
        [&first["tenant"], &first["module"], &first["code"], &first["migration"]],
        ["beta", "hostile", "migration-failed", "0001"]
    );
    assert_eq!(first["attempts"], 1, "it was tried once");
    assert!(first["cause"].as_str().unwrap().contains("pots"), "{first}");
    assert_eq!(quarantine(&platform, "?tenant=acme").await.ok()["items"], json!([]));
    assert_eq!(quarantine(&platform, "?module=probe").await.ok()["items"], json!([]));
    let status = migrate(&platform, "status --module hostile --used").await;
    assert!(status.stdout.contains("beta    hostile  quarantined"), "{}", status.stdout);
    let check = migrate(&platform, "status --module hostile --used --check").await;
    assert_eq!(check.code, Some(1), "{}", check.stderr);

    // Each pause is twice as long.
    for (attempts, pause) in [(2, "2"), (3, "4")] {
        later(10);
        let refused = beta.get("/api/hostile/counter").await;
        assert_eq!(refused.code(), "503 migration-failed");
        assert_eq!(refused.header("retry-after"), Some(pause));
        assert_eq!(items().await[0]["attempts"], attempts);
    }
    // Another process knows of it, too.
    let platform = platform.stop().await.start().await;
    let beta = platform.client("beta");
    assert_eq!(beta.get("/api/hostile/counter").await.header("retry-after"), Some("4"));

    // Whoever has put it right need not wait.
    beta.execute("DELETE FROM pots WHERE id = 2", json!([])).await.ok();
    assert_eq!(beta.get("/api/hostile/counter").await.code(), "503 migration-failed");
    ok(&migrate(&platform, "up --module hostile --tenant beta --json").await);
    beta.warm("/api/hostile/counter").await;
    assert!(has_column(&beta, "size").await);
    assert_eq!(quarantine(&platform, "").await.ok()["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_tried_again_by_itself_when_its_pause_is_over() {
    let before = serving(&[POTS], &["acme"]).await;
    let acme = before.client("acme");
    insert(&acme, 1, "same").await;
    insert(&acme, 2, "same").await;
    let clock = Clock::fixed(Clock::system().now_micros());
    let told = clock.clone();
    let setup = before.stop().await.hostile_is(&module(&[POTS, NAMES]));
    let platform = setup.built(move |builder| builder.clock(told.clone())).start().await;
    let acme = platform.client("acme");
    assert_eq!(acme.get("/api/hostile/counter").await.code(), "503 migration-failed");
    acme.execute("DELETE FROM pots WHERE id = 2", json!([])).await.ok();
    assert_eq!(acme.get("/api/hostile/counter").await.code(), "503 migration-failed");
    clock.set(clock.now_micros() + 1_000_000);
    acme.get("/api/hostile/counter").await.ok();
    assert_eq!(quarantine(&platform, "").await.ok()["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_goes_on_past_a_tenant_for_whom_it_fails() {
    let slugs = ["acme", "beta", "gamma"];
    let platform = serving(&[POTS], &slugs).await;
    file(&platform, &[POTS, NAMES]);
    let beta = platform.client("beta");
    insert(&beta, 1, "same").await;
    insert(&beta, 2, "same").await;
    let done = migrate(&platform, "up --module hostile --used --json").await;
    assert_eq!(done.code, Some(1), "{}", done.stderr);
    let told: Value = serde_json::from_str(&done.stdout).unwrap();
    let failures = told["failures"].as_array().unwrap();
    assert_eq!((&told["changed"], failures.len()), (&json!(2), 1), "{told}");
    assert_eq!([&failures[0]["tenant"], &failures[0]["code"]], ["beta", "migration-failed"]);
    for slug in slugs {
        let client = platform.client(slug);
        assert_eq!(has_column(&client, "size").await, slug != "beta");
        // What is served is the version before.
        client.get("/api/hostile/counter").await.ok();
    }
    // Whoever serves the new version now knows for whom it fails, and serves it to the others.
    platform.inner().remove("hostile").await.unwrap();
    let source = hostel::ModuleSource::file(platform.data("next.wasm")).unwrap();
    platform.inner().install(source).await.unwrap();
    platform.client("acme").get("/api/hostile/counter").await.ok();
    assert_eq!(beta.get("/api/hostile/counter").await.code(), "503 migration-failed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_is_installed_past_tenants_for_whom_it_is_known_to_fail() {
    let before = serving(&[POTS], &["acme", "beta"]).await;
    // At hand, and not looked up again.
    let platform = before.stop().await.start().await;
    let (acme, beta) = (platform.client("acme"), platform.client("beta"));
    acme.get("/api/hostile/counter").await.ok();
    beta.get("/api/hostile/counter").await.ok();
    insert(&beta, 1, "same").await;
    insert(&beta, 2, "same").await;
    let next = file(&platform, &[POTS, NAMES]);
    let source = || hostel::ModuleSource::file(&next).unwrap();
    let refused = platform.inner().install(source()).await.unwrap_err();
    assert!(refused.to_string().contains("`beta`"), "{refused}");
    assert_eq!(migrate(&platform, "up --module hostile --used --json").await.code, Some(1));
    platform.inner().install(source()).await.unwrap();
    acme.get("/api/hostile/counter").await.ok();
    assert!(has_column(&acme, "size").await);
    assert_eq!(beta.get("/api/hostile/counter").await.code(), "503 migration-failed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migration_that_changed_is_refused_either_way() {
    let platform = serving(&[POTS, NAMES], &["acme"]).await;
    let other = ("CREATE TABLE pots (id integer PRIMARY KEY, name text, lid text)", POTS.1);
    file(&platform, &[other, NAMES, LIDS]);
    for arguments in
        ["up --module hostile --used --json", "down --module hostile --used --yes --json"]
    {
        let done = migrate(&platform, arguments).await;
        assert_eq!(done.code, Some(1), "{}", done.stderr);
        let told: Value = serde_json::from_str(&done.stdout).unwrap();
        let failure = &told["failures"][0];
        assert_eq!([&failure["code"], &failure["migration"]], ["migration-changed", "0000"]);
        assert!(failure["cause"].as_str().unwrap().contains("restore it"), "{failure}");
        assert_eq!(told["changed"], 0);
    }
    let told = ok(&migrate(&platform, "status --module hostile --used --json").await);
    assert_eq!(told["tables"][0]["changed"], json!(["0000"]));
    assert_eq!(told["tables"][0]["quarantine"]["code"], "migration-changed");
    // What is served is what it was.
    platform.client("acme").get("/api/hostile/counter").await.ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migration_without_a_way_back_and_one_of_a_later_version_stay() {
    let platform = serving(&[POTS, (NAMES.0, " -- none\n"), LIDS], &["acme"]).await;
    file(&platform, &[POTS, (NAMES.0, " -- none\n"), LIDS]);
    let failure = async |arguments: &str| {
        let done = migrate(&platform, arguments).await;
        assert_eq!(done.code, Some(1), "{}", done.stderr);
        let told: Value = serde_json::from_str(&done.stdout).unwrap();
        assert_eq!(told["changed"], 0, "{told}");
        told["failures"][0]["code"].clone()
    };
    assert_eq!(failure("down --module hostile --all --yes --json").await, "migration-irreversible");
    file(&platform, &[POTS]);
    assert_eq!(failure("down --module hostile --yes --json").await, "migration-unknown");
    let told = ok(&migrate(&platform, "status --module hostile --used --json").await);
    assert_eq!(told["tables"][0]["unknown"], json!(["0001", "0002"]));
    // Nothing was taken back, and nothing stands in the way.
    platform.client("acme").get("/api/hostile/counter").await.ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_of_what_a_tenant_has_not_used_are_made_or_left_out() {
    let platform = serving(&[POTS], &["acme"]).await;
    platform.tenant("idle").await;
    file(&platform, &[POTS]);
    let done = ok(&migrate(&platform, "up --module hostile --tenant idle --used --json").await);
    assert_eq!((&done["tenants"], &done["changed"]), (&json!(1), &json!(0)));
    let told = ok(&migrate(&platform, "status --module hostile --tenant idle --json").await);
    assert_eq!(told["tables"][0]["state"], "unused");
    assert!(!has_column(&platform.client("idle"), "name").await);
    let done = ok(&migrate(&platform, "up --module hostile --tenant idle --json").await);
    assert_eq!(done["changed"], 1);
    assert!(has_column(&platform.client("idle"), "name").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_at_once_do_each_step_once() {
    let names: Vec<String> = (0..12).map(|n| format!("tenant-{n}")).collect();
    let slugs: Vec<&str> = names.iter().map(String::as_str).collect();
    let platform = serving(&[POTS], &slugs).await;
    file(&platform, &[POTS, NAMES, LIDS]);
    // Of those that are served the new version already, too.
    let served = platform.inner();
    let installing = async {
        let source = hostel::ModuleSource::file(platform.data("next.wasm")).unwrap();
        served.install(source).await.unwrap();
        let calls = slugs.iter().map(async |slug| {
            platform.client(slug).get("/api/hostile/counter").await.ok();
        });
        join_all(calls).await;
    };
    let run = async || ok(&migrate(&platform, "up --module hostile --used --json").await);
    let (first, second, ()) = tokio::join!(run(), run(), installing);
    for done in [&first, &second] {
        assert_eq!(done["failures"], json!([]), "{done}");
    }
    assert!(all(&states(&platform).await, "up-to-date 0"));
    let steps = |done: &Value| done["steps"].as_array().unwrap().len();
    assert!(steps(&first) + steps(&second) <= 24, "each was done once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_brings_tables_forward_and_back_and_is_told_how_far_it_is() {
    let platform = serving(&[POTS, NAMES], &["acme", "beta"]).await;
    let migrations = platform.inner().migrations();
    let scope = MigrationScope {
        modules: vec!["hostile".parse().unwrap()],
        used_only: true,
        ..MigrationScope::default()
    };
    let seen = std::sync::Mutex::new(Vec::new());
    let tell = |progress: &hostel::MigrationProgress<'_>| {
        seen.lock().unwrap().push((
            progress.done,
            progress.total,
            progress.last.tenant.to_string(),
        ));
    };
    let down = migrations.goal_after(&scope, Direction::Down, 1).await.unwrap();
    assert_eq!(down, MigrationGoal::down(Until::Step("0000".to_owned())));
    let report = migrations.run(&scope, &down, 2, &tell).await.unwrap();
    assert_eq!((report.tenants, report.changed, report.steps), (4, 2, 2));
    let mut seen = seen.into_inner().unwrap();
    assert!(
        seen.iter().zip(1..).all(|((done, total, _), n)| (*done, *total) == (n, 4)),
        "{seen:?}"
    );
    seen.sort_by(|one, other| one.2.cmp(&other.2));
    let slugs: Vec<_> = seen.iter().map(|(_, _, slug)| slug.as_str()).collect();
    assert_eq!(slugs, ["acme", "beta", "default", "platform"]);
    let acme = platform.client("acme");
    eventually("it is not served", async || {
        let answer = acme.get("/api/hostile/counter").await;
        (answer.status() == 503).then(|| assert_eq!(answer.code(), "503 migration-undone"))
    })
    .await;
    let plan = migrations.plan(&scope, &MigrationGoal::UP).await.unwrap();
    let [step] = plan.steps.as_slice() else { panic!("{plan:?}") };
    assert_eq!((step.tenants, step.sql.as_str()), (2, NAMES.0));
    migrations.run(&scope, &MigrationGoal::UP, 1, &|_| {}).await.unwrap();
    acme.warm("/api/hostile/counter").await;

    let no_module = migrations.run(&MigrationScope::default(), &down, 1, &|_| {}).await;
    assert_eq!(no_module.unwrap_err().code(), "invalid");
    let absent = MigrationGoal::up(Until::Step("0009".to_owned()));
    let refused = migrations.run(&scope, &absent, 1, &|_| {}).await.unwrap_err();
    assert!(refused.to_string().contains("there are 0000, 0001"), "{refused}");
    let of_nobody =
        MigrationScope { tenants: vec!["nobody".parse().unwrap()], ..MigrationScope::default() };
    let refused = migrations.run(&of_nobody, &MigrationGoal::UP, 1, &|_| {}).await.unwrap_err();
    assert_eq!(refused.code(), "tenant-not-found");
}

#[tokio::test]
async fn whoever_asks_for_the_quarantine_is_an_operator_and_asks_for_something() {
    let platform = TestPlatform::start().await;
    let path = "/platform/v1/quarantine";
    assert_eq!(platform.nobody().get(path).await.code(), "401 unauthenticated");
    assert_eq!(quarantine(&platform, "").await.ok(), json!({ "items": [], "next": null }));
    for (query, code) in [
        ("?tenant=absent", "404 tenant-not-found"),
        ("?tenant=No+Slug", "400 invalid-query"),
        ("?modul=notes", "400 invalid-query"),
        ("?limit=0", "400 invalid-query"),
        ("?after=x", "400 invalid-query"),
    ] {
        assert_eq!(quarantine(&platform, query).await.code(), code, "{query}");
    }
}

/// The platform's own tables, for an older version of it.
#[tokio::test]
async fn the_platforms_own_tables_go_back_and_forth() {
    let platform = TestPlatform::start().await;
    platform.tenant("acme").await;
    let config = hostel::Config::clone(&platform.inner().config());
    let setup = platform.stop().await;
    let builder = || Platform::builder().config(config.clone());
    let own = builder().own_tables().await.unwrap();
    let all = own.migrations().await.unwrap();
    assert!(
        all.len() >= 7 && all.iter().all(|step| step.is_applied && !step.is_changed),
        "{all:?}"
    );
    let tenants = all.iter().position(|step| step.id == "0003_revisions").unwrap();
    let back = own.take_back(all[tenants].number).await.unwrap();
    assert_eq!(back.len(), all.len() - tenants - 1);
    assert!(!own.migrations().await.unwrap().last().unwrap().is_applied);
    drop(own);
    // What an older version knows is still there.
    let platform = setup.start().await;
    platform.client("acme").get("/api/probe/counter").await.ok();
    let setup = platform.stop().await;
    let own = builder().own_tables().await.unwrap();
    assert_eq!(own.take_back(0).await.unwrap().len(), all.len());
    assert!(own.migrations().await.unwrap().iter().all(|step| !step.is_applied));
    drop(own);
    let platform = setup.start().await;
    assert_eq!(platform.client("acme").get("/api/probe/counter").await.status(), 404);
}
