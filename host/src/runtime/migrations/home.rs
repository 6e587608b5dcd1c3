//! Where a module's tables are: in the unit that the configuration says, and in no other.

use crate::call::ModuleDatabase;
use crate::database::{Unit, Units};
use crate::error::{Error, ErrorKind, Result};
use crate::names::{ModuleName, UnitId};

/// The unit `here`, in which a module has a tenant's tables, or is to have them: made when it is not
/// there.
///
/// # Errors
/// `tables-elsewhere` where it has them in the other unit, and none in this one: who began anew here
/// would serve the tenant as if its rows were lost. When a unit cannot be read or made.
pub(crate) async fn home(
    units: &Units,
    here: &UnitId,
    module: &ModuleName,
    size_max: u64,
) -> Result<Unit> {
    let there = here.other(module);
    // The other is not asked where it does not matter: it may be one that cannot be read.
    if !has_tables(units, here, size_max, module).await?
        && has_tables(units, &there, size_max, module).await?
    {
        return Err(elsewhere(&there, module));
    }
    units.unit(here, size_max).await
}

async fn has_tables(
    units: &Units,
    unit: &UnitId,
    size_max: u64,
    module: &ModuleName,
) -> Result<bool> {
    let ledger = units.ledger(unit, size_max).await?.unwrap_or_default();
    Ok(ledger.iter().any(|row| row.module == module.as_str()))
}

/// That a module's tables are in `unit`, which is not the one that the configuration says.
pub(crate) fn elsewhere(unit: &UnitId, module: &ModuleName) -> Error {
    let (there, configured) = match unit.module {
        None => ("the database that its modules share", ModuleDatabase::Own),
        Some(_) => ("a database of its own", ModuleDatabase::Shared),
    };
    let cause = format!(
        "the tenant's tables of `{module}` are in {there}, and `modules.databases.{module}` says \
         \"{configured}\": restore that, or move the tenant (docs/tenants.md)"
    );
    let message = "the module's tables are elsewhere than the configuration says";
    Error::new(ErrorKind::Unavailable, "tables-elsewhere", message).because(cause)
}
