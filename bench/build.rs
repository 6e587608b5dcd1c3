//! Builds the guests that the benchmarks call.

#[path = "../host/cli/src/cargo_module.rs"]
mod cargo_module;

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    for (variable, guest) in [
        ("BENCH_GUEST", "bench/guest"),
        ("BENCH_GUEST_BY_HAND", "bench/guest-by-hand"),
        ("BENCH_GUEST_ENTITIES", "bench/guest-entities"),
        ("BENCH_GUEST_SMALL", "bench/guest-small"),
        ("BENCH_GUEST_STEPS", "bench/guest-steps"),
    ] {
        let root = Path::new("..");
        let sources = [guest, "bench/guest", "guest-sdk", "wit", "Cargo.lock"];
        let sources = sources.map(|path| root.join(path));
        let manifest = root.join(guest).join("Cargo.toml");
        match cargo_module::build_in_script(&manifest, &sources) {
            Ok(wasm) => println!("cargo::rustc-env={variable}={}", wasm.display()),
            Err(error) => {
                println!("cargo::error={error}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}
