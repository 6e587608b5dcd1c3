//! Statements in a tenant's tables, by somebody who is no module: tests, tools.

use std::time::Instant;

use wasmtime::component::ResourceTable;

use super::registry::Registry;
use crate::bindings::hostel::sql::sql::{Host as _, Statement};
use crate::call::Principal;
use crate::capabilities::sql::SqlView;
use crate::error::{Error, Result};
use crate::names::RequestId;

impl Registry {
    /// Runs a statement as the module of that name could in a call for this tenant: with its tables,
    /// which are brought up to date first, and within the limits of one call.
    ///
    /// # Errors
    /// When there is no such tenant or module, and what a module would be told of the statement.
    pub(crate) async fn query(
        &self,
        tenant: &str,
        module: &str,
        statement: String,
    ) -> Result<Vec<u8>> {
        self.as_module(tenant, module, async |view| view.query(statement, Vec::new()).await).await
    }

    /// Runs statements in one transaction, as [`query`](Self::query) runs one, and says how many rows
    /// each changed.
    ///
    /// # Errors
    /// As for [`query`](Self::query).
    pub(crate) async fn batch(
        &self,
        tenant: &str,
        module: &str,
        statements: Vec<Statement>,
    ) -> Result<Vec<u64>> {
        self.as_module(tenant, module, async |view| view.batch(statements).await).await
    }

    async fn as_module<T>(
        &self,
        tenant: &str,
        module: &str,
        work: impl AsyncFnOnce(&mut SqlView<'_>) -> Result<T>,
    ) -> Result<T> {
        let tenant = self.tenant(tenant).await?;
        let module = tenant
            .module(module)
            .ok_or_else(|| Error::not_found(format!("there is no module `{module}`")))?;
        let deadline = Instant::now() + tenant.limits.call_timeout_ms.as_millis();
        module.ready(self.runtime(), &tenant, deadline).await?;
        let mut call = module.begin_call(&tenant, Principal::Anonymous, RequestId::new(), deadline);
        let units = &self.runtime().services.units;
        let mut table = ResourceTable::new();
        work(&mut SqlView { call: &mut call, table: &mut table, units, writing: &mut None }).await
    }
}
