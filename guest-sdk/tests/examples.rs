//! What is public has an example. Examples are tested with the documentation.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails, and says where")]

use std::fs;
use std::path::{Path, PathBuf};

/// A public item, and its documentation.
struct Item {
    place: String,
    name: String,
    /// Shown where it belongs to, not by itself.
    is_part: bool,
    has_example: bool,
}

/// The public items of a file, down to its tests.
fn items(path: &Path) -> Vec<Item> {
    let text = fs::read_to_string(path).unwrap();
    let text = text.split("#[cfg(test)]\nmod tests").next().unwrap();
    let (mut has_example, mut is_exported) = (false, false);
    let mut items = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let code = line.trim_start();
        has_example &= !code.is_empty();
        has_example |= code.starts_with("///") && code.contains("```") || code == "#[doc(hidden)]";
        is_exported = code == "#[macro_export]" || is_exported && !code.is_empty();
        if let Some(name) = name(code, is_exported) {
            items.push(Item {
                place: format!("{}:{}", path.display(), index + 1),
                name: name.to_owned(),
                is_part: code.len() < line.len(),
                has_example,
            });
        }
    }
    items
}

/// The name of the item that a line declares, if it is public.
fn name(code: &str, is_exported: bool) -> Option<&str> {
    if let Some(name) = code.strip_prefix("macro_rules! ") {
        return name.strip_suffix(" {").filter(|_| is_exported);
    }
    let declared = code.strip_prefix("pub ")?;
    let declared = declared.strip_prefix("const ").unwrap_or(declared);
    let kinds = ["fn ", "struct ", "enum ", "trait ", "type "];
    let declared = kinds.iter().find_map(|kind| declared.strip_prefix(kind))?;
    let name = declared.split(|it: char| !it.is_alphanumeric() && it != '_').next();
    name.filter(|name| !name.is_empty())
}

fn sources() -> Vec<PathBuf> {
    let mut sources = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if !path.ends_with("bindings.rs") {
                sources.push(path);
            }
        }
    }
    sources.sort();
    sources
}

#[test]
fn every_public_item_is_shown_in_an_example() {
    let texts: Vec<_> = sources().iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    let examples: String = texts
        .iter()
        .flat_map(|text| text.lines())
        .filter(|line| line.trim_start().starts_with("//"))
        .collect();
    let items = sources().iter().flat_map(|path| items(path)).collect::<Vec<_>>();
    let missing: Vec<_> = items
        .iter()
        .filter(|item| !item.has_example)
        .filter(|item| {
            let is_used = |call: &str| examples.contains(&call.replace("it", &item.name));
            !item.is_part || ![".it(", ".it::<", "::it(", "::it;"].into_iter().any(is_used)
        })
        .map(|item| format!("{} {}", item.place, item.name))
        .collect();
    assert!(items.len() > 100, "the sources are read in another way than they are written");
    assert!(missing.is_empty(), "without an example:\n{}", missing.join("\n"));
}
