//! The shape of the code: which part may know of which, and that `ARCHITECTURE.md` tells the truth.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// Parts of the host, from the top down: one may know those of a greater depth. Parts of one depth
/// do not know each other.
const DEPTHS: &[(&str, u8)] = &[
    ("lib", 0),
    ("platform", 1),
    ("config", 1),
    ("http", 2),
    ("folder", 2),
    ("archive", 2),
    ("migrate", 2),
    ("seeding", 2),
    ("runtime", 3),
    ("wiring", 4),
    ("capabilities", 5),
    ("usage", 5),
    ("database", 6),
    ("call", 7),
    ("key", 7),
    ("logging", 6),
    ("metering", 8),
    ("turns", 8),
    ("clock", 9),
    ("limits", 8),
    ("names", 9),
    ("processor", 9),
    ("bounded", 9),
    ("bindings", 9),
    ("schema", 9),
    ("secret", 9),
    ("watch", 9),
    ("error", 10),
];

/// Uses that go up, each with its reason.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("platform.rs", "config", "the platform is built from the whole configuration"),
    ("bindings.rs", "error", "the contract's error is made from ours"),
    ("bindings.rs", "capabilities", "the contract's resources are the capabilities' own types"),
    ("bindings.rs", "wiring", "the contract's types are linked into a store"),
    ("bindings.rs", "runtime", "the contract is bound once, for all"),
];

struct Source {
    /// Below `host/src`.
    path: String,
    text: String,
}

fn sources() -> Vec<Source> {
    let folder = root().join("host/src");
    let mut all = Vec::new();
    for path in files(&folder, "rs") {
        let text = fs::read_to_string(&path).unwrap();
        // A file's unit tests may reach further.
        let text = text.split("#[cfg(test)]").next().unwrap().to_owned();
        let below = path.strip_prefix(&folder).unwrap().display().to_string();
        all.push(Source { path: below, text });
    }
    assert!(all.len() > 20, "host/src was not read");
    all
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|own| own == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The part that a file belongs to: `runtime/engine.rs` is `runtime`.
fn part(path: &str) -> &str {
    path.split('/').next().unwrap().trim_end_matches(".rs")
}

fn depth(part: &str) -> Option<u8> {
    DEPTHS.iter().find(|(name, _)| *name == part).map(|(_, depth)| *depth)
}

/// The paths below `crate::` in the code of a file, comments aside.
fn uses(text: &str) -> Vec<String> {
    let code = code(text);
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let inside = group.split('}').next().unwrap();
            found.extend(inside.split(',').map(|item| item.trim().to_owned()));
        } else {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_' && c != ':');
            found.push(rest[..end.unwrap_or(rest.len())].to_owned());
        }
    }
    found
}

