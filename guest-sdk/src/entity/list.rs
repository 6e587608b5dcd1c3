//! Lists that clients filter, sort and search: by what one declaration allows, and by nothing else.

use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, json_schema};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Document, json};

use super::column::{Column, Columns, Order, OrderBy};
use super::error::EntityError;
use super::expression::{Expression, Node, Operator};
use super::loading::{Loaded, Relations};
use super::search;
use super::statement::Query;
use super::{Entity, Select, Shape};
use crate::extract::FromRequest;
use crate::from_text;
use crate::handler::{Operation, schema_for};
use crate::page::{Page, Paged};
use crate::problem::Problem;
use crate::request::Request;
use crate::sql::{Connection, ToValue, Value};

/// How long a search may be.
const SEARCH_MAX: usize = 200;
/// How many values of one column may be asked for.
const VALUES_MAX: usize = 100;

/// What clients may ask of a list. Each column that is named here is a parameter of the query, in
/// the API's description too; what is not named is refused with 422.
///
/// ```
/// # use hostel_sdk::prelude::*;
/// # #[derive(Entity, Serialize, JsonSchema)]
/// # #[entity(table = "teas")]
/// # struct Tea {
/// #     #[entity(key)]
/// #     id: Id<Tea>,
/// #     name: Line<100>,
/// #     story: String,
/// #     country_code: String,
/// #     picked_at: Timestamp,
/// # }
/// impl Listed for Tea {
///     type Entity = Self;
///
///     fn list() -> List<Self> {
///         List::by(Tea::PICKED_AT.desc())     // where clients do not sort
///             .filter_as("country", Tea::COUNTRY_CODE) // ?country=in&country=lk
///             .range(Tea::PICKED_AT)          // ?picked_at.gte=…&picked_at.lt=…
///             .sort(Tea::PICKED_AT)           // ?sort=-picked_at
///             .sort(Tea::NAME)                // ?sort=name,-picked_at
///             .search((Tea::NAME, Tea::STORY)) // ?search=green
///             .counted()                      // ?count=true
///     }
/// }
///
/// fn list(list: ListQuery<Tea>, db: Db) -> Result<Paged<Tea>, Problem> {
///     Ok(list.page(&db)?)
/// }
/// # let module = Module::new("teas", "1.0.0").route(get("/", list).public());
/// # let schema = module.manifest().routes[0].query_schema.clone().unwrap();
/// # for name in ["country", "picked_at.gte", "sort", "search", "count", "cursor", "limit"] {
/// #     assert!(schema.contains(&format!("\"{name}\"")), "{name}: {schema}");
/// # }
/// ```
#[derive(Debug)]
#[must_use]
pub struct List<E> {
    filters: Vec<Parameter>,
    sorts: Vec<(&'static str, OrderBy)>,
    search: Vec<&'static str>,
    default: Vec<OrderBy>,
    others: Vec<&'static str>,
    is_counted: bool,
    of: PhantomData<fn() -> E>,
}

/// A column that clients filter by.
#[derive(Debug)]
struct Parameter {
    name: &'static str,
    node: Node,
    is_range: bool,
    parse: fn(&str) -> Result<Value, String>,
    schema: fn() -> Schema,
}

/// The ends of names that compare otherwise than by being equal.
const COMPARISONS: [(&str, Operator, &str); 4] = [
    (".gte", Operator::GreaterOrEqual, "At least this."),
    (".gt", Operator::Greater, "Greater than this."),
    (".lte", Operator::LessOrEqual, "At most this."),
    (".lt", Operator::Less, "Less than this."),
];

impl<E: Entity> List<E> {
    /// A list in this order, where a client does not say another.
    pub fn by(order: Order<E>) -> Self {
        Self {
            filters: Vec::new(),
            sorts: Vec::new(),
            search: Vec::new(),
            default: vec![order.by],
            others: Vec::new(),
            is_counted: false,
            of: PhantomData,
        }
    }

    /// Clients may ask for rows of which a column is one of some values: `?name=…`, any number of
    /// times.
    pub fn filter<T: Filterable>(self, column: Column<E, T>) -> Self {
        let name = field(column);
        self.filter_as(name, column)
    }

    /// As [`filter`](Self::filter), under another name than the column's.
    pub fn filter_as<T: Filterable>(self, name: &'static str, column: Column<E, T>) -> Self {
        self.parameter(name, column, false)
    }

    /// Clients may ask for rows of which a column is in a range, too: `?name.gte=…`, `.gt`, `.lte` and
    /// `.lt`.
    pub fn range<T: Filterable>(self, column: Column<E, T>) -> Self {
        let name = field(column);
        self.range_as(name, column)
    }

