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
mod statement;
mod stream;
mod value;

use crate::bindings::hostel::sql::sql;
use crate::extract::FromRequest;
use crate::problem::Problem;
use crate::request::Request;
use crate::{Error, ErrorKind};

pub(crate) use crate::bindings::hostel::sql::sql::current_dialect;
pub use crate::bindings::hostel::sql::sql::{Dialect, Isolation, Statement, Value};
pub use hostel_sdk_derive::FromRow;
pub(crate) use row::decode;
pub use row::{FromRow, Row};
pub use rust_decimal::{self, Decimal};
pub use statement::ToParameters;
pub use stream::Stream;
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
/// fn move_in(db: &impl Connection, room: i64) -> Result<(), Problem> {
///     // Alone, or nested in the caller's transaction.
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
    /// `conflict` and `invalid` for broken constraints, and the other kinds as they are documented. The
    /// subject is the constraint's name on PostgreSQL; SQLite tells that of a check, the columns of what
    /// is unique (`things.name`), and nothing of a foreign key. Entities know them by either.
    fn execute(&self, statement: &str, parameters: &[Value]) -> Result<u64, Error>;

    /// Runs statements in one transaction and in one call of the host: all take effect or none.
    /// Returns how many rows each changed. The message of an error begins with the number of its
    /// statement.
    ///
    /// ```
    /// # use hostel_sdk::prelude::*;
    /// # use hostel_sdk::sql::Statement;
    /// fn replace_tags(db: &impl Connection, note: i64, tags: &[String]) -> Result<(), Error> {
    ///     let add = "INSERT INTO tags (note, name) VALUES ($1, $2)";
    ///     db.batch(&[
    ///         Statement::new("DELETE FROM tags WHERE note = $1", params![note]),
    ///         Statement::many(add, tags.iter().map(|tag| (note, tag))),
    ///     ])?;
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// As for [`execute`](Self::execute).
    fn batch(&self, statements: &[Statement]) -> Result<Vec<u64>, Error>;

    /// Begins a transaction that ends with [`Transaction::commit`]; dropped, it rolls back. Begun on a
    /// transaction, it is nested: a part that can be undone by itself.
    ///
    /// # Errors
    /// When the database has no room for another transaction, or does not answer.
    fn begin(&self) -> Result<Transaction, Error>;

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
    /// fn transfer(db: &impl Connection, from: i64, to: i64, amount: i64) -> Result<(), Problem> {
    ///     db.transaction(|tx| {
    ///         tx.execute("UPDATE accounts SET sum = sum - $2 WHERE id = $1", params![from, amount])?;
    ///         tx.execute("UPDATE accounts SET sum = sum + $2 WHERE id = $1", params![to, amount])?;
    ///         Ok(())
    ///     })
    /// }
    /// ```
    ///
    /// Inside another transaction it is nested: what it did is undone where it fails, and the outer
    /// one goes on.
    ///
    /// ```
    /// # use hostel_sdk::prelude::*;
    /// # fn transfer(db: &impl Connection, from: i64, to: i64, amount: i64) -> Result<(), Problem> {
    /// #     Ok(())
    /// # }
    /// fn pay(db: &Db, from: i64, to: &[i64]) -> Result<usize, Problem> {
    ///     db.transaction(|tx| {
    ///         let paid = to.iter().filter(|to| transfer(tx, from, **to, 10).is_ok()).count();
    ///         tx.execute("INSERT INTO runs (paid) VALUES ($1)", params![paid as i64])?;
    ///         Ok(paid)
    ///     })
    /// }
    /// ```
    ///
    /// # Errors
    /// What `work` returns, and what goes wrong at the beginning or at the end.
    fn transaction<T, E: From<Error>>(
        &self,
        work: impl FnOnce(&Transaction) -> Result<T, E>,
    ) -> Result<T, E> {
        self.begin()?.around(work)
    }

    /// Runs one statement for each of `rows`, all or none, and returns how many rows it changed. They
    /// cross to the host by the thousand.
    ///
    /// ```
    /// # use hostel_sdk::prelude::*;
    /// struct Tea {
    ///     name: String,
    ///     stars: Option<i64>,
    /// }
    ///
    /// fn import(db: &impl Connection, teas: &[Tea]) -> Result<u64, Error> {
    ///     let insert = "INSERT INTO teas (name, stars) VALUES ($1, $2)";
    ///     db.execute_many(insert, teas.iter().map(|tea| (&tea.name, tea.stars)))
    /// }
    /// ```
    ///
    /// # Errors
    /// As for [`batch`](Self::batch).
    fn execute_many<P: ToParameters>(
        &self,
        statement: &str,
        rows: impl IntoIterator<Item = P>,
    ) -> Result<u64, Error> {
        let mut rows = rows.into_iter().peekable();
        batches(self, || {
            let some = vec![Statement::some(statement, &mut rows)];
            (some, rows.peek().is_none())
        })
    }

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

/// Runs batches one after the other, all or none, until one says that it is the last.
pub(crate) fn batches<C: Connection + ?Sized>(
    db: &C,
    mut next: impl FnMut() -> (Vec<Statement>, bool),
) -> Result<u64, Error> {
    let (first, is_last) = next();
    if first.is_empty() {
        return Ok(0);
    }
    if is_last {
        return Ok(db.batch(&first)?.iter().sum());
    }
    db.transaction(|tx| {
        let mut changed = tx.batch(&first)?.iter().sum::<u64>();
        loop {
            let (some, is_last) = next();
            changed += tx.batch(&some)?.iter().sum::<u64>();
            if is_last {
                return Ok(changed);
            }
        }
    })
}

