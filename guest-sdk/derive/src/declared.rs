//! What an entity's author declares: the table, its columns, and what stands between it and others.

use proc_macro2::Span;
use syn::meta::ParseNestedMeta;
use syn::parse::{Parse, ParseStream};
use syn::{DeriveInput, Error, Ident, LitStr, Result, Token, Type, Visibility};

use crate::fields::{self, Renaming};
use crate::names;

/// An entity as it is declared, with names that a database can bear.
pub(crate) struct Declared<'a> {
    pub(crate) ident: &'a Ident,
    pub(crate) vis: &'a Visibility,
    pub(crate) table: String,
    /// What people call one.
    pub(crate) noun: String,
    pub(crate) columns: Vec<Column<'a>>,
    pub(crate) uniques: Vec<Constraint>,
    pub(crate) indexes: Vec<Constraint>,
    pub(crate) checks: Vec<Check>,
    pub(crate) relations: Vec<Relation>,
}

pub(crate) struct Column<'a> {
    pub(crate) ident: &'a Ident,
    pub(crate) ty: &'a Type,
    pub(crate) vis: &'a Visibility,
    pub(crate) name: String,
    /// What clients call it.
    pub(crate) json: String,
    pub(crate) default: Option<String>,
    pub(crate) is_key: bool,
    pub(crate) role: Option<Role>,
    pub(crate) parent: Option<Parent>,
}

/// What the entity itself does with a column.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Version,
    Created,
    Updated,
    Deleted,
}

impl Role {
    const ALL: [(&'static str, Self); 4] = [
        ("version", Self::Version),
        ("created", Self::Created),
        ("updated", Self::Updated),
        ("deleted", Self::Deleted),
    ];
}

/// Whom a column refers to.
pub(crate) struct Parent {
    pub(crate) relation: Ident,
    pub(crate) entity: Type,
    /// A variant of the SDK's `OnDelete`.
    pub(crate) on_delete: Ident,
}

/// Columns that are unique together, or an index.
pub(crate) struct Constraint {
    pub(crate) name: String,
    pub(crate) columns: Vec<String>,
}

pub(crate) struct Check {
    pub(crate) name: String,
    pub(crate) sql: String,
    /// The columns that it is about.
    pub(crate) columns: Vec<String>,
}

pub(crate) enum Relation {
    HasMany { name: Ident, entity: Type, by: Ident },
    HasOne { name: Ident, entity: Type, by: Ident },
    ManyToMany { name: Ident, entity: Type, through: Box<Type>, by: Ident, to: Ident },
}

/// What is said of the struct.
#[derive(Default)]
struct OfStruct {
    table: Option<LitStr>,
    noun: Option<LitStr>,
    uniques: Vec<Named>,
    indexes: Vec<Named>,
    checks: Vec<(Named, LitStr)>,
    relations: Vec<Relation>,
}

/// Fields, and a name where the author gives one.
struct Named {
    span: Span,
    fields: Vec<Ident>,
    name: Option<LitStr>,
}

/// What is said of a field.
#[derive(Default)]
struct OfField {
    column: Option<LitStr>,
    default: Option<LitStr>,
    check: Option<LitStr>,
    is_key: bool,
    is_unique: bool,
    is_indexed: bool,
    role: Option<Role>,
    parent: Option<Parent>,
}

impl<'a> Declared<'a> {
    pub(crate) fn read(input: &'a DeriveInput) -> Result<Self> {
        let fields = fields::named(input)?;
        let mut said = OfStruct::read(input)?;
        let table = said.table.take().ok_or_else(|| {
            Error::new_spanned(
                &input.ident,
                "say which table it is: `#[entity(table = \"notes\")]`",
            )
        })?;
        names::check_table(&table.value(), table.span())?;
        let noun =
            said.noun.take().map_or_else(|| fields::words(&input.ident, ' '), |noun| noun.value());
        let mut entity = Self {
            ident: &input.ident,
            vis: &input.vis,
            table: table.value(),
            noun,
            columns: Vec::new(),
            uniques: Vec::new(),
            indexes: Vec::new(),
            checks: Vec::new(),
            relations: std::mem::take(&mut said.relations),
        };
        let renaming = Renaming::of(&input.attrs);
        for field in fields {
            let of_field = OfField::read(field)?;
            entity.add(field, of_field, &renaming)?;
        }
        entity.add_constraints(said)?;
        entity.check_roles()?;
        Ok(entity)
    }

