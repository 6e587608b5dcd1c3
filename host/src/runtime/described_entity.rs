//! What a module says of its tables, checked: names that a database can bear, and nothing that leads
//! nowhere.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::bindings::exports::hostel::module::guest as wit;
use crate::error::{Error, Result};

const ENTITIES_MAX: usize = 500;
/// PostgreSQL has no more columns in a table.
const COLUMNS_MAX: usize = 1_600;
/// Of constraints, indexes, and names of one column.
const LIST_LENGTH_MAX: usize = 500;
/// PostgreSQL cuts longer names off, and then two may be one.
const NAME_MAX_BYTES: usize = 63;
const SQL_MAX_BYTES: usize = 10_000;
/// Beginnings of tables' names that the databases and the host keep for themselves.
const RESERVED: &[&str] = &["hostel_", "sqlite_", "pragma_"];

/// A table as the module's code expects it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entity {
    /// Its name.
    pub table: String,
    /// Its columns.
    pub columns: Vec<EntityColumn>,
    /// The columns that rows are known by.
    pub key: Vec<String>,
    /// What is unique beside the key.
    pub uniques: Vec<NamedColumns>,
    /// What is found fast.
    pub indexes: Vec<NamedColumns>,
    /// What holds for every row.
    pub checks: Vec<EntityCheck>,
    /// What its columns refer to.
    pub references: Vec<EntityReference>,
    /// The column that grows with every change.
    pub version: Option<String>,
}

/// A column of an entity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntityColumn {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub kind: ColumnType,
    /// Whether it may hold nothing.
    pub nullable: bool,
    /// What a row has that does not say, in SQL.
    pub default: Option<String>,
}

/// What a column of an entity holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the contract says what they are")]
pub enum ColumnType {
    Boolean,
    /// A whole number of this range.
    Integer(i64, i64),
    Real,
    Decimal,
    /// A text of at most so many characters.
    Text(Option<u64>),
    Bytes,
    Uuid,
    Timestamp,
    Date,
    Json,
    /// One of these texts.
    OneOf(Vec<String>),
}

/// Columns that are unique together, or an index of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedColumns {
    /// The constraint's or the index's name.
    pub name: String,
    /// The columns, in their order.
    pub columns: Vec<String>,
}

/// What holds for every row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntityCheck {
    /// The constraint's name.
    pub name: String,
    /// The condition.
    pub sql: String,
}

/// A column whose value is the key of another table's row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntityReference {
    /// The constraint's name.
    pub name: String,
    /// The column.
    pub column: String,
    /// The other table.
    pub to_table: String,
    /// The other table's key.
    pub to_column: String,
    /// What becomes of this row when the other is deleted.
    pub on_delete: OnDelete,
}

/// What becomes of a row when the one that it refers to is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnDelete {
    /// That one cannot be deleted.
    Refuse,
    /// It is deleted, too.
    Cascade,
    /// It refers to nothing.
    SetNull,
}

/// Checks all entities of a module.
///
/// # Errors
/// Names the table and what is wrong with it.
pub(super) fn check(said: Vec<wit::Entity>) -> Result<Vec<Entity>> {
    if said.len() > ENTITIES_MAX {
        let message = format!("it has {} entities: at most {ENTITIES_MAX}", said.len());
        return Err(Error::invalid(message));
    }
    let mut tables = HashSet::new();
    let mut checked = Vec::with_capacity(said.len());
    for entity in said {
        let table = entity.table.clone();
        let place = |error: Error| Error::invalid(format!("entity `{table}`: {error}"));
        let entity = check_one(entity).map_err(place)?;
        if !tables.insert(table.clone()) {
            return Err(Error::invalid(format!("table `{table}` is that of two entities")));
        }
        checked.push(entity);
    }
    Ok(checked)
}

