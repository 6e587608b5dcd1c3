//! The guests that the build script made.

use std::path::Path;

/// The example module, as the binary carries it.
pub fn notes() -> &'static Path {
    Path::new(env!("HOSTEL_GUEST_NOTES"))
}

/// The module of the platform's own tenant, as the binary carries it.
pub fn tenants() -> &'static Path {
    Path::new(env!("HOSTEL_GUEST_TENANTS"))
}

/// The example with rules and two resources.
pub fn bookings() -> &'static Path {
    Path::new(env!("HOSTEL_GUEST_BOOKINGS"))
}

/// The guest with entities.
pub fn library() -> &'static Path {
    Path::new(env!("HOSTEL_GUEST_LIBRARY"))
}

/// The guest that does what a hostile or broken one does.
pub fn hostile() -> &'static Path {
    Path::new(env!("HOSTEL_GUEST_HOSTILE"))
}

/// The hostile guest with something to do before any request comes: `describe …`, `start …` or
/// `start sometimes …`.
pub fn hostile_from_the_start(script: &str) -> Vec<u8> {
    patched(hostile(), "describe and start as a module should, and no other way", script)
}

/// A migration for [`hostile_with_migrations`] that can be taken back.
pub fn reversible(up: &str, down: &str) -> String {
    format!("{up}\u{1}{down}")
}

/// The hostile guest with these migrations: `0000`, `0001` and so on.
///
/// # Panics
/// When there is no room for them.
pub fn hostile_with_migrations<'a>(scripts: impl IntoIterator<Item = &'a str>) -> Vec<u8> {
    let mark = b"here is room for migrations\0";
    let mut texts = Vec::new();
    for script in scripts {
        texts.extend_from_slice(script.as_bytes());
        texts.push(0);
    }
    let mut wasm = std::fs::read(hostile()).unwrap();
    let at = wasm.windows(mark.len()).position(|window| window == mark).unwrap();
    let room = &mut wasm[at..at + texts.len()];
    let is_free = room.iter().skip(mark.len()).all(|byte| *byte == b'.');
    assert!(is_free, "there is no room for {} bytes", texts.len());
    room.copy_from_slice(&texts);
    wasm
}

/// The guest that shows what a guest sees.
pub fn probe() -> &'static Path {
    Path::new(env!("HOSTEL_GUEST_PROBE"))
}

/// A guest in which one text is replaced by another of at most the same length, filled up with
/// spaces: another version of a script or a message, without another crate.
///
/// # Panics
/// When the text is not in it exactly once, or the new one is longer.
pub fn patched(guest: &Path, text: &str, by: &str) -> Vec<u8> {
    assert!(by.len() <= text.len(), "{by:?} is longer than {text:?}");
    let mut wasm = std::fs::read(guest).unwrap();
    let places: Vec<usize> = wasm
        .windows(text.len())
        .enumerate()
        .filter_map(|(at, window)| (window == text.as_bytes()).then_some(at))
        .collect();
    let &[at] = places.as_slice() else {
        panic!("{text:?} is {} times in {}", places.len(), guest.display());
    };
    let filled = format!("{by:<width$}", width = text.len());
    wasm[at..at + text.len()].copy_from_slice(filled.as_bytes());
    wasm
}
