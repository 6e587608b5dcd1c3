//! Guests that compute, call or sleep for as long as they can.

use futures_util::future::join_all;
use hostel_tests::{Attack, Client, TestPlatform, eventually, hostile_from_the_start};
use insta::assert_snapshot;

/// As many as make serving threads wait if anything can, ten times over.
fn on_every_worker_tenfold() -> usize {
    10 * std::thread::available_parallelism().unwrap().get()
}

async fn all_answer(client: &Client, path: &str, count: usize, code: &str) {
    for answer in join_all((0..count).map(|_| client.get(path))).await {
        assert_eq!(answer.code(), code, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loop_ends_with_its_cpu_time_and_neighbours_are_served_meanwhile() {
    let attack = Attack::on("[limits]\ncpu_ms = 100").await;
    let answer = attack.hostile.get("/api/hostile/spin").await;
    assert_snapshot!("cpu", answer.problem());
    all_answer(&attack.hostile, "/api/hostile/spin", on_every_worker_tenfold(), "504 cpu-limit")
        .await;
    attack.end().await;
}

/// One such instruction takes milliseconds, in which nobody can look at the guest.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loop_over_large_memory_ends_too() {
    let attack = Attack::on("[limits]\ncpu_ms = 100").await;
    all_answer(&attack.hostile, "/api/hostile/fill", 8, "504 cpu-limit").await;
    attack.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_host_calls_ends_with_its_time_or_its_number() {
    let attack = Attack::on("[limits]\ncpu_ms = 100\nhost_calls_max = 1000000000").await;
    all_answer(&attack.hostile, "/api/hostile/calls?count=1000000000", 4, "504 cpu-limit").await;
    attack.end().await;

    let attack = Attack::on("[limits]\ncpu_ms = 60000").await;
    let answer = attack.hostile.get("/api/hostile/calls?count=1000000").await;
    assert_snapshot!("host_calls", answer.problem());
    attack.end().await;
}

/// The host asks the guest for the memory in which to put a request: there, too, it is the guest's
/// code that runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loop_while_the_host_hands_over_a_request_ends_too() {
    let attack = Attack::on("[limits]\ncpu_ms = 100").await;
    let body = "x".repeat(54_323);
    let answer = attack.hostile.request("POST", "/api/hostile/body").body(body).send().await;
    assert_eq!(answer.code(), "504 cpu-limit");
    attack.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_ends_with_its_time() {
    let attack = Attack::on("[limits]\ncall_timeout_ms = 1000\ntenant_calls_max = 20").await;
    let answer = attack.hostile.get("/api/hostile/spin").await;
    assert_snapshot!("timeout", answer.problem());
    all_answer(&attack.hostile, "/api/hostile/sleep?ms=3600000", 20, "504 call-timeout").await;
    attack.end().await;
}

/// A loop in what runs before any export is called, in some instances and not in the first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loop_at_instantiation_ends_too() {
    let wasm = hostile_from_the_start("start sometimes spin");
    let attack = loop {
        // It may loop while it describes itself, too, and is not served then.
        let setup = TestPlatform::setup().hostile_is(&wasm).config("[limits]\ncpu_ms = 100");
        match Attack::try_with(setup).await {
            Ok(attack) => break attack,
            Err(error) => {
                let expected = "`describe` failed: the module used up the CPU time of a call";
                assert!(error.to_string().ends_with(expected), "{error}");
            }
        }
    };
    eventually("an instance loops", async || {
        let answer = attack.hostile.get("/api/hostile/counter").await;
        (answer.status() != 200).then(|| assert_eq!(answer.code(), "504 cpu-limit"))
    })
    .await;
    attack.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_goes_away_takes_its_call_with_it() {
    let attack = Attack::on("[limits]\ncpu_ms = 600000\ncall_timeout_ms = 600000").await;
    let running =
        async || attack.platform.nobody().get("/metrics").await.figure("hostel_calls_running", &[]);
    let spinning = join_all((0..20).map(|_| attack.hostile.get("/api/hostile/spin")));
    let all_run = eventually("all run", async || (running().await >= 20.0).then_some(()));
    tokio::select! {
        answers = spinning => panic!("they ended: {answers:?}"),
        () = all_run => {}
    }
    // The friendly tenant's is the only one that is left now and then.
    eventually("none runs", async || (running().await <= 1.0).then_some(())).await;
    attack.end().await;
}
