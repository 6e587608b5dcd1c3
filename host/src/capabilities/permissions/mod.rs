//! Permissions: decides whether a caller may do what a route or a module asks. Default deny.
//!
//! Names are `module:resource:action` or `module:action`. Grants are patterns over names. What
//! everybody holds is what `[dev] anonymous_grants` says, and what an account holds is said by the
//! program that knows it; roles and stored grants come with accounts of our own.

mod pattern;

use std::sync::Arc;

pub use self::pattern::{Pattern, PermissionName};
use crate::call::{Principal, Tenant};
use crate::error::Result;
use crate::names::AccountId;

/// Who is calling, and what they hold beside what everybody does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Who.
    pub principal: Principal,
    /// What they hold.
    pub grants: Arc<[Pattern]>,
}

impl Caller {
    /// Somebody who did not say who they are.
    pub fn anonymous() -> Self {
        Self { principal: Principal::Anonymous, grants: Arc::default() }
    }

    /// Whoever runs the platform, in its own tenant: they may do everything there.
    pub(crate) fn operator() -> Self {
        Self { principal: Principal::Operator, grants: Arc::default() }
    }

    /// The holder of an account in the tenant that is called.
    pub fn account(id: AccountId) -> Self {
        Self { principal: Principal::Account { id }, grants: Arc::default() }
    }

    /// They hold this, and nothing else: `notes:read`, `notes:*`. Where it is the same for many
    /// requests, set [`grants`](Self::grants) to what was read once.
    ///
    /// # Errors
    /// Names what is no pattern.
    pub fn granting<P: AsRef<str>>(
        mut self,
        patterns: impl IntoIterator<Item = P>,
    ) -> Result<Self> {
        let patterns = patterns.into_iter().map(|pattern| pattern.as_ref().parse());
        self.grants = patterns.collect::<Result<_>>()?;
        Ok(self)
    }
}

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The caller holds the permission.
    Allowed,
    /// The caller is known and does not hold it.
    Denied,
    /// Nobody said who they are, and what everybody has does not suffice.
    Unauthenticated,
}

/// Decides by the grants of this platform.
#[derive(Clone, Debug, Default)]
pub struct Permissions {
    everybody: Vec<Pattern>,
}

impl Permissions {
    /// Everybody holds what matches one of `everybody`, and callers what they bring along; nobody
    /// holds anything else.
    pub fn new(everybody: Vec<Pattern>) -> Self {
        Self { everybody }
    }

    /// Whether `caller` holds `permission` in `tenant`. What everybody holds, nobody does in the
    /// platform's own tenant: there it would be power over all others.
    pub fn decide(
        &self,
        tenant: &Tenant,
        caller: &Caller,
        permission: &PermissionName,
    ) -> Decision {
        let everybody = if tenant.is_platform() { &[] } else { &*self.everybody };
        let mut held = everybody.iter().chain(caller.grants.iter());
        match &caller.principal {
            Principal::Operator => Decision::Allowed,
            _ if held.any(|grant| grant.covers(permission)) => Decision::Allowed,
            Principal::Anonymous => Decision::Unauthenticated,
            Principal::Account { .. } => Decision::Denied,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_allowed_that_was_not_granted() {
        let read: PermissionName = "notes:read".parse().unwrap();
        let write: PermissionName = "notes:write".parse().unwrap();
        let nobody = Permissions::default();
        let readers = Permissions::new(vec!["notes:read".parse().unwrap()]);
        let tenant = Tenant::nobody();
        let decide = |held: &Permissions, caller: &Caller, permission: &PermissionName| {
            held.decide(&tenant, caller, permission)
        };
        let anonymous = Caller::anonymous();
        assert_eq!(decide(&nobody, &anonymous, &read), Decision::Unauthenticated);
        assert_eq!(decide(&readers, &anonymous, &read), Decision::Allowed);
        assert_eq!(decide(&readers, &anonymous, &write), Decision::Unauthenticated);
        let alice = Caller::account("alice".parse().unwrap());
        assert_eq!(decide(&nobody, &alice, &read), Decision::Denied);
        assert_eq!(decide(&readers, &alice, &read), Decision::Allowed);
        assert_eq!(decide(&readers, &alice, &write), Decision::Denied);
        let writer = alice.granting(["notes:write"]).unwrap();
        assert_eq!(decide(&nobody, &writer, &write), Decision::Allowed);
        assert_eq!(decide(&nobody, &writer, &read), Decision::Denied);
        assert!(writer.granting(["notes:re*"]).is_err());
    }

    #[test]
    fn what_everybody_holds_nobody_does_in_the_platforms_own_tenant() {
        let read: PermissionName = "tenants:read".parse().unwrap();
        let everything = Permissions::new(vec!["*".parse().unwrap()]);
        let platform = Tenant { slug: Tenant::PLATFORM.parse().unwrap(), ..Tenant::nobody() };
        let anonymous = Caller::anonymous();
        assert_eq!(everything.decide(&Tenant::nobody(), &anonymous, &read), Decision::Allowed);
        assert_eq!(everything.decide(&platform, &anonymous, &read), Decision::Unauthenticated);
        assert_eq!(everything.decide(&platform, &Caller::operator(), &read), Decision::Allowed);
    }
}
