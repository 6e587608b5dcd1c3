//! Rows by their keys, and what is written: one row, many, or what a client says of one.

use super::column::{Assignment, Columns, column, is};
use super::error::{Attempt, EntityError};
use super::expression::{Node, Operator};
use super::select::rows;
use super::statement::{Builder, Query};
use super::{Cells, Entity, Key, Select, Shape, Table};
use crate::sql::{Connection, Row, Statement, ToValue, Value, batches};

/// What a connection can do with entities.
///
/// ```
/// # use hostel_sdk::prelude::*;
/// # #[derive(Entity)]
/// # #[entity(table = "teas")]
/// # struct Tea {
/// #     #[entity(key)]
/// #     id: Id<Tea>,
/// #     name: Line<100>,
/// #     #[entity(deleted)]
/// #     deleted_at: Option<Timestamp>,
/// # }
/// fn brew(db: &impl Connection, name: Line<100>) -> Result<Tea, EntityError> {
///     let mut tea = Tea { id: Id::generate()?, name, deleted_at: None };
///     db.insert(&tea)?;
///     tea.name = Line::new("Assam").unwrap_or(tea.name);
///     db.update(&mut tea)?;
///     db.delete::<Tea>(tea.id)?;
///     assert!(db.find::<Tea>(tea.id)?.is_none());
///     db.restore::<Tea>(tea.id)?;
///     db.get(tea.id)
/// }
/// ```
pub trait Entities: Connection + Sized {
    /// The row with this key, if there is one.
    ///
    /// # Errors
    /// When the database does not answer, or the row is no `E`.
    fn find<E: Entity>(&self, key: E::Key) -> Result<Option<E>, EntityError> {
        let answer = self.query_encoded(E::TEXTS.find, &key.to_values());
        first(answer, E::TABLE)
    }

    /// The row with this key.
    ///
    /// # Errors
    /// As for [`find`](Self::find), and where there is none: 404 for a client.
    fn get<E: Entity>(&self, key: E::Key) -> Result<E, EntityError> {
        self.find(key)?.ok_or_else(|| EntityError::not_found(E::TABLE))
    }

    /// Adds a row as it is. [`create`](Self::create) makes one of what a client says.
    ///
    /// # Errors
    /// Where another has the same in what is unique, a check does not hold, or it refers to what is
    /// not there.
    fn insert<E: Entity>(&self, row: &E) -> Result<(), EntityError> {
        let added = self.execute(E::TEXTS.insert, &row.values());
        added.map_err(|error| EntityError::of(E::TABLE, Attempt::Write, error))?;
        Ok(())
    }

    /// Adds rows, all or none, and returns how many. They cross to the host by the thousand.
    ///
    /// ```
    /// # use hostel_sdk::prelude::*;
    /// # #[derive(Entity)]
    /// # #[entity(table = "teas")]
    /// # struct Tea {
    /// #     #[entity(key)]
    /// #     id: i64,
    /// # }
    /// fn fill(db: &impl Connection) -> Result<u64, EntityError> {
    ///     db.insert_all((1..=10_000).map(|id| Tea { id }))
    /// }
    /// ```
    ///
    /// # Errors
    /// As for [`insert`](Self::insert).
    fn insert_all<E: Entity>(&self, rows: impl IntoIterator<Item = E>) -> Result<u64, EntityError> {
        let mut rows = rows.into_iter().map(|row| row.values()).peekable();
        batches(self, || {
            let some = Statement::some_inserts(E::TEXTS.into, &mut rows);
            (some, rows.peek().is_none())
        })
        .map_err(|error| EntityError::of(E::TABLE, Attempt::Write, error))
    }

    /// Writes a row that was read before: all of it but its key, and when it was made. Its version
    /// grows, and its time of change is now.
    ///
    /// # Errors
    /// As for [`insert`](Self::insert); where it is gone, 404 for a client, and where somebody else
    /// has changed it since it was read, 409 `version-conflict`.
    fn update<E: Entity>(&self, row: &mut E) -> Result<(), EntityError> {
        let now = E::now();
        let changed = self.execute(E::TEXTS.update, &row.values_to_update(now));
        match changed.map_err(|error| EntityError::of(E::TABLE, Attempt::Write, error))? {
            0 => Err(why_not::<E>(self, row.key())),
            _ => {
                row.mark_updated(now);
                Ok(())
            }
        }
    }

    /// Deletes the row with this key: where the entity has a `deleted` column, it is kept, and left
    /// out from now on.
    ///
    /// # Errors
    /// Where there is none, or something refers to it.
    fn delete<E: Entity>(&self, key: E::Key) -> Result<(), EntityError> {
        let mut values = key.to_values();
        if E::TABLE.deleted.is_some() {
            values.insert(0, E::now().to_value());
        }
        one::<E>(self.execute(E::TEXTS.delete, &values), Attempt::Delete)
    }

