//! Requests that were damaged at random, against a live host: whatever comes, it answers HTTP or hangs
//! up, nothing of it fails, and who does nothing wrong is served.

use futures_util::{StreamExt as _, stream};
use hostel_tests::{Friendly, Peer, TestPlatform};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

/// So many in the ordinary run; a variable says more: `HOSTEL_TEST_REQUESTS=100000`.
const REQUESTS: usize = 400;
const AT_ONCE: usize = 16;

const HEAD: &str = "host: x\r\nx-tenant: hostile\r\n";

/// What damage is done to: a request of every kind that the host reads.
fn sound() -> Vec<String> {
    let with_body = |line: &str, content_type: &str, body: &str| {
        let length = body.len();
        format!(
            "{line} HTTP/1.1\r\n{HEAD}content-type: {content_type}\r\ncontent-length: {length}\r\n\r\n{body}"
        )
    };
    let form = "--b\r\ncontent-disposition: form-data; name=\"a\"\r\n\r\none\r\n\
                --b\r\ncontent-disposition: form-data; name=\"f\"; filename=\"x.txt\"\r\n\
                content-type: text/plain\r\n\r\ntwo\r\n--b--\r\n";
    let json = r#"{"title":"a","body":"b","tags":[1,2.5e3,null,true,{"x":"\u00e9"}]}"#;
    let get = |path: &str, headers: &str| format!("GET {path} HTTP/1.1\r\n{HEAD}{headers}\r\n");
    vec![
        get("/api/probe/echo/a%2Fb/c?q=a+b&q=%26&empty", "x-own: one\r\nx-own: two\r\n"),
        get(
            "/api/probe/counter",
            "accept: text/html, */*;q=0.5\r\ntraceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n",
        ),
        get(
            "/api/probe/tagged/7",
            "accept-encoding: gzip;q=0.5, br, *;q=0\r\nif-none-match: \"a\", W/\"b\"\r\n",
        ),
        get(
            "/api/notes?limit=2&cursor=x",
            "origin: https://app.example.org\r\nforwarded: for=1.2.3.4;proto=https\r\n",
        ),
        format!(
            "OPTIONS /api/notes HTTP/1.1\r\n{HEAD}origin: https://app.example.org\r\naccess-control-request-method: PUT\r\naccess-control-request-headers: x-tenant\r\n\r\n"
        ),
        format!("HEAD /health/ready HTTP/1.1\r\n{HEAD}x-forwarded-for: 1.2.3.4, 10.0.0.1\r\n\r\n"),
        with_body("POST /api/notes", "application/json", json),
        with_body("POST /api/probe/form", "application/x-www-form-urlencoded", "name=a%20b&age=7"),
        with_body("POST /api/probe/parts", "multipart/form-data; boundary=b", form),
        format!(
            "POST /api/probe/length HTTP/1.1\r\n{HEAD}transfer-encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nx-t: 1\r\n\r\n"
        ),
        format!(
            "PUT /api/probe/tagged/7 HTTP/1.1\r\n{HEAD}if-match: \"7\"\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n{{}}"
        ),
    ]
}

/// What readers stumble over.
const STUMBLES: [&[u8]; 32] = [
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b" ",
    b"\t",
    b":",
    b";",
    b",",
    b"=",
    b"\"",
    b"%",
    b"%2e",
    b"%00",
    b"%FF",
    b"../",
    b"//",
    b"\\",
    b"?",
    b"#",
    b"{",
    b"[",
    b"]]]]",
    b"\\ud800",
    b"1e999",
    b"--b",
    b"--b--",
    b"\xc3\xa9",
    b"\xff",
    b"content-length: 5\r\n",
    b"transfer-encoding: chunked\r\n",
    b"x-tenant: other\r\n",
];

#[derive(Clone, Debug)]
enum Damage {
    Flip(usize, u8),
    Insert(usize, usize),
    Repeat(usize, usize),
    Remove(usize, usize),
    Cut(usize),
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        3 => (any::<usize>(), any::<u8>()).prop_map(|(at, byte)| Damage::Flip(at, byte)),
        5 => (any::<usize>(), 0..STUMBLES.len()).prop_map(|(at, what)| Damage::Insert(at, what)),
        2 => (any::<usize>(), 1..200usize).prop_map(|(at, length)| Damage::Repeat(at, length)),
        2 => (any::<usize>(), 1..40usize).prop_map(|(at, length)| Damage::Remove(at, length)),
        1 => any::<usize>().prop_map(Damage::Cut),
    ]
}

fn damaged(sound: &str, damages: &[Damage]) -> Vec<u8> {
    let mut bytes = sound.as_bytes().to_vec();
    for damage in damages {
        let place = |at: usize| if bytes.is_empty() { 0 } else { at % bytes.len() };
        match *damage {
            Damage::Flip(at, byte) => {
                let at = place(at);
                bytes.get_mut(at).into_iter().for_each(|old| *old = byte);
            }
            Damage::Insert(at, what) => {
                let at = place(at);
                bytes.splice(at..at, STUMBLES[what].iter().copied());
            }
            Damage::Repeat(at, length) => {
                let at = place(at);
                let again = bytes[at..(at + length).min(bytes.len())].to_vec();
                bytes.splice(at..at, again);
            }
            Damage::Remove(at, length) => {
                let at = place(at);
                bytes.drain(at..(at + length).min(bytes.len()));
            }
            Damage::Cut(at) => bytes.truncate(place(at)),
        }
    }
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_sent_is_answered_or_hung_up_on() {
    let platform = TestPlatform::configured(
        "[http]\nhead_timeout_ms = 100\nbody_timeout_ms = 100\nforwarded_by = 'forwarded'
         trusted_proxies = ['127.0.0.1']\n[http.cors]\norigins = ['*']\nby_tenant = true",
    )
    .await;
    platform.tenant("hostile").await;
    platform.tenant("other").await;
    let friendly = Friendly::beside(&platform, "friendly").await;
    #[expect(clippy::disallowed_methods, reason = "whoever runs it longer says so")]
    let requests = std::env::var("HOSTEL_TEST_REQUESTS").ok().and_then(|text| text.parse().ok());
    let requests = requests.unwrap_or(REQUESTS);
    let mut runner = TestRunner::default();
    let kinds = (prop::sample::select(sound()), prop::collection::vec(damage(), 0..5));
    let made = (0..requests).map(|_| {
        let (sound, damages) = kinds.new_tree(&mut runner).unwrap().current();
        damaged(&sound, &damages)
    });
    let address = platform.address();
    let sending = stream::iter(made).map(|request| async move {
        let mut peer = Peer::to(address).await;
        // The host may have closed it before all is sent.
        let _ = peer.try_send(&request).await;
        (request, peer.bytes_until_closed().await)
    });
    let mut sending = std::pin::pin!(sending.buffer_unordered(AT_ONCE));
    let mut answered = 0;
    while let Some((request, answer)) = sending.next().await {
        let sent = request.escape_ascii();
        if answer.is_empty() {
            continue;
        }
        answered += 1;
        assert!(answer.starts_with(b"HTTP/1."), "{sent}\n{}", answer.escape_ascii());
        for line in answer.split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"HTTP/1."))
        {
            let status = &line["HTTP/1.1 ".len()..][..3];
            let is_fault = status.starts_with(b"5") && status != b"503";
            assert!(!is_fault, "{sent}\n{}", answer.escape_ascii());
        }
    }
    println!("{answered} of {requests} were answered");
    assert!(answered > requests / 4, "most of what is damaged is still a request");
    println!("friendly: {} requests", friendly.finish().await);
}
