//! Calls of other services over HTTP.
//!
//! A module declares which hosts it calls, and why, with [`Module::calls`](crate::Module::calls); the
//! platform's operator allows them (`http_client.allow`). Keys for them are secrets of the tenant:
//! the host puts them into a header, and the module never holds them.
//!
//! ```
//! # use hostel_sdk::prelude::*;
//! use std::collections::BTreeMap;
//!
//! use hostel_sdk::http_client;
//!
//! fn shop() -> Module {
//!     Module::new("shop", "1.0.0")
//!         .calls("api.example.org", "to ask for rates")
//!         .route(get("/rates", rates).public())
//! }
//!
//! fn rates() -> Result<Json<BTreeMap<String, f64>>, Problem> {
//!     let rates = http_client::get("https://api.example.org/rates")
//!         .query("base", "EUR")
//!         .secret("authorization", "Bearer ", "RATES_KEY")
//!         .send()?
//!         .json()?;
//!     Ok(Json(rates))
//! }
//! # assert_eq!(shop().manifest().outbound_hosts[0].host, "api.example.org");
//! ```
//!
//! The operator gives each tenant its key: `hostel tenant secret set acme RATES_KEY`. In tests,
//! `hostel_sdk::testing::Fake` answers in the service's place.
//!
//! An answer of any status is an answer; an [`Error`] says that there is none, and why.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::hostel::http_client::http_client as host;
use crate::{Error, ErrorKind};

/// Begins a `GET`.
///
/// ```
/// # use hostel_sdk::{Error, http_client};
/// fn terms() -> Result<String, Error> {
///     Ok(http_client::get("https://example.org/terms").send()?.ok()?.text()?.to_owned())
/// }
/// # let _ = terms;
/// ```
pub fn get(url: impl Into<String>) -> Request {
    request("GET", url)
}

/// Begins a `HEAD`.
///
/// ```
/// # use hostel_sdk::{Error, http_client};
/// fn is_there(url: &str) -> Result<bool, Error> {
///     Ok(http_client::head(url).send()?.is_success())
/// }
/// # let _ = is_there;
/// ```
pub fn head(url: impl Into<String>) -> Request {
    request("HEAD", url)
}

/// Begins a `POST`.
///
/// ```
/// # use hostel_sdk::prelude::*;
/// # use hostel_sdk::http_client;
/// #[derive(Serialize)]
/// struct Order<'a> {
///     article: &'a str,
/// }
///
/// fn order(article: &str) -> Result<u16, Error> {
///     let order = http_client::post("https://example.org/orders").json(&Order { article });
///     Ok(order.send()?.status())
/// }
/// # let _ = order;
/// ```
pub fn post(url: impl Into<String>) -> Request {
    request("POST", url)
}

/// Begins a `PUT`.
///
/// ```
/// # use hostel_sdk::{Error, http_client};
/// fn keep(logo: Vec<u8>) -> Result<(), Error> {
///     http_client::put("https://example.org/logo").body("image/png", logo).send()?.ok()?;
///     Ok(())
/// }
/// # let _ = keep;
/// ```
pub fn put(url: impl Into<String>) -> Request {
    request("PUT", url)
}

/// Begins a `PATCH`.
///
/// ```
/// # use hostel_sdk::{Error, http_client};
/// fn close(url: &str) -> Result<(), Error> {
///     http_client::patch(url).form(&[("state", "closed")]).send()?.ok()?;
///     Ok(())
/// }
/// # let _ = close;
/// ```
pub fn patch(url: impl Into<String>) -> Request {
    request("PATCH", url)
}

/// Begins a `DELETE`.
///
/// ```
/// # use hostel_sdk::{Error, http_client};
/// fn forget(url: &str) -> Result<(), Error> {
///     http_client::delete(url).send()?.ok()?;
///     Ok(())
/// }
/// # let _ = forget;
/// ```
pub fn delete(url: impl Into<String>) -> Request {
    request("DELETE", url)
}

