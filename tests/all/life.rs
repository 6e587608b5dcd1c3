//! The life of a process that serves: how it is started by others, reads its configuration again, and
//! ends.

use std::net::TcpListener;
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixDatagram;

use hostel_tests::{Folder, Hostel, PLATFORM_KEY, TestPlatform, eventually, probe, program};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{Signal, kill_process};
use serde_json::Value;

fn hang_up(hostel: &Hostel) {
    kill_process(hostel.process(), Signal::HUP).unwrap();
}

async fn serving(config: &str) -> (Folder, Hostel) {
    let folder = Folder::warm().await;
    folder.module("probe", probe());
    folder.write("platform.toml", config);
    let hostel = folder.start(&["serve"]);
    (folder, hostel)
}

#[tokio::test]
async fn it_is_not_ready_before_it_stops_to_accept() {
    let mut platform = TestPlatform::configured("[http]\ndrain_delay_ms = 3600000").await;
    let acme = platform.tenant("acme").await;
    assert_eq!(acme.get("/health/ready").await.status(), 200);
    platform.begin_stop();
    let answer = eventually("it is not ready", async || {
        Some(acme.get("/health/ready").await).filter(|answer| answer.status() == 503)
    })
    .await;
    assert_eq!(answer.json()["status"], "draining");
    // On a new connection, too.
    let another = platform.client("acme");
    assert_eq!(another.get("/api/probe/counter").await.status(), 200);
    assert_eq!(another.get("/health/live").await.status(), 200);
}

#[tokio::test]
async fn a_running_platform_takes_another_configuration() {
    let (folder, hostel) = serving("").await;
    let nobody = hostel.nobody();
    let deep = "[".repeat(20) + &"]".repeat(20);
    let send = async |body: String| {
        let request = nobody.request("POST", "/api/probe/echo");
        request.header("content-type", "application/json").body(body).send().await
    };
    assert_eq!(send(deep.clone()).await.status(), 200);

    folder.write(
        "platform.toml",
        "listen = '127.0.0.1:1'\n[http]\njson_depth_max = 10\nconnections_max = 5\n
         [http.headers]\nreferrer_policy = ''\n[limits]\nanswer_max_bytes = 1024\n[log]\nlevel = 'debug'",
    );
    let told = folder.run(&["config", "reload"]);
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    assert!(told.stdout.contains("reads its configuration again"), "{}", told.stdout);
    let taken: Value = serde_json::from_str(&hostel.line(&["reloaded the configuration"])).unwrap();
    assert_eq!(
        taken["changed"],
        "http.headers.referrer_policy, http.json_depth_max, limits.answer_max_bytes, log.level"
    );
    let later: Value =
        serde_json::from_str(&hostel.line(&["these hold from the next start on"])).unwrap();
    assert_eq!(later["keys"], "http.connections_max", "the flag wins over the file's `listen`");

    let refused = send(deep.clone()).await;
    assert_eq!(refused.code(), "400 json-too-deep");
    assert_eq!(refused.header("referrer-policy"), None);
    assert_eq!(send(format!("\"{}\"", "x".repeat(2_000))).await.code(), "500 answer-too-large");
    hostel.line(&["\"level\":\"DEBUG\""]);

    folder.write("platform.toml", "[plans.small.limits]\nanswer_max_bytes = 1024");
    hang_up(&hostel);
    hostel.line(&["reloaded the configuration", "plans.small"]);
    assert_eq!(send(deep.clone()).await.status(), 200);
    assert_eq!(folder.run(&["tenant", "set", "default", "--plan", "small"]).code, Some(0));
    eventually("the plan holds", async || {
        let answer = send(format!("\"{}\"", "x".repeat(2_000))).await;
        (answer.status() == 500).then_some(())
    })
    .await;
    // A plan that tenants are on cannot go.
    folder.write("platform.toml", "[http]\njson_depth_max = 5");
    hang_up(&hostel);
    hostel.line(&["the configuration stays as it was", "tenants are on plan `small`"]);
    assert_eq!(send(deep.clone()).await.status(), 200);
}

