//! The context of one call: for whom, by whom, which module, until when, within which budget.
//!
//! Every capability takes it first. Guests cannot name a tenant or a principal, so nothing here ever
//! comes from a guest.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::limits::{LimitsConfig, TighterLimits};
use crate::metering::Meter;
use crate::names::{AccountId, ModuleName, RequestId, TenantId, TenantSlug, UnitId};
use crate::processor::CpuTime;

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
    /// The plan that it is on, if any: a name in `[plans]`.
    pub plan: Option<String>,
    /// Limits of its own.
    pub limits: TighterLimits,
    /// When it was made, in microseconds since the Unix epoch.
    pub created_at: i64,
    /// From when on what it left may be removed for good, in microseconds since the Unix epoch.
    /// None of a tenant that nobody deleted.
    pub purge_at: Option<i64>,
    /// What it is again when it is taken back.
    pub(crate) status_before: Option<TenantStatus>,
    /// The last change of it, its settings included.
    pub(crate) revision: i64,
}

impl Tenant {
    /// The slug of the tenant in which operators work. It is there from the first start on, cannot
    /// be suspended, renamed or deleted, and no other tenant can bear its slug.
    pub const PLATFORM: &str = "platform";

    /// One that is nowhere, for code that runs for no tenant.
    pub(crate) fn nobody() -> Self {
        Self {
            id: TenantId::new(),
            slug: "nobody".parse().expect("a constant that is a label"),
            display_name: String::new(),
            status: TenantStatus::Suspended,
            plan: None,
            limits: TighterLimits::default(),
            created_at: 0,
            purge_at: None,
            status_before: None,
            revision: 0,
        }
    }

    /// Whether it is the one in which operators work.
    pub fn is_platform(&self) -> bool {
        self.slug.as_str() == Self::PLATFORM
    }
}

/// Whether a tenant is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum TenantStatus {
    /// Requests are answered.
    Active,
    /// Requests are refused; nothing is lost.
    Suspended,
    /// Requests are answered as if it were not there; it can be taken back for some time.
    Deleting,
    /// Everything of it is being removed.
    Purging,
    /// It is being filled from an archive, and is not there before that has ended.
    Importing,
}

impl TenantStatus {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Deleting => "deleting",
            Self::Purging => "purging",
            Self::Importing => "importing",
        }
    }

    /// Whether requests may know that there is such a tenant.
    pub const fn is_there(self) -> bool {
        matches!(self, Self::Active | Self::Suspended)
    }
}

impl FromStr for TenantStatus {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let all = [Self::Active, Self::Suspended, Self::Deleting, Self::Purging, Self::Importing];
        all.into_iter().find(|status| status.as_str() == text).ok_or_else(|| {
            Error::invalid(format!(
                "`{text}` is no status of a tenant: there are {}",
                all.map(Self::as_str).join(", ")
            ))
        })
    }
}

impl fmt::Display for TenantStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who is calling.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Principal {
    /// Nobody said who they are.
    Anonymous,
    /// Somebody with an account in the tenant that is called.
    #[non_exhaustive]
    Account {
        /// Whose.
        id: AccountId,
    },
    /// Whoever runs the platform. Only the platform's own tenant knows them.
    Operator,
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

/// Where a module has the rows that it keeps for a tenant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ModuleDatabase {
    /// In the database that the tenant's modules share: each may read and change what others keep.
    #[default]
    Shared,
    /// In a database of its own, which no other module reaches, and from which it reaches no other.
    Own,
}

impl ModuleDatabase {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::Own => "own",
        }
    }

    /// The unit in which a module keeps a tenant's rows.
    pub(crate) fn unit(self, tenant: TenantId, module: &ModuleName) -> UnitId {
        match self {
            Self::Shared => UnitId::shared(tenant),
            Self::Own => UnitId::own(tenant, module.clone()),
        }
    }
}

impl fmt::Display for ModuleDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
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
    /// Where it keeps its rows.
    pub database: ModuleDatabase,
}

impl ModuleIdentity {
    /// The unit in which it keeps a tenant's rows.
    pub(crate) fn unit(&self, tenant: TenantId) -> UnitId {
        self.database.unit(tenant, &self.name)
    }
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
    /// Requests to other services that were sent.
    pub(crate) http_client_calls: u64,
    /// Handles of ours that the guest holds. Whatever is open at the end of a call ends with its
    /// instance.
    pub handles_open: u32,
    /// Whether the guest has a cursor or a read-only transaction open.
    pub(crate) reading: bool,
    /// Host functions that the guest called. They are compared with their limit whenever the
    /// guest is looked at.
    pub host_calls: AtomicU64,
    /// What host calls may still take over and give back.
    pub hostcall_bytes_left: u64,
}

impl Budget {
    /// All that one call may use.
    pub(crate) fn new(limits: &LimitsConfig) -> Self {
        Self {
            memory_used_bytes: 0,
            memory_max_bytes: limits.memory_max_bytes.as_usize(),
            memory_refused: false,
            log_lines_left: limits.log_lines_max.as_u32(),
            log_lines_lost: 0,
            http_client_calls: 0,
            handles_open: 0,
            reading: false,
            host_calls: AtomicU64::new(0),
            hostcall_bytes_left: limits.hostcalls_total_max_bytes.get(),
        }
    }

    /// Counts a call of a host function. Calls of one instance follow each other: what is counted
    /// needs no lock, only a cell that may be shared.
    pub(crate) fn count_host_call(&self) {
        self.host_calls.store(self.host_calls.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// Takes back the count of one that cost nothing but processor time.
    pub(crate) fn uncount_host_call(&self) {
        self.host_calls
            .store(self.host_calls.load(Ordering::Relaxed).saturating_sub(1), Ordering::Relaxed);
    }

    /// Pays for `bytes` that cross between guest and host.
    ///
    /// # Errors
    /// `limit` when they are more than is left.
    pub fn pay_for_bytes(&mut self, bytes: usize) -> Result<()> {
        match self.hostcall_bytes_left.checked_sub(bytes as u64) {
            Some(left) => {
                self.hostcall_bytes_left = left;
                Ok(())
            }
            None => Err(Error::new(
                ErrorKind::Limit,
                "hostcall-bytes",
                "the call has exchanged as many bytes with the host as it may",
            )),
        }
    }
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
    /// What it has used of what it may use.
    pub budget: Budget,
    /// Within which limits.
    pub limits: Arc<LimitsConfig>,
    pub(crate) meter: Arc<Meter>,
    /// The time it has used on processors, shared with those who compute for it.
    pub(crate) cpu: Arc<CpuTime>,
}

impl CallContext {
    /// The unit in which the module keeps the tenant's rows.
    pub(crate) fn unit(&self) -> UnitId {
        self.module.unit(self.tenant.id)
    }

    /// Does what a guest asked for until the call's deadline: wasm interrupts do not bound host calls.
    ///
    /// # Errors
    /// What `work` says, or `timeout`.
    pub(crate) async fn within_deadline<T>(
        &self,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        tokio::time::timeout_at(self.deadline.into(), work).await.map_err(|_| {
            Error::new(
                ErrorKind::Timeout,
                "timeout",
                "the host did not answer before the call's end",
            )
        })?
    }
}
