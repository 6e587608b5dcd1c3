//! Modules call services on this machine: the probe sends what a test says. What is refused is in
//! `http_client_attacks`.

use std::fs::File;

use hostel::Secret;
use hostel_tests::{
    Answer, Client, Folder, PLATFORM_KEY, Service, TestPlatform, eventually, patched, probe,
};
use serde_json::{Value, json};

/// A platform whose modules may call services on this machine, by address and by name.
pub(crate) const OPEN: &str = "[http_client]
allow = ['*']
http = ['127.0.0.1:*', '*.example.org:*']
internal = ['127.0.0.1:*', 'internal.example.org:*']
";

pub(crate) async fn call(client: &Client, call: Value) -> Answer {
    client.post("/api/probe/call", call).await
}

pub(crate) async fn get(client: &Client, url: &str) -> Answer {
    call(client, json!({ "url": url })).await
}

pub(crate) fn header<'a>(answer: &'a Value, name: &str) -> Option<&'a str> {
    let mut headers = answer["headers"].as_array().unwrap().iter();
    headers.find(|header| header[0] == name).and_then(|header| header[1].as_str())
}

async fn set_secret(platform: &TestPlatform, tenant: &str, name: &str, value: &str) {
    let value = Secret::new(value.to_owned());
    platform.inner().secrets().set(&tenant.parse().unwrap(), name, &value).await.unwrap();
}

#[tokio::test]
async fn a_request_goes_out_as_it_was_said_and_its_answer_comes_back() {
    let (platform, service) = (TestPlatform::configured(OPEN).await, Service::start().await);
    let acme = platform.tenant("acme").await;
    let url = service.url("/a%20b?c=d&e='f'#part");
    let answer = call(
        &acme,
        json!({
            "method": "POST",
            "url": url,
            "headers": [["content-type", "text/plain"], ["x-many", "1"], ["X-Many", "2"]],
            "body": "hello",
        }),
    );
    let answer = answer.await.ok();
    assert_eq!((&answer["status"], &answer["body"]), (&json!(200), &json!("hello")));
    assert_eq!(answer["url"], service.url("/a%20b?c=d&e=%27f%27"));
    assert_eq!(header(&answer, "x-service"), Some("test"));
    assert_eq!(header(&answer, "set-cookie"), Some("a=b"));
    let seen = &service.seen()[0];
    assert_eq!((&*seen.method, &*seen.target), ("POST", "/a%20b?c=d&e=%27f%27"));
    let expected = [
        ("content-length", "5"),
        ("content-type", "text/plain"),
        ("host", &service.address().to_string()),
        ("user-agent", "hostel"),
        ("x-many", "1"),
        ("x-many", "2"),
    ];
    let mut headers = seen.headers.clone();
    headers.sort();
    let headers: Vec<_> = headers.iter().map(|(name, value)| (&**name, &**value)).collect();
    assert_eq!(headers, expected);
    // No cookie is kept, no answer's status is an error.
    get(&acme, &service.url("/again")).await.ok();
    assert_eq!(service.seen()[1].header("cookie"), None);
    for status in [204, 304, 404, 503] {
        let answer = get(&acme, &service.url(&format!("/status/{status}"))).await.ok();
        assert_eq!(answer["status"], status);
    }
    call(&acme, json!({ "method": "POST", "url": service.url("/empty") })).await.ok();
    assert_eq!(service.seen().last().unwrap().header("content-length"), Some("0"));
}

#[tokio::test]
async fn nothing_is_called_unless_the_module_declares_it_and_the_operator_allows_it() {
    let service = Service::start().await;
    let refused = async |config: &str, url: &str| {
        let platform = TestPlatform::configured(config).await;
        let answer = get(&platform.tenant("acme").await, url).await;
        assert_eq!(answer.code(), "403 denied");
        answer.json()["detail"].as_str().unwrap().to_owned()
    };
    let url = service.url("/");
    let allowed = "[http_client]\nallow = ['127.0.0.1:*']";
    for (config, url, why) in [
        ("", &*url, "is not allowed: the operator names it in `http_client.allow`"),
        ("[http_client]\nallow = ['other.org']", &*url, "is not allowed"),
        (allowed, &*url, "is called over https alone"),
        (allowed, "https://undeclared.org/", "is no host that this module declares to call"),
        (OPEN, "https://undeclared.org/", "is no host that this module declares to call"),
        (OPEN, "https://api.example.org.undeclared.org/", "declares to call"),
        (OPEN, "http://localhost/", "declares to call"),
    ] {
        let told = refused(config, url).await;
        assert!(told.contains(why), "{url}: {told}");
    }
    let plain = format!("{allowed}\nhttp = ['127.0.0.1:*']");
    let told = refused(&plain, &url).await;
    assert!(told.contains("an address that modules may not reach"), "{told}");
    assert!(service.seen().is_empty());
}

