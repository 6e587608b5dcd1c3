//! What goes wrong with an entity: of which one, and in which of its fields.

use std::fmt;

use super::column::Column;
use super::table::Table;
use crate::problem::Problem;
use crate::{Error, ErrorKind};

/// What went wrong with an entity. `?` makes it a [`Problem`] for the client:
///
/// | what | status and code | fields |
/// |---|---|---|
/// | there is none | 404 `not-found` | |
/// | somebody changed it since it was read | 409 `version-conflict` | |
/// | another has the same where none may | 409 `not-unique` | those that are the same |
/// | something refers to it | 409 `in-use` | |
/// | a check does not hold, or it refers to what is not there | 422 `invalid-fields` | those that it is about |
/// | anything else | as for [`Error`] | |
///
/// ```
/// # use hostel_sdk::prelude::*;
/// # #[derive(Entity)]
/// # #[entity(table = "accounts")]
/// # struct Account {
/// #     #[entity(key)]
/// #     id: Id<Account>,
/// #     #[entity(unique)]
/// #     name: Line<100>,
/// # }
/// fn open(db: &impl Connection, account: &Account) -> Result<(), Problem> {
///     db.insert(account).map_err(|error| {
///         if error.is_taken(Account::NAME) {
///             return Problem::conflict("name-taken", "choose another name");
///         }
///         error.into()
///     })
/// }
///
/// fn close(db: &impl Connection, id: Id<Account>) -> Result<bool, EntityError> {
///     match db.delete::<Account>(id) {
///         Ok(()) => Ok(true),
///         Err(error) if error.is_not_found() || error.is_in_use() => Ok(false),
///         Err(error) => Err(error),
///     }
/// }
///
/// fn again(error: &EntityError) -> bool {
///     error.is_version_conflict() && error.entity() == "Account" && error.fields().is_empty()
/// }
/// ```
#[derive(Clone, Debug)]
pub struct EntityError(
    /// Every result has room for it, and few have one.
    Box<Details>,
);

#[derive(Clone, Debug)]
struct Details {
    entity: &'static str,
    noun: &'static str,
    what: What,
    /// What clients call the fields that it is about.
    fields: Vec<&'static str>,
    /// Their columns.
    columns: Vec<&'static str>,
    cause: Option<Error>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    NotFound,
    VersionConflict,
    Taken,
    /// A check does not hold, or something is missing.
    Invalid,
    /// It refers to what is not there.
    Dangling,
    InUse,
    /// No cursor that an earlier page gave.
    Cursor,
    Other,
}

/// What was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attempt {
    Read,
    Write,
    Delete,
}

impl EntityError {
    fn new(table: &'static Table, what: What, cause: Option<Error>) -> Self {
        let Table { entity, noun, .. } = table;
        let (fields, columns) = (Vec::new(), Vec::new());
        Self(Box::new(Details { entity, noun, what, fields, columns, cause }))
    }

    pub(super) fn not_found(table: &'static Table) -> Self {
        Self::new(table, What::NotFound, None)
    }

    pub(super) fn version_conflict(table: &'static Table) -> Self {
        Self::new(table, What::VersionConflict, None)
    }

    pub(super) fn cursor(table: &'static Table) -> Self {
        Self::new(table, What::Cursor, None)
    }

    /// What became of a statement on a table.
    pub(super) fn of(table: &'static Table, attempt: Attempt, cause: Error) -> Self {
        let (what, columns) = explained(table, attempt, &cause);
        let mut error = Self::new(table, what, Some(cause));
        error.0.fields = columns.iter().filter_map(|column| table.field(column)).collect();
        error.0.columns = columns;
        error
    }

    /// The entity's name.
    #[must_use]
    pub fn entity(&self) -> &'static str {
        self.0.entity
    }

    /// What clients call the fields that it is about.
    #[must_use]
    pub fn fields(&self) -> &[&'static str] {
        &self.0.fields
    }

    /// Whether there is no such one.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.0.what == What::NotFound
    }

    /// Whether somebody changed it since it was read.
    #[must_use]
    pub fn is_version_conflict(&self) -> bool {
        self.0.what == What::VersionConflict
    }

    /// Whether another has the same value in a column where none may.
    #[must_use]
    pub fn is_taken<E, T>(&self, column: Column<E, T>) -> bool {
        self.0.what == What::Taken && self.0.columns.contains(&column.name())
    }

    /// Whether something refers to it, so that it cannot be deleted.
    #[must_use]
    pub fn is_in_use(&self) -> bool {
        self.0.what == What::InUse
    }

    fn detail(&self) -> String {
        let noun = self.0.noun;
        match self.0.what {
            What::NotFound => format!("there is no such {noun}"),
            What::VersionConflict => {
                format!("somebody changed this {noun} since it was read: read it again")
            }
            What::Taken => format!("another {noun} has the same"),
            What::Invalid => format!("this {noun} breaks a rule"),
            What::Dangling => format!("this {noun} refers to something that is not there"),
            What::InUse => format!("something refers to this {noun}"),
            What::Cursor => "this is no cursor that an earlier page gave".to_owned(),
            What::Other => "this does not work".to_owned(),
        }
    }
}

