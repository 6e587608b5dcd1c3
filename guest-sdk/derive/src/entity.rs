//! `#[derive(Entity)]`: what follows from a declaration. Statements that are alike for every row are
//! written here, so that nothing has to be built when a request comes.

use proc_macro2::{Ident, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{DeriveInput, Result};

use crate::declared::{Check, Column, Constraint, Declared, Relation, Role};
use crate::fields::constant;
use crate::from_row;
use crate::names::quoted;

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let entity = Declared::read(input)?;
    let ident = entity.ident;
    let constants = constants(&entity);
    let reading = reading(&entity);
    let (key, key_value) = key(&entity);
    let table = table(&entity);
    let texts = Texts::of(&entity).tokens();
    let writing = writing(&entity);
    let checked = checked_types(&entity);
    Ok(quote! {
        #constants
        #reading
        #checked

        #[automatically_derived]
        impl ::hostel_sdk::entity::Entity for #ident {
            type Key = #key;
            const TABLE: &'static ::hostel_sdk::entity::Table = &#table;
            const TEXTS: ::hostel_sdk::entity::Texts = #texts;

            fn key(&self) -> Self::Key {
                #key_value
            }

            #writing
        }
    })
}

/// The columns and relations, as constants of the type.
fn constants(entity: &Declared<'_>) -> TokenStream {
    let ident = entity.ident;
    let columns = entity.columns.iter().map(|column| {
        let Column { ident, ty, vis, name, .. } = column;
        let (constant, about) = (constant(ident), format!("The column `{name}`."));
        quote! {
            #[doc = #about]
            #vis const #constant: ::hostel_sdk::entity::Column<Self, #ty> =
                ::hostel_sdk::entity::Column::new(#name, |it| &it.#ident);
        }
    });
    let parents = entity.columns.iter().filter_map(|column| {
        let parent = column.parent.as_ref()?;
        let (vis, other) = (column.vis, &parent.entity);
        let (by, relation) = (constant(column.ident), constant(&parent.relation));
        let about = format!("What `{}` refers to.", column.name);
        Some(quote! {
            #[doc = #about]
            #vis const #relation: ::hostel_sdk::entity::BelongsTo<Self, #other> =
                ::hostel_sdk::entity::BelongsTo::new(Self::#by, |it| {
                    ::hostel_sdk::entity::References::parent(Self::#by.of(it))
                });
        })
    });
    let others = entity.relations.iter().map(|relation| relation_constant(entity, relation));
    quote! {
        #[allow(dead_code, reason = "who declares a column need not ask for it")]
        #[automatically_derived]
        impl #ident {
            #(#columns)*
            #(#parents)*
            #(#others)*
        }
    }
}

fn relation_constant(entity: &Declared<'_>, relation: &Relation) -> TokenStream {
    let vis = entity.vis;
    let to_children = |kind: &str, name: &Ident, other: &syn::Type, by: &Ident| {
        let kind = Ident::new(kind, name.span());
        let (about, name) = (format!("The relation `{name}`."), constant(name));
        let by = constant(by);
        quote! {
            #[doc = #about]
            #vis const #name: ::hostel_sdk::entity::#kind<Self, #other> =
                ::hostel_sdk::entity::#kind::new(<#other>::#by, |it| {
                    ::hostel_sdk::entity::References::parent(<#other>::#by.of(it))
                });
        }
    };
    match relation {
        Relation::HasMany { name, entity, by } => to_children("HasMany", name, entity, by),
        Relation::HasOne { name, entity, by } => to_children("HasOne", name, entity, by),
        Relation::ManyToMany { name, entity: other, through, by, to } => {
            let (about, name) = (format!("The relation `{name}`."), constant(name));
            let (by, to) = (constant(by), constant(to));
            quote! {
                #[doc = #about]
                #vis const #name: ::hostel_sdk::entity::ManyToMany<Self, #other> =
                    ::hostel_sdk::entity::ManyToMany::new(<#through>::#by, <#through>::#to);
            }
        }
    }
}

