//! Builds the modules that the binary carries, and writes them and what `hostel new` needs into
//! files for the command to include.

#[path = "src/cargo_module.rs"]
mod cargo_module;
#[path = "build/carried.rs"]
mod carried;

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    match bundle() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("cargo::error={error}");
            ExitCode::FAILURE
        }
    }
}

fn bundle() -> Result<(), Box<dyn Error>> {
    // Not `env!`: a target directory that checkouts share would keep the path of another one. And for
    // the same reason, what is watched for changes is named from here.
    let checkout = Path::new("../..");
    let root = checkout.canonicalize()?;
    let sources = [
        "modules",
        "guest-sdk",
        "wit",
        "templates",
        "LICENSE-APACHE",
        "LICENSE-MIT",
        "rustfmt.toml",
        "Cargo.toml",
        "Cargo.lock",
    ]
    .map(|path| checkout.join(path));
    let mut entries = String::new();
    for crate_dir in module_crates(&root.join("modules"))? {
        let name = crate_dir.file_name().unwrap_or_default().to_string_lossy();
        let wasm = cargo_module::build_in_script(&crate_dir.join("Cargo.toml"), &sources)
            .map_err(|error| format!("module {name:?}: {error}"))?;
        writeln!(entries, "    ({name:?}, include_bytes!({wasm:?})),")?;
    }
    let code = format!(
        "/// The modules that this binary carries: name and component, sorted by name.\n\
         pub(crate) const BUNDLED: &[(&str, &[u8])] = &[\n{entries}];\n"
    );
    let out_dir = cargo_module::out_dir()?;
    fs::write(out_dir.join("bundled.rs"), code)?;
    fs::write(out_dir.join("carried.rs"), carried::code(&root)?)?;
    Ok(())
}

/// The folders of `modules/` that hold a crate, sorted.
fn module_crates(modules: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut crates = Vec::new();
    for entry in fs::read_dir(modules)? {
        let path = entry?.path();
        if path.join("Cargo.toml").is_file() {
            crates.push(path);
        }
    }
    crates.sort();
    Ok(crates)
}
