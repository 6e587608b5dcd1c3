//! What is written leads there and back, whatever entities become.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::*;
use crate::database::usual_name;
use crate::runtime::{
    ColumnType, Entity, EntityCheck, EntityColumn, EntityReference, Migration, NamedColumns,
    OnDelete,
};

fn manifest(entities: Vec<Entity>, migrations: Vec<Migration>) -> Manifest {
    Manifest {
        name: "shop".parse().unwrap(),
        version: semver::Version::new(1, 0, 0),
        summary: String::new(),
        routes: Vec::new(),
        permissions: Vec::new(),
        migrations,
        entities,
        settings: Vec::new(),
        outbound_hosts: Vec::new(),
        seeds: Vec::new(),
    }
}

/// A unit of a tenant that there is not.
fn nobodys() -> UnitId {
    UnitId::shared(TenantId::new())
}

fn column(name: &str, kind: ColumnType) -> EntityColumn {
    EntityColumn { name: name.to_owned(), kind, nullable: false, default: None }
}

fn entity(table: &str, columns: Vec<EntityColumn>) -> Entity {
    Entity {
        table: table.to_owned(),
        columns: [vec![column("id", ColumnType::Uuid)], columns].concat(),
        key: vec!["id".to_owned()],
        uniques: Vec::new(),
        indexes: Vec::new(),
        checks: Vec::new(),
        references: Vec::new(),
        version: None,
    }
}

fn named(table: &str, columns: &[&str], end: &str) -> NamedColumns {
    let columns: Vec<String> = columns.iter().map(|it| (*it).to_owned()).collect();
    NamedColumns { name: usual_name(table, &columns, end), columns }
}

fn refers(table: &str, column: &str, to: &str, on_delete: OnDelete) -> EntityReference {
    EntityReference {
        name: usual_name(table, &[column.to_owned()], "fkey"),
        column: column.to_owned(),
        to_table: to.to_owned(),
        to_column: "id".to_owned(),
        on_delete,
    }
}

fn step(id: &str, generated: &Generated) -> Migration {
    Migration { id: id.to_owned(), up: generated.up.clone(), down: generated.down.clone() }
}

fn written_by_hand(id: &str, up: &str) -> Migration {
    let script = |text: &str| Script { sqlite: text.to_owned(), postgres: text.to_owned() };
    Migration { id: id.to_owned(), up: script(up), down: script("") }
}

async fn generated(manifest: &Manifest, decisions: &Decisions) -> Result<Option<Generated>> {
    Generator::new(manifest.clone(), None).await?.generate(decisions).await
}

/// The migration that makes these tables.
async fn first(entities: &[Entity]) -> Migration {
    let made = generated(&manifest(entities.to_vec(), Vec::new()), &Decisions::default()).await;
    step("0001_first", &made.unwrap().unwrap())
}

/// The second migration, after which nothing is missing.
async fn second(before: &[Entity], after: &[Entity], decisions: &Decisions) -> Generated {
    let first = first(before).await;
    let next = manifest(after.to_vec(), vec![first.clone()]);
    let made = generated(&next, decisions).await.unwrap().unwrap();
    let done = manifest(after.to_vec(), vec![first, step("0002_second", &made)]);
    assert!(generated(&done, &Decisions::default()).await.unwrap().is_none(), "{made:?}");
    made
}

fn teas() -> Entity {
    entity("shop_teas", vec![column("name", ColumnType::Text(Some(100)))])
}

fn with(columns: Vec<EntityColumn>) -> Vec<Entity> {
    let mut teas = teas();
    teas.columns.extend(columns);
    vec![teas]
}

#[tokio::test]
async fn a_table_is_written_as_its_entity_would() {
    let mut cups = entity("shop_cups", vec![column("tea_id", ColumnType::Uuid)]);
    cups.references.push(refers("shop_cups", "tea_id", "shop_teas", OnDelete::Cascade));
    cups.indexes.push(named("shop_cups", &["tea_id"], "idx"));
    let first = first(&[cups, teas()]).await;
    assert_eq!(
        first.up.sqlite,
        r#"CREATE TABLE "shop_teas" (
    "id" uuid NOT NULL,
    "name" text NOT NULL,
    PRIMARY KEY ("id")
);
CREATE TABLE "shop_cups" (
    "id" uuid NOT NULL,
    "tea_id" uuid NOT NULL,
    PRIMARY KEY ("id"),
    CONSTRAINT "shop_cups_tea_id_fkey" FOREIGN KEY ("tea_id") REFERENCES "shop_teas" ("id") ON DELETE CASCADE
);
CREATE INDEX "shop_cups_tea_id_idx" ON "shop_cups" ("tea_id");
"#
    );
    assert_eq!(first.up.sqlite, first.up.postgres);
    assert_eq!(first.down.sqlite, "DROP TABLE \"shop_cups\";\nDROP TABLE \"shop_teas\";\n");
}

