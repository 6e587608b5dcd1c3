//! `hostel seed`, as people use it.

use hostel_tests::Folder;
use insta::assert_snapshot;

#[tokio::test]
async fn seeds_are_listed_and_made_by_the_command() {
    let folder = Folder::warm().await;
    let told = folder.transcript(
        "seed",
        &[
            "notes",
            "notes notes --rows 5 --number 7",
            "notes absent",
            "absent",
            "tenants",
            "notes --tenant absent",
            "notes --rows many",
        ],
    );
    let listed = folder.run(&["seed"]).stdout;
    assert_snapshot!(format!("$ hostel seed\n{listed}{told}"));
}
