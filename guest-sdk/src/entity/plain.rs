//! The commonest statements, without sea-query: rows of one table, of which columns are compared with
//! values. The words are the same, and cost half of what they do there (benchmark `page-20`).

use super::cells::Selected;
use super::expression::{Node, Operator};
use super::statement::{Built, Deleted, Query, padded};
use crate::sql::Value;

/// Rows of a table as they are; none where the query is about more than that.
pub(super) fn select(query: &Query, selection: &[Selected]) -> Option<Built> {
    let [Selected::Entity(_, columns)] = selection else { return None };
    let has_more = query.is_distinct
        || !(query.joins.is_empty() && query.groups.is_empty() && query.having.is_empty());
    if has_more {
        return None;
    }
    let mut writer = Writer { text: String::with_capacity(256), values: Vec::new() };
    writer.write(&["SELECT ", columns, " FROM \"", query.table.name, "\""]);
    writer.conditions(query)?;
    writer.orders(query)?;
    if let Some(limit) = query.limit {
        writer.write(&[" LIMIT "]);
        writer.value(Value::Integer(i64::try_from(limit).unwrap_or(i64::MAX)));
    }
    let Writer { text, values } = writer;
    Some(Built { text, values })
}

struct Writer {
    text: String,
    values: Vec<Value>,
}

impl Writer {
    fn write(&mut self, parts: &[&str]) {
        parts.iter().for_each(|part| self.text.push_str(part));
    }

    fn value(&mut self, value: Value) {
        self.values.push(value);
        self.write(&["$", &self.values.len().to_string()]);
    }

    /// Names of tables and columns have no quotes: the derive refuses them.
    fn column(&mut self, node: &Node) -> Option<()> {
        let Node::Column { table, name } = node else { return None };
        self.write(&["\"", table, "\".\"", name, "\""]);
        Some(())
    }

    fn conditions(&mut self, query: &Query) -> Option<()> {
        let mut word = " WHERE ";
        for filter in &query.filters {
            self.write(&[word]);
            self.condition(filter)?;
            word = " AND ";
        }
        let is_deleted = match query.deleted {
            Deleted::LeftOut => " IS NULL",
            Deleted::Alone => " IS NOT NULL",
            Deleted::Included => return Some(()),
        };
        if let Some(deleted) = query.table.deleted {
            self.write(&[word]);
            self.column(&Node::Column { table: query.table.name, name: deleted })?;
            self.write(&[is_deleted]);
        }
        Some(())
    }

    fn condition(&mut self, node: &Node) -> Option<()> {
        match node {
            Node::Compare(column, operator, value) => {
                let (operator, Node::Value(value)) = (compares(*operator)?, &**value) else {
                    return None;
                };
                self.column(column)?;
                self.write(&[" ", operator, " "]);
                self.value(value.clone());
            }
            Node::In(column, values) if !values.is_empty() => {
                self.column(column)?;
                for (index, value) in padded(values).enumerate() {
                    self.write(&[if index == 0 { " IN (" } else { ", " }]);
                    self.value(value.clone());
                }
                self.write(&[")"]);
            }
            Node::IsNull(column) => {
                self.column(column)?;
                self.write(&[" IS NULL"]);
            }
            _ => return None,
        }
        Some(())
    }

    fn orders(&mut self, query: &Query) -> Option<()> {
        let mut word = " ORDER BY ";
        for order in &query.orders {
            self.write(&[word]);
            self.column(&order.node)?;
            self.write(&[match (order.is_descending, order.is_nullable) {
                (false, false) => " ASC",
                (true, false) => " DESC",
                (false, true) => " ASC NULLS FIRST",
                (true, true) => " DESC NULLS LAST",
            }]);
            word = ", ";
        }
        Some(())
    }
}

