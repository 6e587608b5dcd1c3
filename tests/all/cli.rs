//! The command, as people and scripts use it.

use std::path::Path;
use std::process::Command;

use hostel_tests::{Folder, HalfSent, Hostel, notes, probe};
use insta::assert_snapshot;
use serde_json::{Value, json};

/// Exit code and complaint, without the folder that differs from run to run.
fn complaint(folder: &Folder, arguments: &[&str]) -> String {
    let done = folder.run(arguments);
    let stderr = done.stderr.replace(folder.path("").to_str().unwrap(), "[folder]/");
    format!("exit code {}\n{stderr}", done.code.unwrap())
}

fn ok(folder: &Folder, arguments: &[&str]) -> String {
    let done = folder.run(arguments);
    assert_eq!(done.code, Some(0), "{arguments:?}: {}", done.stderr);
    done.stdout
}

#[tokio::test]
async fn serve_works_in_an_empty_directory() {
    let folder = Folder::new();
    let mut command = folder.command(&["serve", "--listen", "127.0.0.1:0"]);
    command.env_remove("HOSTEL_PLATFORM_KEY");
    let hostel = Hostel::start(command);
    let nobody = hostel.nobody();
    assert_eq!(nobody.get("/health/ready").await.status(), 200);
    assert_eq!(nobody.get("/api/notes").await.code(), "401 unauthenticated");
    let listening: Value = serde_json::from_str(&hostel.line(&["listening"])).unwrap();
    assert_eq!(listening["level"], "INFO", "no terminal: the log is JSON");
    let key = folder.path("data/platform.key");
    let mode = std::os::unix::fs::PermissionsExt::mode(&key.metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600, "the key is its owner's alone");
}

#[tokio::test]
async fn dev_prints_lines_that_work_as_printed() {
    let folder = Folder::warm().await;
    let hostel = folder.start(&["dev"]);
    hostel.line(&["DEVELOPMENT MODE"]);
    let lines = hostel.lines();
    let lines: Vec<&str> =
        lines.iter().map(|line| line.trim()).filter(|line| line.starts_with("curl")).collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    for line in &lines {
        let output = Command::new("sh").args(["-c", line]).output().unwrap();
        assert!(output.status.success(), "{line}: {output:?} (this test needs curl)");
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(answer.get("code").is_none(), "{line}: a problem: {answer}");
    }
    let listed = hostel.nobody().get("/api/notes").await;
    assert!(listed.text().contains("First"), "the second line made a note: {}", listed.text());
}

#[tokio::test]
async fn tenants_made_while_it_serves_see_only_their_own_notes() {
    let folder = Folder::warm().await;
    let hostel = folder.start(&["dev"]);
    let slugs = ["one", "two", "three"];
    for slug in slugs {
        ok(&folder, &["tenant", "create", slug, "--name", &format!("House {slug}")]);
        let client = hostel.client(slug);
        let made = client.post("/api/notes", json!({ "title": format!("of {slug}") })).await;
        assert_eq!(made.status(), 201, "{}", made.text());
    }
    for slug in slugs {
        let listed = hostel.client(slug).get("/api/notes").await;
        let titles: Vec<bool> =
            slugs.iter().map(|other| listed.text().contains(&format!("of {other}"))).collect();
        let own: Vec<bool> = slugs.iter().map(|other| *other == slug).collect();
        assert_eq!(titles, own, "{slug}: {}", listed.text());
    }
    let listed: Value = serde_json::from_str(&ok(&folder, &["tenant", "list", "--json"])).unwrap();
    let listed: Vec<&str> =
        listed.as_array().unwrap().iter().map(|tenant| tenant["slug"].as_str().unwrap()).collect();
    assert_eq!(listed, ["default", "one", "platform", "three", "two"]);
    assert!(ok(&folder, &["tenant", "list"]).contains("House two"));
}

#[test]
fn a_tenant_is_made_once_and_has_a_fit_name() {
    let folder = Folder::new();
    let made: Value =
        serde_json::from_str(&ok(&folder, &["tenant", "create", "acme", "--json"])).unwrap();
    assert_eq!((&made["slug"], &made["status"]), (&json!("acme"), &json!("active")));
    assert_snapshot!("duplicate", complaint(&folder, &["tenant", "create", "acme"]));
    assert_snapshot!("bad_slug", complaint(&folder, &["tenant", "create", "Acme_1"]));
}

