//! What RFC 9113 wants of a server when a client breaks its rules, frame by frame; and what it wants
//! it to overlook.

use hostel_tests::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Frame, GOAWAY, HEADERS, PING, RST_STREAM,
    SETTINGS, WINDOW_UPDATE, frame, get, get_fields, literal, preface, until_frame,
};
use hostel_tests::{Peer, TestPlatform};

const PRIORITY: u8 = 2;
const PUSH_PROMISE: u8 = 5;
const PADDED: u8 = 8;

const PROTOCOL: u32 = 1;
const FLOW_CONTROL: u32 = 3;
const STREAM_CLOSED: u32 = 5;
const FRAME_SIZE: u32 = 6;
const COMPRESSION: u32 = 9;

/// A request whose head has these fields after the usual ones.
fn with(fields: &[(&str, &str)]) -> Vec<u8> {
    let more = fields.iter().flat_map(|(name, value)| literal(name, value));
    let block: Vec<u8> = get_fields("/health/live").into_iter().chain(more).collect();
    frame(HEADERS, END_STREAM | END_HEADERS, 1, &block)
}

/// A request whose head has these fields and no other.
fn of(fields: &[(&str, &str)]) -> Vec<u8> {
    let block: Vec<u8> = fields.iter().flat_map(|(name, value)| literal(name, value)).collect();
    frame(HEADERS, END_STREAM | END_HEADERS, 1, &block)
}

fn setting(name: u16, value: u32) -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[&name.to_be_bytes()[..], &value.to_be_bytes()].concat())
}

/// A request that announces `length` bytes and sends others.
fn post(length: &str, body: &[u8]) -> Vec<u8> {
    let fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/api/probe/length"),
        (":authority", "x"),
        ("x-tenant", "hostile"),
        ("content-length", length),
    ];
    let block: Vec<u8> = fields.iter().flat_map(|(name, value)| literal(name, value)).collect();
    [frame(HEADERS, END_HEADERS, 1, &block), frame(DATA, END_STREAM, 1, body)].concat()
}

/// A breach's name, its bytes, and the error that the connection or the stream ends with. Where h2 has
/// but one word for several, that is `PROTOCOL_ERROR`.
type Breach = (&'static str, Vec<u8>, &'static [u32]);

