//! The context of one call: for whom, by whom, which module, until when, within which budget.
//!
//! Every capability takes it first. Guests cannot name a tenant or a principal, so nothing here ever
//! comes from a guest.

use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::names::{ModuleName, RequestId, TenantId, TenantSlug};

/// One customer of the platform. Its data, modules and limits are its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// Never changes; names its files.
    pub id: TenantId,
    /// Its name in URLs and headers.
    pub slug: TenantSlug,
    /// Its name for people.
    pub display_name: String,
    /// Whether it is served.
    pub status: TenantStatus,
}

/// Whether a tenant is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TenantStatus {
    /// Requests are answered.
    Active,
    /// Requests are refused; nothing is lost.
    Suspended,
}

/// Who is calling.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Principal {
    /// Nobody said who they are.
    Anonymous,
}

/// Who put a module on the platform, which decides what it may import.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Trust {
    /// Shipped with the binary.
    System,
    /// Installed by the operator for every tenant.
    Operator,
}

/// Which code is running.
#[derive(Debug)]
pub struct ModuleIdentity {
    /// Its name in URLs, permissions and logs.
    pub name: ModuleName,
    /// Its version, as it describes itself.
    pub version: semver::Version,
    /// Who put it on the platform.
    pub trust: Trust,
}

/// What one call has used of what it may use.
#[derive(Debug)]
pub struct Budget {
    /// Bytes of all linear memories together.
    pub memory_used_bytes: usize,
    /// The most that `memory_used_bytes` may become.
    pub memory_max_bytes: usize,
    /// Set when growth was refused, so that the trap which follows is explained.
    pub memory_refused: bool,
    /// Log lines that may still be written.
    pub log_lines_left: u32,
    /// Log lines that were left out.
    pub log_lines_lost: u32,
    /// Handles of ours that the guest holds. Whatever is open at the end of a call ends with its
    /// instance.
    pub handles_open: u32,
}

/// The context of one call.
#[derive(Debug)]
pub struct CallContext {
    /// For whom.
    pub tenant: Arc<Tenant>,
    /// By whom.
    pub principal: Principal,
    /// Which code.
    pub module: Arc<ModuleIdentity>,
    /// Which request.
    pub request_id: RequestId,
    /// Until when. Host calls end by then too, since wasm interrupts do not bound them.
    pub deadline: Instant,
    /// Within which limits.
    pub budget: Budget,
}
