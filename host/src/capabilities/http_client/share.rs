//! How many requests a tenant has under way: each holds a connection, or a thread that looks for a name.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use crate::call::CallContext;
use crate::error::{Error, ErrorKind, Result};
use crate::metering::locked;
use crate::names::TenantId;

/// How many requests each tenant has under way.
#[derive(Default)]
pub(super) struct Running(Mutex<HashMap<TenantId, u64>>);

/// One of them, while it lives.
pub(super) struct Share {
    running: Arc<Running>,
    tenant: TenantId,
}

impl Share {
    /// One more, where the tenant may have it.
    pub(super) fn take(running: &Arc<Running>, call: &CallContext) -> Result<Arc<Self>> {
        let (tenant, max) = (call.tenant.id, call.limits.tenant_http_client_calls_max.get());
        let mut all = locked(&running.0);
        let count = all.entry(tenant).or_default();
        if *count >= max {
            let message = format!(
                "this tenant has {max} requests to other services under way, as many as it may"
            );
            return Err(Error::new(ErrorKind::Limit, "http-client-busy", message));
        }
        *count += 1;
        Ok(Arc::new(Self { running: Arc::clone(running), tenant }))
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut all = locked(&self.running.0);
        if let Some(count) = all.get_mut(&self.tenant) {
            *count -= 1;
            if *count == 0 {
                all.remove(&self.tenant);
            }
        }
    }
}
