//! `hostel build`.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;

use crate::cargo_module::{BuildError, ModuleBuild};

#[derive(Args)]
pub(crate) struct Arguments {
    /// The folder of the module's crate.
    #[arg(default_value = ".")]
    crate_folder: PathBuf,
    /// Where to put the module [default: NAME.wasm in the crate's target folder].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Builds a module's crate into one file.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let built = module_of(&arguments.crate_folder, false)?;
    let module = match &arguments.out {
        Some(out) => {
            if let Some(folder) = out.parent() {
                std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
            }
            std::fs::copy(&built, out).with_context(|| out.display().to_string())?;
            out.as_path()
        }
        None => built.as_path(),
    };
    println!("{} ({} KiB)", display(module), std::fs::metadata(module)?.len().div_ceil(1024));
    Ok(())
}

/// Builds the crate in `folder`, and says where its module is.
pub(crate) fn module_of(folder: &Path, quiet: bool) -> anyhow::Result<PathBuf> {
    let manifest = folder.join("Cargo.toml");
    let target_dir = target_dir(folder)?;
    Ok(ModuleBuild { manifest, target_dir, quiet, in_development: false }.run()?)
}

/// Beside what the crate's workspace compiles for other targets, and shared with it.
pub(crate) fn target_dir(folder: &Path) -> anyhow::Result<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "cargo's own variables, as cargo reads them")]
    let (set, cargo) = (std::env::var_os("CARGO_TARGET_DIR"), std::env::var_os("CARGO"));
    if let Some(set) = set {
        return Ok(Path::new(&set).join("modules"));
    }
    // A command in a folder that is not there fails as if there were no command.
    let manifest = std::path::absolute(folder.join("Cargo.toml"))?;
    if !manifest.is_file() {
        return Err(BuildError::NoManifest(manifest).into());
    }
    let located = std::process::Command::new(cargo.unwrap_or_else(|| "cargo".into()))
        .args(["locate-project", "--workspace", "--message-format", "plain"])
        .current_dir(folder)
        .output()
        .context("cargo cannot be started: install Rust with rustup")?;
    let manifest = PathBuf::from(String::from_utf8_lossy(&located.stdout).trim());
    let root = manifest.parent().filter(|_| located.status.success()).unwrap_or(folder);
    Ok(root.join("target/modules"))
}

/// Relative to where the command was called, where that is shorter.
fn display(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(&here).unwrap_or(path).display().to_string()
}
