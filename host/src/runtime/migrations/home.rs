//! Where a module's tables are: in the unit that the configuration says, and in no other.

use crate::call::{ModuleDatabase, ModuleIdentity};
use crate::database::{Unit, Units};
use crate::error::{Error, ErrorKind, Result};
use crate::names::{ModuleName, TenantId, UnitId};

/// The unit in which a module has its tables, or is to have them.
pub(crate) struct Home<'a> {
    pub(crate) unit: Unit,
    /// Where they would be if the module were configured otherwise; nowhere for what is only tried.
    other: Option<Other<'a>>,
}

struct Other<'a> {
    units: &'a Units,
    unit: UnitId,
    size_max: u64,
}

impl<'a> Home<'a> {
    /// A tenant's, made when it is not there.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub(crate) async fn open(
        units: &'a Units,
        tenant: TenantId,
        module: &ModuleIdentity,
        size_max: u64,
    ) -> Result<Self> {
        let unit = units.unit(&module.unit(tenant), size_max).await?;
        Ok(Self { unit, other: Some(Other { units, unit: module.other_unit(tenant), size_max }) })
    }

    /// A unit that is nobody's.
    pub(super) fn scratch(unit: Unit) -> Self {
        Self { unit, other: None }
    }

    /// Asked before a module's first tables are made here.
    ///
    /// # Errors
    /// `tables-elsewhere` where it has some in the other unit: who began anew here would serve the
    /// tenant as if its rows were lost.
    pub(crate) async fn check_none_elsewhere(&self, module: &ModuleName) -> Result<()> {
        let Some(Other { units, unit, size_max }) = &self.other else { return Ok(()) };
        let ledger = units.ledger(unit, *size_max).await?.unwrap_or_default();
        match ledger.iter().any(|row| row.module == module.as_str()) {
            true => Err(elsewhere(unit, module)),
            false => Ok(()),
        }
    }
}

/// That a module's tables are in `unit`, which is not the one that the configuration says.
pub(crate) fn elsewhere(unit: &UnitId, module: &ModuleName) -> Error {
    let (there, configured) = match unit.module {
        None => ("the database that its modules share", ModuleDatabase::Own),
        Some(_) => ("a database of its own", ModuleDatabase::Shared),
    };
    let cause = format!(
        "the tenant's tables of `{module}` are in {there}, and `modules.databases.{module}` says \
         \"{configured}\": restore that, or export the tenant before the change and import it after"
    );
    let message = "the module's tables are elsewhere than the configuration says";
    Error::new(ErrorKind::Unavailable, "tables-elsewhere", message).because(cause)
}
