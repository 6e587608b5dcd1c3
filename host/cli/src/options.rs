//! What every command takes: where the configuration and the data are. A flag wins over a variable
//! of the environment, a variable over the file.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Args;
use hostel::{Config, Secret};

/// Taken when it is there and no other file is named.
const DEFAULT_FILE: &str = "platform.toml";

/// Where the configuration and the data are.
#[derive(Args)]
pub(crate) struct Options {
    /// The configuration file [default: platform.toml, where there is one].
    #[arg(long, value_name = "FILE", env = "HOSTEL_CONFIG")]
    config: Option<PathBuf>,
    /// The folder of everything that is kept [default: data].
    #[arg(long, value_name = "DIR", env = "HOSTEL_DATA")]
    data: Option<PathBuf>,
}

impl Options {
    /// The configuration, with what flags and variables say.
    pub(crate) fn load(&self) -> hostel::Result<Config> {
        let mut config = match &self.config {
            Some(file) => Config::from_file(file)?,
            None if Path::new(DEFAULT_FILE).exists() => Config::from_file(Path::new(DEFAULT_FILE))?,
            None => Config::default(),
        };
        if let Some(data) = &self.data {
            config.data.0.clone_from(data);
        }
        #[expect(clippy::disallowed_methods, reason = "a secret has no place among the flags")]
        if let Ok(key) = std::env::var("HOSTEL_PLATFORM_KEY") {
            config.platform.key = Some(Secret::new(key));
            config.platform.key_file = None;
        }
        #[expect(clippy::disallowed_methods, reason = "it holds a password")]
        if let Ok(url) = std::env::var("HOSTEL_DATABASE_URL") {
            config.database.url = Some(Secret::new(url));
        }
        config.check()?;
        Ok(config)
    }
}

/// Where to listen.
#[derive(Args)]
pub(crate) struct Listen {
    /// The address to listen on [default: 127.0.0.1:8080].
    #[arg(long, value_name = "ADDR", env = "HOSTEL_LISTEN")]
    listen: Option<SocketAddr>,
}

impl Listen {
    pub(crate) fn apply(&self, config: &mut Config) {
        if let Some(address) = self.listen {
            config.listen.0 = address;
        }
    }
}
