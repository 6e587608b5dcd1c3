//! The guest of the benchmarks: a small answer without I/O, and one row by its key.

use hostel_sdk::prelude::*;

hostel_sdk::module!(bench);

fn bench() -> Module {
    Module::new("bench", env!("CARGO_PKG_VERSION"))
        .about("What the benchmarks call")
        .migrations(migrations!("0001_rows"))
        .route(get("/hello/{name}", hello).public().about("A small answer without I/O"))
        .route(get("/rows/{id}", read).public().about("One row by its key"))
        .route(get("/count", count).public().about("How many rows there are"))
        .route(get("/spin", spin).public().about("Computes until it is stopped"))
        .route(post("/rows", fill).public().about("Make as many rows as are asked for"))
}

#[derive(Serialize, JsonSchema)]
struct Greeting {
    hello: String,
    language: &'static str,
    words: u32,
}

fn hello(Path(name): Path<String>) -> Json<Greeting> {
    Json(Greeting { hello: name, language: "en", words: 2 })
}

#[derive(Serialize, JsonSchema)]
struct Count {
    rows: i64,
}

impl FromRow for Count {
    fn from_row(row: &Row) -> Result<Self, Error> {
        Ok(Self { rows: row.get("rows")? })
    }
}

fn count(db: Db) -> Result<Json<Count>, Problem> {
    Ok(Json(db.query_one("SELECT count(*) AS rows FROM rows", params![])?))
}

fn spin() -> NoContent {
    loop {
        std::hint::black_box(());
    }
}

#[derive(Serialize, JsonSchema)]
struct Entry {
    id: i64,
    name: String,
    amount: i64,
    created_at: Timestamp,
}

impl FromRow for Entry {
    fn from_row(row: &Row) -> Result<Self, Error> {
        Ok(Self {
            id: row.get("id")?,
            name: row.get("name")?,
            amount: row.get("amount")?,
            created_at: row.get("created_at")?,
        })
    }
}

fn read(Path(id): Path<i64>, db: Db) -> Result<Json<Entry>, Problem> {
    let entry = db.query_optional(
        "SELECT id, name, amount, created_at FROM rows WHERE id = $1",
        params![id],
    )?;
    Ok(Json(entry.ok_or_else(|| Problem::not_found("row"))?))
}

#[derive(Deserialize, JsonSchema)]
struct Fill {
    count: u32,
}

fn fill(Json(fill): Json<Fill>, db: Db) -> Result<NoContent, Problem> {
    db.transaction(|transaction| {
        for id in 1..=i64::from(fill.count) {
            let at = Timestamp::from_micros(1_700_000_000_000_000 + id);
            transaction.execute(
                "INSERT INTO rows (id, name, amount, created_at) VALUES ($1, $2, $3, $4)",
                params![id, format!("row {id}"), id * 7, at],
            )?;
        }
        Ok::<_, Problem>(NoContent)
    })
}