/// How a row becomes one.
fn reading(entity: &Declared<'_>) -> TokenStream {
    let columns: Vec<_> = entity.columns.iter().map(|it| (it.ident, it.name.as_str())).collect();
    from_row::by_shape(entity.ident, &quote! { into.entity::<Self>(); }, &columns)
}

/// The key's type, and its value in `self`.
fn key(entity: &Declared<'_>) -> (TokenStream, TokenStream) {
    let types: Vec<_> = entity.keys().map(|column| column.ty).collect();
    let values = entity.keys().map(|Column { ident, .. }| {
        quote! { ::core::clone::Clone::clone(&self.#ident) }
    });
    match types.as_slice() {
        [one] => (quote! { #one }, quote! { #(#values)* }),
        several => (quote! { (#(#several),*) }, quote! { (#(#values),*) }),
    }
}

/// The static description.
fn table(entity: &Declared<'_>) -> TokenStream {
    let Declared { ident, table, noun, .. } = entity;
    let name = ident.to_string();
    let columns = entity.columns.iter().map(|column| {
        let Column { ty, name, json, default, .. } = column;
        let default = optional(default.as_deref());
        quote! {
            ::hostel_sdk::entity::ColumnInfo {
                name: #name,
                field: #json,
                kind: <#ty as ::hostel_sdk::entity::ColumnType>::KIND,
                is_nullable: <#ty as ::hostel_sdk::entity::ColumnType>::IS_NULLABLE,
                default: #default,
            }
        }
    });
    let key = entity.keys().map(|column| &column.name);
    let uniques = entity.uniques.iter().map(|unique| constraint("Unique", unique));
    let indexes = entity.indexes.iter().map(|index| constraint("Index", index));
    let checks = entity.checks.iter().map(|Check { name, sql, columns }| {
        quote! {
            ::hostel_sdk::entity::Check { name: #name, sql: #sql, columns: &[#(#columns),*] }
        }
    });
    let references = entity.columns.iter().filter_map(|column| {
        let parent = column.parent.as_ref()?;
        let (other, on_delete) = (&parent.entity, &parent.on_delete);
        let (constraint, column) = (format!("{table}_{}_fkey", column.name), &column.name);
        Some(quote! {
            ::hostel_sdk::entity::Reference {
                name: #constraint,
                column: #column,
                to: || <#other as ::hostel_sdk::entity::Entity>::TABLE,
                on_delete: ::hostel_sdk::entity::OnDelete::#on_delete,
            }
        })
    });
    let [version, created, updated, deleted] =
        [Role::Version, Role::Created, Role::Updated, Role::Deleted]
            .map(|role| optional(entity.with(role).map(|column| column.name.as_str())));
    quote! {
        ::hostel_sdk::entity::Table {
            name: #table,
            entity: #name,
            noun: #noun,
            columns: &[#(#columns),*],
            key: &[#(#key),*],
            uniques: &[#(#uniques),*],
            indexes: &[#(#indexes),*],
            checks: &[#(#checks),*],
            references: &[#(#references),*],
            version: #version,
            created: #created,
            updated: #updated,
            deleted: #deleted,
        }
    }
}

fn constraint(kind: &str, Constraint { name, columns }: &Constraint) -> TokenStream {
    let kind = Ident::new(kind, proc_macro2::Span::call_site());
    quote! { ::hostel_sdk::entity::#kind { name: #name, columns: &[#(#columns),*] } }
}

fn optional(text: Option<&str>) -> TokenStream {
    match text {
        Some(text) => quote! { ::core::option::Option::Some(#text) },
        None => quote! { ::core::option::Option::None },
    }
}

/// Statements that need nothing but values.
struct Texts {
    columns: String,
    select: String,
    find: String,
    into: String,
    insert: String,
    update: String,
    delete: String,
    restore: String,
}

impl Texts {
    fn of(entity: &Declared<'_>) -> Self {
        let table = quoted(&entity.table);
        let names: Vec<_> = entity.columns.iter().map(|column| quoted(&column.name)).collect();
        let columns =
            names.iter().map(|name| format!("{table}.{name}")).collect::<Vec<_>>().join(", ");
        let select = format!("SELECT {columns} FROM {table}");
        let is_deleted = entity.with(Role::Deleted).map(|column| quoted(&column.name));
        let is_there = match &is_deleted {
            Some(name) => format!(" AND {name} IS NULL"),
            None => String::new(),
        };
        let find = format!("{select} WHERE {}{is_there}", known_by(entity, 1));
        let places: Vec<_> = (1..=names.len()).map(|place| format!("${place}")).collect();
        let into = format!("{table} ({})", names.join(", "));
        let insert = format!("INSERT INTO {into} VALUES ({})", places.join(", "));
        let delete = match &is_deleted {
            None => format!("DELETE FROM {table} WHERE {}", known_by(entity, 1)),
            Some(name) => format!(
                "UPDATE {table} SET {name} = $1{} WHERE {}{is_there}",
                touched(entity),
                known_by(entity, 2)
            ),
        };
        let restore = match &is_deleted {
            None => String::new(),
            Some(name) => format!(
                "UPDATE {table} SET {name} = NULL{} WHERE {} AND {name} IS NOT NULL",
                touched(entity),
                known_by(entity, 1 + usize::from(entity.with(Role::Updated).is_some()))
            ),
        };
        Self { columns, select, find, into, insert, update: update(entity), delete, restore }
    }

    fn tokens(&self) -> TokenStream {
        let Self { columns, select, find, into, insert, update, delete, restore } = self;
        quote! {
            ::hostel_sdk::entity::Texts {
                columns: #columns,
                select: #select,
                find: #find,
                into: #into,
                insert: #insert,
                update: #update,
                delete: #delete,
                restore: #restore,
            }
        }
    }
}

/// The key's columns, each as a parameter from `first` on.
fn known_by(entity: &Declared<'_>, first: usize) -> String {
    let parts = entity.keys().enumerate();
    let parts =
        parts.map(|(index, column)| format!("{} = ${}", quoted(&column.name), first + index));
    parts.collect::<Vec<_>>().join(" AND ")
}

/// What changes with every change, where `$1` is the time.
fn touched(entity: &Declared<'_>) -> String {
    let version = entity.with(Role::Version).map(|column| quoted(&column.name));
    let version = version.map(|name| format!(", {name} = {name} + 1")).unwrap_or_default();
    let updated = entity.with(Role::Updated).map(|column| quoted(&column.name));
    version + &updated.map(|name| format!(", {name} = $1")).unwrap_or_default()
}

/// The columns that an update writes: their values, in this order, are the first parameters.
fn updated<'a>(entity: &'a Declared<'a>) -> impl Iterator<Item = &'a Column<'a>> {
    entity
        .columns
        .iter()
        .filter(|column| !column.is_key && matches!(column.role, None | Some(Role::Updated)))
}

fn update(entity: &Declared<'_>) -> String {
    let mut sets: Vec<_> = updated(entity)
        .enumerate()
        .map(|(index, column)| format!("{} = ${}", quoted(&column.name), index + 1))
        .collect();
    let mut known = known_by(entity, sets.len() + 1);
    let count = sets.len() + entity.keys().count();
    if let Some(version) = entity.with(Role::Version) {
        let name = quoted(&version.name);
        sets.push(format!("{name} = {name} + 1"));
        known = format!("{known} AND {name} = ${}", count + 1);
    }
    if let Some(deleted) = entity.with(Role::Deleted) {
        known = format!("{known} AND {} IS NULL", quoted(&deleted.name));
    }
    // What is nothing but its key stays as it is.
    if sets.is_empty() {
        let same = |column: &Column<'_>| format!("{0} = {0}", quoted(&column.name));
        sets.extend(entity.keys().map(same));
    }
    format!("UPDATE {} SET {} WHERE {known}", quoted(&entity.table), sets.join(", "))
}

/// The methods that writing needs.
fn writing(entity: &Declared<'_>) -> TokenStream {
    let to_value = |ident: &Ident| {
        quote! { ::hostel_sdk::sql::ToValue::to_value(&self.#ident) }
    };
    let all = entity.columns.iter().map(|column| to_value(column.ident));
    let sets = updated(entity).map(|column| match column.role {
        Some(_) => quote! { ::hostel_sdk::sql::ToValue::to_value(&now) },
        None => to_value(column.ident),
    });
    let keys = entity.keys().map(|column| to_value(column.ident));
    let version = entity.with(Role::Version).map(|column| to_value(column.ident));
    let now_updated = entity.with(Role::Updated).map(|Column { ident, .. }| {
        quote! { self.#ident = now; }
    });
    let next_version = entity.with(Role::Version).map(|Column { ident, .. }| {
        quote! { self.#ident += 1; }
    });
    let automatic = automatic(entity);
    let has_times = [Role::Created, Role::Updated, Role::Deleted]
        .iter()
        .any(|role| entity.with(*role).is_some());
    // Who keeps no times asks for no clock.
    let now = has_times.then(|| {
        quote! {
            fn now() -> ::hostel_sdk::Timestamp {
                ::hostel_sdk::clock::now()
            }
        }
    });
    let value = quote! { ::hostel_sdk::sql::Value };
    quote! {
        fn values(&self) -> ::std::vec::Vec<#value> {
            ::std::vec![#(#all),*]
        }

        fn values_to_update(&self, now: ::hostel_sdk::Timestamp) -> ::std::vec::Vec<#value> {
            let _ = now;
            ::std::vec![#(#sets,)* #(#keys,)* #version]
        }

        fn mark_updated(&mut self, now: ::hostel_sdk::Timestamp) {
            let _ = now;
            #now_updated
            #next_version
        }

        fn automatic(
            given: &[&'static str],
        ) -> ::core::result::Result<
            ::std::vec::Vec<(&'static str, #value)>,
            ::hostel_sdk::Error,
        > {
            #automatic
        }

        #now
    }
}

/// What a new row has beside what its author says.
fn automatic(entity: &Declared<'_>) -> TokenStream {
    let is_missing = |name: &str| quote! { !given.contains(&#name) };
    // Whoever is known by another's key gets that one.
    let own_keys = entity.keys().filter(|column| column.parent.is_none());
    let keys = own_keys.map(|Column { ty, name, .. }| {
        let is_missing = is_missing(name);
        quote! {
            if #is_missing
                && let ::core::option::Option::Some(value) =
                    <#ty as ::hostel_sdk::entity::ColumnType>::generated()?
            {
                all.push((#name, value));
            }
        }
    });
    let times = [Role::Created, Role::Updated].into_iter().filter_map(|role| entity.with(role));
    let times: Vec<_> = times
        .map(|Column { name, .. }| {
            let is_missing = is_missing(name);
            quote! {
                if #is_missing {
                    all.push((#name, ::hostel_sdk::sql::ToValue::to_value(&now)));
                }
            }
        })
        .collect();
    let now = (!times.is_empty()).then(|| quote! { let now = Self::now(); });
    let version = entity.with(Role::Version).map(|Column { name, .. }| {
        let is_missing = is_missing(name);
        quote! {
            if #is_missing {
                all.push((#name, ::hostel_sdk::sql::Value::Integer(1)));
            }
        }
    });
    quote! {
        let _ = given;
        #[allow(unused_mut, reason = "there may be nothing to add")]
        let mut all = ::std::vec::Vec::new();
        #(#keys)*
        #now
        #(#times)*
        #version
        ::core::result::Result::Ok(all)
    }
}

/// What has a role is of that role's type. The compiler points at the field.
fn checked_types(entity: &Declared<'_>) -> TokenStream {
    let ident = entity.ident;
    let checks = entity.columns.iter().filter_map(|column| {
        let wanted = match column.role? {
            Role::Version => return None,
            Role::Created | Role::Updated => quote! { ::hostel_sdk::Timestamp },
            Role::Deleted => quote! { ::core::option::Option<::hostel_sdk::Timestamp> },
        };
        let constant = constant(column.ident);
        Some(quote_spanned! { column.ty.span() =>
            const _: ::hostel_sdk::entity::Column<#ident, #wanted> = <#ident>::#constant;
        })
    });
    quote! { #(#checks)* }
}
