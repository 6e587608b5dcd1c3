//! `hostel migrate new` and `hostel migrate check`: migrations that are being written.

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use hostel::Error;

use super::files::{
    FOLDER, add_to_source, check_crate, entry, ids, list, next_id, warn_of, words, write_new,
};

#[derive(Args)]
pub(crate) struct Arguments {
    /// What it does, in a few words: `add_tags`.
    name: String,
    /// The folder of the module's crate.
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    crate_folder: PathBuf,
    /// Write it for SQLite and PostgreSQL by themselves.
    #[arg(long)]
    per_database: bool,
}

#[derive(Args)]
pub(crate) struct CheckArguments {
    /// The folder of the module's crate.
    #[arg(default_value = ".")]
    crate_folder: PathBuf,
    /// Fail where there is something to warn of.
    #[arg(long)]
    deny_warnings: bool,
}

/// Writes the files of a new migration, and names it in the module's source.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let folder = &arguments.crate_folder;
    check_crate(folder)?;
    // Without a dot before each path that is shown.
    let folder = folder.strip_prefix(".").unwrap_or(folder);
    let migrations = folder.join(FOLDER);
    let known = ids(&migrations)?;
    let id = next_id(&known, &words(&arguments.name)?);
    fs::create_dir_all(&migrations).with_context(|| migrations.display().to_string())?;
    let databases: &[&str] = if arguments.per_database { &[".sqlite", ".postgres"] } else { &[""] };
    for database in databases {
        let path = |direction| migrations.join(format!("{id}{database}.{direction}.sql"));
        write_new(&path("up"), UP)?;
        write_new(&path("down"), DOWN)?;
        println!("made {} and {}", path("up").display(), path("down").display());
    }
    let entry = entry(&id, arguments.per_database);
    match add_to_source(folder, &entry)? {
        Some(source) => println!("added {entry} to `migrations!` in {}", source.display()),
        None => {
            println!("add it to the module: .migrations(migrations!({}))", list(&known, &entry))
        }
    }
    // The one before is most likely still being written.
    if let Some(last) = known.last() {
        warn_of(&migrations, last)?;
    }
    Ok(())
}

/// Tells of all migrations of a crate what there is to warn of.
pub(super) fn check(arguments: &CheckArguments) -> anyhow::Result<()> {
    let folder = &arguments.crate_folder;
    check_crate(folder)?;
    let migrations = folder.join(FOLDER);
    let known = ids(&migrations)?;
    let mut warnings = 0;
    for id in &known {
        warnings += warn_of(&migrations, id)?;
    }
    match (warnings, arguments.deny_warnings) {
        (0, _) => println!("nothing to warn of in {} migrations", known.len()),
        (_, false) => {}
        (warnings, true) => {
            let message = format!("there are {warnings} warnings");
            return Err(Error::invalid(message).hint("docs/migrations.md has the reasons").into());
        }
    }
    Ok(())
}

const UP: &str = "\
-- What this step changes, and why. Each tenant's tables are changed in a transaction, while the version
-- before is still served: add what is new now, take what is old away with a later version.
-- Once it was applied, this file does not change any more.
";
const DOWN: &str = "-- The way back.\n";