#[tokio::test]
async fn what_both_databases_understand_is_said_once() {
    let stars = EntityColumn { nullable: true, ..column("stars", ColumnType::Integer(0, 5)) };
    let mut after = with(vec![stars]);
    after[0].indexes.push(named("shop_teas", &["stars"], "idx"));
    after[0].checks.push(EntityCheck {
        name: "shop_teas_stars_check".to_owned(),
        sql: "stars >= 0".to_owned(),
    });
    let made = second(&[teas()], &after, &Decisions::default()).await;
    assert_eq!(made.name, "add_stars_to_shop_teas");
    assert_eq!(
        made.up.postgres,
        r#"ALTER TABLE "shop_teas" ADD COLUMN "stars" integer CONSTRAINT "shop_teas_stars_check" CHECK (stars >= 0);
CREATE INDEX "shop_teas_stars_idx" ON "shop_teas" ("stars");
"#
    );
    assert_eq!(made.up.sqlite, made.up.postgres);
    assert!(made.down.sqlite.contains("anew"), "a check does not go alone: {}", made.down.sqlite);
}

#[tokio::test]
async fn rows_need_a_value_in_a_column_that_may_not_be_empty() {
    let after = with(vec![column("stars", ColumnType::Integer(0, 5))]);
    let next = manifest(after.clone(), vec![first(&[teas()]).await]);
    let told = generated(&next, &Decisions::default()).await.unwrap_err();
    assert!(told.to_string().contains("what do rows get that are there?"), "{told}");
    let place = ("shop_teas".to_owned(), "stars".to_owned());
    let decisions =
        Decisions { fills: BTreeMap::from([(place, "3".to_owned())]), ..Decisions::default() };
    let made = second(&[teas()], &after, &decisions).await;
    assert_eq!(
        made.up.postgres,
        r#"-- Rows that are there get 3.
ALTER TABLE "shop_teas" ADD COLUMN "stars" integer DEFAULT 3 NOT NULL;
ALTER TABLE "shop_teas" ALTER COLUMN "stars" DROP DEFAULT;
"#
    );
    assert_eq!(
        made.up.sqlite,
        r#"-- SQLite changes `shop_teas` by making it anew.
CREATE TABLE "shop_teas_new" (
    "id" uuid NOT NULL,
    "name" text NOT NULL,
    "stars" integer NOT NULL,
    PRIMARY KEY ("id")
);
-- Rows that are there get 3 in `stars`.
INSERT INTO "shop_teas_new" ("id", "name", "stars")
SELECT "id", "name", 3
FROM "shop_teas";
DROP TABLE "shop_teas";
ALTER TABLE "shop_teas_new" RENAME TO "shop_teas";
"#
    );
    assert_eq!(made.down.sqlite, "ALTER TABLE \"shop_teas\" DROP COLUMN \"stars\";\n");
}

/// Tables before and after one of them, and one of its columns, got other names.
fn renamed() -> (Vec<Entity>, Vec<Entity>) {
    let mut before =
        with(vec![column("state", ColumnType::OneOf(vec!["new".into(), "old".into()]))]);
    before[0].uniques.push(named("shop_teas", &["name"], "key"));
    before[0].indexes.push(named("shop_teas", &["state", "name"], "idx"));
    let mut cups = entity("shop_cups", vec![column("tea_id", ColumnType::Uuid)]);
    cups.references.push(refers("shop_cups", "tea_id", "shop_teas", OnDelete::Cascade));
    before.push(cups);
    let mut after = before.clone();
    after[0].table = "shop_herbs".to_owned();
    after[0].columns[2].name = "status".to_owned();
    after[0].uniques = vec![named("shop_herbs", &["name"], "key")];
    after[0].indexes = vec![named("shop_herbs", &["status", "name"], "idx")];
    after[1].references[0].to_table = "shop_herbs".to_owned();
    (before, after)
}