/// Begins a request with any method but `CONNECT` and `TRACE`.
///
/// ```
/// # use hostel_sdk::{Error, http_client};
/// fn methods(url: &str) -> Result<Option<String>, Error> {
///     let answer = http_client::request("OPTIONS", url).send()?;
///     Ok(answer.header("allow").map(str::to_owned))
/// }
/// # let _ = methods;
/// ```
pub fn request(method: impl Into<String>, url: impl Into<String>) -> Request {
    Request {
        said: host::Request {
            method: method.into(),
            url: url.into(),
            headers: Vec::new(),
            secrets: Vec::new(),
            body: Vec::new(),
            timeout_ms: None,
        },
        wrong: None,
    }
}

/// A request in the making; [`send`](Self::send) sends it.
///
/// ```
/// # use hostel_sdk::http_client::{self, Request};
/// fn to_the_api(path: &str) -> Request {
///     http_client::get(format!("https://api.example.org{path}"))
///         .header("accept", "application/json")
///         .secret("x-api-key", "", "API_KEY")
/// }
/// # let _ = to_the_api;
/// ```
#[derive(Clone, Debug)]
#[must_use = "it is sent by `send`"]
pub struct Request {
    said: host::Request,
    /// What could not be written.
    wrong: Option<Error>,
}

impl Request {
    /// Adds a header. Those of the connection, `host` and `content-length` are the host's.
    ///
    /// ```
    /// # use hostel_sdk::http_client;
    /// let request = http_client::get("https://example.org/").header("accept-language", "de");
    /// # let _ = request;
    /// ```
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.said.headers.push((name.into(), value.into()));
        self
    }

    /// Has the host put a secret of the tenant into a header, after a prefix that may be empty. The
    /// module never sees it; another host, to which the service may redirect, never gets it.
    ///
    /// ```
    /// # use hostel_sdk::http_client;
    /// let request = http_client::get("https://api.example.org/rates")
    ///     .secret("authorization", "Bearer ", "RATES_KEY");
    /// # let _ = request;
    /// ```
    pub fn secret(
        mut self,
        header: impl Into<String>,
        prefix: impl Into<String>,
        secret: impl Into<String>,
    ) -> Self {
        let (header, secret, prefix) = (header.into(), secret.into(), prefix.into());
        self.said.secrets.push(host::SecretHeader { header, secret, prefix });
        self
    }

    /// Adds a parameter to the query, encoded.
    ///
    /// ```
    /// # use hostel_sdk::http_client;
    /// let request = http_client::get("https://example.org/search").query("title", "Milk & honey");
    /// # let _ = request;
    /// ```
    pub fn query(mut self, name: &str, value: impl ToString) -> Self {
        let url = &mut self.said.url;
        url.push(if url.contains('?') { '&' } else { '?' });
        let length = url.len();
        self.said.url = form_urlencoded::Serializer::for_suffix(std::mem::take(url), length)
            .append_pair(name, &value.to_string())
            .finish();
        self
    }

    /// Sends JSON.
    ///
    /// ```
    /// # use hostel_sdk::http_client;
    /// let request = http_client::post("https://example.org/orders").json(&vec!["tea", "milk"]);
    /// # let _ = request;
    /// ```
    pub fn json(mut self, body: &impl Serialize) -> Self {
        match serde_json::to_vec(body) {
            Ok(body) => self.body("application/json", body),
            Err(why) => {
                self.wrong = Some(error(ErrorKind::Invalid, format!("the body is no JSON: {why}")));
                self
            }
        }
    }

    /// Sends a form.
    ///
    /// ```
    /// # use hostel_sdk::http_client;
    /// let request = http_client::post("https://example.org/token")
    ///     .form(&[("grant_type", "refresh_token"), ("scope", "rates")]);
    /// # let _ = request;
    /// ```
    pub fn form(self, fields: &[(&str, &str)]) -> Self {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.body("application/x-www-form-urlencoded", body)
    }

    /// Sends these bytes.
    ///
    /// ```
    /// # use hostel_sdk::http_client;
    /// let request = http_client::put("https://example.org/table").body("text/csv", "a,b\n1,2\n");
    /// # let _ = request;
    /// ```
    pub fn body(mut self, content_type: impl Into<String>, body: impl Into<Vec<u8>>) -> Self {
        self.said.body = body.into();
        self.header("content-type", content_type)
    }

    /// Gives up after this time, when that is less than the platform's limit.
    ///
    /// ```
    /// # use hostel_sdk::http_client;
    /// use std::time::Duration;
    ///
    /// let request = http_client::get("https://example.org/").timeout(Duration::from_millis(500));
    /// # let _ = request;
    /// ```
    pub fn timeout(mut self, time: Duration) -> Self {
        self.said.timeout_ms = Some(u32::try_from(time.as_millis()).unwrap_or(u32::MAX));
        self
    }

    /// Sends it and waits for the whole answer, redirects followed.
    ///
    /// ```
    /// # use hostel_sdk::{Error, http_client};
    /// fn is_up() -> Result<bool, Error> {
    ///     Ok(http_client::get("https://example.org/health").send()?.status() == 200)
    /// }
    /// # let _ = is_up;
    /// ```
    ///
    /// # Errors
    /// `denied` where the module does not [declare](crate::Module::calls) the host, the operator does
    /// not allow it, or it has an address of a private network; `not-found` for a secret that the
    /// tenant has not; `invalid` for what is no request; `limit`, `timeout` and `unavailable` as
    /// everywhere.
    pub fn send(self) -> Result<Response, Error> {
        match self.wrong {
            Some(wrong) => Err(wrong),
            None => host::send(&self.said).map(Response),
        }
    }
}

