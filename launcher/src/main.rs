//! `cargo hostel`: makes sure that modules can be compiled, then becomes `hostel` itself.
//!
//! The `hostel` binary embeds modules, so it cannot be built before the wasm target is there.
//! This crate can: nothing that it depends on is compiled to wasm.

#![allow(
    clippy::print_stderr,
    reason = "a command that speaks to a person before the real one starts"
)]

#[path = "../../host/cli/src/cargo_module.rs"]
mod cargo_module;

use std::env;
use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::{Command, ExitCode};

use cargo_module::TARGET;

fn main() -> ExitCode {
    match launch() {
        Ok(code) => code,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

fn launch() -> Result<ExitCode, String> {
    ensure_target(Path::new("."))?;
    if is_first_build() {
        eprintln!("Building Hostel: the first build takes some minutes, later ones seconds.");
    }
    become_hostel(env::args_os().skip(1).collect())
        .map_err(|error| format!("cargo could not be started: {error}"))
}

/// Adds the modules' target to the toolchain in use when it is missing.
///
/// `rustup target add` installs that one component: unlike `rustup update` and `rustup toolchain
/// install` it never updates rustup itself. `RUSTUP_TOOLCHAIN`, which cargo's proxy has set,
/// makes it the toolchain that runs us.
fn ensure_target(directory: &Path) -> Result<(), String> {
    let installed =
        || cargo_module::target_is_installed(directory).map_err(|error| error.to_string());
    if installed()? {
        return Ok(());
    }
    eprintln!("Adding the {TARGET} target, which modules are compiled to.");
    let added = Command::new("rustup").args(["target", "add", TARGET]).status();
    rustup_outcome(added.map(|status| status.success()))?;
    // A rustc that is not rustup's may come first on the path.
    if !installed()? {
        return Err(format!(
            "rustup added {TARGET}, and the rustc on the path still lacks it: \
             put rustup's own first (`~/.cargo/bin`)"
        ));
    }
    Ok(())
}

fn rustup_outcome(outcome: io::Result<bool>) -> Result<(), String> {
    match outcome {
        Ok(true) => Ok(()),
        Ok(false) => Err(format!("rustup could not add {TARGET}: see above")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(format!(
            "this Rust toolchain has no {TARGET} target and there is no rustup to add it: \
             install Rust with rustup (https://rustup.rs, or the package `rustup` of newer \
             distributions) and run this again"
        )),
        Err(error) => Err(format!("rustup could not be started: {error}")),
    }
}

/// Whether the binary that cargo is about to build is there from before, beside this one.
fn is_first_build() -> bool {
    let beside = |exe: std::path::PathBuf| {
        let hostel = exe.with_file_name(format!("hostel{}", env::consts::EXE_SUFFIX));
        !hostel.exists()
    };
    env::current_exe().map(beside).unwrap_or(false)
}

/// What `cargo` is told: everything after `cargo hostel` goes to `hostel` as it is.
fn cargo_arguments(arguments: Vec<OsString>) -> Vec<OsString> {
    let run = ["run", "--package", "hostel-cli", "--bin", "hostel", "--"];
    run.into_iter().map(OsString::from).chain(arguments).collect()
}

/// Replaces this process, so that signals and the exit code are those of `hostel`.
#[cfg(unix)]
fn become_hostel(arguments: Vec<OsString>) -> io::Result<ExitCode> {
    use std::os::unix::process::CommandExt as _;
    Err(cargo().args(cargo_arguments(arguments)).exec())
}

#[cfg(not(unix))]
fn become_hostel(arguments: Vec<OsString>) -> io::Result<ExitCode> {
    let status = cargo().args(cargo_arguments(arguments)).status()?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

fn cargo() -> Command {
    Command::new(cargo_module::variable("CARGO").unwrap_or_else(|| "cargo".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_reach_hostel_untouched() {
        let arguments = ["tenant", "create", "--", "--yes"].map(OsString::from);
        let told = cargo_arguments(arguments.to_vec());
        assert_eq!(told[..6].join(" ".as_ref()), "run --package hostel-cli --bin hostel --");
        assert_eq!(told[6..], arguments);
    }

    #[test]
    fn an_absent_rustup_is_answered_with_what_to_install() {
        let absent = rustup_outcome(Err(io::ErrorKind::NotFound.into()));
        assert!(absent.is_err_and(|message| message.contains("install Rust with rustup")));
    }

    #[test]
    fn a_failed_rustup_points_at_its_own_words() {
        assert_eq!(rustup_outcome(Ok(true)), Ok(()));
        assert!(rustup_outcome(Ok(false)).is_err_and(|message| message.contains("see above")));
    }
}
