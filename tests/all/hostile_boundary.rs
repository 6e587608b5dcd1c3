//! Guests that hand the host more than it should take, or keep what it should get back.

use futures_util::future::join_all;
use hostel_tests::{Attack, Folder, eventually, hostile};
use insta::assert_snapshot;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handles_are_few_and_end_with_their_call() {
    let attack = Attack::on("").await;
    for _ in 0..3 {
        attack.hostile.get("/api/hostile/handles?count=400").await.ok();
    }
    let answer = attack.hostile.get("/api/hostile/handles?count=10000").await;
    assert_snapshot!("handles", answer.problem());
    let answers = join_all((0..20).map(|_| attack.hostile.get("/api/hostile/handles?count=10000")));
    assert!(answers.await.iter().all(|answer| answer.code() == "500 handles-limit"));
    attack.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_transaction_of_a_call_is_refused_and_the_first_is_rolled_back() {
    let attack = Attack::on("").await;
    attack.hostile.get("/api/hostile/transactions?count=1").await.ok();
    let answer = attack.hostile.get("/api/hostile/transactions?count=10000").await;
    assert_snapshot!("transactions", answer.problem());
    let changed = attack.hostile.execute("DELETE FROM things", serde_json::json!([])).await;
    assert_eq!(changed.ok()["changed"], 0);
    attack.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_texts_and_lists_do_not_reach_the_host() {
    let attack = Attack::on("").await;
    for path in ["text?mib=20", "list?count=1000", "list?count=100000"] {
        let path = format!("/api/hostile/{path}");
        let answers = join_all((0..10).map(|_| attack.hostile.get(&path))).await;
        assert!(answers.iter().all(|answer| answer.code() == "500 hostcall-limit"), "{path}");
    }
    assert_snapshot!("too_much", attack.hostile.get("/api/hostile/text?mib=20").await.problem());
    assert_eq!(attack.hostile.get("/api/hostile/text?mib=5").await.status(), 204);
    assert_eq!(
        attack.hostile.get("/api/hostile/statement?mib=20").await.code(),
        "500 hostcall-limit"
    );
    // SQLite's own limit on a value.
    assert_eq!(attack.hostile.get("/api/hostile/statement?mib=5").await.status(), 429);
    attack.hostile.get("/api/hostile/statement?mib=3").await.ok();
    attack.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_text_is_not_taken_for_one() {
    let attack = Attack::on("").await;
    let answer = attack.hostile.get("/api/hostile/log-no-utf8").await;
    assert_eq!(answer.code(), "500 module-failed");
    attack.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_host_makes_no_more_random_bytes_than_one_needs() {
    let attack = Attack::on("").await;
    assert_eq!(attack.hostile.get("/api/hostile/random?count=65536").await.ok(), 65536);
    for count in [65_537, 1 << 30, u64::MAX] {
        let answer = attack.hostile.get(&format!("/api/hostile/random?count={count}")).await;
        assert_eq!(answer.code(), "500 module-failed", "{count}");
    }
    attack.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_lines_and_of_print_is_cut_off() {
    let folder = Folder::warm().await;
    folder.module("hostile", hostile());
    folder.write("platform.toml", "[limits]\nlog_lines_max = 7");
    let hostel = folder.start(&["serve"]);
    let nobody = hostel.nobody();
    let written = |what: &str| hostel.lines().iter().filter(|line| line.contains(what)).count();
    for (path, what, lines) in [
        ("log?lines=20000", "a line of the flood", 7),
        ("print?lines=20000", "a printed line", 50),
        ("print?lines=20&bytes=1000000", "a printed line of the flood xxxx", 20),
    ] {
        let before = written(what);
        assert_eq!(nobody.get(&format!("/api/hostile/{path}")).await.status(), 204, "{path}");
        let path = path.split('?').next().unwrap();
        hostel.line(&["hostel::access", path]);
        let told = written(what) - before;
        assert!((1..=lines).contains(&told), "{path}: {told} lines");
    }
    let longest = hostel.lines().iter().map(String::len).max().unwrap();
    assert!(longest < 20 * 1024, "a line of {longest} bytes");
    eventually("it is served as before", async || {
        (nobody.get("/api/hostile/counter").await.status() == 200).then_some(())
    })
    .await;
}
