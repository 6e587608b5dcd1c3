//! TLS: certificate and key from files, which are read again when they change. What is served goes on
//! being served while what is there now cannot be used.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls_pki_types::pem::{self, PemObject as _};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;

use crate::error::{Error, Result};
use crate::watch::Changes;

/// What is spoken over TLS, the better first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// `[tls]`: without it, HTTP is served without TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// The host's certificate and those that vouch for it, in PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<PathBuf>,
    /// The certificate's private key, in PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
}

/// Certificate and key, where they are.
#[derive(Clone, Debug)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

impl TlsConfig {
    fn files(&self) -> Result<Option<Files>> {
        match (&self.certificate, &self.key) {
            (Some(certificate), Some(key)) => {
                Ok(Some(Files { certificate: certificate.clone(), key: key.clone() }))
            }
            (None, None) => Ok(None),
            _ => Err(Error::invalid(
                "of `tls.certificate` and `tls.key` one is missing: give both, or none",
            )),
        }
    }

    /// Checks what no single key can say.
    ///
    /// # Errors
    /// Names the keys, and what is allowed.
    pub(crate) fn check(&self) -> Result<()> {
        self.files().map(|_| ())
    }
}

/// What new connections are encrypted with.
pub(crate) struct Tls {
    current: ArcSwap<(Files, Arc<ServerConfig>)>,
}

impl Tls {
    /// Reads the files that the configuration names; none where it names none.
    ///
    /// # Errors
    /// Names the file that cannot be used, and why.
    pub(crate) fn open(config: &TlsConfig) -> Result<Option<Self>> {
        let Some(files) = config.files()? else { return Ok(None) };
        let server = files.read()?;
        Ok(Some(Self { current: ArcSwap::from_pointee((files, server)) }))
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.current.load().1))
    }

    /// Takes the files that the configuration names now for new connections.
    ///
    /// # Errors
    /// As [`open`](Self::open); then what was before goes on being used.
    pub(crate) async fn reload(&self, config: &TlsConfig) -> Result<()> {
        let Some(files) = config.files()? else {
            return Err(Error::invalid("`tls.certificate`: TLS ends with the process, not before"));
        };
        self.take(files).await
    }

    async fn take(&self, files: Files) -> Result<()> {
        let reading = tokio::task::spawn_blocking(move || files.read().map(|it| (files, it)));
        let read = reading
            .await
            .map_err(|error| Error::internal("the files were not read").because(error))??;
        self.current.store(Arc::new(read));
        Ok(())
    }

    /// Reads the files again whenever something changes beside them.
    pub(crate) async fn follow(&self) {
        loop {
            let watched = self.current.load().0.clone();
            let mut changes = match watched.changes() {
                Ok(changes) => changes,
                Err(error) => {
                    tracing::warn!("{error}: a new certificate needs a reload");
                    return;
                }
            };
            loop {
                changes.next().await;
                let files = self.current.load().0.clone();
                match self.take(files.clone()).await {
                    Ok(()) => tracing::info!("the certificate was read again"),
                    Err(error) => {
                        tracing::warn!("{error}: the certificate of before goes on being used");
                    }
                }
                // A reload may have named others.
                if files.certificate != watched.certificate || files.key != watched.key {
                    break;
                }
            }
        }
    }
}

impl Files {
    fn read(&self) -> Result<Arc<ServerConfig>> {
        let chain = CertificateDer::pem_file_iter(&self.certificate)
            .and_then(|chain| chain.collect::<Result<Vec<_>, _>>())
            .map_err(|error| unusable(&self.certificate, &error))?;
        if chain.is_empty() {
            return Err(unusable(&self.certificate, &pem::Error::NoItemsFound));
        }
        let key =
            PrivateKeyDer::from_pem_file(&self.key).map_err(|error| unusable(&self.key, &error))?;
        let server = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map(|builder| builder.with_no_client_auth())
            .and_then(|builder| builder.with_single_cert(chain, key));
        let mut server = server.map_err(|error| {
            let (certificate, key) = (self.certificate.display(), self.key.display());
            Error::invalid(format!("{certificate} and {key}: {error}"))
                .hint("the key must be the certificate's own")
        })?;
        server.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).into();
        Ok(Arc::new(server))
    }

    /// What happens beside them: certificates are replaced by renaming, or by changing links.
    fn changes(&self) -> Result<Changes> {
        let mut changes = Changes::new(|_| true)?;
        let folders = [&self.certificate, &self.key].map(|file| folder(file));
        changes.watch(folders[0], false)?;
        if folders[1] != folders[0] {
            changes.watch(folders[1], false)?;
        }
        Ok(changes)
    }
}

fn folder(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn unusable(file: &Path, error: &pem::Error) -> Error {
    Error::invalid(format!("{}: {error}", file.display()))
        .hint("[tls] names a certificate and its key, both in PEM")
}
