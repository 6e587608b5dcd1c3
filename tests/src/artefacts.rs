//! Compiled guests that all tests share, so that each is compiled once per build and not per test.
//!
//! A platform only maps artefacts that bear its key's MAC, so every test platform has the same key.
//! Files are linked, not copied: the host replaces artefacts and never writes into one.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use hostel::Platform;

/// The key of every test platform.
pub const PLATFORM_KEY: &str = "7e577e577e577e577e577e577e577e577e577e577e577e577e577e577e577e57";

/// Beside the guests, so that it goes when they do.
fn shared() -> PathBuf {
    Path::new(env!("OUT_DIR")).join("artefacts")
}

/// Puts what is known of the guests into a data folder that has no artefacts yet.
pub(crate) async fn seed(data: &Path) {
    let shared = shared();
    compile_once(&shared).await;
    let into = data.join("artefacts");
    fs::create_dir_all(&into).unwrap();
    for entry in fs::read_dir(shared.join("artefacts")).unwrap() {
        let from = entry.unwrap().path();
        let to = into.join(from.file_name().unwrap());
        // Across file systems there are no links.
        if fs::hard_link(&from, &to).is_err() {
            fs::copy(&from, &to).unwrap();
        }
    }
}

/// Has a platform compile the guests, unless one did after they were last built.
async fn compile_once(shared: &Path) {
    let done = shared.join("done");
    fs::create_dir_all(shared).unwrap();
    let lock = File::create(shared.join("lock")).unwrap();
    // Tests are processes of their own, and all of them come here at once.
    lock.lock().unwrap();
    let guests = [
        super::notes(),
        super::tenants(),
        super::bookings(),
        super::probe(),
        super::library(),
        super::hostile(),
    ];
    let guests_are_old = guests.iter().all(|guest| is_newer(&done, guest));
    // Another program may have another engine, whose artefacts bear other names.
    if guests_are_old && is_newer(&done, &std::env::current_exe().unwrap()) {
        return;
    }
    if !guests_are_old {
        let _ = fs::remove_dir_all(shared.join("artefacts"));
    }
    let built = Platform::builder()
        .config_toml(&format!("data = {shared:?}\n[platform]\nkey = '{PLATFORM_KEY}'"))
        .unwrap()
        .system_module("notes", fs::read(super::notes()).unwrap())
        .system_module("tenants", fs::read(super::tenants()).unwrap())
        .module_file(super::bookings())
        .module_file(super::probe())
        .module_file(super::library())
        .module_file(super::hostile())
        .build()
        .await;
    // A guest that does not load is a matter for the tests that serve it.
    if built.is_ok() {
        fs::write(&done, "").unwrap();
    }
    fs::create_dir_all(shared.join("artefacts")).unwrap();
}

fn is_newer(file: &Path, than: &Path) -> bool {
    let modified = |path: &Path| fs::metadata(path).and_then(|of| of.modified());
    match (modified(file), modified(than)) {
        (Ok(file), Ok(than)) => file > than,
        _ => false,
    }
}
