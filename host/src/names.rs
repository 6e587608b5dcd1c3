//! Names and ids that cannot be wrong: text becomes one of these at the edge, and inside nobody
//! checks again.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The longest DNS label (RFC 1035, section 2.3.4).
const LABEL_LENGTH_MAX: usize = 63;
/// Leaves room for a tenant's id beside it in a name of PostgreSQL's, of 63 bytes: `t_<id>_<module>`,
/// with the id's 32 hexadecimal digits.
const MODULE_NAME_LENGTH_MAX: usize = 28;

/// A name that is a DNS label in lower case: letters, digits and inner hyphens.
fn check_label(kind: &str, text: &str, length_max: usize) -> Result<()> {
    let bytes = text.as_bytes();
    let fits = !bytes.is_empty() && bytes.len() <= length_max;
    let letters = bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-');
    if fits && letters && bytes[0] != b'-' && bytes[bytes.len() - 1] != b'-' {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "`{text}` is no {kind}: use 1 to {length_max} of a-z, 0-9 and inner `-`"
    )))
}

macro_rules! label {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $length_max:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// How many characters it has at most.
            pub const LENGTH_MAX: usize = $length_max;

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self> {
                check_label($kind, text, Self::LENGTH_MAX)?;
                Ok(Self(text.into()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;

            fn try_from(text: String) -> Result<Self> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.as_ref().to_owned()
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

label! {
    /// A tenant's name in URLs and headers: a DNS label, unique on the platform.
    TenantSlug, "tenant slug", LABEL_LENGTH_MAX
}
label! {
    /// A module's name in URLs, permissions and logs.
    ModuleName, "module name", MODULE_NAME_LENGTH_MAX
}
label! {
    /// A look-up's name: `countries`, `tax-rates`.
    LookupName, "look-up name", LABEL_LENGTH_MAX
}

/// A tenant's id: a UUID (version 7) that never changes and names its files and schemas.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TenantId(uuid::Uuid);

impl TenantId {
    /// A new id.
    pub(crate) fn new() -> Self {
        Self(uuid::Uuid::now_v7())
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl FromStr for TenantId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        uuid::Uuid::parse_str(text)
            .map(Self)
            .map_err(|cause| Error::invalid(format!("`{text}` is no tenant id")).because(cause))
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which unit of a tenant's rows: the one that its modules share, or that of one of them alone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct UnitId {
    /// Whose.
    pub(crate) tenant: TenantId,
    /// The module that has it for itself; none of the shared one.
    pub(crate) module: Option<ModuleName>,
}

impl UnitId {
    /// The unit that a tenant's modules share.
    pub(crate) const fn shared(tenant: TenantId) -> Self {
        Self { tenant, module: None }
    }

    /// The unit of one of its modules alone.
    pub(crate) const fn own(tenant: TenantId, module: ModuleName) -> Self {
        Self { tenant, module: Some(module) }
    }

    /// The other one in which `module` could keep the same tenant's rows.
    pub(crate) fn other(&self, module: &ModuleName) -> Self {
        match self.module {
            None => Self::own(self.tenant, module.clone()),
            Some(_) => Self::shared(self.tenant),
        }
    }
}

/// A request's id, in every log line and every error.
///
/// Taken from the client's `X-Request-Id` where that is 1 to 64 visible ASCII characters, which
/// keeps line breaks and floods out of the log; a UUID (version 7) otherwise.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RequestId(Arc<str>);

impl RequestId {
    const LENGTH_MAX: usize = 64;

    /// A new id.
    pub fn new() -> Self {
        let mut buffer = uuid::Uuid::encode_buffer();
        Self(Arc::from(&*uuid::Uuid::now_v7().hyphenated().encode_lower(&mut buffer)))
    }

    /// The client's own id, where it is fit to be one.
    pub fn from_client(text: &[u8]) -> Option<Self> {
        let fit =
            (1..=Self::LENGTH_MAX).contains(&text.len()) && text.iter().all(u8::is_ascii_graphic);
        let text = std::str::from_utf8(text).ok().filter(|_| fit)?;
        Some(Self(text.into()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for RequestId {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An account's id, unique in its tenant: 1 to 128 visible ASCII characters, such as a UUID or a
/// number of the program's own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AccountId(Arc<str>);

impl AccountId {
    const LENGTH_MAX: usize = 128;

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AccountId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let fits = (1..=Self::LENGTH_MAX).contains(&text.len());
        if fits && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Ok(Self(text.into()));
        }
        Err(Error::invalid(format!(
            "{text:?} is no account id: use 1 to {} visible ASCII characters",
            Self::LENGTH_MAX
        )))
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_dns_labels() {
        for good in ["a", "acme", "a-1", "0x", &"a".repeat(63)] {
            assert!(good.parse::<TenantSlug>().is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a_b", "a.b", "ä", "a b", "../x", &"a".repeat(64)] {
            assert!(bad.parse::<TenantSlug>().is_err(), "{bad}");
        }
        assert!("a".repeat(28).parse::<ModuleName>().is_ok());
        assert!("a".repeat(29).parse::<ModuleName>().is_err());
    }

    #[test]
    fn an_accounts_id_fits_in_a_line_of_the_log() {
        for good in ["7", "0197b2f0-5d3a", "alice@example.org", &"a".repeat(128)] {
            assert!(good.parse::<AccountId>().is_ok(), "{good}");
        }
        for bad in ["", "a b", "a\nb", "ä", &"a".repeat(129)] {
            assert!(bad.parse::<AccountId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_clients_request_id_must_be_printable_and_short() {
        assert_eq!(RequestId::from_client(b"abc-1").unwrap().as_str(), "abc-1");
        for bad in [&b""[..], b"a b", b"a\nb", "ä".as_bytes(), &[b'a'; 65]] {
            assert!(RequestId::from_client(bad).is_none());
        }
    }
}
