//! Settings of one tenant: values that hold for it over those of the configuration.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arc_swap::ArcSwap;
use serde_json::Value;
use sqlx::Row as _;

use super::store::{Tenants, must_be_there};
use crate::error::{Error, ErrorKind, Result};
use crate::names::{ModuleName, TenantId, TenantSlug};
use crate::schema;

/// One tenant's own values, by module and name.
pub type TenantSettings = BTreeMap<String, BTreeMap<String, Value>>;

/// What each module that is served declares: the schemas of its settings, by name.
#[derive(Clone, Default)]
pub(crate) struct Declarations(Arc<ArcSwap<HashMap<ModuleName, HashMap<String, Value>>>>);

impl Declarations {
    /// Replaces what was known.
    pub(crate) fn set(&self, declared: HashMap<ModuleName, HashMap<String, Value>>) {
        self.0.store(Arc::new(declared));
    }

    /// Refuses what no module declares, and values that its schema does not allow: all at once.
    fn check(&self, module: &ModuleName, changes: &BTreeMap<String, Option<Value>>) -> Result<()> {
        let declared = self.0.load();
        let Some(settings) = declared.get(module) else {
            return Err(Error::not_found(format!("there is no module `{module}`")));
        };
        let mut wrong = Vec::new();
        for (name, value) in changes {
            // What a version before this one declared may be taken away.
            let Some(value) = value else { continue };
            let violation = match settings.get(name) {
                Some(schema) => schema::violation(schema, value)?,
                None => Some(format!("module `{module}` declares no such setting")),
            };
            wrong.extend(violation.map(|why| format!("`{module}.{name}`: {why}")));
        }
        if wrong.is_empty() {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Invalid, "invalid-settings", wrong.join("; "))
            .about("settings")
            .hint("`hostel module inspect` shows what a module's settings may be"))
    }
}

impl Tenants {
    /// What each module that is served declares.
    pub(crate) fn declarations(&self) -> &Declarations {
        &self.declared
    }

    /// Gives a tenant values of its own for a module's settings, or takes them away (none). All of
    /// them hold in every process within a second, or none does.
    ///
    /// # Errors
    /// `tenant-not-found`, `not-found` for a module that is not served, `invalid-settings` with all
    /// that is wrong.
    pub async fn set_settings(
        &self,
        slug: &TenantSlug,
        module: &ModuleName,
        changes: BTreeMap<String, Option<Value>>,
    ) -> Result<()> {
        self.declared.check(module, &changes)?;
        let mut transaction = self.database.begin().await?;
        let tenant =
            self.update_within(&mut transaction, slug, |tenant| must_be_there(tenant)).await?;
        for (name, value) in changes {
            let query = match &value {
                Some(value) => sqlx::query(
                    "INSERT INTO tenant_settings (tenant_id, module, name, value)
                     VALUES ($1, $2, $3, $4)
                     ON CONFLICT (tenant_id, module, name) DO UPDATE SET value = excluded.value",
                )
                .bind(tenant.id.to_string())
                .bind(module.as_str())
                .bind(name)
                .bind(value.to_string()),
                None => sqlx::query(
                    "DELETE FROM tenant_settings WHERE tenant_id = $1 AND module = $2 AND name = $3",
                )
                .bind(tenant.id.to_string())
                .bind(module.as_str())
                .bind(name),
            };
            query.execute(&mut *transaction).await?;
        }
        self.bus.commit(transaction).await?;
        Ok(())
    }

    /// A tenant's own values.
    ///
    /// # Errors
    /// `tenant-not-found`.
    pub async fn settings(&self, slug: &TenantSlug) -> Result<TenantSettings> {
        let tenant = self.get(slug).await?;
        self.settings_of(tenant.id).await
    }

    pub(crate) async fn settings_of(&self, tenant: TenantId) -> Result<TenantSettings> {
        let rows =
            sqlx::query("SELECT module, name, value FROM tenant_settings WHERE tenant_id = $1")
                .bind(tenant.to_string())
                .fetch_all(&self.database)
                .await?;
        let mut settings = TenantSettings::new();
        for row in &rows {
            let value: String = row.try_get(2)?;
            let value = serde_json::from_str(&value)
                .map_err(|error| Error::internal("a setting cannot be read").because(error))?;
            settings.entry(row.try_get(0)?).or_default().insert(row.try_get(1)?, value);
        }
        Ok(settings)
    }
}