    /// Takes back that a row was deleted, where the entity has a `deleted` column.
    ///
    /// # Errors
    /// Where there is none that was deleted.
    fn restore<E: Entity>(&self, key: E::Key) -> Result<(), EntityError> {
        const {
            assert!(E::TABLE.deleted.is_some(), "only what has a `deleted` column can be restored");
        }
        let mut values = key.to_values();
        if E::TABLE.updated.is_some() {
            values.insert(0, E::now().to_value());
        }
        one::<E>(self.execute(E::TEXTS.restore, &values), Attempt::Write)
    }

    /// Adds a row of which a client says what it can; the rest is new: its key, its version, its
    /// times. What nobody says is what the table has for it.
    ///
    /// ```
    /// # use hostel_sdk::prelude::*;
    /// # #[derive(Entity, Serialize, JsonSchema)]
    /// # #[entity(table = "teas")]
    /// # struct Tea {
    /// #     #[entity(key)]
    /// #     id: Id<Tea>,
    /// #     name: Line<100>,
    /// #     #[entity(created)]
    /// #     created_at: Timestamp,
    /// # }
    /// #[derive(Draft, Deserialize, JsonSchema)]
    /// #[draft(of = Tea)]
    /// struct TeaDraft {
    ///     name: Line<100>,
    /// }
    ///
    /// fn create(Json(draft): Json<TeaDraft>, db: Db) -> Result<Created<Tea>, Problem> {
    ///     let tea = db.create(&draft)?;
    ///     Ok(Created::below(tea.id, tea))
    /// }
    /// # let _ = post("/", create);
    /// ```
    ///
    /// # Errors
    /// As for [`insert`](Self::insert).
    fn create<D: Draft>(&self, draft: &D) -> Result<D::Entity, EntityError> {
        let table = D::Entity::TABLE;
        let mut row = Vec::new();
        for Assignment { column, value, .. } in draft.stated() {
            if let Node::Value(value) = value {
                row.push((column, value));
            }
        }
        let given: Vec<_> = row.iter().map(|(column, _)| *column).collect();
        row.extend(D::Entity::automatic(&given)?);
        let insert = Builder::new().insert(table, row, None, D::Entity::TEXTS.columns);
        let answer = self.query_encoded(&insert.text, &insert.values);
        written(answer, table)?.ok_or_else(|| EntityError::not_found(table))
    }

    /// Changes the row with this key to what a client says of it. Its version grows, and its time of
    /// change is now.
    ///
    /// # Errors
    /// As for [`update`](Self::update): a draft may say which version its author has seen.
    fn change<D: Draft>(
        &self,
        key: <D::Entity as Entity>::Key,
        draft: &D,
    ) -> Result<D::Entity, EntityError> {
        let table = D::Entity::TABLE;
        let mut filter = key_is::<D::Entity>(&key);
        if let (Some(version), Some(seen)) = (table.version, draft.seen_version()) {
            filter.push(is::<D::Entity>(version, seen).node);
        }
        let query = Query { filters: filter, ..Query::of(table) };
        let sets = changes::<D::Entity>(draft.stated());
        let update = Builder::new().update(&query, &sets, Some(D::Entity::TEXTS.columns));
        let answer = self.query_encoded(&update.text, &update.values);
        match written(answer, table)? {
            Some(row) => Ok(row),
            None => Err(why_not::<D::Entity>(self, key)),
        }
    }

    /// Adds a row, or where one has the same in these columns, makes that one alike: all of it but
    /// its key, and when it was made. The columns must be unique together. Returns the row as it is
    /// then.
    ///
    /// ```
    /// # use hostel_sdk::prelude::*;
    /// # #[derive(Entity)]
    /// # #[entity(table = "visits")]
    /// # struct Visits {
    /// #     #[entity(key)]
    /// #     id: Id<Visits>,
    /// #     #[entity(unique)]
    /// #     page: String,
    /// #     count: i64,
    /// # }
    /// fn set(db: &impl Connection, page: &str, count: i64) -> Result<Visits, EntityError> {
    ///     let visits = Visits { id: Id::generate()?, page: page.to_owned(), count };
    ///     db.upsert(&visits, Visits::PAGE)
    /// }
    /// ```
    ///
    /// # Errors
    /// As for [`insert`](Self::insert).
    fn upsert<E: Entity>(&self, row: &E, on: impl Columns<E>) -> Result<E, EntityError> {
        let table = E::TABLE;
        let on = on.names();
        let is_kept = |name: &&str| {
            on.contains(name) || table.key.contains(name) || table.created == Some(*name)
        };
        let columns = table.columns.iter().map(|column| column.name);
        let sets = columns.clone().filter(|name| !is_kept(name)).map(|name| match table.version {
            Some(version) if version == name => (name, next::<E>(version)),
            _ => (name, Node::Excluded(name)),
        });
        let mut sets: Vec<_> = sets.collect();
        // Where nothing is done, nothing is returned.
        if let ([], Some(same)) = (sets.as_slice(), on.first()) {
            sets.push((*same, Node::Excluded(same)));
        }
        let row = columns.zip(row.values()).collect();
        let upsert = Builder::new().insert(table, row, Some((&on, &sets)), E::TEXTS.columns);
        let answer = self.query_encoded(&upsert.text, &upsert.values);
        written(answer, table)?.ok_or_else(|| EntityError::not_found(table))
    }
}