#[tokio::test]
async fn what_a_module_calls_is_shown_before_it_is_served() {
    let folder = Folder::warm().await;
    let mut inspect = folder.command(&["module", "inspect", probe().to_str().unwrap()]);
    let told = inspect.env("HOSTEL_PLATFORM_KEY", PLATFORM_KEY).output().unwrap().stdout;
    let told = String::from_utf8(told).unwrap();
    let (_, calls) = told.split_once("\nCalls\n").unwrap();
    let first = calls.lines().next().unwrap();
    let words: Vec<_> = first.split_whitespace().collect();
    assert_eq!(words.join(" "), "api.example.org to show what a guest gets from there");
    assert!(told.contains("(http-client: hostel:http-client/http-client@0.1.0)"), "{told}");
}

#[tokio::test]
async fn a_module_says_which_hosts_it_calls_and_why() {
    for (text, by, why) in [
        ("to show what a guest gets from there", "", "`api.example.org`: say why"),
        ("169.254.169.254", "https://other", "`https://other  ` is no host"),
        ("169.254.169.254", "*:*", "is no host: expected a name"),
    ] {
        let setup = TestPlatform::setup().probe_is(&patched(probe(), text, by));
        let Err(error) = setup.try_start().await else { panic!("it started with {by:?}") };
        assert!(error.to_string().contains(why), "{error}");
    }
}

#[tokio::test]
async fn a_secret_goes_out_in_its_tenants_calls_and_nobody_sees_it() {
    let (platform, service) = (TestPlatform::configured(OPEN).await, Service::start().await);
    let (acme, other) = (platform.tenant("acme").await, platform.tenant("other").await);
    set_secret(&platform, "acme", "KEY", "of-acme").await;
    let with_secret = |name: &str| {
        json!({
            "url": service.url("/status/200"),
            "headers": [["authorization", "mine"]],
            "secrets": [["Authorization", "Bearer ", name]],
        })
    };
    let answer = call(&acme, with_secret("KEY")).await;
    answer.ok();
    assert!(!answer.text().contains("of-acme"), "{}", answer.text());
    assert_eq!(service.seen()[0].header("authorization"), Some("Bearer of-acme"));
    // Another tenant has none of that name, or its own.
    let answer = call(&other, with_secret("KEY")).await;
    assert_eq!(answer.code(), "404 not-found");
    set_secret(&platform, "other", "KEY", "of-other").await;
    call(&other, with_secret("KEY")).await.ok();
    assert_eq!(service.seen()[1].header("authorization"), Some("Bearer of-other"));
    // One that cannot stand in a header is told of by its name alone.
    set_secret(&platform, "acme", "BROKEN", "hunter2\r\nx-injected: 1").await;
    let answer = call(&acme, with_secret("BROKEN")).await;
    assert_eq!(answer.code(), "422 invalid");
    assert!(answer.text().contains("`BROKEN`") && !answer.text().contains("hunter2"));
    assert_eq!(service.seen().len(), 2);
}

