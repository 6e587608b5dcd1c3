//! The module as its clients meet it: the real component, in a real host. It is always nine on the
//! 5th of January, unless a test sets the clock.

use std::thread;

use hostel_sdk::testing::{App, RunningApp, Value, json};

fn app() -> App {
    App::new().clock("2026-01-05T09:00:00Z")
}

/// The module, where everybody may do everything, and a room in it.
fn with_room() -> (RunningApp, String) {
    let app = app().granting("bookings:*").start();
    let room = room(&app, "Aquarium");
    (app, room)
}

fn room(app: &RunningApp, name: &str) -> String {
    let room = app.post("/rooms").json(&json!({ "name": name, "seats": 8 })).expect(201).json();
    id(&room)
}

fn id(made: &Value) -> String {
    made["id"].as_str().expect("what was made has an id").to_owned()
}

/// A time on the day of these tests.
fn at(time: &str) -> String {
    format!("2026-01-05T{time}:00Z")
}

fn slot(room: &str, from: &str, until: &str) -> Value {
    json!({ "room": room, "from": at(from), "until": at(until) })
}

fn booking(room: &str, from: &str, until: &str) -> Value {
    let mut booking = slot(room, from, until);
    booking["title"] = json!("Stand-up");
    booking
}

fn book(app: &RunningApp, room: &str, from: &str, until: &str) -> String {
    id(&app.post("/").json(&booking(room, from, until)).expect(201).json())
}

/// What comes of all when nobody waits for another.
fn at_once<T: Send>(all: impl Iterator<Item = impl FnOnce() -> T + Send>) -> Vec<T> {
    thread::scope(|scope| {
        let threads: Vec<_> = all.map(|one| scope.spawn(one)).collect();
        threads.into_iter().map(|it| it.join().expect("nothing panics")).collect()
    })
}

/// When the bookings of a page begin.
fn begins(page: &Value) -> Vec<&str> {
    let items = page["items"].as_array().expect("a page has items");
    items.iter().filter_map(|it| it["from"].as_str()?.get(11..16)).collect()
}

#[test]
fn a_room_is_booked_read_and_free_again() {
    let (app, room) = with_room();
    let made = app.post("/").json(&booking(&room, "10:00", "11:00")).expect(201);
    let path = format!("/{}", id(&made.json()));
    assert_eq!(made.header("location"), Some(format!("/api/bookings{path}").as_str()));
    assert_eq!(app.get(&path).expect(200).json(), made.json());
    app.delete(&path).expect(204);
    app.get(&path).expect_problem(404, "not-found");
    app.delete(&path).expect_problem(404, "not-found");
    book(&app, &room, "10:00", "11:00");
}

#[test]
fn bookings_of_a_room_do_not_overlap() {
    let (app, room) = with_room();
    let first = book(&app, &room, "10:00", "12:00");
    for (from, until) in [
        ("10:00", "12:00"),
        ("09:00", "10:01"),
        ("11:59", "13:00"),
        ("10:30", "11:00"),
        ("09:00", "13:00"),
    ] {
        let refused = app.post("/").json(&booking(&room, from, until));
        let refused = refused.expect_problem(409, "booking-overlaps").json();
        let taken = ["booking", "from", "until"].map(|name| &refused[name]);
        assert_eq!(taken, [&json!(first), &json!(at("10:00")), &json!(at("12:00"))]);
    }
}

#[test]
fn one_booking_may_begin_when_another_ends() {
    let (app, room) = with_room();
    book(&app, &room, "10:00", "11:00");
    book(&app, &room, "11:00", "12:00");
    book(&app, &room, "09:00", "10:00");
}

#[test]
fn rooms_and_tenants_are_booked_on_their_own() {
    let (app, aquarium) = with_room();
    let (other, theirs) = with_room();
    for (app, room) in [(&app, &aquarium), (&app, &room(&app, "Attic")), (&other, &theirs)] {
        book(app, room, "10:00", "11:00");
    }
    other.post("/").json(&booking(&aquarium, "12:00", "13:00")).expect_invalid(&["/room"]);
}

#[test]
fn of_many_who_want_a_slot_at_once_one_gets_it() {
    let (app, room) = with_room();
    let want = booking(&room, "10:00", "11:00");
    let answers = at_once((0..8).map(|_| || app.post("/").json(&want).send().json()));
    let (made, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|it| it["code"].is_null());
    assert_eq!(made.len(), 1, "{answers:#?}");
    assert!(refused.iter().all(|it| it["code"] == "booking-overlaps"), "{answers:#?}");
}

