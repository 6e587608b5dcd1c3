//! What `hostel_sdk::testing` offers beyond what the tests of notes need.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails, and says where")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use hostel_sdk::Timestamp;
use hostel_sdk::testing::{App, Fake, Level, RunningApp, Value, json};

/// What a test that fails says.
fn complaint(test: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(test)).unwrap_err();
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(literal) => (*literal.downcast::<&str>().unwrap()).to_owned(),
    }
}

#[test]
fn what_a_module_logs_is_its_tenants() {
    let (app, other) = (App::new().start(), App::new().start());
    app.get("/log").query("lines", 2).expect(204);
    let lines = app.logs();
    let of = |name: &str| -> Vec<&str> { lines.iter().map(|line| &*line.fields[name]).collect() };
    assert_eq!((of("line"), of("of")), (vec!["1", "2"], vec!["2", "2"]));
    assert_eq!((lines[0].level, &*lines[0].message), (Level::Info, "a line of the probe"));
    assert_eq!(other.logs(), []);
}

#[test]
fn a_tenant_has_limits_of_its_own() {
    let app = App::new().tenant_limit("log_lines_max", 3).start();
    app.get("/log?lines=10").expect(204);
    let of_the_probe = app.logs().into_iter().filter(|line| !line.fields.is_empty());
    assert_eq!(of_the_probe.count(), 3);
}

#[test]
fn a_clock_that_is_set_stands_until_it_is_turned() {
    let app = App::new().clock("2026-01-01T09:00:00Z").start();
    let time = || app.get("/clock").expect(200).text().to_owned();
    let at = |text: &str| text.parse::<Timestamp>().unwrap().as_micros().to_string();
    assert!(time().contains(&at("2026-01-01T09:00:00Z")), "{}", time());
    app.clock().advance(Duration::from_secs(90));
    assert!(time().contains(&at("2026-01-01T09:01:30Z")), "{}", time());
    let passing = App::new().start();
    let told = complaint(|| passing.clock().advance(Duration::ZERO));
    assert!(told.contains("App::new().clock("), "{told}");
}

#[test]
fn users_are_who_they_say_and_may_do_what_was_granted() {
    let (app, other) = (App::new().start(), App::new().granting("probe:secret").start());
    let alice = app.user("alice").granting("probe:secret");
    assert_eq!(alice.get("/secret").expect(200).text(), "the secret");
    let echo = alice.get("/echo/here").expect(200).json();
    assert_eq!(
        echo["principal"],
        json!({ "kind": "account", "id": "alice", "impersonator": null })
    );
    app.user("bob").get("/secret").expect_problem(403, "denied");
    app.get("/secret").expect_problem(401, "unauthenticated");
    // Named again, she is the same; and nobody in another tenant.
    app.user("alice").get("/secret").expect(200);
    assert_eq!(other.get("/secret").expect(200).text(), "the secret");
    other.user("bob").get("/secret").expect(200);
    app.get("/secret")
        .header("authorization", "Bearer x")
        .expect_problem(401, "invalid-credentials");
    let told = complaint(|| drop(alice.get("/secret").expect(201)));
    assert!(told.contains("as `alice`") && !told.contains("Bearer"), "{told}");
    let told = complaint(|| drop(app.user("al ice")));
    assert!(told.contains("no account id"), "{told}");
}