/// What a database's error means for a table, and which columns it is about.
fn explained(table: &'static Table, attempt: Attempt, cause: &Error) -> (What, Vec<&'static str>) {
    let subject = cause.subject.as_deref();
    match (cause.kind, subject) {
        (ErrorKind::Conflict, Some(subject)) => (What::Taken, unique(table, subject)),
        (ErrorKind::Invalid, _) if cause.message.contains("FOREIGN KEY constraint failed") => {
            // SQLite does not say which one.
            match attempt {
                Attempt::Delete => (What::InUse, Vec::new()),
                _ => (What::Dangling, table.references.iter().map(|it| it.column).collect()),
            }
        }
        (ErrorKind::Invalid, Some(subject)) => {
            if let Some(check) = table.checks.iter().find(|it| it.is_named(subject)) {
                return (What::Invalid, check.columns.to_vec());
            }
            if let Some(reference) = table.references.iter().find(|it| it.name == subject) {
                return match attempt {
                    Attempt::Delete => (What::InUse, Vec::new()),
                    _ => (What::Dangling, vec![reference.column]),
                };
            }
            // Another table's, which refers to this one.
            if cause.message.contains("violates foreign key constraint") {
                return (What::InUse, Vec::new());
            }
            (What::Invalid, columns_in(table, subject))
        }
        (ErrorKind::Invalid, None) => match missing(&cause.message) {
            Some(column) => (What::Invalid, columns_in(table, column)),
            None => (What::Other, Vec::new()),
        },
        _ => (What::Other, Vec::new()),
    }
}

impl super::table::Check {
    /// SQLite knows a check without a name by what it says.
    fn is_named(&self, subject: &str) -> bool {
        self.name == subject || self.sql == subject
    }
}

/// The columns of a constraint: PostgreSQL gives its name, SQLite the columns.
fn unique(table: &'static Table, subject: &str) -> Vec<&'static str> {
    let named = table.uniques.iter().find(|unique| unique.name == subject);
    if let Some(unique) = named {
        return unique.columns.to_vec();
    }
    let is_key = subject.strip_prefix(table.name).is_some_and(|rest| rest == "_pkey");
    if is_key {
        return table.key.to_vec();
    }
    columns_in(table, subject)
}

/// The columns that a text such as `notes.title, notes.owner_id` names.
fn columns_in(table: &'static Table, text: &str) -> Vec<&'static str> {
    // The name of an enum's check ends so.
    let one_of = text.strip_prefix(table.name).and_then(|rest| rest.strip_suffix("_one_of"));
    let names = one_of.map_or(text, |rest| rest.trim_start_matches('_'));
    let names = names.split(", ").map(|name| name.rsplit('.').next().unwrap_or_default());
    names.filter_map(|name| table.column(name)).map(|column| column.name).collect()
}

/// The column of which PostgreSQL says that it may not be nothing.
fn missing(message: &str) -> Option<&str> {
    let rest = message.strip_prefix("null value in column \"")?;
    rest.split_once('"').map(|(column, _)| column)
}

impl fmt::Display for EntityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.entity)?;
        if !self.0.fields.is_empty() {
            write!(f, ".{}", self.0.fields.join(", "))?;
        }
        match (&self.0.cause, self.0.what) {
            (Some(cause), What::Other) => write!(f, ": {}", cause.message),
            (Some(cause), _) => write!(f, ": {} ({})", self.detail(), cause.message),
            (None, _) => write!(f, ": {}", self.detail()),
        }
    }
}

impl std::error::Error for EntityError {}

/// For functions that return a capability's error.
impl From<EntityError> for Error {
    fn from(error: EntityError) -> Self {
        let message = error.to_string();
        let kind = match (error.0.what, &error.0.cause) {
            (What::Other, Some(cause)) => cause.kind,
            (What::NotFound, _) => ErrorKind::NotFound,
            (What::VersionConflict | What::Taken | What::InUse, _) => ErrorKind::Conflict,
            _ => ErrorKind::Invalid,
        };
        let subject = error.0.fields.first().map(|field| format!("{}.{field}", error.0.entity));
        Self { kind, message, subject }
    }
}

/// For transactions whose work returns an entity's error.
impl From<Error> for EntityError {
    fn from(cause: Error) -> Self {
        Self(Box::new(Details {
            entity: "the database",
            noun: "row",
            what: What::Other,
            fields: Vec::new(),
            columns: Vec::new(),
            cause: Some(cause),
        }))
    }
}