fn breaches_of_frames() -> Vec<Breach> {
    let fields = get_fields("/health/live");
    let open = frame(HEADERS, END_STREAM, 1, &fields);
    let increment = |stream, by: u32| frame(WINDOW_UPDATE, 0, stream, &by.to_be_bytes());
    vec![
        ("5.1 data for a stream that is idle", frame(DATA, 0, 1, b"x"), &[PROTOCOL]),
        ("5.1 a reset of a stream that is idle", frame(RST_STREAM, 0, 1, &[0; 4]), &[PROTOCOL]),
        ("5.1 a window for a stream that is idle", increment(1, 1), &[PROTOCOL]),
        ("5.1.1 an even stream", get(2, "/health/live"), &[PROTOCOL]),
        (
            "5.1.1 a stream that goes back",
            [get(5, "/health/live"), get(3, "/health/live")].concat(),
            &[PROTOCOL, STREAM_CLOSED],
        ),
        ("6.1 data for no stream", frame(DATA, 0, 0, b"x"), &[PROTOCOL]),
        (
            "6.1 more padding than there is",
            [frame(HEADERS, END_HEADERS, 1, &fields), frame(DATA, PADDED, 1, &[200, 1, 2])]
                .concat(),
            &[PROTOCOL],
        ),
        (
            "6.2 a head for no stream",
            frame(HEADERS, END_STREAM | END_HEADERS, 0, &fields),
            &[PROTOCOL],
        ),
        ("6.2 a head inside a head", [open.clone(), get(3, "/health/live")].concat(), &[PROTOCOL]),
        (
            "6.3 a priority of the wrong size",
            frame(PRIORITY, 0, 1, &[0; 4]),
            &[FRAME_SIZE, PROTOCOL],
        ),
        ("6.4 a reset of no stream", frame(RST_STREAM, 0, 0, &[0; 4]), &[PROTOCOL]),
        (
            "6.4 a reset of the wrong size",
            [get(1, "/health/live"), frame(RST_STREAM, 0, 1, &[0; 3])].concat(),
            &[FRAME_SIZE, PROTOCOL],
        ),
        ("6.5 settings that are none", frame(SETTINGS, 0, 0, &[0; 5]), &[FRAME_SIZE, PROTOCOL]),
        (
            "6.5 an acknowledgement that says more",
            frame(SETTINGS, 1, 0, &[0; 6]),
            &[FRAME_SIZE, PROTOCOL],
        ),
        ("6.5 settings of a stream", frame(SETTINGS, 0, 1, &[]), &[PROTOCOL]),
        ("6.5.2 push that is neither on nor off", setting(2, 2), &[PROTOCOL]),
        ("6.5.2 a window that is too large", setting(4, 1 << 31), &[FLOW_CONTROL, PROTOCOL]),
        ("6.5.2 frames that are too small", setting(5, 100), &[PROTOCOL]),
        ("6.5.2 frames that are too large", setting(5, 1 << 24), &[PROTOCOL]),
        ("6.6 a promise of a client", frame(PUSH_PROMISE, END_HEADERS, 1, &[0; 4]), &[PROTOCOL]),
        ("6.7 a ping of the wrong size", frame(PING, 0, 0, &[0; 7]), &[FRAME_SIZE, PROTOCOL]),
        ("6.7 a ping of a stream", frame(PING, 0, 1, &[0; 8]), &[PROTOCOL]),
        ("6.8 an end of a stream's own", frame(GOAWAY, 0, 1, &[0; 8]), &[PROTOCOL]),
        ("6.9 a window that does not grow", increment(0, 0), &[PROTOCOL]),
        (
            "6.9 a window of the wrong size",
            frame(WINDOW_UPDATE, 0, 0, &[0; 3]),
            &[FRAME_SIZE, PROTOCOL],
        ),
        ("6.9.1 a window beyond all bounds", increment(0, 0x7fff_ffff).repeat(2), &[FLOW_CONTROL]),
        ("6.10 more of no head", frame(CONTINUATION, END_HEADERS, 1, &fields), &[PROTOCOL]),
        ("6.10 a ping inside a head", [open, frame(PING, 0, 0, &[0; 8])].concat(), &[PROTOCOL]),
        ("4.2 a frame that is too large", frame(DATA, 0, 1, &[0; 16_385]), &[FRAME_SIZE]),
    ]
}

/// Those of heads, and of bodies that are not what their head says.
fn breaches_of_requests() -> Vec<Breach> {
    let pseudo = [(":method", "GET"), (":scheme", "http"), (":path", "/health/live")];
    vec![
        (
            "4.3 a head that cannot be unpacked",
            frame(HEADERS, END_STREAM | END_HEADERS, 1, &[0xff; 20]),
            &[COMPRESSION, PROTOCOL],
        ),
        ("8.2.1 an upper case name", with(&[("X-Upper", "a")]), &[PROTOCOL, COMPRESSION]),
        ("8.2.2 a header of the connection", with(&[("connection", "x")]), &[PROTOCOL]),
        (
            "8.2.2 an encoding of the transfer",
            with(&[("transfer-encoding", "chunked")]),
            &[PROTOCOL],
        ),
        ("8.2.2 te", with(&[("te", "gzip")]), &[PROTOCOL]),
        ("8.3 a pseudo-header after others", with(&[(":method", "GET")]), &[PROTOCOL]),
        (
            "8.3 an unknown pseudo-header",
            of(&[pseudo[0], pseudo[1], pseudo[2], (":own", "x")]),
            &[PROTOCOL, COMPRESSION],
        ),
        (
            "8.3 a pseudo-header of answers",
            of(&[pseudo[0], pseudo[1], pseudo[2], (":status", "200")]),
            &[PROTOCOL],
        ),
        ("8.3.1 an empty path", of(&[pseudo[0], pseudo[1], (":path", "")]), &[PROTOCOL]),
        ("8.3.1 no method", of(&[pseudo[1], pseudo[2]]), &[PROTOCOL]),
        ("8.3.1 no scheme", of(&[pseudo[0], pseudo[2]]), &[PROTOCOL]),
        ("8.3.1 two methods", of(&[pseudo[0], pseudo[0], pseudo[1], pseudo[2]]), &[PROTOCOL]),
        ("8.1.1 more body than announced", post("1", b"two"), &[PROTOCOL]),
        ("8.1.1 less body than announced", post("9", b"two"), &[PROTOCOL]),
    ]
}

