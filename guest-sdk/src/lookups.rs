//! Look-ups: tables that all tenants share and operators load, such as countries, currencies and
//! tax rates.
//!
//! Rows become structs: a field for each column that the module wants, of any type that a text can
//! become. An empty cell is `None` for a field that is an [`Option`].
//!
//! ```
//! # use hostel_sdk::prelude::*;
//! use hostel_sdk::lookups;
//!
//! #[derive(Serialize, Deserialize, JsonSchema)]
//! struct Country {
//!     code: String,
//!     name: String,
//!     vat_percent: Option<f64>,
//! }
//!
//! fn country(Path(code): Path<String>) -> Result<Json<Country>, Problem> {
//!     let found = lookups::get("countries", &code)?;
//!     Ok(Json(found.ok_or_else(|| Problem::not_found("country"))?))
//! }
//! # let _ = get("/countries/{code}", country);
//! ```
//!
//! The operator loads it, and may load another version at any time:
//!
//! ```sh
//! hostel lookup load countries countries.csv
//! ```
//!
//! In tests, `hostel_sdk::testing::App::lookup` does.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;

use crate::bindings::hostel::lookups::lookups as host;
use crate::from_text::from_row;
use crate::{Error, ErrorKind};

/// What the host gives at once.
const ROWS_MAX: usize = 1_000;

/// Rows of one version of a look-up, in the order of their keys.
///
/// ```
/// # use hostel_sdk::prelude::*;
/// # use hostel_sdk::lookups::{self, LookupPage};
/// # #[derive(Deserialize)]
/// # struct Country { name: String }
/// fn first_name() -> Result<Option<String>, Error> {
///     let page: LookupPage<Country> = lookups::page("countries", None, 1)?;
///     Ok(page.rows.into_iter().next().map(|country| country.name))
/// }
/// # let _ = first_name;
/// ```
#[derive(Clone, Debug)]
pub struct LookupPage<T> {
    /// The version.
    pub version: u64,
    /// The rows.
    pub rows: Vec<T>,
    /// The key after which the next page begins, where there are more rows.
    pub next: Option<String>,
}

/// The row of a key: none where the look-up has none.
///
/// ```
/// # use hostel_sdk::prelude::*;
/// # use hostel_sdk::lookups;
/// #[derive(Deserialize)]
/// struct Currency {
///     digits: u32,
/// }
///
/// fn digits(currency: &str) -> Result<Option<u32>, Error> {
///     let found: Option<Currency> = lookups::get("currencies", currency)?;
///     Ok(found.map(|currency| currency.digits))
/// }
/// # let _ = digits;
/// ```
///
/// # Errors
/// `not-found` where nobody has loaded such a look-up, `other` for a row that is no `T`.
pub fn get<T: DeserializeOwned>(lookup: &str, key: &str) -> Result<Option<T>, Error> {
    host::get(lookup, key)?.map(|object| decode(lookup, key, &object)).transpose()
}

/// The rows of some keys, in their order.
///
/// ```
/// # use hostel_sdk::prelude::*;
/// # use hostel_sdk::lookups;
/// # #[derive(Deserialize)]
/// # struct Country { name: String }
/// fn names(codes: &[String]) -> Result<Vec<Option<String>>, Error> {
///     let found: Vec<Option<Country>> = lookups::get_many("countries", codes)?;
///     Ok(found.into_iter().map(|country| country.map(|country| country.name)).collect())
/// }
/// # let _ = names;
/// ```
///
/// # Errors
/// As [`get`]; `limit` for more than 1,000 keys or 4 MiB.
pub fn get_many<T: DeserializeOwned>(
    lookup: &str,
    keys: &[impl AsRef<str>],
) -> Result<Vec<Option<T>>, Error> {
    let keys: Vec<_> = keys.iter().map(|key| key.as_ref().to_owned()).collect();
    let rows = keys.iter().zip(host::get_many(lookup, &keys)?);
    rows.map(|(key, row)| row.map(|object| decode(lookup, key, &object)).transpose()).collect()
}

