//! CORS: whose pages may read answers. By configuration, and for one tenant by its own list.
//!
//! A preflight says which headers the request will bear and not what is in them: where a header names
//! the tenant, nobody knows it yet. Such a preflight only lets the request be sent, without
//! credentials; whether the page may read the answer is the tenant's to say, on the answer itself.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderName,
    HeaderValue, ORIGIN, VARY,
};
use serde::{Deserialize, Serialize};

use crate::bounded::Bounded;
use crate::error::{Error, Result};
use crate::runtime::TenantState;

/// `[http.cors]`: whose pages may read answers.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct CorsConfig {
    /// Origins such as `https://app.example.org`, or `*` for everybody's; empty: nobody's.
    pub origins: Vec<Origin>,
    /// Whether tenants have lists of their own, which hold instead: their setting
    /// `platform.cors-origins`.
    pub by_tenant: bool,
    /// Whether pages may send cookies and other credentials of the browser's.
    pub credentials: bool,
    /// Headers of answers that pages may read beside the harmless ones.
    pub exposed_headers: Vec<String>,
    /// How long browsers may remember what a preflight said.
    pub max_age_s: Bounded<0, 86_400>,
}

impl Default for CorsConfig {
    fn default() -> Self {
        let exposed = ["etag", "link", "location", "retry-after", "x-request-id"];
        Self {
            origins: Vec::new(),
            by_tenant: false,
            credentials: false,
            exposed_headers: exposed.map(ToOwned::to_owned).into(),
            max_age_s: Bounded::of::<600>(),
        }
    }
}

/// Where a page comes from: scheme, host and port as browsers send them, or `*`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Origin(String);

impl Origin {
    fn is_any(&self) -> bool {
        self.0 == "*"
    }
}

impl TryFrom<String> for Origin {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let is_origin = url::Url::parse(&text)
            .is_ok_and(|url| url.origin().is_tuple() && url.origin().ascii_serialization() == text);
        if is_origin || text == "*" {
            return Ok(Self(text));
        }
        Err(format!("found `{text}`, expected an origin, such as https://app.example.org, or *"))
    }
}

impl From<Origin> for String {
    fn from(origin: Origin) -> Self {
        origin.0
    }
}

impl CorsConfig {
    /// Checks what no single key can say.
    ///
    /// # Errors
    /// Names the keys, what was found and what is allowed.
    pub(crate) fn check(&self) -> Result<()> {
        if self.credentials && self.origins.iter().any(Origin::is_any) {
            return Err(Error::invalid(
                "`http.cors.credentials` is true and `http.cors.origins` has `*`: name the origins, or leave credentials out",
            ));
        }
        let is_name = |name: &&String| HeaderName::try_from(name.as_str()).is_ok();
        match self.exposed_headers.iter().find(|name| !is_name(name)) {
            Some(name) => Err(Error::invalid(format!(
                "`http.cors.exposed_headers`: found `{name}`, expected a header's name"
            ))),
            None => Ok(()),
        }
    }
}

/// Who may read an answer.
enum Readers {
    Everybody,
    /// The page that asked, with or without credentials.
    Asker {
        with_credentials: bool,
    },
}

/// The rules, ready to be applied.
pub(super) struct Cors {
    config: CorsConfig,
    exposed: HeaderValue,
}

impl Cors {
    /// None where nobody's pages may read anything.
    pub(super) fn of(config: &CorsConfig) -> Option<Self> {
        if config.origins.is_empty() && !config.by_tenant {
            return None;
        }
        let exposed = HeaderValue::try_from(config.exposed_headers.join(", ")).ok()?;
        Some(Self { config: config.clone(), exposed })
    }

    /// Says on an answer who may read it. `origin` is the asking page's.
    pub(super) fn tell(
        &self,
        headers: &mut HeaderMap,
        origin: Option<&HeaderValue>,
        tenant: Option<&TenantState>,
    ) {
        let differs = self.config.by_tenant || !self.config.origins.iter().any(Origin::is_any);
        if differs {
            // Also where nobody asked: a cache must not give this answer to who does.
            headers.append(VARY, HeaderValue::from_name(ORIGIN));
        }
        let Some(origin) = origin else { return };
        let Some(readers) = self.readers(origin, tenant) else { return };
        put(headers, readers, origin);
        if !self.exposed.is_empty() {
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, self.exposed.clone());
        }
    }

    /// The answer to a preflight that is for `tenant`, or for one that will be named by the header
    /// `tenant_header` (none). `methods` are those that there are.
    pub(super) fn preflight(
        &self,
        asked: &HeaderMap,
        tenant: Option<&TenantState>,
        tenant_header: &HeaderName,
        methods: &str,
    ) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.append(
            VARY,
            HeaderValue::from_static(
                "origin, access-control-request-method, access-control-request-headers",
            ),
        );
        let Some(origin) = asked.get(ORIGIN) else { return headers };
        let unknown_tenants = || {
            let will_be_named = tenant.is_none() && self.config.by_tenant;
            (will_be_named && requests_header(asked, tenant_header))
                .then_some(Readers::Asker { with_credentials: false })
        };
        let Some(readers) = self.readers(origin, tenant).or_else(unknown_tenants) else {
            return headers;
        };
        put(&mut headers, readers, origin);
        if let Ok(methods) = HeaderValue::try_from(methods) {
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
        }
        if let Some(names) = asked.get(ACCESS_CONTROL_REQUEST_HEADERS) {
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
        }
        headers.insert(ACCESS_CONTROL_MAX_AGE, self.config.max_age_s.get().into());
        headers
    }

    fn readers(&self, origin: &HeaderValue, tenant: Option<&TenantState>) -> Option<Readers> {
        let own = tenant.filter(|_| self.config.by_tenant).and_then(TenantState::cors_origins);
        let asker = Readers::Asker { with_credentials: self.config.credentials };
        if let Some(own) = own {
            return own.iter().any(|known| origin == known.as_str()).then_some(asker);
        }
        if self.config.origins.iter().any(Origin::is_any) {
            return Some(Readers::Everybody);
        }
        self.config.origins.iter().any(|known| origin == known.0.as_str()).then_some(asker)
    }
}

/// Whether a request is a preflight (Fetch Standard, section 3.2.2).
pub(super) fn is_preflight(headers: &HeaderMap) -> bool {
    headers.contains_key(ORIGIN) && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// Whether a preflight announces this header.
pub(super) fn requests_header(headers: &HeaderMap, name: &HeaderName) -> bool {
    let announced = headers.get_all(ACCESS_CONTROL_REQUEST_HEADERS).iter();
    announced
        .filter_map(|names| names.to_str().ok())
        .flat_map(|names| names.split(','))
        .any(|announced| announced.trim().eq_ignore_ascii_case(name.as_str()))
}

fn put(headers: &mut HeaderMap, readers: Readers, origin: &HeaderValue) {
    match readers {
        Readers::Everybody => {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        }
        Readers::Asker { with_credentials } => {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            if with_credentials {
                headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
            }
        }
    }
}
