//! Where a page ends: the values by which its last row is ordered. Rows that come and go before that
//! place move nothing on the pages behind it.

use data_encoding::BASE64URL_NOPAD;
use serde_json::Value as Json;
use uuid::Uuid;

use super::column::OrderBy;
use super::expression::{Node, Operator};
use super::statement::Query;
use super::table::{ColumnInfo, Kind};
use crate::sql::{Cell, Row, Value};
use crate::{Date, Error, ErrorKind};

/// The columns by which a query is ordered.
pub(super) struct Places<'a> {
    orders: &'a [OrderBy],
    columns: Vec<&'static ColumnInfo>,
}

impl<'a> Places<'a> {
    /// None where something else than columns is ordered by.
    pub(super) fn of(query: &'a Query) -> Option<Self> {
        let columns = query.orders.iter().map(|order| {
            let Node::Column { table, name } = &order.node else { return None };
            let joined = query.joins.iter().map(|join| join.table);
            let mut tables = std::iter::once(query.table).chain(joined);
            tables.find(|it| it.name == *table)?.column(name)
        });
        Some(Self { orders: &query.orders, columns: columns.collect::<Option<_>>()? })
    }

    /// The place of a row, whose columns of these names are what it is ordered by.
    pub(super) fn write(&self, row: &Row, names: &[String]) -> Result<String, Error> {
        let cells = names.iter().map(|name| row.find(name).and_then(value));
        let mut cells = cells.collect::<Result<Vec<_>, _>>()?;
        if self.is_plain() {
            return Ok(match cells.pop() {
                Some(Json::String(text)) => text,
                Some(other) => other.to_string(),
                None => String::new(),
            });
        }
        cells.insert(0, Json::String(self.signature()));
        Ok(BASE64URL_NOPAD.encode(Json::Array(cells).to_string().as_bytes()))
    }

    /// The rows behind a place; none where it is no place in this order.
    pub(super) fn behind(&self, cursor: &str) -> Option<Node> {
        let values = self.read(cursor)?;
        let is_plain = |order: &OrderBy| !order.is_nullable;
        let first = self.orders.first()?;
        let is_one_way =
            self.orders.iter().all(|it| is_plain(it) && it.is_descending == first.is_descending);
        if is_one_way {
            let nodes = self.orders.iter().map(|order| order.node.clone()).collect();
            let values = values.into_iter().map(Node::Value).collect();
            return Some(compared(tuple(nodes), beyond(first), tuple(values)));
        }
        Some(Node::Any(self.behind_each(&values)))
    }

    /// Behind in the first column, or the same there and behind in the second, and so on.
    fn behind_each(&self, values: &[Value]) -> Vec<Node> {
        let mut before = Vec::new();
        let mut all = Vec::new();
        for (order, value) in self.orders.iter().zip(values) {
            if let Some(behind) = behind_one(order, value) {
                let mut parts = before.clone();
                parts.push(behind);
                all.push(Node::All(parts));
            }
            before.push(same(order, value));
        }
        all
    }

    /// A key alone is its own cursor.
    fn is_plain(&self) -> bool {
        matches!(
            (self.orders, self.columns.as_slice()),
            ([OrderBy { is_nullable: false, .. }], [column])
                if matches!(column.kind, Kind::Uuid | Kind::Integer { .. } | Kind::Text { .. })
        )
    }

    /// Keeps a cursor of one order out of another.
    fn signature(&self) -> String {
        let parts = self.orders.iter().zip(&self.columns).map(|(order, column)| {
            format!("{}{}", if order.is_descending { "-" } else { "" }, column.name)
        });
        parts.collect::<Vec<_>>().join(",")
    }

    fn read(&self, cursor: &str) -> Option<Vec<Value>> {
        if self.is_plain() {
            let column = self.columns.first()?;
            let json = match column.kind {
                Kind::Integer { .. } => Json::from(cursor.parse::<i64>().ok()?),
                _ => Json::from(cursor),
            };
            return parsed(&json, column).map(|value| vec![value]);
        }
        let document = BASE64URL_NOPAD.decode(cursor.as_bytes()).ok()?;
        let Json::Array(parts) = serde_json::from_slice(&document).ok()? else { return None };
        let (signature, cells) = parts.split_first()?;
        if *signature != self.signature() || cells.len() != self.columns.len() {
            return None;
        }
        cells.iter().zip(&self.columns).map(|(json, column)| parsed(json, column)).collect()
    }
}

