//! What `guest` does with data, over entities, to see what these cost over SQL; and a list.

mod articles;

use hostel_sdk::Migration;
use hostel_sdk::prelude::*;

hostel_sdk::module!(bench);

fn bench() -> Module {
    Module::new("bench", env!("CARGO_PKG_VERSION"))
        .about("What the benchmarks call, over entities")
        .migrations(TABLES)
        .route(get("/rows/{id}", read).public())
        .route(get("/rows", page).public())
        .route(patch("/rows/{id}", change).public())
        .route(post("/items", insert).public().status(201))
        .route(post("/items/bulk", insert_many).public().status(201))
        .route(post("/rows", fill).public())
        .route(get("/articles", articles::list).public())
        .route(post("/articles", articles::fill).public())
}

/// The same tables, and what makes a search fast where an index does.
const TABLES: &[Migration] = &[
    Migration::portable(
        "0001_rows",
        include_str!("../../guest/migrations/0001_rows.up.sql"),
        include_str!("../../guest/migrations/0001_rows.down.sql"),
    ),
    Migration::portable(
        "0002_articles",
        include_str!("../../guest/migrations/0002_articles.up.sql"),
        include_str!("../../guest/migrations/0002_articles.down.sql"),
    ),
    Migration::per_dialect(
        "0003_search",
        ("-- Nothing is.", "-- Nothing was."),
        (include_str!("../migrations/0003_search.postgres.sql"), "DROP INDEX articles_title"),
    ),
];

#[derive(Entity, Serialize, JsonSchema)]
#[entity(table = "rows")]
struct Entry {
    #[entity(key)]
    id: i64,
    name: String,
    amount: i64,
    created_at: Timestamp,
}

fn read(Path(id): Path<i64>, db: Db) -> Result<Json<Entry>, Problem> {
    Ok(Json(db.get(id)?))
}

fn page(page: Page, db: Db) -> Result<Paged<Entry>, Problem> {
    Ok(Entry::all().order(Entry::ID.asc()).page(&db, &page)?)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewAmount {
    amount: i32,
}

/// What became of a row.
#[derive(Entity, Serialize, JsonSchema)]
#[entity(table = "changes")]
struct Change {
    #[entity(key)]
    id: Id<Change>,
    row_id: i64,
    amount_before: i64,
    amount_after: i64,
    changed_at: Timestamp,
}

fn change(
    Path(row_id): Path<i64>,
    Json(NewAmount { amount }): Json<NewAmount>,
    db: Db,
) -> Result<Json<Change>, Problem> {
    db.transaction(|tx| {
        let mut row: Entry = tx.get(row_id)?;
        let change = Change {
            id: Id::generate()?,
            row_id,
            amount_before: row.amount,
            amount_after: i64::from(amount),
            changed_at: clock::now(),
        };
        row.amount = change.amount_after;
        tx.update(&mut row)?;
        tx.insert(&change)?;
        Ok(Json(change))
    })
}

#[derive(Entity, Serialize, JsonSchema)]
#[entity(table = "items")]
struct Item {
    #[entity(key)]
    id: Id<Item>,
    name: Line<100>,
    amount: i32,
    created_at: Timestamp,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewItem {
    name: Line<100>,
    amount: i32,
}

impl Item {
    fn new(NewItem { name, amount }: NewItem, created_at: Timestamp) -> Result<Self, Error> {
        Ok(Self { id: Id::generate()?, name, amount, created_at })
    }
}

fn insert(Json(new): Json<NewItem>, db: Db) -> Result<Created<Item>, Problem> {
    let item = Item::new(new, clock::now())?;
    db.insert(&item)?;
    Ok(Created::below(item.id, item))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewItems {
    #[schemars(length(max = 10_000))]
    items: Vec<NewItem>,
}

#[derive(Serialize, JsonSchema)]
struct Inserted {
    inserted: u64,
}

fn insert_many(
    Json(NewItems { items }): Json<NewItems>,
    db: Db,
) -> Result<(Status, Json<Inserted>), Problem> {
    if items.len() > 10_000 {
        return Err(Problem::invalid().field("/items", "must have at most 10000 items"));
    }
    let now = clock::now();
    let items =
        items.into_iter().map(|item| Item::new(item, now)).collect::<Result<Vec<_>, _>>()?;
    let inserted = db.insert_all(items)?;
    Ok((Status(201), Json(Inserted { inserted })))
}

#[derive(Deserialize, JsonSchema)]
struct Fill {
    count: u32,
}

fn fill(Json(fill): Json<Fill>, db: Db) -> Result<NoContent, Problem> {
    let rows = (1..=i64::from(fill.count)).map(|id| Entry {
        id,
        name: format!("row {id}"),
        amount: id * 7,
        created_at: Timestamp::from_micros(1_700_000_000_000_000 + id),
    });
    db.insert_all(rows)?;
    Ok(NoContent)
}
