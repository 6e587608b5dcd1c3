//! Permissions: decides whether a principal may do what a route or a module asks. Default deny.
//!
//! Names are `module:resource:action` or `module:action`. Grants are patterns over names. Roles and
//! stored grants come with accounts; until then a grant is what `[dev] anonymous_grants` says.

mod pattern;

pub use self::pattern::{Pattern, PermissionName};
use crate::call::Principal;

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The principal holds the permission.
    Allowed,
    /// The principal is known and does not hold it.
    Denied,
    /// Nobody said who they are, and what everybody has does not suffice.
    Unauthenticated,
}

/// Decides by the grants of this platform.
#[derive(Clone, Debug, Default)]
pub struct Permissions {
    anonymous: Vec<Pattern>,
}

impl Permissions {
    /// Everybody holds what matches one of `anonymous`; nobody holds anything else.
    pub fn new(anonymous: Vec<Pattern>) -> Self {
        Self { anonymous }
    }

    /// Whether `principal` holds `permission`.
    pub fn decide(&self, principal: &Principal, permission: &PermissionName) -> Decision {
        match principal {
            Principal::Anonymous if self.anonymous.iter().any(|grant| grant.covers(permission)) => {
                Decision::Allowed
            }
            Principal::Anonymous => Decision::Unauthenticated,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_allowed_that_was_not_granted() {
        let read: PermissionName = "notes:read".parse().unwrap();
        let nobody = Permissions::default();
        assert_eq!(nobody.decide(&Principal::Anonymous, &read), Decision::Unauthenticated);
        let readers = Permissions::new(vec!["notes:read".parse().unwrap()]);
        assert_eq!(readers.decide(&Principal::Anonymous, &read), Decision::Allowed);
        let write: PermissionName = "notes:write".parse().unwrap();
        assert_eq!(readers.decide(&Principal::Anonymous, &write), Decision::Unauthenticated);
    }
}
