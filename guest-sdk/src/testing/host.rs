//! The host that serves this program's tests, and what is asked of it beside requests.

use std::io::{self, BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use ureq::http::{Request, Response};
use ureq::{Agent, Body};

/// Set by `hostel test`: where the host is, and what it asks for.
const VARIABLE: &str = "HOSTEL_TEST_HOST";
/// Names the command where it is in no usual place.
const COMMAND_VARIABLE: &str = "HOSTEL";
/// More than any call may take: a test that hangs should say where.
const TIMEOUT: Duration = Duration::from_secs(120);
/// Shorter than the host's patience, so that no request meets a connection that is just closed.
const IDLE_MAX: Duration = Duration::from_secs(5);

/// A host that runs.
pub(super) struct Host {
    pub(super) agent: Agent,
    address: String,
    token: String,
    /// Open for as long as this program runs: the host ends when it closes.
    _lifeline: Option<ChildStdin>,
}

/// This program's host.
///
/// # Panics
/// When there is none and none can be started: says what to do.
#[track_caller]
pub(super) fn host() -> &'static Host {
    static HOST: OnceLock<Result<Host, String>> = OnceLock::new();
    match HOST.get_or_init(Host::find) {
        Ok(host) => host,
        Err(reason) => panic!("{reason}"),
    }
}

impl Host {
    fn find() -> Result<Self, String> {
        match variable(VARIABLE) {
            Some(access) => Self::at(&access, None),
            None => Self::start(),
        }
    }

    fn at(access: &str, lifeline: Option<ChildStdin>) -> Result<Self, String> {
        let Some((address, token)) = access.trim().split_once(' ') else {
            return Err(format!("{VARIABLE} is `{access}`: expected an address and a token"));
        };
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .allow_non_standard_methods(true)
            .proxy(None)
            .user_agent("")
            .accept("")
            .timeout_global(Some(TIMEOUT))
            .max_idle_age(IDLE_MAX)
            .build();
        Ok(Self {
            agent: Agent::new_with_config(config),
            address: address.to_owned(),
            token: token.to_owned(),
            _lifeline: lifeline,
        })
    }

    fn start() -> Result<Self, String> {
        let command = command();
        // Nothing of this program's own: a runner waits for everybody who could still write to it.
        let started = Command::new(&command)
            .arg("test-host")
            .arg(crate_folder())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = started.map_err(|error| {
            format!(
                "`{}` cannot be started ({error}): install Hostel, or name its command in the \
                 variable {COMMAND_VARIABLE}, or run these tests with `hostel test`",
                command.display()
            )
        })?;
        if let Some(mut told) = child.stderr.take() {
            std::thread::spawn(move || io::copy(&mut told, &mut io::stderr()));
        }
        let mut access = String::new();
        if let Some(output) = child.stdout.take() {
            let _ = BufReader::new(output).read_line(&mut access);
        }
        if access.is_empty() {
            let ended = child.wait().map_or_else(|error| error.to_string(), |s| s.to_string());
            return Err(format!(
                "`{} test-host` did not start ({ended}): see what it said, or run `hostel test`",
                command.display()
            ));
        }
        Self::at(&access, child.stdin.take())
    }

    /// Asks for something that is no request to a module; gives the answer's body.
    ///
    /// # Errors
    /// The host's words.
    pub(super) fn ask(
        &self,
        method: &str,
        path: &str,
        body: &impl Serialize,
    ) -> Result<Vec<u8>, String> {
        let body = serde_json::to_vec(body).map_err(|error| error.to_string())?;
        let request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address))
            .header("authorization", format!("Bearer {}", self.token))
            .header("content-type", "application/json")
            .body(body)
            .map_err(|error| error.to_string())?;
        let lost = |error: ureq::Error| format!("the test host does not answer: {error}");
        let mut answer: Response<Body> = self.agent.run(request).map_err(lost)?;
        let body = answer.body_mut().with_config().limit(u64::MAX).read_to_vec().map_err(lost)?;
        if answer.status().is_success() {
            Ok(body)
        } else {
            Err(String::from_utf8_lossy(&body).into_owned())
        }
    }

    /// [`ask`](Self::ask) for an answer that is JSON.
    pub(super) fn ask_json<T: DeserializeOwned>(
        &self,
        method: &str,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, String> {
        let answer = self.ask(method, path, body)?;
        serde_json::from_slice(&answer).map_err(|error| {
            let answer = String::from_utf8_lossy(&answer);
            format!("this `hostel` is of another version: {error} in {answer}")
        })
    }
}

/// The command: named, or built by the same cargo beside this program, or the one in the path.
fn command() -> PathBuf {
    if let Some(named) = variable(COMMAND_VARIABLE) {
        return named.into();
    }
    let file = format!("hostel{}", std::env::consts::EXE_SUFFIX);
    let program = std::env::current_exe().ok();
    // Tests are in `deps`, programs in the folder above.
    let beside = program.and_then(|program| Some(program.parent()?.parent()?.join(&file)));
    beside.filter(|beside| beside.is_file()).unwrap_or_else(|| file.into())
}

/// Said by cargo and nextest; a debugger starts tests in the crate's folder.
pub(super) fn crate_folder() -> PathBuf {
    variable("CARGO_MANIFEST_DIR").map_or_else(|| ".".into(), Into::into)
}

#[expect(clippy::disallowed_methods, reason = "tests are told by variables; modules are not")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
