//! `hostel migrate generate`: the migrations that modules' entities lack, on both databases.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use hostel_tests::{
    Finished, Folder, TestPlatform, bookings, finish, finish_at_terminal, library, notes,
};
use serde_json::{Value, json};

fn ok(done: &Finished) -> Value {
    assert_eq!(done.code, Some(0), "{}{}", done.stdout, done.stderr);
    serde_json::from_str(&done.stdout).unwrap_or_else(|error| panic!("{error}: {}", done.stdout))
}

/// `hostel migrate generate` for a module that was built before.
async fn generate(platform: &TestPlatform, wasm: &Path, arguments: &str) -> Finished {
    fs::write(platform.data("Cargo.toml"), "").unwrap();
    let mut words = vec!["migrate", "generate", "--wasm", wasm.to_str().unwrap()];
    words.extend(arguments.split(' '));
    platform.run(&words).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_library_declares_is_what_its_migrations_make() {
    let platform = TestPlatform::start().await;
    platform.tenant("acme").await.get("/api/notes").await.ok();
    for (wasm, name) in [(notes(), "notes"), (library(), "library"), (bookings(), "bookings")] {
        let told = ok(&generate(&platform, wasm, "--scratch --json").await);
        assert_eq!((&told["changed"], &told["module"]), (&json!(false), &json!(name)), "{told}");
        // Whether its tables are there already, or would be with the next call.
        let told = ok(&generate(&platform, wasm, "--tenant acme --json").await);
        assert_eq!((&told["changed"], &told["tenant"]), (&json!(false), &json!("acme")), "{told}");
    }
    let told = ok(&generate(&platform, library(), "--tenant acme --json").await);
    assert_eq!(told["left_alone"], json!(["index `library_books_search` of `library_books`"]));
    let told = generate(&platform, notes(), "--tenant absent").await;
    assert!(told.stderr.contains("there is no tenant"), "{}", told.stderr);
    let told = generate(&platform, notes(), "--module other").await;
    assert!(told.stderr.contains("is module `notes`, and not `other`"), "{}", told.stderr);
}

/// A crate that is being written.
struct Writing {
    folder: Folder,
    platform: TestPlatform,
}

const STRUCT: &str = "    pub(crate) done: bool,\n    #[entity(created)]";

impl Writing {
    async fn begin() -> Self {
        let folder = Folder::new();
        let made = folder.run(&["new", "module", "shop"]);
        assert_eq!(made.code, Some(0), "{}", made.stderr);
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        fs::copy(root.join("Cargo.lock"), folder.path("shop/Cargo.lock")).unwrap();
        Self { folder, platform: TestPlatform::start().await }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path("shop").join(name)
    }

    fn change(&self, file: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.path(file)).unwrap();
        assert!(text.contains(from), "{file} has no {from:?}");
        fs::write(self.path(file), text.replace(from, to)).unwrap();
    }

    /// A command for the crate, with what was compiled for other tests.
    fn command(&self, arguments: &[&str]) -> Command {
        let crate_folder = self.folder.path("shop");
        let all = [arguments, &["--crate-folder", crate_folder.to_str().unwrap()]].concat();
        let mut command = self.platform.command(&all);
        command.env("CARGO_TARGET_DIR", Path::new(env!("OUT_DIR")).join("new"));
        command
    }

    async fn run(&self, arguments: &[&str]) -> Finished {
        let mut command = self.command(arguments);
        tokio::task::spawn_blocking(move || finish(&mut command)).await.unwrap()
    }

    /// At a terminal, at which somebody types `lines`.
    async fn run_asked(&self, arguments: &str, lines: &'static str) -> Finished {
        let command = self.command(&words(arguments));
        tokio::task::spawn_blocking(move || finish_at_terminal(&command, lines)).await.unwrap()
    }

    async fn generate(&self, arguments: &str) -> Value {
        ok(&self.run(&words(&format!("migrate generate --json {arguments}"))).await)
    }

    /// `hostel migrate` for the module as it was built last.
    async fn migrate(&self, built: &Value, arguments: &str) {
        let built = built["file"].as_str().unwrap();
        let arguments = format!("migrate {arguments} --tenant acme --module shop --with {built}");
        let done = self.platform.run(&words(&arguments)).await;
        assert_eq!(done.code, Some(0), "{}{}", done.stdout, done.stderr);
    }
}

