//! Who calls in tests, and what they may do: by tenant, known to this host alone.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use hostel::capabilities::permissions::Pattern;
use hostel::{AccountId, Authenticator, Caller, Error, Result, Tenant};

use super::random_token;

/// The callers of every tenant.
#[derive(Clone, Default)]
pub(super) struct Callers(Arc<Mutex<HashMap<String, OfTenant>>>);

struct OfTenant {
    /// What everybody may do.
    everybody: Vec<Pattern>,
    /// By what they show.
    users: HashMap<String, User>,
}

struct User {
    id: AccountId,
    grants: Vec<Pattern>,
}

impl Callers {
    /// Lets everybody do this in a new tenant.
    pub(super) fn begin(&self, tenant: &str, everybody: &BTreeSet<String>) -> Result<()> {
        let everybody = patterns(everybody)?;
        self.all().insert(tenant.to_owned(), OfTenant { everybody, users: HashMap::new() });
        Ok(())
    }

    /// Lets a user, known or new, do this, too. Gives what they show.
    pub(super) fn user(
        &self,
        tenant: &str,
        id: &str,
        more: &BTreeSet<String>,
    ) -> anyhow::Result<String> {
        let (id, more) = (id.parse::<AccountId>()?, patterns(more)?);
        let mut all = self.all();
        let users = &mut all.get_mut(tenant).context("there is no such tenant")?.users;
        if let Some((token, user)) = users.iter_mut().find(|(_, user)| user.id == id) {
            user.grants.extend(more);
            return Ok(token.clone());
        }
        let token = random_token()?;
        users.insert(token.clone(), User { id, grants: more });
        Ok(token)
    }

    pub(super) fn forget(&self, tenant: &str) {
        self.all().remove(tenant);
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, OfTenant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Authenticator for Callers {
    async fn authenticate(&self, request: &Parts, tenant: &Tenant) -> Result<Option<Caller>> {
        let all = self.all();
        let Some(known) = all.get(tenant.slug.as_str()) else { return Ok(None) };
        let (mut caller, own) = match request.headers.get(AUTHORIZATION) {
            None => (Caller::anonymous(), &[][..]),
            Some(shown) => {
                let token = shown.to_str().ok().and_then(|shown| shown.strip_prefix("Bearer "));
                let user = token.and_then(|token| known.users.get(token));
                let user = user.ok_or_else(Error::invalid_credentials)?;
                (Caller::account(user.id.clone()), &*user.grants)
            }
        };
        caller.grants = known.everybody.iter().chain(own).cloned().collect();
        Ok(Some(caller))
    }
}

fn patterns(texts: &BTreeSet<String>) -> Result<Vec<Pattern>> {
    texts.iter().map(|text| text.parse()).collect()
}
