//! The configuration: read once, from one file, into types that cannot hold an impossible value.
//!
//! Each section's struct is defined beside what it configures; this file joins them and explains
//! what is wrong with a file. Nothing else in the host reads files or variables for settings.

mod changes;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use self::changes::Changes;
use crate::call::Tenant;
use crate::capabilities::http_client::HttpClientConfig;
use crate::capabilities::lookups::LookupsConfig;
use crate::capabilities::permissions::Pattern;
use crate::capabilities::tenancy::TenancyConfig;
use crate::database::{DatabaseConfig, SqlConfig};
use crate::error::{Error, Result};
use crate::http::{HttpConfig, TlsConfig};
use crate::limits::{LimitsConfig, Plans};
use crate::logging::LogConfig;
use crate::metering::MetricsConfig;
use crate::runtime::{ModulesConfig, RuntimeConfig};
pub use crate::secret::Secret;

/// The whole configuration. Every key has a default, so that no file is needed.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where to listen.
    pub listen: ListenAddress,
    /// The folder of everything that is kept.
    pub data: DataFolder,
    /// The platform key.
    pub platform: PlatformConfig,
    /// The HTTP side.
    pub http: HttpConfig,
    /// Encryption of connections.
    pub tls: TlsConfig,
    /// How requests find their tenant.
    pub tenancy: TenancyConfig,
    /// Log lines.
    pub log: LogConfig,
    /// Engine and instances.
    pub runtime: RuntimeConfig,
    /// What one call may use, and one tenant.
    pub limits: LimitsConfig,
    /// What tenants may use, by plan.
    pub plans: Plans,
    /// Modules and what they are granted.
    pub modules: ModulesConfig,
    /// Where everything is kept.
    pub database: DatabaseConfig,
    /// SQL for modules.
    pub sql: SqlConfig,
    /// Tables that all tenants share.
    pub lookups: LookupsConfig,
    /// What modules may call.
    pub http_client: HttpClientConfig,
    /// What `/metrics` shows.
    pub metrics: MetricsConfig,
    /// Values for modules' settings: `[settings.<module>]`.
    pub settings: BTreeMap<String, BTreeMap<String, toml::Value>>,
    /// What is only fit for development.
    pub dev: DevConfig,
}

/// Where to listen: an IP address and a port.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(try_from = "String")]
pub struct ListenAddress(pub SocketAddr);

impl TryFrom<String> for ListenAddress {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse().map(Self).map_err(|_| {
            Error::invalid(format!(
                "found `{text}`, expected an IP address and a port, such as 127.0.0.1:8080"
            ))
        })
    }
}

impl Default for ListenAddress {
    fn default() -> Self {
        Self(SocketAddr::from(([127, 0, 0, 1], 8080)))
    }
}

/// The folder of everything that is kept.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(transparent)]
pub struct DataFolder(pub PathBuf);

impl Default for DataFolder {
    fn default() -> Self {
        Self(PathBuf::from("data"))
    }
}

/// The platform key.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct PlatformConfig {
    /// The key itself, 64 hexadecimal digits; meant for a variable of the environment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<Secret>,
    /// The file that holds the key; `platform.key` in the data folder when not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
}

