//! `hostel tenant`, as people and scripts use it: a tenant's whole life, and what goes wrong in it.

use hostel_tests::Folder;
use insta::assert_snapshot;

#[test]
fn a_tenant_lives_by_the_command() {
    let folder = Folder::new();
    assert_snapshot!(folder.transcript(
        "tenant",
        &[
            "create acme --name Acme",
            "rename acme emca --name Emca",
            "list",
            "suspend emca",
            "list --status suspended",
            "resume emca",
            "delete emca --yes",
            "list --status deleting",
            "undelete emca",
            "delete emca --yes",
            "purge emca --yes",
            "list --name emca",
            "create acme",
            "delete acme --now --yes",
            "list --name acme",
        ],
    ));
}

/// What belongs to a tenant is changed, shown and taken back by the command.
#[tokio::test]
async fn a_tenant_is_set_up_by_the_command() {
    let folder = Folder::warm().await;
    assert_snapshot!(folder.transcript(
        "tenant",
        &[
            "create acme --name Acme",
            "set acme --limit cpu_ms=500 --limit sql_rows_max=10",
            "set acme --limit sql_rows_max=5",
            "set acme --no-limits --limit memory_max_bytes=1",
            "set acme --no-limits",
            "setting set acme notes page-size 7",
            "setting list acme",
            "setting unset acme notes page-size",
            "setting list acme",
            "setting set acme notes page-size many",
            "setting set acme notes no_such_setting 7",
            "create beta",
            "list --limit 1",
            "list --limit 1 --after acme",
            "rename acme --name Corporation",
            "list --name corp",
            "usage acme",
            "secret list acme",
        ],
    ));
}

/// The first of them makes the platform's key and tables, and nobody knows which that is.
#[test]
fn commands_that_come_at_once_to_an_empty_folder_all_succeed() {
    let folder = Folder::new();
    let slugs = ["one", "two", "three", "four", "five", "six"];
    let running: Vec<_> = slugs
        .iter()
        .map(|slug| folder.command(&["tenant", "create", slug]).spawn().unwrap())
        .collect();
    for mut child in running {
        assert!(child.wait().unwrap().success());
    }
    let listed = folder.run(&["tenant", "list"]).stdout;
    assert!(slugs.iter().all(|slug| listed.contains(slug)), "{listed}");
}

#[test]
fn what_cannot_be_done_to_a_tenant_says_why() {
    let folder = Folder::new();
    assert_snapshot!(folder.transcript(
        "tenant",
        &[
            "show acme",
            "create platform",
            "create acme",
            "delete acme",
            "purge acme --yes",
            "undelete acme",
            "create other --plan large",
            "set acme --limit no_such_limit=1",
            "delete acme --yes",
            "suspend acme",
            "rename acme another",
            "create acme",
            "list --status gone",
        ],
    ));
}

#[tokio::test]
async fn a_tenant_travels_by_the_command() {
    let folder = Folder::warm().await;
    folder.write("none.zip", "no zip");
    assert_snapshot!(folder.transcript(
        "tenant",
        &[
            "create acme --name Acme",
            "export nobody --output acme.zip",
            "export acme --output acme.zip",
            "export acme --output acme.zip",
            "import acme.zip",
            "import acme.zip --as copy",
            "import none.zip --as other",
            "import missing.zip",
            "list",
        ],
    ));
}
