//! Sends what a test says.

use hostel_sdk::bindings::hostel::http_client::http_client as host;
use hostel_sdk::prelude::*;

use crate::capabilities::reveal;

/// A request, as the contract has it.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Call {
    #[serde(default = "get")]
    method: String,
    url: String,
    #[serde(default)]
    headers: Vec<(String, String)>,
    /// Header, prefix and secret.
    #[serde(default)]
    secrets: Vec<(String, String, String)>,
    #[serde(default)]
    body: String,
    timeout_ms: Option<u32>,
    /// How often it is sent; the last answer counts.
    #[serde(default = "once")]
    times: u32,
}

fn get() -> String {
    "GET".to_owned()
}

fn once() -> u32 {
    1
}

/// What a guest gets.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Answered {
    status: u16,
    url: String,
    headers: Vec<(String, String)>,
    body: String,
}

pub(crate) fn call(Json(call): Json<Call>) -> Result<Json<Answered>, Problem> {
    let secrets = call.secrets.into_iter();
    let request = host::Request {
        method: call.method,
        url: call.url,
        headers: call.headers,
        secrets: secrets
            .map(|(header, prefix, secret)| host::SecretHeader { header, secret, prefix })
            .collect(),
        body: call.body.into_bytes(),
        timeout_ms: call.timeout_ms,
    };
    for _ in 1..call.times {
        host::send(&request).map_err(reveal)?;
    }
    let host::Response { status, url, headers, body } = host::send(&request).map_err(reveal)?;
    let body = String::from_utf8_lossy(&body).into_owned();
    Ok(Json(Answered { status, url, headers, body }))
}
