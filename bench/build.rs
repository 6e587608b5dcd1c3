//! Builds the guest that the benchmarks call.

#[path = "../host/cli/src/cargo_module.rs"]
mod cargo_module;

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let root = Path::new("..");
    let sources = ["bench/guest", "guest-sdk", "wit", "Cargo.lock"].map(|path| root.join(path));
    match cargo_module::build_in_script(&root.join("bench/guest/Cargo.toml"), &sources) {
        Ok(wasm) => {
            println!("cargo::rustc-env=BENCH_GUEST={}", wasm.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("cargo::error={error}");
            ExitCode::FAILURE
        }
    }
}
