//! Who is calling: asked of the program that the platform is part of, where it knows.

use std::future::Future;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::header::{self, HeaderName};
use http::request::Parts;

use super::{App, operator};
use crate::call::Tenant;
use crate::capabilities::permissions::Caller;
use crate::error::{Error, ErrorKind, Result};
use crate::runtime::TenantState;

/// Tells who is calling, for a program that has users of its own.
///
/// ```
/// use axum::http::request::Parts;
/// use hostel::{Authenticator, Caller, Error, Result, Tenant};
/// # struct Session { user: hostel::AccountId, is_editor: bool }
/// # struct Sessions;
/// # impl Sessions {
/// #     async fn find(&self, _: hostel::TenantId, _: &str) -> Result<Option<Session>> { Ok(None) }
/// # }
///
/// /// The program's sessions, in its own database.
/// impl Authenticator for Sessions {
///     async fn authenticate(&self, request: &Parts, tenant: &Tenant) -> Result<Option<Caller>> {
///         let Some(header) = request.headers.get("authorization") else { return Ok(None) };
///         let token = header.to_str().ok().and_then(|value| value.strip_prefix("Bearer "));
///         let token = token.ok_or_else(Error::invalid_credentials)?;
///         // A session of another tenant is none.
///         let session = self.find(tenant.id, token).await?;
///         let session = session.ok_or_else(Error::invalid_credentials)?;
///         let grants = if session.is_editor { ["notes:*"] } else { ["notes:read"] };
///         Caller::account(session.user).granting(grants).map(Some)
///     }
/// }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<()> {
/// # let folder = tempfile::tempdir()?;
/// let platform = hostel::Platform::builder().authenticator(Sessions)
/// #   .data_dir(folder.path())
///     .build().await?;
/// # Ok(()) }
/// ```
///
/// It is asked for every request below `/api`, after the tenant is found and before anything else,
/// so that it should remember what it learned. What the program's own layers around
/// [`Platform::router`](crate::Platform::router) put into the request's extensions is there.
///
/// Browsers send cookies by themselves, also when another site makes them ask: who takes a cookie
/// for a request that changes something looks at its `origin` or `sec-fetch-site`, too.
pub trait Authenticator: Send + Sync + 'static {
    /// Who sends this request to `tenant`. The same credentials may mean somebody else, or nobody,
    /// in another tenant.
    ///
    /// `None` where the request bears no credentials that this program knows of: its caller is
    /// anonymous. An `authorization` header that nobody knows is refused then.
    ///
    /// # Errors
    /// [`Error::invalid_credentials`] for credentials that are wrong or have expired, `unavailable`
    /// when it cannot be found out now. The client is told the message.
    fn authenticate(
        &self,
        request: &Parts,
        tenant: &Tenant,
    ) -> impl Future<Output = Result<Option<Caller>>> + Send;

    /// Headers with credentials, beside `authorization`, `proxy-authorization` and `cookie`, which
    /// no module sees. Asked once, when the platform is built.
    fn credential_headers(&self) -> Vec<HeaderName> {
        Vec::new()
    }
}

/// The program's [`Authenticator`].
pub(crate) struct Authentication {
    asked: Box<dyn Asked>,
    pub(super) credential_headers: Vec<HeaderName>,
}

impl Authentication {
    pub(crate) fn by(authenticator: impl Authenticator) -> Self {
        let credential_headers = authenticator.credential_headers();
        Self { asked: Box::new(authenticator), credential_headers }
    }
}

/// [`Authenticator`] as an object.
trait Asked: Send + Sync {
    fn ask<'a>(
        &'a self,
        request: &'a Parts,
        tenant: &'a Tenant,
    ) -> BoxFuture<'a, Result<Option<Caller>>>;
}

impl<A: Authenticator> Asked for A {
    fn ask<'a>(
        &'a self,
        request: &'a Parts,
        tenant: &'a Tenant,
    ) -> BoxFuture<'a, Result<Option<Caller>>> {
        self.authenticate(request, tenant).boxed()
    }
}

/// Who sends this request. The operator's token is that in the platform's own tenant, and nobody's
/// in any other.
///
/// # Errors
/// `invalid-credentials` for those that nobody knows: saying so beats answering as if they had not
/// been sent.
pub(super) async fn of(app: &App, parts: &Parts, tenant: &TenantState) -> Result<Caller> {
    if tenant.tenant.is_platform() && operator::is_operator(app, &parts.headers) {
        return Ok(Caller::operator());
    }
    if let Some(authentication) = &app.authentication {
        let asking = authentication.asked.ask(parts, &tenant.tenant);
        let timeout = tenant.limits.call_timeout_ms.as_millis();
        let caller = tokio::time::timeout(timeout, asking).await.map_err(|_| {
            Error::new(
                ErrorKind::Unavailable,
                "authentication-timeout",
                "it could not be found out in time who is calling: try again",
            )
        })??;
        if let Some(caller) = caller {
            return Ok(caller);
        }
    }
    if parts.headers.contains_key(header::AUTHORIZATION) {
        return Err(Error::invalid_credentials());
    }
    Ok(Caller::anonymous())
}
