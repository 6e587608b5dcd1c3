//! What modules may not reach, send or take in, in every spelling that somebody may think of.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use hostel_tests::{Answer, Client, Service, TestPlatform, eventually};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::http_client::{OPEN, call, get};

const CLOSED: &str = "[http_client]\nallow = ['*']\nhttp = ['*']\n";

/// The kind and the words of what must have been refused.
#[track_caller]
fn refused(answer: &Answer, code: &str, why: &str) {
    assert_eq!(answer.code(), code, "{}", answer.text());
    let told = answer.json()["detail"].as_str().unwrap().to_owned();
    assert!(told.contains(why), "{told}");
}

/// Refused for what is behind the name.
#[track_caller]
fn refused_address(answer: &Answer) {
    refused(answer, "403 denied", "an address that modules may not reach");
}

/// A platform on which names are these addresses, and nothing is internal.
async fn resolving(
    config: &str,
    find: impl Fn(&str) -> Vec<IpAddr> + Clone + Send + Sync + 'static,
) -> TestPlatform {
    let setup = TestPlatform::setup().config(config);
    setup
        .built(move |builder| {
            let find = find.clone();
            builder.resolver(move |name| Ok(find(name)))
        })
        .start()
        .await
}

#[tokio::test]
async fn no_spelling_of_an_address_leads_into_a_private_network() {
    let platform = TestPlatform::configured(CLOSED).await;
    let acme = platform.tenant("acme").await;
    let service = Service::start().await;
    let port = service.port();
    // All of these are addresses that the probe declares, so that nothing but the address keeps it
    // from calling them.
    for host in [
        "127.0.0.1",
        "2130706433",
        "0x7f000001",
        "0x7F.0x0.0x0.0x1",
        "017700000001",
        "0177.0.0.01",
        "127.1",
        "127.0.1",
        "0x7f.1",
        "127.0.0.1.",
        "%31%32%37.0.0.1",
        "１２７.0.0.1",
        "127。0。0。1",
        "①②⑦.0.0.1",
        "[::1]",
        "[0:0:0:0:0:0:0:1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[0:0:0:0:0:ffff:7f00:0001]",
    ] {
        refused_address(&get(&acme, &format!("http://{host}:{port}/")).await);
    }
    for host in ["169.254.169.254", "2852039166", "0xa9fea9fe", "0251.0376.0251.0376"] {
        refused_address(&get(&acme, &format!("http://{host}/latest/meta-data/")).await);
    }
    // And these it cannot even declare to mean anything.
    for host in
        ["localhost", "0.0.0.0", "0", "[::]", "127.0.0.2", "10.0.0.1", "127.0.0.1.example.com"]
    {
        let answer = get(&acme, &format!("http://{host}:{port}/")).await;
        refused(&answer, "403 denied", "declares to call");
    }
    assert!(service.seen().is_empty());
}

#[tokio::test]
async fn a_name_with_a_private_address_is_refused() {
    let private = [
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "127.0.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "192.0.0.192",
        "192.168.1.1",
        "198.18.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "168.63.129.16",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::1",
        "2001:0:7f00:1::1",
        "fd00:ec2::254",
        "fe80::1",
        "ff02::1",
    ];
    // `n7.example.org` has the seventh of them; `all.example.org` all.
    let find = move |name: &str| {
        let label = name.split('.').next().unwrap();
        match label.strip_prefix('n').and_then(|n| n.parse::<usize>().ok()) {
            Some(n) => vec![private[n].parse().unwrap()],
            None => private.iter().map(|address| address.parse().unwrap()).collect(),
        }
    };
    let platform = resolving(CLOSED, find).await;
    let acme = platform.tenant("acme").await;
    for (n, address) in private.iter().enumerate() {
        let answer = get(&acme, &format!("http://n{n}.example.org/")).await;
        assert_eq!(answer.code(), "403 denied", "{address}");
        refused_address(&answer);
    }
    refused_address(&get(&acme, "https://all.example.org/").await);
}