fn words(text: &str) -> Vec<&str> {
    text.split(' ').filter(|word| !word.is_empty()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_generated_is_applied_and_taken_back() {
    let writing = Writing::begin().await;
    let acme = writing.platform.tenant("acme").await;
    let made = writing.generate("").await;
    assert_eq!(made["changed"], false, "{made}");
    writing.migrate(&made, "up").await;
    let insert = "INSERT INTO shop_items (id, name, done, created_at, changed_at)
                  VALUES ($1, 'Milk', $2, CURRENT_TIMESTAMP, CURRENT_TIMESTAMP)";
    let insert = insert.replace("CURRENT_TIMESTAMP", "$3");
    let row = json!([
        { "uuid": "018f0000-0000-7000-8000-000000000001" },
        false,
        { "timestamp": 1_700_000_000_000_000_i64 },
    ]);
    acme.execute(&insert, row).await.ok();

    // A column with all that it can have, another name, and one that has no default.
    writing.change(
        "src/model.rs",
        STRUCT,
        "    pub(crate) done: bool,
    #[entity(index, unique, default = \"3\", check = \"stars < 6\")]
    pub(crate) stars: Option<Whole<0, 5>>,
    pub(crate) state: State,
    #[entity(created)]",
    );
    writing.change(
        "src/model.rs",
        "/// An item's id.",
        "/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ColumnEnum, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = \"snake_case\")]
pub(crate) enum State {
    Open,
    Closed,
}

/// An item's id.",
    );
    let refused = writing.run(&["migrate", "generate", "--tenant", "acme"]).await;
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("--fill 'shop_items.state=…'"), "{}", refused.stderr);
    let fill = "--tenant acme --fill shop_items.state='open'";
    let shown = writing.generate(&format!("{fill} --dry-run")).await;
    let check = writing.run(&words(&format!("migrate generate --check {fill}"))).await;
    assert!(check.stderr.contains("a migration of shop is missing"), "{}", check.stderr);
    assert!(!writing.path("migrations/0002_change_shop_items.sqlite.up.sql").exists());
    let made = writing.generate(fill).await;
    assert_eq!(made["changes"], shown["changes"]);
    assert_eq!(made["entry"], "\"0002_change_shop_items\" per_database", "{made}");
    assert!(made["source"].as_str().unwrap().ends_with("src/lib.rs"), "{made}");

    // It is pending, and then it is applied: nothing is missing.
    let again = writing.generate("--tenant acme").await;
    assert_eq!(again["changed"], false, "{again}");
    writing.migrate(&again, "up").await;
    assert_eq!(writing.generate("--tenant acme").await["changed"], false);
    let select = "SELECT name, stars, state FROM shop_items";
    let rows = acme.query(select, json!([])).await.ok();
    assert_eq!(rows, json!([{ "name": "Milk", "stars": 3, "state": "open" }]));

    writing.migrate(&again, "down --yes").await;
    let rows = acme.query("SELECT name, done FROM shop_items", json!([])).await.ok();
    assert_eq!(rows, json!([{ "name": "Milk", "done": false }]));
    assert!(acme.query(select, json!([])).await.status() >= 400, "the columns are gone");
    // What is there is what the first step made.
    writing.change("src/lib.rs", ", \"0002_change_shop_items\" per_database", "");
    let missing = writing.generate(&format!("{fill} --dry-run")).await;
    assert_eq!(missing["up"], shown["up"]);

    what_only_a_person_knows_is_asked(&writing).await;
}

/// At a terminal, where there is one.
async fn what_only_a_person_knows_is_asked(writing: &Writing) {
    let asked = writing.run_asked("migrate generate --dry-run --tenant acme", "'open'\r").await;
    let question = "in the new column `state` of `shop_items`";
    assert!(asked.stdout.contains(question), "{}{}", asked.stdout, asked.stderr);
    assert_eq!(asked.code, Some(0), "{}{}", asked.stdout, asked.stderr);
    assert!(asked.stdout.contains("'open'"), "{}", asked.stdout);
    writing.change("src/model.rs", "    pub(crate) state: State,\n", "");
    let done = "    pub(crate) done: bool,\n    #[entity(index";
    let called = format!("    #[entity(column = \"finished\")]\n{done}");
    writing.change("src/model.rs", done, &called);
    let question = "Is column `done` of `shop_items` called `finished` now? [y/N]";
    for (answer, is_renamed) in [("y\r", true), ("\rfalse\r", false)] {
        let asked = writing.run_asked("migrate generate --dry-run --tenant acme", answer).await;
        assert!(asked.stdout.contains(question), "{}{}", asked.stdout, asked.stderr);
        assert_eq!(asked.stdout.contains("RENAME COLUMN"), is_renamed, "{}", asked.stdout);
    }
}
