//! What `wit-bindgen` makes of the contract in `wit/`. Everything else in this crate is built on it.

wit_bindgen::generate!({
    path: "../wit",
    world: "module",
    pub_export_macro: true,
    export_macro_name: "export_module",
    default_bindings_module: "hostel_sdk::bindings",
});