#[tokio::test]
async fn a_new_name_takes_along_what_is_called_after_it() {
    let (before, after) = renamed();
    let first = first(&before).await;
    let generator = Generator::new(manifest(after.clone(), vec![first]), None).await.unwrap();
    let asked = generator.questions(&Decisions::default()).unwrap();
    let table: Rename = "shop_teas:shop_herbs".parse().unwrap();
    assert_eq!(asked, [Question::Renamed(table.clone())]);
    let decisions = Decisions { renames: vec![table], ..Decisions::default() };
    let asked = generator.questions(&decisions).unwrap();
    let column: Rename = "shop_herbs.state:status".parse().unwrap();
    assert!(asked.contains(&Question::Renamed(column.clone())), "{asked:?}");
    let renames = vec![column, "shop_teas:shop_herbs".parse().unwrap()];
    let made = second(&before, &after, &Decisions { renames, ..Decisions::default() }).await;
    assert_eq!(
        made.up.postgres,
        r#"ALTER TABLE "shop_teas" RENAME TO "shop_herbs";
ALTER TABLE "shop_herbs" RENAME CONSTRAINT "shop_teas_name_key" TO "shop_herbs_name_key";
ALTER TABLE "shop_herbs" RENAME CONSTRAINT "shop_teas_state_one_of" TO "shop_herbs_state_one_of";
ALTER INDEX "shop_teas_state_name_idx" RENAME TO "shop_herbs_state_name_idx";
ALTER TABLE "shop_herbs" RENAME COLUMN "state" TO "status";
ALTER TABLE "shop_herbs" RENAME CONSTRAINT "shop_herbs_state_one_of" TO "shop_herbs_status_one_of";
ALTER INDEX "shop_herbs_state_name_idx" RENAME TO "shop_herbs_status_name_idx";
"#
    );
    for wrong in ["shop_teas", "shop_teas.a:", ":b", ""] {
        assert!(wrong.parse::<Rename>().is_err(), "{wrong}");
    }
}

#[tokio::test]
async fn what_was_made_by_hand_is_left_alone() {
    let made = first(&[teas()]).await;
    let by_hand = written_by_hand(
        "0002_by_hand",
        "CREATE INDEX teas_by_name ON shop_teas (name DESC);
         CREATE TABLE shop_log (line text);
         CREATE INDEX shop_teas_name_idx ON shop_teas (name)",
    );
    let migrations = vec![made, by_hand];
    let generator = Generator::new(manifest(vec![teas()], migrations), None).await.unwrap();
    let decisions = Decisions::default();
    assert_eq!(
        generator.left_alone(&decisions).unwrap(),
        ["index `teas_by_name` of `shop_teas`", "table `shop_log`"]
    );
    let made = generator.generate(&decisions).await.unwrap().unwrap();
    assert_eq!(made.up.sqlite, "DROP INDEX \"shop_teas_name_idx\";\n", "an entity's, by its name");
    let drops = ["shop_log", "shop_teas.teas_by_name"].map(str::to_owned).into();
    let made = generator.generate(&Decisions { drops, ..decisions }).await.unwrap().unwrap();
    assert!(made.up.sqlite.contains("DROP TABLE \"shop_log\""), "{}", made.up.sqlite);
    assert!(made.down.sqlite.contains("ON shop_teas (name DESC)"), "{}", made.down.sqlite);
    let drops = BTreeSet::from(["shop_teas".to_owned()]);
    assert!(generator.generate(&Decisions { drops, ..Decisions::default() }).await.is_err());
}

#[tokio::test]
async fn values_nobody_can_convert_are_not_lost_unless_somebody_says_so() {
    let before = with(vec![column("code", ColumnType::Text(None))]);
    let after = with(vec![column("code", ColumnType::Uuid)]);
    let next = manifest(after.clone(), vec![first(&before).await]);
    let told = generated(&next, &Decisions::default()).await.unwrap_err();
    assert!(told.to_string().contains("become uuid from text"), "{told}");
    let place = ("shop_teas".to_owned(), "code".to_owned());
    let fills = BTreeMap::from([(place.clone(), "'00000000-0000-0000-0000-000000000000'".into())]);
    let decisions = Decisions { replaced: [place].into(), fills, ..Decisions::default() };
    let made = second(&before, &after, &decisions).await;
    assert!(made.up.postgres.contains("-- What is in `code` is lost."), "{}", made.up.postgres);
}

