//! `hostel new` and `hostel sdk`: what they write builds, passes its own tests and is served.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use hostel_tests::{Folder, notes};
use insta::assert_snapshot;
use serde_json::json;

fn complaint(folder: &Folder, arguments: &[&str]) -> String {
    let done = folder.run(arguments);
    format!("exit code {}\n{}", done.code.unwrap(), done.stderr)
}

fn ok(folder: &Folder, arguments: &[&str]) -> String {
    let done = folder.run(arguments);
    assert_eq!(done.code, Some(0), "{arguments:?}: {}", done.stderr);
    done.stdout
}

/// All files below a folder, sorted.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// `cargo` in a rendered crate, with the versions that this repository is tested with and nothing of
/// the cargo that runs this test.
fn cargo(crate_folder: &Path, arguments: &[&str]) {
    fs::copy(root().join("Cargo.lock"), crate_folder.join("Cargo.lock")).unwrap();
    let output = Command::new("cargo")
        .args(arguments)
        .current_dir(crate_folder)
        .env("CARGO_TARGET_DIR", Path::new(env!("OUT_DIR")).join("new"))
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        .env("CARGO_INCREMENTAL", "0")
        .env("HOSTEL", hostel_tests::program())
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .output()
        .unwrap();
    let (said, told) = (&output.stdout, &output.stderr);
    let told = [said, told].map(|text| String::from_utf8_lossy(text)).concat();
    assert!(output.status.success(), "cargo {arguments:?}: {told}");
}

#[test]
fn a_module_is_made_with_its_sdk() {
    let folder = Folder::new();
    let told = ok(&folder, &["new", "module", "bookings"]);
    assert_snapshot!("new_module", told);
    let made = files(&folder.path("bookings"));
    let (sdk, own): (Vec<_>, Vec<_>) = made.iter().partition(|path| path.starts_with("hostel/"));
    assert_snapshot!(
        "new_module_files",
        own.iter().map(|it| format!("{it}\n")).collect::<String>()
    );
    for needed in [
        "hostel/guest-sdk/Cargo.toml",
        "hostel/guest-sdk/derive/src/lib.rs",
        "hostel/wit/world.wit",
        "hostel/LICENSE-MIT",
    ] {
        assert!(sdk.iter().any(|path| *path == needed), "{needed}: {sdk:?}");
    }
    let bytes = |path: &String| fs::metadata(folder.path("bookings").join(path)).unwrap().len();
    let total: u64 = sdk.iter().map(|path| bytes(path)).sum();
    assert!(total < 600 * 1024, "the SDK is committed with every module: {total} bytes");
    let texts = made.iter().map(|path| folder.path("bookings").join(path));
    for text in texts.filter(|path| !path.to_str().unwrap().contains("/hostel/")) {
        let text = fs::read_to_string(text).unwrap();
        assert!(!text.contains("{{ ") && text.ends_with('\n'), "{text}");
    }
}

#[test]
fn what_is_made_is_formatted_whatever_its_name() {
    let folder = Folder::new();
    let long = "a-name-as-long-as-one-may-be";
    for name in ["x", long] {
        ok(&folder, &["new", "module", name]);
        cargo(&folder.path(name), &["fmt", "--", "--check"]);
        ok(&folder, &["new", "module", &format!("s{}", &name[1..]), "--slim"]);
        cargo(&folder.path(format!("s{}", &name[1..])), &["fmt", "--", "--check"]);
        let app = format!("b{}", &name[1..]);
        ok(&folder, &["new", "app", &app, "--hostel", root().to_str().unwrap()]);
        cargo(&folder.path(app), &["fmt", "--", "--check"]);
    }
}

