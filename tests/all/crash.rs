//! What was acknowledged is there after `kill -9`.

use std::sync::{Arc, Mutex};

use hostel_tests::{Client, Folder, until};
use serde_json::json;

/// Writes until the host is gone, and keeps the id of every note that it was told of.
async fn write(client: Client, kept: Arc<Mutex<Vec<(String, String)>>>, tenant: String) {
    for n in 0.. {
        let request = client.request("POST", "/api/notes").json(&json!({ "title": n.to_string() }));
        let Ok(answer) = request.try_send().await else { return };
        if answer.status() != 201 {
            return;
        }
        let id = answer.json()["id"].as_str().unwrap().to_owned();
        kept.lock().unwrap().push((tenant.clone(), id));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_in_the_middle_of_writes_it_keeps_what_it_acknowledged() {
    let folder = Folder::warm().await;
    let tenants = ["one", "two"];
    for tenant in tenants {
        assert_eq!(folder.run(&["tenant", "create", tenant]).code, Some(0));
    }
    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    for round in 1..=2 {
        let mut hostel = folder.start(&["dev"]);
        let mut writers = tokio::task::JoinSet::new();
        for tenant in tenants.iter().cycle().take(8) {
            let kept = Arc::clone(&acknowledged);
            writers.spawn(write(hostel.client(tenant), kept, (*tenant).to_owned()));
        }
        let counted = Arc::clone(&acknowledged);
        tokio::task::spawn_blocking(move || {
            until("notes are written", || {
                (counted.lock().unwrap().len() >= round * 200).then_some(())
            });
            hostel.kill();
        })
        .await
        .unwrap();
        writers.join_all().await;
    }

    let hostel = folder.start(&["dev"]);
    let acknowledged = acknowledged.lock().unwrap().clone();
    let mut lost = Vec::new();
    let clients = tenants.map(|tenant| (tenant, hostel.client(tenant)));
    for (tenant, id) in &acknowledged {
        let (_, client) = clients.iter().find(|(slug, _)| slug == tenant).unwrap();
        let read = client.get(&format!("/api/notes/{id}")).await;
        if read.status() != 200 {
            lost.push((tenant, id, read.status()));
        }
    }
    assert!(lost.is_empty(), "{} of {} notes lost: {lost:?}", lost.len(), acknowledged.len());
}
