//! What may go wrong with an operation, by status: what the host answers, and what a module says that
//! it does.

use std::collections::BTreeMap;

use http::StatusCode;
use serde_json::{Map, Value, json};

use super::Shape;
use super::components::Components;
use super::operation::content;
use crate::runtime::{Access, Route};

/// Codes and when they are answered, by status.
pub(super) struct Problems {
    of: Callers,
    by_status: BTreeMap<u16, Vec<Problem>>,
}

/// Who may call: what is common to those operations is named after them.
#[derive(Clone, Copy)]
pub(super) enum Callers {
    /// Those who hold a permission.
    Permitted,
    Everybody,
    Operators,
}

struct Problem {
    code: String,
    summary: String,
    /// The host's, of any route.
    is_common: bool,
}

impl Problems {
    /// None yet.
    pub(super) fn of(callers: Callers) -> Self {
        Self { of: callers, by_status: BTreeMap::new() }
    }

    /// Adds one that any operation of its kind may have.
    pub(super) fn common(mut self, status: u16, code: &str, summary: &str) -> Self {
        self.add(status, code, summary, true);
        self
    }

    fn add(&mut self, status: u16, code: &str, summary: &str, is_common: bool) {
        let known = self.by_status.entry(status).or_default();
        if known.iter().all(|one| one.code != code) {
            known.push(Problem { code: code.to_owned(), summary: summary.to_owned(), is_common });
        }
    }

    /// The responses by status. Those that several operations have are components.
    pub(super) fn into_responses(self, components: &mut Components) -> Map<String, Value> {
        let mut responses = Map::new();
        if self.by_status.is_empty() {
            return responses;
        }
        for (status, problems) in self.by_status {
            // What makes a request a bad one differs from route to route.
            let own = problems.iter().filter(|problem| !problem.is_common || status == 400);
            let own: String = own.map(|problem| format!(".{}", problem.code)).collect();
            let callers = match (self.of, status) {
                (Callers::Everybody, 401 | 403) => "Public",
                (Callers::Operators, _) => "Operators",
                _ => "",
            };
            let response = response(status, &problems);
            let named = components.response(format!("Problem{status}{callers}{own}"), response);
            responses.insert(status.to_string(), named);
        }
        responses.insert("default".to_owned(), json!({ "$ref": "#/components/responses/Problem" }));
        responses
    }
}

/// What the host may answer to any request of a route, and what the route adds.
pub(super) fn of_route(shape: &Shape<'_>, route: &Route, has_parameters: bool) -> Problems {
    let is_public = route.access == Access::Public;
    let callers = if is_public { Callers::Everybody } else { Callers::Permitted };
    let mut problems = Problems::of(callers)
        .common(401, "invalid-credentials", "The credentials are known to nobody here")
        .common(403, "tenant-suspended", "The tenant is suspended")
        .common(404, "tenant-not-found", "There is no such tenant")
        .common(429, "tenant-busy", "The tenant has as many requests at once as it may")
        .common(429, "tenant-cpu-limit", "The tenant has used up its processor time of this minute")
        .common(503, "host-busy", "Too many requests run at once")
        .common(503, "database", "The database does not answer");
    if !is_public {
        let who = "The permission is not everybody's: say who is calling";
        problems = problems.common(401, "unauthenticated", who);
        problems = problems.common(403, "denied", "The caller does not hold the permission");
    }
    if !shape.names_no_tenant() {
        problems = problems.common(400, "tenant-missing", "The request names no tenant");
    }
    if has_parameters {
        problems = problems.common(400, "invalid-path", "The path is not encoded UTF-8");
    }
    if route.request_type.is_some() {
        problems = problems.common(408, "body-timeout", "The body took too long to arrive");
    }
    for own in &route.problems {
        problems.add(own.status, &own.code, &own.summary, false);
    }
    problems
}

fn response(status: u16, problems: &[Problem]) -> Value {
    let mut description = reason(status).to_owned();
    for Problem { code, summary, .. } in problems {
        description.push_str(&format!("\n- `{code}`: {summary}."));
    }
    let mut value = problem(description);
    match status {
        401 => value["headers"]["www-authenticate"] = json!({ "schema": { "type": "string" } }),
        429 | 503 => {
            value["headers"]["retry-after"] = json!({ "$ref": "#/components/headers/RetryAfter" });
        }
        _ => {}
    }
    value
}

/// A response that is a problem.
pub(super) fn problem(description: String) -> Value {
    let schema = json!({ "$ref": "#/components/schemas/Problem" });
    json!({
        "description": description,
        "headers": { "x-request-id": { "$ref": "#/components/headers/RequestId" } },
        "content": content("application/problem+json", Some(schema)),
    })
}

/// What HTTP calls a status.
pub(super) fn reason(status: u16) -> &'static str {
    let status = StatusCode::from_u16(status).ok();
    status.and_then(|status| status.canonical_reason()).unwrap_or("An answer")
}