/// A trial with rows: what is read before and after.
#[tokio::test]
async fn rows_and_what_refers_to_them_survive_a_table_that_is_made_anew() {
    let before = {
        let mut cups = entity("shop_cups", vec![column("tea_id", ColumnType::Uuid)]);
        cups.references.push(refers("shop_cups", "tea_id", "shop_teas", OnDelete::Cascade));
        vec![teas(), cups]
    };
    let mut after = before.clone();
    after[0].uniques.push(named("shop_teas", &["name"], "key"));
    let made = second(&before, &after, &Decisions::default()).await;
    let folder = tempfile::tempdir().unwrap();
    let units = Units::in_files(folder.path().to_owned(), SqlConfig::default());
    let unit = units.unit(&nobodys(), SCRATCH_MAX_BYTES).await.unwrap();
    let mut trial = Trial::begin(&unit).await.unwrap();
    trial.run(&first(&before).await.up.sqlite).await.unwrap();
    let rows = "INSERT INTO shop_teas VALUES (x'01', 'Assam'), (x'02', 'Ceylon');
                INSERT INTO shop_cups VALUES (x'0a', x'01'), (x'0b', x'02'), (x'0c', x'02');";
    trial.run(rows).await.unwrap();
    // Fails unless all of them are there.
    let counted = "CREATE TABLE counted (teas integer CHECK (teas = 2), cups integer CHECK (cups = 3));
                   INSERT INTO counted SELECT (SELECT count(*) FROM shop_teas), (SELECT count(*) FROM shop_cups);
                   DROP TABLE counted;";
    for script in [counted, &made.up.sqlite, counted, &made.down.sqlite, counted] {
        trial.run(script).await.unwrap();
    }
    // What is left holds again.
    trial.run("DELETE FROM shop_teas WHERE id = x'02'").await.unwrap();
    assert!(trial.run(counted).await.is_err(), "cups go with their tea");
    trial.run("INSERT INTO shop_cups VALUES (x'0d', x'09')").await.unwrap_err();
    // What would lose a row's parent is refused, and changes nothing.
    let lost = made.up.sqlite.replace("FROM \"shop_teas\"", "FROM \"shop_teas\" WHERE false");
    let told = trial.run(&lost).await.unwrap_err().to_string();
    assert!(told.contains("`shop_cups` refers to one of `shop_teas` that is not there"), "{told}");
    trial.end().await.unwrap();
}

/// A value of one type, in SQL for SQLite and for PostgreSQL, and what it is as another type.
const CONVERTED: &[(ColumnType, [&str; 2], ColumnType, [&str; 2])] = {
    use ColumnType::{Boolean, Date, Decimal, Integer, Json, Real, Text, Timestamp, Uuid};
    const LONG: ColumnType = Integer(0, i64::MAX);
    const SHORT: ColumnType = Integer(0, 9);
    const TIME: [&str; 2] = ["1709164800000000", "'2024-02-29T00:00:00Z'"];
    &[
        (SHORT, ["7"; 2], LONG, ["7"; 2]),
        (LONG, ["7"; 2], Text(None), ["'7'"; 2]),
        (Text(None), ["'-12'"; 2], LONG, ["-12"; 2]),
        (Text(None), ["'1.5'"; 2], Real, ["1.5"; 2]),
        (Text(None), ["'1.5'"; 2], Decimal, ["1.5"; 2]),
        (Boolean, ["true"; 2], SHORT, ["1"; 2]),
        (SHORT, ["2"; 2], Boolean, ["true"; 2]),
        (Boolean, ["false"; 2], Text(None), ["'false'"; 2]),
        (Real, ["2.25"; 2], LONG, ["2"; 2]),
        (Timestamp, TIME, Date, ["'2024-02-29'"; 2]),
        (Date, ["'2024-02-29'"; 2], Timestamp, TIME),
        (Date, ["'2024-02-29'"; 2], Text(None), ["'2024-02-29'"; 2]),
        (Text(None), ["'2024-02-29'"; 2], Date, ["'2024-02-29'"; 2]),
        (Text(None), ["'[1]'"; 2], Json, ["'[1]'"; 2]),
        (
            Uuid,
            ["x'018f000000007000800000000000000a'", "'018f0000-0000-7000-8000-00000000000a'"],
            Text(None),
            ["'018f0000-0000-7000-8000-00000000000a'"; 2],
        ),
    ]
};

