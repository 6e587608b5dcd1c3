//! `hostel tenant`, as people and scripts use it: a tenant's whole life, and what goes wrong in it.

use hostel_tests::Folder;
use insta::assert_snapshot;

/// What commands say, without what differs from run to run.
fn transcript(folder: &Folder, commands: &[&str]) -> String {
    let told = commands.iter().map(|command| {
        let arguments: Vec<&str> = command.split(' ').collect();
        let done = folder.run(&[&["tenant"], arguments.as_slice()].concat());
        let code = done.code.filter(|code| *code != 0).map(|code| format!("exit code {code}\n"));
        let told = format!("{}{}", done.stdout, done.stderr);
        let lines = told.lines().map(|line| format!("{}\n", stable(line)));
        format!(
            "$ hostel tenant {command}\n{}{}",
            lines.collect::<String>(),
            code.unwrap_or_default()
        )
    });
    told.collect()
}

fn stable(line: &str) -> String {
    let words = line.split(' ').filter(|word| !word.is_empty()).map(|word| {
        match word.trim_matches(|mark| ['(', ')'].contains(&mark)) {
            id if uuid::Uuid::try_parse(id).is_ok() => word.replace(id, "[id]"),
            time if time.starts_with("20") && time.contains(':') => word.replace(time, "[time]"),
            _ => word.to_owned(),
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn a_tenant_lives_by_the_command() {
    let folder = Folder::new();
    assert_snapshot!(transcript(
        &folder,
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
    assert_snapshot!(transcript(
        &folder,
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
