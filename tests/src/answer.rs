//! What a platform answered.

use reqwest::header::HeaderMap;
use serde_json::Value;

/// A whole answer: status, headers, body.
#[derive(Debug)]
pub struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    pub(crate) async fn of(response: reqwest::Response) -> Result<Self, reqwest::Error> {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Self { status, headers, body: response.bytes().await?.to_vec() })
    }

    /// The status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// A header's values, when it is there more than once.
    pub fn headers(&self, name: &str) -> Vec<&str> {
        self.headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
    }

    /// The body.
    pub fn bytes(&self) -> &[u8] {
        &self.body
    }

    /// The body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {}: {}", self.status, self.text()))
    }

    /// The body of an answer that must have succeeded.
    ///
    /// # Panics
    /// When it did not.
    pub fn ok(&self) -> Value {
        assert!((200..300).contains(&self.status), "{}: {}", self.status, self.text());
        if self.body.is_empty() { Value::Null } else { self.json() }
    }

    /// Of an answer of `/metrics`: the values of the lines that begin with `name` and contain all of
    /// `labels`, summed.
    ///
    /// # Panics
    /// When there is no such answer, or a line has no value.
    pub fn figure(&self, name: &str, labels: &[&str]) -> f64 {
        assert_eq!(self.status, 200, "{}", self.text());
        let lines = self.text().lines().filter(|line| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']))
                && labels.iter().all(|label| line.contains(label))
        });
        lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    }

    /// The code of an answer that must be a problem, after its status: `404 not-found`.
    ///
    /// # Panics
    /// When it is none.
    pub fn code(&self) -> String {
        format!("{} {}", self.status, self.document()["code"].as_str().unwrap())
    }

    /// An answer that must be a problem, in full and without what differs from run to run.
    ///
    /// # Panics
    /// When it is none.
    pub fn problem(&self) -> String {
        let mut document = self.document();
        document["request_id"] = "[id]".into();
        serde_json::to_string_pretty(&document).unwrap()
    }

    /// What every problem has: RFC 9457's members, and those that name the request.
    fn document(&self) -> Value {
        let content_type = self.header("content-type");
        assert_eq!(content_type, Some("application/problem+json"), "{}", self.text());
        let document = self.json();
        assert_eq!(document["status"], self.status, "{document}");
        for member in ["type", "title", "detail", "instance", "code", "request_id"] {
            let text = document[member].as_str();
            assert!(text.is_some_and(|text| !text.is_empty()), "no `{member}` in {document}");
        }
        assert_eq!(document["request_id"].as_str(), self.header("x-request-id"));
        document
    }
}