#[test]
fn a_mistake_in_the_configuration_is_named_with_its_place() {
    let refusals = [
        ("no_key", "listen = '127.0.0.1:1'\n\n[http]\nbody_max = 1\n"),
        ("no_section", "[htp]\nbody_max_bytes = 1\n"),
        ("no_address", "listen = 'localhost'\n"),
        ("no_number", "[runtime]\npool_slots = 'many'\n"),
        ("out_of_range", "[runtime]\n# a comment\npool_slots = 100000000\n"),
        ("no_choice", "[log]\nformat = 'xml'\n"),
        ("no_grant", "[dev]\nanonymous_grants = ['notes:*:rea*']\n"),
        ("no_instances", "[modules.instances]\nnotes = 'sometimes'\n"),
        ("no_slug", "[tenancy]\ndefault_tenant = 'Default'\n"),
        ("no_toml", "[http\n"),
        ("do_not_fit", "[limits]\ntenant_calls_max = 5000\n"),
        ("two_keys", "[platform]\nkey = 'a'\nkey_file = 'b'\n"),
    ];
    for (name, text) in refusals {
        let folder = Folder::new();
        folder.write("platform.toml", text);
        let told = complaint(&folder, &["config", "check"]);
        assert!(told.starts_with("exit code 1"), "{told}");
        assert_eq!(told.lines().filter(|line| line.starts_with("error: ")).count(), 1, "{told}");
        assert_eq!(complaint(&folder, &["serve"]), told, "serve says the same");
        assert_snapshot!(format!("config_{name}"), told);
    }
}

#[test]
fn a_flag_wins_over_a_variable_and_a_variable_over_the_file() {
    let folder = Folder::new();
    folder.write("platform.toml", "data = 'from-file'\nlisten = '127.0.0.1:1'\n");
    folder.write("other.toml", "data = 'from-other'\n");
    let data = |arguments: &[&str], variables: &[(&str, &str)]| {
        let mut command = folder.command(&["config", "show"]);
        let output = command.args(arguments).envs(variables.iter().copied()).output().unwrap();
        let shown: toml::Table = String::from_utf8(output.stdout).unwrap().parse().unwrap();
        shown["data"].as_str().unwrap().to_owned()
    };
    assert_eq!(data(&[], &[]), "from-file");
    assert_eq!(data(&["--config", "other.toml"], &[]), "from-other");
    assert_eq!(data(&[], &[("HOSTEL_CONFIG", "other.toml")]), "from-other");
    assert_eq!(data(&[], &[("HOSTEL_DATA", "from-variable")]), "from-variable");
    let both = data(&["--data", "from-flag"], &[("HOSTEL_DATA", "from-variable")]);
    assert_eq!(both, "from-flag");
    assert_snapshot!(
        "no_file",
        complaint(&folder, &["config", "check", "--config", "absent.toml"])
    );
}

#[test]
fn what_is_shown_of_a_secret_is_stars() {
    let folder = Folder::new();
    folder.write("platform.toml", format!("[platform]\nkey = '{}'\n", "5e".repeat(32)));
    let shown = ok(&folder, &["config", "show"]);
    assert!(shown.contains("***") && !shown.contains("5e5e"), "{shown}");
    let mut command = folder.command(&["config", "show"]);
    let output = command.env("HOSTEL_PLATFORM_KEY", "ab".repeat(32)).output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(shown.contains("***") && !shown.contains("abab"), "{shown}");
}

#[tokio::test]
async fn a_key_that_is_none_is_refused_without_being_shown() {
    let folder = Folder::new();
    folder.write("platform.toml", "[platform]\nkey = 'hunter2'\n");
    let told = complaint(&folder, &["serve", "--listen", "127.0.0.1:0"]);
    assert_snapshot!("bad_key", told);
    assert!(!told.contains("hunter2"));
}

#[test]
fn an_address_that_is_taken_is_named() {
    let folder = Folder::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let told = complaint(&folder, &["serve", "--listen", &address]);
    assert_snapshot!("port_in_use", told.replace(&address, "[address]"));
}

#[test]
fn inspect_tells_what_a_module_asks_for_and_offers() {
    let folder = Folder::new();
    let told = ok(&folder, &["module", "inspect", notes().to_str().unwrap()]);
    let told: Vec<String> = told
        .lines()
        .map(|line| if line.contains(" KiB, ") { "[size and time]".into() } else { line.into() })
        .collect();
    assert_snapshot!("inspect_notes", told.join("\n"));
    let json = ok(&folder, &["module", "inspect", "--json", notes().to_str().unwrap()]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["manifest"]["name"], "notes");
    assert_eq!(json["manifest"]["routes"].as_array().unwrap().len(), 5);
}

/// A component without imports and exports: the preamble alone.
const EMPTY_COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

#[test]
fn inspect_tells_why_a_file_is_no_module() {
    let folder = Folder::new();
    let whole = std::fs::read(notes()).unwrap();
    let mut flipped = whole.clone();
    flipped[100] ^= 0xff;
    let files: [(&str, &[u8]); 6] = [
        ("garbage", b"this is a text"),
        ("nothing", b""),
        ("core", b"\0asm\x01\0\0\0"),
        ("truncated", &whole[..whole.len() / 2]),
        ("empty", EMPTY_COMPONENT),
        ("cut", &whole[..7]),
    ];
    for (name, content) in files {
        folder.write(&format!("{name}.wasm"), content);
        let told = complaint(&folder, &["module", "inspect", &format!("{name}.wasm")]);
        let told = told.replace(&format!("byte {}", whole.len() / 2), "byte [half]");
        assert_snapshot!(format!("inspect_{name}"), told);
    }
    folder.write("flipped.wasm", flipped);
    let told = complaint(&folder, &["module", "inspect", "flipped.wasm"]);
    assert!(told.starts_with("exit code 1\nerror: "), "{told}");
    assert_snapshot!("inspect_absent", complaint(&folder, &["module", "inspect", "absent.wasm"]));
}

