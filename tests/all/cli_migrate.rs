//! `hostel migrate`, as people use it: what it shows, and migrations that are being written.

use hostel_tests::Folder;
use insta::assert_snapshot;

#[tokio::test]
async fn tables_of_a_folder_go_forward_and_back_by_the_command() {
    let folder = Folder::warm().await;
    folder.run(&["tenant", "create", "acme"]);
    folder.run(&["tenant", "create", "beta"]);
    assert_snapshot!(folder.transcript(
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
    ));
}

#[test]
fn the_platforms_own_tables_are_taken_back_by_the_command() {
    let folder = Folder::new();
    folder.run(&["tenant", "create", "acme"]);
    assert_snapshot!(folder.transcript(
        "migrate",
        &[
            "down --platform --dry-run",
            "down --platform",
            "down --platform --yes",
            "status",
            "status --check",
            "up --dry-run",
            "down --platform --to 0009_absent --yes",
        ],
    ));
    assert_eq!(folder.run(&["tenant", "create", "beta"]).code, Some(0), "they are applied again");
    let told = folder.run(&["migrate", "down", "--platform", "--all", "--yes"]).stdout;
    assert!(told.ends_with("0001_platform\n"), "{told}");
    assert!(!folder.run(&["tenant", "list"]).stdout.contains("acme"));
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
