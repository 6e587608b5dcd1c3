//! The guest of the benchmarks: a small answer without I/O, and what modules do with data.

mod hello;
mod numbers;

use hostel_sdk::prelude::*;
use hostel_sdk::sql::Statement;

use hello::hello;

hostel_sdk::module!(bench);

fn bench() -> Module {
    Module::new("bench", env!("CARGO_PKG_VERSION"))
        .about("What the benchmarks call")
        .migrations(migrations!("0001_rows"))
        .route(get("/hello/{name}", hello).public().about("A small answer without I/O"))
        .route(get("/rows/{id}", read).public().about("One row by its key"))
        .route(get("/rows", page).public().about("Rows in pages, by their key"))
        .route(patch("/rows/{id}", change).public().about("Change a row's amount, on the record"))
        .route(post("/items", insert).public().status(201).about("Add an item"))
        .route(post("/items/bulk", insert_many).public().status(201).about("Add many items"))
        .route(get("/count", count).public().about("How many rows there are"))
        .route(get("/spin", spin).public().about("Computes until it is stopped"))
        .route(get("/query", endless_query).public().about("A query that never ends"))
        .route(get("/sort", sort).public().about("Sorts more than there is room for"))
        .route(get("/lock", lock).public().about("Keeps a transaction that writes open"))
        .route(post("/upload", upload).public().status(201).about("Adds up what is sent"))
        .route(get("/download/{bytes}", download).public().about("Numbers that count up"))
        .route(post("/rows", fill).public().about("Make as many rows as are asked for"))
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

/// A recursion without an end.
const ENDLESS: &str = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)";

fn endless_query(db: Db) -> Result<Json<Count>, Problem> {
    Ok(Json(db.query_one(&format!("{ENDLESS} SELECT count(*) AS rows FROM n"), params![])?))
}

fn sort(db: Db) -> Result<Json<Count>, Problem> {
    let many = format!("{ENDLESS}, m (i) AS (SELECT i FROM n LIMIT 100000000)");
    let sorted = "SELECT i AS rows FROM m ORDER BY i % 7919, i DESC LIMIT 1";
    Ok(Json(db.query_one(&format!("{many} {sorted}"), params![])?))
}

fn lock(db: Db) -> Result<NoContent, Problem> {
    db.transaction(|tx| {
        tx.execute("UPDATE rows SET amount = amount", params![])?;
        loop {
            std::hint::black_box(());
        }
    })
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

fn page(page: Page<i64>, db: Db) -> Result<Paged<Entry>, Problem> {
    let entries = db.query(
        "SELECT id, name, amount, created_at FROM rows WHERE id > $1 ORDER BY id LIMIT $2",
        params![page.after.unwrap_or(0), page.look_ahead()],
    )?;
    Ok(page.answer(entries, |entry: &Entry| entry.id))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewAmount {
    amount: i32,
}

/// What became of a row.
#[derive(Serialize, JsonSchema)]
struct Change {
    id: Id<Change>,
    row_id: i64,
    amount_before: i32,
    amount_after: i32,
    changed_at: Timestamp,
}

fn change(
    Path(row_id): Path<i64>,
    Json(NewAmount { amount: amount_after }): Json<NewAmount>,
    db: Db,
) -> Result<Json<Change>, Problem> {
    db.transaction(|tx| {
        let row: Option<Row> =
            tx.query_optional("SELECT amount FROM rows WHERE id = $1", params![row_id])?;
        let amount_before = row.ok_or_else(|| Problem::not_found("row"))?.get("amount")?;
        let change = Change {
            id: Id::generate()?,
            row_id,
            amount_before,
            amount_after,
            changed_at: clock::now(),
        };
        tx.execute("UPDATE rows SET amount = $2 WHERE id = $1", params![row_id, amount_after])?;
        tx.execute(
            "INSERT INTO changes (id, row_id, amount_before, amount_after, changed_at)
             VALUES ($1, $2, $3, $4, $5)",
            params![change.id, row_id, amount_before, amount_after, change.changed_at],
        )?;
        Ok(Json(change))
    })
}

#[derive(Serialize, JsonSchema)]
struct Item {
    id: Id<Item>,
    name: Line<100>,
    amount: i32,
    created_at: Timestamp,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Draft {
    name: Line<100>,
    amount: i32,
}

impl Item {
    fn new(draft: Draft, created_at: Timestamp) -> Result<Self, Error> {
        let Draft { name, amount } = draft;
        Ok(Self { id: Id::generate()?, name, amount, created_at })
    }
}

fn insert(Json(draft): Json<Draft>, db: Db) -> Result<Created<Item>, Problem> {
    let item = Item::new(draft, clock::now())?;
    db.execute(
        "INSERT INTO items (id, name, amount, created_at) VALUES ($1, $2, $3, $4)",
        params![item.id, item.name, item.amount, item.created_at],
    )?;
    Ok(Created::below(item.id, item))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Drafts {
    #[schemars(length(max = 10_000))]
    items: Vec<Draft>,
}

#[derive(Serialize, JsonSchema)]
struct Inserted {
    inserted: u64,
}

fn insert_many(
    Json(Drafts { items: drafts }): Json<Drafts>,
    db: Db,
) -> Result<(Status, Json<Inserted>), Problem> {
    if drafts.len() > 10_000 {
        return Err(Problem::invalid().field("/items", "must have at most 10000 items"));
    }
    let now = clock::now();
    let items =
        drafts.into_iter().map(|draft| Item::new(draft, now)).collect::<Result<Vec<_>, _>>()?;
    let inserts = Statement::inserts(
        "items (id, name, amount, created_at)",
        items.iter().map(|item| (item.id, &item.name, item.amount, item.created_at)),
    );
    let inserted = db.batch(&inserts)?.into_iter().sum();
    Ok((Status(201), Json(Inserted { inserted })))
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

#[derive(Serialize, JsonSchema)]
struct Sum {
    bytes: u64,
    sum: u64,
}

fn upload(mut body: Body) -> Result<(Status, Json<Sum>), Problem> {
    let (mut bytes, mut sum) = (0, 0);
    while let Some(chunk) = body.next_chunk()? {
        sum = numbers::add(sum, bytes, &chunk);
        bytes += chunk.len() as u64;
    }
    Ok((Status(201), Json(Sum { bytes, sum })))
}

/// What is made before it is sent.
const PIECE_BYTES: usize = 64 * 1024;

fn download(Path(bytes): Path<u64>) -> Result<Streamed, Problem> {
    let mut answer = Streamed::head("application/octet-stream").length(bytes).begin()?;
    let (mut numbers, mut piece) = (0..bytes / 8, vec![0; PIECE_BYTES]);
    while !numbers.is_empty() {
        let filled = numbers::fill(&mut piece, &mut numbers);
        answer.send(&piece[..filled])?;
    }
    Ok(answer)
}
