//! How a request came here: over which connection, and, where a proxy that is trusted says so, from
//! whom before that.

use std::net::{IpAddr, SocketAddr};

use axum::extract::ConnectInfo;
use http::header::{FORWARDED, HeaderMap, HeaderName};
use http::{Extensions, HeaderValue};
use ipnet::IpNet;
use rfc7239::NodeName;
use serde::{Deserialize, Serialize};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// A network of proxies: an address, or a prefix such as `10.0.0.0/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network(IpNet);

impl TryFrom<String> for Network {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        network.map(Self).map_err(|_| {
            format!("found `{text}`, expected an address or a network, such as 10.0.0.0/8")
        })
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.0.to_string()
    }
}

/// In which headers proxies say for whom they ask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ForwardedBy {
    /// `X-Forwarded-For`, `X-Forwarded-Proto` and `X-Forwarded-Host`.
    #[default]
    XForwarded,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// The connection that a request came over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    pub(super) peer: SocketAddr,
    pub(super) over_tls: bool,
}

impl Arrival {
    /// What the host, or else the program's own server, knows of it.
    pub(super) fn of(extensions: &Extensions) -> Option<Self> {
        extensions.get::<Self>().copied().or_else(|| {
            let ConnectInfo(peer) = extensions.get::<ConnectInfo<SocketAddr>>()?;
            Some(Self { peer: *peer, over_tls: false })
        })
    }
}

/// Who asks, as far as connection and trusted proxies tell.
#[derive(Clone, Debug, Default)]
pub(super) struct Client {
    pub(super) address: Option<IpAddr>,
    pub(super) over_tls: bool,
    /// The host that the client named to the first proxy.
    pub(super) host: Option<String>,
}

impl Client {
    pub(super) fn of(
        arrival: Option<Arrival>,
        headers: &HeaderMap,
        trusted: &[Network],
        by: ForwardedBy,
    ) -> Self {
        let Some(arrival) = arrival else { return Self::default() };
        let address = arrival.peer.ip().to_canonical();
        let direct = Self { address: Some(address), over_tls: arrival.over_tls, host: None };
        if !is_trusted(trusted, address) {
            return direct;
        }
        match by {
            ForwardedBy::XForwarded => direct.by_x_forwarded(headers, trusted),
            ForwardedBy::Forwarded => direct.by_forwarded(headers, trusted),
        }
    }

    /// Each proxy appends whom it was asked by: the last that is no proxy is the client. What stands
    /// before that is the client's own invention.
    fn by_x_forwarded(mut self, headers: &HeaderMap, trusted: &[Network]) -> Self {
        let values: Vec<&HeaderValue> = headers.get_all(X_FORWARDED_FOR).iter().collect();
        let listed = values.iter().rev().filter_map(|value| value.to_str().ok());
        for hop in listed.flat_map(|value| value.rsplit(',')) {
            let Some(address) = address(hop.trim()) else { break };
            self.address = Some(address);
            if !is_trusted(trusted, address) {
                break;
            }
        }
        if let Some(proto) = last(headers, &X_FORWARDED_PROTO) {
            self.over_tls = proto.eq_ignore_ascii_case("https");
        }
        self.host = last(headers, &X_FORWARDED_HOST).map(ToOwned::to_owned);
        self
    }

    fn by_forwarded(mut self, headers: &HeaderMap, trusted: &[Network]) -> Self {
        let values: Vec<&HeaderValue> = headers.get_all(FORWARDED).iter().collect();
        let listed = values.iter().rev().filter_map(|value| value.to_str().ok());
        for hop in listed.flat_map(|value| rfc7239::parse(value).rev()) {
            let Ok(hop) = hop else { break };
            if let Some(proto) = hop.protocol {
                self.over_tls = proto.trim_matches('"').eq_ignore_ascii_case("https");
            }
            if let Some(host) = hop.host {
                self.host = Some(host.trim_matches('"').to_owned());
            }
            let Some(NodeName::Ip(address)) = hop.forwarded_for.map(|node| node.name) else {
                break;
            };
            self.address = Some(address.to_canonical());
            if !is_trusted(trusted, address) {
                break;
            }
        }
        self
    }
}