/// All rows of one version, in the order of their keys. Their bytes count among those that a call
/// may exchange with the host: for a large look-up, [`page`] is better.
///
/// ```
/// # use hostel_sdk::prelude::*;
/// # use hostel_sdk::lookups;
/// # #[derive(Serialize, Deserialize, JsonSchema)]
/// # struct Country { code: String, name: String }
/// fn countries() -> Result<Json<Vec<Country>>, Problem> {
///     Ok(Json(lookups::all("countries")?))
/// }
/// # let _ = get("/countries", countries);
/// ```
///
/// # Errors
/// As [`get`]; `conflict` where another version was loaded meanwhile.
pub fn all<T: DeserializeOwned>(lookup: &str) -> Result<Vec<T>, Error> {
    let LookupPage { version, mut rows, mut next } = page(lookup, None, ROWS_MAX)?;
    while let Some(after) = next {
        let more = page(lookup, Some(&after), ROWS_MAX)?;
        if more.version != version {
            let message = "another version of the look-up was loaded meanwhile";
            return Err(error(ErrorKind::Conflict, message.to_owned(), lookup));
        }
        rows.extend(more.rows);
        next = more.next;
    }
    Ok(rows)
}

/// At most `limit` rows (1 to 1,000) in the order of their keys, those after a key alone where one
/// is given. There may be fewer: [`next`](LookupPage::next) says whether there are more.
///
/// ```
/// # use hostel_sdk::prelude::*;
/// # use hostel_sdk::lookups::{self, LookupPage};
/// # #[derive(Deserialize)]
/// # struct Country { name: String }
/// fn first_names() -> Result<Vec<String>, Error> {
///     let LookupPage { rows, .. } = lookups::page::<Country>("countries", None, 10)?;
///     Ok(rows.into_iter().map(|country| country.name).collect())
/// }
/// # let _ = first_names;
/// ```
///
/// # Errors
/// As [`get`]; `invalid` for a limit that is none.
pub fn page<T: DeserializeOwned>(
    lookup: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<LookupPage<T>, Error> {
    let limit = u32::try_from(limit).unwrap_or(u32::MAX);
    let host::Page { version, entries, more } = host::rows(lookup, after, limit)?;
    let next = entries.last().filter(|_| more).map(|last| last.key.clone());
    let rows = entries.iter().map(|row| decode(lookup, &row.key, &row.object));
    Ok(LookupPage { version, rows: rows.collect::<Result<_, _>>()?, next })
}

/// The version of a look-up that is read now: it grows with each load. What a module makes of a
/// look-up and keeps holds as long as this stays the same.
///
/// ```
/// # use hostel_sdk::prelude::*;
/// # use hostel_sdk::lookups;
/// fn is_fresh(made_of: u64) -> Result<bool, Error> {
///     Ok(lookups::version("tax-rates")? == made_of)
/// }
/// # let _ = is_fresh;
/// ```
///
/// # Errors
/// `not-found` where nobody has loaded such a look-up.
pub fn version(lookup: &str) -> Result<u64, Error> {
    host::version(lookup)
}

fn decode<T: DeserializeOwned>(lookup: &str, key: &str, object: &str) -> Result<T, Error> {
    let fault = |why: String| {
        error(ErrorKind::Other, format!("row `{key}` of look-up `{lookup}`: {why}"), lookup)
    };
    let cells: BTreeMap<String, String> =
        serde_json::from_str(object).map_err(|error| fault(error.to_string()))?;
    from_row(&cells).map_err(fault)
}

fn error(kind: ErrorKind, message: String, lookup: &str) -> Error {
    Error { kind, message, subject: Some(lookup.to_owned()) }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Country {
        code: String,
        vat: Option<f64>,
        in_eu: bool,
        motto: Option<String>,
        note: String,
    }

    #[test]
    fn a_row_becomes_a_struct() {
        let object =
            r#"{"code":"SE","vat":"25","in_eu":"true","motto":"","note":"","area":"450295"}"#;
        let sweden: Country = decode("countries", "SE", object).unwrap();
        let note = String::new();
        let expected =
            Country { code: "SE".to_owned(), vat: Some(25.0), in_eu: true, motto: None, note };
        assert_eq!(sweden, expected);
    }

    #[test]
    fn a_row_that_does_not_fit_names_its_column() {
        let told = |object: &str| decode::<Country>("countries", "NO", object).unwrap_err().message;
        let object = r#"{"code":"NO","vat":"a quarter","in_eu":"false","note":""}"#;
        assert_eq!(told(object), "row `NO` of look-up `countries`: vat: this is not a number");
        let object = r#"{"code":"NO","in_eu":"false"}"#;
        assert!(told(object).ends_with("note: this is missing"), "{}", told(object));
    }
}
