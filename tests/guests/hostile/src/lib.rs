//! What a hostile or broken guest does, a route for each.
//!
//! `time` computes and sleeps, `memory` takes and recurses, `ends` are ways not to answer, `answers`
//! are answers that must not be sent, `boundary` hands the host what it should not take. `allocator`
//! misbehaves where the host itself allocates in the guest, `script` before any request comes, and
//! `descriptions` are what no API should say of itself.

mod allocator;
mod answers;
mod boundary;
mod descriptions;
mod ends;
mod memory;
mod script;
mod time;

use std::sync::atomic::{AtomicU64, Ordering};

use hostel_sdk::prelude::*;

hostel_sdk::module!(hostile);

fn hostile() -> Module {
    let module = Module::new("hostile", env!("CARGO_PKG_VERSION"))
        .about("Does what a hostile or broken guest does")
        .route(get("/counter", counter).public())
        .route(post("/body", body).public());
    let module = with_ends(module);
    let module = with_consumption(module);
    let module = with_answers(module);
    script::while_describing(script::with_migrations(with_boundary(module)))
}

fn with_ends(module: Module) -> Module {
    module
        .route(get("/panic", ends::panic).public())
        .route(get("/abort", ends::abort).public())
        .route(get("/exit", ends::exit).public())
        .route(get("/unreachable", ends::unreachable).public())
        .route(get("/trap-afterwards", ends::trap_afterwards).public())
}

fn with_consumption(module: Module) -> Module {
    module
        .route(get("/spin", time::spin).public())
        .route(get("/fill", time::fill).public())
        .route(get("/calls", time::calls).public())
        .route(get("/sleep", time::sleep).public())
        .route(get("/alloc", memory::alloc).public())
        .route(get("/pieces", memory::pieces).public())
        .route(get("/recurse", memory::recurse).public())
}

fn with_answers(module: Module) -> Module {
    module
        .route(get("/huge", answers::huge).public())
        .route(get("/header", answers::header).public())
        .route(get("/headers", answers::headers).public())
        .route(get("/status/{status}", answers::status).public())
        .route(get("/problem", answers::problem).public())
        .route(get("/no-utf8", answers::no_utf8).public())
}

fn with_boundary(module: Module) -> Module {
    module
        .route(get("/handles", boundary::handles).public())
        .route(get("/transactions", boundary::transactions).public())
        .route(get("/nested", boundary::nested).public())
        .route(get("/streams", boundary::streams).public())
        .route(get("/batch", boundary::batch).public())
        .route(get("/hold", boundary::hold).public())
        .route(get("/log", boundary::log).public())
        .route(get("/print", boundary::print).public())
        .route(get("/text", boundary::text).public())
        .route(get("/list", boundary::list).public())
        .route(get("/statement", boundary::statement).public())
        .route(get("/random", boundary::random).public())
        .route(get("/log-no-utf8", boundary::log_no_utf8).public())
}

/// How many of something, as `?count=…`.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct Many {
    pub(crate) count: u64,
}

/// An amount, as `?mib=…`.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct Size {
    mib: usize,
}

impl Size {
    /// As many bytes, each page of which is really touched.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        vec![b'x'; self.mib.saturating_mul(1024 * 1024)]
    }
}

/// How many requests this instance has counted.
#[derive(Serialize, JsonSchema)]
struct Count {
    count: u64,
}

/// Answers 1 each time, as long as each request gets an instance of its own.
fn counter() -> Json<Count> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    Json(Count { count: COUNT.fetch_add(1, Ordering::Relaxed) + 1 })
}

/// Takes what is sent: the host allocates it in here.
fn body(body: Body) -> Result<Json<Count>, Problem> {
    Ok(Json(Count { count: body.read_to_end()?.len() as u64 }))
}
