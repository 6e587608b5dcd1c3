//! Which of a module's routes answers a method and a path.

use crate::error::{Error, Result};

use super::manifest::{Method, Route};

/// A module's routes, ready to be matched.
pub(crate) struct RouteTable {
    paths: matchit::Router<Entry>,
}

/// The routes of one path.
struct Entry {
    by_method: [Option<u32>; Method::COUNT],
    /// The `Allow` header (RFC 9110, section 10.2.1).
    allow: String,
}

/// What a path was matched with.
#[derive(Debug, PartialEq, Eq)]
pub enum Match<'t, 'p> {
    /// This route, with the path's parameters as the client encoded them.
    Route {
        /// Index in the manifest.
        index: u32,
        /// In the order of the pattern.
        parameters: Vec<&'p str>,
    },
    /// There is such a path, with these methods.
    MethodNotAllowed {
        /// The `Allow` header.
        allow: &'t str,
    },
    /// There is no such path.
    NotFound,
}

impl RouteTable {
    /// Builds the table.
    ///
    /// # Errors
    /// Names the route that is declared twice, clashes with another or has a bad pattern.
    pub(super) fn new(routes: &[Route]) -> Result<Self> {
        let mut grouped: Vec<(&str, Entry)> = Vec::new();
        for (index, route) in (0..).zip(routes) {
            let position = grouped.iter().position(|(path, _)| *path == route.path);
            let entry = match position {
                Some(position) => &mut grouped[position].1,
                None => {
                    let entry = Entry { by_method: [None; Method::COUNT], allow: String::new() };
                    grouped.push((&route.path, entry));
                    &mut grouped.last_mut().expect("just pushed").1
                }
            };
            let slot = &mut entry.by_method[route.method as usize];
            if slot.replace(index).is_some() {
                return Err(Error::invalid(format!(
                    "route `{} {}` is declared twice: remove one",
                    route.method, route.path
                )));
            }
        }
        let mut paths = matchit::Router::new();
        for (path, mut entry) in grouped {
            entry.allow = allow(&entry.by_method);
            paths.insert(path, entry).map_err(|error| {
                Error::invalid(format!("route `{path}`: {error}")).hint(
                    "a pattern is made of `/name`, `/{parameter}` and, at its end, `/{*rest}`",
                )
            })?;
        }
        Ok(Self { paths })
    }

    /// Finds the route of `method` and `path`, which begins with `/`.
    pub(crate) fn find<'t, 'p>(&'t self, method: Option<Method>, path: &'p str) -> Match<'t, 'p> {
        let Ok(found) = self.paths.at(path) else { return Match::NotFound };
        let by_method = &found.value.by_method;
        let index = method.and_then(|method| match method {
            // A route that answers GET answers HEAD; the server leaves the body out.
            Method::Head => by_method[Method::Head as usize].or(by_method[Method::Get as usize]),
            other => by_method[other as usize],
        });
        match index {
            Some(index) => Match::Route {
                index,
                parameters: found.params.iter().map(|(_, value)| value).collect(),
            },
            None => Match::MethodNotAllowed { allow: &found.value.allow },
        }
    }
}

fn allow(by_method: &[Option<u32>; Method::COUNT]) -> String {
    let mut names: Vec<&str> = Method::ALL
        .iter()
        .filter(|method| by_method[**method as usize].is_some())
        .map(|method| method.as_str())
        .collect();
    // The host answers these by itself.
    if names.contains(&"GET") && !names.contains(&"HEAD") {
        names.push("HEAD");
    }
    names.push("OPTIONS");
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::manifest::Access;
    use super::*;

    fn route(method: Method, path: &str) -> Route {
        Route {
            method,
            path: path.to_owned(),
            access: Access::Public,
            operation_id: None,
            summary: String::new(),
            tags: Vec::new(),
            path_schema: None,
            query_schema: None,
            request_type: None,
            request_schema: None,
            response_type: None,
            response_schema: None,
            response_headers: Vec::new(),
            success_status: 200,
            problems: Vec::new(),
            body_max_bytes: None,
            timeout_ms: None,
            etag: false,
        }
    }

    fn table() -> RouteTable {
        RouteTable::new(&[
            route(Method::Get, "/"),
            route(Method::Post, "/"),
            route(Method::Get, "/{id}"),
            route(Method::Get, "/{id}/parts/{part}"),
            route(Method::Put, "/files/{*rest}"),
        ])
        .unwrap()
    }

    #[test]
    fn a_path_and_a_method_find_their_route() {
        let table = table();
        assert_eq!(
            table.find(Some(Method::Post), "/"),
            Match::Route { index: 1, parameters: vec![] }
        );
        assert_eq!(
            table.find(Some(Method::Get), "/7/parts/a%2Fb"),
            Match::Route { index: 3, parameters: vec!["7", "a%2Fb"] }
        );
        assert_eq!(
            table.find(Some(Method::Put), "/files/a/b"),
            Match::Route { index: 4, parameters: vec!["a/b"] }
        );
        assert_eq!(
            table.find(Some(Method::Head), "/7"),
            Match::Route { index: 2, parameters: vec!["7"] }
        );
        assert_eq!(
            table.find(Some(Method::Delete), "/"),
            Match::MethodNotAllowed { allow: "GET, POST, HEAD, OPTIONS" }
        );
        assert_eq!(table.find(None, "/7"), Match::MethodNotAllowed { allow: "GET, HEAD, OPTIONS" });
        assert_eq!(table.find(Some(Method::Get), "/7/parts"), Match::NotFound);
    }

    #[test]
    fn clashes_are_refused() {
        let twice = [route(Method::Get, "/a"), route(Method::Get, "/a")];
        assert!(RouteTable::new(&twice).err().unwrap().to_string().contains("declared twice"));
        let clash = [route(Method::Get, "/{a}"), route(Method::Get, "/{b}")];
        assert!(RouteTable::new(&clash).is_err());
    }

    proptest! {
        #[test]
        fn any_path_is_answered(path in "/\\PC*") {
            let _ = table().find(Some(Method::Get), &path);
        }
    }
}