    /// As [`range`](Self::range), under another name than the column's.
    ///
    /// ```
    /// # use hostel_sdk::prelude::*;
    /// # #[derive(Entity)]
    /// # #[entity(table = "teas")]
    /// # struct Tea {
    /// #     #[entity(key)]
    /// #     id: Id<Tea>,
    /// #     picked_at: Timestamp,
    /// # }
    /// fn list() -> List<Tea> {
    ///     List::by(Tea::ID.desc()).range_as("picked", Tea::PICKED_AT).sort_as("picked", Tea::PICKED_AT)
    /// }
    /// # let _ = list();
    /// ```
    pub fn range_as<T: Filterable>(self, name: &'static str, column: Column<E, T>) -> Self {
        self.parameter(name, column, true)
    }

    fn parameter<T: Filterable>(
        mut self,
        name: &'static str,
        column: Column<E, T>,
        is_range: bool,
    ) -> Self {
        let node = Expression::into_node(column);
        let (parse, schema) = (T::parse as fn(&str) -> _, T::schema as fn() -> _);
        self.filters.push(Parameter { name, node, is_range, parse, schema });
        self
    }

    /// Clients may sort by a column: `?sort=name`, or `?sort=-name` from the largest to the smallest.
    pub fn sort<T>(self, column: Column<E, T>) -> Self {
        let name = field(column);
        self.sort_as(name, column)
    }

    /// As [`sort`](Self::sort), under another name than the column's.
    pub fn sort_as<T>(mut self, name: &'static str, column: Column<E, T>) -> Self {
        self.sorts.push((name, column.asc().by));
        self
    }

    /// Clients may [search](super::search()) these columns: `?search=…`.
    pub fn search(mut self, columns: impl Columns<E>) -> Self {
        self.search = columns.names();
        self
    }

    /// Clients may ask how many there are in all: `?count=true`.
    pub fn counted(mut self) -> Self {
        self.is_counted = true;
        self
    }

    /// The handler has this parameter from elsewhere, such as a [`Query`](crate::extract::Query).
    ///
    /// ```
    /// # use hostel_sdk::prelude::*;
    /// # #[derive(Entity)]
    /// # #[entity(table = "teas")]
    /// # struct Tea {
    /// #     #[entity(key)]
    /// #     id: Id<Tea>,
    /// # }
    /// fn list() -> List<Tea> {
    ///     List::by(Tea::ID.desc()).taking("language")
    /// }
    /// # let _ = list();
    /// ```
    pub fn taking(mut self, name: &'static str) -> Self {
        self.others.push(name);
        self
    }

    /// What clients may say, as a schema of the query.
    fn describe(&self) -> Schema {
        let mut members = Map::new();
        let mut add = |name: String, schema: Document, about: &str| {
            let mut schema = schema;
            if let Document::Object(schema) = &mut schema {
                schema.entry("description").or_insert_with(|| about.into());
            }
            members.insert(name, schema);
        };
        for parameter in &self.filters {
            let Parameter { name, .. } = parameter;
            let schema = (parameter.schema)().to_value();
            let values =
                json!({ "type": "array", "items": schema, "minItems": 1, "maxItems": VALUES_MAX });
            add((*name).to_owned(), values, "Only those with one of these.");
            for (end, _, about) in COMPARISONS.iter().filter(|_| parameter.is_range) {
                add(format!("{name}{end}"), schema.clone(), about);
            }
        }
        if !self.sorts.is_empty() {
            let names: Vec<_> = self.sorts.iter().map(|(name, _)| *name).collect();
            let one = format!("-?({})", names.join("|"));
            let pattern = format!("^{one}(,{one})*$");
            let about = "In this order: names, `-` before those that go from large to small.";
            add("sort".to_owned(), json!({ "type": "string", "pattern": pattern }), about);
        }
        if !self.search.is_empty() {
            let schema = json!({ "type": "string", "maxLength": SEARCH_MAX });
            add(
                "search".to_owned(),
                schema,
                "Only those with words that begin with each of these.",
            );
        }
        if self.is_counted {
            let about = "Whether to say how many there are on all pages.";
            add("count".to_owned(), json!({ "type": "boolean" }), about);
        }
        json_schema!({ "type": "object", "properties": members })
    }