/// What is only fit for development.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct DevConfig {
    /// Permissions that everybody has without signing in.
    pub anonymous_grants: Vec<Pattern>,
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// Names the file, the line, the key, what was found and what is allowed.
    pub fn from_file(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            Error::invalid(format!("{}: {error}", path.display())).hint(
                "name an existing file with --config, or leave it out: every key has a default",
            )
        })?;
        Self::from_toml(&text, &path.display().to_string())
    }

    /// Reads a text; `origin` names it in errors.
    ///
    /// # Errors
    /// Names the origin, the line, the key, what was found and what is allowed.
    pub fn from_toml(text: &str, origin: &str) -> Result<Self> {
        let explain = |key: String, error: toml::de::Error| {
            let line = error.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count());
            let key = if key == "." { String::new() } else { format!("`{key}`: ") };
            Error::invalid(format!("{origin}, line {line}: {key}{}", error.message()))
                .hint("`hostel config show` prints every key with its value")
        };
        let parsed = toml::Deserializer::parse(text).map_err(|e| explain(".".into(), e))?;
        let config: Self = serde_path_to_error::deserialize(parsed)
            .map_err(|error| explain(error.path().to_string(), error.into_inner()))?;
        config.check().map_err(|error| {
            Error::invalid(format!("{origin}: {error}"))
                .hint("`hostel config show` prints every key with its value")
        })?;
        Ok(config)
    }

    /// Checks what no single key can say: values that do not fit each other.
    ///
    /// # Errors
    /// Names the keys, what was found and what is allowed.
    pub fn check(&self) -> Result<()> {
        self.runtime.check()?;
        self.http.check()?;
        self.tls.check()?;
        self.http_client.check()?;
        let (calls, tenant) = (self.runtime.calls_max.get(), self.limits.tenant_calls_max.get());
        if tenant > calls {
            return Err(Error::invalid(format!(
                "`limits.tenant_calls_max` is {tenant}: at most `runtime.calls_max`, which is {calls}"
            )));
        }
        let (inline, memory) =
            (self.http.body_inline_max_bytes.get(), self.limits.memory_max_bytes.get());
        if inline > memory / 4 {
            return Err(Error::invalid(format!(
                "`http.body_inline_max_bytes` is {inline}: at most a quarter of `limits.memory_max_bytes`, which is {memory}"
            )));
        }
        let default_tenant = self.tenancy.default_tenant.as_ref();
        if default_tenant.is_some_and(|slug| slug.as_str() == Tenant::PLATFORM) {
            return Err(Error::invalid(
                "`tenancy.default_tenant` is `platform`: that is the platform's own tenant, which requests must name",
            ));
        }
        if self.platform.key.is_some() && self.platform.key_file.is_some() {
            return Err(Error::invalid(
                "`platform.key` and `platform.key_file` are both given: remove one",
            ));
        }
        Ok(())
    }

    /// The configuration as a file, secrets masked.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).unwrap_or_else(|error| format!("# cannot be shown: {error}\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        Config::from_toml(text, "platform.toml").unwrap_err().to_string()
    }

    #[test]
    fn no_file_is_needed_and_the_shipped_file_holds_every_default() {
        let shipped = include_str!("../../platform.toml");
        let config = Config::from_toml(shipped, "platform.toml").unwrap();
        assert_eq!(config.to_toml(), Config::default().to_toml());
        for line in config.to_toml().lines() {
            let key = line.split('=').next().unwrap_or_default().trim();
            assert!(shipped.contains(key), "platform.toml lacks `{line}`");
        }
    }

    #[test]
    fn a_mistake_is_named_with_its_place() {
        insta::assert_snapshot!(refusal("lisen = '1'"));
        insta::assert_snapshot!(refusal("listen = 'localhost'"));
        insta::assert_snapshot!(refusal("\n[runtime]\npool_slots = 0"));
        insta::assert_snapshot!(refusal("[runtime]\npool_slots = 'many'"));
        insta::assert_snapshot!(refusal("[runtime]\npool_slots = 10\ncalls_max = 100"));
        insta::assert_snapshot!(refusal("[dev]\nanonymous_grants = ['notes:*:rea*']"));
        insta::assert_snapshot!(refusal("[log.levels]\nsqlx = 'loud'"));
        insta::assert_snapshot!(refusal("[http"));
        insta::assert_snapshot!(refusal("[platform]\nkey = 'a'\nkey_file = 'b'"));
    }

    #[test]
    fn secrets_are_masked() {
        let config = Config::from_toml("[platform]\nkey = 'hunter2'", "x").unwrap();
        assert!(!config.to_toml().contains("hunter2"));
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}
