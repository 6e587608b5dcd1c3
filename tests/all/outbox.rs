//! The outbox: what is to be delivered is kept with the rows that it belongs to, and believed only
//! where the host wrote it. The shop of `examples/embed` has charges to be made.

use embed_example::{Payments, SHOP};
use hostel::Message;
use hostel_tests::{Answer, Client, Setup, TestPlatform, superuser};
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection, SqliteConnection};

fn shops(payments: &Payments) -> Setup {
    let payments = payments.clone();
    TestPlatform::setup()
        .built(move |builder| builder.capability(payments.clone()).system_module("shop", SHOP))
}

async fn order(client: &Client, reference: &str) -> Answer {
    let order = json!({ "amount_cents": 5, "reference": reference });
    client.post("/api/shop/orders/later", order).await
}

async fn messages(platform: &TestPlatform, tenant: &str) -> Vec<Message> {
    platform.inner().messages(&tenant.parse().unwrap(), 100).await.unwrap()
}

async fn charge(platform: &TestPlatform, payments: &Payments) -> usize {
    let tenants = ["acme", "other"].map(|slug| slug.parse().unwrap());
    payments.charge_waiting(platform.inner(), &tenants).await.unwrap()
}

async fn total(client: &Client) -> Value {
    client.get("/api/shop/total").await.json()["total_cents"].clone()
}

#[tokio::test]
async fn a_message_is_kept_with_its_rows_or_not_at_all() {
    let payments = Payments::new();
    let platform = shops(&payments).start().await;
    let (acme, other) = (platform.tenant("acme").await, platform.tenant("other").await);
    assert!(messages(&platform, "acme").await.is_empty(), "before there is anything");
    assert_eq!(order(&acme, "A-1").await.status(), 202);
    // Charged first, and undone with the order that cannot be kept.
    assert_eq!(order(&acme, "A-1").await.status(), 409);
    let fee = json!({ "amount_cents": 2, "reference": "F-1" });
    assert_eq!(other.post("/api/shop/fees", fee).await.status(), 202, "without a transaction");

    let kept = messages(&platform, "acme").await;
    assert_eq!(kept.len(), 1);
    assert_eq!((kept[0].kind.as_str(), &kept[0].key), ("payments.charge", &None));
    let body: Value = serde_json::from_slice(&kept[0].body).unwrap();
    assert_eq!(body, json!({ "amount_cents": 5, "reference": "A-1" }));
    assert_eq!(messages(&platform, "acme").await, kept, "it stays until it is removed");
    assert_eq!((total(&acme).await, total(&other).await), (json!(0), json!(0)));

    assert_eq!(charge(&platform, &payments).await, 2);
    assert_eq!((total(&acme).await, total(&other).await), (json!(5), json!(2)));
    assert_eq!(charge(&platform, &payments).await, 0, "each is made once");
    assert!(messages(&platform, "acme").await.is_empty());
}

#[tokio::test]
async fn what_is_kept_is_there_after_a_restart_in_the_order_in_which_it_came() {
    let payments = Payments::new();
    let platform = shops(&payments).start().await;
    let acme = platform.tenant("acme").await;
    for reference in ["A-1", "A-2", "A-3"] {
        assert_eq!(order(&acme, reference).await.status(), 202);
    }
    let before = messages(&platform, "acme").await;
    let platform = platform.stop().await.start().await;
    assert_eq!(messages(&platform, "acme").await, before);
    let body = |message: &Message| serde_json::from_slice::<Value>(&message.body).unwrap();
    let references: Vec<_> = before.iter().map(|it| body(it)["reference"].clone()).collect();
    assert_eq!(references, ["A-1", "A-2", "A-3"]);
}

/// Whoever delivers need not know in which of a tenant's databases a message is.
#[tokio::test]
async fn messages_of_a_module_with_a_database_of_its_own_are_found_and_removed() {
    let payments = Payments::new();
    let platform = shops(&payments).config("[modules.databases]\nshop = 'own'").start().await;
    let (acme, other) = (platform.tenant("acme").await, platform.tenant("other").await);
    assert!(messages(&platform, "acme").await.is_empty(), "before there is anything");
    // Another module's, in the database that is shared.
    acme.execute("DELETE FROM things", json!([])).await.ok();
    for reference in ["A-1", "A-2"] {
        assert_eq!(order(&acme, reference).await.status(), 202);
    }
    assert_eq!(order(&acme, "A-1").await.status(), 409, "undone with its message");
    assert_eq!(messages(&platform, "acme").await.len(), 2);
    assert!(messages(&platform, "other").await.is_empty());
    assert_eq!(charge(&platform, &payments).await, 2);
    assert!(messages(&platform, "acme").await.is_empty());
    assert_eq!((total(&acme).await, total(&other).await), (json!(10), json!(0)));
}

