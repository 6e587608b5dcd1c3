//! What others' tools say of an API: whether its description is OpenAPI, and whether it is true.
//! `scripts/test` installs them and says where they are; other runs leave these tests out.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use hostel_tests::{Folder, PLATFORM_KEY, bookings};

/// Tools in Python, from `tests/tools/requirements.txt`.
pub(crate) struct Tools {
    python: PathBuf,
}

impl Tools {
    pub(crate) fn found() -> Self {
        Self { python: needed("HOSTEL_TEST_PYTHON").into() }
    }

    pub(crate) fn chromium() -> String {
        needed("HOSTEL_TEST_CHROMIUM")
    }

    /// Where pictures of pages are wanted.
    pub(crate) fn pictures() -> Option<PathBuf> {
        variable("HOSTEL_TEST_PICTURES").map(Into::into)
    }

    pub(crate) fn python(&self) -> Command {
        Command::new(&self.python)
    }

    /// A script of this folder's.
    pub(crate) fn script(&self, name: &str) -> Command {
        let mut command = self.python();
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tools").join(name));
        command
    }

    fn schemathesis(&self) -> Command {
        Command::new(self.python.with_file_name("schemathesis"))
    }
}

fn needed(name: &str) -> String {
    variable(name).unwrap_or_else(|| panic!("{name} is not set: `scripts/test` sets it"))
}

fn variable(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "the test command says where its tools are")]
    std::env::var(name).ok()
}

/// What a command that must succeed came to.
pub(crate) async fn finished(mut command: Command) -> Output {
    let told = format!("{command:?}");
    let run = move || command.output();
    let output = tokio::task::spawn_blocking(run).await.unwrap().unwrap();
    let said = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    assert!(output.status.success(), "{told}\n{}", said.concat());
    output
}

/// A folder whose platform lets everybody do everything, with bookings among its modules.
async fn open_folder() -> Folder {
    let folder = Folder::warm().await;
    folder.module("bookings", bookings());
    folder.write("data/platform.key", PLATFORM_KEY);
    folder.write("platform.toml", "[dev]\nanonymous_grants = ['*']\n");
    folder
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_description_is_openapi() {
    let (tools, folder) = (Tools::found(), open_folder().await);
    for tenant in ["default", "platform"] {
        let written = folder.run(&["openapi", "--tenant", tenant, "--out", "api.json"]);
        assert_eq!(written.code, Some(0), "{}", written.stderr);
        let mut validating = tools.python();
        validating.args(["-m", "openapi_spec_validator", "--schema", "3.1"]);
        validating.arg(folder.path("api.json"));
        finished(validating).await;
    }
}

/// Who is asked, and how.
struct Driven {
    tenant: &'static str,
    as_operator: bool,
    /// What else schemathesis is told.
    config: &'static str,
}

/// Sends what the description allows, and what it does not, and looks at every answer.
async fn drive(driven: Driven) {
    let Driven { tenant, as_operator, config } = driven;
    let (tools, folder) = (Tools::found(), open_folder().await);
    let hostel = folder.start(&["serve"]);
    let seconds = needed("HOSTEL_TEST_API_SECONDS");
    let authorization = as_operator.then(|| {
        let token = folder.run(&["key", "operator-token"]).stdout;
        format!("Authorization = 'Bearer {}'", token.trim())
    });
    let authorization = authorization.unwrap_or_default();
    // 422 is the answer to rules that no schema can say: a booking in the past, a room that is not
    // there. 414 is the answer to a query of very many values, whether each could stand or not.
    let config = format!(
        "[headers]\nX-Tenant = '{tenant}'\n{authorization}\n[parameters]\n'x-tenant' = '{tenant}'\n
         [checks.positive_data_acceptance]
         expected-statuses = ['2xx', '3xx', '401', '403', '404', '409', '414', '422', '429']\n
         [checks.negative_data_rejection]
         expected-statuses = ['400', '401', '403', '404', '405', '406', '409', '414', '415', '422',
                              '428', '429']\n{config}"
    );
    folder.write("schemathesis.toml", config);
    let mut driving = tools.schemathesis();
    driving.current_dir(folder.path(""));
    driving.arg("run").arg(format!("http://{}/openapi.json", hostel.address()));
    driving.args(["--max-time", &seconds, "--seed", "1", "--no-color", "--workers", "1"]);
    driving.args(["--include-path-regex", "^/api/", "--generation-database", "none"]);
    // A machine that does much else at once is no fault of the API.
    driving.args(["--suppress-health-check", "all"]);
    finished(driving).await;
    let log = hostel.lines().join("\n");
    assert!(!log.contains("panicked"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn schemathesis_finds_nothing_in_notes_and_bookings() {
    drive(Driven { tenant: "default", as_operator: false, config: "" }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn schemathesis_finds_nothing_in_tenants() {
    // A deleted tenant can be taken back, and is shown to operators until then.
    let config = "[checks.use_after_free]\nenabled = false\n";
    drive(Driven { tenant: "platform", as_operator: true, config }).await;
}
