//! Lists in pages: a cursor and a limit in, items and the next cursor out.

use std::fmt::Display;
use std::str::FromStr;

use form_urlencoded::Serializer;
use schemars::JsonSchema;
use serde::Serialize;

use crate::extract::{FromRequest, describe_invalid};
use crate::handler::Operation;
use crate::problem::Problem;
use crate::request::Request;
use crate::response::{IntoResponse, Response};

/// How many items a page has when neither the client nor the module says.
const DEFAULT_LIMIT: u32 = 20;
/// How many items a client may ask for.
const MAX_LIMIT: u32 = 100;

/// Which page the client asks for: `?cursor=…&limit=…`.
///
/// `C` is what a cursor stands for, usually the id of the last item that the client has seen; for
/// clients it is opaque. Ask the database for [`look_ahead`](Self::look_ahead) items after
/// `page.after`, and answer with [`answer`](Self::answer):
///
/// ```
/// # use hostel_sdk::prelude::*;
/// fn list(page: Page<i64>, db: Db) -> Result<Paged<i64>, Problem> {
///     let rows: Vec<Row> = db.query(
///         "SELECT id FROM numbers WHERE id > $1 ORDER BY id LIMIT $2",
///         params![page.after.unwrap_or(0), page.look_ahead()],
///     )?;
///     let ids = rows.iter().map(|row| row.get("id")).collect::<Result<_, _>>()?;
///     Ok(page.answer(ids, |id| *id))
/// }
/// ```
///
/// A client that names no limit gets twenty items, unless the handler begins with
/// `let page = page.or_limit(50);`. What it asked for is `page.limit()`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page<C = String> {
    /// Where the page before ended; `None` for the first page.
    pub after: Option<C>,
    limit: Option<u32>,
}

impl<C> Page<C> {
    /// How many items the page has at most.
    #[must_use]
    pub fn limit(&self) -> u32 {
        self.limit.unwrap_or(DEFAULT_LIMIT)
    }

    /// The same page with another limit where the client gave none.
    #[must_use]
    pub fn or_limit(mut self, limit: u32) -> Self {
        self.limit = self.limit.or(Some(limit.clamp(1, MAX_LIMIT)));
        self
    }

    /// How many items to ask the database for: the one too many tells whether there is a next page.
    #[must_use]
    pub fn look_ahead(&self) -> u32 {
        self.limit() + 1
    }

    /// The page as an answer; `cursor` says where the next page goes on, from this page's last item.
    pub fn answer<T, D: Display>(
        &self,
        mut items: Vec<T>,
        cursor: impl FnOnce(&T) -> D,
    ) -> Paged<T> {
        let limit = self.limit();
        let has_next = items.len() > limit as usize;
        items.truncate(limit as usize);
        let last = items.last().filter(|_| has_next);
        Paged { next: last.map(|item| cursor(item).to_string()), items, total: None, limit }
    }
}

impl<C: FromStr> FromRequest for Page<C> {
    fn from_request(request: &mut Request) -> Result<Self, Problem> {
        parse(request.query())
    }

    fn describe(operation: &mut Operation) {
        operation.query::<Asked>();
        describe_invalid(operation);
    }
}

/// What clients say of a page.
#[derive(JsonSchema)]
#[allow(dead_code, reason = "it is there for its schema")]
struct Asked {
    /// Where the page before ended: its `next`.
    cursor: Option<String>,
    /// How many items the page has at most.
    #[schemars(range(min = 1, max = MAX_LIMIT))]
    limit: Option<u32>,
}

fn parse<C: FromStr>(query: &[(String, String)]) -> Result<Page<C>, Problem> {
    let find = |name| query.iter().find(|(it, _)| it == name).map(|(_, value)| value.as_str());
    let mut problem = Problem::invalid();
    let limit = find("limit").map(str::parse::<u32>);
    if !matches!(limit, None | Some(Ok(1..=MAX_LIMIT))) {
        let detail = format!("this is not a whole number from 1 to {MAX_LIMIT}");
        problem = problem.field("query/limit", detail);
    }
    let after = find("cursor").map(C::from_str);
    if matches!(after, Some(Err(_))) {
        problem = problem.field("query/cursor", "this is no cursor that an earlier page gave");
    }
    if problem.errors().is_empty() {
        Ok(Page { after: after.and_then(Result::ok), limit: limit.and_then(Result::ok) })
    } else {
        Err(problem)
    }
}

/// One page of a list: `{"items": […], "next": "…"}`, and the next page's place in a `Link` header
/// (RFC 8288). `next` is `null` on the last page. A [`Page`] makes it:
///
/// ```
/// # use hostel_sdk::prelude::*;
/// fn digits(page: Page<u8>) -> Paged<u8> {
///     let rest = page.after.map_or(0, |after| after + 1)..=9;
///     let shown = rest.take(page.look_ahead() as usize).collect();
///     page.answer(shown, |digit| *digit)
/// }
/// # let _ = get("/digits", digits);
/// ```
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "{T}Page", description = "One page of a list.")]
pub struct Paged<T> {
    items: Vec<T>,
    /// The cursor of the next page.
    next: Option<String>,
    /// How many there are on all pages, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<u64>,
    #[serde(skip)]
    limit: u32,
}