fn check_one(said: wit::Entity) -> Result<Entity> {
    check_name("table", &said.table)?;
    if let Some(prefix) = RESERVED.iter().find(|prefix| said.table.starts_with(**prefix)) {
        return Err(Error::invalid(format!("tables cannot be called `{prefix}…`")));
    }
    let lists = [&said.uniques, &said.indexes].map(Vec::len);
    let longest = lists.into_iter().chain([said.checks.len(), said.references.len()]).max();
    if longest > Some(LIST_LENGTH_MAX) || said.columns.len() > COLUMNS_MAX {
        return Err(Error::invalid(format!(
            "at most {COLUMNS_MAX} columns, and {LIST_LENGTH_MAX} indexes and constraints of a kind"
        )));
    }
    let columns = said.columns.into_iter().map(column).collect::<Result<Vec<_>>>()?;
    let names: HashSet<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    if names.len() < columns.len() {
        return Err(Error::invalid("two columns have one name"));
    }
    let check_columns = |what: &str, some: &[String]| {
        let is_known = |name: &&String| !names.contains(name.as_str());
        let distinct: HashSet<&String> = some.iter().collect();
        match some.iter().find(is_known) {
            Some(name) => Err(Error::invalid(format!("{what}: there is no column `{name}`"))),
            None if some.is_empty() => Err(Error::invalid(format!("{what} has no columns"))),
            None if distinct.len() < some.len() => {
                Err(Error::invalid(format!("{what} has a column twice")))
            }
            None => Ok(()),
        }
    };
    check_columns("the key", &said.key)?;
    let mut constraints = HashSet::new();
    let mut check_new = |name: &str| {
        check_name("constraint", name)?;
        match constraints.insert(name.to_owned()) {
            true => Ok(()),
            false => Err(Error::invalid(format!("there are two constraints `{name}`"))),
        }
    };
    let mut named = |said: Vec<wit::Columns>| {
        let check = |wit::Columns { name, columns }| {
            check_new(&name)?;
            check_columns(&format!("`{name}`"), &columns)?;
            Ok(NamedColumns { name, columns })
        };
        said.into_iter().map(check).collect::<Result<Vec<_>>>()
    };
    let (uniques, indexes) = (named(said.uniques)?, named(said.indexes)?);
    let checks = said.checks.into_iter().map(|wit::Check { name, sql }| {
        check_new(&name)?;
        check_sql(&format!("`{name}`"), &sql)?;
        Ok(EntityCheck { name, sql })
    });
    let checks = checks.collect::<Result<_>>()?;
    let references = said.references.into_iter().map(|said| {
        check_new(&said.name)?;
        check_columns(&format!("`{}`", said.name), std::slice::from_ref(&said.column))?;
        check_name("table", &said.to_table)?;
        check_name("column", &said.to_column)?;
        Ok(reference(said))
    });
    let references = references.collect::<Result<_>>()?;
    if let Some(version) = &said.version {
        check_columns("the version", std::slice::from_ref(version))?;
    }
    let (table, key, version) = (said.table, said.key, said.version);
    Ok(Entity { table, columns, key, uniques, indexes, checks, references, version })
}

fn column(said: wit::Column) -> Result<EntityColumn> {
    let name = said.name;
    check_name("column", &name)?;
    if let Some(default) = &said.default_value {
        check_sql(&format!("the default of `{name}`"), default)?;
    }
    let kind = match said.kind {
        wit::ColumnKind::Boolean => ColumnType::Boolean,
        wit::ColumnKind::Integer((min, max)) => ColumnType::Integer(min, max),
        wit::ColumnKind::Real => ColumnType::Real,
        wit::ColumnKind::Decimal => ColumnType::Decimal,
        wit::ColumnKind::Text(max) => ColumnType::Text(max),
        wit::ColumnKind::Bytes => ColumnType::Bytes,
        wit::ColumnKind::Uuid => ColumnType::Uuid,
        wit::ColumnKind::Timestamp => ColumnType::Timestamp,
        wit::ColumnKind::Date => ColumnType::Date,
        wit::ColumnKind::Json => ColumnType::Json,
        wit::ColumnKind::OneOf(names) => ColumnType::OneOf(check_names(&name, names)?),
    };
    Ok(EntityColumn { name, kind, nullable: said.nullable, default: said.default_value })
}

