//! The real `hostel`, as a person or a service manager runs it: in a folder of its own, through its
//! flags, variables, output, signals and exit code.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::artefacts::{self, PLATFORM_KEY};
use crate::{Client, until};

/// The `hostel` that is tested: beside the directory of this test's own program.
///
/// # Panics
/// When it was not built.
pub fn program() -> PathBuf {
    let program = std::env::current_exe().unwrap();
    let path = program.parent().unwrap().join("../hostel");
    assert!(
        path.is_file(),
        "there is no {}: run `cargo build -p hostel-cli` first",
        path.display()
    );
    path
}

/// An empty folder in which commands run.
pub struct Folder(TempDir);

/// What a command that ended left behind.
#[derive(Debug)]
pub struct Finished {
    /// Its exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// What it printed.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
}

impl Folder {
    /// An empty one.
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// One whose `data` holds compiled guests, for tests in which the first start is not the point.
    pub async fn warm() -> Self {
        let folder = Self::new();
        std::fs::create_dir(folder.path("data")).unwrap();
        artefacts::seed(&folder.path("data")).await;
        folder
    }

    /// A file in it.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file in it.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// Puts a guest among the operator's modules, as `NAME.wasm`.
    pub fn module(&self, name: &str, guest: &Path) {
        self.write(&format!("data/modules/{name}.wasm"), std::fs::read(guest).unwrap());
    }

    /// A command in it, without any of this process' `HOSTEL_…` variables.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.args(arguments).current_dir(self.0.path());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("HOSTEL_") {
                command.env_remove(name);
            }
        }
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Finished {
        finish(&mut self.command(arguments))
    }

    /// What `hostel GROUP …` says to commands that are run one after the other, but for ids and times.
    pub fn transcript(&self, group: &str, commands: &[&str]) -> String {
        let told = commands.iter().map(|command| {
            let arguments: Vec<&str> = command.split(' ').collect();
            let done = self.run(&[&[group], arguments.as_slice()].concat());
            let code =
                done.code.filter(|code| *code != 0).map(|code| format!("exit code {code}\n"));
            let told = format!("{}{}", done.stdout, done.stderr);
            let lines: String = told.lines().map(|line| format!("{}\n", stable(line))).collect();
            format!("$ hostel {group} {command}\n{lines}{}", code.unwrap_or_default())
        });
        told.collect()
    }

    /// Starts `hostel serve` or `hostel dev` on a free port and waits until it listens.
    pub fn start(&self, arguments: &[&str]) -> Hostel {
        let mut command = self.command(arguments);
        command.args(["--listen", "127.0.0.1:0"]).env("HOSTEL_PLATFORM_KEY", PLATFORM_KEY);
        Hostel::start(command)
    }
}

impl Default for Folder {
    fn default() -> Self {
        Self::new()
    }
}

/// A line without what differs from run to run.
fn stable(line: &str) -> String {
    let words = line.split(' ').map(|word| match word.trim_matches(['(', ')', ':', ',']) {
        id if uuid::Uuid::try_parse(id).is_ok() => word.replace(id, "[id]"),
        time if time.starts_with("20") && time.contains(':') => word.replace(time, "[time]"),
        _ => word.to_owned(),
    });
    let mut words: Vec<String> = words.collect();
    // A time that something took.
    if let [.., "in", took, "s"] = words.iter().map(String::as_str).collect::<Vec<_>>()[..]
        && took.parse::<f64>().is_ok()
    {
        let last = words.len() - 2;
        words[last] = "[seconds]".to_owned();
    }
    words.join(" ")
}

/// Runs a command to its end.
pub fn finish(command: &mut Command) -> Finished {
    let output = command.stdin(Stdio::null()).output().unwrap();
    Finished {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Runs a command to its end at a terminal, at which somebody types `lines`. What it says in any way is
/// its output.
pub fn finish_at_terminal(command: &Command, lines: &str) -> Finished {
    let words: Vec<&str> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_str().unwrap())
        .collect();
    // Every Debian has it, and it is a shell's line that it runs.
    let mut terminal = Command::new("script");
    terminal.args(["--quiet", "--return", "--command", &words.join(" "), "/dev/null"]);
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => terminal.env(name, value),
            None => terminal.env_remove(name),
        };
    }
    terminal.current_dir(command.get_current_dir().unwrap());
    let mut child = terminal
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It stays open: who is at a terminal does not leave it after the last line.
    let mut keyboard = child.stdin.take().unwrap();
    keyboard.write_all(lines.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    drop(keyboard);
    Finished {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A `hostel` that serves. It is killed when this is dropped.
pub struct Hostel {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    address: SocketAddr,
}

impl Hostel {
    /// Starts a command that serves, and waits until it listens.
    pub fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (output, kept) = (child.stdout.take().unwrap(), Arc::clone(&lines));
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                kept.lock().unwrap().push(line);
            }
        });
        let address = until("hostel listens", || {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("hostel ended ({status}): {:#?}", lines.lock().unwrap());
            }
            lines.lock().unwrap().iter().find_map(|line| address_in(line))
        });
        Self { child, lines, address }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A client that names this tenant.
    pub fn client(&self, tenant: &str) -> Client {
        Client::of(self.address, Some(tenant))
    }

    /// A client that names no tenant.
    pub fn nobody(&self) -> Client {
        Client::of(self.address, None)
    }

    /// Its process.
    pub fn process(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// What it has printed so far.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// Waits for a line that contains all of these.
    pub fn line(&self, parts: &[&str]) -> String {
        until(&format!("a line with {parts:?}"), || {
            let lines = self.lines();
            lines.into_iter().find(|line| parts.iter().all(|part| line.contains(part)))
        })
    }

    /// Ends it without warning, as a power failure or the kernel would.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Tells it to stop, as a service manager does.
    pub fn terminate(&self) {
        kill_process(self.process(), Signal::TERM).unwrap();
    }

    /// Waits for its end, and gives its exit code.
    pub fn wait(&mut self) -> Option<i32> {
        until("hostel ends", || self.child.try_wait().unwrap()).code()
    }
}

impl Drop for Hostel {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The address in the line that says so, in text or JSON.
fn address_in(line: &str) -> Option<SocketAddr> {
    if !line.contains("listening") {
        return None;
    }
    let (_, after) = line.split_once("address")?;
    let text = after.trim_start_matches(['"', ':', '=']);
    text.split(['"', ' ', ',']).next()?.parse().ok()
}
