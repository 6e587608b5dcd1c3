//! What differs between two configurations, and which of it can be taken while the platform runs.

use std::collections::BTreeMap;

use super::Config;

/// Sections and keys that a running platform takes.
const RELOADABLE: [&str; 5] = ["http.", "limits.", "log.level", "plans.", "tls."];
/// Of those, what is read once: when the platform begins to listen, or begins to write.
const AT_START: [&str; 5] = [
    "http.api_docs",
    "http.connections_max",
    "http.head_max_bytes",
    "http.head_timeout_ms",
    "http.write_timeout_ms",
];

/// The keys that differ from those that the platform runs with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Changes {
    /// Those that hold from now on.
    pub taken: Vec<String>,
    /// Those that hold from the next start on.
    pub at_next_start: Vec<String>,
}

impl Config {
    /// What is different in another configuration.
    pub(crate) fn changes(&self, other: &Self) -> Changes {
        let (old, new) = (self.flat(), other.flat());
        let mut changes = Changes::default();
        let mut keys: Vec<&String> = old.keys().chain(new.keys()).collect();
        keys.sort();
        keys.dedup();
        for key in keys.into_iter().filter(|key| old.get(*key) != new.get(*key)) {
            let is_taken = RELOADABLE.iter().any(|prefix| key.starts_with(prefix))
                && !AT_START.contains(&key.as_str())
                && (self.has_tls() == other.has_tls() || !key.starts_with("tls."));
            let list = if is_taken { &mut changes.taken } else { &mut changes.at_next_start };
            list.push(key.clone());
        }
        changes
    }

    /// What a running platform takes from `other`; all else as it is here.
    pub(crate) fn with_reloadable(&self, other: &Self) -> Self {
        let mut config = self.clone();
        config.http = other.http.clone();
        config.http.api_docs = self.http.api_docs;
        config.http.connections_max = self.http.connections_max;
        config.http.head_max_bytes = self.http.head_max_bytes;
        config.http.head_timeout_ms = self.http.head_timeout_ms;
        config.http.write_timeout_ms = self.http.write_timeout_ms;
        config.limits = other.limits.clone();
        config.log.level = other.log.level;
        config.log.levels = other.log.levels.clone();
        config.plans = other.plans.clone();
        // Whether there is TLS at all is decided when the platform begins to listen.
        if self.has_tls() == other.has_tls() {
            config.tls = other.tls.clone();
        }
        config
    }

    fn has_tls(&self) -> bool {
        self.tls.certificate.is_some()
    }

    /// Every key with its value, by its whole name. What is secret is there as it is.
    fn flat(&self) -> BTreeMap<String, toml::Value> {
        let mut flat = BTreeMap::new();
        let table: toml::Table = self.to_toml().parse().unwrap_or_default();
        flatten("", toml::Value::Table(table), &mut flat);
        for (key, secret) in
            [("database.url", &self.database.url), ("platform.key", &self.platform.key)]
        {
            if let Some(secret) = secret {
                flat.insert(key.to_owned(), secret.expose().into());
            }
        }
        flat
    }
}

fn flatten(at: &str, value: toml::Value, flat: &mut BTreeMap<String, toml::Value>) {
    let toml::Value::Table(table) = value else {
        flat.insert(at.to_owned(), value);
        return;
    };
    for (key, value) in table {
        let key = if at.is_empty() { key } else { format!("{at}.{key}") };
        flatten(&key, value, flat);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        Config::from_toml(text, "x").unwrap()
    }

    #[test]
    fn what_is_taken_is_what_is_said_to_be() {
        let old = config("[platform]\nkey = 'a'\n[log.levels]\nsqlx = 'warn'");
        let new = config(
            "data = 'elsewhere'\n[platform]\nkey = 'b'\n[http]\nbody_max_bytes = 1\nconnections_max = 5
             [http.cors]\norigins = ['*']\n[limits]\ncpu_ms = 5\n[plans.small.limits]\ncpu_ms = 1
             [log]\nlevel = 'debug'\nformat = 'json'\n[tls]\ncertificate = 'a'\nkey = 'b'",
        );
        let changes = old.changes(&new);
        assert_eq!(
            changes.at_next_start,
            [
                "data",
                "http.connections_max",
                "log.format",
                "platform.key",
                "tls.certificate",
                "tls.key"
            ]
        );
        // All that was said to be taken was, and nothing else.
        let taken = old.with_reloadable(&new);
        let left = taken.changes(&new);
        assert_eq!(left.taken, Vec::<String>::new());
        assert_eq!(left.at_next_start, changes.at_next_start);
        assert_eq!(old.changes(&old), Changes::default());
    }
}
