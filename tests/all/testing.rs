//! `hostel test`, and the host that it runs tests against. What tests say of a module with
//! `hostel_sdk::testing` is in `modules/notes/tests`.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};

use hostel_tests::{Folder, until};

use crate::cli::notes_crate;

/// Notes, which natively is a crate without dependencies: only the module's own build is compared
/// with what is there already.
fn tested_crate() -> Folder {
    let folder = Folder::new();
    notes_crate(&folder);
    let read = |path: &str| std::fs::read_to_string(folder.path(path)).unwrap();
    let mut manifest: toml::Table = read("notes/Cargo.toml").parse().unwrap();
    manifest.remove("dev-dependencies");
    let dependencies = manifest.remove("dependencies").unwrap();
    let wasm = toml::Table::from_iter([("dependencies".to_owned(), dependencies)]);
    let target =
        toml::Table::from_iter([("cfg(target_family = \"wasm\")".to_owned(), wasm.into())]);
    manifest.insert("target".to_owned(), target.into());
    folder.write("notes/Cargo.toml", manifest.to_string());
    let library = read("notes/src/lib.rs").replacen(
        "\nmod ",
        "\n#![cfg(target_family = \"wasm\")]\n\nmod ",
        1,
    );
    folder.write("notes/src/lib.rs", library);
    folder.write(
        "notes/tests/passes.rs",
        r#"#[test]
        fn passes() {
            std::fs::write("../access", std::env::var("HOSTEL_TEST_HOST").unwrap()).unwrap();
        }"#,
    );
    folder.write("notes/tests/fails.rs", "#[test] fn fails() { panic!() }");
    folder.write("tmp/.keep", "");
    folder
}

fn command(folder: &Folder, arguments: &[&str]) -> Command {
    let mut command = folder.command(arguments);
    // What was compiled is in the crate's own target folder, and temporary folders are looked for.
    command.env_remove("CARGO_TARGET_DIR").env("TMPDIR", folder.path("tmp"));
    command
}

fn assert_nothing_is_left(folder: &Folder, access: &str) {
    let (address, _) = access.split_once(' ').unwrap();
    TcpStream::connect(address).expect_err("the host has gone");
    let left: Vec<_> = std::fs::read_dir(folder.path("tmp"))
        .unwrap()
        .map(|file| file.unwrap().file_name())
        .filter(|name| name.to_str().unwrap().starts_with("hostel-test-"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

/// The status of a question to the host.
fn ask(access: &str, token: &str, body: &str) -> String {
    let (address, _) = access.split_once(' ').unwrap();
    let mut stream = TcpStream::connect(address.parse::<SocketAddr>().unwrap()).unwrap();
    write!(
        stream,
        "POST /tenants HTTP/1.1\r\nhost: test\r\nconnection: close\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_modules_tests_give_their_exit_code_and_leave_nothing_behind() {
    let folder = tested_crate();
    let run = |test: &str| {
        let output = command(&folder, &["test", "notes", "--", "--test", test]).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, told) = run("passes");
    assert_eq!(code, Some(0), "{told}");
    let access = std::fs::read_to_string(folder.path("access")).unwrap();
    assert_nothing_is_left(&folder, &access);
    let (code, told) = run("fails");
    assert_eq!(code, Some(101), "{told}");
    assert_nothing_is_left(&folder, &access);
    let (code, told) = run("absent");
    assert_eq!(code, Some(101), "{told}");
}

#[test]
fn a_test_host_serves_who_has_its_token_and_ends_with_its_input() {
    let folder = tested_crate();
    let mut host = command(&folder, &["test-host", "notes"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut access = String::new();
    BufReader::new(host.stdout.take().unwrap()).read_line(&mut access).unwrap();
    let access = access.trim();
    let (_, token) = access.split_once(' ').unwrap();
    let wanted = |grant: &str, setting: &str, limit: &str| {
        format!(
            r#"{{"grants":["{grant}"],"settings":{{{setting}}},"limits":{{{limit}}},"clock_micros":null}}"#
        )
    };
    let good = wanted("notes:*", "", "");
    let answer = ask(access, token, &good);
    assert!(
        answer.starts_with("HTTP/1.1 201") && answer.contains(r#""module":"notes""#),
        "{answer}"
    );
    let answer = ask(access, "another", &good);
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    for (bad, named) in [
        (wanted("notes:*:rea*", "", ""), "notes:*:rea*"),
        (wanted("notes:*", r#""page-size":"1000""#, ""), "settings.notes.page-size"),
        (wanted("notes:*", r#""pages":"1""#, ""), "declares no such setting"),
        (wanted("notes:*", "", r#""cpu_s":1"#), "cpu_s"),
    ] {
        let answer = ask(access, token, &bad);
        assert!(answer.starts_with("HTTP/1.1 422") && answer.contains(named), "{answer}");
    }
    drop(host.stdin.take());
    let ended = until("the host ends", || host.try_wait().unwrap());
    assert_eq!(ended.code(), Some(0));
    assert_nothing_is_left(&folder, access);
}

#[test]
fn a_crate_that_is_not_there_is_named() {
    let folder = Folder::new();
    let done = folder.run(&["test", "absent"]);
    assert_eq!(done.code, Some(1));
    assert!(done.stderr.starts_with("error: there is no "), "{}", done.stderr);
}