    fn add(&mut self, field: &'a syn::Field, said: OfField, renaming: &Renaming) -> Result<()> {
        let ident = fields::ident(field)?;
        let (name, span) = match &said.column {
            Some(text) => (text.value(), text.span()),
            None => (fields::plain(ident), ident.span()),
        };
        names::check_column(&name, span)?;
        if self.columns.iter().any(|other| other.name == name) {
            return Err(Error::new(span, format!("two fields are the column `{name}`")));
        }
        let of_one = |end: &str| -> Result<Constraint> {
            let constraint = format!("{}_{name}_{end}", self.table);
            names::check_constraint(&constraint, span)?;
            Ok(Constraint { name: constraint, columns: vec![name.clone()] })
        };
        if said.is_unique {
            let unique = of_one("key")?;
            self.uniques.push(unique);
        }
        if said.is_indexed {
            let index = of_one("idx")?;
            self.indexes.push(index);
        }
        if let Some(sql) = said.check {
            let Constraint { name, columns } = of_one("check")?;
            self.checks.push(Check { name, sql: sql.value(), columns });
        }
        if said.parent.is_some() {
            of_one("fkey")?;
        }
        self.columns.push(Column {
            ident,
            ty: &field.ty,
            vis: &field.vis,
            name,
            json: renaming.name(ident, &field.attrs),
            default: said.default.map(|text| text.value()),
            is_key: said.is_key,
            role: said.role,
            parent: said.parent,
        });
        Ok(())
    }

    fn add_constraints(&mut self, said: OfStruct) -> Result<()> {
        for unique in said.uniques {
            self.uniques.push(self.constraint(&unique, "key")?);
        }
        for index in said.indexes {
            self.indexes.push(self.constraint(&index, "idx")?);
        }
        for (named, sql) in said.checks {
            let Constraint { name, columns } = self.constraint(&named, "check")?;
            self.checks.push(Check { name, sql: sql.value(), columns });
        }
        Ok(())
    }

    fn constraint(&self, named: &Named, end: &str) -> Result<Constraint> {
        let columns = named.fields.iter().map(|field| self.column(field));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let (name, span) = match &named.name {
            Some(name) => (name.value(), name.span()),
            None => (format!("{}_{}_{end}", self.table, columns.join("_")), named.span),
        };
        names::check_constraint(&name, span)?;
        Ok(Constraint { name, columns })
    }

    fn column(&self, field: &Ident) -> Result<String> {
        match self.columns.iter().find(|column| column.ident == field) {
            Some(column) => Ok(column.name.clone()),
            None => Err(Error::new_spanned(field, format!("there is no field `{field}`"))),
        }
    }

    fn check_roles(&self) -> Result<()> {
        if !self.columns.iter().any(|column| column.is_key) {
            return Err(Error::new_spanned(
                self.ident,
                "say what rows are known by: `#[entity(key)]` on a field, or on several",
            ));
        }
        for (name, role) in Role::ALL {
            let mut bearers = self.columns.iter().filter(|column| column.role == Some(role));
            if let (Some(_), Some(second)) = (bearers.next(), bearers.next()) {
                return Err(Error::new_spanned(
                    second.ident,
                    format!("only one field can be the `{name}` one"),
                ));
            }
        }
        Ok(())
    }

    /// The column with a role.
    pub(crate) fn with(&self, role: Role) -> Option<&Column<'a>> {
        self.columns.iter().find(|column| column.role == Some(role))
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &Column<'a>> {
        self.columns.iter().filter(|column| column.is_key)
    }
}

impl OfStruct {
    fn read(input: &DeriveInput) -> Result<Self> {
        let mut said = Self::default();
        for attribute in input.attrs.iter().filter(|it| it.path().is_ident("entity")) {
            attribute.parse_nested_meta(|meta| said.add(&meta))?;
        }
        Ok(said)
    }

    fn add(&mut self, meta: &ParseNestedMeta<'_>) -> Result<()> {
        let name = meta.path.get_ident().map(Ident::to_string).unwrap_or_default();
        match name.as_str() {
            "table" => self.table = Some(meta.value()?.parse()?),
            "name" => self.noun = Some(meta.value()?.parse()?),
            "unique" => self.uniques.push(inside::<Columns>(meta)?.named(meta)),
            "index" => self.indexes.push(inside::<Columns>(meta)?.named(meta)),
            "check" => {
                let columns = inside::<Columns>(meta)?;
                let sql = columns.sql.clone().ok_or_else(|| {
                    meta.error("say what must hold: `check(seats, sql = \"seats > 0\")`")
                })?;
                self.checks.push((columns.named(meta), sql));
            }
            "has_many" => {
                let To { name, entity, by, .. } = inside(meta)?;
                self.relations.push(Relation::HasMany { name, entity, by: required(meta, by)? });
            }
            "has_one" => {
                let To { name, entity, by, .. } = inside(meta)?;
                self.relations.push(Relation::HasOne { name, entity, by: required(meta, by)? });
            }
            "many_to_many" => {
                let To { name, entity, by, to, through, .. } = inside(meta)?;
                let by = required(meta, by)?;
                let (Some(to), Some(through)) = (to, through) else {
                    return Err(meta.error(
                        "say what is between: `many_to_many(tags: Tag, through = NoteTag, by = note_id, to = tag_id)`",
                    ));
                };
                self.relations.push(Relation::ManyToMany {
                    name,
                    entity,
                    through: Box::new(through),
                    by,
                    to,
                });
            }
            _ => {
                return Err(meta.error(
                    "an entity has `table`, `name`, `unique`, `index`, `check`, `has_many`, `has_one` and `many_to_many`",
                ));
            }
        }
        Ok(())
    }
}

