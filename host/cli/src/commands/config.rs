//! `hostel config check`, `hostel config show` and `hostel config reload`.

use anyhow::Context as _;
use clap::Subcommand;

use crate::options::Options;
use crate::running;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Say whether the configuration can be used.
    Check {
        #[command(flatten)]
        options: Options,
    },
    /// Have the processes that serve the data folder read the configuration again. What they
    /// take, and what holds from their next start on, is in their log.
    Reload {
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
        Command::Reload { options } => reload(&options)?,
        Command::Show { options } => print!("{}", options.load()?.to_toml()),
    }
    Ok(())
}

/// One that is broken is said to be so here, and not in a log.
fn reload(options: &Options) -> anyhow::Result<()> {
    let data = options.load()?.data.0;
    let processes = running::processes(&data)?;
    if processes.is_empty() {
        let nobody = hostel::Error::invalid(format!("nobody serves {}", data.display()));
        return Err(nobody.hint("name the folder with --data, as for `hostel serve`").into());
    }
    for process in processes {
        tell(process)?;
        println!("process {process} reads its configuration again; its log says what changed");
    }
    Ok(())
}

#[cfg(unix)]
fn tell(process: u32) -> anyhow::Result<()> {
    use rustix::process::{Pid, Signal, kill_process};

    let pid = i32::try_from(process).ok().and_then(Pid::from_raw).context("no process's number")?;
    kill_process(pid, Signal::HUP).with_context(|| format!("process {process} cannot be told"))
}

#[cfg(not(unix))]
fn tell(_: u32) -> anyhow::Result<()> {
    anyhow::bail!("this system has no signals: start the platform again")
}
