//! The platform's own operations, in the same words as modules'.

use serde_json::{Value, json};

use super::components::Components;
use super::operation::{Operation, content, query_parameters};
use super::problems::{Callers, Problems, reason};
use crate::http::health::{Health, Readiness};
use crate::http::metrics::MEDIA_TYPE;
use crate::http::operator::{QuarantinePage, QuarantineParameters, UsagePage, UsageParameters};

/// No module's name has a capital letter.
pub(super) const TAG: &str = "Platform";
const JSON: &str = "application/json";

/// All of them.
pub(super) fn operations(components: &mut Components) -> Vec<Operation> {
    let ready = components.own::<Readiness>();
    vec![
        Operation {
            success: (200, answer(200, JSON, components.own::<Health>())),
            ..operation("/health/live", "health_live", "Whether the process runs")
        },
        Operation {
            success: (200, answer(200, JSON, ready.clone())),
            other: Some((503, answer(503, JSON, ready))),
            ..operation("/health/ready", "health_ready", "Whether requests can be served")
        },
        Operation {
            success: (200, answer(200, MEDIA_TYPE, json!({ "type": "string" }))),
            problems: of_operators(),
            security: json!([{}, { "bearer": [] }]),
            ..operation(
                "/metrics",
                "metrics",
                "What was counted, for programs on this machine and for operators",
            )
        },
        Operation {
            success: (200, answer(200, JSON, json!({ "type": "object" }))),
            parameters: vec![json!({ "$ref": "#/components/parameters/Tenant" })],
            problems: Problems::of(Callers::Everybody)
                .common(403, "tenant-suspended", "The tenant is suspended")
                .common(404, "tenant-not-found", "There is no such tenant"),
            ..operation("/openapi.json", "openapi", "This description of the tenant's API")
        },
        listed(
            answer(200, JSON, components.own::<QuarantinePage>()),
            query_parameters(&Components::own_inline::<QuarantineParameters>()),
            operation(
                "/platform/v1/quarantine",
                "quarantine",
                "Modules that tenants are not served, because a migration failed or was taken back, for operators",
            ),
        ),
        listed(
            answer(200, JSON, components.own::<UsagePage>()),
            query_parameters(&Components::own_inline::<UsageParameters>()),
            operation(
                "/platform/v1/usage",
                "usage",
                "What was used, by day (UTC), tenant and module, for operators",
            ),
        ),
    ]
}

/// One that lists something to operators.
fn listed(answer: Value, parameters: Vec<Value>, operation: Operation) -> Operation {
    Operation {
        success: (200, answer),
        parameters,
        problems: of_operators().common(400, "invalid-query", "A parameter is not valid").common(
            404,
            "tenant-not-found",
            "There is no such tenant",
        ),
        security: json!([{ "bearer": [] }]),
        ..operation
    }
}

/// One that everybody may call, and that takes nothing.
fn operation(path: &str, id: &str, summary: &str) -> Operation {
    Operation {
        path: path.to_owned(),
        method: "get",
        id: id.to_owned(),
        summary: summary.to_owned(),
        tags: vec![TAG.to_owned()],
        security: json!([]),
        parameters: Vec::new(),
        request: None,
        success: (200, Value::Null),
        other: None,
        problems: Problems::of(Callers::Everybody),
    }
}

fn answer(status: u16, media_type: &str, schema: Value) -> Value {
    json!({ "description": reason(status), "content": content(media_type, Some(schema)) })
}

fn of_operators() -> Problems {
    Problems::of(Callers::Operators)
        .common(401, "invalid-credentials", "These credentials are not the operator's")
        .common(401, "unauthenticated", "This needs the operator's token")
}