#[tokio::test]
async fn a_configuration_that_is_broken_changes_nothing() {
    let (folder, hostel) = serving("[http]\njson_depth_max = 10").await;
    let refused = async || {
        let request = hostel.nobody().request("POST", "/api/probe/echo");
        let request = request.header("content-type", "application/json");
        request.body("[".repeat(11)).send().await.code()
    };
    for (text, why) in [
        ("[http]\njson_depth_max = 0", "expected a whole number from 1 to 127"),
        ("[http]\njson_depth_maximum = 50", "unknown field"),
        ("[http", "platform.toml, line 1"),
        ("[limits]\nmemory_max_bytes = 134217728", "until the next start"),
        ("[tls]\ncertificate = 'absent.pem'", "one is missing"),
    ] {
        folder.write("platform.toml", text);
        hang_up(&hostel);
        hostel.line(&["the configuration stays as it was", why]);
        assert_eq!(refused().await, "400 json-too-deep", "{text}");
    }
    folder.write("platform.toml", "[http");
    let told = folder.run(&["config", "reload"]);
    assert_eq!(told.code, Some(1));
    assert!(told.stderr.contains("platform.toml, line 1"), "{}", told.stderr);
}

#[tokio::test]
async fn only_processes_that_run_are_told_to_reload() {
    let (folder, mut hostel) = serving("").await;
    hostel.kill();
    let told = folder.run(&["config", "reload"]);
    assert_eq!(told.code, Some(1));
    assert!(told.stderr.contains("nobody serves data"), "{}", told.stderr);
    assert_eq!(std::fs::read_dir(folder.path("data/running")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_service_manager_opens_the_socket() {
    let folder = Folder::warm().await;
    folder.module("probe", probe());
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    // Handed over as systemd does: the first descriptor after the standard ones.
    fcntl_setfd(&socket, FdFlags::empty()).unwrap();
    let script = format!(
        "exec 3<&{}; export LISTEN_PID=$$ LISTEN_FDS=1; exec '{}' serve --listen 127.0.0.1:1",
        socket.as_raw_fd(),
        program().display()
    );
    // Others take no descriptor of two digits.
    let mut shell = std::process::Command::new("bash");
    shell.args(["-c", &script]).current_dir(folder.path(""));
    shell.env_remove("HOSTEL_CONFIG").env_remove("HOSTEL_DATA").env_remove("HOSTEL_DATABASE_URL");
    shell.env("HOSTEL_PLATFORM_KEY", PLATFORM_KEY);
    let hostel = Hostel::start(shell);
    assert_eq!(hostel.address(), address);
    assert_eq!(hostel.nobody().get("/api/probe/counter").await.status(), 200);
}

#[tokio::test]
async fn a_service_manager_is_told_how_it_is() {
    let folder = Folder::warm().await;
    let told = UnixDatagram::bind(folder.path("notify")).unwrap();
    told.set_read_timeout(Some(hostel_tests::DEADLINE)).unwrap();
    let next = || {
        let mut text = [0; 200];
        let length = told.recv(&mut text).unwrap();
        String::from_utf8(text[..length].to_vec()).unwrap()
    };
    let mut command = folder.command(&["serve", "--listen", "127.0.0.1:0"]);
    command.env("HOSTEL_PLATFORM_KEY", PLATFORM_KEY).env("NOTIFY_SOCKET", folder.path("notify"));
    let mut hostel = Hostel::start(command);
    assert_eq!(next(), "READY=1\n");
    hang_up(&hostel);
    let reloading = next();
    assert!(reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{reloading}");
    assert_eq!(next(), "READY=1\n");
    hostel.terminate();
    assert_eq!(next(), "STOPPING=1\n");
    assert_eq!(hostel.wait(), Some(0));
}