#[test]
fn a_name_that_is_none_is_refused_with_one_that_would_do() {
    let folder = Folder::new();
    let long = "a".repeat(33);
    let names = [
        "",
        "Bookings",
        "book_shop",
        "../up",
        "-x",
        "größe",
        &long,
        "3d",
        "fn",
        "std",
        "proc-macro",
        "serde",
        "deps",
        "notes",
    ];
    let told: Vec<String> = names
        .iter()
        .map(|name| format!("{name:?}: {}", complaint(&folder, &["new", "module", "--", name])))
        .collect();
    assert_snapshot!("new_names", told.join("\n"));
    assert_eq!(files(&folder.path("")), Vec::<String>::new());
}

#[test]
fn what_is_there_is_not_touched() {
    let folder = Folder::new();
    folder.write("bookings/mine.txt", "mine");
    folder.write("lists", "mine");
    std::os::unix::fs::symlink("nowhere", folder.path("links")).unwrap();
    assert_snapshot!("new_existing", complaint(&folder, &["new", "module", "bookings"]));
    for name in ["lists", "links"] {
        let told = complaint(&folder, &["new", "module", name]);
        assert!(told.contains("is there already"), "{told}");
    }
    assert_eq!(files(&folder.path("bookings")), ["mine.txt"]);
    assert!(!folder.path("nowhere").exists());
}

#[test]
fn nothing_is_left_of_what_fails_in_the_middle() {
    let folder = Folder::new();
    let hostel = folder.command(&[]).get_program().to_owned();
    // No file may be larger than a few blocks, which some of the SDK's are.
    let limited = "trap '' XFSZ; ulimit -f 4; exec \"$0\" new module bookings";
    let output = Command::new("sh")
        .args(["-c".as_ref(), limited.as_ref(), hostel.as_os_str()])
        .current_dir(folder.path(""))
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && told.starts_with("error: "), "{told}");
    assert_eq!(fs::read_dir(folder.path("")).unwrap().count(), 0, "{told}");
}

#[test]
fn an_sdk_is_brought_up_to_date() {
    let folder = Folder::new();
    ok(&folder, &["new", "module", "bookings"]);
    let fresh = files(&folder.path("bookings"));
    folder.write("bookings/hostel/guest-sdk/src/lib.rs", "// of another version");
    folder.write("bookings/hostel/guest-sdk/src/gone.rs", "// not in this version");
    folder.write("bookings/src/lib.rs", "// mine");
    ok(&folder, &["sdk", "update", "bookings"]);
    assert_eq!(files(&folder.path("bookings")), fresh);
    let text = |path: &str| fs::read_to_string(folder.path("bookings").join(path)).unwrap();
    assert!(text("hostel/guest-sdk/src/lib.rs").contains("pub mod prelude"));
    assert_eq!(text("src/lib.rs"), "// mine");

    folder.write("other/hostel/guest-sdk/Cargo.toml", "[package]\nname = 'mine'\n");
    assert_snapshot!("sdk_update_other", complaint(&folder, &["sdk", "update", "other"]));
    assert_eq!(files(&folder.path("other")), ["hostel/guest-sdk/Cargo.toml"]);
}

