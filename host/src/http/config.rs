//! `[http]`, and what is made of it once.

use http::HeaderMap;
use serde::{Deserialize, Serialize};

use super::arrival::{Arrival, Client, ForwardedBy, Network};
use super::compress::CompressionConfig;
use super::cors::{Cors, CorsConfig};
use super::secure::{SecureHeaders, SecureHeadersConfig};
use crate::bounded::Bounded;
use crate::error::Result;

/// `[http]`: the HTTP side.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpConfig {
    /// The largest body; a route may say less.
    pub body_max_bytes: Bounded<0, 1_099_511_627_776>,
    /// Bodies up to this size are handed to modules at once, larger ones as they arrive.
    pub body_inline_max_bytes: Bounded<0, 1_073_741_824>,
    /// How long a client may take to send a body that is handed over at once.
    pub body_timeout_ms: Bounded<1, 3_600_000>,
    /// How long a client may take to send a request's head, or to begin the next one.
    pub head_timeout_ms: Bounded<1, 3_600_000>,
    /// How large a request's head may be.
    pub head_max_bytes: Bounded<8_192, 1_048_576>,
    /// How long a request's path and query may be.
    pub url_max_bytes: Bounded<256, 65_534>,
    /// How long a client may take nothing of an answer.
    pub write_timeout_ms: Bounded<1, 3_600_000>,
    /// Connections at once; further ones wait until others end.
    pub connections_max: Bounded<1, 1_000_000>,
    /// Whether the API is described at `/openapi.json` and `/docs`.
    pub api_docs: bool,
    /// How long the host goes on accepting after it was told to stop, while it says that it is not
    /// ready.
    pub drain_delay_ms: Bounded<0, 3_600_000>,
    /// How long requests may go on after the host has stopped accepting.
    pub drain_timeout_ms: Bounded<0, 3_600_000>,
    /// How deep JSON may be.
    pub json_depth_max: Bounded<1, 127>,
    /// Proxies of whom it is believed for whom they ask; others' headers about that are ignored.
    pub trusted_proxies: Vec<Network>,
    /// In which headers they say so.
    pub forwarded_by: ForwardedBy,
    /// What answers say to browsers.
    pub headers: SecureHeadersConfig,
    /// Whose pages may read answers.
    pub cors: CorsConfig,
    /// Compression of answers.
    pub compression: CompressionConfig,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            body_max_bytes: Bounded::of::<104_857_600>(),
            body_inline_max_bytes: Bounded::of::<1_048_576>(),
            body_timeout_ms: Bounded::of::<30_000>(),
            head_timeout_ms: Bounded::of::<15_000>(),
            head_max_bytes: Bounded::of::<32_768>(),
            url_max_bytes: Bounded::of::<8_192>(),
            write_timeout_ms: Bounded::of::<30_000>(),
            connections_max: Bounded::of::<20_000>(),
            api_docs: true,
            drain_delay_ms: Bounded::of::<0>(),
            drain_timeout_ms: Bounded::of::<10_000>(),
            json_depth_max: Bounded::of::<64>(),
            trusted_proxies: Vec::new(),
            forwarded_by: ForwardedBy::default(),
            headers: SecureHeadersConfig::default(),
            cors: CorsConfig::default(),
            compression: CompressionConfig::default(),
        }
    }
}

impl HttpConfig {
    /// Checks what no single key can say.
    ///
    /// # Errors
    /// Names the keys, what was found and what is allowed.
    pub(crate) fn check(&self) -> Result<()> {
        self.cors.check()
    }
}

/// `[http]`, ready to be applied to each request.
pub(crate) struct Http {
    pub(super) config: HttpConfig,
    pub(super) secure: SecureHeaders,
    /// None where nobody's pages may read anything.
    pub(super) cors: Option<Cors>,
}

impl Http {
    pub(crate) fn new(config: HttpConfig) -> Self {
        Self { secure: SecureHeaders::of(&config.headers), cors: Cors::of(&config.cors), config }
    }

    /// Who asks.
    pub(super) fn client(&self, arrival: Option<Arrival>, headers: &HeaderMap) -> Client {
        Client::of(arrival, headers, &self.config.trusted_proxies, self.config.forwarded_by)
    }
}