    fn read(&self, query: &[(String, String)]) -> Result<Asked, Problem> {
        let mut asked = Asked::default();
        let mut problem = Problem::invalid();
        let mut values: Vec<(usize, Vec<Value>)> = Vec::new();
        let mut seen: Vec<&str> = Vec::new();
        for (name, text) in query {
            let is_values = self.filters.iter().position(|parameter| parameter.name == name);
            if is_values.is_none() && seen.contains(&name.as_str()) {
                problem = problem.field(format!("query/{name}"), "this is said twice");
                continue;
            }
            seen.push(name);
            let read = match is_values {
                Some(index) => self.add_value(index, text, &mut values),
                None => self.read_one(name, text, &mut asked),
            };
            if let Err(detail) = read {
                problem = problem.field(format!("query/{name}"), detail);
            }
        }
        if !problem.errors().is_empty() {
            return Err(problem);
        }
        let one_of = values.into_iter().filter_map(|(index, values)| {
            let node = self.filters.get(index)?.node.clone();
            Some(Node::In(Box::new(node), values))
        });
        asked.filters.extend(one_of);
        if asked.orders.is_empty() {
            asked.orders.clone_from(&self.default);
        }
        Ok(asked)
    }

    fn add_value(
        &self,
        index: usize,
        text: &str,
        values: &mut Vec<(usize, Vec<Value>)>,
    ) -> Result<(), String> {
        let Some(parameter) = self.filters.get(index) else { return Ok(()) };
        let value = (parameter.parse)(text)?;
        match values.iter_mut().find(|(other, _)| *other == index) {
            Some((_, values)) if values.len() == VALUES_MAX => {
                return Err(format!("these are more than {VALUES_MAX}"));
            }
            Some((_, values)) => values.push(value),
            None => values.push((index, vec![value])),
        }
        Ok(())
    }

    fn read_one(&self, name: &str, text: &str, asked: &mut Asked) -> Result<(), String> {
        match name {
            "cursor" | "limit" => {}
            "sort" if !self.sorts.is_empty() => asked.orders = self.read_sort(text)?,
            "search" if !self.search.is_empty() => {
                if text.chars().count() > SEARCH_MAX {
                    return Err(format!("must have at most {SEARCH_MAX} characters"));
                }
                asked.filters.push(search::node::<E>(&self.search, text));
            }
            "count" if self.is_counted => {
                asked.is_counted =
                    text.parse().map_err(|_| "this is not `true` or `false`".to_owned())?;
            }
            name if self.others.contains(&name) => {}
            name => {
                let (parameter, operator) =
                    self.comparison(name).ok_or_else(|| "there is no such parameter".to_owned())?;
                let value = Box::new(Node::Value((parameter.parse)(text)?));
                asked.filters.push(Node::Compare(
                    Box::new(parameter.node.clone()),
                    operator,
                    value,
                ));
            }
        }
        Ok(())
    }

    fn comparison(&self, name: &str) -> Option<(&Parameter, Operator)> {
        let (base, operator) = COMPARISONS
            .iter()
            .find_map(|(end, operator, _)| Some((name.strip_suffix(end)?, *operator)))?;
        let parameter =
            self.filters.iter().find(|parameter| parameter.is_range && parameter.name == base)?;
        Some((parameter, operator))
    }

    fn read_sort(&self, text: &str) -> Result<Vec<OrderBy>, String> {
        let mut names: Vec<&str> = Vec::new();
        let mut orders = Vec::new();
        for part in text.split(',') {
            let name = part.strip_prefix('-').unwrap_or(part);
            let found = self.sorts.iter().find(|(other, _)| *other == name);
            let Some((_, order)) = found.filter(|_| !names.contains(&name)) else {
                let all: Vec<_> = self.sorts.iter().map(|(name, _)| *name).collect();
                return Err(format!("name each of these once at most: {}", all.join(", ")));
            };
            names.push(name);
            orders.push(OrderBy { is_descending: name.len() < part.len(), ..order.clone() });
        }
        Ok(orders)
    }
}

fn field<E: Entity, T>(column: Column<E, T>) -> &'static str {
    column.info().map_or(column.name(), |info| info.field)
}

/// Types of columns that clients can filter by.
///
/// ```
/// # use hostel_sdk::entity::Filterable;
/// fn can_be_asked_for<T: Filterable>() {}
/// can_be_asked_for::<Option<String>>();
/// ```
#[diagnostic::on_unimplemented(
    message = "clients cannot filter by a column of `{Self}`",
    note = "what implements serde's `Deserialize` and `JsonSchema` can be asked for"
)]
pub trait Filterable {
    #[doc(hidden)]
    fn parse(text: &str) -> Result<Value, String>;
    #[doc(hidden)]
    fn schema() -> Schema;
}

impl<T: ToValue + DeserializeOwned + JsonSchema> Filterable for T {
    fn parse(text: &str) -> Result<Value, String> {
        let values = [text.to_owned()];
        let value = from_text::from_values::<T>(&values).map_err(|error| error.detail)?;
        Ok(value.to_value())
    }