/// A whole answer, of any status.
///
/// ```
/// # use hostel_sdk::prelude::*;
/// # use hostel_sdk::http_client;
/// fn title(url: &str) -> Result<Option<String>, Problem> {
///     let answer: http_client::Response = http_client::get(url).send()?;
///     if answer.status() == 404 {
///         return Ok(None);
///     }
///     Ok(Some(answer.json()?))
/// }
/// # let _ = title;
/// ```
#[derive(Clone, Debug)]
pub struct Response(host::Response);

impl Response {
    /// 200 to 599.
    ///
    /// ```
    /// # use hostel_sdk::{Error, http_client};
    /// fn is_gone(url: &str) -> Result<bool, Error> {
    ///     Ok(http_client::get(url).send()?.status() == 410)
    /// }
    /// # let _ = is_gone;
    /// ```
    #[must_use]
    pub fn status(&self) -> u16 {
        self.0.status
    }

    /// Whether the status is one of success: 200 to 299.
    ///
    /// ```
    /// # use hostel_sdk::{Error, http_client};
    /// fn works(url: &str) -> Result<bool, Error> {
    ///     Ok(http_client::get(url).send()?.is_success())
    /// }
    /// # let _ = works;
    /// ```
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.0.status)
    }

    /// The answer, if its status is one of success.
    ///
    /// ```
    /// # use hostel_sdk::{Error, http_client};
    /// fn tell(url: &str) -> Result<(), Error> {
    ///     http_client::post(url).body("text/plain", "it is done").send()?.ok()?;
    ///     Ok(())
    /// }
    /// # let _ = tell;
    /// ```
    ///
    /// # Errors
    /// `unavailable` for 429 and from 500 on, `other` for all else: the module's mistake.
    pub fn ok(self) -> Result<Self, Error> {
        self.check()?;
        Ok(self)
    }

    fn check(&self) -> Result<(), Error> {
        let kind = match self.0.status {
            200..300 => return Ok(()),
            429 | 500.. => ErrorKind::Unavailable,
            _ => ErrorKind::Other,
        };
        Err(error(kind, format!("the service answered {}", self.0.status)))
    }

    /// What answered: another URL than was asked for after redirects.
    ///
    /// ```
    /// # use hostel_sdk::{Error, http_client};
    /// fn long(url: &str) -> Result<String, Error> {
    ///     Ok(http_client::head(url).send()?.url().to_owned())
    /// }
    /// # let _ = long;
    /// ```
    #[must_use]
    pub fn url(&self) -> &str {
        &self.0.url
    }

    /// The first header of that name, in upper or lower case.
    ///
    /// ```
    /// # use hostel_sdk::{Error, http_client};
    /// fn version(url: &str) -> Result<Option<String>, Error> {
    ///     Ok(http_client::head(url).send()?.header("etag").map(str::to_owned))
    /// }
    /// # let _ = version;
    /// ```
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.0.headers.iter();
        headers.find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// All headers, in lower case.
    ///
    /// ```
    /// # use hostel_sdk::{Error, http_client};
    /// fn links(url: &str) -> Result<usize, Error> {
    ///     let answer = http_client::get(url).send()?;
    ///     Ok(answer.headers().iter().filter(|(name, _)| name == "link").count())
    /// }
    /// # let _ = links;
    /// ```
    #[must_use]
    pub fn headers(&self) -> &[(String, String)] {
        &self.0.headers
    }

    /// The body, as it was sent.
    ///
    /// ```
    /// # use hostel_sdk::{Error, http_client};
    /// fn length(url: &str) -> Result<usize, Error> {
    ///     Ok(http_client::get(url).send()?.ok()?.bytes().len())
    /// }
    /// # let _ = length;
    /// ```
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0.body
    }

    /// The body, as it was sent, to be kept.
    ///
    /// ```
    /// # use hostel_sdk::{Error, http_client};
    /// fn picture(url: &str) -> Result<Vec<u8>, Error> {
    ///     Ok(http_client::get(url).send()?.ok()?.into_bytes())
    /// }
    /// # let _ = picture;
    /// ```
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0.body
    }

    /// The body as text.
    ///
    /// ```
    /// # use hostel_sdk::{Error, http_client};
    /// fn motto(url: &str) -> Result<String, Error> {
    ///     Ok(http_client::get(url).send()?.ok()?.text()?.trim().to_owned())
    /// }
    /// # let _ = motto;
    /// ```
    ///
    /// # Errors
    /// `other` where it is no UTF-8.
    pub fn text(&self) -> Result<&str, Error> {
        std::str::from_utf8(&self.0.body)
            .map_err(|_| error(ErrorKind::Other, "the service's answer is no text".to_owned()))
    }

    /// The body of an answer of success, from JSON.
    ///
    /// ```
    /// # use hostel_sdk::prelude::*;
    /// # use hostel_sdk::http_client;
    /// #[derive(Deserialize)]
    /// struct Weather {
    ///     degrees: f64,
    /// }
    ///
    /// fn degrees(url: &str) -> Result<f64, Error> {
    ///     let weather: Weather = http_client::get(url).send()?.json()?;
    ///     Ok(weather.degrees)
    /// }
    /// # let _ = degrees;
    /// ```
    ///
    /// # Errors
    /// As [`ok`](Self::ok), and `other` where it is no JSON of this type: says where. The JSON of
    /// other answers is in [`bytes`](Self::bytes).
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        self.check()?;
        let mut deserializer = serde_json::Deserializer::from_slice(&self.0.body);
        let value = serde_path_to_error::deserialize(&mut deserializer);
        value.map_err(|wrong| {
            error(
                ErrorKind::Other,
                format!("the service's answer is not what it should be: {wrong}"),
            )
        })
    }
}

