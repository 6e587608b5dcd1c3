//! Guests that take all memory that they can.

use futures_util::future::join_all;
use hostel_tests::Attack;
use insta::assert_snapshot;
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_beyond_the_limit_is_not_given() {
    let attack = Attack::on("[limits]\nmemory_max_bytes = 16777216").await;
    let hostile = &attack.hostile;
    assert_eq!(hostile.get("/api/hostile/alloc?mib=8").await.ok(), json!({ "bytes": 8 << 20 }));
    assert_snapshot!("memory", hostile.get("/api/hostile/alloc?mib=20").await.problem());
    // One GiB at once, as much as there are addresses, and a piece after the other.
    for path in ["alloc?mib=1024", "alloc?mib=2000", "pieces"] {
        let answer = hostile.get(&format!("/api/hostile/{path}")).await;
        assert_eq!(answer.code(), "500 memory-limit", "{path}");
    }
    attack.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_many_calls_took_at_once_comes_back() {
    let attack = Attack::on("").await;
    let taken = join_all((0..20).map(|_| attack.hostile.get("/api/hostile/pieces"))).await;
    assert!(taken.iter().all(|answer| answer.code() == "500 memory-limit"));
    let given = join_all((0..20).map(|_| attack.hostile.get("/api/hostile/alloc?mib=50"))).await;
    assert!(given.iter().all(|answer| answer.status() == 200));
    attack.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stack_that_grows_without_end_is_cut_off() {
    let attack = Attack::on("").await;
    let answers = join_all((0..20).map(|_| attack.hostile.get("/api/hostile/recurse"))).await;
    assert_snapshot!("stack", answers[0].problem());
    assert!(answers.iter().all(|answer| answer.code() == "500 stack-limit"));
    attack.end().await;
}
