//! JSON Schemas: whether a value is what a schema allows.

use serde_json::Value;

use crate::error::{Error, Result};

/// Says what of `value` the schema does not allow.
///
/// # Errors
/// When the schema is none.
pub(crate) fn violation(schema: &Value, value: &Value) -> Result<Option<String>> {
    let validator = jsonschema::validator_for(schema)
        .map_err(|error| Error::invalid(format!("its schema is no JSON Schema: {error}")))?;
    Ok(validator.validate(value).err().map(|error| error.to_string()))
}