#[test]
fn of_many_who_move_to_a_slot_at_once_one_gets_it() {
    let (app, room) = with_room();
    let hours = ["10:00", "11:00", "12:00", "13:00", "14:00"];
    let booked = hours.windows(2).map(|hour| book(&app, &room, hour[0], hour[1]));
    let paths: Vec<_> = booked.map(|id| format!("/{id}/slot")).collect();
    let want = slot(&room, "15:00", "16:00");
    let moves = paths.iter().map(|path| || app.put(path).json(&want).send().status());
    let mut moved = at_once(moves);
    moved.sort_unstable();
    assert_eq!(moved, [200, 409, 409, 409]);
}

#[test]
fn a_booking_moves_to_where_nobody_is() {
    let (app, aquarium) = with_room();
    let attic = room(&app, "Attic");
    let path = format!("/{}/slot", book(&app, &aquarium, "10:00", "11:00"));
    book(&app, &aquarium, "12:00", "13:00");
    let moved = |room: &str, from, until| app.put(&path).json(&slot(room, from, until));

    moved(&aquarium, "11:30", "12:30").expect_problem(409, "booking-overlaps");
    let page = app.get("/").query("room", &aquarium).expect(200).json();
    assert_eq!(begins(&page), ["10:00", "12:00"]);

    // It is in nobody's way to where it overlaps with itself.
    let booking = moved(&aquarium, "10:30", "11:30").expect(200).json();
    assert_eq!((&booking["from"], &booking["title"]), (&json!(at("10:30")), &json!("Stand-up")));
    moved(&attic, "12:00", "13:00").expect(200);
    let page = app.get("/").query("room", &aquarium).expect(200).json();
    assert_eq!(begins(&page), ["12:00"]);

    moved(&attic, "13:00", "12:00").expect_invalid(&["/until"]);
    let nobodys = format!("/{attic}/slot");
    app.put(&nobodys).json(&slot(&attic, "14:00", "15:00")).expect_problem(404, "not-found");
}

#[test]
fn all_that_is_wrong_with_a_booking_is_named_at_once() {
    let (app, room) = with_room();
    let unformed = json!({ "room": "x", "from": "soon", "title": " ", "colour": "red" });
    let fields = ["/colour", "/from", "/room", "/title", "/until"];
    app.post("/").json(&unformed).expect_invalid(&fields);

    let nowhere = "00000000-0000-7000-8000-000000000000";
    app.post("/")
        .json(&booking(nowhere, "08:00", "07:00"))
        .expect_invalid(&["/from", "/until", "/room"]);
    app.post("/").json(&booking(&room, "08:00", "17:00")).expect_invalid(&["/from", "/until"]);
}

#[test]
fn a_note_may_be_long_and_a_body_not_endless() {
    let (app, room) = with_room();
    let mut draft = booking(&room, "10:00", "11:00");
    draft["note"] = json!("\u{1}".repeat(2_000));
    app.post("/").json(&draft).expect(201);
    draft["note"] = json!("n".repeat(2_001));
    app.post("/").json(&draft).expect_invalid(&["/note"]);
    draft["note"] = json!("n".repeat(3 * 1024 * 1024));
    app.post("/").json(&draft).expect_problem(413, "body-too-large");
}

#[test]
fn the_past_begins_now() {
    let (app, room) = with_room();
    let nine = booking(&room, "09:00", "10:00");
    app.clock().set("2026-01-05T09:00:00.000001Z");
    app.post("/").json(&nine).expect_invalid(&["/from"]);
    app.clock().set("2026-01-05T09:00:00Z");
    app.post("/").json(&nine).expect(201);
}

#[test]
fn an_operator_says_how_long_a_booking_may_be() {
    let app = app().granting("bookings:*").setting("max-hours", 1).start();
    let room = room(&app, "Aquarium");
    book(&app, &room, "10:00", "11:00");
    let refused = app.post("/").json(&booking(&room, "11:00", "12:01")).expect_invalid(&["/until"]);
    assert_eq!(refused.json()["errors"][0]["detail"], "must be at most 1 h after `from`");
}

#[test]
fn a_window_shows_what_has_any_time_in_it() {
    let (app, room) = with_room();
    for (from, until) in [("12:00", "13:00"), ("10:00", "11:00"), ("11:00", "12:00")] {
        book(&app, &room, from, until);
    }
    let list = |from, until| {
        let list = app.get("/").query("room", &room);
        list.query("from", at(from)).query("until", at(until))
    };
    assert_eq!(begins(&list("09:00", "14:00").expect(200).json()), ["10:00", "11:00", "12:00"]);
    assert_eq!(begins(&list("10:30", "11:30").expect(200).json()), ["10:00", "11:00"]);
    assert_eq!(begins(&list("11:00", "12:00").expect(200).json()), ["11:00"]);
    list("12:00", "12:00").expect_invalid(&["query/until"]);
    app.get("/").query("from", "soon").expect_invalid(&["query/from", "query/room"]);

    // Who does not say from when is shown what is not over yet.
    app.clock().set(&at("11:00"));
    let page = app.get("/").query("room", &room).expect(200).json();
    assert_eq!(begins(&page), ["11:00", "12:00"]);
}

