//! Modules that misbehave before any request comes: while they are looked at, started or asked what
//! they are.

use std::fmt::Write as _;

use hostel_tests::{TestPlatform, hostile, hostile_from_the_start};
use insta::assert_snapshot;
use wasmparser::{Parser, Payload};

/// Enough to take all memory that there may be.
const LIMITS: &str = "[limits]\ncpu_ms = 1000";

/// Why a platform does not start with this, without the folder.
async fn refusal(wasm: &[u8], limits: &str) -> String {
    match TestPlatform::setup().hostile_is(wasm).config(limits).try_start().await {
        Ok(_) => "served".to_owned(),
        Err(error) => {
            let message = error.to_string();
            let (_, after) = message.split_once("hostile.wasm: ").unwrap_or(("", &message));
            after.to_owned()
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_module_that_does_not_describe_itself_within_its_limits_is_refused() {
    let mut told = String::new();
    for script in [
        "describe spin",
        "describe fill",
        "describe pieces",
        "describe recurse",
        "describe panic",
        "describe call",
        "describe many routes",
        "describe a long summary",
        "describe a reference that leads out",
        "describe a schema that is none",
        "describe a schema of another base",
        "describe a path of no URL",
        "describe one name twice",
        "describe a problem of no code",
        "start spin",
        "start pieces",
        "start abort",
    ] {
        let refusal = refusal(&hostile_from_the_start(script), LIMITS).await;
        writeln!(told, "{script} → {refusal}").unwrap();
    }
    assert_snapshot!("described", told);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_module_that_sleeps_while_it_describes_itself_is_refused() {
    let asleep = hostile_from_the_start("describe sleep");
    let refusal = refusal(&asleep, "[limits]\ncall_timeout_ms = 300").await;
    assert_eq!(refusal, "`describe` did not end within 300ms");
}

/// The hostile guest with core modules beside its own: they are instantiated with it.
fn with_parts(parts: &[&str]) -> Vec<u8> {
    let mut wasm = std::fs::read(hostile()).unwrap();
    let mut depth = 0;
    let mut own = 0;
    for payload in Parser::new(0).parse_all(&wasm) {
        match payload.unwrap() {
            Payload::ModuleSection { .. } => {
                own += u32::from(depth == 0);
                depth += 1;
            }
            Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            _ => {}
        }
    }
    let mut text = String::from("(component");
    for (index, part) in parts.iter().enumerate() {
        let index = own as usize + index;
        write!(text, "(core module {part}) (core instance (instantiate {index}))").unwrap();
    }
    text.push(')');
    // The sections of a component follow its header of eight bytes, in any order.
    wasm.extend_from_slice(&wat::parse_str(&text).unwrap()[8..]);
    wasm
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_module_that_needs_more_than_an_instance_gets_is_refused() {
    let mut told = String::new();
    let small = "(table 1 funcref)";
    let cases: [(&str, Vec<&str>); 8] = [
        ("a small part", vec![small]),
        ("a loop at the start of a part", vec!["(func $f (loop br 0)) (start $f)"]),
        ("a trap at the start of a part", vec!["(func $f unreachable) (start $f)"]),
        ("a second memory", vec!["(memory 1)"]),
        ("a memory of 2 GiB", vec!["(memory 32768)"]),
        ("a table of a million", vec!["(table 1000000 funcref)"]),
        ("many tables", vec![small; 9]),
        ("many parts", vec!["(func)"; 60]),
    ];
    for (what, parts) in cases {
        writeln!(told, "{what} → {}", refusal(&with_parts(&parts), LIMITS).await).unwrap();
    }
    assert_snapshot!("parts", told);
}

/// A part that traps, and is not served, unless its table grows to its limit and no further.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_does_not_grow_beyond_its_limit() {
    let grows = "(table 1 funcref)
        (func $f
            (if (i32.eq (table.grow (ref.null func) (i32.const 19000)) (i32.const -1)) (then unreachable))
            (if (i32.ne (table.grow (ref.null func) (i32.const 10000)) (i32.const -1)) (then unreachable))
            (if (i32.ne (table.grow (ref.null func) (i32.const 2000000000)) (i32.const -1)) (then unreachable)))
        (start $f)";
    assert_eq!(refusal(&with_parts(&[grows]), LIMITS).await, "served");
}