    fn schema() -> Schema {
        let mut schema = schema_for::<T>();
        schema.remove("title");
        schema
    }
}

/// What clients may ask of a list: an entity's usual one, or that of a type which stands for another.
///
/// ```
/// # use hostel_sdk::prelude::*;
/// # #[derive(Entity, Serialize, JsonSchema)]
/// # #[entity(table = "teas")]
/// # struct Tea {
/// #     #[entity(key)]
/// #     id: Id<Tea>,
/// #     name: Line<100>,
/// # }
/// /// What guests may ask.
/// struct Menu;
///
/// impl Listed for Menu {
///     type Entity = Tea;
///
///     fn list() -> List<Tea> {
///         List::by(Tea::NAME.asc()).filter(Tea::NAME)
///     }
/// }
///
/// fn menu(list: ListQuery<Menu>, db: Db) -> Result<Paged<Tea>, Problem> {
///     Ok(list.page(&db)?)
/// }
/// # let _ = get("/menu", menu);
/// ```
pub trait Listed {
    /// What the list is of.
    type Entity: Entity;

    /// What clients may ask.
    fn list() -> List<Self::Entity>;
}

/// What a client asks of a list, within what `L` allows: filters, an order, a search, a page. What
/// is wrong is answered with 422, naming each as `query/<name>`.
///
/// ```
/// # use hostel_sdk::prelude::*;
/// # #[derive(Clone, Entity, Serialize, JsonSchema)]
/// # #[entity(table = "authors")]
/// # struct Author {
/// #     #[entity(key)]
/// #     id: Id<Author>,
/// # }
/// # #[derive(Entity, Serialize, JsonSchema)]
/// # #[entity(table = "books")]
/// # struct Book {
/// #     #[entity(key)]
/// #     id: Id<Book>,
/// #     title: String,
/// #     #[entity(belongs_to(author: Author))]
/// #     author_id: Option<Id<Author>>,
/// # }
/// # impl Listed for Book {
/// #     type Entity = Self;
/// #     fn list() -> List<Self> { List::by(Book::TITLE.asc()) }
/// # }
/// fn list(list: ListQuery<Book>, db: Db) -> Result<Paged<Book>, Problem> {
///     Ok(list.or_limit(50).page(&db)?)
/// }
///
/// fn of_author(
///     Path(author): Path<Id<Author>>,
///     list: ListQuery<Book>,
///     db: Db,
/// ) -> Result<Paged<Book>, Problem> {
///     Ok(list.page_of(&db, Book::filter(Book::AUTHOR_ID.eq(author)))?)
/// }
///
/// type Shown = (Book, Option<Author>);
///
/// fn with_authors(list: ListQuery<Book>, db: Db) -> Result<Paged<Shown>, Problem> {
///     Ok(list.page_of(&db, Book::all().with(Book::AUTHOR))?)
/// }
/// # let _ = (get("/", list), get("/{author}", of_author), get("/all", with_authors));
/// ```
#[derive(Debug)]
pub struct ListQuery<L> {
    page: Page,
    asked: Asked,
    of: PhantomData<fn() -> L>,
}

#[derive(Debug, Default)]
struct Asked {
    filters: Vec<Node>,
    orders: Vec<OrderBy>,
    is_counted: bool,
}

impl<L: Listed> ListQuery<L> {
    /// The same with another limit where the client gave none.
    #[must_use]
    pub fn or_limit(mut self, limit: u32) -> Self {
        self.page = self.page.or_limit(limit);
        self
    }

    /// The page of all rows that the client asks for.
    ///
    /// # Errors
    /// As for [`Select::page`].
    pub fn page(self, db: &impl Connection) -> Result<Paged<L::Entity>, EntityError> {
        self.page_of(db, L::Entity::all())
    }

    /// The page of some rows, or of what is selected of them, that the client asks for.
    ///
    /// # Errors
    /// As for [`Select::page`].
    pub fn page_of<R: Pages<L::Entity>>(
        self,
        db: &impl Connection,
        rows: R,
    ) -> Result<Paged<R::Item>, EntityError> {
        let Asked { filters, orders, is_counted } = self.asked;
        let rows = rows.changed(|query| {
            query.filters.extend(filters);
            query.orders.extend(orders);
        });
        rows.paged(db, &self.page, is_counted)
    }
}

