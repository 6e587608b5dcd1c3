//! Statements of a batch.

use super::{Statement, ToValue, Value};

/// What crosses to the host at once, about: far below what it takes over in one call. What is more than
/// that is several batches of one transaction, for each of which SQLite keeps a journal.
const BATCH_BYTES: usize = 2 << 20;

/// Parameters of a statement that inserts many rows. More gain nothing on PostgreSQL; on SQLite each is
/// looked up among all of its statement, so that a thousand together take twice as long (benchmark
/// `bulk-insert`).
const TOGETHER_MAX: usize = 100;

/// The text that inserts `rows` rows of `columns` values.
fn insert(into: &str, columns: usize, rows: usize) -> String {
    use std::fmt::Write as _;
    let mut text = format!("INSERT INTO {into} VALUES ");
    for row in 0..rows {
        text.push_str(if row == 0 { "(" } else { ", (" });
        for column in 1..=columns {
            let comma = if column == 1 { "" } else { ", " };
            // Writing to a text cannot fail.
            let _ = write!(text, "{comma}${}", row * columns + column);
        }
        text.push(')');
    }
    text
}

impl Statement {
    /// A statement that runs once.
    ///
    /// ```
    /// # use hostel_sdk::prelude::*;
    /// # use hostel_sdk::sql::Statement;
    /// let rename = Statement::new("UPDATE teas SET name = $2 WHERE id = $1", params![1, "Assam"]);
    /// # assert_eq!(rename.parameters.len(), 1);
    /// ```
    #[must_use]
    pub fn new(text: &str, parameters: &[Value]) -> Self {
        Self { text: text.to_owned(), parameters: vec![parameters.to_vec()] }
    }

    /// A statement that runs once for each of `rows`, and is prepared once for all of them.
    ///
    /// ```
    /// # use hostel_sdk::sql::Statement;
    /// let teas = [("Assam", 4), ("Sencha", 5)];
    /// let insert = Statement::many("INSERT INTO teas (name, stars) VALUES ($1, $2)", teas);
    /// # assert_eq!(insert.parameters.len(), 2);
    /// ```
    #[must_use]
    pub fn many<P: ToParameters>(text: &str, rows: impl IntoIterator<Item = P>) -> Self {
        let parameters = rows.into_iter().map(|row| row.to_parameters()).collect();
        Self { text: text.to_owned(), parameters }
    }

    /// Statements that insert all of `rows`, many with each: faster than [`many`](Self::many), where one
    /// statement inserts one row. `into` is the table with its columns, in the order of the values.
    ///
    /// ```
    /// # use hostel_sdk::prelude::*;
    /// # use hostel_sdk::sql::Statement;
    /// fn stock(db: &Db, teas: &[(&str, i32)]) -> Result<u64, Error> {
    ///     Ok(db.batch(&Statement::inserts("teas (name, stars)", teas))?.iter().sum())
    /// }
    /// # let inserts = Statement::inserts("teas (name, stars)", [("Assam", 4), ("Sencha", 5)]);
    /// # assert_eq!(inserts[0].text, "INSERT INTO teas (name, stars) VALUES ($1, $2), ($3, $4)");
    /// # assert_eq!(inserts[0].parameters[0].len(), 4);
    /// ```
    #[must_use]
    pub fn inserts<P: ToParameters>(into: &str, rows: impl IntoIterator<Item = P>) -> Vec<Self> {
        Self::inserts_of(into, rows.into_iter().map(|row| row.to_parameters()))
    }

    /// As [`inserts`](Self::inserts), of values that are the rows' own.
    fn inserts_of(into: &str, rows: impl Iterator<Item = Vec<Value>>) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        let mut together = Vec::new();
        let mut rows = rows.peekable();
        while let Some(row) = rows.next() {
            let columns = row.len().max(1);
            together.extend(row);
            if together.len() + columns <= TOGETHER_MAX && rows.peek().is_some() {
                continue;
            }
            let text = || insert(into, columns, together.len() / columns);
            match all.last_mut() {
                // What is as long as the one before it is the same statement.
                Some(last) if last.parameters[0].len() == together.len() => {}
                _ => all.push(Self { text: text(), parameters: Vec::new() }),
            }
            if let Some(last) = all.last_mut() {
                last.parameters.push(std::mem::take(&mut together));
            }
        }
        all
    }

    /// A statement that runs for as many of `rows` as may cross at once.
    pub(super) fn some<P: ToParameters>(text: &str, rows: &mut impl Iterator<Item = P>) -> Self {
        let rows = rows.map(|row| row.to_parameters());
        Self { text: text.to_owned(), parameters: portion(rows).collect() }
    }

    /// Statements that insert as many of `rows` as may cross at once.
    pub(crate) fn some_inserts(
        into: &str,
        rows: &mut impl Iterator<Item = Vec<Value>>,
    ) -> Vec<Self> {
        Self::inserts_of(into, portion(rows))
    }
}