/// The error that the host answers with, if it does.
async fn error(peer: &mut Peer) -> Option<u32> {
    let is_error = |it: &Frame| matches!(it.kind, RST_STREAM | GOAWAY) && it.reason() != 0;
    until_frame(peer, is_error).await.map(|it| it.reason())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_breaks_the_rules_is_told_which() {
    let platform =
        TestPlatform::configured("[http]\nhead_timeout_ms = 2000\nwrite_timeout_ms = 500").await;
    let hostile = platform.tenant("hostile").await;
    let breaches = breaches_of_frames().into_iter().chain(breaches_of_requests());
    let asking = breaches.map(|(name, bytes, expected)| {
        let address = platform.address();
        async move {
            let mut peer = Peer::sending(address, preface(&[])).await;
            // The host may have closed it before all is sent.
            let _ = peer.try_send(bytes).await;
            let told = error(&mut peer).await;
            let is_right = told.is_some_and(|reason| expected.contains(&reason));
            (!is_right).then(|| format!("{name}: {told:?} instead of {expected:?}"))
        }
    });
    let wrong: Vec<String> =
        futures_util::future::join_all(asking).await.into_iter().flatten().collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(hostile.get("/api/probe/counter").await.status(), 200);
}

#[tokio::test]
async fn what_a_server_does_not_know_it_overlooks() {
    let platform = TestPlatform::start().await;
    let mut peer = Peer::sending(platform.address(), preface(&[(0xff, 7)])).await;
    for overlooked in [
        frame(0xee, 0xff, 0, b"an extension"),
        frame(0xee, 0, 3, b"an extension of a stream"),
        frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 16]),
        frame(PING, 1, 0, b"unasked!"),
        setting(0xabcd, 1),
    ] {
        peer.send(overlooked).await;
    }
    peer.send(get(1, "/health/live")).await;
    let answer = until_frame(&mut peer, |frame| frame.stream == 1).await.unwrap();
    // `:status 200`, by its number.
    assert_eq!((answer.kind, answer.payload[0]), (HEADERS, 0x88));
    // What was sent with it goes on.
    peer.send(frame(PING, 0, 0, b"anybody?")).await;
    let pong =
        until_frame(&mut peer, |frame| frame.kind == PING && frame.flags == 1).await.unwrap();
    assert_eq!(pong.payload, b"anybody?");
}

#[tokio::test]
async fn a_preface_that_is_none_is_hung_up_on() {
    let platform = TestPlatform::start().await;
    for preface in [
        "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nGET / HTTP/1.1\r\n\r\n",
    ] {
        let mut peer = Peer::sending(platform.address(), preface).await;
        peer.until_closed().await;
    }
}

#[tokio::test]
async fn a_request_without_a_path_is_refused() {
    let platform = TestPlatform::start().await;
    let mut peer = Peer::sending(platform.address(), preface(&[])).await;
    peer.send(of(&[(":method", "GET"), (":scheme", "http")])).await;
    let answer = until_frame(&mut peer, |frame| frame.stream == 1).await.unwrap();
    // `:status 400`, by its number.
    assert_eq!((answer.kind, answer.payload[0]), (HEADERS, 0x8c));
}
