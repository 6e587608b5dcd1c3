//! Every function that the contract gives to modules, tried against another tenant. One that is new
//! fails here until somebody has said how it was tried.

use std::collections::BTreeSet;
use std::path::Path;

use hostel_tests::{Answer, Client, TestPlatform, superuser};
use serde_json::{Value, json};
use wit_parser::{Resolve, WorldItem, WorldKey};

use super::arrows::test_functions;
use super::postgres::ATTACKS;
use super::sqlite_refused::REFUSED;

/// How a function was tried.
enum Tried {
    /// It takes statements: through this route of the probe, with this body, it must refuse all that
    /// reach beyond their tenant's rows.
    Statements(&'static str, fn(&str) -> Value),
    /// As such, but nothing is run: there may be a plan, which tells of nobody else.
    Plans(&'static str, fn(&str) -> Value),
    /// These tests show that what it gives is the caller's own, and ends with the call.
    Elsewhere(&'static [&'static str]),
    /// What it gives belongs to no tenant, and what it takes is kept nowhere.
    OfNobody,
}

use Tried::{Elsewhere, OfNobody, Plans, Statements};

const TRANSACTIONS: Tried = Elsewhere(&[
    "sql::a_transaction_is_whole_or_not_at_all",
    "sql_transactions::an_outer_transaction_waits_for_the_nested_one",
    "hostile_boundary::handles_are_few_and_end_with_their_call",
]);
/// Bodies are the request's own, and handles of them end with it.
const BODIES: Tried = Elsewhere(&[
    "hostile_boundary::handles_are_few_and_end_with_their_call",
    "http_bodies::a_large_body_reaches_the_guest_as_it_arrives",
    "multipart::a_part_is_over_when_the_next_one_was_asked_for",
]);
/// No host serves what these are for.
const NOT_SERVED: Tried = Elsewhere(&["hostile_boundary::handles_are_few_and_end_with_their_call"]);

/// They are for the platform's own tenant, and no other is served who imports them.
const ADMIN: Tried = Elsewhere(&[
    "tenants_api::nobody_but_an_operator_in_the_platforms_own_tenant_reaches_tenants",
    "tenants_api::power_over_tenants_is_granted_by_its_name_alone",
]);

const FUNCTIONS: &[(&str, Tried)] = &[
    ("clock/clock now", OfNobody),
    ("crypto/crypto random-bytes", OfNobody),
    (
        "http-client/http-client send",
        Elsewhere(&[
            "http_client::a_secret_goes_out_in_its_tenants_calls_and_nobody_sees_it",
            "http_client_attacks::no_spelling_of_an_address_leads_into_a_private_network",
            "http_client_attacks::a_tenants_requests_under_way_are_bounded_and_others_are_not_kept_from_theirs",
        ]),
    ),
    ("http/types blob.content-type", NOT_SERVED),
    ("http/types blob.length", NOT_SERVED),
    ("http/types body.length", BODIES),
    ("http/types body.read", BODIES),
    ("http/types multipart.next-part", BODIES),
    ("http/types outgoing-stream.open", NOT_SERVED),
    ("http/types outgoing-stream.write", NOT_SERVED),
    ("log/log write", Elsewhere(&["hostile_boundary::a_flood_of_lines_and_of_print_is_cut_off"])),
    ("lookups/lookups get", OfNobody),
    ("lookups/lookups get-many", OfNobody),
    ("lookups/lookups rows", OfNobody),
    ("lookups/lookups version", OfNobody),
    (
        "settings/settings get",
        Elsewhere(&["tenants::a_tenants_own_settings_hold_over_the_configuration"]),
    ),
    (
        "sql/sql batch",
        Statements("batch", |text| json!({ "statements": [{ "statement": text, "runs": [[]] }] })),
    ),
    ("sql/sql current-dialect", OfNobody),
    ("sql/sql cursor.next", Statements("stream", |text| json!({ "statement": text }))),
    ("sql/sql cursor.open", Statements("stream", |text| json!({ "statement": text }))),
    ("sql/sql execute", Statements("execute", |text| json!({ "statement": text }))),
    ("sql/sql explain", Plans("explain", |text| json!({ "statement": text }))),
    ("sql/sql query", Statements("query", |text| json!({ "statement": text }))),
    (
        "sql/sql transaction.batch",
        Statements("batch", |text| {
            let statements = json!([{ "statement": text, "runs": [[]] }]);
            json!({ "statements": statements, "in_transaction": true })
        }),
    ),
    ("sql/sql transaction.begin", TRANSACTIONS),
    (
        "sql/sql transaction.begin-nested",
        Statements("nested", |text| json!(["begin", "begin", { "run": text }, "commit", "commit"])),
    ),
    ("sql/sql transaction.commit", TRANSACTIONS),
    (
        "sql/sql transaction.execute",
        Statements(
            "nested",
            |text| json!(["begin", { "run": "UPDATE things SET amount = 2" }, { "run": text }, "rollback"]),
        ),
    ),
    (
        "sql/sql transaction.query",
        Statements(
            "nested",
            |text| json!(["begin", "begin", { "ask": text }, "rollback", "commit"]),
        ),
    ),
    ("sql/sql transaction.rollback", TRANSACTIONS),
    ("tenancy/admin change", ADMIN),
    ("tenancy/admin create", ADMIN),
    ("tenancy/admin delete", ADMIN),
    ("tenancy/admin find", ADMIN),
    ("tenancy/admin get", ADMIN),
    ("tenancy/admin purge", ADMIN),
    ("tenancy/admin remove-secret", ADMIN),
    ("tenancy/admin resume", ADMIN),
    ("tenancy/admin secrets", ADMIN),
    ("tenancy/admin set-secret", ADMIN),
    ("tenancy/admin set-settings", ADMIN),
    ("tenancy/admin settings", ADMIN),
    ("tenancy/admin suspend", ADMIN),
    ("tenancy/admin undelete", ADMIN),
    ("tenancy/secrets get", Elsewhere(&["tenants::a_tenants_secret_is_its_own"])),
    (
        "tenancy/tenancy current",
        Elsewhere(&["http::a_tenant_is_named_by_header_by_subdomain_or_by_default"]),
    ),
];

/// The functions of all interfaces that modules may import: `sql/sql transaction.begin`.
fn functions_of_the_contract() -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit");
    let mut contract = Resolve::default();
    let (package, _) = contract.push_dir(&folder).unwrap();
    let world = contract.select_world(&[package], Some("module")).unwrap();
    let mut found = BTreeSet::new();
    for (key, item) in &contract.worlds[world].imports {
        let (WorldKey::Interface(_), WorldItem::Interface { id, .. }) = (key, item) else {
            panic!("modules import interfaces alone, and no {key:?}");
        };
        let interface = &contract.interfaces[*id];
        let package = &contract.packages[interface.package.unwrap()].name.name;
        let name = interface.name.as_ref().unwrap();
        found.extend(interface.functions.keys().map(|function| {
            let function = function.rsplit_once(']').map_or(&**function, |(_, name)| name);
            format!("{package}/{name} {function}")
        }));
    }
    found
}

