//! The platform key: one secret from which every other is derived by purpose.

use std::fmt;
use std::io::Write as _;
use std::path::Path;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER, HEXLOWER_PERMISSIVE};
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac as _};
use sha2::Sha256;

use crate::error::{Error, Result};

const KEY_LENGTH: usize = 32;
/// So that scanners of repositories and logs know it when they see it.
const OPERATOR_PREFIX: &str = "hostel_op_";

/// The secret of this platform. Nodes of one platform share it.
#[derive(Clone)]
pub struct PlatformKey([u8; KEY_LENGTH]);

impl PlatformKey {
    /// Reads the key from `path`, or makes one there (readable by its owner only).
    ///
    /// # Errors
    /// When the file holds no key, or can be neither read nor made.
    pub fn load_or_create(path: &Path) -> Result<Self> {
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&text).map_err(|error| {
                Error::invalid(format!("{}: {error}", path.display())).hint(
                    "restore the file from a backup: what it protects cannot be read without it",
                )
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Self::create(path),
            Err(error) => Err(unreadable(path, error)),
        }
    }

    /// Reads a key from its text: 64 hexadecimal digits.
    ///
    /// # Errors
    /// When the text is anything else. The message does not repeat it.
    pub fn parse(text: &str) -> Result<Self> {
        HEXLOWER_PERMISSIVE
            .decode(text.trim().as_bytes())
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .map(Self)
            .ok_or_else(|| Error::invalid("a platform key is 64 hexadecimal digits"))
    }

    fn create(path: &Path) -> Result<Self> {
        let mut key = [0; KEY_LENGTH];
        getrandom::fill(&mut key).map_err(|error| {
            Error::internal("the operating system gave no random bytes").because(error)
        })?;
        let key = Self(key);
        // Whole or not at all: a temporary file (0600) that takes the name only if nobody has.
        let folder = path.parent().unwrap_or(Path::new("."));
        let written = tempfile::NamedTempFile::new_in(folder).and_then(|mut file| {
            writeln!(file, "{}", HEXLOWER.encode(&key.0))?;
            file.as_file().sync_all()?;
            file.persist_noclobber(path).map_err(|refused| refused.error)
        });
        match written {
            Ok(_) => Ok(key),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                Self::load_or_create(path)
            }
            Err(error) => Err(unreadable(path, error)),
        }
    }

    /// A key for one purpose (HKDF-SHA256, RFC 5869). The same purpose gives the same key.
    pub fn derive(&self, purpose: &str) -> [u8; 32] {
        let mut derived = [0; 32];
        Hkdf::<Sha256>::new(None, &self.0)
            .expand(purpose.as_bytes(), &mut derived)
            .expect("32 bytes are a length that HKDF-SHA256 can give");
        derived
    }
}

/// What operators show to `/platform/v1`, to `/metrics` and in the platform's own tenant: derived from the platform key, so that nodes
/// share it and it needs no place of its own.
#[derive(Clone)]
pub struct OperatorToken([u8; KEY_LENGTH]);

impl OperatorToken {
    /// The token of a platform.
    pub fn of(key: &PlatformKey) -> Self {
        Self(key.derive("operator-token"))
    }

    /// The token as it is sent: `Authorization: Bearer hostel_op_…`.
    pub fn expose(&self) -> String {
        format!("{OPERATOR_PREFIX}{}", BASE64URL_NOPAD.encode(&self.0))
    }

    /// Whether `sent` is the token. It takes as long whether much of it is right or little.
    pub(crate) fn is(&self, sent: &str) -> bool {
        let Some(sent) = sent.strip_prefix(OPERATOR_PREFIX) else { return false };
        let Ok(sent) = BASE64URL_NOPAD.decode(sent.as_bytes()) else { return false };
        let tag = |bytes: &[u8]| {
            <Hmac<Sha256> as KeyInit>::new_from_slice(&self.0).map(|mac| mac.chain_update(bytes))
        };
        match (tag(&sent), tag(&self.0)) {
            (Ok(sent), Ok(own)) => sent.verify(&own.finalize().into_bytes()).is_ok(),
            _ => false,
        }
    }
}

impl fmt::Debug for OperatorToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OperatorToken(***)")
    }
}

impl fmt::Debug for PlatformKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PlatformKey(***)")
    }
}

fn unreadable(path: &Path, error: std::io::Error) -> Error {
    Error::internal(format!("{}: {error}", path.display()))
        .hint("the platform key must be readable and, at the first start, writable")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("platform.key");
        let made = PlatformKey::load_or_create(&path).unwrap();
        let read = PlatformKey::load_or_create(&path).unwrap();
        assert_eq!(made.derive("test"), read.derive("test"));
        assert_ne!(made.derive("test"), made.derive("other"));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn a_broken_key_is_refused_and_never_shown() {
        let error = PlatformKey::parse("secret").unwrap_err();
        assert!(!error.to_string().contains("secret"));
        assert!(PlatformKey::parse(&"é".repeat(32)).is_err());
        assert!(!format!("{:?}", PlatformKey([7; 32])).contains('7'));
    }
}
