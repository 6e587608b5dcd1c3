//! `hostel openapi`.

mod diff;
mod schemas;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use hostel::{Error, TenantSlug};

use super::platform_with_bundled;
use crate::options::Options;

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    writing: Writing,
}

#[derive(Subcommand)]
enum Command {
    /// Say what a newer description breaks for clients of an older one. The exit code is 1 where
    /// something is, and 2 where the two cannot be compared.
    Diff(diff::Arguments),
}

#[derive(Args)]
struct Writing {
    /// Whose API; the default tenant's when not given.
    #[arg(long, value_name = "SLUG")]
    tenant: Option<TenantSlug>,
    /// The file to write [default: standard output].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    options: Options,
}

/// Runs the command.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    match arguments.command {
        Some(Command::Diff(arguments)) => Ok(match diff::run(&arguments) {
            Ok(false) => ExitCode::SUCCESS,
            Ok(true) => ExitCode::FAILURE,
            Err(error) => {
                eprintln!("error: {error:#}");
                ExitCode::from(2)
            }
        }),
        None => write(arguments.writing).await.map(|()| ExitCode::SUCCESS),
    }
}

async fn write(Writing { tenant, out, options }: Writing) -> anyhow::Result<()> {
    let document = platform_with_bundled(options.load()?).openapi(tenant.as_ref()).await?;
    match out {
        Some(file) => std::fs::write(&file, format!("{document}\n"))
            .map_err(|error| Error::invalid(format!("{}: {error}", file.display())))?,
        None => println!("{document}"),
    }
    Ok(())
}
