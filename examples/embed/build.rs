//! Builds the modules of this program: the shop, and one that only its tests load.

#[path = "../../host/cli/src/cargo_module.rs"]
mod cargo_module;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The variable that holds a module's path, and the module's crate.
const MODULES: &[(&str, &str)] = &[("SHOP_MODULE", "guest"), ("EAGER_MODULE", "tests/eager")];

fn main() -> ExitCode {
    let here = Path::new(".");
    let shared = [
        "wit",
        "../../guest-sdk/src",
        "../../guest-sdk/derive",
        "../../guest-sdk/Cargo.toml",
        "../../wit",
    ];
    for (variable, folder) in MODULES {
        let mut sources: Vec<PathBuf> = shared.iter().map(|path| here.join(path)).collect();
        sources.extend([here.join(folder), here.join("../../Cargo.lock")]);
        match cargo_module::build_in_script(&here.join(folder).join("Cargo.toml"), &sources) {
            Ok(wasm) => println!("cargo::rustc-env={variable}={}", wasm.display()),
            Err(error) => {
                println!("cargo::error={folder}: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}
