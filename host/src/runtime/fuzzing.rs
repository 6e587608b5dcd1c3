//! What fuzz targets make manifests for. What must hold is asserted here.

use super::manifest::Manifest;
use super::routes::{Match, RouteTable};
use crate::bindings::exports::hostel::module::guest as wit;

/// Checks what a module might say of itself.
///
/// # Panics
/// When a mistake is found.
pub fn manifest(said: wit::Manifest) {
    let Ok(manifest) = Manifest::check(said) else { return };
    let written = serde_json::to_vec(&manifest).expect("a manifest that was let through");
    let read: Manifest = serde_json::from_slice(&written).expect("what was written");
    assert_eq!(
        read.digest().expect("it can be written"),
        manifest.digest().expect("it can be written"),
        "kept, it is another"
    );
    let routes = RouteTable::new(&manifest.routes).expect("they were checked");
    for (index, route) in (0_u32..).zip(&manifest.routes) {
        // A pattern is a path, too: it is matched by itself, or by what is more exact than it.
        let path = route.path.replace(['{', '}', '*'], "");
        match routes.find(Some(route.method), &path) {
            Match::Route { .. } | Match::MethodNotAllowed { .. } => {}
            Match::NotFound => panic!("route {index} is not found at {path}"),
        }
    }
}
