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
    /// Show what the PostgreSQL database of `database.url` leaves open to modules that preparing it
    /// closes. Ends with 1 where there is something.
    Check {
        #[command(flatten)]
        options: Options,
    },
}

/// Runs the command.
pub(crate) async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Prepare { superuser, print, yes, options } => {
            prepare(&Secret::new(superuser), &configured(&options)?, print, yes).await
        }
        Command::Check { options } => check(&configured(&options)?).await,
    }
}

fn configured(options: &Options) -> anyhow::Result<Secret> {
    options.load()?.database.url.ok_or_else(|| {
        Error::invalid("no PostgreSQL database is configured")
            .hint("put `url` into `[database]` of platform.toml, or into HOSTEL_DATABASE_URL")
            .into()
    })
}

async fn check(url: &Secret) -> anyhow::Result<()> {
    let open = Preparation::left_open(url).await?;
    for each in &open {
        println!("{each}");
    }
    if open.is_empty() {
        println!("Nothing is left open that modules must not have.");
        return Ok(());
    }
    let what = format!("what modules must not have is open to them ({} in all)", open.len());
    Err(Error::invalid(what).hint("`hostel db prepare` takes them from everybody").into())
}

async fn prepare(superuser: &Secret, url: &Secret, print: bool, yes: bool) -> anyhow::Result<()> {
    let preparation = Preparation::plan(superuser, url).await?;
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
