//! TLS by the host itself: both versions of HTTP, and certificates that change.

use std::net::SocketAddr;
use std::sync::Arc;

use hostel_tests::frames::{HEADERS, get, preface};
use hostel_tests::{DEADLINE, Folder, Hostel, Peer, eventually, notes};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

const CONFIG: &str = "[tls]\ncertificate = 'tls/certificate.pem'\nkey = 'tls/key.pem'\n";
const NAME: &str = "hostel.example";

/// Writes a new certificate and its key, and gives what clients must trust.
fn certify(folder: &Folder) -> CertificateDer<'static> {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed([NAME.to_owned()]).unwrap();
    folder.write("tls/key.pem", signing_key.serialize_pem());
    folder.write("tls/certificate.pem", cert.pem());
    cert.der().clone()
}

async fn connect(
    address: SocketAddr,
    trusted: &CertificateDer<'static>,
    protocol: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from(NAME).unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

async fn serving() -> (Folder, Hostel, CertificateDer<'static>) {
    let folder = Folder::warm().await;
    let trusted = certify(&folder);
    folder.write("platform.toml", CONFIG);
    let hostel = folder.start(&["serve"]);
    (folder, hostel, trusted)
}

#[tokio::test]
async fn http_1_is_spoken_over_tls() {
    let (_folder, hostel, trusted) = serving().await;
    let mut stream = connect(hostel.address(), &trusted, "http/1.1").await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    let request = "GET /api/notes HTTP/1.1\r\nhost: hostel.example\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    assert!(answer.contains("strict-transport-security: max-age=31536000\r\n"), "{answer}");
}

#[tokio::test]
async fn http_2_is_agreed_on_over_tls() {
    let (_folder, hostel, trusted) = serving().await;
    let mut stream = connect(hostel.address(), &trusted, "h2").await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    stream.write_all(&[preface(&[]), get(1, "/health/live")].concat()).await.unwrap();
    let answered = async {
        loop {
            let mut head = [0; 9];
            stream.read_exact(&mut head).await.unwrap();
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; length as usize];
            stream.read_exact(&mut payload).await.unwrap();
            if head[3] == HEADERS {
                // `:status 200`, by its number.
                assert_eq!((head[8], payload[0]), (1, 0x88));
                return;
            }
        }
    };
    tokio::time::timeout(DEADLINE, answered).await.expect("an answer");
}

#[tokio::test]
async fn who_speaks_no_tls_is_not_answered() {
    let (folder, hostel, _) = serving().await;
    let request = "GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n";
    let mut plain = Peer::sending(hostel.address(), request).await;
    let told = plain.until_closed().await;
    assert!(!told.contains("HTTP/"), "{told:?}");
    // Nor is who says nothing waited for.
    drop(hostel);
    folder.write("platform.toml", format!("{CONFIG}[http]\nhead_timeout_ms = 200\n"));
    let hostel = folder.start(&["serve"]);
    assert_eq!(Peer::to(hostel.address()).await.until_closed().await, "");
}

#[tokio::test]
async fn a_new_certificate_is_taken_and_a_broken_one_is_not() {
    let (folder, hostel, first) = serving().await;
    let is_served = async |trusted: &CertificateDer<'static>| {
        connect(hostel.address(), trusted, "http/1.1").await.is_ok()
    };
    assert!(is_served(&first).await);
    folder.write("tls/key.pem", "no key");
    hostel.line(&["key.pem", "goes on being used"]);
    assert!(is_served(&first).await);

    let second = certify(&folder);
    eventually("the new certificate is served", async || is_served(&second).await.then_some(()))
        .await;
    assert!(!is_served(&first).await);
}

#[test]
fn what_cannot_be_served_is_named() {
    let folder = Folder::new();
    let refused = |config: &str| {
        folder.write("platform.toml", config);
        let done = folder.run(&["serve", "--listen", "127.0.0.1:0"]);
        assert_eq!(done.code, Some(1), "{config}");
        done.stderr
    };
    let told = refused("[tls]\nkey = 'tls/key.pem'");
    assert!(told.contains("`tls.certificate` and `tls.key` one is missing"), "{told}");
    let told = refused(CONFIG);
    assert!(told.contains("tls/certificate.pem: "), "{told}");
    certify(&folder);
    let other = std::fs::read(folder.path("tls/key.pem")).unwrap();
    certify(&folder);
    folder.write("tls/key.pem", other);
    let told = refused(CONFIG);
    assert!(told.contains("the key must be the certificate's own"), "{told}");
    folder.write("tls/certificate.pem", std::fs::read(notes()).unwrap());
    let told = refused(CONFIG);
    assert!(told.contains("tls/certificate.pem: "), "{told}");
}