impl From<EntityError> for Problem {
    fn from(error: EntityError) -> Self {
        let detail = error.detail();
        let named =
            |problem: Self, what: &str| {
                error.0.fields.iter().fold(problem, |problem, field| {
                    problem.field(format!("/{field}"), what.to_owned())
                })
            };
        match error.0.what {
            What::NotFound => Self::not_found(error.0.noun),
            What::VersionConflict => Self::conflict("version-conflict", detail),
            What::Taken => named(Self::conflict("not-unique", detail.clone()), &detail),
            What::InUse => Self::conflict("in-use", detail),
            What::Cursor => Self::invalid().field("query/cursor", detail),
            What::Invalid if !error.0.fields.is_empty() => {
                named(Self::invalid(), "this breaks a rule")
            }
            What::Dangling if !error.0.fields.is_empty() => {
                let what = match error.0.fields.len() {
                    1 => "there is no such thing",
                    _ => "this, or another of these, refers to what is not there",
                };
                named(Self::invalid(), what)
            }
            _ => match error.0.cause {
                Some(cause) => cause.into(),
                None => Self::internal(detail),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prelude::*;

    #[derive(Entity, Serialize)]
    #[entity(table = "shelves", unique(room, place), check(place, room, sql = "place < room"))]
    #[allow(dead_code, reason = "only its table matters")]
    struct Shelf {
        #[entity(key)]
        id: Id<Shelf>,
        #[entity(unique)]
        name: String,
        room: i32,
        #[serde(rename = "where")]
        place: i32,
        #[entity(belongs_to(above: Shelf))]
        above_id: Option<Id<Shelf>>,
    }

    fn told(kind: ErrorKind, message: &str, subject: Option<&str>) -> (u16, String, Vec<String>) {
        let cause =
            Error { kind, message: message.to_owned(), subject: subject.map(str::to_owned) };
        let error = EntityError::of(Shelf::TABLE, Attempt::Write, cause);
        let problem = Problem::from(error);
        let pointers = problem.errors().iter().map(|it| it.pointer.clone()).collect();
        (problem.status(), problem.code().to_owned(), pointers)
    }

    fn fields(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| format!("/{name}")).collect()
    }

    #[test]
    fn a_broken_constraint_names_its_fields_on_both_databases() {
        let conflict = |subject| told(ErrorKind::Conflict, "", Some(subject));
        let invalid = |message, subject| told(ErrorKind::Invalid, message, subject);
        for (subject, named) in [
            ("shelves.name", &["name"][..]),
            ("shelves_name_key", &["name"]),
            ("shelves.room, shelves.place", &["room", "where"]),
            ("shelves_room_place_key", &["room", "where"]),
            ("shelves_pkey", &["id"]),
        ] {
            let expected = (409, "not-unique".to_owned(), fields(named));
            assert_eq!(conflict(subject), expected, "{subject}");
        }
        let broken = |named| (422, "invalid-fields".to_owned(), fields(named));
        for subject in ["shelves_place_room_check", "place < room"] {
            assert_eq!(invalid("", Some(subject)), broken(&["where", "room"]));
        }
        assert_eq!(invalid("FOREIGN KEY constraint failed", None), broken(&["above_id"]));
        let message = "violates foreign key constraint";
        assert_eq!(invalid(message, Some("shelves_above_id_fkey")), broken(&["above_id"]));
        assert_eq!(invalid(message, Some("books_shelf_id_fkey")).1, "in-use");
        let message = "null value in column \"name\" of relation \"shelves\" violates …";
        assert_eq!(invalid(message, None), broken(&["name"]));
        assert_eq!(invalid("", Some("shelves.name")), broken(&["name"]));
    }

    #[test]
    fn what_is_no_constraint_stays_what_it_is() {
        let (status, code, _) = told(ErrorKind::Conflict, "another transaction came first", None);
        assert_eq!((status, code.as_str()), (409, "conflict"));
        assert_eq!(told(ErrorKind::Unavailable, "", None).0, 503);
    }

    #[test]
    fn an_error_names_entity_and_field() {
        let subject = Some("shelves.name".to_owned());
        let cause = Error { kind: ErrorKind::Conflict, message: "UNIQUE …".to_owned(), subject };
        let error = EntityError::of(Shelf::TABLE, Attempt::Write, cause);
        assert!(error.is_taken(Shelf::NAME) && !error.is_taken(Shelf::ROOM));
        assert_eq!(error.to_string(), "Shelf.name: another shelf has the same (UNIQUE …)");
        let plain = Error::from(error);
        assert_eq!(
            (plain.kind, plain.subject.as_deref()),
            (ErrorKind::Conflict, Some("Shelf.name"))
        );
    }
}
