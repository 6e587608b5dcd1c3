//! Builds the guests that tests serve, and tells the harness where they are.

#[path = "../host/cli/src/cargo_module.rs"]
mod cargo_module;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The variable that holds a guest's path, and the guest's crate.
const GUESTS: &[(&str, &str)] = &[
    ("HOSTEL_GUEST_NOTES", "modules/notes"),
    ("HOSTEL_GUEST_TENANTS", "modules/tenants"),
    ("HOSTEL_GUEST_BOOKINGS", "examples/bookings"),
    ("HOSTEL_GUEST_PROBE", "tests/guests/probe"),
    ("HOSTEL_GUEST_LIBRARY", "tests/guests/library"),
    ("HOSTEL_GUEST_HOSTILE", "tests/guests/hostile"),
];

fn main() -> ExitCode {
    let root = Path::new("..");
    let shared = ["guest-sdk/src", "guest-sdk/derive", "guest-sdk/Cargo.toml", "wit", "Cargo.lock"];
    for (variable, folder) in GUESTS {
        let mut sources: Vec<PathBuf> = shared.iter().map(|path| root.join(path)).collect();
        sources.push(root.join(folder));
        match cargo_module::build_in_script(&root.join(folder).join("Cargo.toml"), &sources) {
            Ok(wasm) => println!("cargo::rustc-env={variable}={}", wasm.display()),
            Err(error) => {
                println!("cargo::error={folder}: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}
