//! Secrets of tenants: kept encrypted, read by the tenant's own modules, never listed or logged.
//!
//! Each is sealed with XChaCha20-Poly1305 under a key derived from the platform key, with its tenant
//! and name as associated data: a row that is moved or renamed does not open.

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use sqlx::Row as _;

use super::store::{Tenants, must_be_there};
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::names::{TenantId, TenantSlug};
use crate::secret::Secret;

const NAME_LENGTH_MAX: usize = 64;
const VALUE_MAX_BYTES: usize = 65_536;
const NONCE_BYTES: usize = 24;

/// Reads and writes tenants' secrets.
#[derive(Clone)]
pub struct Secrets {
    tenants: Tenants,
    clock: Clock,
    cipher: XChaCha20Poly1305,
}

impl Secrets {
    pub(crate) fn new(tenants: Tenants, clock: Clock, key: [u8; 32]) -> Self {
        Self { tenants, clock, cipher: XChaCha20Poly1305::new(&key.into()) }
    }

    /// Keeps a secret, instead of the one of that name. Modules see it with their next call.
    ///
    /// # Errors
    /// `tenant-not-found`, or `invalid` for a name or a value that cannot be one.
    pub async fn set(&self, slug: &TenantSlug, name: &str, value: &Secret) -> Result<()> {
        check_name(name)?;
        let bytes = value.expose().as_bytes();
        if bytes.is_empty() || bytes.len() > VALUE_MAX_BYTES {
            return Err(Error::invalid(format!("a secret has 1 to {VALUE_MAX_BYTES} bytes")));
        }
        let tenant = self.tenants.get(slug).await?;
        must_be_there(&tenant)?;
        let ciphertext = self.seal(tenant.id, name, bytes)?;
        // A tenant that is removed meanwhile keeps none.
        sqlx::query(
            "INSERT INTO tenant_secrets (tenant_id, name, ciphertext, changed_at)
             SELECT $1, $2, $3, $4 WHERE EXISTS (SELECT 1 FROM tenants WHERE id = $1)
             ON CONFLICT (tenant_id, name) DO UPDATE SET
                 ciphertext = excluded.ciphertext, changed_at = excluded.changed_at",
        )
        .bind(tenant.id.to_string())
        .bind(name)
        .bind(ciphertext)
        .bind(self.clock.now_micros())
        .execute(&self.tenants.database)
        .await?;
        Ok(())
    }

    /// The names of a tenant's secrets, and when each was set (microseconds since the Unix epoch).
    ///
    /// # Errors
    /// `tenant-not-found`.
    pub async fn names(&self, slug: &TenantSlug) -> Result<Vec<(String, i64)>> {
        let tenant = self.tenants.get(slug).await?;
        sqlx::query(
            "SELECT name, changed_at FROM tenant_secrets WHERE tenant_id = $1 ORDER BY name",
        )
        .bind(tenant.id.to_string())
        .fetch_all(&self.tenants.database)
        .await?
        .iter()
        .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
        .collect()
    }

    /// Removes a secret.
    ///
    /// # Errors
    /// `tenant-not-found`, or `not-found` where there is none of that name.
    pub async fn remove(&self, slug: &TenantSlug, name: &str) -> Result<()> {
        let tenant = self.tenants.get(slug).await?;
        let removed = sqlx::query("DELETE FROM tenant_secrets WHERE tenant_id = $1 AND name = $2")
            .bind(tenant.id.to_string())
            .bind(name)
            .execute(&self.tenants.database)
            .await?
            .rows_affected();
        if removed == 0 {
            return Err(Error::not_found(format!("tenant `{slug}` has no secret `{name}`"))
                .hint("`hostel tenant secret list` shows their names"));
        }
        Ok(())
    }

    pub(crate) async fn read(&self, tenant: TenantId, name: &str) -> Result<Option<String>> {
        check_name(name)?;
        let row =
            sqlx::query("SELECT ciphertext FROM tenant_secrets WHERE tenant_id = $1 AND name = $2")
                .bind(tenant.to_string())
                .bind(name)
                .fetch_optional(&self.tenants.database)
                .await?;
        let Some(row) = row else { return Ok(None) };
        self.open(tenant, name, &row.try_get::<Vec<u8>, _>(0)?).map(Some)
    }

    /// The nonce, and after it what is sealed.
    fn seal(&self, tenant: TenantId, name: &str, value: &[u8]) -> Result<Vec<u8>> {
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(|error| {
            Error::internal("the operating system gave no random bytes").because(error)
        })?;
        let aad = associated(tenant, name);
        let sealed = self
            .cipher
            .encrypt(&XNonce::from(nonce), Payload { msg: value, aad: &aad })
            .map_err(|_| Error::internal("a secret cannot be encrypted"))?;
        Ok([&nonce[..], &sealed].concat())
    }

    fn open(&self, tenant: TenantId, name: &str, ciphertext: &[u8]) -> Result<String> {
        let unreadable = || {
            Error::internal(
                "a secret cannot be decrypted: it was changed, or kept under another key",
            )
        };
        let (nonce, sealed) =
            ciphertext.split_first_chunk::<NONCE_BYTES>().ok_or_else(unreadable)?;
        let aad = associated(tenant, name);
        let value = self
            .cipher
            .decrypt(&XNonce::from(*nonce), Payload { msg: sealed, aad: &aad })
            .map_err(|_| unreadable())?;
        String::from_utf8(value).map_err(|_| unreadable())
    }
}

/// An id has one length: no other tenant and name give the same text.
fn associated(tenant: TenantId, name: &str) -> Vec<u8> {
    format!("{tenant}/{name}").into_bytes()
}

fn check_name(name: &str) -> Result<()> {
    let fits = (1..=NAME_LENGTH_MAX).contains(&name.len());
    if fits && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.')) {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "{name:?} is no name of a secret: use 1 to {NAME_LENGTH_MAX} of letters, digits, `_`, `-` and `.`"
    )))
}