fn tuple(mut nodes: Vec<Node>) -> Node {
    match nodes.pop() {
        Some(only) if nodes.is_empty() => only,
        last => {
            nodes.extend(last);
            Node::Tuple(nodes)
        }
    }
}

fn compared(one: Node, operator: Operator, other: Node) -> Node {
    Node::Compare(Box::new(one), operator, Box::new(other))
}

fn beyond(order: &OrderBy) -> Operator {
    if order.is_descending { Operator::Less } else { Operator::Greater }
}

/// What comes behind a value in one column, where anything does. Nothing is the smallest of all.
fn behind_one(order: &OrderBy, value: &Value) -> Option<Node> {
    let is_null = || Node::IsNull(Box::new(order.node.clone()));
    match (value, order.is_descending) {
        (Value::Null, true) => None,
        (Value::Null, false) => Some(Node::Not(Box::new(is_null()))),
        (value, is_descending) => {
            let node = order.node.clone();
            let behind = compared(node, beyond(order), Node::Value(value.clone()));
            Some(match is_descending && order.is_nullable {
                true => Node::Any(vec![behind, is_null()]),
                false => behind,
            })
        }
    }
}

fn same(order: &OrderBy, value: &Value) -> Node {
    match value {
        Value::Null => Node::IsNull(Box::new(order.node.clone())),
        value => compared(order.node.clone(), Operator::Equal, Node::Value(value.clone())),
    }
}

fn value(cell: Cell<'_>) -> Result<Json, Error> {
    Ok(match cell {
        Cell::Null => Json::Null,
        Cell::Boolean(it) => it.into(),
        Cell::Integer(it) => it.into(),
        Cell::Real(it) => it.into(),
        Cell::Text(it) | Cell::Decimal(it) => it.into(),
        Cell::Uuid(it) => it.to_string().into(),
        Cell::Timestamp(it) => it.as_micros().into(),
        Cell::Bytes(_) | Cell::Json(_) => {
            return Err(Error {
                kind: ErrorKind::Other,
                message: "pages cannot be ordered by bytes, nor by JSON".to_owned(),
                subject: None,
            });
        }
    })
}

/// A value of a column, of what a client sent.
fn parsed(json: &Json, column: &ColumnInfo) -> Option<Value> {
    if json.is_null() {
        return Some(Value::Null);
    }
    Some(match column.kind {
        Kind::Boolean => Value::Boolean(json.as_bool()?),
        Kind::Integer { .. } => Value::Integer(json.as_i64()?),
        Kind::Timestamp => Value::Timestamp(json.as_i64()?),
        Kind::Real => Value::Real(json.as_f64()?),
        Kind::Text { .. } | Kind::Enum(_) => Value::Text(json.as_str()?.to_owned()),
        Kind::Uuid => Value::Uuid(json.as_str()?.parse::<Uuid>().ok()?.as_u64_pair()),
        Kind::Date => Value::Text(json.as_str()?.parse::<Date>().ok()?.to_string()),
        Kind::Decimal => {
            let text = json.as_str().filter(|text| is_decimal(text))?;
            Value::Decimal(text.to_owned())
        }
        Kind::Bytes | Kind::Json => return None,
    })
}

/// Whether the host takes a text for a decimal. `Decimal` would bring its arithmetic into every module.
fn is_decimal(text: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
    digits(whole) && digits(fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decimal_is_what_the_host_takes_for_one() {
        for good in ["0", "-12.50", "007", "1.0"] {
            assert!(is_decimal(good), "{good}");
        }
        for bad in ["", "-", ".5", "1.", "1e5", "+1", "1,5", "NaN", "--1", "1.2.3"] {
            assert!(!is_decimal(bad), "{bad}");
        }
    }
}
