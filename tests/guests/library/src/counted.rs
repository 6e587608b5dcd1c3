//! A connection that counts what it sends.

use std::cell::Cell;

use hostel_sdk::prelude::*;
use hostel_sdk::sql::{Statement, Value};

/// Passes everything on.
pub(crate) struct Counted<'a> {
    db: &'a Db,
    statements: Cell<u32>,
}

impl<'a> Counted<'a> {
    pub(crate) fn new(db: &'a Db) -> Self {
        Self { db, statements: Cell::new(0) }
    }

    /// How many statements there were until now.
    pub(crate) fn statements(&self) -> u32 {
        self.statements.get()
    }

    fn count(&self) -> &'a Db {
        self.statements.set(self.statements.get() + 1);
        self.db
    }
}

impl Connection for Counted<'_> {
    fn execute(&self, statement: &str, parameters: &[Value]) -> Result<u64, Error> {
        self.count().execute(statement, parameters)
    }

    fn batch(&self, statements: &[Statement]) -> Result<Vec<u64>, Error> {
        self.count().batch(statements)
    }

    fn begin(&self) -> Result<Transaction, Error> {
        self.db.begin()
    }

    fn query_encoded(&self, statement: &str, parameters: &[Value]) -> Result<Vec<u8>, Error> {
        self.count().query_encoded(statement, parameters)
    }
}