async fn values_are_converted(unit: &Unit) {
    let which = usize::from(unit.dialect() == Dialect::Postgres);
    for (from, value, to, expected) in CONVERTED {
        let of = |kind: &ColumnType| {
            let field = EntityColumn { nullable: true, ..column("size", kind.clone()) };
            vec![entity("shop_sizes", vec![field])]
        };
        let made = second(&of(from), &of(to), &Decisions::default()).await;
        let mut trial = Trial::begin(unit).await.unwrap();
        trial.run(first(&of(from)).await.up.of(unit.dialect())).await.unwrap();
        let ids = [["x'01'", "x'02'"], ["gen_random_uuid()"; 2]][which];
        let insert = format!(
            "INSERT INTO shop_sizes VALUES ({}, {}), ({}, NULL)",
            ids[0], value[which], ids[1]
        );
        trial.run(&insert).await.unwrap();
        trial.run(made.up.of(unit.dialect())).await.unwrap();
        // Fails unless both rows are there, and one of them has this value.
        let counted = format!(
            "CREATE TABLE counted (rows_there integer CHECK (rows_there = 2), equal integer CHECK (equal = 1));
             INSERT INTO counted SELECT (SELECT count(*) FROM shop_sizes),
                 (SELECT count(*) FROM shop_sizes WHERE size = {})",
            expected[which]
        );
        let told = trial.run(&counted).await;
        assert!(told.is_ok(), "{from:?} {to:?}: {told:?} {made:#?}");
        trial.end().await.unwrap();
    }
}

#[tokio::test]
async fn values_become_those_of_another_type() {
    let folder = tempfile::tempdir().unwrap();
    let units = Units::in_files(folder.path().to_owned(), SqlConfig::default());
    let unit = units.unit(&nobodys(), SCRATCH_MAX_BYTES).await.unwrap();
    values_are_converted(&unit).await;
    // What is no number is not made one.
    let of = |kind| with(vec![EntityColumn { nullable: true, ..column("size", kind) }]);
    let (before, after) = (of(ColumnType::Text(None)), of(ColumnType::Integer(0, 9)));
    let made = second(&before, &after, &Decisions::default()).await;
    let mut trial = Trial::begin(&unit).await.unwrap();
    trial.run(&first(&before).await.up.sqlite).await.unwrap();
    trial.run("INSERT INTO shop_teas VALUES (x'01', 'Assam', '7 cups')").await.unwrap();
    assert!(trial.run(&made.up.sqlite).await.is_err());
    trial.end().await.unwrap();
}

#[tokio::test]
async fn a_new_name_leads_there_and_back_on_postgres() {
    let units = on_server().await;
    let unit = units.unit(&nobodys(), SCRATCH_MAX_BYTES).await.unwrap();
    let (before, after) = renamed();
    let renames = ["shop_teas:shop_herbs", "shop_herbs.state:status"];
    let renames = renames.map(|it| it.parse().unwrap()).to_vec();
    let made = second(&before, &after, &Decisions { renames, ..Decisions::default() }).await;
    let mut trial = Trial::begin(&unit).await.unwrap();
    trial.run(&first(&before).await.up.postgres).await.unwrap();
    let there = trial.layout().await.unwrap();
    trial.run(&made.up.postgres).await.unwrap();
    let herbs = trial.layout().await.unwrap();
    let herbs = &herbs.tables["shop_herbs"];
    assert!(herbs.has("shop_herbs_status_one_of") && herbs.has("shop_herbs_status_name_idx"));
    trial.run(&made.down.postgres).await.unwrap();
    assert_eq!(trial.layout().await.unwrap(), there);
    trial.end().await.unwrap();
}