fn compares(operator: Operator) -> Option<&'static str> {
    Some(match operator {
        Operator::Equal => "=",
        Operator::NotEqual => "<>",
        Operator::Less => "<",
        Operator::LessOrEqual => "<=",
        Operator::Greater => ">",
        Operator::GreaterOrEqual => ">=",
        Operator::DistinctFrom | Operator::Plus => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
    use proptest::{collection, option, prop_assert_eq};

    use super::*;
    use crate::entity::statement::{Builder, Query};
    use crate::entity::{Filter, Select};
    use crate::prelude::*;
    use crate::sql::Dialect;

    #[derive(Debug, Entity)]
    #[entity(table = "books")]
    #[allow(dead_code, reason = "only its columns matter")]
    struct Book {
        #[entity(key)]
        id: i64,
        title: String,
        stars: Option<i32>,
        #[entity(deleted)]
        deleted_at: Option<Timestamp>,
    }

    fn filters() -> impl Strategy<Value = Filter<Book>> {
        let leaf = prop_oneof![
            any::<i64>().prop_map(|id| Book::ID.eq(id)),
            any::<i64>().prop_map(|id| Book::ID.lte(id)),
            any::<i32>().prop_map(|stars| Book::STARS.ne(stars)),
            any::<i32>().prop_map(|stars| Book::STARS.gt(stars)),
            Just(()).prop_map(|()| Book::TITLE.ne("a")),
            Just(()).prop_map(|()| Book::STARS.eq(None)),
            Just(()).prop_map(|()| Book::STARS.is_some()),
            collection::vec(any::<i32>(), 0..6).prop_map(|stars| Book::STARS.is_in(stars)),
            Just(()).prop_map(|()| Book::TITLE.contains("b")),
        ];
        (leaf, option::of(any::<i64>())).prop_map(|(filter, other)| match other {
            Some(id) if id % 4 == 0 => filter.or(Book::ID.gte(id)),
            Some(id) if id % 4 == 1 => filter.and(Book::ID.lt(id)),
            _ => filter,
        })
    }

    fn changed(select: Select<Book>, what: u8) -> Select<Book> {
        match what {
            0 => select.order(Book::ID.asc()),
            1 => select.order(Book::STARS.desc()),
            2 => select.order(Book::STARS.asc()).order(Book::TITLE.desc()),
            3 => select.limit(7),
            4 => select.with_deleted(),
            5 => select.only_deleted(),
            6 => select.distinct(),
            _ => select.group_by(Book::STARS),
        }
    }

    proptest! {
        #[test]
        fn it_is_what_sea_query_writes(
            filters in collection::vec(filters(), 0..4),
            changes in collection::vec(0_u8..8, 0..4),
        ) {
            let select = filters.into_iter().fold(Book::all(), Select::filter);
            let select = changes.into_iter().fold(select, changed);
            let mut query = Query::of(Book::TABLE);
            let _ = select.with_query::<(Book,), Book>(|own| query = own.clone());
            let selection = [Selected::Entity(Book::TABLE, Book::TEXTS.columns)];
            let written = Builder::for_dialect(Dialect::Sqlite).write_select(&query, &selection, &[]);
            if let Some(plain) = super::select(&query, &selection) {
                prop_assert_eq!(plain.text, written.text);
                prop_assert_eq!(format!("{:?}", plain.values), format!("{:?}", written.values));
            }
        }
    }

    #[test]
    fn a_page_is_plain() {
        let mut query = Query::of(Book::TABLE);
        query.filters.push(Node::Compare(
            Box::new(Node::Column { table: "books", name: "id" }),
            Operator::Greater,
            Box::new(Node::Value(Value::Integer(5))),
        ));
        query.limit = Some(21);
        let selection = [Selected::Entity(Book::TABLE, Book::TEXTS.columns)];
        let plain = super::select(&query, &selection).unwrap();
        let expected = r#" WHERE "books"."id" > $1 AND "books"."deleted_at" IS NULL LIMIT $2"#;
        assert!(plain.text.ends_with(expected), "{}", plain.text);
    }
}
