//! The module's tables in the current tenant's database.
//!
//! Values are always bound, as `$1`, `$2` …:
//!
//! ```
//! # use hostel_sdk::prelude::*;
//! fn rename(db: &Db, old: &str, new: &str) -> Result<u64, Error> {
//!     db.execute("UPDATE tags SET name = $2 WHERE name = $1", params![old, new])
//! }
//! ```

mod row;
mod value;

use crate::bindings::hostel::sql::sql;
use crate::extract::FromRequest;
use crate::problem::Problem;
use crate::request::Request;
use crate::{Error, ErrorKind};

pub use crate::bindings::hostel::sql::sql::{Dialect, Value};
#[cfg(all(feature = "testing", not(target_family = "wasm")))]
pub(crate) use row::decode;
pub use row::{FromRow, Row};
pub use uuid::{self, Uuid};
pub use value::{Cell, FromValue, Mismatch, ToValue};

/// Binds values to a statement's `$1`, `$2` …
///
/// ```
/// # use hostel_sdk::prelude::*;
/// fn add(db: &Db, name: &str, stars: Option<i64>) -> Result<u64, Error> {
///     db.execute("INSERT INTO teas (name, stars) VALUES ($1, $2)", params![name, stars])
/// }
/// ```
#[macro_export]
macro_rules! params {
    ($($value:expr),* $(,)?) => {
        &[$($crate::sql::ToValue::to_value(&$value)),*]
    };
}

/// What runs statements: [`Db`], or a [`Transaction`]. Functions that take any of them can be used
/// alone and as part of something larger:
///
/// ```
/// # use hostel_sdk::prelude::*;
/// fn is_free(db: &impl Connection, room: i64) -> Result<bool, Error> {
///     let taken: Option<Row> =
///         db.query_optional("SELECT 1 FROM stays WHERE room = $1", params![room])?;
///     Ok(taken.is_none())
/// }
///
/// fn move_in(db: &Db, room: i64) -> Result<(), Problem> {
///     db.transaction(|tx| {
///         if !is_free(tx, room)? {
///             return Err(Problem::conflict("room-taken", "somebody was quicker"));
///         }
///         tx.execute("INSERT INTO stays (room) VALUES ($1)", params![room])?;
///         Ok(())
///     })
/// }
/// ```
pub trait Connection {
    /// Runs one statement and returns how many rows it changed.
    ///
    /// # Errors
    /// `conflict` and `invalid` for broken constraints, and the other kinds as they are documented.
    fn execute(&self, statement: &str, parameters: &[Value]) -> Result<u64, Error>;

    /// Runs one statement and returns its rows as the host encodes them.
    ///
    /// # Errors
    /// As for [`execute`](Self::execute).
    fn query_encoded(&self, statement: &str, parameters: &[Value]) -> Result<Vec<u8>, Error>;

    /// Runs one statement and returns its rows, as they are or as a type that is made of a row.
    ///
    /// # Errors
    /// As for [`execute`](Self::execute), and `other` where a row is no `T`.
    fn query<T: FromRow>(&self, statement: &str, parameters: &[Value]) -> Result<Vec<T>, Error> {
        row::decode(self.query_encoded(statement, parameters)?)?
            .map(|row| T::from_row(&row))
            .collect()
    }

    /// Runs one statement and returns its first row, if it has one.
    ///
    /// # Errors
    /// As for [`query`](Self::query).
    fn query_optional<T: FromRow>(
        &self,
        statement: &str,
        parameters: &[Value],
    ) -> Result<Option<T>, Error> {
        let mut rows = row::decode(self.query_encoded(statement, parameters)?)?;
        rows.next().map(|row| T::from_row(&row)).transpose()
    }

    /// Runs one statement and returns its first row.
    ///
    /// # Errors
    /// As for [`query`](Self::query), and `not-found` where there is no row.
    fn query_one<T: FromRow>(&self, statement: &str, parameters: &[Value]) -> Result<T, Error> {
        self.query_optional(statement, parameters)?.ok_or_else(|| Error {
            kind: ErrorKind::NotFound,
            message: "the statement found no row".to_owned(),
            subject: None,
        })
    }
}