#[test]
fn tables_are_arranged_and_read_without_a_route() {
    let (app, other) = (App::new().start(), App::new().start());
    app.sql_file("tests/things.sql");
    app.sql("UPDATE things SET name = 'changed; twice' WHERE name = 'second';");
    let names = app.rows("SELECT name FROM things ORDER BY name");
    assert_eq!(names, [json!({ "name": "changed; twice" }), json!({ "name": "first" })]);
    assert_eq!(other.rows("SELECT name FROM things"), [json!(null); 0]);
    let all = "SELECT id, done, made_at, data, 1.5 AS real, x'0102' AS bytes FROM things WHERE amount = 3";
    let first = json!({
        "id": "01010101-0101-0101-0101-010101010101",
        "done": true,
        "made_at": "1970-01-01T00:00:01Z",
        "data": { "a": [1] },
        "real": 1.5,
        "bytes": [1, 2],
    });
    assert_eq!(app.rows(all), [first]);
    for (sql, place, why) in [
        ("SELECT 1;\n\nSELECT wrong", "line 3: ", "no such column: wrong"),
        ("PRAGMA user_version = 1", "line 1: ", "statement uses what modules may not"),
        ("DELETE FROM hostel_migrations", "line 1: ", "hostel_migrations"),
    ] {
        let told = complaint(|| app.sql(sql));
        assert!(told.starts_with(place) && told.contains(why), "{told}");
    }
    let told = complaint(|| app.sql_file("tests/things.sql"));
    assert!(told.contains("tests/things.sql:2: UNIQUE constraint failed: things.name"), "{told}");
    let told = complaint(|| app.sql_file("tests/absent.sql"));
    assert!(told.contains("tests/absent.sql: "), "{told}");
}

#[test]
fn bytes_and_headers_arrive_as_they_are() {
    let app = App::new().start();
    let length = app.post("/length").body("application/octet-stream", vec![0; 5000]).expect(200);
    assert!(length.text().contains("5000"), "{}", length.text());
    let echo = app
        .get("/echo/here")
        .header("x-mine", "yes")
        .query("q", "a b&c")
        .expect(200)
        .text()
        .to_owned();
    assert!(echo.contains("x-mine") && echo.contains("a b&c"), "{echo}");
}

#[test]
fn a_failure_shows_request_answer_and_log() {
    let app = App::new().start();
    let told = complaint(|| drop(app.get("/log").query("lines", 1).expect(200)));
    for part in
        ["expected 200", "GET /api/probe/log?lines=1", "answered 204", "a line of the probe"]
    {
        assert!(told.contains(part), "no {part:?} in {told}");
    }
    let told = complaint(|| drop(app.post("/length").json(&json!([1])).expect_problem(409, "no")));
    assert!(told.contains("expected 409") && told.contains("[1]"), "{told}");
    let told = complaint(|| drop(App::new().granting("probe:*:rea*").start()));
    assert!(told.contains("refuses") && told.contains("probe:*:rea*"), "{told}");
    let told = complaint(|| drop(App::new().clock("tomorrow")));
    assert!(told.contains("2026-01-31T12:00:00Z"), "{told}");
}

#[test]
fn a_platform_has_the_look_ups_that_a_test_brings() {
    let app = App::new().lookup("countries", "code,name\nNO,Norway").start();
    let other = App::new().lookup("countries", "code,name\nNO,Norge").start();
    let name = |app: &RunningApp| {
        app.get("/lookups/countries/row?key=NO").expect(200).json()["name"].clone()
    };
    assert_eq!((name(&app), name(&other)), (json!("Norway"), json!("Norge")));
    let without = App::new().start();
    without.get("/lookups/countries/row?key=NO").expect_problem(404, "not-found");
    let told = complaint(|| drop(App::new().lookup("countries", "code\nNO\nNO").start()));
    assert!(told.contains("look-up `countries`: line 3: the key `NO` is in line 2"), "{told}");
}

const RATES: &str = "https://api.example.org/rates";

fn call(app: &RunningApp, call: &Value) -> Value {
    app.post("/call").json(call).expect(200).json()
}

