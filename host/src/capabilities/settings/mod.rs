//! Settings: a module's values, declared with schema and default in its manifest and changed by the
//! operator in `[settings.<module>]`.

use std::collections::HashMap;
use std::sync::Arc;

use wasmtime::component::{HasData, Linker};

use crate::bindings::hostel::settings::settings::{self, Host};
use crate::error::{Error, Result};

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
        let validator = jsonschema::validator_for(schema).map_err(|error| {
            Error::invalid(format!("setting `{name}`: its schema is no JSON Schema: {error}"))
        })?;
        if let Err(error) = validator.validate(value) {
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