/// On PostgreSQL a guest's role may insert, since the host does so in its transactions. It cannot see
/// what is there, and what it inserts is thrown away.
#[tokio::test]
async fn a_guest_can_neither_read_the_outbox_nor_put_into_it_what_is_believed() {
    let payments = Payments::new();
    let platform = shops(&payments).start().await;
    let (acme, _) = (platform.tenant("acme").await, platform.tenant("other").await);
    assert_eq!(order(&acme, "A-1").await.status(), 202);
    let kept = messages(&platform, "acme").await;
    for attack in [
        "SELECT * FROM hostel_outbox",
        "SELECT count(*) FROM hostel_outbox",
        "UPDATE hostel_outbox SET made_at = 0",
        "DELETE FROM hostel_outbox",
        "INSERT INTO hostel_outbox SELECT * FROM hostel_outbox",
        "INSERT INTO hostel_outbox (id, kind, body, made_at, mac) VALUES (randomblob(16), 'a', 'b', 0, 'c')
         RETURNING id",
    ] {
        let answer = acme.execute(attack, json!([])).await;
        assert!([403, 422].contains(&answer.status()), "{attack}: {}", answer.text());
    }
    let forge = "INSERT INTO hostel_outbox (id, kind, body, made_at, mac) VALUES ($1, 'payments.charge', $2, 0, $3)";
    let body = br#"{"amount_cents":1000,"reference":"forged"}"#.as_slice();
    // Older than what the host writes, so that they come first.
    for number in 0..5_u8 {
        let (id, mac) = ([number; 16], [0_u8; 32]);
        let values = json!([{ "bytes": id }, { "bytes": body }, { "bytes": mac }]);
        let forged = acme.execute(forge, values).await;
        assert_eq!(forged.status(), if superuser().is_some() { 200 } else { 403 });
    }
    assert_eq!(messages(&platform, "acme").await, kept);
    assert_eq!(charge(&platform, &payments).await, 1);
    assert_eq!(total(&acme).await, 5);
}

/// Whoever can write to one tenant's unit cannot speak for another one.
#[tokio::test]
async fn a_message_that_is_moved_to_another_tenant_is_not_believed() {
    let payments = Payments::new();
    let platform = shops(&payments).start().await;
    let (acme, other) = (platform.tenant("acme").await, platform.tenant("other").await);
    for (client, reference) in [(&acme, "A-1"), (&other, "B-1")] {
        assert_eq!(order(client, reference).await.status(), 202);
    }
    let copy = |from: String, to: String| {
        format!("INSERT INTO {to}.hostel_outbox SELECT * FROM {from}.hostel_outbox")
    };
    match superuser() {
        Some(_) => {
            let database = platform.inner().config().database.url.clone().unwrap();
            let mut connection = PgConnection::connect(database.expose()).await.unwrap();
            let copy = copy(platform.schema("acme").await, platform.schema("other").await);
            sqlx::query(sqlx::AssertSqlSafe(copy)).execute(&mut connection).await.unwrap();
        }
        None => {
            let (from, to) = (platform.unit("acme").await, platform.unit("other").await);
            let url = format!("sqlite:{}", to.display());
            let mut connection = SqliteConnection::connect(&url).await.unwrap();
            let attach = format!("ATTACH '{}' AS origin", from.display());
            let copy = copy("origin".to_owned(), "main".to_owned());
            for statement in [attach, copy] {
                sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
            }
        }
    }
    let moved = messages(&platform, "other").await;
    assert_eq!(moved.len(), 1, "its own alone");
    assert_eq!(charge(&platform, &payments).await, 2);
    assert_eq!((total(&acme).await, total(&other).await), (json!(5), json!(5)));
}
