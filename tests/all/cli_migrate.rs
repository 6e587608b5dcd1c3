//! `hostel migrate`, as people use it: what it shows, and migrations that are being written.

use hostel_tests::Folder;
use insta::assert_snapshot;
use serde_json::Value;

/// The ids of the platform's own migrations.
fn own(folder: &Folder) -> Vec<String> {
    let told = folder.run(&["migrate", "status", "--json"]).stdout;
    let told: Value = serde_json::from_str(&told).unwrap();
    let own = told["platform"].as_array().unwrap();
    own.iter().map(|step| step["migration"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn tables_of_a_folder_go_forward_and_back_by_the_command() {
    let folder = Folder::warm().await;
    folder.run(&["tenant", "create", "acme"]);
    folder.run(&["tenant", "create", "beta"]);
    let told = folder.transcript(
        "migrate",
        &[
            "status",
            "up --dry-run --tenant acme",
            "up",
            "status",
            "status --tenant acme",
            "down",
            "down --module notes --tenant acme --dry-run",
            "down --module notes --tenant acme --yes",
            "status",
            "status --check",
            "up --tenant acme",
            "status --check",
            "up --module absent",
            "up --tenant absent",
            "up --to 0001_notes",
            "up --module notes --to 0009_absent",
        ],
    );
    // There are more with each version.
    let count = format!("{} migrations", own(&folder).len());
    assert_snapshot!("tables", told.replace(&count, "[count] migrations"));
}

#[test]
fn the_platforms_own_tables_are_taken_back_by_the_command() {
    let folder = Folder::new();
    folder.run(&["tenant", "create", "acme"]);
    let own = own(&folder);
    let (first, last) = (own.first().unwrap(), own.last().unwrap());
    let down =
        |arguments: &[&str]| folder.run(&[&["migrate", "down", "--platform"], arguments].concat());

    let told = down(&["--dry-run"]).stdout;
    let title = format!("-- the platform's own tables: back from {last}\n");
    assert!(told.starts_with(&title) && told.lines().count() > 1, "{told}");
    let asked = down(&[]);
    assert_eq!(asked.code, Some(1));
    assert!(
        asked.stderr.contains(&format!("takes back {last} of the platform's own")),
        "{}",
        asked.stderr
    );
    assert_eq!(down(&["--yes"]).stdout, format!("taken back: {last}\n"));
    let told = folder.run(&["migrate", "status"]).stdout;
    assert!(told.ends_with(&format!("or `hostel migrate up`: {last}\n")), "{told}");
    assert_eq!(folder.run(&["migrate", "status", "--check"]).code, Some(1));
    let told = folder.run(&["migrate", "up", "--dry-run"]).stdout;
    assert!(told.starts_with(&format!("-- the platform's own tables: {last}\n")), "{told}");
    assert_eq!(down(&["--to", "0000_absent", "--yes"]).code, Some(1));

    assert_eq!(folder.run(&["tenant", "create", "beta"]).code, Some(0), "they are applied again");
    let told = down(&["--all", "--yes"]).stdout;
    assert!(told.ends_with(&format!("{first}\n")), "{told}");
    let listed = folder.run(&["tenant", "list"]).stdout;
    assert!(!listed.contains("acme"), "with all that was there: {listed}");
}

#[tokio::test]
async fn what_a_platform_works_on_is_not_taken_from_it() {
    let folder = Folder::warm().await;
    let mut hostel = folder.start(&["serve"]);
    let refused = folder.run(&["migrate", "down", "--platform", "--yes"]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("a platform is running on this data"), "{}", refused.stderr);
    hostel.terminate();
    assert_eq!(hostel.wait(), Some(0));
    assert_eq!(folder.run(&["migrate", "down", "--platform", "--yes"]).code, Some(0));
}

const SOURCE: &str = "fn notes() -> Module {
    // Not migrations!(\"0000_nothing\").
    Module::new(\"notes\", \"1.0.0\").migrations(migrations!(\"0001_notes\"))
}
";

#[test]
fn a_migration_is_begun_in_a_modules_crate() {
    let folder = Folder::new();
    folder.write("Cargo.toml", "[package]\nname = 'notes'");
    folder.write("src/lib.rs", SOURCE);
    folder.write(
        "migrations/0001_notes.up.sql",
        "CREATE TABLE notes (id integer PRIMARY KEY, body text);",
    );
    folder.write("migrations/0001_notes.down.sql", "DROP TABLE notes;");
    let told = folder.transcript("migrate", &["new add-tags", "new search --per-database"]);
    assert_snapshot!("new", told);
    let source = std::fs::read_to_string(folder.path("src/lib.rs")).unwrap();
    assert!(
        source
            .contains(r#"migrations!("0001_notes", "0002_add_tags", "0003_search" per_database))"#),
        "{source}"
    );
    assert!(source.contains(r#"// Not migrations!("0000_nothing")."#), "{source}");
    let up = std::fs::read_to_string(folder.path("migrations/0002_add_tags.up.sql")).unwrap();
    assert!(up.starts_with("-- What this step changes, and why."), "{up}");

    folder.write(
        "migrations/0003_search.postgres.up.sql",
        "CREATE INDEX notes_by_body ON notes (body);\nALTER TABLE notes ALTER COLUMN body SET NOT NULL;\n",
    );
    folder.write("migrations/0002_add_tags.up.sql", "ALTER TABLE notes DROP COLUMN body;\n");
    let told = folder.transcript(
        "migrate",
        &["check", "check --deny-warnings", "new more", "new More!", "new x --crate-folder absent"],
    );
    assert_snapshot!("check", told);
}