impl<T> Paged<T> {
    pub(crate) fn of(items: Vec<T>, next: Option<String>, limit: u32) -> Self {
        Self { items, next, total: None, limit }
    }

    /// The same page, with how many items there are on all pages.
    ///
    /// ```
    /// # use hostel_sdk::prelude::*;
    /// fn digits(page: Page<u8>) -> Paged<u8> {
    ///     let rest = page.after.map_or(0, |after| after + 1)..=9;
    ///     let shown = rest.take(page.look_ahead() as usize).collect();
    ///     page.answer(shown, |digit| *digit).of_total(10)
    /// }
    /// # let _ = get("/digits", digits);
    /// ```
    #[must_use]
    pub fn of_total(mut self, total: u64) -> Self {
        self.total = Some(total);
        self
    }

    /// The same page with something else of each item.
    ///
    /// ```
    /// # use hostel_sdk::prelude::*;
    /// # fn digits(page: Page<u8>) -> Paged<u8> { page.answer(Vec::new(), |digit| *digit) }
    /// fn words(page: Page<u8>) -> Paged<String> {
    ///     digits(page).map(|digit| format!("number {digit}"))
    /// }
    /// # let _ = get("/words", words);
    /// ```
    #[must_use]
    pub fn map<U>(self, change: impl FnMut(T) -> U) -> Paged<U> {
        let Self { items, next, total, limit } = self;
        Paged { items: items.into_iter().map(change).collect(), next, total, limit }
    }

    pub(crate) fn try_map_all<U, E>(
        self,
        change: impl FnOnce(Vec<T>) -> Result<Vec<U>, E>,
    ) -> Result<Paged<U>, E> {
        let Self { items, next, total, limit } = self;
        Ok(Paged { items: change(items)?, next, total, limit })
    }
}

impl<T: Serialize + JsonSchema> IntoResponse for Paged<T> {
    fn into_response(self, request: &Request) -> Result<Response, Problem> {
        let response = Response::json(&self)?;
        Ok(match &self.next {
            Some(next) => response.header("link", link(request.query(), next, self.limit)),
            None => response,
        })
    }

    fn describe(operation: &mut Operation) {
        operation.response::<Self>();
        operation.response_header(
            "link",
            "The next page, where there is one: `<?cursor=…>; rel=\"next\"`",
        );
    }
}

/// The next page, relative to this one, with the client's other pairs (filters, say) kept.
fn link(query: &[(String, String)], cursor: &str, limit: u32) -> String {
    let others = query.iter().filter(|(name, _)| name != "cursor" && name != "limit");
    let next = Serializer::new(String::new())
        .extend_pairs(others)
        .append_pair("cursor", cursor)
        .append_pair("limit", &limit.to_string())
        .finish();
    format!("<?{next}>; rel=\"next\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    fn page(pairs: &[(&str, &str)]) -> Result<Page<u64>, Vec<String>> {
        parse(&query(pairs))
            .map_err(|problem| problem.errors().iter().map(|it| it.pointer.clone()).collect())
    }

    #[test]
    fn a_page_has_defaults_and_limits() {
        let page = |pairs: &[(&str, &str)]| page(pairs).map(|it| (it.after, it.limit()));
        assert_eq!(page(&[]), Ok((None, 20)));
        assert_eq!(page(&[("limit", "100"), ("cursor", "7")]), Ok((Some(7), 100)));
        for limit in ["0", "101", "-1", "x", ""] {
            assert_eq!(page(&[("limit", limit)]), Err(vec!["query/limit".to_owned()]));
        }
        let both = vec!["query/limit".to_owned(), "query/cursor".to_owned()];
        assert_eq!(page(&[("limit", "0"), ("cursor", "x")]), Err(both));
    }

    #[test]
    fn a_module_may_have_a_limit_of_its_own() {
        let limit = |pairs, own| page(pairs).map(|it| it.or_limit(own).limit());
        assert_eq!(limit(&[], 50), Ok(50));
        assert_eq!(limit(&[("limit", "5")], 50), Ok(5));
        assert_eq!(limit(&[], 0), Ok(1));
    }

    #[test]
    fn the_item_too_many_makes_the_cursor() {
        let page: Page<u64> = Page { after: None, limit: Some(2) };
        assert_eq!(page.look_ahead(), 3);
        let full = page.answer(vec![1, 2, 3], |item| *item);
        assert_eq!((full.items, full.next.as_deref()), (vec![1, 2], Some("2")));
        let last = page.answer(vec![4, 5], |item| *item);
        assert_eq!((last.items, last.next), (vec![4, 5], None));
    }

    #[test]
    fn the_link_keeps_filters_and_encodes() {
        let query = query(&[("tag", "a b"), ("cursor", "old"), ("limit", "5")]);
        assert_eq!(link(&query, "1&2", 5), r#"<?tag=a+b&cursor=1%262&limit=5>; rel="next""#);
    }
}
