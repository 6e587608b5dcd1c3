//! Look-ups: tables that all tenants share, loaded by the operator from CSV and read by modules.
//!
//! `table` reads CSV and finds rows, `store` keeps versions and knows which one is read. What a call
//! may ask for at once is decided here.

mod store;
mod table;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use wasmtime::component::{HasData, Linker};

pub use self::store::{Lookup, LookupPage, Lookups};
pub use self::table::LookupRow;
use self::table::Table;
use crate::bindings::hostel::lookups::lookups as wit;
use crate::bounded::Bounded;
use crate::call::CallContext;
use crate::error::{Error, ErrorKind, Result};

/// Keys or rows of one call.
const ROWS_MAX: usize = 1_000;
/// Bytes of one answer.
const ANSWER_MAX_BYTES: usize = 4_194_304;

/// `[lookups]`: tables that all tenants share.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct LookupsConfig {
    /// What is kept in memory of them. At least as much as the largest one takes, so that each can
    /// be kept.
    pub cache_max_bytes: Bounded<{ table::MAX_BYTES as u64 }, 1_099_511_627_776>,
}

impl Default for LookupsConfig {
    fn default() -> Self {
        Self { cache_max_bytes: Bounded::of::<67_108_864>() }
    }
}

/// What one call may read of look-ups.
pub struct LookupsView<'a> {
    pub(crate) call: &'a mut CallContext,
    pub(crate) lookups: &'a Lookups,
}

struct LookupsData;

impl HasData for LookupsData {
    type Data<'a> = LookupsView<'a>;
}

/// Links `hostel:lookups`.
pub(crate) fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> LookupsView<'_>,
) -> Result<(), wasmtime::Error> {
    wit::add_to_linker::<T, LookupsData>(linker, view)
}

impl LookupsView<'_> {
    async fn table(&self, lookup: &str) -> Result<Arc<Table>> {
        self.call.within_deadline(self.lookups.table(lookup)).await
    }
}

impl wit::Host for LookupsView<'_> {
    async fn version(&mut self, lookup: String) -> Result<u64> {
        Ok(self.lookups.current(&lookup)?.version)
    }

    async fn get(&mut self, lookup: String, key: String) -> Result<Option<String>> {
        let table = self.table(&lookup).await?;
        let found = table.get(&key);
        self.call.budget.pay_for_bytes(key.len() + found.map_or(0, str::len))?;
        Ok(found.map(ToOwned::to_owned))
    }

    async fn get_many(&mut self, lookup: String, keys: Vec<String>) -> Result<Vec<Option<String>>> {
        if keys.len() > ROWS_MAX {
            let message = format!("at most {ROWS_MAX} keys at once, and these are {}", keys.len());
            return Err(Error::new(ErrorKind::Limit, "lookup-keys", message));
        }
        let table = self.table(&lookup).await?;
        let found: Vec<_> = keys.iter().map(|key| table.get(key)).collect();
        let bytes = found.iter().flatten().map(|row| row.len()).sum::<usize>();
        if bytes > ANSWER_MAX_BYTES {
            let message = format!("these rows have more than {ANSWER_MAX_BYTES} bytes");
            return Err(Error::new(ErrorKind::Limit, "lookup-bytes", message));
        }
        self.call.budget.pay_for_bytes(bytes + keys.iter().map(String::len).sum::<usize>())?;
        Ok(found.into_iter().map(|row| row.map(ToOwned::to_owned)).collect())
    }

    async fn rows(
        &mut self,
        lookup: String,
        after: Option<String>,
        limit: u32,
    ) -> Result<wit::Page> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        if !(1..=ROWS_MAX).contains(&limit) {
            return Err(Error::invalid(format!(
                "a page has 1 to {ROWS_MAX} rows, and not {limit}"
            )));
        }
        let table = self.table(&lookup).await?;
        let (rows, more) = table.page(after.as_deref(), limit, ANSWER_MAX_BYTES);
        let bytes = rows.iter().map(LookupRow::text_bytes).sum::<usize>();
        self.call.budget.pay_for_bytes(bytes + after.map_or(0, |after| after.len()))?;
        let rows = rows
            .iter()
            .map(|row| wit::Entry { key: row.key.to_string(), object: row.object.to_string() });
        Ok(wit::Page { version: table.version, entries: rows.collect(), more })
    }
}
