//! Clients that misuse HTTP/2, frame by frame.

use futures_util::future::{join, join_all};
use hostel_tests::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Frame, GOAWAY, HEADERS, PING, RST_STREAM,
    SETTINGS, WINDOW_UPDATE, frame, get, get_fields, literal, preface, reset, streams,
    until_closed, until_frame,
};
use hostel_tests::{Folder, Friendly, Peer, TestPlatform, eventually, probe};

const REFUSED_STREAM: u32 = 7;
const ENHANCE_YOUR_CALM: u32 = 11;

async fn has_its_turns_back(platform: &TestPlatform) {
    let hostile = platform.client("hostile");
    eventually("the turns are free", async || {
        (hostile.get("/api/probe/counter").await.status() == 200).then_some(())
    })
    .await;
}

async fn start(config: &str) -> (TestPlatform, Friendly) {
    let platform = TestPlatform::configured(config).await;
    platform.tenant("hostile").await;
    let friendly = Friendly::beside(&platform, "friendly").await;
    (platform, friendly)
}

const FEW_TURNS: &str = "[limits]\ntenant_calls_max = 2\nqueue_timeout_ms = 50";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_that_are_reset_at_once_end_the_connection() {
    let (platform, friendly) = start(FEW_TURNS).await;
    let mut peer = Peer::sending(platform.address(), preface(&[])).await;
    let flood: Vec<u8> = streams()
        .take(5_000)
        .flat_map(|stream| [get(stream, "/api/hostile/spin"), reset(stream)].concat())
        .collect();
    // The host may have closed it before all is sent.
    let _ = peer.try_send(flood).await;
    let frames = until_closed(&mut peer).await;
    let away = frames.iter().find(|frame| frame.kind == GOAWAY);
    // What it says is lost when the connection is reset with bytes unread.
    assert!(away.is_none_or(|away| away.reason() == ENHANCE_YOUR_CALM), "{away:?}");
    println!("told why: {}", away.is_some());
    has_its_turns_back(&platform).await;
    println!("friendly: {} requests", friendly.finish().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_that_are_reset_while_they_run_end_the_connection_too() {
    let (platform, friendly) = start(FEW_TURNS).await;
    let mut peer = Peer::sending(platform.address(), preface(&[])).await;
    let mut given_up = 0;
    for stream in streams() {
        // By the time that the ping is answered, the request has begun.
        let began = [get(stream, "/api/hostile/spin"), frame(PING, 0, 0, b"sequence")].concat();
        if peer.try_send(began).await.is_err() {
            break;
        }
        if until_frame(&mut peer, |frame| frame.kind == PING && frame.flags == 1).await.is_none()
            || peer.try_send(reset(stream)).await.is_err()
        {
            break;
        }
        given_up += 1;
        assert!(given_up < 10_000, "nobody minds");
    }
    println!("{given_up} requests were given up");
    has_its_turns_back(&platform).await;
    println!("friendly: {} requests", friendly.finish().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_at_once_have_a_limit() {
    let (platform, friendly) =
        start("[limits]\ncall_timeout_ms = 1000\nqueue_timeout_ms = 500").await;
    let mut peer = Peer::sending(platform.address(), preface(&[])).await;
    let settings = until_frame(&mut peer, |frame| frame.kind == SETTINGS).await.unwrap();
    let limit = settings.payload.chunks(6).find(|setting| setting[..2] == [0, 3]).unwrap();
    assert_eq!(limit[2..], 100u32.to_be_bytes());
    peer.send(frame(SETTINGS, 1, 0, &[])).await;
    for stream in streams().take(150) {
        peer.send(get(stream, "/api/hostile/spin")).await;
    }
    let refused = until_frame(&mut peer, |frame| frame.kind == RST_STREAM).await.unwrap();
    assert_eq!(refused.reason(), REFUSED_STREAM);
    assert_eq!(refused.stream, 201, "the first beyond the limit");
    drop(peer);
    has_its_turns_back(&platform).await;
    println!("friendly: {} requests", friendly.finish().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_without_end_are_refused() {
    let (platform, friendly) = start("[http]\nhead_max_bytes = 8192").await;
    let field = literal("x-more", &"x".repeat(100));
    // In one frame after the other.
    let mut peer = Peer::sending(platform.address(), preface(&[])).await;
    peer.send(frame(HEADERS, END_STREAM, 1, &get_fields("/health/live"))).await;
    let more = frame(CONTINUATION, 0, 1, &field.repeat(100));
    while peer.try_send(&more).await.is_ok() {}
    until_closed(&mut peer).await;
    // Frames without anything in them.
    let mut peer = Peer::sending(platform.address(), preface(&[])).await;
    peer.send(frame(HEADERS, END_STREAM, 1, &get_fields("/health/live"))).await;
    let nothing = frame(CONTINUATION, 0, 1, &[]).repeat(100);
    while peer.try_send(&nothing).await.is_ok() {}
    until_closed(&mut peer).await;
    // A list that ends, and is too long.
    let mut peer = Peer::sending(platform.address(), preface(&[])).await;
    let long = [get_fields("/health/live"), field.repeat(140)].concat();
    peer.send(frame(HEADERS, END_STREAM | END_HEADERS, 1, &long)).await;
    let answer = until_frame(&mut peer, |frame| frame.stream == 1).await.unwrap();
    // `:status`, by its number, and `431` in Huffman's code.
    assert_eq!((answer.kind, &answer.payload[..5]), (HEADERS, &[0x48, 0x83, 0x69, 0x90, 0xff][..]));
    println!("friendly: {} requests", friendly.finish().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_that_only_want_an_answer_end_with_the_connections_idleness() {
    // In a process of its own: a flood uses all of the time that its own process lets it have.
    let folder = Folder::warm().await;
    folder.module("probe", probe());
    folder.write("platform.toml", "[http]\nhead_timeout_ms = 2000\nwrite_timeout_ms = 2000");
    let hostel = folder.start(&["serve"]);
    let friendly = Friendly::of(hostel.nobody()).await;
    let flood = async |frames: Vec<u8>, first: &[u8], reads: bool| {
        let mut peer = Peer::sending(hostel.address(), preface(&[])).await;
        peer.send(first).await;
        let frames = frames.repeat(100);
        while peer.try_send(&frames).await.is_ok() {
            // What came since, so that it is never the reader who is slow.
            while reads && peer.try_read_now() {
                tokio::task::yield_now().await;
            }
            tokio::task::yield_now().await;
        }
    };
    let request = get(1, "/health/live");
    let (ping, settings) = (frame(PING, 0, 0, b"anybody?"), frame(SETTINGS, 0, 0, &[]));
    let window = frame(WINDOW_UPDATE, 0, 0, &1u32.to_be_bytes());
    join(flood(ping.clone(), &[], true), flood(ping.clone(), &request, true)).await;
    join(flood(settings.clone(), &request, true), flood(window, &request, true)).await;
    join(flood(ping, &request, false), flood(settings, &request, false)).await;
    println!("friendly: {} requests", friendly.finish().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_frames_without_data_end_the_connection() {
    let (platform, friendly) =
        start("[http]\nbody_timeout_ms = 500\nhead_timeout_ms = 2000\nwrite_timeout_ms = 500")
            .await;
    let mut peer = Peer::sending(platform.address(), preface(&[])).await;
    let mut fields = get_fields("/api/probe/length");
    fields[0] = 0x83; // `:method POST`
    peer.send(frame(HEADERS, END_HEADERS, 1, &fields)).await;
    let empty = frame(DATA, 0, 1, &[]).repeat(100);
    while peer.try_send(&empty).await.is_ok() {}
    has_its_turns_back(&platform).await;
    println!("friendly: {} requests", friendly.finish().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_connection_ends_although_it_answers_pings() {
    let (platform, friendly) =
        start("[http]\nhead_timeout_ms = 2000\nwrite_timeout_ms = 300").await;
    let begun = [vec![], get(1, "/health/live")];
    join_all(begun.iter().map(async |begun| {
        let mut peer = Peer::sending(platform.address(), preface(&[])).await;
        peer.send(begun).await;
        until_closed(&mut peer).await;
    }))
    .await;
    println!("friendly: {} requests", friendly.finish().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_window_that_is_never_opened_ends_its_stream_and_no_other() {
    let (platform, friendly) =
        start("[http]\nhead_timeout_ms = 2000\nwrite_timeout_ms = 500").await;
    // No window for streams.
    let mut peer = Peer::sending(platform.address(), preface(&[(4, 0)])).await;
    peer.send(get(1, "/api/hostile/huge?mib=2")).await;
    peer.send(get(3, "/api/hostile/huge?mib=2")).await;
    // One of them is read, with pauses that are no stall.
    let mut read = 0;
    let mut ended = Vec::new();
    while ended.len() < 2 {
        let of_host = Frame::from(&mut peer).await.expect("the connection stands");
        match (of_host.kind, of_host.stream) {
            (HEADERS, 3) => peer.send(frame(WINDOW_UPDATE, 0, 3, &16_384u32.to_be_bytes())).await,
            (DATA, 3) => {
                read += of_host.payload.len();
                let taken = u32::try_from(of_host.payload.len()).unwrap().to_be_bytes();
                let open = |stream| frame(WINDOW_UPDATE, 0, stream, &taken);
                if of_host.flags & END_STREAM != 0 {
                    ended.push(3);
                } else if !of_host.payload.is_empty() {
                    peer.send([open(0), open(3)].concat()).await;
                }
            }
            (PING, 0) if of_host.flags == 0 => {
                peer.send(frame(PING, 1, 0, &of_host.payload)).await;
            }
            (DATA, 1) => assert!(of_host.payload.is_empty(), "there is no window"),
            (RST_STREAM, 1) => ended.push(1),
            (RST_STREAM | GOAWAY, _) => panic!("{of_host:?}"),
            _ => {}
        }
    }
    assert_eq!(read, 2 * 1024 * 1024);
    println!("friendly: {} requests", friendly.finish().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_reads_nothing_is_closed() {
    let (platform, friendly) = start("[http]\nwrite_timeout_ms = 500").await;
    let mut peer = Peer::with_a_small_buffer(platform.address()).await;
    let window = 0x7fff_0000u32;
    peer.send(preface(&[(4, window)])).await;
    peer.send(frame(WINDOW_UPDATE, 0, 0, &window.to_be_bytes())).await;
    for stream in streams().take(2) {
        peer.send(get(stream, "/api/hostile/huge?mib=4")).await;
    }
    let ping = frame(PING, 0, 0, b"anybody?");
    eventually("it is closed", async || peer.try_send(&ping).await.err()).await;
    has_its_turns_back(&platform).await;
    println!("friendly: {} requests", friendly.finish().await);
}
