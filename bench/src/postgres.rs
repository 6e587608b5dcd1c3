//! A private PostgreSQL: a cluster of its own in a temporary folder, which ends with its owner.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};

use anyhow::{Context as _, bail, ensure};
use hostel::{Preparation, Secret};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tempfile::TempDir;

/// The superuser, and the account that runs the server where this program is run by root.
const USER: &str = "postgres";
/// What a server writes when it can be asked.
const READY: &str = "database system is ready to accept connections";

/// A server that stops when this is dropped. It keeps what was acknowledged (`fsync` is on), and
/// asks for a password, as servers do where it matters.
pub(crate) struct Postgres {
    server: Child,
    port: u16,
    password: String,
    /// Removed after the server has stopped.
    _folder: TempDir,
}

impl Postgres {
    /// Makes a cluster and starts its server. It also stops when the calling thread ends, even if
    /// that is killed.
    ///
    /// # Errors
    /// When PostgreSQL is not installed, or does not start; the message holds what it wrote.
    pub(crate) fn start() -> anyhow::Result<Self> {
        let programs = find_programs()?;
        let folder = tempfile::Builder::new().prefix("hostel-postgres-").tempdir()?;
        let account = Account::of_server(folder.path())?;
        let cluster = folder.path().join("cluster");
        let password = password()?;
        make_cluster(&programs, &account, &cluster, &password)?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut server = account
            .command(&programs.join("postgres"))
            .arg("-D")
            .arg(&cluster)
            .args(["-p", &port.to_string()])
            .args(["-c", "listen_addresses=127.0.0.1"])
            .args(["-c", "unix_socket_directories="])
            .args(["-c", "max_connections=500"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("starting PostgreSQL")?;
        let log = server.stderr.take().context("PostgreSQL's log")?;
        let server = Self { server, port, password, _folder: folder };
        wait_until_ready(log)?;
        Ok(server)
    }

    /// Its main process; all others are below it.
    pub(crate) fn pid(&self) -> u32 {
        self.server.id()
    }

    /// How the superuser connects to a database.
    pub(crate) fn url(&self, database: &str) -> String {
        let Self { port, password, .. } = self;
        format!("postgres://{USER}:{password}@127.0.0.1:{port}/{database}")
    }

    /// Prepares a database for Hostel, as an operator would, and returns how the platform connects to
    /// it.
    ///
    /// # Errors
    /// The server's.
    pub(crate) async fn prepare_database(&self, name: &str) -> anyhow::Result<String> {
        let Self { port, password, .. } = self;
        let url = format!("postgres://{name}:{password}@127.0.0.1:{port}/{name}");
        let superuser = Secret::new(self.url("postgres"));
        Preparation::plan(&superuser, &Secret::new(url.clone())).await?.apply().await?;
        Ok(url)
    }

    /// Makes an empty database, and returns how to connect to it.
    ///
    /// # Errors
    /// When there is one of that name.
    pub(crate) async fn create_database(&self, name: &str) -> anyhow::Result<String> {
        let mut connection = PgConnection::connect(&self.url("postgres")).await?;
        let name_quoted = name.replace('"', "\"\"");
        let statement = AssertSqlSafe(format!("CREATE DATABASE \"{name_quoted}\""));
        sqlx::query(statement).execute(&mut connection).await?;
        connection.close().await?;
        Ok(self.url(name))
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        use rustix::process::{Pid, Signal, kill_process};

        // A fast shutdown, which waits for no client; killed, it would leave its shared memory.
        let _ = kill_process(Pid::from_child(&self.server), Signal::INT);
        let _ = self.server.wait();
    }
}

/// Who runs the server: PostgreSQL refuses to be run by root.
enum Account {
    Own,
    /// The user and group ids of [`USER`].
    Other(u32, u32),
}

impl Account {
    /// Chooses the account and hands it the server's folder.
    fn of_server(folder: &Path) -> anyhow::Result<Self> {
        if std::fs::metadata("/proc/self")?.uid() != 0 {
            return Ok(Self::Own);
        }
        let accounts = std::fs::read_to_string("/etc/passwd")?;
        let (user, group) = accounts.lines().find_map(ids).with_context(|| {
            format!("PostgreSQL refuses root, and there is no account `{USER}`\nhint: useradd --system {USER}")
        })?;
        chown(folder, Some(user), Some(group))?;
        Ok(Self::Other(user, group))
    }

    /// A command of this account that ends with the thread that starts it.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "INT"]);
        if let Self::Other(user, group) = self {
            command.args(["--reuid", &user.to_string(), "--regid", &group.to_string()]);
            command.arg("--clear-groups");
        }
        // English, so that its log can be read; `/`, since it may not enter where we are.
        command.arg("--").arg(program).env("LC_ALL", "C").current_dir("/");
        command
    }
}

/// The user's and the group's id in a line of `/etc/passwd` about [`USER`].
fn ids(line: &str) -> Option<(u32, u32)> {
    let mut fields = line.split(':');
    (fields.next()? == USER).then_some(())?;
    Some((fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// The folder of the newest server's programs: in `PATH`, or where Debian puts them.
fn find_programs() -> anyhow::Result<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "this is how programs are found")]
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut debian: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .filter_map(|it| Some((it.file_name().to_str()?.parse().ok()?, it.path().join("bin"))))
        .collect();
    debian.sort();
    std::env::split_paths(&path)
        .chain(debian.into_iter().rev().map(|(_, folder)| folder))
        .find(|folder| ["postgres", "initdb"].iter().all(|name| folder.join(name).is_file()))
        .context(
            "PostgreSQL's server is neither in PATH nor in /usr/lib/postgresql\n\
             hint: apt-get install postgresql",
        )
}

fn password() -> anyhow::Result<String> {
    let mut random = [0; 16];
    getrandom::fill(&mut random)?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn make_cluster(
    programs: &Path,
    account: &Account,
    cluster: &Path,
    password: &str,
) -> anyhow::Result<()> {
    // initdb reads the password from a file only.
    let file = cluster.with_file_name("password");
    std::fs::write(&file, password)?;
    let made = account
        .command(&programs.join("initdb"))
        .arg("-D")
        .arg(cluster)
        .args(["-U", USER, "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"])
        .arg(format!("--pwfile={}", file.display()))
        .output()
        .context("setpriv, of util-linux, is needed to start PostgreSQL")?;
    std::fs::remove_file(&file)?;
    ensure!(made.status.success(), "initdb failed: {}", String::from_utf8_lossy(&made.stderr));
    Ok(())
}

/// Reads the log until the server can be asked, and goes on reading it: else the server would wait
/// for somebody to.
fn wait_until_ready(log: ChildStderr) -> anyhow::Result<()> {
    let mut lines = BufReader::new(log).lines();
    let mut said = String::new();
    loop {
        let Some(line) = lines.next().transpose()? else {
            bail!("PostgreSQL did not start:\n{said}");
        };
        if line.contains(READY) {
            break;
        }
        said.push_str(&line);
        said.push('\n');
    }
    std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_account_is_found_by_its_name() {
        assert_eq!(
            ids("postgres:x:101:104:PostgreSQL:/var/lib/postgresql:/bin/bash"),
            Some((101, 104))
        );
        assert_eq!(ids("postgresql:x:101:104::/:/bin/sh"), None);
        assert_eq!(ids("postgres"), None);
    }
}
