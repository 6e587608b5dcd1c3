//! `hostel db`: what a PostgreSQL server must allow, and must not.

use clap::Subcommand;
use hostel::{Error, Preparation, Secret};

use super::confirm;
use crate::options::Options;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Prepare the PostgreSQL database of `database.url`, as a superuser: make its role and the
    /// database where they are missing, and take from everybody what guests must not have. Done once;
    /// doing it again changes nothing.
    Prepare {
        /// The address of a superuser, such as postgres://postgres:password@host/postgres.
        #[arg(long, value_name = "URL", env = "HOSTEL_SUPERUSER_URL", hide_env_values = true)]
        superuser: String,
        /// Only print the statements.
        #[arg(long)]
        print: bool,
        /// Do it without asking.
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        options: Options,
    },
}

/// Runs the command.
pub(crate) async fn run(command: Command) -> anyhow::Result<()> {
    let Command::Prepare { superuser, print, yes, options } = command;
    let config = options.load()?;
    let Some(url) = &config.database.url else {
        return Err(Error::invalid("no PostgreSQL database is configured")
            .hint("put `url` into `[database]` of platform.toml, or into HOSTEL_DATABASE_URL")
            .into());
    };
    let preparation = Preparation::plan(&Secret::new(superuser), url).await?;
    for statement in preparation.statements() {
        println!("{statement};");
    }
    if let Some(warning) = preparation.warning() {
        eprintln!("warning: {warning}");
    }
    if print {
        return Ok(());
    }
    confirm("\nThis changes what roles of that server may do", yes)?;
    preparation.apply().await?;
    println!("\nPrepared: `hostel serve` can use it.");
    Ok(())
}