/// Who answers to a name at first with an address that is allowed, and then with another, gains
/// nothing: each request asks once, and dials what was checked.
#[tokio::test]
async fn what_was_checked_is_dialled_and_every_redirect_is_checked_anew() {
    let public = Service::start().await;
    let behind = Service::on(([127, 0, 0, 2], public.port()).into()).await;
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let find = move |name: &str| -> Vec<IpAddr> {
        match name {
            "internal.example.org" if count.fetch_add(1, Ordering::SeqCst) == 0 => {
                vec![[127, 0, 0, 1].into()]
            }
            _ => vec![[127, 0, 0, 2].into()],
        }
    };
    let platform = resolving(OPEN, find).await;
    let acme = platform.tenant("acme").await;
    let port = public.port();
    get(&acme, &format!("http://internal.example.org:{port}/once")).await.ok();
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    assert_eq!((public.seen().len(), behind.seen().len()), (1, 0));

    let seen = behind.seen().len();
    let to = |url: &str| public.url(&format!("/redirect/302/{url}"));
    let rebound = format!("http://rebound.example.org:{port}/");
    refused_address(&get(&acme, &to(&rebound)).await);
    for url in ["http://169.254.169.254/latest", "http://[::1]:1/"] {
        let answer = get(&acme, &to(url)).await;
        refused(&answer, "403 denied", "`http_client.http`");
    }
    for url in ["http://undeclared.org/", "//undeclared.org/"] {
        refused(&get(&acme, &to(url)).await, "403 denied", "declares to call");
    }
    for url in ["file:///etc/passwd", "gopher://127.0.0.1/", "http://user@127.0.0.1/"] {
        assert_eq!(get(&acme, &to(url)).await.code(), "422 invalid", "{url}");
    }
    assert_eq!(behind.seen().len(), seen);
}

#[tokio::test]
async fn what_breaks_a_request_in_two_or_speaks_of_the_connection_is_refused() {
    let (platform, service) = (TestPlatform::configured(OPEN).await, Service::start().await);
    let acme = platform.tenant("acme").await;
    let url = service.url("/");
    for name in [
        "host",
        "Host",
        "connection",
        "content-length",
        "transfer-encoding",
        "te",
        "trailer",
        "upgrade",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "expect",
        "http2-settings",
        "x\r\ny",
        "x y",
        "x:",
        "",
        "ä",
    ] {
        let answer = call(&acme, json!({ "url": url, "headers": [[name, "1"]] })).await;
        assert_eq!(answer.code(), "422 invalid", "{name:?}");
    }
    for value in ["a\r\nx-injected: 1", "a\nb", "a\rb", "a\0b"] {
        let answer = call(&acme, json!({ "url": url, "headers": [["x-a", value]] })).await;
        assert_eq!(answer.code(), "422 invalid", "{value:?}");
    }
    for method in ["CONNECT", "TRACE", "GET /other HTTP/1.1\r\n", "", "G T"] {
        let answer = call(&acme, json!({ "url": url, "method": method })).await;
        assert_eq!(answer.code(), "422 invalid", "{method:?}");
    }
    let host = service.address();
    for wrong in [
        format!("http://{host}/a\r\nx: y"),
        format!("http://{host}/a b"),
        format!("ht\ntp://{host}/"),
        format!("http://user@{host}/"),
        format!("http://:secret@{host}/"),
        format!("ftp://{host}/"),
        "file:///etc/passwd".to_owned(),
        "http://".to_owned(),
        "/path".to_owned(),
        String::new(),
        format!("http://{host}/{}", "x".repeat(8192)),
    ] {
        assert_eq!(get(&acme, &wrong).await.code(), "422 invalid", "{wrong:?}");
    }
    assert!(service.seen().is_empty());
    // What needs no refusal is sent as text that cannot be taken for more.
    get(&acme, &service.url("/%0d%0ax:y?%0d%0a")).await.ok();
    assert_eq!(service.seen()[0].target, "/%0d%0ax:y?%0d%0a");
}