fn code(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn dependencies_inside_the_host_run_one_way() {
    let mut wrong = Vec::new();
    for source in sources() {
        let own = part(&source.path);
        let Some(from) = depth(own) else {
            wrong.push(format!("{}: `{own}` has no place in this test's list", source.path));
            continue;
        };
        for used in uses(&source.text) {
            let other = used.split("::").next().unwrap();
            // What `lib.rs` re-exports has no part of its own.
            let Some(to) = depth(other) else { continue };
            let excepted = EXCEPTIONS.iter().any(|(p, o, _)| *p == source.path && *o == other);
            if own != other && to <= from && !excepted {
                wrong.push(format!("{} uses crate::{used}", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "these go against the arrows:\n{}", wrong.join("\n"));
}

#[test]
fn no_capability_knows_another() {
    let mut wrong = Vec::new();
    for source in sources() {
        let mut folders = source.path.split('/');
        let (Some("capabilities"), Some(own)) = (folders.next(), folders.next()) else { continue };
        for used in uses(&source.text) {
            if let Some(other) = used.strip_prefix("capabilities::")
                && own != "mod.rs"
                && other.split("::").next() != Some(own)
            {
                wrong.push(format!("{} uses crate::{used}", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "capabilities stand alone:\n{}", wrong.join("\n"));
}

fn mentions(words: &[&str], allowed: impl Fn(&str) -> bool) -> Vec<String> {
    sources()
        .iter()
        .filter(|source| !allowed(&source.path))
        .filter(|source| words.iter().any(|word| code(&source.text).contains(word)))
        .map(|source| source.path.clone())
        .collect()
}

#[test]
fn only_http_knows_axum_and_status_codes() {
    let outside = mentions(&["StatusCode"], |path| path.starts_with("http/"));
    assert!(outside.is_empty(), "status codes are HTTP's: {outside:?}");
    // `platform.rs` hands the router to an embedder.
    let outside = mentions(&["axum"], |path| path.starts_with("http/") || path == "platform.rs");
    assert!(outside.is_empty(), "axum is HTTP's: {outside:?}");
}

#[test]
fn only_those_who_run_guests_know_wasmtime() {
    let allowed = |path: &str| {
        let capability = path.starts_with("capabilities/") && path.ends_with("/mod.rs");
        path.starts_with("runtime/")
            || path.starts_with("wiring")
            || capability
            || ["bindings.rs", "lib.rs"].contains(&path)
    };
    let outside = mentions(&["wasmtime::", "wasmtime_wasi"], allowed);
    // The macro that serves all capabilities gives what the bindings ask for.
    let outside: Vec<_> = outside.iter().filter(|path| *path != "capabilities/mod.rs").collect();
    assert!(outside.is_empty(), "wasmtime is the runtime's: {outside:?}");
}

#[test]
fn guests_stand_on_the_sdk_alone() {
    let root = root();
    let folders = [
        "guest-sdk",
        "bench/guest",
        "bench/guest-by-hand",
        "bench/guest-entities",
        "bench/guest-small",
        "bench/guest-steps",
    ];
    let mut manifests: Vec<_> =
        folders.iter().map(|folder| root.join(folder).join("Cargo.toml")).collect();
    for folder in ["modules", "tests/guests"] {
        for entry in fs::read_dir(root.join(folder)).unwrap() {
            manifests.push(entry.unwrap().path().join("Cargo.toml"));
        }
    }
    for path in manifests {
        let manifest: toml::Table = fs::read_to_string(&path).unwrap().parse().unwrap();
        let dependencies = manifest["dependencies"].as_table().unwrap();
        assert!(!dependencies.contains_key("hostel"), "{} depends on the host", path.display());
        if manifest["package"]["name"].as_str() != Some("hostel-sdk") {
            assert!(dependencies.contains_key("hostel-sdk"), "{}", path.display());
        }
    }
}

#[test]
fn the_host_knows_nothing_of_the_sdk() {
    for crate_folder in ["host", "host/cli"] {
        let path = root().join(crate_folder).join("Cargo.toml");
        let manifest = fs::read_to_string(&path).unwrap();
        assert!(!manifest.contains("hostel-sdk"), "{}: they share wit/ alone", path.display());
    }
}

#[test]
fn the_architecture_names_every_folder() {
    let root = root();
    let architecture = fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap();
    let mut missing = Vec::new();
    for folder in folders(&root) {
        let name = folder.file_name().unwrap().to_str().unwrap();
        if !is_named(&architecture, name) {
            missing.push(name.to_owned());
        }
        for inner in folders(&folder) {
            let inner = inner.file_name().unwrap().to_str().unwrap();
            if !is_named(&architecture, inner) {
                missing.push(format!("{name}/{inner}"));
            }
        }
    }
    assert!(missing.is_empty(), "ARCHITECTURE.md does not name {missing:?}");
}

fn is_named(text: &str, folder: &str) -> bool {
    text.contains(&format!("{folder}/")) || text.contains(&format!("`{folder}`"))
}

/// The folders that hold sources of this project.
fn folders(of: &Path) -> Vec<PathBuf> {
    // What every crate and every module has, and what is no part of the code.
    const KNOWN: [&str; 6] = ["src", "target", "data", "snapshots", "migrations", "tests"];
    fs::read_dir(of)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .filter(|path| {
            let name = path.file_name().unwrap().to_str().unwrap();
            let is_top = path.parent() == Some(&root());
            !name.starts_with('.')
                && (is_top && name != "target" && name != "data" || !KNOWN.contains(&name))
        })
        .collect()
}

#[test]
fn every_invariant_names_a_test_that_is_there() {
    let root = root();
    let architecture = fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap();
    let (_, invariants) =
        architecture.split_once("## Invariants").expect("ARCHITECTURE.md has `## Invariants`");
    let invariants = invariants.split("\n## ").next().unwrap();
    let numbered: Vec<&str> = invariants
        .lines()
        .filter(|line| line.split_once(". ").is_some_and(|(n, _)| n.parse::<u32>().is_ok()))
        .collect();
    assert!(!numbered.is_empty(), "there are numbered invariants");
    let tests = test_functions(&root);
    let mut wrong = Vec::new();
    for line in numbered {
        let named = line.rsplit_once("(test: ").and_then(|(_, rest)| rest.strip_suffix(')'));
        let Some(named) = named.map(|named| named.trim_matches('`')) else {
            wrong.push(format!("names no test: {line}"));
            continue;
        };
        for name in named.split(", ") {
            let (file, function) = name.rsplit_once("::").unwrap_or(("", name));
            let module = file.rsplit("::").find(|part| *part != "tests").unwrap_or_default();
            if !tests.iter().any(|(m, f)| {
                f == function.trim_matches('`')
                    && (module.is_empty() || m == module.trim_matches('`'))
            }) {
                wrong.push(format!("there is no test {name}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Module and name of every test function.
pub(crate) fn test_functions(root: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for folder in ["host", "tests", "guest-sdk", "modules", "examples"] {
        for path in files(&root.join(folder), "rs") {
            let stem = path.file_stem().unwrap().to_str().unwrap();
            let module = if stem == "mod" {
                path.parent().unwrap().file_name().unwrap().to_str().unwrap()
            } else {
                stem
            };
            let text = fs::read_to_string(&path).unwrap();
            let functions = text.split("fn ").skip(1).filter_map(|rest| rest.split('(').next());
            found.extend(functions.map(|name| (module.to_owned(), name.trim().to_owned())));
        }
    }
    found
}
