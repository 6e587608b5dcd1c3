//! Very many connections, against the real binary, whose memory and files are its own.

use std::path::PathBuf;

use futures_util::stream::{self, StreamExt as _};
use hostel_tests::{
    Folder, Friendly, Hostel, Peer, TestPlatform, eventually, probe, resident_bytes,
};
use rustix::process::{Resource, Rlimit, getrlimit, prlimit, setrlimit};

/// A host with the probe, and a client of its default tenant beside which things happen.
async fn hostel(config: &str) -> (Folder, Hostel, Friendly) {
    let folder = Folder::warm().await;
    folder.module("probe", probe());
    folder.write("platform.toml", config);
    let hostel = folder.start(&["serve"]);
    let friendly = Friendly::of(hostel.nobody()).await;
    (folder, hostel, friendly)
}

fn of_process(hostel: &Hostel, file: &str) -> PathBuf {
    format!("/proc/{}/{file}", hostel.process().as_raw_nonzero()).into()
}

fn open_files(hostel: &Hostel) -> usize {
    std::fs::read_dir(of_process(hostel, "fd")).unwrap().count()
}

/// As many files as this process, and those that it starts, may have.
fn raise_file_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    limit.maximum.unwrap_or(u64::MAX)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_idle_connections_end_and_cost_little() {
    let count = raise_file_limit().saturating_sub(500).min(10_000);
    let (_folder, hostel, friendly) = hostel("[http]\nhead_timeout_ms = 8000").await;
    let (files, before) = (open_files(&hostel), resident_bytes(hostel.process()));
    let address = hostel.address();
    let mut idle: Vec<Peer> =
        stream::iter(0..count).map(|_| Peer::to(address)).buffer_unordered(64).collect().await;
    let held = eventually("all are accepted, or the first are gone", async || {
        let held = open_files(&hostel).saturating_sub(files);
        (held as u64 >= count || held == 0).then_some(held)
    })
    .await;
    let grown = resident_bytes(hostel.process()).saturating_sub(before);
    println!(
        "{held} idle connections of {count}: {} bytes of memory each",
        grown / held.max(1) as u64
    );
    for peer in &mut idle {
        assert_eq!(peer.until_closed().await, "");
    }
    println!("friendly: {} requests", friendly.finish().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_beyond_the_limit_wait_until_others_end() {
    let config = "[http]\nconnections_max = 5\nhead_timeout_ms = 2000";
    let platform = TestPlatform::configured(config).await;
    let friendly = Friendly::beside(&platform, "friendly").await;
    let mut idle = Vec::new();
    for _ in 0..4 {
        idle.push(Peer::to(platform.address()).await);
    }
    let live = "GET /health/live HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let mut late = Peer::sending(platform.address(), live).await;
    assert!(late.until_closed().await.starts_with("HTTP/1.1 200"));
    let mut ended = 0;
    for peer in &mut idle {
        ended += u32::from(peer.has_ended());
    }
    assert!(ended > 0, "a place is free when a connection has ended");
    println!("friendly: {} requests", friendly.finish().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_without_a_file_left_accepts_again_later() {
    let (_folder, hostel, friendly) = hostel("[http]\nhead_timeout_ms = 2000").await;
    let files = open_files(&hostel) as u64;
    let limit = getrlimit(Resource::Nofile);
    let few = Rlimit { current: Some(files + 10), ..limit };
    prlimit(Some(hostel.process()), Resource::Nofile, few).unwrap();
    let address = hostel.address();
    let mut idle: Vec<Peer> =
        stream::iter(0..50).map(|_| Peer::to(address)).buffer_unordered(64).collect().await;
    hostel.line(&["a connection was not accepted"]);
    // Each gives its file to the next when its time is over.
    for peer in &mut idle {
        assert_eq!(peer.until_closed().await, "");
    }
    assert_eq!(hostel.nobody().get("/health/live").await.status(), 200);
    println!("friendly: {} requests", friendly.finish().await);
}