fn error(kind: ErrorKind, message: String) -> Error {
    Error { kind, message, subject: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Response {
        let headers = vec![("etag".to_owned(), "7".to_owned())];
        let url = "https://example.org/".to_owned();
        Response(host::Response { status, url, headers, body: body.into() })
    }

    #[test]
    fn a_query_is_encoded_and_added_to() {
        let request = get("https://example.org/a?b=c").query("d e", "f&g").query("h", 1);
        assert_eq!(request.said.url, "https://example.org/a?b=c&d+e=f%26g&h=1");
    }

    #[test]
    fn an_answer_that_is_no_success_or_no_such_json_is_an_error() {
        assert_eq!(answer(200, "[1]").json::<Vec<u8>>().unwrap(), [1]);
        assert_eq!(answer(200, "").header("ETag"), Some("7"));
        for (status, kind) in [
            (404, ErrorKind::Other),
            (304, ErrorKind::Other),
            (429, ErrorKind::Unavailable),
            (502, ErrorKind::Unavailable),
        ] {
            assert_eq!(answer(status, "[1]").json::<Vec<u8>>().unwrap_err().kind, kind);
            assert_eq!(answer(status, "").ok().unwrap_err().kind, kind);
        }
        let wrong = answer(200, "[1, 300]").json::<Vec<u8>>().unwrap_err();
        assert!(wrong.message.contains("[1]: "), "{}", wrong.message);
        let wrong =
            get("https://example.org/").json(&std::collections::BTreeMap::from([((1, 2), 3)]));
        assert_eq!(wrong.send().unwrap_err().kind, ErrorKind::Invalid);
    }
}
