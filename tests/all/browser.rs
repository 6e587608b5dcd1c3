//! `/docs` in a real browser, and the code that it shows, run. `scripts/test` says where the browser
//! is.

use std::path::Path;
use std::process::{Command, Output};

use hostel_tests::TestPlatform;
use tempfile::TempDir;

use crate::tools::{Tools, finished};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_is_used_and_its_samples_run() {
    let tools = Tools::found();
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    platform.tenant("other").await;
    let folder = tempfile::tempdir().unwrap();
    let url = format!("http://{}", platform.address());
    let mut using = tools.script("docs_page.py");
    using.arg(Tools::chromium()).arg(&url).arg(folder.path());
    finished(using).await;
    if let Some(kept) = Tools::pictures() {
        for name in ["light.png", "dark.png", "phone.png"] {
            std::fs::copy(folder.path().join(name), kept.join(name)).unwrap();
        }
    }
    let made = async || {
        let notes = acme.get("/api/notes?limit=100").await.ok();
        let notes = notes["items"].as_array().unwrap().clone();
        notes.iter().filter(|note| note["title"] == "It's \"quoted\" \\ and ünïcode").count()
    };
    // One was made in the browser, by the sample in JavaScript.
    assert_eq!(made().await, 1);
    let mut shell = Command::new("sh");
    shell.arg(folder.path().join("sample.sh"));
    assert!(stdout(&finished(shell).await).contains("\"version\":1"));
    let mut python = tools.python();
    python.arg(folder.path().join("sample.py"));
    assert!(stdout(&finished(python).await).starts_with("201 {"));
    let mut rust = Command::new(compiled(&folder));
    rust.env_remove("RUST_LOG");
    assert!(stdout(&finished(rust).await).starts_with("201 {"));
    assert_eq!(made().await, 4);
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The sample in Rust, compiled against the `ureq` that modules' tests use: cargo would make another.
fn compiled(folder: &TempDir) -> std::path::PathBuf {
    let (source, program) = (folder.path().join("sample.rs"), folder.path().join("sample"));
    let libraries = hostel_tests::program().parent().unwrap().join("deps");
    let mut refusals = Vec::new();
    for library in libraries_of("ureq", &libraries) {
        let output = Command::new("rustc")
            .args(["--edition", "2024", "-L"])
            .arg(format!("dependency={}", libraries.display()))
            .arg("--extern")
            .arg(format!("ureq={}", library.display()))
            .arg("-o")
            .args([&program, &source])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        if output.status.success() {
            return program;
        }
        refusals.push(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    panic!("the sample does not compile: {refusals:?}");
}

/// A crate may have been compiled more than once.
fn libraries_of(name: &str, folder: &Path) -> Vec<std::path::PathBuf> {
    let prefix = format!("lib{name}-");
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let named = entries.filter(|entry| {
        let file = entry.file_name().to_string_lossy().into_owned();
        file.starts_with(&prefix) && file.ends_with(".rlib")
    });
    let mut named: Vec<_> = named.collect();
    named.sort_by_key(|entry| std::cmp::Reverse(entry.metadata().unwrap().modified().unwrap()));
    named.iter().map(std::fs::DirEntry::path).collect()
}