impl<C: Connection> Entities for C {}

/// What a client says of an entity, as the body of its request. `#[derive(Draft)]` makes a struct
/// one: its fields are columns, those in an `Option` are left as they are where nothing is said.
///
/// ```
/// # use hostel_sdk::prelude::*;
/// # #[derive(Entity, Serialize, JsonSchema)]
/// # #[entity(table = "teas")]
/// # struct Tea {
/// #     #[entity(key)]
/// #     id: Id<Tea>,
/// #     name: Line<100>,
/// #     stars: i32,
/// #     #[entity(version)]
/// #     version: u32,
/// # }
/// #[derive(Draft, Deserialize, JsonSchema)]
/// #[draft(of = Tea)]
/// struct TeaChange {
///     #[draft(to = name)]
///     title: Option<Line<100>>,
///     stars: Option<i32>,
///     /// The version that the client has seen: another one is not overwritten.
///     #[draft(version)]
///     version: u32,
///     #[draft(skip)]
///     reason: String,
/// }
///
/// fn change(
///     Path(id): Path<Id<Tea>>,
///     Json(change): Json<TeaChange>,
///     db: Db,
/// ) -> Result<Json<Tea>, Problem> {
///     Ok(Json(db.change(id, &change)?))
/// }
/// # let _ = patch("/{id}", change);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no draft",
    note = "`#[derive(Draft)]` with `#[draft(of = Note)]` makes a struct one"
)]
pub trait Draft {
    /// What it is a draft of.
    type Entity: Entity;

    #[doc(hidden)]
    fn stated(&self) -> Vec<Assignment<Self::Entity>>;

    #[doc(hidden)]
    fn seen_version(&self) -> Option<Value> {
        None
    }
}

/// What is written where these assignments are: they, the next version, and the time.
pub(super) fn changes<E: Entity>(
    assignments: impl IntoIterator<Item = Assignment<E>>,
) -> Vec<(&'static str, Node)> {
    let stated = assignments.into_iter().map(|it| (it.column, it.value));
    let mut sets: Vec<_> = stated.collect();
    let is_missing = |name: &str| !sets.iter().any(|(column, _)| *column == name);
    let version = E::TABLE.version.filter(|name| is_missing(name));
    let updated = E::TABLE.updated.filter(|name| is_missing(name));
    sets.extend(version.map(|name| (name, next::<E>(name))));
    sets.extend(updated.map(|name| (name, Node::Value(E::now().to_value()))));
    if sets.is_empty() {
        // SQL has no word for an update of nothing.
        sets.extend(E::TABLE.key.iter().map(|key| (*key, column::<E>(key))));
    }
    sets
}

fn next<E: Entity>(version: &'static str) -> Node {
    let one = Box::new(Node::Value(Value::Integer(1)));
    Node::Compare(Box::new(column::<E>(version)), Operator::Plus, one)
}

fn key_is<E: Entity>(key: &E::Key) -> Vec<Node> {
    let parts = E::TABLE.key.iter().zip(key.to_values());
    parts.map(|(name, value)| is::<E>(name, value).node).collect()
}

/// Why nothing was changed.
fn why_not<E: Entity>(db: &impl Connection, key: E::Key) -> EntityError {
    let query = Query { filters: key_is::<E>(&key), ..Query::of(E::TABLE) };
    match Select::<E>::from_query(query).exists(db) {
        Ok(true) => EntityError::version_conflict(E::TABLE),
        Ok(false) => EntityError::not_found(E::TABLE),
        Err(error) => error,
    }
}

/// One row was changed, or there was none.
fn one<E: Entity>(changed: Result<u64, crate::Error>, attempt: Attempt) -> Result<(), EntityError> {
    match changed.map_err(|error| EntityError::of(E::TABLE, attempt, error))? {
        0 => Err(EntityError::not_found(E::TABLE)),
        _ => Ok(()),
    }
}

fn first<S: Shape>(
    answer: Result<Vec<u8>, crate::Error>,
    table: &'static Table,
) -> Result<Option<S>, EntityError> {
    let failed = |error| EntityError::of(table, Attempt::Read, error);
    let row: Option<Row> = rows(answer.map_err(failed)?).map_err(failed)?.next();
    row.map(|row| S::read(&mut Cells::in_order(&row))).transpose().map_err(failed)
}

fn written<S: Shape>(
    answer: Result<Vec<u8>, crate::Error>,
    table: &'static Table,
) -> Result<Option<S>, EntityError> {
    match answer {
        Ok(rows) => first(Ok(rows), table),
        Err(error) => Err(EntityError::of(table, Attempt::Write, error)),
    }
}