/// The texts that a column may hold.
fn check_names(column: &str, names: Vec<String>) -> Result<Vec<String>> {
    let distinct: HashSet<&String> = names.iter().collect();
    let fits = !names.is_empty()
        && names.len() <= LIST_LENGTH_MAX
        && distinct.len() == names.len()
        && names.iter().all(|name| name.len() <= SQL_MAX_BYTES && !name.contains('\0'));
    if fits {
        return Ok(names);
    }
    Err(Error::invalid(format!(
        "column `{column}` holds one of 1 to {LIST_LENGTH_MAX} different texts"
    )))
}

fn reference(said: wit::Reference) -> EntityReference {
    EntityReference {
        name: said.name,
        column: said.column,
        to_table: said.to_table,
        to_column: said.to_column,
        on_delete: match said.on_delete {
            wit::OnDelete::Refuse => OnDelete::Refuse,
            wit::OnDelete::Cascade => OnDelete::Cascade,
            wit::OnDelete::SetNull => OnDelete::SetNull,
        },
    }
}

fn check_name(what: &str, name: &str) -> Result<()> {
    let is_fine = |(at, it): (usize, char)| {
        it == '_' || it.is_ascii_lowercase() || (at > 0 && it.is_ascii_digit())
    };
    let fits = (1..=NAME_MAX_BYTES).contains(&name.len()) && name.chars().enumerate().all(is_fine);
    if fits {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "`{name}` is no name of a {what}: at most {NAME_MAX_BYTES} lower-case letters, digits and `_`, no digit first"
    )))
}

fn check_sql(what: &str, sql: &str) -> Result<()> {
    let fits = sql.len() <= SQL_MAX_BYTES && !sql.trim().is_empty() && !sql.contains('\0');
    if fits {
        return Ok(());
    }
    Err(Error::invalid(format!("{what} is SQL of 1 to {SQL_MAX_BYTES} bytes")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notes() -> wit::Entity {
        let column = |name: &str, kind| wit::Column {
            name: name.to_owned(),
            kind,
            nullable: false,
            default_value: None,
        };
        wit::Entity {
            table: "notes".to_owned(),
            columns: vec![
                column("id", wit::ColumnKind::Uuid),
                column("title", wit::ColumnKind::Text(Some(200))),
            ],
            key: vec!["id".to_owned()],
            uniques: Vec::new(),
            indexes: Vec::new(),
            checks: Vec::new(),
            references: Vec::new(),
            version: None,
        }
    }

    #[test]
    fn what_leads_nowhere_or_cannot_be_is_refused() {
        let refused = |change: &dyn Fn(&mut wit::Entity)| {
            let mut entity = notes();
            change(&mut entity);
            check(vec![entity]).map(|_| ()).unwrap_err().to_string()
        };
        let of = |columns: &[&str]| wit::Columns {
            name: "notes_by".to_owned(),
            columns: columns.iter().map(|it| (*it).to_owned()).collect(),
        };
        assert!(check(vec![notes()]).is_ok());
        assert!(check(vec![notes(), notes()]).is_err());
        let told = refused(&|it| it.table = "No; tes".to_owned());
        assert!(told.contains("`No; tes` is no name of a table"), "{told}");
        let told = refused(&|it| it.table = "hostel_outbox".to_owned());
        assert!(told.contains("`hostel_…`"), "{told}");
        let told = refused(&|it| it.key.clear());
        assert!(told.contains("the key has no columns"), "{told}");
        let told = refused(&|it| it.indexes.push(of(&["id", "absent"])));
        assert!(told.contains("`notes_by`: there is no column `absent`"), "{told}");
        let told = refused(&|it| it.uniques.push(of(&["id", "id"])));
        assert!(told.contains("a column twice"), "{told}");
        let told = refused(&|it| it.columns[1].kind = wit::ColumnKind::OneOf(Vec::new()));
        assert!(told.contains("1 to 500 different texts"), "{told}");
        let told = refused(&|it| it.columns[1].default_value = Some(" ".to_owned()));
        assert!(told.contains("the default of `title`"), "{told}");
        let told = refused(&|it| it.version = Some("absent".to_owned()));
        assert!(told.contains("the version"), "{told}");
    }
}
