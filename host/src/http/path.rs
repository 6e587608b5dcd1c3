//! One rule for paths, written in `docs/http.md`: fixed parts are compared byte for byte, nothing is
//! normalized, and what two readers could take for different paths is refused.

use crate::error::{Error, ErrorKind, Result};

/// `/api/notes/7` is module `notes` and path `/7`; `/api/notes` and `/api/notes/` are its `/`.
pub(super) fn split(path: &str) -> Option<(&str, &str)> {
    let below = path.strip_prefix("/api/")?;
    Some(match below.find('/') {
        Some(slash) => (&below[..slash], &below[slash..]),
        None => (below, "/"),
    })
}

/// Refuses paths that are no URI's (RFC 3986, section 3.3), and those with `.` or `..`: a client or a
/// proxy before us may have taken them for another path.
///
/// # Errors
/// `invalid-path` says what is wrong.
pub(super) fn check(path: &str) -> Result<()> {
    let invalid = |message| Err(Error::new(ErrorKind::Invalid, "invalid-path", message));
    if !path.bytes().all(is_path) {
        return invalid("the path has characters that must be percent-encoded in UTF-8");
    }
    if !is_encoded(path) {
        return invalid("in the path, `%` is not followed by two hexadecimal digits");
    }
    if path.split('/').any(is_dots) {
        return invalid("the path has a segment `.` or `..`: leave it out");
    }
    Ok(())
}

/// `/`, and what a segment is made of.
fn is_path(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'/' | b'%'
                | b'-'
                | b'.'
                | b'_'
                | b'~'
                | b':'
                | b'@'
                | b'!'
                | b'$'
                | b'&'
                | b'\''
                | b'('
                | b')'
                | b'*'
                | b'+'
                | b','
                | b';'
                | b'='
        )
}

/// Whether each `%` has its two digits. A decoder would leave others as they are, and what comes
/// before it may not.
pub(super) fn is_encoded(text: &str) -> bool {
    text.split('%').skip(1).all(|after| {
        after.len() >= 2 && after.bytes().take(2).all(|digit| digit.is_ascii_hexdigit())
    })
}

/// `.` and `..`, in whatever spelling.
fn is_dots(segment: &str) -> bool {
    if segment.len() > "%2e%2e".len() || !segment.starts_with(['.', '%']) {
        return false;
    }
    let decoded = segment.to_ascii_lowercase().replace("%2e", ".");
    decoded == "." || decoded == ".."
}

/// Whether a segment is empty, other than the last one. No route has such a path, and proxies make
/// one slash of two.
pub(super) fn has_empty_segment(below: &str) -> bool {
    below.contains("//")
}

#[cfg(test)]
mod tests {
    use percent_encoding::percent_decode_str;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_path_names_a_module_and_what_is_below_it() {
        assert_eq!(split("/api/notes"), Some(("notes", "/")));
        assert_eq!(split("/api/notes/"), Some(("notes", "/")));
        assert_eq!(split("/api/notes/7/x%2Fy"), Some(("notes", "/7/x%2Fy")));
        assert_eq!(split("/other"), None);
    }

    #[test]
    fn what_could_be_another_path_is_refused() {
        for good in ["/", "/api/notes/7", "/a.b/..c/.d", "/%C3%A9/a%2Fb", "/a;b=1/@x", "//"] {
            assert!(check(good).is_ok(), "{good}");
        }
        for bad in [
            "/..",
            "/./a",
            "/%2e",
            "/%2E%2e/a",
            "/.%2E",
            "/%2E.",
            "/é",
            "/a\\b",
            "/a b",
            "/%",
            "/%4",
            "/%zz",
            "/a|b",
            "/\u{7f}",
        ] {
            let refused = check(bad).unwrap_err();
            assert_eq!(refused.code(), "invalid-path", "{bad}");
        }
    }

    proptest! {
        /// What is let through is one path to everybody who decodes it: no spelling of dots is left.
        #[test]
        fn no_path_that_is_let_through_climbs(
            segments in prop::collection::vec("[.%2eE5aé/\\\\]{0,8}", 0..6)
        ) {
            let path = format!("/{}", segments.join("/"));
            if check(&path).is_ok() {
                prop_assert!(path.is_ascii());
                for segment in path.split('/') {
                    let decoded = percent_decode_str(segment).decode_utf8_lossy().into_owned();
                    prop_assert!(decoded != "." && decoded != "..", "{}", path);
                }
            }
        }

        #[test]
        fn any_text_is_a_path_or_refused(text in "\\PC*") {
            let _ = (split(&text), check(&text));
        }
    }
}
