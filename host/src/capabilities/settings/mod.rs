//! Settings: a module's values, declared with schema and default in its manifest and changed by the
//! operator in `[settings.<module>]`, and for one tenant.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use wasmtime::component::{HasData, Linker};

use crate::bindings::hostel::settings::settings::{self, Host};
use crate::error::{Error, Result};
use crate::schema;

/// A module's settings by name, each as JSON text.
pub type Values = Arc<HashMap<String, String>>;

/// What one call sees of its module's settings.
pub struct SettingsView<'a> {
    pub(crate) values: &'a Values,
}

struct SettingsData;

impl HasData for SettingsData {
    type Data<'a> = SettingsView<'a>;
}

/// Links `hostel:settings`.
pub(crate) fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> SettingsView<'_>,
) -> Result<(), wasmtime::Error> {
    settings::add_to_linker::<T, SettingsData>(linker, view)
}

impl Host for SettingsView<'_> {
    fn get(&mut self, name: String) -> Result<String> {
        self.values.get(&name).cloned().ok_or_else(|| {
            Error::not_found(format!("the manifest declares no setting `{name}`")).about(name)
        })
    }
}

/// Joins a module's values with those of one tenant, which win. A value that the module does not
/// declare any more, or in another way, is left out: the tenant is told of it in the log alone.
pub fn overridden<'a>(
    module: &str,
    declared: impl Iterator<Item = Declared<'a>>,
    values: &Values,
    own: Option<&BTreeMap<String, serde_json::Value>>,
) -> Values {
    let Some(own) = own.filter(|own| !own.is_empty()) else { return Arc::clone(values) };
    let mut joined = HashMap::clone(values);
    for Declared { name, schema, .. } in declared {
        let Some(value) = own.get(name) else { continue };
        match schema::violation(schema, value) {
            Ok(None) => {
                joined.insert(name.to_owned(), value.to_string());
            }
            Ok(Some(why)) => tracing::warn!("a tenant's `{module}.{name}` does not hold: {why}"),
            Err(error) => tracing::warn!("a tenant's `{module}.{name}` does not hold: {error}"),
        }
    }
    Arc::new(joined)
}

/// One declared setting, for [`resolve`].
pub struct Declared<'a> {
    /// Its name.
    pub name: &'a str,
    /// JSON Schema of its value.
    pub schema: &'a serde_json::Value,
    /// Its value while nobody set another.
    pub default: &'a serde_json::Value,
}

/// Joins what a module declares with what the operator says, each value checked by its schema.
///
/// # Errors
/// Names the setting, and what its schema allows.
pub fn resolve<'a>(
    module: &str,
    declared: impl Iterator<Item = Declared<'a>>,
    configured: &HashMap<String, serde_json::Value>,
) -> Result<Values> {
    let mut values = HashMap::new();
    for Declared { name, schema, default } in declared {
        let value = configured.get(name).unwrap_or(default);
        let violation = schema::violation(schema, value)
            .map_err(|error| Error::invalid(format!("setting `{name}`: {error}")))?;
        if let Some(error) = violation {
            let place = if configured.contains_key(name) {
                format!("`settings.{module}.{name}`")
            } else {
                format!("the default of setting `{name}`")
            };
            return Err(Error::invalid(format!("{place}: {error}")));
        }
        values.insert(name.to_owned(), value.to_string());
    }
    if let Some(name) = configured.keys().find(|name| !values.contains_key(*name)) {
        return Err(Error::invalid(format!(
            "`settings.{module}.{name}`: module `{module}` declares no such setting"
        )));
    }
    Ok(Arc::new(values))
}
