//! What `wit-bindgen` makes of the contract in `wit/`; the rest of this crate gives it a shape that
//! is pleasant in Rust. Public for [`module!`](crate::module!) and for what the SDK does not cover.

wit_bindgen::generate!({
    path: "../wit",
    world: "module",
    generate_all,
    pub_export_macro: true,
    export_macro_name: "export_module",
    default_bindings_module: "hostel_sdk::bindings",
});
