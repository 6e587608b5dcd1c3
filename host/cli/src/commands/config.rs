//! `hostel config check` and `hostel config show`.

use clap::Subcommand;

use crate::options::Options;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Say whether the configuration can be used.
    Check {
        #[command(flatten)]
        options: Options,
    },
    /// Print every key with its value, secrets masked.
    Show {
        #[command(flatten)]
        options: Options,
    },
}

/// Runs the command.
pub(crate) fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Check { options } => {
            options.load()?;
            println!("the configuration is good");
        }
        Command::Show { options } => print!("{}", options.load()?.to_toml()),
    }
    Ok(())
}