#[tokio::test]
async fn values_become_those_of_another_type_on_postgres() {
    let units = on_server().await;
    let unit = units.unit(&nobodys(), SCRATCH_MAX_BYTES).await.unwrap();
    values_are_converted(&unit).await;
}

/// One of the tables that a module may have, with some of the columns, constraints and indexes that it
/// may have.
fn some_entity(table: &'static str) -> impl Strategy<Value = Entity> {
    let kind = prop_oneof![
        Just(ColumnType::Boolean),
        Just(ColumnType::Integer(0, 9)),
        Just(ColumnType::Integer(0, i64::MAX)),
        Just(ColumnType::Real),
        Just(ColumnType::Decimal),
        Just(ColumnType::Text(Some(20))),
        Just(ColumnType::Bytes),
        Just(ColumnType::Uuid),
        Just(ColumnType::Timestamp),
        Just(ColumnType::Date),
        Just(ColumnType::Json),
        prop::sample::subsequence(vec!["a", "it's", "c"], 1..=3)
            .prop_map(|it| ColumnType::OneOf(it.into_iter().map(str::to_owned).collect())),
    ];
    let column = (kind, any::<bool>(), any::<bool>(), 0..6_u8, 0..3_u8);
    let columns = prop::collection::btree_map(
        prop::sample::select(vec!["size", "name", "state", "other", "extra"]),
        column,
        0..5,
    );
    let parent = prop::option::of((
        prop::sample::select(vec!["shop_a", "shop_b", "shop_c"]),
        prop::sample::select(vec![OnDelete::Refuse, OnDelete::Cascade, OnDelete::SetNull]),
        any::<bool>(),
    ));
    (columns, parent, any::<bool>(), any::<bool>()).prop_map(
        move |(columns, parent, unique_together, index_together)| {
            let mut made = entity(table, Vec::new());
            for (name, (kind, nullable, has_default, tied, checked)) in columns {
                let default = match &kind {
                    ColumnType::Boolean => "true".to_owned(),
                    ColumnType::Integer(..) | ColumnType::Real | ColumnType::Decimal => "7".into(),
                    ColumnType::Text(_) => "'it''s'".to_owned(),
                    ColumnType::OneOf(names) => crate::database::literal(&names[0]),
                    ColumnType::Json => "'[]'".to_owned(),
                    _ => String::new(),
                };
                let default = (has_default && !default.is_empty()).then_some(default);
                if checked == 0 && matches!(kind, ColumnType::Integer(..) | ColumnType::Decimal) {
                    let sql = format!("{name} >= 0 AND {name} < 1000");
                    let name = usual_name(table, &[name.to_owned()], "check");
                    made.checks.push(EntityCheck { name, sql });
                }
                match tied {
                    0 => made.uniques.push(named(table, &[name], "key")),
                    1 => made.indexes.push(named(table, &[name], "idx")),
                    _ => {}
                }
                made.columns.push(EntityColumn { name: name.to_owned(), kind, nullable, default });
            }
            let names: Vec<String> = made.columns.iter().map(|it| it.name.clone()).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            if names.len() > 2 && unique_together {
                made.uniques.push(named(table, &names[1..3], "key"));
            }
            if names.len() > 2 && index_together {
                made.indexes.push(named(table, &[names[2], names[1]], "idx"));
            }
            if let Some((to, on_delete, nullable)) = parent {
                made.references.push(refers(table, "parent", to, on_delete));
                let kind = ColumnType::Uuid;
                let parent = EntityColumn { nullable, ..self::column("parent", kind) };
                made.columns.push(parent);
            }
            made
        },
    )
}

/// Some of the module's tables, whose references lead to others of them.
fn some_entities() -> impl Strategy<Value = Vec<Entity>> {
    let all = (some_entity("shop_a"), some_entity("shop_b"), some_entity("shop_c"), 1..8_u8);
    all.prop_map(|(a, b, c, which)| {
        let some = [a, b, c].into_iter().enumerate();
        let mut some: Vec<Entity> =
            some.filter(|(at, _)| which & (1 << at) != 0).map(|(_, it)| it).collect();
        let tables: Vec<String> = some.iter().map(|it| it.table.clone()).collect();
        for entity in &mut some {
            entity.references.retain(|it| tables.contains(&it.to_table));
        }
        some
    })
}