/// As many rows as may cross at once.
fn portion(mut rows: impl Iterator<Item = Vec<Value>>) -> impl Iterator<Item = Vec<Value>> {
    let mut bytes = 0;
    std::iter::from_fn(move || {
        let row = if bytes < BATCH_BYTES { rows.next() } else { None }?;
        bytes += size_of_val(&row) + row.iter().map(size).sum::<usize>();
        Some(row)
    })
}

fn size(value: &Value) -> usize {
    let more = match value {
        Value::Text(it) | Value::Json(it) | Value::Decimal(it) => it.len(),
        Value::Bytes(it) => it.len(),
        _ => 0,
    };
    size_of::<Value>() + more
}

/// The parameters of one run: a tuple of values, or values that were made before.
///
/// ```
/// # use hostel_sdk::prelude::*;
/// # use hostel_sdk::sql::ToParameters;
/// assert_eq!(("Assam", 4, None::<bool>).to_parameters().len(), 3);
/// assert_eq!(params!["Assam", 4].to_parameters().len(), 2);
/// ```
pub trait ToParameters {
    /// The values in the order of `$1`, `$2` …
    fn to_parameters(&self) -> Vec<Value>;
}

impl ToParameters for [Value] {
    fn to_parameters(&self) -> Vec<Value> {
        self.to_vec()
    }
}

impl<const N: usize> ToParameters for [Value; N] {
    fn to_parameters(&self) -> Vec<Value> {
        self.to_vec()
    }
}

impl ToParameters for Vec<Value> {
    fn to_parameters(&self) -> Vec<Value> {
        self.clone()
    }
}

impl<P: ToParameters + ?Sized> ToParameters for &P {
    fn to_parameters(&self) -> Vec<Value> {
        (**self).to_parameters()
    }
}

macro_rules! tuple {
    ($($part:ident)+) => {
        impl<$($part: ToValue),+> ToParameters for ($($part,)+) {
            fn to_parameters(&self) -> Vec<Value> {
                #[expect(non_snake_case, reason = "the parts are named like their types")]
                let ($($part,)+) = self;
                vec![$($part.to_value()),+]
            }
        }
    };
}

tuple!(A);
tuple!(A B);
tuple!(A B C);
tuple!(A B C D);
tuple!(A B C D E);
tuple!(A B C D E F);
tuple!(A B C D E F G);
tuple!(A B C D E F G H);
tuple!(A B C D E F G H I);
tuple!(A B C D E F G H I J);
tuple!(A B C D E F G H I J K);
tuple!(A B C D E F G H I J K L);
tuple!(A B C D E F G H I J K L M);
tuple!(A B C D E F G H I J K L M N);
tuple!(A B C D E F G H I J K L M N O);
tuple!(A B C D E F G H I J K L M N O P);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_inserted_together_and_the_rest_by_itself() {
        let rows = (0..61).map(|index| (index, "x", true, None::<i32>));
        let inserts = Statement::inserts("t (a, b, c, d)", rows);
        let sizes: Vec<_> = inserts
            .iter()
            .map(|insert| (insert.text.matches('$').count(), insert.parameters.len()))
            .collect();
        assert_eq!(sizes, [(100, 2), (44, 1)]);
        assert!(inserts[1].text.ends_with("($41, $42, $43, $44)"));
        assert_eq!(Statement::inserts("t (a)", Vec::<(i32,)>::new()).len(), 0);
    }

    #[test]
    fn what_is_too_much_for_one_batch_is_split() {
        let mut rows = (0..500).map(|index| (index, "x".repeat(10_000)));
        let mut sizes = Vec::new();
        loop {
            let some = Statement::some("", &mut rows);
            if some.parameters.is_empty() {
                break;
            }
            sizes.push(some.parameters.len());
        }
        assert_eq!(sizes.iter().sum::<usize>(), 500);
        assert_eq!(sizes.len(), 3);
    }
}
