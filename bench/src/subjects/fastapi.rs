//! The same API in FastAPI, SQLModel and asyncpg: `bench/peers/fastapi`, in a virtual environment
//! that is made once for each list of requirements.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail, ensure};

use super::Setup;
use crate::report::say;
use crate::works::one_of_many;

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/fastapi");

/// Becomes the server, which also ends with the parent of this process.
pub(super) fn serve(setup: &Setup) -> anyhow::Result<()> {
    let Some(url) = &setup.database_url else {
        bail!("FastAPI runs on PostgreSQL only\nhint: add `--database postgres`");
    };
    let tenants: Vec<String> =
        ["default".to_owned()].into_iter().chain((0..setup.tenants).map(one_of_many)).collect();
    let error = Command::new(environment()?.join("bin/python"))
        // No byte code in the source's folder.
        .args(["-B", SOURCE])
        .current_dir(SOURCE)
        .env("BENCH_DATABASE", url)
        .env("BENCH_TENANTS", tenants.join(","))
        .exec();
    Err(error).context("starting Python")
}

/// Makes the virtual environment where there is none with these requirements.
pub(crate) fn install() -> anyhow::Result<()> {
    let folder = environment()?;
    let requirements = Path::new(SOURCE).join("requirements.txt");
    // Copied last: it tells that all of it was installed.
    let installed = folder.join("requirements.txt");
    let wanted = std::fs::read(&requirements)?;
    if std::fs::read(&installed).is_ok_and(|it| it == wanted) {
        return Ok(());
    }
    say(&format!("Installing FastAPI into {}, once.", folder.display()))?;
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))
        .context("making a virtual environment\nhint: apt-get install python3-venv")?;
    run(Command::new(folder.join("bin/python"))
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"])
        .arg(&requirements))
    .context(
        "installing FastAPI\nhint: pip must reach a package index, and find wheels for this Python",
    )?;
    std::fs::write(installed, wanted)?;
    Ok(())
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let program = command.get_program().to_owned();
    let status = command.status().with_context(|| format!("{} does not run", program.display()))?;
    ensure!(status.success(), "{} failed: {status}", program.display());
    Ok(())
}

/// Where it is: in the user's cache.
fn environment() -> anyhow::Result<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "the XDG rules for where caches are")]
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let cache = variable("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| Some(PathBuf::from(variable("HOME")?).join(".cache")))
        .context("neither XDG_CACHE_HOME nor HOME says where the cache is")?;
    Ok(cache.join("hostel/bench-fastapi"))
}