/// Decisions that let every change be written.
fn decided(before: &[Entity], after: &[Entity]) -> Decisions {
    let mut decisions = Decisions::default();
    for entity in before {
        let Some(new) = after.iter().find(|it| it.table == entity.table) else {
            decisions.drops.insert(entity.table.clone());
            continue;
        };
        for column in &new.columns {
            let place = (entity.table.clone(), column.name.clone());
            decisions.replaced.insert(place.clone());
            decisions.fills.insert(place, "NULL".to_owned());
        }
    }
    decisions
}

/// What leads from one layout to another and back, wherever it is tried.
async fn there_and_back(before: &[Entity], after: &[Entity], live: Option<&Unit>) {
    let make = async |entities: &[Entity], migrations: &[Migration], decisions: &Decisions| {
        let manifest = manifest(entities.to_vec(), migrations.to_vec());
        let live = live.map(|unit| ("acme".parse().unwrap(), unit));
        let generator = Generator::new(manifest, live).await.unwrap();
        generator.generate(decisions).await.unwrap()
    };
    let nothing = Decisions::default();
    let first = step("0001_first", &make(before, &[], &nothing).await.unwrap());
    assert!(make(before, std::slice::from_ref(&first), &nothing).await.is_none());
    let made = make(after, std::slice::from_ref(&first), &decided(before, after)).await;
    let Some(made) = made else { return };
    let second = step("0002_second", &made);
    let again = make(after, &[first.clone(), second.clone()], &nothing).await;
    assert!(again.is_none(), "{made:#?}\nand again\n{again:#?}");
    if let Some(live) = live {
        let mut trial = Trial::begin(live).await.unwrap();
        trial.run(first.up.of(live.dialect())).await.unwrap();
        let before = trial.layout().await.unwrap();
        trial.run(second.up.of(live.dialect())).await.unwrap();
        trial.run(second.down.of(live.dialect())).await.unwrap();
        assert_eq!(trial.layout().await.unwrap(), before, "{made:#?}");
        trial.end().await.unwrap();
    }
}

fn holds_for_some(cases: u32, holds: impl Fn(&[Entity], &[Entity])) {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let both = (some_entities(), some_entities());
    let ran = TestRunner::new(config).run(&both, |(before, after)| {
        holds(&before, &after);
        Ok(())
    });
    ran.unwrap();
}

#[test]
fn whatever_entities_become_the_way_there_is_written_and_leads_back() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    // Each of them is many statements; who asks for more gets more.
    let cases = Config::default().cases / 4;
    holds_for_some(cases, |before, after| {
        runtime.block_on(there_and_back(before, after, None));
    });
}

/// Units of a database of its own on the server that `scripts/test` starts.
async fn on_server() -> Units {
    use crate::database::{DatabaseConfig, PostgresServer, Preparation, open_platform};
    use crate::secret::Secret;

    #[expect(clippy::disallowed_methods, reason = "the test command says where its server is")]
    let superuser = std::env::var("HOSTEL_TEST_POSTGRES").unwrap();
    let name = format!("test_{}", uuid::Uuid::now_v7().simple());
    let (_, server) = superuser.split_once('@').unwrap();
    let (server, _) = server.split_once('/').unwrap();
    let url = format!("postgres://{name}:password@{server}/{name}");
    let (superuser, own) = (Secret::new(superuser), Secret::new(url.clone()));
    Preparation::plan(&superuser, &own).await.unwrap().apply().await.unwrap();
    let database = DatabaseConfig { url: Some(own), ..DatabaseConfig::default() };
    let platform = open_platform(&database, std::path::Path::new("")).await.unwrap();
    let key = crate::key::PlatformKey::parse(&"ab".repeat(32)).unwrap();
    let config = SqlConfig::default();
    let server = PostgresServer::open(&url, &database, &config, platform, &key).unwrap();
    Units::on_server(server, &config)
}

#[test]
fn whatever_entities_become_it_is_so_on_postgres() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _within = runtime.enter();
    let units = runtime.block_on(on_server());
    let unit = runtime.block_on(units.unit(&nobodys(), SCRATCH_MAX_BYTES)).unwrap();
    let cases = Config::default().cases / 16;
    holds_for_some(cases, |before, after| {
        runtime.block_on(there_and_back(before, after, Some(&unit)));
    });
}
