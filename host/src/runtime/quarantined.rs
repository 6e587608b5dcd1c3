//! Who is not served which of the modules that there are now.

use std::collections::HashSet;

use super::ModuleVersion;
use super::registry::Registry;
use crate::capabilities::tenancy::{Quarantine, QuarantineQuery};
use crate::error::Result;
use crate::names::TenantId;

/// Quarantines that are read at once.
const PAGE: u32 = 500;

impl Registry {
    /// Modules that tenants are not served. What failed with other migrations than those of today is
    /// tried with the next call, and is not among them.
    ///
    /// # Errors
    /// When the platform's database does not answer.
    pub async fn quarantines(&self, query: &QuarantineQuery) -> Result<Vec<Quarantine>> {
        let modules = self.modules();
        let is_current = |found: &Quarantine| {
            modules.iter().any(|module| {
                module.manifest.name == found.module && module.migrations_digest == found.migrations
            })
        };
        let most = query.limit as usize;
        let (mut query, mut all) = (query.clone(), Vec::new());
        while all.len() < most {
            let page = self.runtime().services.tenants.quarantines(&query).await?;
            let Some(last) = page.last() else { break };
            query.after = Some((last.tenant.clone(), last.module.clone()));
            let left = most - all.len();
            all.extend(page.into_iter().filter(is_current).take(left));
        }
        Ok(all)
    }

    /// The tenants that are not served a module with these migrations, whether it is served already or
    /// not.
    ///
    /// # Errors
    /// When the platform's database does not answer.
    pub(super) async fn quarantined(&self, version: &ModuleVersion) -> Result<HashSet<TenantId>> {
        let module = Some(version.manifest.name.clone());
        let mut query = QuarantineQuery { module, limit: PAGE, ..QuarantineQuery::default() };
        let mut all = HashSet::new();
        loop {
            let page = self.runtime().services.tenants.quarantines(&query).await?;
            let Some(last) = page.last() else { return Ok(all) };
            query.after = Some((last.tenant.clone(), last.module.clone()));
            let same = page.iter().filter(|it| it.migrations == version.migrations_digest);
            all.extend(same.map(|it| it.tenant_id));
        }
    }
}