#[tokio::test]
async fn what_is_too_much_or_takes_too_long_is_cut_off() {
    let limits = "[limits]\nhttp_client_calls_max = 3\nhttp_client_request_max_bytes = 2000\n\
                  http_client_response_max_bytes = 100000\nhttp_client_timeout_ms = 60000\n";
    let platform = TestPlatform::configured(&format!("{OPEN}{limits}")).await;
    let service = Service::start().await;
    let acme = platform.tenant("acme").await;
    let url = |path: &str| service.url(path);
    assert_eq!(
        get(&acme, &url("/bytes/100000")).await.ok()["body"].as_str().unwrap().len(),
        100_000
    );
    for path in ["/bytes/100001", "/endless"] {
        refused(&get(&acme, &url(path)).await, "429 limit", "more than 100000 bytes");
    }
    let large = json!({ "method": "POST", "url": url("/"), "body": "x".repeat(2001) });
    refused(&call(&acme, large).await, "429 limit", "at most 2000 bytes");
    let many: Vec<_> = (0..65).map(|n| json!([format!("x-{n}"), ""])).collect();
    refused(
        &call(&acme, json!({ "url": url("/"), "headers": many })).await,
        "429 limit",
        "64 headers",
    );
    assert_eq!(get(&acme, &url("/headers/200")).await.code(), "503 unavailable");
    call(&acme, json!({ "url": url("/"), "times": 3 })).await.ok();
    let too_often = json!({ "url": url("/"), "times": 4 });
    refused(&call(&acme, too_often).await, "429 limit", "at most 3 requests");
    refused(&get(&acme, &url("/redirect/302/round")).await, "429 limit", "5 redirects");
    let slow = json!({ "url": url("/hang"), "timeout_ms": 100 });
    refused(&call(&acme, slow).await, "504 timeout", "did not answer in time");
    eventually("it is closed", async || (service.hanging() == 0).then_some(())).await;
    let metrics = platform.nobody().get("/metrics").await;
    let hits = metrics.figure("hostel_limit_hits_total", &["http-client-response"]);
    assert!((hits - 2.0).abs() < 0.5, "{hits}");
    // The platform's limit, and then that of all that a call may exchange.
    let tight = "[limits]\nhttp_client_timeout_ms = 100\nhostcalls_total_max_bytes = 100000\n";
    let platform = TestPlatform::configured(&format!("{OPEN}{tight}")).await;
    let acme = platform.tenant("acme").await;
    refused(&get(&acme, &url("/hang")).await, "504 timeout", "did not answer in time");
    refused(&get(&acme, &url("/bytes/100000")).await, "429 limit", "bytes");
}

#[tokio::test]
async fn a_tenants_requests_under_way_are_bounded_and_others_are_not_kept_from_theirs() {
    let limits = "[limits]\ntenant_http_client_calls_max = 2\nhttp_client_timeout_ms = 60000\n";
    let platform = TestPlatform::configured(&format!("{OPEN}{limits}")).await;
    let service = Service::start().await;
    let (acme, other) = (platform.tenant("acme").await, platform.tenant("other").await);
    let url = service.url("/hang");
    let hanging = join_all((0..2).map(|_| get(&acme, &url)));
    let tried = async {
        eventually("both hang", async || (service.hanging() == 2).then_some(())).await;
        refused(&get(&acme, &service.url("/")).await, "429 limit", "as many as it may");
        get(&other, &service.url("/")).await.ok();
    };
    tokio::select! {
        answers = hanging => panic!("they ended: {answers:?}"),
        () = tried => {}
    }
    let free = async |client: &Client| get(client, &service.url("/")).await.status() == 200;
    eventually("its share is free again", async || free(&acme).await.then_some(())).await;
}

/// Bytes that a server sends in the place of an answer.
async fn broken(acme: &Client, bytes: &'static [u8]) -> Answer {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 4096]).await;
        let _ = stream.write_all(bytes).await;
    };
    let url = format!("http://{address}/");
    let ((), answer) = tokio::join!(serve, get(acme, &url));
    answer
}

#[tokio::test]
async fn a_server_that_speaks_no_http_costs_its_call_alone() {
    let platform = TestPlatform::configured(OPEN).await;
    let acme = platform.tenant("acme").await;
    for bytes in [
        &b""[..],
        b"hello\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        b"HTTP/1.1 999 Odd\r\ncontent-length: 0\r\n\r\n",
        &[b'x'; 200_000],
    ] {
        let answer = broken(&acme, bytes).await;
        assert_eq!(answer.code(), "503 unavailable", "{}", answer.text());
    }
    let whole = b"HTTP/1.1 200 OK\r\nconnection: close\r\nx-raw: \xff\r\nproxy-authenticate: x\r\n\r\nto the end";
    let answer = broken(&acme, whole).await.ok();
    assert_eq!((&answer["body"], &answer["headers"]), (&json!("to the end"), &json!([])));
    // Nobody is there at all.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    refused(
        &get(&acme, &format!("http://{address}/")).await,
        "503 unavailable",
        "cannot be reached",
    );
}
