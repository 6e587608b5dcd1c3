//! A module that asks for the total while it describes itself, when there is no tenant to ask for.

use hostel_sdk::prelude::*;

use self::bindings::acme::payments::payments;

#[allow(unsafe_code, missing_docs, clippy::all, reason = "generated from wit/")]
mod bindings {
    wit_bindgen::generate!({ path: "../../wit", world: "acme:payments/imports" });
}

hostel_sdk::module!(eager);

fn eager() -> Module {
    // Without a use of the total, the compiler would leave the call out, and the import with it.
    let summary = if payments::total() == 0 { "Sold nothing yet" } else { "Sells" };
    Module::new("eager", env!("CARGO_PKG_VERSION")).about(summary)
}