#[test]
fn every_function_of_the_contract_was_tried_against_another_tenant() {
    let tried: BTreeSet<String> = FUNCTIONS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(tried, functions_of_the_contract());
    let tests = test_functions(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
    for (function, tried) in FUNCTIONS {
        let Elsewhere(named) = tried else { continue };
        for name in *named {
            let (module, test) = name.split_once("::").unwrap();
            let is_there = tests.iter().any(|known| (&*known.0, &*known.1) == (module, test));
            assert!(is_there, "{function}: there is no test {name}");
        }
    }
}

/// Refused as a whole, or within what the probe tells of each step.
fn is_refused(answer: &Answer) -> bool {
    if answer.status() != 200 {
        return [403, 422].contains(&answer.status());
    }
    let Ok(told) = serde_json::from_str::<Value>(answer.text()) else { return false };
    told["error"].is_string() || (told[2].is_string() && told[2] != "ok")
}

async fn rows(client: &Client) -> Value {
    client.query("SELECT name, amount FROM things", json!([])).await.ok()
}

#[tokio::test]
async fn no_function_that_takes_statements_reaches_beyond_the_tenants_own_rows() {
    let platform = TestPlatform::start().await;
    let (acme, other) = (platform.tenant("acme").await, platform.tenant("other").await);
    for (client, name) in [(&acme, "own"), (&other, "canary")] {
        let insert = "INSERT INTO things (id, name, amount) VALUES (randomblob(16), $1, 1)";
        client.execute(insert, json!([name])).await.ok();
    }
    let schema = platform.schema("other").await;
    let attacks = if superuser().is_some() { ATTACKS } else { REFUSED };
    let mut wrong = Vec::new();
    for (function, tried) in FUNCTIONS {
        let (Statements(route, body) | Plans(route, body)) = tried else { continue };
        for attack in attacks {
            let attack = attack.replace("OTHER", &schema);
            let answer = acme.post(&format!("/api/probe/sql/{route}"), body(&attack)).await;
            if !is_refused(&answer) && !matches!(tried, Plans(..)) {
                wrong.push(format!("{function}: {attack}: {}", answer.text()));
            }
            if answer.text().contains("canary") {
                wrong.push(format!("{function}: {attack}: tells of another tenant"));
            }
        }
        assert_eq!(rows(&acme).await, json!([{ "name": "own", "amount": 1 }]), "{function}");
        assert_eq!(rows(&other).await, json!([{ "name": "canary", "amount": 1 }]), "{function}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
