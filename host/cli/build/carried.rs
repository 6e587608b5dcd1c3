//! What `hostel new` writes, as code for the binary to carry: the templates, the SDK with the
//! contract that it is made from, and the versions of the crates that both were tested with.

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use toml::{Table, Value};

/// The first line of the manifest that stands alone; `hostel sdk update` replaces nothing else.
const SDK_HEADER: &str =
    "# Unpacked by `hostel`, and replaced by `hostel sdk update`: change nothing here.";

const SDK_FOLDER: &str = "guest-sdk";

const FIELDS_OF_DEPENDENCIES: [&str; 2] = ["dependencies", "build-dependencies"];

/// Paths and texts, in the order of the paths.
type Files = Vec<(String, String)>;

/// The constants for `main.rs` to include.
pub(crate) fn code(root: &Path) -> Result<String, Box<dyn Error>> {
    let workspace: Table = fs::read_to_string(root.join("Cargo.toml"))?.parse()?;
    let mut sdk = Files::new();
    for folder in [SDK_FOLDER, "guest-sdk/derive"] {
        sdk.push((format!("{folder}/Cargo.toml"), sdk_manifest(root, &workspace, folder)?));
    }
    for folder in ["guest-sdk/src", "guest-sdk/derive/src", "wit"] {
        sdk.extend(files(root, folder)?.into_iter().filter(|(path, _)| !path.ends_with(".md")));
    }
    for file in ["LICENSE-APACHE", "LICENSE-MIT", "rustfmt.toml"] {
        sdk.push((file.to_owned(), fs::read_to_string(root.join(file))?));
    }
    let mut code = String::new();
    constant(&mut code, "SDK", "The SDK and its contract: paths and texts.", &sdk)?;
    for (name, folder) in [("MODULE", "module"), ("MODULE_SLIM", "module-slim"), ("APP", "app")] {
        let template = files(&root.join("templates").join(folder), "")?;
        constant(&mut code, name, &format!("`templates/{folder}`: paths and texts."), &template)?;
    }
    let versions = versions(&workspace);
    constant(&mut code, "VERSIONS", "Crates of the workspace, and their versions.", &versions)?;
    writeln!(code, "/// How a manifest begins that this binary wrote.")?;
    writeln!(code, "pub(crate) const SDK_HEADER: &str = {SDK_HEADER:?};")?;
    Ok(code)
}

fn constant(code: &mut String, name: &str, about: &str, files: &Files) -> std::fmt::Result {
    writeln!(code, "/// {about}\npub(crate) const {name}: &[(&str, &str)] = &[")?;
    for (path, text) in files {
        writeln!(code, "    ({path:?}, {text:?}),")?;
    }
    writeln!(code, "];")
}

/// All files below a folder, with their paths from `root`.
fn files(root: &Path, folder: &str) -> Result<Files, Box<dyn Error>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root.join(folder))? {
        let entry = entry?;
        let name = entry.file_name().into_string().map_err(|name| format!("{name:?}"))?;
        let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
        if entry.file_type()?.is_dir() {
            found.extend(files(root, &path)?);
        } else {
            let text = fs::read_to_string(entry.path()).map_err(|why| format!("{path}: {why}"))?;
            found.push((path, text));
        }
    }
    found.sort();
    Ok(found)
}

/// A manifest of the SDK's for a place without our workspace: what it inherits is written out, and
/// what only its own tests need is left out.
fn sdk_manifest(root: &Path, workspace: &Table, folder: &str) -> Result<String, Box<dyn Error>> {
    let path = root.join(folder).join("Cargo.toml");
    let mut manifest: Table = fs::read_to_string(path)?.parse()?;
    for only_ours in ["bench", "dev-dependencies", "example", "lints", "test"] {
        manifest.remove(only_ours);
    }
    let shared = table(workspace, "workspace")?;
    if let Some(Value::Table(package)) = manifest.get_mut("package") {
        inherit(package, table(shared, "package")?)?;
    }
    write_out(&mut manifest, table(shared, "dependencies")?)?;
    if folder == SDK_FOLDER {
        // A workspace of its own: a manifest above must not take it for a member.
        manifest.insert("workspace".to_owned(), Value::Table(Table::new()));
    }

    let mut text = format!("{SDK_HEADER}\n\n");
    let package = manifest.remove("package").ok_or_else(|| format!("{folder} has no [package]"))?;
    write!(text, "{}\n{manifest}", Table::from_iter([("package".to_owned(), package)]))?;
    Ok(text)
}

/// Writes out inherited dependencies, those of single targets too.
fn write_out(manifest: &mut Table, shared: &Table) -> Result<(), Box<dyn Error>> {
    for field in FIELDS_OF_DEPENDENCIES {
        if let Some(Value::Table(dependencies)) = manifest.get_mut(field) {
            inherit(dependencies, shared)?;
        }
    }
    if let Some(Value::Table(targets)) = manifest.get_mut("target") {
        for (_, target) in targets {
            if let Value::Table(target) = target {
                target.remove("dev-dependencies");
                write_out(target, shared)?;
            }
        }
    }
    Ok(())
}

/// Replaces each `key.workspace = true` by the workspace's own value, and adds what stands beside.
fn inherit(fields: &mut Table, shared: &Table) -> Result<(), Box<dyn Error>> {
    for (name, value) in fields {
        let Value::Table(own) = value else { continue };
        if own.remove("workspace").is_none() {
            continue;
        }
        let own = std::mem::take(own);
        let inherited = shared.get(name).ok_or_else(|| format!("the workspace has no {name}"))?;
        let inherited = &beside_the_sdk(inherited);
        *value = inherited.clone();
        if own.is_empty() {
            continue;
        }
        let mut merged = match inherited {
            Value::Table(inherited) => inherited.clone(),
            version => Table::from_iter([("version".to_owned(), version.clone())]),
        };
        for (key, more) in own {
            match (merged.get_mut(&key), more) {
                // Features add up; anything else is replaced.
                (Some(Value::Array(all)), Value::Array(more)) => all.extend(more),
                (_, more) => drop(merged.insert(key, more)),
            }
        }
        *value = Value::Table(merged);
    }
    Ok(())
}

/// A dependency whose path is from the workspace, with one from the SDK.
fn beside_the_sdk(dependency: &Value) -> Value {
    let mut dependency = dependency.clone();
    let path = dependency.get_mut("path");
    if let Some(Value::String(path)) = path
        && let Some(below) = path.strip_prefix("guest-sdk/")
    {
        *path = below.to_owned();
    }
    dependency
}

fn versions(workspace: &Table) -> Files {
    let dependencies = workspace.get("workspace").and_then(|it| it.get("dependencies"));
    let mut versions = Files::new();
    for (name, value) in dependencies.and_then(Value::as_table).into_iter().flatten() {
        let version = value.as_str().or_else(|| value.get("version").and_then(Value::as_str));
        if let Some(version) = version {
            versions.push((name.replace('-', "_"), version.to_owned()));
        }
    }
    let rust = workspace.get("workspace").and_then(|it| it.get("package")?.get("rust-version"));
    versions.extend(rust.and_then(Value::as_str).map(|it| ("rust".to_owned(), it.to_owned())));
    versions
}

fn table<'a>(parent: &'a Table, key: &str) -> Result<&'a Table, Box<dyn Error>> {
    parent.get(key).and_then(Value::as_table).ok_or_else(|| format!("no [{key}]").into())
}
