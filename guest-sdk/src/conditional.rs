//! Versions of what is answered (`ETag`), and changes that hold only while nobody else made one.

use std::fmt::Display;

use crate::extract::FromRequest;
use crate::handler::Operation;
use crate::problem::Problem;
use crate::request::Request;
use crate::response::{IntoResponse, Response};

/// An answer with the version of what it shows, in the `ETag` header. A client that sends it back
/// with its next `GET` is answered 304 by the host while the version is the same, and with a change
/// as [`IfMatch`].
///
/// ```
/// # use hostel_sdk::prelude::*;
/// struct Price {
///     cents: i64,
///     version: i64,
/// }
/// # impl FromRow for Price {
/// #     fn from_row(row: &Row) -> Result<Self, Error> {
/// #         Ok(Self { cents: row.get("cents")?, version: row.get("version")? })
/// #     }
/// # }
///
/// fn read(Path(article): Path<String>, db: Db) -> Result<Tagged<Json<i64>>, Problem> {
///     let price: Price = db.query_one(
///         "SELECT cents, version FROM prices WHERE article = $1",
///         params![article],
///     )?;
///     Ok(Tagged::by(price.version, Json(price.cents)))
/// }
/// # let _ = get("/prices/{article}", read);
/// ```
#[derive(Clone, Debug)]
pub struct Tagged<R> {
    version: String,
    answer: R,
}

impl<R> Tagged<R> {
    /// `version` differs whenever the answer does: a number that grows, a time, an id. It is written
    /// in visible ASCII without quotes.
    pub fn by(version: impl Display, answer: R) -> Self {
        Self { version: version.to_string(), answer }
    }
}

impl<R: IntoResponse> IntoResponse for Tagged<R> {
    fn into_response(self, request: &Request) -> Result<Response, Problem> {
        let answer = self.answer.into_response(request)?;
        Ok(answer.header("etag", format!("\"{}\"", self.version)))
    }

    fn describe(operation: &mut Operation) {
        R::describe(operation);
    }
}

/// The version that a client means to change (`If-Match`), where it says so.
///
/// ```
/// # use hostel_sdk::prelude::*;
/// fn change(
///     Path(article): Path<String>,
///     if_match: IfMatch,
///     Json(cents): Json<i64>,
///     db: Db,
/// ) -> Result<(), Problem> {
///     db.transaction(|tx| {
///         let row: Row =
///             tx.query_one("SELECT version FROM prices WHERE article = $1", params![article])?;
///         if_match.check(row.get::<i64>("version")?)?;
///         tx.execute(
///             "UPDATE prices SET cents = $2, version = version + 1 WHERE article = $1",
///             params![article, cents],
///         )?;
///         Ok(())
///     })
/// }
/// # let _ = put("/prices/{article}", change);
/// ```
#[derive(Clone, Debug, Default)]
pub struct IfMatch(Option<String>);

impl IfMatch {
    /// Whether the client said which version it means.
    ///
    /// ```
    /// # use hostel_sdk::prelude::*;
    /// # use hostel_sdk::conditional::IfMatch;
    /// fn change(if_match: IfMatch) -> Result<(), Problem> {
    ///     if !if_match.is_given() {
    ///         return Err(Problem::new(428, "version-needed", "say in `if-match` what you have seen"));
    ///     }
    ///     Ok(())
    /// }
    /// # let _ = put("/prices", change);
    /// ```
    #[must_use]
    pub fn is_given(&self) -> bool {
        self.0.is_some()
    }

    /// Whether the client means this version, any, or did not say.
    ///
    /// Tags are compared by what is in their quotes: the host marks those of answers that it
    /// compressed as weak, and they name the same version.
    ///
    /// # Errors
    /// 412 `precondition-failed` where it means another.
    pub fn check(&self, version: impl Display) -> Result<(), Problem> {
        let Some(wanted) = &self.0 else { return Ok(()) };
        let version = version.to_string();
        let is_it = |tag: &str| {
            let tag = tag.trim();
            let tag = tag.strip_prefix("W/").unwrap_or(tag);
            let quoted = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
            tag == "*" || quoted == Some(version.as_str())
        };
        if wanted.split(',').any(is_it) {
            return Ok(());
        }
        Err(Problem::new(
            412,
            "precondition-failed",
            "somebody changed this since you read it: read it again",
        ))
    }
}

impl FromRequest for IfMatch {
    fn from_request(request: &mut Request) -> Result<Self, Problem> {
        let sent = request.headers().iter().filter(|(name, _)| name == "if-match");
        let sent: Vec<&str> = sent.map(|(_, value)| value.as_str()).collect();
        Ok(Self((!sent.is_empty()).then(|| sent.join(","))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_let_through_for_the_version_that_it_means() {
        let check = |sent: &str| IfMatch(Some(sent.to_owned())).check(7).map_err(|it| it.status());
        for good in ["\"7\"", "W/\"7\"", "*", "\"6\", \"7\""] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in ["\"8\"", "7", "", "\"77\"", "\"7"] {
            assert_eq!(check(bad), Err(412), "{bad}");
        }
        assert!(IfMatch::default().check(7).is_ok() && !IfMatch::default().is_given());
    }
}