#[test]
fn a_capability_that_is_not_granted_is_named() {
    let folder = Folder::new();
    folder.write("platform.toml", "[modules.grants]\noperator = ['log']\n");
    folder.module("notes2", probe());
    let path = probe().to_str().unwrap();
    let told = complaint(&folder, &["module", "inspect", path]);
    assert!(told.contains("is not granted to it"), "{told}");
    assert!(told.contains("[modules.grants]"), "{told}");
    let told = complaint(&folder, &["serve", "--listen", "127.0.0.1:0"]);
    assert!(told.contains("data/modules/notes2.wasm: it imports `hostel:"), "{told}");
}

/// A folder with a copy of `notes` that is compiled where the build script compiled it, so that only
/// the module itself is compiled again.
pub(crate) fn notes_crate(folder: &Folder) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
    let mut workspace: toml::Table = read("Cargo.toml").parse().unwrap();
    workspace["workspace"]["members"] = toml::Value::Array(vec!["notes".into()]);
    let sdk = root.join("guest-sdk").to_str().unwrap().to_owned();
    workspace["workspace"]["dependencies"]["hostel-sdk"]["path"] = sdk.into();
    folder.write("Cargo.toml", workspace.to_string());
    folder.write("Cargo.lock", read("Cargo.lock"));
    for file in ["Cargo.toml", "src/lib.rs", "src/model.rs", "src/routes.rs", "src/seeds.rs"] {
        folder.write(&format!("notes/{file}"), read(&format!("modules/notes/{file}")));
    }
    for file in ["0001_notes.up.sql", "0001_notes.down.sql"] {
        folder.write(
            &format!("notes/migrations/{file}"),
            read(&format!("modules/notes/migrations/{file}")),
        );
    }
    let profile =
        notes().ancestors().find(|path| path.ends_with("build")).unwrap().parent().unwrap();
    std::fs::create_dir(folder.path("target")).unwrap();
    let compiled = profile.parent().unwrap().join("modules");
    std::os::unix::fs::symlink(compiled, folder.path("target/modules")).unwrap();
}

#[test]
fn build_makes_a_module_of_a_crate() {
    let folder = Folder::new();
    notes_crate(&folder);
    let told = ok(&folder, &["build", "notes", "--out", "built.wasm"]);
    assert!(told.starts_with("built.wasm (") && told.ends_with(" KiB)\n"), "{told}");
    assert!(ok(&folder, &["module", "inspect", "built.wasm"]).starts_with("notes "));
    let told = complaint(&folder, &["build", "absent"]);
    assert!(told.starts_with("exit code 1\nerror: there is no "), "{told}");
}

#[tokio::test]
async fn told_to_stop_it_answers_what_runs_and_ends_well() {
    let folder = Folder::warm().await;
    folder.module("probe", probe());
    let mut hostel = folder.start(&["serve"]);
    let mut running = HalfSent::to(hostel.address(), "/api/probe/echo", "default").await;
    hostel.terminate();
    hostel.line(&["stopping"]);
    let answer = running.finish().await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("at last"), "{answer}");
    assert_eq!(hostel.wait(), Some(0));
    hostel.line(&["stopped"]);
}

#[tokio::test]
async fn a_request_that_never_ends_does_not_keep_it_alive() {
    let folder = Folder::warm().await;
    folder.module("probe", probe());
    folder.write("platform.toml", "[http]\ndrain_timeout_ms = 100\n");
    let mut hostel = folder.start(&["serve"]);
    let _running = HalfSent::to(hostel.address(), "/api/probe/echo", "default").await;
    hostel.terminate();
    assert_eq!(hostel.wait(), Some(0));
    hostel.line(&["stopped before all requests had ended"]);
}

#[tokio::test]
async fn an_operators_module_is_served_from_its_folder() {
    let folder = Folder::warm().await;
    folder.write("mine/probe.wasm", std::fs::read(probe()).unwrap());
    folder.write("mine/read-me.txt", "no module");
    folder.write("platform.toml", "[modules]\ndirectory = 'mine'\n");
    let hostel = folder.start(&["dev"]);
    assert_eq!(hostel.nobody().get("/api/probe/secret").await.text(), "the secret");

    let empty = Folder::new();
    empty.write("platform.toml", "[modules]\ndirectory = 'absent'\n");
    assert_snapshot!("no_directory", complaint(&empty, &["serve", "--listen", "127.0.0.1:0"]));
}