impl<L: Listed> FromRequest for ListQuery<L> {
    fn from_request(request: &mut Request) -> Result<Self, Problem> {
        let page = Page::from_request(request);
        match (page, L::list().read(request.query())) {
            (Ok(page), Ok(asked)) => Ok(Self { page, asked, of: PhantomData }),
            (page, asked) => Err(Problem::joined([page.err(), asked.err()])),
        }
    }

    fn describe(operation: &mut Operation) {
        Page::<String>::describe(operation);
        operation.query_of(L::list().describe());
    }
}

/// What a page can be of: rows, something of them, or rows with what they are in relations with.
#[doc(hidden)]
#[diagnostic::on_unimplemented(message = "`{Self}` are no rows of `{E}`")]
pub trait Pages<E> {
    type Item;

    #[doc(hidden)]
    fn changed(self, change: impl FnOnce(&mut Query)) -> Self;
    #[doc(hidden)]
    fn paged(
        self,
        db: &impl Connection,
        page: &Page,
        is_counted: bool,
    ) -> Result<Paged<Self::Item>, EntityError>;
}

impl<E: Entity, S, P: Shape> Pages<E> for Select<E, S, P> {
    type Item = P;

    fn changed(self, change: impl FnOnce(&mut Query)) -> Self {
        self.with_query(change)
    }

    fn paged(
        self,
        db: &impl Connection,
        page: &Page,
        is_counted: bool,
    ) -> Result<Paged<P>, EntityError> {
        if is_counted { self.counted_page(db, page) } else { self.page(db, page) }
    }
}

impl<E: Entity, S, R: Relations<E>> Pages<E> for Loaded<E, S, R> {
    type Item = (E, R::Found);

    fn changed(mut self, change: impl FnOnce(&mut Query)) -> Self {
        self.select = self.select.with_query(change);
        self
    }

    fn paged(
        self,
        db: &impl Connection,
        page: &Page,
        is_counted: bool,
    ) -> Result<Paged<(E, R::Found)>, EntityError> {
        if is_counted { self.counted_page(db, page) } else { self.page(db, page) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prelude::*;

    #[derive(Entity, Serialize)]
    #[entity(table = "teas")]
    #[allow(dead_code, reason = "only its columns matter")]
    struct Tea {
        #[entity(key)]
        id: Id<Tea>,
        #[serde(rename = "title")]
        name: String,
        stars: Option<i32>,
        picked_at: Timestamp,
    }

    fn read(pairs: &[(&str, &str)]) -> Result<Asked, Vec<String>> {
        let list = List::by(Tea::PICKED_AT.desc())
            .filter(Tea::NAME)
            .range(Tea::STARS)
            .sort(Tea::PICKED_AT)
            .sort(Tea::NAME)
            .search(Tea::NAME)
            .counted()
            .taking("other");
        let pairs: Vec<_> = pairs.iter().map(|&(a, b)| (a.to_owned(), b.to_owned())).collect();
        list.read(&pairs)
            .map_err(|problem| problem.errors().iter().map(|it| it.pointer.clone()).collect())
    }

    #[test]
    fn what_is_declared_can_be_asked_for() {
        let asked = read(&[
            ("title", "Assam"),
            ("title", "Sencha"),
            ("stars.gte", "3"),
            ("stars.lt", "5"),
            ("sort", "-title,picked_at"),
            ("search", "green"),
            ("count", "true"),
            ("limit", "3"),
            ("other", "x"),
        ]);
        let asked = asked.unwrap();
        assert_eq!((asked.filters.len(), asked.orders.len(), asked.is_counted), (4, 2, true));
        assert!(asked.orders[0].is_descending && !asked.orders[1].is_descending);
        assert_eq!(read(&[]).unwrap().orders.len(), 1);
    }

    #[test]
    fn what_is_not_declared_is_refused() {
        for (name, value) in [
            ("id", "x"),
            ("name", "x"),
            ("picked_at", "x"),
            ("picked_at.gte", "2026-01-01T00:00:00Z"),
            ("title.gte", "x"),
            ("stars", "many"),
            ("stars.gte", "many"),
            ("sort", "stars"),
            ("sort", "title,-title"),
            ("sort", ""),
            ("count", "yes"),
        ] {
            assert_eq!(read(&[(name, value)]).unwrap_err(), [format!("query/{name}")], "{value}");
        }
        let long = "x".repeat(SEARCH_MAX + 1);
        assert_eq!(read(&[("search", &long)]).unwrap_err(), ["query/search"]);
        assert_eq!(read(&[("count", "true"), ("count", "true")]).unwrap_err(), ["query/count"]);
        let many = vec![("title", "x"); VALUES_MAX + 1];
        assert_eq!(read(&many).unwrap_err(), ["query/title"]);
    }
}
