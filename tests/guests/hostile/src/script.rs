//! What it does before any request comes. Tests write another script over the one that is compiled
//! in.

#![expect(
    unsafe_code,
    reason = "the script is read as it is in the file, and what runs at the start is named in a section of its own"
)]

use std::hash::{BuildHasher as _, RandomState};
use std::hint::black_box;

use hostel_sdk::prelude::*;
use hostel_sdk::{Migration, clock};

use crate::{descriptions, ends, memory, time};

/// `describe …`, `start …` or `start sometimes …`, and then what: the name of a route, or one of those below.
static SCRIPT: [u8; 55] = *b"describe and start as a module should, and no other way";

/// Where tests put the module's migrations, each up to a zero byte; what follows a byte of 1 in one is
/// its way back. There are none in the file.
const MIGRATIONS_BYTES: usize = 64 * 1024;
static MIGRATIONS: [u8; MIGRATIONS_BYTES] = {
    let mut room = [b'.'; MIGRATIONS_BYTES];
    let mark = *b"here is room for migrations\0";
    let mut at = 0;
    while at < mark.len() {
        room[at] = mark[at];
        at += 1;
    }
    room
};

pub(crate) fn with_migrations(module: Module) -> Module {
    // The compiler must not know what is in it.
    let room: &[u8] = black_box(&MIGRATIONS);
    let mut texts: Vec<&[u8]> = room.split(|byte| *byte == 0).collect();
    // What follows the last one.
    texts.pop();
    if texts.first().is_some_and(|text| text.starts_with(b"here is room")) {
        return module;
    }
    let steps: Vec<Migration> = texts
        .iter()
        .enumerate()
        .map(|(n, text)| {
            let text: &str = String::from_utf8_lossy(text).into_owned().leak();
            let (up, down) = text.split_once('\u{1}').unwrap_or((text, ""));
            Migration::portable(format!("{n:04}").leak(), up, down)
        })
        .collect();
    module.migrations(steps.leak())
}

/// The words of the script after these.
fn said(begin: &str) -> Option<String> {
    // SAFETY: it is a valid static. The compiler must not know what is in it.
    let script = unsafe { std::ptr::read_volatile(&raw const SCRIPT) };
    let script = std::str::from_utf8(&script).unwrap_or_default();
    script.strip_prefix(begin).map(|what| what.trim().to_owned())
}

/// Called by the C runtime when an instance starts, before any export is.
#[used]
#[unsafe(link_section = ".init_array")]
static AT_START: extern "C" fn() = at_start;

extern "C" fn at_start() {
    if let Some(what) = said("start sometimes ") {
        // Drawn anew for each instance.
        if RandomState::new().hash_one(0).is_multiple_of(4) {
            misbehave(&what);
        }
    } else if let Some(what) = said("start ") {
        misbehave(&what);
    }
}

pub(crate) fn while_describing(module: Module) -> Module {
    match said("describe ").as_deref() {
        None => module,
        Some(what) if what.starts_with("and ") => module,
        Some("many routes") => (0..100_000).fold(module, |module, n| {
            module.route(get(format!("/more/{n}").leak(), ends::panic).public())
        }),
        Some("a long summary") => module.about("long ".repeat(4 * 1024 * 1024).leak()),
        Some(what) => {
            let (module, is_described) = descriptions::with(module, what);
            if !is_described {
                misbehave(what);
            }
            module
        }
    }
}

fn misbehave(what: &str) {
    match what {
        "spin" => drop(time::spin()),
        "fill" => drop(time::fill()),
        "sleep" => std::thread::sleep(std::time::Duration::MAX),
        "pieces" => drop(memory::pieces()),
        "recurse" => drop(memory::recurse()),
        "panic" => drop(ends::panic()),
        "abort" => drop(ends::abort()),
        "exit" => drop(ends::exit()),
        "call" => drop(black_box(clock::now())),
        other => panic!("there is no such attack: {other}"),
    }
}
