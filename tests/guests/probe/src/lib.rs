//! probe
use hostel_sdk::bindings::{self, exports::hostel::module::guest::*};
struct G;
impl Guest for G {
    fn describe() -> Manifest { Manifest { name: String::new(), version: String::new(), summary: String::new(), routes: vec![], permissions: vec![], migrations: vec![], settings: vec![] } }
    fn handle(r: Request) -> Result<Response, Problem> { Err(Problem { status: 404, code: r.path, detail: String::new(), errors: vec![] }) }
}
bindings::export_module!(G with_types_in bindings);
