//! Where the server is, and how to get there: its address, TLS, and what a session begins with.

use std::io;
use std::path::Path;
use std::str::FromStr as _;

use postgres_protocol::message::frontend;
use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx_core::net::tls::{self, CertificateInput, TlsConfig};
use sqlx_core::net::{Socket, SocketIntoBox, WithSocket, connect_tcp, connect_uds};

use crate::error::{Error, Result};

/// The server of a `postgres://` address. Whoever logs in, and with what, is said elsewhere.
pub(super) struct Endpoint {
    options: PgConnectOptions,
    root_certificate: Option<CertificateInput>,
    certificate: Option<CertificateInput>,
    key: Option<CertificateInput>,
}

impl Endpoint {
    /// # Errors
    /// When the address makes no sense.
    pub(super) fn new(url: &str) -> Result<Self> {
        let senseless = || {
            Error::invalid("`database.url` is no address of a PostgreSQL database")
                .hint("it looks like postgres://user:password@host/name")
        };
        let options = PgConnectOptions::from_str(url).map_err(|_| senseless())?;
        let parsed = url::Url::parse(url).map_err(|_| senseless())?;
        // Under the names that sqlx knows.
        let file = |names: &[&str]| {
            let pairs = parsed.query_pairs();
            let (_, file) = pairs.filter(|(key, _)| names.contains(&&**key)).last()?;
            Some(CertificateInput::from(file.into_owned()))
        };
        Ok(Self {
            options,
            root_certificate: file(&["sslrootcert", "ssl-root-cert", "ssl-ca"]),
            certificate: file(&["sslcert", "ssl-cert"]),
            key: file(&["sslkey", "ssl-key"]),
        })
    }

    /// How sqlx logs in there.
    pub(super) fn options(&self, user: &str, password: &str) -> PgConnectOptions {
        self.options
            .clone()
            .application_name("hostel")
            .username(user)
            .password(password)
            .disable_statement_logging()
    }

    /// Opens a way to the server, by TLS where the address wants that or the server can.
    pub(super) async fn connect(&self) -> Result<Box<dyn Socket>, sqlx::Error> {
        let (host, port) = (self.options.get_host(), self.options.get_port());
        let folder = self.options.get_socket().map(|folder| folder.as_path());
        let folder = folder.or_else(|| Some(Path::new(host)).filter(|host| host.is_absolute()));
        match folder {
            Some(folder) => {
                connect_uds(folder.join(format!(".s.PGSQL.{port}")), SocketIntoBox).await
            }
            None => connect_tcp(host, port, Upgrade(self)).await?,
        }
    }

    /// What a session of `user` begins with.
    pub(super) fn session(&self, user: &str) -> Vec<(&'static str, String)> {
        let mut parameters = vec![
            ("user", user.to_owned()),
            ("application_name", "hostel".to_owned()),
            ("client_encoding", "UTF8".to_owned()),
            ("DateStyle", "ISO, MDY".to_owned()),
            ("TimeZone", "UTC".to_owned()),
        ];
        let (database, options) = (self.options.get_database(), self.options.get_options());
        // Left out, the server takes the user's name for the database's, which is no guest's.
        let database = database.unwrap_or(self.options.get_username());
        parameters.push(("database", database.to_owned()));
        parameters.extend(options.map(|options| ("options", options.to_owned())));
        parameters
    }
}

/// What makes TLS of a plain connection.
struct Upgrade<'a>(&'a Endpoint);

impl WithSocket for Upgrade<'_> {
    type Output = Result<Box<dyn Socket>, sqlx::Error>;

    async fn with_socket<S: Socket>(self, mut socket: S) -> Self::Output {
        let Self(endpoint) = self;
        let mode = endpoint.options.get_ssl_mode();
        if matches!(mode, PgSslMode::Allow | PgSslMode::Disable) {
            return Ok(Box::new(socket));
        }
        if !accepts_tls(&mut socket).await? {
            if matches!(mode, PgSslMode::Prefer) {
                return Ok(Box::new(socket));
            }
            return Err(sqlx::Error::Tls("the server does not speak TLS".into()));
        }
        let config = TlsConfig {
            accept_invalid_certs: !matches!(mode, PgSslMode::VerifyCa | PgSslMode::VerifyFull),
            accept_invalid_hostnames: !matches!(mode, PgSslMode::VerifyFull),
            hostname: endpoint.options.get_host(),
            root_cert_path: endpoint.root_certificate.as_ref(),
            client_cert_path: endpoint.certificate.as_ref(),
            client_key_path: endpoint.key.as_ref(),
        };
        tls::handshake(socket, config, SocketIntoBox).await
    }
}

/// Whether the server goes on with TLS.
async fn accepts_tls(socket: &mut impl Socket) -> io::Result<bool> {
    let mut request = bytes::BytesMut::new();
    frontend::ssl_request(&mut request);
    let mut written = 0;
    while written < request.len() {
        written += socket.write(&request[written..]).await?;
    }
    let mut answer = [0];
    socket.read(&mut &mut answer[..]).await?;
    match answer {
        [b'S'] => Ok(true),
        [b'N'] => Ok(false),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "the server does not know of TLS")),
    }
}
