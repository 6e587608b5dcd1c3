//! `hostel key`.

use clap::Subcommand;
use hostel::Platform;

use crate::options::Options;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Show the token that `/platform/v1` and, from other machines, `/metrics` ask for. Whoever has
    /// it is an operator.
    OperatorToken {
        #[command(flatten)]
        options: Options,
    },
}

/// Runs the command.
pub(crate) fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::OperatorToken { options } => {
            let token = Platform::builder().config(options.load()?).operator_token()?;
            println!("{}", token.expose());
        }
    }
    Ok(())
}