/// The database. Each statement stands for itself; what belongs together goes into a
/// [`transaction`](Connection::transaction). Handlers take it as an argument:
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

    /// Runs `work` as [`transaction`](Connection::transaction) does, where less isolation is enough.
    /// A database may give more than it is asked for: SQLite's transactions are all serializable.
    ///
    /// ```
    /// # use hostel_sdk::prelude::*;
    /// # use hostel_sdk::sql::Isolation;
    /// fn count_visit(db: &Db, page: &str) -> Result<(), Error> {
    ///     db.transaction_with(Isolation::ReadCommitted, |tx| {
    ///         tx.execute("UPDATE pages SET visits = visits + 1 WHERE name = $1", params![page])?;
    ///         tx.execute("INSERT INTO visits (page) VALUES ($1)", params![page])?;
    ///         Ok(())
    ///     })
    /// }
    /// ```
    ///
    /// # Errors
    /// As for [`transaction`](Connection::transaction).
    pub fn transaction_with<T, E: From<Error>>(
        &self,
        isolation: Isolation,
        work: impl FnOnce(&Transaction) -> Result<T, E>,
    ) -> Result<T, E> {
        begin(isolation, false)?.around(work)
    }

    /// Runs `work`, whose statements read the tables as they were at one moment. It waits for nobody
    /// who writes, and keeps nobody from writing; statements of its own that write are refused.
    ///
    /// ```
    /// # use hostel_sdk::prelude::*;
    /// fn shares(db: &Db) -> Result<Vec<f64>, Error> {
    ///     db.read_transaction(|tx| {
    ///         let all: Row = tx.query_one("SELECT sum(amount) AS sum FROM accounts", params![])?;
    ///         let all: f64 = all.get("sum")?;
    ///         let each: Vec<Row> = tx.query("SELECT amount FROM accounts", params![])?;
    ///         each.iter().map(|row| Ok(row.get::<f64>("amount")? / all)).collect()
    ///     })
    /// }
    /// ```
    ///
    /// # Errors
    /// As for [`transaction`](Connection::transaction); `conflict` where this call has another one,
    /// or a [`stream`](Self::stream), open.
    pub fn read_transaction<T, E: From<Error>>(
        &self,
        work: impl FnOnce(&Transaction) -> Result<T, E>,
    ) -> Result<T, E> {
        begin(Isolation::RepeatableRead, true)?.around(work)
    }

    /// Runs one statement whose rows come as they are taken: for answers of any size. They are those
    /// of the moment at which it began. Dropped, it is stopped.
    ///
    /// ```
    /// # use hostel_sdk::prelude::*;
    /// fn total_length(db: &Db) -> Result<usize, Error> {
    ///     let mut bytes = 0;
    ///     for row in db.stream::<Row>("SELECT text FROM pages", params![])? {
    ///         bytes += row?.get::<String>("text")?.len();
    ///     }
    ///     Ok(bytes)
    /// }
    /// ```
    ///
    /// # Errors
    /// `conflict` where this call has another one, or a read-only transaction, open.
    pub fn stream<T: FromRow>(
        &self,
        statement: &str,
        parameters: &[Value],
    ) -> Result<Stream<T>, Error> {
        sql::Cursor::open(statement, parameters).map(Stream::new)
    }

    /// How the database would run a statement, in its own words: which index it uses, and where it
    /// reads a whole table. Nothing is run.
    ///
    /// ```
    /// # use hostel_sdk::prelude::*;
    /// # use hostel_sdk::log;
    /// fn tell(db: &Db) -> Result<(), Error> {
    ///     let plan = db.explain("SELECT name FROM teas WHERE stars > $1", params![3])?;
    ///     log::debug("the plan of the search", &[("plan", &plan)]);
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// As for [`execute`](Connection::execute).
    pub fn explain(&self, statement: &str, parameters: &[Value]) -> Result<String, Error> {
        sql::explain(statement, parameters)
    }
}

fn begin(isolation: Isolation, read_only: bool) -> Result<Transaction, Error> {
    sql::Transaction::begin(sql::TransactionOptions { isolation, read_only }).map(Transaction)
}

impl Connection for Db {
    fn execute(&self, statement: &str, parameters: &[Value]) -> Result<u64, Error> {
        sql::execute(statement, parameters)
    }

    fn batch(&self, statements: &[Statement]) -> Result<Vec<u64>, Error> {
        sql::batch(statements)
    }

    fn begin(&self) -> Result<Transaction, Error> {
        begin(Isolation::Serializable, false)
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

/// Statements that take effect together or not at all. [`Connection::transaction`] is shorter; this is
/// for what does not end where it began:
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
    fn around<T, E: From<Error>>(self, work: impl FnOnce(&Self) -> Result<T, E>) -> Result<T, E> {
        // On the way out of an error the transaction is dropped, and so rolled back.
        let value = work(&self)?;
        self.commit()?;
        Ok(value)
    }

    /// Makes the statements take effect. Those of a nested transaction are then a part of the outer
    /// one.
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

    fn batch(&self, statements: &[Statement]) -> Result<Vec<u64>, Error> {
        self.0.batch(statements)
    }

    fn begin(&self) -> Result<Transaction, Error> {
        self.0.begin_nested().map(Transaction)
    }

    fn query_encoded(&self, statement: &str, parameters: &[Value]) -> Result<Vec<u8>, Error> {
        self.0.query(statement, parameters)
    }
}
