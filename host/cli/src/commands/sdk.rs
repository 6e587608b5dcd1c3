//! `hostel sdk`: the SDK that this binary carries, unpacked into modules' crates.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Subcommand;
use hostel::Error;

use super::carried::{SDK, SDK_HEADER};
use super::new::write;

/// Where a crate keeps it.
pub(super) const FOLDER: &str = "hostel";

const MANIFEST: &str = "guest-sdk/Cargo.toml";

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Replace the SDK in a module's crate by the one that this `hostel` carries.
    Update {
        /// The folder of the module's crate.
        #[arg(default_value = ".")]
        crate_folder: PathBuf,
    },
}

/// Runs the command.
pub(crate) fn run(command: Command) -> anyhow::Result<()> {
    let Command::Update { crate_folder } = command;
    let folder = crate_folder.join(FOLDER);
    let manifest = fs::read_to_string(folder.join(MANIFEST)).unwrap_or_default();
    if !manifest.starts_with(SDK_HEADER) {
        return Err(Error::invalid(format!(
            "{} is no SDK that `hostel` unpacked",
            folder.display()
        ))
        .hint("name the folder of a crate that `hostel new module` made")
        .into());
    }
    replace(&crate_folder, &folder)?;
    println!("{} is the SDK of Hostel {}", folder.display(), env!("CARGO_PKG_VERSION"));
    Ok(())
}

/// Puts the new one into its place when it is whole.
fn replace(crate_folder: &Path, folder: &Path) -> anyhow::Result<()> {
    let beside = tempfile::Builder::new().prefix(".hostel-sdk-").tempdir_in(crate_folder)?;
    let new = beside.path().join("new");
    unpack(&new)?;
    let old = beside.path().join("old");
    fs::rename(folder, &old).with_context(|| folder.display().to_string())?;
    if let Err(error) = fs::rename(&new, folder) {
        fs::rename(&old, folder)?;
        return Err(error.into());
    }
    Ok(())
}

/// Writes it into a folder.
pub(super) fn unpack(folder: &Path) -> anyhow::Result<()> {
    for (path, text) in SDK {
        write(&folder.join(path), text)?;
    }
    Ok(())
}
