//! The contract in `wit/`, as Rust: generated, and nothing else.

#![allow(missing_docs, reason = "generated; the documentation is in wit/")]
#![allow(clippy::all, clippy::too_many_lines, reason = "generated")]

wasmtime::component::bindgen!({
    path: "../wit",
    world: "hostel:module/module",
    imports: {
        "hostel:http": async | trappable,
        "hostel:http-client": async | trappable,
        "hostel:lookups": async | trappable,
        "hostel:sql/sql.current-dialect": trappable,
        "hostel:sql": async | trappable,
        "hostel:tenancy/admin": async | trappable,
        "hostel:tenancy/secrets": async | trappable,
        default: trappable,
    },
    exports: { default: async },
    with: {
        "hostel:http/types.body": crate::capabilities::http::IncomingBody,
        "hostel:http/types.multipart": crate::capabilities::http::Multipart,
        "hostel:http/types.blob": crate::capabilities::http::Blob,
        "hostel:http/types.outgoing-stream": crate::capabilities::http::OutgoingStream,
        "hostel:sql/sql.cursor": crate::capabilities::sql::Cursor,
        "hostel:sql/sql.transaction": crate::capabilities::sql::Transaction,
    },
    trappable_error_type: {
        "hostel:error/types.error" => crate::error::Error,
    },
});
