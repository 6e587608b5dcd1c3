//! Rows to try things with: seeds that modules bring along, made at the operator's word and never at a
//! client's, and rows of files (`rows.rs`).

mod rows;

use std::sync::Arc;

pub use self::rows::SeedRows;
use crate::bounded::Bounded;
use crate::call::Principal;
use crate::error::{Error, Result};
use crate::limits::LimitsConfig;
use crate::names::{ModuleName, RequestId, TenantSlug};
use crate::runtime::{Body, ModuleVersion, Outcome, Registry, Request, Seed};

/// Makes rows to try things with, while the platform runs or not.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> hostel::Result<()> {
/// # let folder = tempfile::tempdir()?;
/// # let platform = hostel::Platform::builder().data_dir(folder.path()).build().await?;
/// use hostel::SeedWish;
///
/// let wish = SeedWish { rows: Some(1_000), number: 7 };
/// let seeds = platform.seeds();
/// for (module, seed) in seeds.list() {
///     seeds.make(&"default".parse()?, &module, &seed.name, &wish).await?;
/// }
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Seeds {
    registry: Arc<Registry>,
}

/// How a seed is to be made.
#[derive(Clone, Copy, Debug, Default)]
pub struct SeedWish {
    /// How many rows there should be; as many as the module finds usual when not said.
    pub rows: Option<u32>,
    /// Of which number everything that is made up follows.
    pub number: u64,
}

impl Seeds {
    pub(crate) fn new(registry: Arc<Registry>) -> Self {
        Self { registry }
    }

    /// What limits are for a seed that a tool makes: nobody waits for it, and a million rows take long.
    pub(crate) fn unhurried(limits: &LimitsConfig) -> LimitsConfig {
        LimitsConfig {
            cpu_ms: Bounded::of::<600_000>(),
            call_timeout_ms: Bounded::of::<3_600_000>(),
            host_calls_max: Bounded::of::<1_000_000_000>(),
            hostcalls_total_max_bytes: Bounded::of::<1_099_511_627_776>(),
            sql_statement_timeout_ms: Bounded::of::<3_600_000>(),
            ..limits.clone()
        }
    }

    /// All seeds, with the modules that have them.
    pub fn list(&self) -> Vec<(ModuleName, Seed)> {
        let mut modules = self.registry.modules().to_vec();
        modules.sort_unstable_by(|one, other| one.manifest.name.cmp(&other.manifest.name));
        let of_module = |module: &Arc<ModuleVersion>| {
            let name = module.manifest.name.clone();
            module.manifest.seeds.clone().into_iter().map(move |seed| (name.clone(), seed))
        };
        modules.iter().flat_map(of_module).collect()
    }

    /// The seeds of a module.
    ///
    /// # Errors
    /// `not-found` where there is no such module.
    pub fn of(&self, module: &ModuleName) -> Result<Vec<Seed>> {
        self.module(module).map(|module| module.manifest.seeds.clone())
    }

    fn module(&self, name: &ModuleName) -> Result<Arc<ModuleVersion>> {
        let served = self.registry.modules();
        let found = served.iter().find(|it| it.manifest.name == *name).cloned();
        found.ok_or_else(|| Error::not_found(format!("there is no module `{name}`")))
    }

    /// Adds rows of files to tables of which a module's entities tell, all or none, within the tenant's
    /// limits. Returns how many there were.
    ///
    /// # Errors
    /// `not-found` where there is no such tenant or module, or no entity has the table; what does not
    /// fit, with its line and column; what the database says of a row.
    pub async fn load(
        &self,
        tenant: &TenantSlug,
        module: &ModuleName,
        files: &[SeedRows],
    ) -> Result<u64> {
        let entities = &self.module(module)?.manifest.entities;
        let clock = &self.registry.runtime().services.clock;
        let mut statements = Vec::new();
        for rows in files {
            let table = rows.table();
            let entity = entities.iter().find(|entity| entity.table == table).ok_or_else(|| {
                let known: Vec<_> = entities.iter().map(|entity| entity.table.as_str()).collect();
                let error =
                    Error::not_found(format!("no entity of `{module}` has a table `{table}`"));
                match known.is_empty() {
                    true => error.hint("a module declares entities with `Module::entity`"),
                    false => error.hint(format!("there are {}", known.join(", "))),
                }
            })?;
            let inserts = rows.inserts(entity, clock);
            statements.extend(
                inserts.map_err(|error| Error::invalid(format!("table `{table}`, {error}")))?,
            );
        }
        let added = self.registry.batch(tenant.as_str(), module.as_str(), statements).await?;
        Ok(added.iter().sum())
    }

    /// Makes a seed of a module for a tenant, in one call of the module, within the tenant's limits.
    ///
    /// # Errors
    /// `not-found` where there is no such tenant, module or seed; what the module says is wrong, and
    /// whatever keeps it from answering.
    pub async fn make(
        &self,
        tenant: &TenantSlug,
        module: &ModuleName,
        seed: &str,
        wish: &SeedWish,
    ) -> Result<()> {
        let tenant = self.registry.tenant(tenant.as_str()).await?;
        let module = tenant.module(module.as_str()).ok_or_else(|| {
            Error::not_found(format!("tenant `{}` has no module `{module}`", tenant.tenant.slug))
        })?;
        let manifest = &module.version.manifest;
        let place = manifest.seeds.iter().position(|it| it.name == seed).ok_or_else(|| {
            let known: Vec<_> = manifest.seeds.iter().map(|it| it.name.as_str()).collect();
            let there_are = match known.is_empty() {
                true => "it has none".to_owned(),
                false => format!("there are {}", known.join(", ")),
            };
            Error::not_found(format!(
                "module `{}` has no seed `{seed}`: {there_are}",
                manifest.name
            ))
        })?;
        let rows = wish.rows.map(|rows| ("rows".to_owned(), rows.to_string()));
        let number = ("number".to_owned(), wish.number.to_string());
        let request = Request {
            route: u32::try_from(manifest.routes.len() + place).unwrap_or(u32::MAX),
            path: String::new(),
            parameters: Vec::new(),
            query: rows.into_iter().chain([number]).collect(),
            headers: Vec::new(),
            principal: Principal::Operator,
            body: Body::None,
            id: RequestId::default(),
        };
        let answer = self.registry.runtime().call(&tenant, &module, None, request).await?;
        match answer.outcome {
            Outcome::Problem(problem) => {
                let fields = problem
                    .errors
                    .iter()
                    .map(|field| format!("; {}: {}", field.pointer, field.detail));
                let said =
                    format!("{}: {}{}", problem.code, problem.detail, fields.collect::<String>());
                Err(Error::invalid(format!("seed `{seed}` of `{}`: {said}", manifest.name)))
            }
            Outcome::Response(_) | Outcome::Streamed(_) => Ok(()),
        }
    }
}
