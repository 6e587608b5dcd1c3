//! Names that the host takes for a module, and cargo and rustc for a crate.

use hostel::{Error, ModuleName, Result};

use crate::commands::bundled::BUNDLED;

/// Words of the language (its reference, "Keywords"), in every edition.
const KEYWORDS: &[&str] = &[
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate",
    "do", "dyn", "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl",
    "in", "let", "loop", "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref",
    "return", "self", "static", "struct", "super", "trait", "true", "try", "type", "typeof",
    "union", "unsafe", "unsized", "use", "virtual", "where", "while", "yield",
];

/// Crates that come with the compiler.
const STANDARD_CRATES: &[&str] = &["alloc", "core", "proc-macro", "std", "test"];

/// Crates that the templates depend on.
const DEPENDENCIES: &[&str] =
    &["axum", "hostel", "hostel-sdk", "schemars", "serde", "tokio", "tracing"];

/// Folders of cargo's own, in which it would put a program of that name.
const CARGO_FOLDERS: &[&str] = &["build", "deps", "examples", "incremental"];

/// Whether a crate and a module may have this name.
pub(super) fn check(name: &str) -> Result<()> {
    if let Err(error) = name.parse::<ModuleName>() {
        return Err(match fitting(name) {
            Some(fitting) => error.hint(format!("`{fitting}` would do")),
            None => error.hint("take a short word for what the module is about"),
        });
    }
    let Some(reason) = taken(name) else { return Ok(()) };
    Err(Error::invalid(format!("`{name}` cannot be its name: {reason}"))
        .hint(format!("`my-{name}` would do")))
}

/// Why no crate can have this name, if none can.
fn taken(name: &str) -> Option<&'static str> {
    if name.starts_with(|first: char| first.is_ascii_digit()) {
        return Some("a crate's name begins with a letter");
    }
    let lists = [
        (KEYWORDS, "it is a word of the Rust language"),
        (STANDARD_CRATES, "it is a crate of the Rust compiler's own"),
        (DEPENDENCIES, "it is a crate that it depends on"),
        (CARGO_FOLDERS, "cargo has a folder of that name"),
    ];
    if let Some((_, reason)) = lists.iter().find(|(names, _)| names.contains(&name)) {
        return Some(reason);
    }
    BUNDLED
        .iter()
        .any(|(bundled, _)| *bundled == name)
        .then_some("Hostel carries a module of that name")
}

/// What the person may have meant, where there is something.
fn fitting(name: &str) -> Option<String> {
    let plain = name.to_ascii_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let cut: String = plain.trim_matches('-').chars().take(ModuleName::LENGTH_MAX).collect();
    let fitting = cut.trim_matches('-');
    let fits = fitting.parse::<ModuleName>().is_ok() && taken(fitting).is_none();
    fits.then(|| fitting.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_do_does() {
        for (name, expected) in [
            ("Book_Shop", Some("book-shop")),
            ("größe", Some("gr--e")),
            ("../etc", Some("etc")),
            ("Notes", None),
            ("", None),
            ("---", None),
        ] {
            assert_eq!(fitting(name).as_deref(), expected, "{name:?}");
        }
        let long = fitting(&"ab-".repeat(20)).unwrap();
        assert!(long.len() <= ModuleName::LENGTH_MAX && check(&long).is_ok());
    }

    #[test]
    fn what_is_suggested_in_place_of_a_taken_name_is_free() {
        for name in [KEYWORDS, STANDARD_CRATES, DEPENDENCIES, CARGO_FOLDERS].concat() {
            assert!(check(name).is_err(), "{name}");
            assert!(check(&format!("my-{name}")).is_ok(), "{name}");
        }
    }
}
