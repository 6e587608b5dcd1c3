//! Types of the server's values: those that modules can read, and how others are called.

use std::sync::Arc;

use super::answer::{Fault, unexpected};
use super::wire::Wire;

/// Types of tenants' own that a connection remembers.
const TYPES_KNOWN_MAX: usize = 200;

/// Object identifiers of built-in types, from
/// <https://github.com/postgres/postgres/blob/master/src/include/catalog/pg_type.dat>.
pub(crate) mod oid {
    pub(crate) const BOOL: u32 = 16;
    pub(crate) const BYTEA: u32 = 17;
    pub(crate) const CHAR: u32 = 18;
    pub(crate) const NAME: u32 = 19;
    pub(crate) const INT8: u32 = 20;
    pub(crate) const INT2: u32 = 21;
    pub(crate) const INT4: u32 = 23;
    pub(crate) const TEXT: u32 = 25;
    pub(crate) const OID: u32 = 26;
    pub(crate) const JSON: u32 = 114;
    pub(crate) const FLOAT4: u32 = 700;
    pub(crate) const FLOAT8: u32 = 701;
    pub(crate) const UNKNOWN: u32 = 705;
    pub(crate) const BPCHAR: u32 = 1042;
    pub(crate) const VARCHAR: u32 = 1043;
    pub(crate) const DATE: u32 = 1082;
    pub(crate) const TIMESTAMP: u32 = 1114;
    pub(crate) const TIMESTAMPTZ: u32 = 1184;
    pub(crate) const NUMERIC: u32 = 1700;
    pub(crate) const UUID: u32 = 2950;
    pub(crate) const JSONB: u32 = 3802;
}

/// A type of values.
#[derive(Clone, Debug)]
pub(crate) struct Type {
    /// Its identifier; that of what it stands on, where it is a domain.
    pub(crate) id: u32,
    /// Whether its values are words of a list.
    pub(crate) is_enum: bool,
    /// What it is called.
    pub(crate) name: Arc<str>,
}

impl Type {
    /// A type that every server knows and modules can read.
    pub(super) fn built_in(id: u32) -> Option<Self> {
        let name = match id {
            oid::BOOL => "bool",
            oid::BYTEA => "bytea",
            oid::CHAR => "\"char\"",
            oid::NAME => "name",
            oid::INT8 => "int8",
            oid::INT2 => "int2",
            oid::INT4 => "int4",
            oid::TEXT => "text",
            oid::OID => "oid",
            oid::JSON => "json",
            oid::FLOAT4 => "float4",
            oid::FLOAT8 => "float8",
            oid::UNKNOWN => "unknown",
            oid::BPCHAR => "char",
            oid::VARCHAR => "varchar",
            oid::DATE => "date",
            oid::TIMESTAMP => "timestamp",
            oid::TIMESTAMPTZ => "timestamptz",
            oid::NUMERIC => "numeric",
            oid::UUID => "uuid",
            oid::JSONB => "jsonb",
            _ => return None,
        };
        Some(Self { id, is_enum: false, name: name.into() })
    }

    /// In which form its values are asked for: text (0) where that is what modules get anyway, and
    /// binary (1).
    pub(super) fn format(&self) -> i16 {
        if self.id == oid::NUMERIC { 0 } else { 1 }
    }
}

impl Wire {
    /// The type of that identifier, as it stands for itself.
    pub(super) async fn type_of(&mut self, id: u32) -> Result<Type, Fault> {
        if let Some(known) = Type::built_in(id).or_else(|| self.types.get(&id).cloned()) {
            return Ok(known);
        }
        // A domain has the values of what it stands on.
        let text = format!(
            "WITH RECURSIVE base AS (
                 SELECT 0 AS depth, t.oid, t.typtype, t.typbasetype
                 FROM pg_catalog.pg_type t WHERE t.oid = {id}
                 UNION ALL
                 SELECT base.depth + 1, t.oid, t.typtype, t.typbasetype
                 FROM pg_catalog.pg_type t JOIN base ON t.oid = base.typbasetype
             )
             SELECT oid, typtype = 'e', pg_catalog.format_type({id}, NULL)
             FROM base ORDER BY depth DESC LIMIT 1"
        );
        let (rows, _) = self.once(&text, &[]).await?;
        let row = rows.first().ok_or_else(unexpected)?;
        let base = row.get(0).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes);
        let found = Type {
            id: base.unwrap_or(oid::UNKNOWN),
            is_enum: row.get(1) == Some(&[1]),
            name: row.text(2)?.into(),
        };
        if self.types.len() >= TYPES_KNOWN_MAX {
            self.types.clear();
        }
        self.types.insert(id, found.clone());
        Ok(found)
    }
}
