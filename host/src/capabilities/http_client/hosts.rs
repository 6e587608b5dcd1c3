//! Hosts as manifests declare them and operators allow them, and how a URL is compared with them.

use std::fmt;
use std::str::FromStr;

use http::uri::Authority;
use serde::{Deserialize, Serialize};
use url::{Host, Url};

use crate::error::{Error, Result};

/// Hosts by name or address: `api.example.org`, `*.example.org` for all that are below it, `*` for
/// all. Without a port it stands for the usual one of `https` or `http`, with `:*` for every port.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostPattern {
    names: Names,
    port: Port,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Names {
    All,
    Below(String),
    Exactly(Host),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Port {
    Usual,
    Any,
    Exactly(u16),
}

impl HostPattern {
    /// Whether it stands for every host.
    pub fn is_all(&self) -> bool {
        self.names == Names::All
    }

    /// Whether the URL's host is one of these.
    pub(super) fn matches(&self, url: &Url) -> bool {
        let is_named = match (&self.names, url.host()) {
            (Names::All, Some(_)) => true,
            (Names::Exactly(own), Some(host)) => *own == host,
            (Names::Below(own), Some(Host::Domain(name))) => name
                .strip_suffix(own.as_str())
                .is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
            _ => false,
        };
        is_named
            && match self.port {
                Port::Usual => url.port().is_none(),
                Port::Any => true,
                Port::Exactly(port) => url.port_or_known_default() == Some(port),
            }
    }
}

impl FromStr for HostPattern {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if text == "*" {
            return Ok(Self { names: Names::All, port: Port::Any });
        }
        let wrong = || {
            Error::invalid(format!(
                "`{text}` is no host: expected a name such as `api.example.org`, `*.example.org` or an address, with or without `:port`"
            ))
        };
        let (text, any_port) = match text.strip_suffix(":*") {
            Some(text) => (text, true),
            None => (text, false),
        };
        let authority: Authority = text.parse().map_err(|_| wrong())?;
        let port = authority.port();
        let port_length = port.as_ref().map_or(0, |port| 1 + port.as_str().len());
        // What is left is a user, or a port that is none.
        if authority.host().len() + port_length != text.len() {
            return Err(wrong());
        }
        let host = |name: &str| match Host::parse(name) {
            Ok(host) if !name.contains('*') => Ok(host),
            _ => Err(wrong()),
        };
        let names = match authority.host().strip_prefix("*.") {
            None => Names::Exactly(host(authority.host())?),
            Some(name) => match host(name)? {
                Host::Domain(name) => Names::Below(name),
                Host::Ipv4(_) | Host::Ipv6(_) => return Err(wrong()),
            },
        };
        let port = match port {
            Some(_) if any_port => return Err(wrong()),
            Some(port) => Port::Exactly(port.as_u16()),
            None if any_port => Port::Any,
            None => Port::Usual,
        };
        Ok(Self { names, port })
    }
}

impl TryFrom<String> for HostPattern {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<HostPattern> for String {
    fn from(pattern: HostPattern) -> Self {
        pattern.to_string()
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.names {
            Names::All => return f.write_str("*"),
            Names::Below(name) => write!(f, "*.{name}")?,
            Names::Exactly(host) => write!(f, "{host}")?,
        }
        match self.port {
            Port::Usual => Ok(()),
            Port::Any => f.write_str(":*"),
            Port::Exactly(port) => write!(f, ":{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_matched_whole_and_with_its_port() {
        let cases = [
            ("api.example.org", "https://api.example.org/x?y", true),
            ("api.example.org", "https://API.example.org/", true),
            ("api.example.org", "http://api.example.org/", true),
            ("api.example.org", "https://api.example.org:8443/", false),
            ("api.example.org", "https://api.example.org.evil.org/", false),
            ("api.example.org", "https://evil.org/api.example.org", false),
            ("api.example.org", "https://example.org/", false),
            ("api.example.org:8443", "https://api.example.org:8443/", true),
            ("api.example.org:8443", "https://api.example.org/", false),
            ("api.example.org:443", "http://api.example.org/", false),
            ("*.example.org", "https://a.example.org/", true),
            ("*.example.org", "https://a.b.example.org/", true),
            ("*.example.org", "https://example.org/", false),
            ("*.example.org", "https://anexample.org/", false),
            ("*.example.org", "https://.example.org/", false),
            ("10.0.0.5:8080", "http://10.0.0.5:8080/", true),
            ("10.0.0.5:8080", "http://0x0a000005:8080/", true),
            ("[::1]:8080", "http://[0:0::1]:8080/", true),
            ("10.0.0.5:*", "http://10.0.0.5:1/", true),
            ("10.0.0.5:*", "http://10.0.0.6:1/", false),
            ("*", "https://anything:1/", true),
        ];
        for (pattern, url, expected) in cases {
            let matches = pattern.parse::<HostPattern>().unwrap().matches(&url.parse().unwrap());
            assert_eq!(matches, expected, "{pattern} {url}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused_and_what_is_one_is_shown_as_it_was() {
        let wrong = [
            "",
            "a b",
            "user@example.org",
            "example.org:",
            "example.org:x",
            "example.org:99999",
            "https://example.org",
            "example.org/x",
            "a*b.org",
            "*.*",
            "*:*",
            "a:1:*",
            "*.10.0.0.1",
            "**",
            "::1",
        ];
        for text in wrong {
            assert!(text.parse::<HostPattern>().is_err(), "{text}");
        }
        for text in ["example.org", "*.example.org:8443", "10.0.0.1", "[::1]:80", "[::1]:*", "*"] {
            assert_eq!(text.parse::<HostPattern>().unwrap().to_string(), text);
        }
    }
}
