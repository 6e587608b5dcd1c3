//! The limits: one list of keys, for the platform, for plans and for tenants. The tightest wins.
//!
//! What holds them is beside what they limit: `runtime/limits.rs`, `capabilities/sql`, `http/`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::bounded::Bounded;
use crate::error::{Error, Result};

macro_rules! limits {
    ($($(#[$doc:meta])* $key:ident: $min:literal..=$max:literal, $default:literal;)*) => {
        /// `[limits]`: what one call may use, and one tenant.
        #[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct LimitsConfig {
            $($(#[$doc])* pub $key: Bounded<$min, $max>,)*
        }

        impl Default for LimitsConfig {
            fn default() -> Self {
                Self { $($key: Bounded::of::<$default>(),)* }
            }
        }

        /// Some of the limits: a plan's, or a tenant's own. They tighten what the platform allows
        /// and never widen it.
        #[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct TighterLimits {
            $($(#[$doc])* #[serde(skip_serializing_if = "Option::is_none")]
            pub $key: Option<Bounded<$min, $max>>,)*
        }

        impl LimitsConfig {
            /// These limits, each at most what `by` says.
            #[must_use]
            pub fn tightened(&self, by: &TighterLimits) -> Self {
                Self { $($key: by.$key.map_or(self.$key, |own| own.min(self.$key)),)* }
            }
        }
    };
}

limits! {
    /// Time on a processor.
    cpu_ms: 1..=600_000, 2_000;
    /// Time from begin to end, waiting included.
    call_timeout_ms: 1..=3_600_000, 30_000;
    /// By how much a call's end may be put off while a body goes through it.
    stream_timeout_ms: 0..=86_400_000, 3_600_000;
    /// Linear memories together.
    memory_max_bytes: 1_048_576..=4_294_967_296, 67_108_864;
    /// Calls of host functions.
    host_calls_max: 1..=1_000_000_000, 100_000;
    /// What one host call may take over from a guest.
    hostcall_max_bytes: 65_536..=1_073_741_824, 8_388_608;
    /// What all host calls may take over and give back: statements, their values, rows, log lines.
    hostcalls_total_max_bytes: 65_536..=1_099_511_627_776, 67_108_864;
    /// An answer's body.
    answer_max_bytes: 1024..=1_073_741_824, 10_485_760;
    /// Open handles: transactions, bodies.
    handles_max: 16..=100_000, 1_000;
    /// Requests to other services.
    http_client_calls_max: 0..=100_000, 20;
    /// How long one of them may take, redirects included.
    http_client_timeout_ms: 1..=3_600_000, 10_000;
    /// What one of them may send: URL, headers and body.
    http_client_request_max_bytes: 1024..=1_073_741_824, 1_048_576;
    /// The body of an answer to one.
    http_client_response_max_bytes: 1024..=1_073_741_824, 4_194_304;
    /// Lines in the log.
    log_lines_max: 0..=100_000, 100;
    /// How long a call waits for its turn.
    queue_timeout_ms: 0..=600_000, 2_000;
    /// How long one SQL statement may run.
    sql_statement_timeout_ms: 1..=3_600_000, 5_000;
    /// Rows in one answer to SQL.
    sql_rows_max: 1..=10_000_000, 10_000;
    /// Bytes in one answer to SQL.
    sql_result_max_bytes: 1024..=1_073_741_824, 4_194_304;
    /// Each of a tenant's databases.
    database_max_bytes: 1_048_576..=281_474_976_710_656, 1_073_741_824;
    /// Calls of one tenant at once.
    tenant_calls_max: 1..=100_000, 200;
    /// Calls of one tenant that wait for their turn.
    tenant_queue_max: 0..=1_000_000, 1_000;
    /// Requests to other services of one tenant at once.
    tenant_http_client_calls_max: 1..=100_000, 50;
    /// Time on processors that one tenant may use in a minute. The default is a thousand
    /// processors' worth: as much as there is.
    tenant_minute_cpu_ms: 1..=60_000_000, 60_000_000;
}

impl TighterLimits {
    /// These limits with one more, or another value for one.
    ///
    /// # Errors
    /// When there is no such limit, or it cannot have that value.
    pub fn with(&self, key: &str, value: u64) -> Result<Self> {
        let invalid = |error: serde_json::Error| Error::invalid(format!("limit `{key}`: {error}"));
        let mut limits = serde_json::to_value(self).map_err(invalid)?;
        limits[key] = value.into();
        serde_json::from_value(limits).map_err(invalid)
    }
}

/// `[plans.<name>]`: what tenants of a plan may use.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Plan {
    /// Its tenants' share of turns and processors where these are scarce, beside that of others.
    pub weight: Bounded<1, 1_000>,
    /// What they may use, where that is less than the platform allows.
    pub limits: TighterLimits,
}

impl Default for Plan {
    fn default() -> Self {
        Self { weight: Bounded::of::<1>(), limits: TighterLimits::default() }
    }
}

/// Plans by name.
pub type Plans = BTreeMap<String, Plan>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tightest_limit_wins() {
        let platform = LimitsConfig::default();
        let plan: TighterLimits = toml::from_str("cpu_ms = 100\nlog_lines_max = 100000").unwrap();
        let tight = platform.tightened(&plan);
        assert_eq!(tight.cpu_ms.get(), 100);
        assert_eq!(tight.log_lines_max, platform.log_lines_max);
        assert_eq!(tight.tightened(&TighterLimits::default()), tight);
        assert!(toml::from_str::<TighterLimits>("cpu_s = 1").is_err());
    }
}
