//! From what is meant to SQL. sea-query writes it, in words that both databases understand, with
//! `$1`, `$2` … for every value; the few places where they differ ask for the dialect.

use sea_query::{
    Asterisk, BinOper, DeleteStatement, Expr, ExprTrait as _, Func, InsertStatement, JoinType,
    NullOrdering, OnConflict, PostgresQueryBuilder, ReturningClause, SelectStatement,
    UpdateStatement, extension::postgres::PgBinOper,
};

use super::cells::Selected;
use super::column::OrderBy;
use super::expression::{Function, Node, Operator};
use super::plain;
use super::search;
use super::table::Table;
use crate::sql::{Dialect, Value};

/// Columns in which no two rows are the same, and what becomes of a row that is there already.
type Upsert<'a> = (&'a [&'static str], &'a [(&'static str, Node)]);

/// A statement, and what is bound to it.
#[derive(Debug)]
pub(super) struct Built {
    pub(super) text: String,
    pub(super) values: Vec<Value>,
}

/// Which rows of which tables, in which order.
#[doc(hidden)]
#[derive(Clone, Debug)]
pub struct Query {
    pub(super) table: &'static Table,
    pub(super) joins: Vec<Join>,
    pub(super) filters: Vec<Node>,
    pub(super) groups: Vec<Node>,
    pub(super) having: Vec<Node>,
    pub(super) orders: Vec<OrderBy>,
    pub(super) limit: Option<u64>,
    pub(super) is_distinct: bool,
    pub(super) deleted: Deleted,
}

/// Another table, whose rows stand beside those of the first.
#[doc(hidden)]
#[derive(Clone, Debug)]
pub struct Join {
    pub(super) table: &'static Table,
    pub(super) on: Node,
    pub(super) is_left: bool,
}

/// What of rows that are deleted softly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deleted {
    LeftOut,
    Included,
    Alone,
}

impl Query {
    pub(super) fn of(table: &'static Table) -> Self {
        Self {
            table,
            joins: Vec::new(),
            filters: Vec::new(),
            groups: Vec::new(),
            having: Vec::new(),
            orders: Vec::new(),
            limit: None,
            is_distinct: false,
            deleted: Deleted::LeftOut,
        }
    }

    /// Whether a column is of a table that a row may be without.
    pub(super) fn may_miss(&self, node: &Node) -> bool {
        let Node::Column { table, .. } = node else { return false };
        self.joins.iter().any(|join| join.is_left && join.table.name == *table)
    }

    /// Whether each of its rows is a row of its table, and none is left out for its place.
    pub(super) fn is_of_rows(&self) -> bool {
        self.joins.is_empty() && self.groups.is_empty() && self.limit.is_none()
    }
}

/// Makes statements, and keeps their values until it is known where each stands.
pub(super) struct Builder {
    values: Vec<Value>,
    /// Asked for when it matters.
    dialect: Option<Dialect>,
}

impl Builder {
    pub(super) fn new() -> Self {
        Self { values: Vec::new(), dialect: None }
    }

    #[cfg(test)]
    pub(super) fn for_dialect(dialect: Dialect) -> Self {
        Self { dialect: Some(dialect), ..Self::new() }
    }

    fn dialect(&mut self) -> Dialect {
        *self.dialect.get_or_insert_with(crate::sql::current_dialect)
    }

    /// Rows as they are selected; `extra` are columns beside, under names.
    pub(super) fn select(
        self,
        query: &Query,
        selection: &[Selected],
        extra: &[(&Node, String)],
    ) -> Built {
        let plain = if extra.is_empty() { plain::select(query, selection) } else { None };
        plain.unwrap_or_else(|| self.write_select(query, selection, extra))
    }

    pub(super) fn write_select(
        mut self,
        query: &Query,
        selection: &[Selected],
        extra: &[(&Node, String)],
    ) -> Built {
        let mut select = self.from(query);
        for part in selection {
            match part {
                Selected::Entity(_, columns) => {
                    select.expr(Expr::cust(*columns));
                }
                Selected::Expression(node, alias) => {
                    let expression = self.expression(node);
                    select.expr_as(expression, *alias);
                }
            }
        }
        for (node, alias) in extra {
            let expression = self.expression(node);
            select.expr_as(expression, alias.clone());
        }
        self.order(query, &mut select);
        self.finish(select.build(PostgresQueryBuilder))
    }

    /// How many rows, or groups of them, there are.
    pub(super) fn count(mut self, query: &Query) -> Built {
        let mut select = self.from(query);
        if query.groups.is_empty() && !query.is_distinct {
            select.expr(Func::count(Expr::col(Asterisk)));
        } else {
            select.expr(Expr::cust("1"));
            let mut outer = SelectStatement::new();
            outer.expr(Func::count(Expr::col(Asterisk))).from_subquery(select, "counted");
            select = outer;
        }
        self.finish(select.build(PostgresQueryBuilder))
    }

    /// One row, if there is any.
    pub(super) fn exists(mut self, query: &Query) -> Built {
        let mut select = self.from(query);
        select.expr(Expr::cust("1")).limit(1);
        self.finish(select.build(PostgresQueryBuilder))
    }

    /// Changes the rows; gives them, where `returning` says which columns.
    pub(super) fn update(
        mut self,
        query: &Query,
        sets: &[(&'static str, Node)],
        returning: Option<&'static str>,
    ) -> Built {
        let mut update = UpdateStatement::new();
        update.table(query.table.name);
        for (column, value) in sets {
            let value = self.expression(value);
            update.value(*column, value);
        }
        if let Some(rows) = self.rows(query) {
            update.and_where(rows);
        }
        if let Some(columns) = returning {
            update.returning(ReturningClause::Exprs(vec![Expr::cust(columns)]));
        }
        self.finish(update.build(PostgresQueryBuilder))
    }

    pub(super) fn delete(mut self, query: &Query) -> Built {
        let mut delete = DeleteStatement::new();
        delete.from_table(query.table.name);
        if let Some(rows) = self.rows(query) {
            delete.and_where(rows);
        }
        self.finish(delete.build(PostgresQueryBuilder))
    }

    /// Adds a row. Where one has the same in the columns of `on`, that one becomes what `sets` say.
    pub(super) fn insert(
        mut self,
        table: &'static Table,
        row: Vec<(&'static str, Value)>,
        conflict: Option<Upsert<'_>>,
        returning: &'static str,
    ) -> Built {
        let mut insert = InsertStatement::new();
        let (columns, values): (Vec<_>, Vec<_>) = row.into_iter().unzip();
        let values: Vec<_> = values.into_iter().map(|value| self.value(value)).collect();
        // There are as many of these as of those.
        insert.into_table(table.name).columns(columns).values_panic(values);
        if let Some((on, sets)) = conflict {
            let mut update = OnConflict::columns(on.iter().copied());
            for (column, value) in sets {
                let value = self.expression(value);
                update.value(*column, value);
            }
            if sets.is_empty() {
                update.do_nothing();
            }
            insert.on_conflict(update);
        }
        insert.returning(ReturningClause::Exprs(vec![Expr::cust(returning)]));
        self.finish(insert.build(PostgresQueryBuilder))
    }

    /// Everything of a query but what it selects, its order and its limit.
    fn from(&mut self, query: &Query) -> SelectStatement {
        let mut select = SelectStatement::new();
        if query.is_distinct {
            select.distinct();
        }
        select.from(query.table.name);
        for join in &query.joins {
            let on = self.expression(&join.on);
            let on = match join.table.deleted {
                Some(deleted) => on.and(Expr::col((join.table.name, deleted)).is_null()),
                None => on,
            };
            let kind = if join.is_left { JoinType::LeftJoin } else { JoinType::InnerJoin };
            select.join(kind, join.table.name, on);
        }
        if let Some(condition) = self.conditions(query) {
            select.and_where(condition);
        }
        for group in &query.groups {
            let group = self.expression(group);
            select.add_group_by([group]);
        }
        for having in &query.having {
            let having = self.expression(having);
            select.and_having(having);
        }
        select
    }

    fn order(&mut self, query: &Query, select: &mut SelectStatement) {
        for order in &query.orders {
            let expression = self.expression(&order.node);
            let direction =
                if order.is_descending { sea_query::Order::Desc } else { sea_query::Order::Asc };
            if order.is_nullable {
                // The databases disagree where nobody says.
                let nulls =
                    if order.is_descending { NullOrdering::Last } else { NullOrdering::First };
                select.order_by_expr_with_nulls(expression, direction, nulls);
            } else {
                select.order_by_expr(expression, direction);
            }
        }
        if let Some(limit) = query.limit {
            select.limit(limit);
        }
    }

    /// The rows that an update or a delete is about; all of them, where there is no condition.
    fn rows(&mut self, query: &Query) -> Option<Expr> {
        if query.is_of_rows() {
            return self.conditions(query);
        }
        let keys = query.table.key.iter().map(|key| Expr::col((query.table.name, *key)));
        let mut select = self.from(query);
        self.order(query, &mut select);
        select.exprs(keys.clone());
        let keys: Vec<_> = keys.collect();
        Some(match keys.len() {
            1 => keys.into_iter().next()?.in_subquery(select),
            _ => Expr::tuple(keys).in_subquery(select),
        })
    }

    fn conditions(&mut self, query: &Query) -> Option<Expr> {
        let mut parts: Vec<_> = query.filters.iter().map(|it| self.expression(it)).collect();
        if let Some(deleted) = query.table.deleted {
            let deleted = Expr::col((query.table.name, deleted));
            match query.deleted {
                Deleted::LeftOut => parts.push(deleted.is_null()),
                Deleted::Alone => parts.push(deleted.is_not_null()),
                Deleted::Included => {}
            }
        }
        parts.into_iter().reduce(sea_query::ExprTrait::and)
    }

    fn value(&mut self, value: Value) -> Expr {
        // sea-query has no word for some of these, so it gets their numbers.
        let number = i64::try_from(self.values.len()).unwrap_or(i64::MAX);
        self.values.push(value);
        Expr::Value(sea_query::Value::BigInt(Some(number)))
    }

    fn expression(&mut self, node: &Node) -> Expr {
        match node {
            Node::Column { table, name } => Expr::col((*table, *name)),
            Node::Value(value) => self.value(value.clone()),
            Node::Excluded(name) => Expr::col(("excluded", *name)),
            Node::Compare(one, operator, other) => self.comparison(one, *operator, other),
            Node::IsNull(node) => self.expression(node).is_null(),
            Node::In(node, values) => self.one_of(node, values),
            Node::InQuery(node, query, selected) => {
                let mut select = self.from(query);
                let selected = self.expression(selected);
                select.expr(selected);
                self.expression(node).in_subquery(select)
            }
            Node::Contains { text, part, at_start } => {
                let find = match self.dialect() {
                    Dialect::Sqlite => "instr",
                    Dialect::Postgres => "strpos",
                };
                let lower = [text, part].map(|node| Expr::from(Func::lower(self.expression(node))));
                let place = Expr::from(Func::cust(find).args(lower));
                if *at_start { place.eq(Expr::cust("1")) } else { place.gt(Expr::cust("0")) }
            }
            Node::Search { columns, words } => self.search(columns, words),
            Node::All(parts) => {
                let parts: Vec<_> = parts.iter().map(|part| self.expression(part)).collect();
                parts.into_iter().reduce(sea_query::ExprTrait::and).unwrap_or_else(|| truth(true))
            }
            Node::Any(parts) => {
                let parts: Vec<_> = parts.iter().map(|part| self.expression(part)).collect();
                parts.into_iter().reduce(sea_query::ExprTrait::or).unwrap_or_else(|| truth(false))
            }
            Node::Not(node) => match &**node {
                Node::IsNull(node) => self.expression(node).is_not_null(),
                node => self.expression(node).not(),
            },
            Node::Call { function, argument } => {
                let argument = argument.as_ref().map(|node| self.expression(node));
                call(*function, argument.unwrap_or_else(|| Expr::col(Asterisk)))
            }
            Node::Raw { text, values } => {
                let values: Vec<_> = values.iter().map(|value| self.value(value.clone())).collect();
                Expr::cust_with_exprs(format!("({text})"), values)
            }
            Node::Tuple(nodes) => {
                let nodes: Vec<_> = nodes.iter().map(|node| self.expression(node)).collect();
                Expr::tuple(nodes)
            }
        }
    }

    fn comparison(&mut self, one: &Node, operator: Operator, other: &Node) -> Expr {
        let operator = match operator {
            Operator::Equal => BinOper::Equal,
            Operator::NotEqual => BinOper::NotEqual,
            Operator::DistinctFrom => BinOper::Custom("IS DISTINCT FROM"),
            Operator::Less => BinOper::SmallerThan,
            Operator::LessOrEqual => BinOper::SmallerThanOrEqual,
            Operator::Greater => BinOper::GreaterThan,
            Operator::GreaterOrEqual => BinOper::GreaterThanOrEqual,
            Operator::Plus => BinOper::Add,
        };
        let is_computed = matches!(one, Node::Call { .. });
        let one = self.expression(one);
        let other = match other {
            // SQLite compares texts and numbers where no column says what they are.
            Node::Value(value @ Value::Decimal(_)) if is_computed => {
                Expr::cust_with_exprs("CAST($1 AS numeric)", [self.value(value.clone())])
            }
            other => self.expression(other),
        };
        one.binary(operator, other)
    }

    fn one_of(&mut self, node: &Node, values: &[Value]) -> Expr {
        if values.is_empty() {
            return truth(false);
        }
        let node = self.expression(node);
        let values: Vec<_> = padded(values).map(|value| self.value(value.clone())).collect();
        node.is_in(values)
    }

    fn search(&mut self, columns: &[(Node, bool)], words: &[String]) -> Expr {
        if words.is_empty() {
            return truth(true);
        }
        let dialect = self.dialect();
        let document = Expr::cust(search::document(dialect, columns));
        let asked = self.value(Value::Text(search::asked(dialect, words)));
        match dialect {
            Dialect::Sqlite => Func::cust("hostel_search").args([document, asked]).into(),
            Dialect::Postgres => {
                let asked = Func::cust("to_tsquery").args([Expr::cust("'simple'"), asked]);
                document.binary(PgBinOper::Matches, asked)
            }
        }
    }

    /// The statement, with its values in the order of their places.
    fn finish(self, (text, places): (String, sea_query::Values)) -> Built {
        let values = places.0.into_iter().map(|place| match place {
            sea_query::Value::BigInt(Some(number)) => {
                let index = usize::try_from(number).unwrap_or(usize::MAX);
                self.values.get(index).cloned().unwrap_or(Value::Null)
            }
            // The limit.
            sea_query::Value::BigUnsigned(Some(number)) => {
                Value::Integer(i64::try_from(number).unwrap_or(i64::MAX))
            }
            _ => Value::Null,
        });
        Built { text, values: values.collect() }
    }
}

/// As many as a power of two, so that lists of many lengths are few statements.
pub(super) fn padded(values: &[Value]) -> impl Iterator<Item = &Value> {
    let padding = values.len().next_power_of_two() - values.len();
    values.iter().chain(values.last().into_iter().cycle().take(padding))
}

fn truth(holds: bool) -> Expr {
    Expr::cust(if holds { "1 = 1" } else { "1 = 0" })
}

fn call(function: Function, argument: Expr) -> Expr {
    match function {
        Function::Count => Func::count(argument).into(),
        Function::CountDistinct => Func::count_distinct(argument).into(),
        Function::Sum => Func::sum(argument).into(),
        Function::Min => Func::min(argument).into(),
        Function::Max => Func::max(argument).into(),
        // A decimal with more digits than a number can have would not be one.
        Function::Avg => {
            Expr::cust_with_exprs("CAST($1 AS double precision)", [Expr::from(Func::avg(argument))])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Query;
    use super::*;
    use crate::entity::{Select, count, max, search};
    use crate::prelude::*;

    #[derive(Entity)]
    #[entity(table = "shelves", has_many(books: Book, by = shelf_id))]
    #[allow(dead_code, reason = "only its columns matter")]
    struct Shelf {
        #[entity(key)]
        id: i64,
        room: String,
        #[entity(deleted)]
        deleted_at: Option<Timestamp>,
    }

    #[derive(Entity)]
    #[entity(table = "books")]
    #[allow(dead_code, reason = "only its columns matter")]
    struct Book {
        #[entity(key)]
        id: i64,
        title: String,
        stars: Option<i32>,
        #[entity(belongs_to(shelf: Shelf))]
        shelf_id: Option<i64>,
    }

    /// What a query becomes, with its values in their places.
    fn told<S>(select: Select<Book, S>, dialect: Dialect) -> String {
        let mut query = Query::of(Book::TABLE);
        let _ = select.with_query::<S, Book>(|own| query = own.clone());
        let selection = [Selected::Expression(Expression::into_node(Book::ID), "id")];
        let built = Builder::for_dialect(dialect).select(&query, &selection, &[]);
        let (_, rest) = built.text.split_once(" FROM \"books\"").unwrap();
        let values = built.values.iter().map(|value| match value {
            Value::Integer(it) => it.to_string(),
            Value::Text(it) => it.clone(),
            other => format!("{other:?}"),
        });
        format!("{} [{}]", rest.trim_start(), values.collect::<Vec<_>>().join(", "))
    }

    fn sqlite<S>(select: Select<Book, S>) -> String {
        told(select, Dialect::Sqlite)
    }

    #[test]
    fn values_stand_where_they_are_meant() {
        let select = Book::filter(Book::TITLE.eq("a").or(Book::STARS.gt(2)))
            .filter(Book::STARS.is_in([3, 4, 5]))
            .filter(Filter::raw("length(title) < $2 AND title > $1", params!["b", 9]))
            .filter(Book::TITLE.ne("c").not())
            .limit(7);
        assert_eq!(
            sqlite(select),
            r#"WHERE ("books"."title" = $1 OR "books"."stars" > $2) AND "books"."stars" IN ($3, $4, $5, $6) AND ((length(title) < $7 AND title > $8)) AND (NOT "books"."title" <> $9) LIMIT $10 [a, 2, 3, 4, 5, 5, 9, b, c, 7]"#
        );
    }

    #[test]
    fn nothing_is_compared_as_people_mean_it() {
        for (filter, expected) in [
            (Book::STARS.eq(None), r#"WHERE "books"."stars" IS NULL []"#),
            (Book::STARS.ne(1), r#"WHERE "books"."stars" IS DISTINCT FROM $1 [1]"#),
            (Book::TITLE.ne("a"), r#"WHERE "books"."title" <> $1 [a]"#),
            (Book::STARS.is_in([0; 0]), "WHERE 1 = 0 []"),
            (Filter::all([]), "WHERE 1 = 1 []"),
            (Filter::any([]), "WHERE 1 = 0 []"),
        ] {
            assert_eq!(sqlite(Book::filter(filter)), expected);
        }
        let ordered = Book::all().order(Book::STARS.desc()).order(Book::TITLE.asc());
        let expected = r#"ORDER BY "books"."stars" DESC NULLS LAST, "books"."title" ASC []"#;
        assert_eq!(sqlite(ordered), expected);
    }

    #[test]
    fn the_databases_are_told_in_their_own_words_where_they_must() {
        let select = || Book::filter(search(Book::TITLE, "Red  tea!"));
        assert_eq!(sqlite(select()), r#"WHERE hostel_search("books"."title", $1) [red tea]"#);
        let postgres = told(select(), Dialect::Postgres);
        let start = r#"WHERE (to_tsvector('simple', translate("books"."title", "#;
        assert!(postgres.starts_with(start), "{postgres}");
        let end = " @@ to_tsquery('simple', $1) [red:* & tea:*]";
        assert!(postgres.ends_with(end), "{postgres}");
        let select = || Book::filter(Book::TITLE.contains("%'"));
        let expected = r#"WHERE instr(LOWER("books"."title"), LOWER($1)) > (0) [%']"#;
        assert_eq!(sqlite(select()), expected);
        let expected = expected.replace("instr", "strpos");
        assert_eq!(told(select(), Dialect::Postgres), expected);
    }

    #[test]
    fn what_is_joined_or_asked_for_is_not_deleted() {
        let joined = Book::all().join(Book::SHELF).filter(Shelf::ROOM.eq("attic"));
        assert_eq!(
            sqlite(joined),
            r#"INNER JOIN "shelves" ON "books"."shelf_id" = "shelves"."id" AND "shelves"."deleted_at" IS NULL WHERE "shelves"."room" = $1 [attic]"#
        );
        let any = Book::filter(Book::SHELF.any(Shelf::ROOM.eq("attic")).not());
        assert_eq!(
            sqlite(any),
            r#"WHERE NOT ("books"."shelf_id" IS NOT NULL AND "books"."shelf_id" IN (SELECT "shelves"."id" FROM "shelves" WHERE "shelves"."room" = $1 AND "shelves"."id" IS NOT NULL AND "shelves"."deleted_at" IS NULL)) [attic]"#
        );
    }

    #[test]
    fn groups_have_conditions_of_their_own() {
        let groups = Book::all()
            .group_by(Book::SHELF_ID)
            .having(count::<Book>().gt(2).and(max(Book::STARS).lt(5)))
            .order(count::<Book>().desc());
        assert_eq!(
            sqlite(groups),
            r#"GROUP BY "books"."shelf_id" HAVING COUNT(*) > $1 AND MAX("books"."stars") < $2 ORDER BY COUNT(*) DESC NULLS LAST [2, 5]"#
        );
    }
}