/// `hostel build` of a rendered crate, with the crates that the build script has compiled for `notes`.
fn build(folder: &Folder, name: &str, out: &str) {
    fs::copy(root().join("Cargo.lock"), folder.path(name).join("Cargo.lock")).unwrap();
    let compiled = notes().ancestors().find(|path| path.ends_with("build")).unwrap();
    let target = compiled.ancestors().nth(2).unwrap().to_str().unwrap().to_owned();
    let build = ["build", name, "--out", out];
    let output = folder.command(&build).env("CARGO_TARGET_DIR", target).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// What every module has to carry grows with each line of the SDK that nothing keeps out of those
/// that do not use it.
#[test]
fn the_smallest_module_is_small() {
    let folder = Folder::new();
    ok(&folder, &["new", "module", "tea", "--slim"]);
    build(&folder, "tea", "tea.wasm");
    let bytes = fs::metadata(folder.path("tea.wasm")).unwrap().len();
    assert!(bytes <= 120 * 1024, "{bytes} bytes");
}

/// Inside of another workspace.
#[tokio::test]
async fn a_module_is_built_and_served_as_its_readme_says() {
    let folder = Folder::warm().await;
    folder.write("Cargo.toml", "[workspace]\nmembers = []\n");
    ok(&folder, &["new", "module", "bookings"]);
    build(&folder, "bookings", "data/modules/bookings.wasm");

    folder.write("platform.toml", "[dev]\nanonymous_grants = ['bookings:*']\n");
    let hostel = folder.start(&["serve"]);
    let client = hostel.nobody();
    let made = client.post("/api/bookings", json!({ "name": " Milk " })).await;
    assert_eq!(made.status(), 201, "{}", made.text());
    let item = made.json();
    assert_eq!((&item["name"], &item["done"]), (&json!("Milk"), &json!(false)));
    let path = format!("/api/bookings/{}", item["id"].as_str().unwrap());
    assert_eq!(client.get(&path).await.json(), item);
    let change = |name: &str| {
        client.request("PUT", &path).json(&json!({ "name": name, "done": true })).send()
    };
    assert_eq!(change("Milk").await.json()["done"], json!(true));
    assert_eq!(change("Bread").await.code(), "409 already-done");
    client.post("/api/bookings", json!({ "name": "Eggs" })).await;
    let page = client.get("/api/bookings?limit=1").await.json();
    assert_eq!(page["items"][0]["name"], "Eggs");
    let next = format!("/api/bookings?limit=1&cursor={}", page["next"].as_str().unwrap());
    assert_eq!(client.get(&next).await.json()["items"][0]["name"], "Milk");
    assert_eq!(client.request("DELETE", &path).send().await.status(), 204);
    assert_eq!(client.get(&path).await.code(), "404 not-found");
}

#[test]
fn a_module_passes_its_own_tests_and_lints() {
    let folder = Folder::new();
    ok(&folder, &["new", "module", "bookings"]);
    ok(&folder, &["new", "module", "hi", "--slim"]);
    // With a further step, which each database is told in its own words.
    let step = ["migrate", "new", "by_name", "--per-database", "--crate-folder", "bookings"];
    ok(&folder, &step);
    for (database, up) in [("sqlite", "CREATE INDEX"), ("postgres", "CREATE INDEX CONCURRENTLY")] {
        let file = format!("bookings/migrations/0002_by_name.{database}.up.sql");
        folder.write(&file, format!("{up} bookings_by_name ON bookings_items (name);\n"));
    }
    let wasm = ["clippy", "--target", "wasm32-wasip2", "--", "-D", "warnings"];
    for name in ["bookings", "hi"] {
        let made = folder.path(name);
        cargo(&made, &["test"]);
        cargo(&made, &["clippy", "--all-targets", "--", "-D", "warnings"]);
        cargo(&made, &wasm);
    }
}

#[test]
fn an_app_is_made_beside_a_clone() {
    let folder = Folder::new();
    assert_snapshot!("new_app_without", complaint(&folder, &["new", "app", "shop"]));
    let elsewhere = complaint(&folder, &["new", "app", "shop", "--hostel", "."]);
    assert_snapshot!("new_app_elsewhere", elsewhere);
    let told = ok(&folder, &["new", "app", "shop", "--hostel", root().to_str().unwrap()]);
    assert_snapshot!("new_app", told.replace(root().to_str().unwrap(), "[clone]"));
    assert_snapshot!("new_app_files", files(&folder.path("shop")).join("\n"));
    // What a relative path means does not change with the folder.
    std::os::unix::fs::symlink(root(), folder.path("clone")).unwrap();
    ok(&folder, &["new", "app", "beside", "--hostel", "clone/"]);
    for app in ["shop", "beside"] {
        cargo(&folder.path(app), &["metadata", "--no-deps", "--format-version", "1"]);
    }
    let manifest = fs::read_to_string(folder.path("beside/Cargo.toml")).unwrap();
    assert!(manifest.contains(r#"hostel = { path = "../clone/host" }"#), "{manifest}");
}