#[test]
fn other_services_answer_what_was_declared_and_tell_what_they_were_sent() {
    let app = App::new()
        .secret("KEY", "s3cret")
        .answering(
            Fake::get(RATES).status(503).then().header("x-a", "b").json(&json!({ "EUR": 1 })),
        )
        .answering(Fake::post("https://api.example.org/orders/*").status(201))
        .answering(Fake::get("https://api.example.org/find?q=tea").body("text/plain", "tea"))
        .answering(
            Fake::get("https://api.example.org/old").status(302).header("location", "/rates"),
        )
        .start();
    let other = App::new().answering(Fake::get(RATES)).start();
    let get = |url: &str| call(&app, &json!({ "url": url }));
    assert_eq!(get(RATES)["status"], 503);
    // The last answer stays, whatever the query.
    for query in ["", "?base=EUR"] {
        let answer = get(&format!("{RATES}{query}"));
        assert_eq!((&answer["status"], &answer["body"]), (&json!(200), &json!(r#"{"EUR":1}"#)));
    }
    assert_eq!(get("https://api.example.org/find?q=tea")["body"], "tea");
    let followed = get("https://api.example.org/old");
    assert_eq!((&followed["status"], &followed["url"]), (&json!(200), &json!(RATES)));
    let order = json!({
        "method": "POST",
        "url": "https://api.example.org/orders/7",
        "secrets": [["authorization", "Bearer ", "KEY"]],
        "body": r#"{"article":"tea"}"#,
    });
    assert_eq!(call(&app, &order)["status"], 201);
    let sent = app.sent();
    assert_eq!(sent.len(), 7);
    let last = sent.last().unwrap();
    assert_eq!((&*last.method, &*last.url), ("POST", "https://api.example.org/orders/7"));
    assert_eq!(last.header("Authorization"), Some("Bearer [KEY]"));
    assert_eq!(
        (last.text(), last.json()["article"].as_str()),
        (r#"{"article":"tea"}"#, Some("tea"))
    );
    assert!(!format!("{sent:?}").contains("s3cret"));
    assert_eq!(call(&other, &json!({ "url": RATES }))["status"], 200);
    assert_eq!(other.sent().len(), 1);
}

#[test]
fn services_that_fail_fail_as_real_ones_do() {
    let app = App::new()
        .answering(Fake::get(RATES).unreachable().then().times_out().then())
        .tenant_limit("http_client_response_max_bytes", 1024)
        .answering(Fake::get("https://api.example.org/large").body("text/plain", vec![b'x'; 1025]))
        .start();
    let asked = json!({ "url": RATES });
    app.post("/call").json(&asked).expect_problem(503, "unavailable");
    app.post("/call").json(&asked).expect_problem(504, "timeout");
    assert_eq!(call(&app, &asked)["status"], 200);
    let large = json!({ "url": "https://api.example.org/large" });
    app.post("/call").json(&large).expect_problem(429, "limit");
}

#[test]
fn nothing_else_goes_out_and_the_host_checks_as_ever() {
    let app = App::new()
        .answering(Fake::post(RATES))
        .answering(Fake::get("https://undeclared.org/"))
        .answering(Fake::get("https://127.0.0.1/"))
        .start();
    let undeclared = json!({ "url": format!("{RATES}?a=b") });
    let told = complaint(|| drop(app.post("/call").json(&undeclared).expect(200)));
    let expected = "no answer is declared for GET https://api.example.org/rates?a=b: \
                    this test declares POST https://api.example.org/rates, ";
    assert!(told.matches(expected).count() == 2, "in the answer and in the log: {told}");
    assert_eq!(app.sent().len(), 1);
    for url in ["https://undeclared.org/", "https://127.0.0.1/"] {
        app.post("/call").json(&json!({ "url": url })).expect_problem(403, "denied");
    }
    let nobody = json!({ "url": RATES, "secrets": [["authorization", "", "ABSENT"]] });
    app.post("/call").json(&nobody).expect_problem(404, "not-found");
    assert_eq!(app.sent().len(), 1);
    let told = complaint(|| drop(App::new().answering(Fake::get("/rates")).start()));
    assert!(told.contains("`/rates` is no URL"), "{told}");
    let told = complaint(|| drop(App::new().answering(Fake::get(RATES).status(7)).start()));
    assert!(told.contains("the answer to GET https://api.example.org/rates"), "{told}");
}