fn required(meta: &ParseNestedMeta<'_>, by: Option<Ident>) -> Result<Ident> {
    by.ok_or_else(|| {
        meta.error("say which field refers here: `has_many(bookings: Booking, by = room_id)`")
    })
}

fn inside<T: Parse>(meta: &ParseNestedMeta<'_>) -> Result<T> {
    let content;
    syn::parenthesized!(content in meta.input);
    content.parse()
}

/// `title, owner_id, name = "…", sql = "…"`.
struct Columns {
    fields: Vec<Ident>,
    name: Option<LitStr>,
    sql: Option<LitStr>,
}

impl Columns {
    fn named(self, meta: &ParseNestedMeta<'_>) -> Named {
        let span = meta.path.get_ident().map_or_else(Span::call_site, Ident::span);
        Named { span, fields: self.fields, name: self.name }
    }
}

impl Parse for Columns {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut columns = Self { fields: Vec::new(), name: None, sql: None };
        while !input.is_empty() {
            let ident: Ident = input.parse()?;
            if input.parse::<Option<Token![=]>>()?.is_none() {
                columns.fields.push(ident);
            } else if ident == "name" {
                columns.name = Some(input.parse()?);
            } else if ident == "sql" {
                columns.sql = Some(input.parse()?);
            } else {
                return Err(Error::new_spanned(ident, "name fields, and `name = \"…\"`"));
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        if columns.fields.is_empty() {
            return Err(input.error("name the fields that it is about"));
        }
        Ok(columns)
    }
}

/// `bookings: Booking, by = room_id, to = …, through = …, on_delete = …`.
struct To {
    name: Ident,
    entity: Type,
    by: Option<Ident>,
    to: Option<Ident>,
    through: Option<Type>,
    on_delete: Option<Ident>,
}

impl Parse for To {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let name = input.parse()?;
        input.parse::<Token![:]>()?;
        let entity = input.parse()?;
        let mut to = Self { name, entity, by: None, to: None, through: None, on_delete: None };
        while input.parse::<Option<Token![,]>>()?.is_some() && !input.is_empty() {
            let key: Ident = input.parse()?;
            input.parse::<Token![=]>()?;
            match key.to_string().as_str() {
                "by" => to.by = Some(input.parse()?),
                "to" => to.to = Some(input.parse()?),
                "through" => to.through = Some(input.parse()?),
                "on_delete" => to.on_delete = Some(input.parse()?),
                _ => return Err(Error::new_spanned(key, "a relation says nothing of this name")),
            }
        }
        Ok(to)
    }
}

impl OfField {
    fn read(field: &syn::Field) -> Result<Self> {
        let mut said = Self::default();
        for attribute in field.attrs.iter().filter(|it| it.path().is_ident("entity")) {
            attribute.parse_nested_meta(|meta| said.add(&meta))?;
        }
        Ok(said)
    }

    fn add(&mut self, meta: &ParseNestedMeta<'_>) -> Result<()> {
        let name = meta.path.get_ident().map(Ident::to_string).unwrap_or_default();
        match name.as_str() {
            "column" => self.column = Some(meta.value()?.parse()?),
            "default" => self.default = Some(meta.value()?.parse()?),
            "check" => self.check = Some(meta.value()?.parse()?),
            "key" => self.is_key = true,
            "unique" => self.is_unique = true,
            "index" => self.is_indexed = true,
            "belongs_to" => self.parent = Some(parent(inside(meta)?)?),
            _ => match Role::ALL.into_iter().find(|(role, _)| *role == name) {
                Some((_, role)) if self.role.is_none() => self.role = Some(role),
                Some(_) => return Err(meta.error("a field can be only one of these")),
                None => {
                    return Err(meta.error(
                        "a field has `column`, `key`, `unique`, `index`, `default`, `check`, `version`, `created`, `updated`, `deleted` and `belongs_to`",
                    ));
                }
            },
        }
        Ok(())
    }
}

fn parent(To { name: relation, entity, on_delete, .. }: To) -> Result<Parent> {
    let on_delete = match on_delete {
        None => Ident::new("Refuse", Span::call_site()),
        Some(said) => {
            let variant = match said.to_string().as_str() {
                "refuse" => "Refuse",
                "cascade" => "Cascade",
                "set_null" => "SetNull",
                _ => {
                    return Err(Error::new_spanned(
                        said,
                        "what happens is `refuse`, `cascade` or `set_null`",
                    ));
                }
            };
            Ident::new(variant, said.span())
        }
    };
    Ok(Parent { relation, entity, on_delete })
}
