use hostel_sdk::prelude::*;

struct Note;

fn first(db: Db) -> Result<String, Problem> {
    let _: Note = db.query_one("SELECT 1", params![])?;
    Ok("found".to_owned())
}

fn main() {
    let _ = Module::new("hello", "1.0.0").route(get("/", first).public());
}
