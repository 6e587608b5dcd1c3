//! Who is calling, where the program that the platform is part of knows: the probe shows what a
//! guest is told of it.

use hostel::{Authenticator, Caller, Error, ErrorKind, Result, Tenant};
use hostel_tests::{Answer, Client, TestPlatform};
use http::HeaderName;
use http::request::Parts;

/// Sessions of a program: a token is `tenant/user/grant`, where it is well formed.
struct Sessions;

impl Authenticator for Sessions {
    async fn authenticate(&self, request: &Parts, tenant: &Tenant) -> Result<Option<Caller>> {
        let Some(key) = request.headers.get("x-key") else { return Ok(None) };
        match key.to_str().unwrap_or_default().split('/').collect::<Vec<_>>()[..] {
            ["hangs"] => std::future::pending().await,
            ["panics"] => panic!("the program has a mistake"),
            ["busy"] => {
                let told = "sessions cannot be read: try again";
                Err(Error::new(ErrorKind::Unavailable, "sessions", told).because("s3cret"))
            }
            [of, user, grant] if of == tenant.slug.as_str() => {
                Caller::account(user.parse()?).granting([grant]).map(Some)
            }
            _ => Err(Error::invalid_credentials()),
        }
    }

    fn credential_headers(&self) -> Vec<HeaderName> {
        vec![HeaderName::from_static("x-key")]
    }
}

async fn platform() -> TestPlatform {
    TestPlatform::setup().built(|builder| builder.authenticator(Sessions)).start().await
}

async fn get(client: &Client, path: &str, key: &str) -> Answer {
    client.request("GET", path).header("x-key", key).send().await
}

#[tokio::test]
async fn a_known_caller_may_do_what_was_granted_and_is_told_when_not() {
    let platform = platform().await;
    let acme = platform.tenant("acme").await;
    let secret = "/api/probe/secret";
    assert_eq!(acme.get(secret).await.code(), "401 unauthenticated");
    assert_eq!(get(&acme, secret, "acme/alice/probe:secret").await.text(), "the secret");
    let refused = get(&acme, secret, "acme/bob/probe:other").await;
    assert_eq!(refused.code(), "403 denied");
    // What everybody may, they may, too.
    assert_eq!(get(&acme, "/api/notes", "acme/bob/probe:other").await.status(), 200);
}

#[tokio::test]
async fn a_guest_knows_who_is_calling_and_sees_no_credentials() {
    let platform = platform().await;
    let acme = platform.tenant("acme").await;
    let echo = get(&acme, "/api/probe/echo/x", "acme/alice/probe:*").await.ok();
    assert_eq!(echo["principal"]["kind"], "account");
    assert_eq!(echo["principal"]["id"], "alice");
    assert!(!echo.to_string().contains("acme/alice"), "{echo}");
    let echo = acme.get("/api/probe/echo/x").await.ok();
    assert_eq!(echo["principal"]["kind"], "anonymous");
}

#[tokio::test]
async fn credentials_that_are_wrong_or_of_another_tenant_are_refused() {
    let platform = platform().await;
    let (acme, _) = (platform.tenant("acme").await, platform.tenant("other").await);
    for wrong in ["nonsense", "other/alice/probe:*", "acme/alice"] {
        let refused = get(&acme, "/api/probe/counter", wrong).await;
        assert_eq!(refused.code(), "401 invalid-credentials", "{wrong}");
    }
    let unread = acme.request("GET", "/api/probe/counter").bearer("abc");
    assert_eq!(unread.send().await.code(), "401 invalid-credentials");
}

#[tokio::test]
async fn a_program_that_cannot_tell_costs_one_request() {
    let config = "[limits]\ncall_timeout_ms = 500";
    let setup = TestPlatform::setup().built(|builder| builder.authenticator(Sessions));
    let platform = setup.config(config).start().await;
    let acme = platform.tenant("acme").await;
    acme.warm("/api/probe/counter").await;
    for (key, code) in [
        ("hangs", "503 authentication-timeout"),
        ("busy", "503 sessions"),
        ("panics", "500 internal"),
    ] {
        let refused = get(&acme, "/api/probe/counter", key).await;
        assert_eq!(refused.code(), code);
        assert!(!refused.text().contains("s3cret"), "{}", refused.text());
    }
    assert_eq!(acme.get("/api/probe/counter").await.status(), 200);
}