#[tokio::test]
async fn the_log_tells_who_was_called_and_nothing_of_what_was_said() {
    let (folder, service) = (Folder::warm().await, Service::start().await);
    folder.module("probe", probe());
    folder.write(
        "platform.toml",
        format!("{OPEN}[log.levels]\nhostel = 'trace'\nhyper = 'trace'\nrustls = 'trace'"),
    );
    folder.write("key", "in-the-secret");
    let hostel = folder.start(&["serve"]);
    let set = folder
        .command(&["tenant", "secret", "set", "default", "KEY"])
        .env("HOSTEL_PLATFORM_KEY", PLATFORM_KEY)
        .stdin(File::open(folder.path("key")).unwrap())
        .output();
    assert!(set.unwrap().status.success());
    let said = |path: &str| {
        json!({
            "method": "POST",
            "url": service.url(path),
            "headers": [["x-mine", "in-the-header"]],
            "secrets": [["x-key", "", "KEY"]],
            "body": "in-the-body",
        })
    };
    let acme = hostel.client("default");
    call(&acme, said("/in-the-path?in-the-query")).await.ok();
    assert_eq!(service.seen()[0].header("x-key"), Some("in-the-secret"));
    let line = hostel.line(&["hostel::http_client", r#""status":200"#]);
    for part in [r#""host":"127.0.0.1""#, r#""method":"POST""#, "took_ms", r#""module":"probe""#] {
        assert!(line.contains(part), "{line}");
    }
    let answer = call(&acme, said("/redirect/302/http://[::1]/in-the-path")).await;
    assert_eq!(answer.code(), "403 denied");
    let line = hostel.line(&["hostel::http_client", "http-client-plain"]);
    assert!(line.contains("[::1]"), "{line}");
    let told: Vec<_> = hostel.lines().into_iter().filter(|line| line.contains("in-the-")).collect();
    assert!(told.is_empty(), "{told:#?}");
}

#[tokio::test]
async fn a_redirect_is_followed_and_leaves_credentials_at_another_host() {
    let platform = TestPlatform::configured(OPEN).await;
    let (one, two) = (Service::start().await, Service::start().await);
    let acme = platform.tenant("acme").await;
    set_secret(&platform, "acme", "KEY", "s3cret").await;
    let post = |url: String| {
        json!({
            "method": "POST",
            "url": url,
            "headers": [["authorization", "mine"], ["cookie", "a=b"], ["x-other", "stays"]],
            "secrets": [["x-key", "", "KEY"]],
            "body": "hello",
        })
    };
    let elsewhere = |status: u16| one.url(&format!("/redirect/{status}/{}", two.url("/there")));
    let answer = call(&acme, post(elsewhere(307))).await.ok();
    assert_eq!((&answer["url"], &answer["body"]), (&json!(two.url("/there")), &json!("hello")));
    let seen = two.seen().pop().unwrap();
    assert_eq!(seen.method, "POST");
    let left = ["authorization", "cookie", "x-key", "x-other"].map(|name| seen.header(name));
    assert_eq!(left, [None, None, None, Some("stays")]);
    for (status, method) in [(301, "GET"), (302, "GET"), (303, "GET"), (308, "POST")] {
        call(&acme, post(elsewhere(status))).await.ok();
        let seen = two.seen().pop().unwrap();
        assert_eq!((&*seen.method, seen.body.is_empty()), (method, method == "GET"), "{status}");
    }
    // At the same host they stay.
    call(&acme, post(one.url("/redirect/308//there"))).await.ok();
    let seen = one.seen().pop().unwrap();
    assert_eq!((&*seen.target, seen.header("x-key")), ("/there", Some("s3cret")));
}

#[tokio::test]
async fn over_tls_the_certificate_must_be_valid_for_the_name() {
    let folder = tempfile::tempdir().unwrap();
    let (service, certificate) = Service::with_tls("internal.example.org", folder.path()).await;
    let to_itself = |name: &str| match name {
        "internal.example.org" | "b.internal.example.org" => Ok(vec![[127, 0, 0, 1].into()]),
        _ => Err(std::io::ErrorKind::NotFound.into()),
    };
    let with = async |config: String| {
        let setup = TestPlatform::setup().config(&config);
        setup.built(move |builder| builder.resolver(to_itself)).start().await
    };
    let open = "[http_client]\nallow = ['*']\ninternal = ['*.example.org:*']".to_owned();
    let trusting = with(format!("{open}\nca_file = {certificate:?}")).await;
    let acme = trusting.tenant("acme").await;
    let url = |name: &str| format!("https://{name}:{}/secure", service.port());
    assert_eq!(get(&acme, &url("internal.example.org")).await.ok()["status"], 200);
    let untrusted = async |client: &Client, name: &str| {
        let answer = get(client, &url(name)).await;
        assert_eq!(answer.code(), "503 unavailable");
        assert!(answer.text().contains("no certificate that is valid"), "{}", answer.text());
    };
    untrusted(&acme, "b.internal.example.org").await;
    let doubting = with(open.clone()).await;
    untrusted(&doubting.tenant("acme").await, "internal.example.org").await;
    assert_eq!(service.seen().len(), 1);
    let absent = TestPlatform::setup().config(&format!("{open}\nca_file = '/absent.pem'"));
    let Err(error) = absent.try_start().await else { panic!("it started") };
    assert!(error.to_string().starts_with("`http_client.ca_file`: /absent.pem: "), "{error}");
    let everything = TestPlatform::setup().config("[http_client]\ninternal = ['*']");
    let Err(error) = everything.try_start().await else { panic!("it started") };
    assert!(error.to_string().contains("name the services"), "{error}");
}

#[tokio::test]
async fn a_client_that_hangs_up_takes_its_modules_request_with_it() {
    let config =
        format!("{OPEN}[limits]\nhttp_client_timeout_ms = 600000\ncall_timeout_ms = 600000");
    let (platform, service) = (TestPlatform::configured(&config).await, Service::start().await);
    let acme = platform.tenant("acme").await;
    let url = service.url("/hang");
    let asked = get(&acme, &url);
    let hangs = eventually("it hangs", async || (service.hanging() == 1).then_some(()));
    tokio::select! {
        answer = asked => panic!("it ended: {answer:?}"),
        () = hangs => {}
    }
    eventually("it is closed", async || (service.hanging() == 0).then_some(())).await;
}