/// The database. Each statement stands for itself; what belongs together goes into a
/// [`transaction`](Self::transaction). Handlers take it as an argument:
///
/// ```
/// # use hostel_sdk::prelude::*;
/// # use hostel_sdk::sql::Dialect;
/// fn search(Path(word): Path<String>, db: Db) -> Result<String, Problem> {
///     let statement = match db.dialect() {
///         Dialect::Sqlite => "SELECT name FROM teas WHERE name LIKE $1 LIMIT 1",
///         Dialect::Postgres => "SELECT name FROM teas WHERE name ILIKE $1 LIMIT 1",
///     };
///     let row: Row = db.query_one(statement, params![format!("%{word}%")])?;
///     Ok(row.get("name")?)
/// }
/// # let _ = get("/{word}", search);
/// ```
#[derive(Debug)]
pub struct Db(());

impl Db {
    /// Which SQL the database speaks, for the rare statement that cannot be portable.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        sql::current_dialect()
    }

    /// Runs `work` so that its statements take effect together: all of them when it returns `Ok`,
    /// none when it returns `Err`.
    ///
    /// A tenant's transactions take effect as if one ran after the other. What was looked up in one
    /// is still so when it ends, so that looking whether a slot is free and then taking it needs no
    /// lock and no constraint: of two who want it at once, one waits for the other and finds it
    /// taken. Who waits too long is answered with 503. A transaction waits for nobody outside of the
    /// database: keep it short.
    ///
    /// ```
    /// # use hostel_sdk::prelude::*;
    /// fn transfer(db: &Db, from: i64, to: i64, amount: i64) -> Result<(), Problem> {
    ///     db.transaction(|tx| {
    ///         tx.execute("UPDATE accounts SET sum = sum - $2 WHERE id = $1", params![from, amount])?;
    ///         tx.execute("UPDATE accounts SET sum = sum + $2 WHERE id = $1", params![to, amount])?;
    ///         Ok(())
    ///     })
    /// }
    /// ```
    ///
    /// # Errors
    /// What `work` returns, and what goes wrong at the beginning or at the end.
    pub fn transaction<T, E: From<Error>>(
        &self,
        work: impl FnOnce(&Transaction) -> Result<T, E>,
    ) -> Result<T, E> {
        let transaction = self.begin()?;
        // On the way out of an error the transaction is dropped, and so rolled back.
        let value = work(&transaction)?;
        transaction.commit()?;
        Ok(value)
    }

    /// Begins a transaction that ends with [`Transaction::commit`]; dropped, it rolls back.
    ///
    /// # Errors
    /// When the database has no room for another transaction, or does not answer.
    pub fn begin(&self) -> Result<Transaction, Error> {
        sql::Transaction::begin().map(Transaction)
    }
}

impl Connection for Db {
    fn execute(&self, statement: &str, parameters: &[Value]) -> Result<u64, Error> {
        sql::execute(statement, parameters)
    }

    fn query_encoded(&self, statement: &str, parameters: &[Value]) -> Result<Vec<u8>, Error> {
        sql::query(statement, parameters)
    }
}

impl FromRequest for Db {
    fn from_request(_request: &mut Request) -> Result<Self, Problem> {
        Ok(Self(()))
    }
}

/// Statements that take effect together or not at all. [`Db::transaction`] is shorter; this is for
/// what does not end where it began:
///
/// ```
/// # use hostel_sdk::prelude::*;
/// fn try_out(db: &Db) -> Result<u64, Error> {
///     let trial = db.begin()?;
///     let deleted = trial.execute("DELETE FROM teas WHERE amount = 0", params![])?;
///     if deleted < 10 { trial.commit()? } else { trial.rollback()? }
///     Ok(deleted)
/// }
/// ```
#[derive(Debug)]
pub struct Transaction(sql::Transaction);

impl Transaction {
    /// Makes the statements take effect.
    ///
    /// # Errors
    /// `conflict` where another transaction came first; none of the statements took effect then.
    pub fn commit(self) -> Result<(), Error> {
        sql::Transaction::commit(self.0)
    }

    /// Undoes the statements, as dropping does, and says whether that worked.
    ///
    /// # Errors
    /// When the database does not answer; the host undoes them all the same.
    pub fn rollback(self) -> Result<(), Error> {
        sql::Transaction::rollback(self.0)
    }
}

impl Connection for Transaction {
    fn execute(&self, statement: &str, parameters: &[Value]) -> Result<u64, Error> {
        self.0.execute(statement, parameters)
    }

    fn query_encoded(&self, statement: &str, parameters: &[Value]) -> Result<Vec<u8>, Error> {
        self.0.query(statement, parameters)
    }
}
