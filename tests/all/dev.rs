//! `hostel dev` on the sources of a module: built, served, and swapped when they change.

use std::fs;
use std::path::Path;
use std::time::Duration;

use hostel_tests::{Client, Folder, Hostel, PLATFORM_KEY, eventually, within};

/// A crate of a module that is compiled in seconds, with what was compiled for other tests.
fn greeting(folder: &Folder) -> String {
    let made = folder.run(&["new", "module", "hi", "--slim"]);
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    fs::copy(root.join("Cargo.lock"), folder.path("hi/Cargo.lock")).unwrap();
    fs::read_to_string(folder.path("hi/src/lib.rs")).unwrap()
}

fn dev(folder: &Folder) -> Hostel {
    let mut command = folder.command(&["dev", "--listen", "127.0.0.1:0"]);
    command
        .current_dir(folder.path("hi"))
        .env("CARGO_TARGET_DIR", Path::new(env!("OUT_DIR")).join("new"))
        .env("HOSTEL_PLATFORM_KEY", PLATFORM_KEY);
    Hostel::start(command)
}

async fn answers(client: &Client, text: &str) {
    eventually(&format!("an answer {text:?}"), async || {
        let answer = client.get("/api/hi/you").await;
        (answer.status() == 200 && answer.text() == text).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_is_saved_is_served_and_what_does_not_build_leaves_what_was() {
    let folder = Folder::warm().await;
    let source = greeting(&folder);
    let hostel = dev(&folder);
    hostel.line(&["DEVELOPMENT MODE"]);
    assert!(!hostel.lines().iter().any(|line| line.contains("curl")), "nothing is there to call");
    let client = hostel.nobody();
    assert_eq!(client.get("/api/notes").await.code(), "404 route-not-found", "no example");
    // Everything that a module is made of may have to be compiled first.
    within(Duration::from_secs(150), "the first build", async || {
        (client.get("/api/hi/you").await.text() == "Hello, you!").then_some(())
    })
    .await;

    hostel.line(&["hi is served at http://", "/api/hi."]);

    let good_day = source.replace("Hello,", "Good day,");
    folder.write("hi/src/lib.rs", &good_day);
    answers(&client, "Good day, you!").await;
    let line = hostel.line(&["built in", "swapped"]);
    assert!(line.contains("hi 0.1.0") && line.contains("ms"), "{line}");

    // As editors save: the new file takes the old one's place.
    folder.write("hi/src/new.rs", "this is no Rust");
    fs::rename(folder.path("hi/src/new.rs"), folder.path("hi/src/lib.rs")).unwrap();
    hostel.line(&["hi", "served as before"]);
    answers(&client, "Good day, you!").await;
    folder.write("hi/src/lib.rs", &good_day);
    hostel.line(&["hi builds again; what is served is the same"]);
    let errors = hostel.lines().iter().filter(|line| line.contains("served as before")).count();
    assert_eq!(errors, 1, "one save, one build");

    // Routes and permissions change with the code.
    let closed = source
        .replace(".public()", ".requires(\"hi:greet\")")
        .replace(
            ".about(\"Greets\")",
            ".about(\"Greets\").permission(\"hi:greet\", \"Be greeted\")",
        )
        .replace("\"/{name}\"", "\"/hello/{name}\"");
    folder.write("hi/src/lib.rs", closed);
    eventually("the new route", async || {
        (client.get("/api/hi/hello/you").await.status() == 200).then_some(())
    })
    .await;
    assert_eq!(client.get("/api/hi/you").await.code(), "404 route-not-found");
}
