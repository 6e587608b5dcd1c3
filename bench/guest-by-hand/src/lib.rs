//! The small answer of the benchmarks, written against the bindings alone: what it takes less than
//! the guest beside it is what the SDK costs.

use hostel_sdk::bindings::exports::hostel::module::guest;
use hostel_sdk::bindings::hostel::http::types::ResponseBody;
use serde::Serialize;

struct ByHand;

#[derive(Serialize)]
struct Greeting {
    hello: String,
    language: &'static str,
    words: u32,
}

impl guest::Guest for ByHand {
    fn describe() -> guest::Manifest {
        guest::Manifest {
            name: "bench".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            summary: "What the benchmarks call, without the SDK".to_owned(),
            routes: vec![guest::Route {
                method: guest::Method::Get,
                path: "/hello/{name}".to_owned(),
                access: guest::Access::Public,
                operation_id: None,
                summary: "A small answer without I/O".to_owned(),
                tags: Vec::new(),
                path_schema: None,
                query_schema: None,
                request_type: None,
                request_schema: None,
                response_type: None,
                response_schema: None,
                response_headers: Vec::new(),
                success_status: 200,
                problems: Vec::new(),
                body_max_bytes: None,
                timeout_ms: None,
                etag: false,
            }],
            permissions: Vec::new(),
            migrations: Vec::new(),
            settings: Vec::new(),
            entities: Vec::new(),
            outbound_hosts: Vec::new(),
            seeds: Vec::new(),
        }
    }

    fn handle(mut request: guest::Request) -> Result<guest::Response, guest::Problem> {
        let (0, Some(name)) = (request.route, request.parameters.pop()) else {
            return Err(problem(404, "not-found"));
        };
        let greeting = Greeting { hello: name, language: "en", words: 2 };
        let json = serde_json::to_vec(&greeting).map_err(|_| problem(500, "internal"))?;
        Ok(guest::Response { status: 200, headers: Vec::new(), body: ResponseBody::Json(json) })
    }
}

fn problem(status: u16, code: &str) -> guest::Problem {
    guest::Problem {
        status,
        code: code.to_owned(),
        detail: String::new(),
        errors: Vec::new(),
        extensions: Vec::new(),
    }
}

// Native linkers refuse the names of a component's exports.
#[cfg(target_family = "wasm")]
hostel_sdk::bindings::export_module!(ByHand with_types_in hostel_sdk::bindings);
#[cfg(not(target_family = "wasm"))]
const _: fn() -> guest::Manifest = <ByHand as guest::Guest>::describe;