#[test]
fn a_window_is_read_page_by_page() {
    let (app, room) = with_room();
    for (from, until) in [("10:00", "11:00"), ("11:00", "12:00"), ("13:00", "14:00")] {
        book(&app, &room, from, until);
    }
    let list = || app.get("/").query("room", &room).query("limit", 2);
    let first = list().expect(200).json();
    assert_eq!(begins(&first), ["10:00", "11:00"]);
    let cursor = first["next"].as_str().expect("there is a next page");
    let second = list().query("cursor", cursor).expect(200).json();
    assert_eq!((begins(&second), &second["next"]), (vec!["13:00"], &Value::Null));
    list().query("cursor", "x").expect_invalid(&["query/cursor"]);
}

#[test]
fn a_room_is_made_changed_and_deleted() {
    let (app, room) = with_room();
    let path = format!("/rooms/{room}");
    let changed = app.put(&path).json(&json!({ "name": "Attic", "seats": 4 })).expect(200).json();
    assert_eq!(app.get("/rooms").expect(200).json()["items"], json!([changed]));
    app.delete(&path).expect(204);
    app.get(&path).expect_problem(404, "not-found");
    app.delete(&path).expect_problem(404, "not-found");
    let empty = json!({ "name": "", "seats": 0 });
    app.post("/rooms").json(&empty).expect_invalid(&["/name", "/seats"]);
}

#[test]
fn rooms_are_found_by_seats_and_words() {
    let app = app().granting("bookings:*").start();
    for (name, seats) in [("Small aquarium", 2), ("Attic", 6), ("Large aquarium", 12)] {
        app.post("/rooms").json(&json!({ "name": name, "seats": seats })).expect(201);
    }
    let names = |query: &str| {
        let page = app.get(&format!("/rooms?{query}")).expect(200).json();
        let items = page["items"].as_array().expect("a page has items").iter();
        items.map(|room| room["name"].as_str().expect("a name").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names("search=aqua&sort=seats"), ["Small aquarium", "Large aquarium"]);
    assert_eq!(names("seats.gte=3&seats.lt=12"), ["Attic"]);
    assert_eq!(names("seats=2&seats=6&sort=-name"), ["Small aquarium", "Attic"]);
    app.get("/rooms?created_at=x").expect_invalid(&["query/created_at"]);
}

#[test]
fn usage_is_counted_over_rooms() {
    let (app, aquarium) = with_room();
    room(&app, "Attic");
    book(&app, &aquarium, "10:00", "11:00");
    book(&app, &aquarium, "12:00", "13:00");
    let expected = json!([
        { "name": "Aquarium", "bookings": 2, "first": at("10:00"), "last": at("13:00") },
        { "name": "Attic", "bookings": 0, "first": null, "last": null },
    ]);
    assert_eq!(app.get("/rooms/usage").expect(200).json(), expected);
}

#[test]
fn a_room_that_has_bookings_stays() {
    let (app, room) = with_room();
    let path = format!("/rooms/{room}");
    let booking = book(&app, &room, "10:00", "11:00");
    app.delete(&path).expect_problem(409, "room-has-bookings");
    app.delete(&format!("/{booking}")).expect(204);
    app.delete(&path).expect(204);
}

#[test]
fn each_may_do_what_is_granted() {
    let nowhere = "00000000-0000-7000-8000-000000000000";
    // One request for each permission.
    let asked = [
        ("bookings:read", "GET", "/rooms", json!(null)),
        ("bookings:book", "POST", "/", booking(nowhere, "10:00", "11:00")),
        ("bookings:rooms", "POST", "/rooms", json!({ "name": "Aquarium", "seats": 8 })),
    ];
    for (granted, ..) in &asked {
        let app = app().start();
        let ada = app.user("ada").granting(granted);
        for (needed, method, path, body) in &asked {
            let status = ada.request(method, path).json(body).send().status();
            let is_refused = status == 403;
            assert_eq!(is_refused, needed != granted, "{method} {path} with {granted}: {status}");
        }
    }
}

#[test]
fn rooms_of_a_seed_are_booked_and_free_as_any_others() {
    let app = app().granting("bookings:*").start();
    app.seed("month", 40);
    let rooms = app.get("/rooms").expect(200).json();
    let rooms = rooms["items"].as_array().expect("a list of rooms");
    assert_eq!(rooms.len(), 2);
    // The first booking begins now, and takes an hour.
    let first = app.post("/").json(&booking(&id(&rooms[0]), "09:30", "09:45"));
    first.expect_problem(409, "booking-overlaps");
    app.post("/").json(&booking(&id(&rooms[0]), "10:00", "11:00")).expect(201);
}
