//! `hostel test`, and the hidden `hostel test-host` that tests start when nobody started one for
//! them.

use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::{ExitCode, ExitStatus};

use anyhow::Context as _;
use clap::Args;
use tokio::process::{Child, Command};

use super::build;
use super::serve::stop_signal;
use crate::test_host::{Served, TestHost};

/// Names the test host to tests.
const VARIABLE: &str = "HOSTEL_TEST_HOST";

#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    tested: Tested,
    /// Run the tests with cargo-nextest.
    #[arg(long)]
    nextest: bool,
    /// What cargo's own command is told.
    #[arg(last = true, value_name = "ARGUMENTS")]
    cargo: Vec<String>,
}

#[derive(Args)]
pub(crate) struct Tested {
    /// The folder of the module's crate.
    #[arg(default_value = ".")]
    crate_folder: PathBuf,
    /// Serve this module beside it. Can be given more than once.
    #[arg(long = "module", value_name = "FILE")]
    others: Vec<PathBuf>,
}

impl Tested {
    fn build(self, quiet: bool) -> anyhow::Result<Served> {
        let module = build::module_of(&self.crate_folder, quiet)?;
        let compiled = build::target_dir(&self.crate_folder)?.join("compiled-for-tests");
        let compiled = std::path::absolute(compiled)?;
        Ok(Served { module, others: self.others, compiled })
    }
}

/// Builds a module, and runs its tests against a host that serves it. Gives cargo's exit code.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let folder = arguments.tested.crate_folder.clone();
    let host = TestHost::start(arguments.tested.build(false)?).await?;
    let subcommand: &[&str] = if arguments.nextest { &["nextest", "run"] } else { &["test"] };
    #[expect(clippy::disallowed_methods, reason = "cargo's own variable, as cargo reads it")]
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let tests = Command::new(cargo)
        .args(subcommand)
        .args(arguments.cargo)
        .current_dir(folder)
        .env(VARIABLE, host.access().to_string())
        .kill_on_drop(true)
        .spawn()
        .context("cargo cannot be started: install Rust with rustup")?;
    let status = end_of(tests).await?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, Into::into))
}

/// Waits for cargo. Ctrl-C reaches it by itself; SIGTERM is for us alone, and is passed on.
async fn end_of(mut tests: Child) -> anyhow::Result<ExitStatus> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};

        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        tokio::select! {
            ended = tests.wait() => return Ok(ended?),
            _ = interrupt.recv() => {}
            _ = terminate.recv() => terminate_child(&tests),
        }
    }
    Ok(tests.wait().await?)
}

#[cfg(unix)]
fn terminate_child(child: &Child) {
    use rustix::process::{Pid, Signal, kill_process};

    let process = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    // It may have ended in this moment.
    let _ = process.map(|process| kill_process(process, Signal::TERM));
}

/// Serves tests until standard input ends: a host never outlives the tests that started it.
pub(crate) async fn serve(tested: Tested) -> anyhow::Result<ExitCode> {
    let ended = end_of_input();
    let host = TestHost::start(tested.build(true)?).await?;
    // Nobody reads: then the input has ended, too.
    let _ = writeln!(std::io::stdout(), "{}", host.access());
    tokio::select! {
        _ = ended => {}
        () = stop_signal()? => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// In a thread of its own: the runtime would wait for a read that it cannot cancel.
fn end_of_input() -> tokio::sync::oneshot::Receiver<()> {
    let (end, ended) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        let _ = end.send(());
    });
    ended
}