fn is_trusted(trusted: &[Network], address: IpAddr) -> bool {
    trusted.iter().any(|network| network.0.contains(&address.to_canonical()))
}

/// Some proxies add a port.
fn address(text: &str) -> Option<IpAddr> {
    let with_port = || text.parse::<SocketAddr>().map(|address| address.ip());
    text.parse().or_else(|_| with_port()).ok().map(|address: IpAddr| address.to_canonical())
}

/// What the proxy nearest to us said.
fn last<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    let value = headers.get_all(name).iter().next_back()?.to_str().ok()?;
    value.rsplit(',').next().map(str::trim)
}

/// Whether a header is one in which proxies speak of the client's connection.
pub(super) fn is_of_proxies(name: &HeaderName) -> bool {
    *name == FORWARDED || name.as_str().starts_with("x-forwarded-") || name.as_str() == "x-real-ip"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, by: ForwardedBy, sent: &[(&'static str, &'static str)]) -> Client {
        let trusted: Vec<Network> =
            ["10.0.0.0/8", "::1"].map(|text| Network::try_from(text.to_owned()).unwrap()).into();
        let arrival = Arrival { peer: SocketAddr::new(peer.parse().unwrap(), 1), over_tls: false };
        let mut headers = HeaderMap::new();
        for (name, value) in sent {
            headers.append(*name, HeaderValue::from_static(value));
        }
        Client::of(Some(arrival), &headers, &trusted, by)
    }

    #[test]
    fn the_last_address_that_is_no_proxys_is_the_clients() {
        let address = |peer: &str, sent: &[(&'static str, &'static str)]| {
            client(peer, ForwardedBy::XForwarded, sent).address.unwrap().to_string()
        };
        let forged = [("x-forwarded-for", "1.1.1.1, 203.0.113.9, 10.0.0.2")];
        assert_eq!(address("10.0.0.1", &forged), "203.0.113.9");
        assert_eq!(address("198.51.100.7", &forged), "198.51.100.7", "it is no proxy");
        assert_eq!(address("::ffff:10.0.0.1", &forged), "203.0.113.9");
        assert_eq!(address("::1", &[("x-forwarded-for", "[2001:db8::1]:80")]), "2001:db8::1");
        let lines = [("x-forwarded-for", "203.0.113.9"), ("x-forwarded-for", "10.0.0.2")];
        assert_eq!(address("10.0.0.1", &lines), "203.0.113.9");
        assert_eq!(address("10.0.0.1", &[("x-forwarded-for", "nonsense")]), "10.0.0.1");
        assert_eq!(address("10.0.0.1", &[("forwarded", "for=203.0.113.9")]), "10.0.0.1");
    }

    #[test]
    fn forwarded_is_read_where_it_is_what_proxies_send() {
        let sent = [(
            "forwarded",
            "for=1.1.1.1;proto=http, For=\"[2001:db8::1]:80\";proto=https;host=\"a.example\"",
        )];
        let seen = client("10.0.0.1", ForwardedBy::Forwarded, &sent);
        assert_eq!(seen.address.unwrap().to_string(), "2001:db8::1");
        assert!(seen.over_tls);
        assert_eq!(seen.host.as_deref(), Some("a.example"));
        let seen = client("10.0.0.1", ForwardedBy::XForwarded, &sent);
        assert!(!seen.over_tls && seen.host.is_none());
        let hidden = [("forwarded", "for=unknown;proto=https")];
        let seen = client("10.0.0.1", ForwardedBy::Forwarded, &hidden);
        assert_eq!(seen.address.unwrap().to_string(), "10.0.0.1");
    }

    #[test]
    fn what_the_nearest_proxy_says_of_scheme_and_host_holds() {
        let sent = [("x-forwarded-proto", "http, https"), ("x-forwarded-host", "evil, a.example")];
        let seen = client("10.0.0.1", ForwardedBy::XForwarded, &sent);
        assert!(seen.over_tls);
        assert_eq!(seen.host.as_deref(), Some("a.example"));
        let seen = client("192.0.2.1", ForwardedBy::XForwarded, &sent);
        assert!(!seen.over_tls && seen.host.is_none());
    }
}
