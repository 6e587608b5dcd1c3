//! Headers that tell browsers to be careful: on every answer that has none of the name of its own.

use http::header::{
    CONTENT_SECURITY_POLICY, HeaderMap, HeaderName, HeaderValue, REFERRER_POLICY,
    STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// `[http.headers]`: what answers say to browsers. A header that is empty is not sent.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct SecureHeadersConfig {
    /// What a page may load. Answers are data: nothing, and not into a frame.
    pub content_security_policy: HeaderText,
    /// What other sites learn of the page that a link was on.
    pub referrer_policy: HeaderText,
    /// Whether browsers may guess another content type.
    pub x_content_type_options: HeaderText,
    /// Whether a page may be framed, for browsers that do not know the policy above.
    pub x_frame_options: HeaderText,
    /// Whether browsers must use TLS from now on. Sent over TLS alone, as RFC 6797 has it.
    pub strict_transport_security: HeaderText,
}

impl Default for SecureHeadersConfig {
    fn default() -> Self {
        Self {
            content_security_policy: HeaderText::of("default-src 'none'; frame-ancestors 'none'"),
            referrer_policy: HeaderText::of("no-referrer"),
            x_content_type_options: HeaderText::of("nosniff"),
            x_frame_options: HeaderText::of("DENY"),
            strict_transport_security: HeaderText::of("max-age=31536000"),
        }
    }
}

/// A header's value, or none.
#[derive(Clone, Debug)]
pub struct HeaderText(Option<HeaderValue>);

impl HeaderText {
    fn of(text: &'static str) -> Self {
        Self(Some(HeaderValue::from_static(text)))
    }
}

impl Serialize for HeaderText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = self.0.as_ref().and_then(|value| value.to_str().ok());
        serializer.serialize_str(text.unwrap_or_default())
    }
}

impl<'de> Deserialize<'de> for HeaderText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.is_empty() {
            return Ok(Self(None));
        }
        // What is not visible ASCII could not be shown again.
        match HeaderValue::try_from(&text).ok().filter(|value| value.to_str().is_ok()) {
            Some(value) => Ok(Self(Some(value))),
            None => Err(de::Error::custom(format!("`{text}` is no value of a header"))),
        }
    }
}

/// The headers, ready to be added.
pub(super) struct SecureHeaders {
    always: Vec<(HeaderName, HeaderValue)>,
    over_tls: Option<HeaderValue>,
}

impl SecureHeaders {
    pub(super) fn of(config: &SecureHeadersConfig) -> Self {
        let named = [
            (CONTENT_SECURITY_POLICY, &config.content_security_policy),
            (REFERRER_POLICY, &config.referrer_policy),
            (X_CONTENT_TYPE_OPTIONS, &config.x_content_type_options),
            (X_FRAME_OPTIONS, &config.x_frame_options),
        ];
        let given = named.into_iter().filter_map(|(name, text)| Some((name, text.0.clone()?)));
        Self { always: given.collect(), over_tls: config.strict_transport_security.0.clone() }
    }

    pub(super) fn put(&self, headers: &mut HeaderMap, over_tls: bool) {
        // At once: growing bit by bit would allocate again.
        headers.reserve(self.always.len() + 1);
        for (name, value) in &self.always {
            headers.entry(name).or_insert_with(|| value.clone());
        }
        if let (true, Some(value)) = (over_tls, &self.over_tls) {
            headers.entry(STRICT_TRANSPORT_SECURITY).or_insert_with(|| value.clone());
        }
    }
}
