//! `#[derive(Projection)]`: what a query selects instead of whole rows, of the types that its fields
//! have.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{DeriveInput, Error, Expr, Result, Type};

use crate::fields::{self, constant};
use crate::from_row;

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let ident = &input.ident;
    let of = of(input)?;
    let mut selected = Vec::new();
    let mut columns = Vec::new();
    for field in fields::named(input)? {
        let name = fields::ident(field)?;
        let (ty, alias) = (&field.ty, fields::plain(name));
        let expression = match (from(field)?, &of) {
            (Some(expression), _) => quote! { #expression },
            (None, Some(of)) => {
                let column = constant(name);
                quote_spanned! { name.span() => <#of>::#column }
            }
            (None, None) => {
                return Err(Error::new_spanned(
                    name,
                    "say where it comes from: `#[projection(of = Note)]` on the struct, or `#[projection(from = Note::TITLE)]` here",
                ));
            }
        };
        selected.push(quote_spanned! { field.ty.span() =>
            into.expression::<#ty>(#expression, #alias);
        });
        columns.push((name, alias));
    }
    let reading = from_row::reading(ident, &columns);
    Ok(quote! {
        #[automatically_derived]
        impl ::hostel_sdk::entity::Shape for #ident {
            fn select(into: &mut ::hostel_sdk::entity::Selection) {
                #(#selected)*
            }

            fn read(
                cells: &mut ::hostel_sdk::entity::Cells<'_>,
            ) -> ::core::result::Result<Self, ::hostel_sdk::Error> {
                #reading
            }
        }

        #[automatically_derived]
        impl ::hostel_sdk::sql::FromRow for #ident {
            fn from_row(
                row: &::hostel_sdk::sql::Row,
            ) -> ::core::result::Result<Self, ::hostel_sdk::Error> {
                ::hostel_sdk::entity::Shape::read(&mut ::hostel_sdk::entity::Cells::by_name(row))
            }
        }
    })
}

fn of(input: &DeriveInput) -> Result<Option<Type>> {
    let mut of = None;
    for attribute in input.attrs.iter().filter(|it| it.path().is_ident("projection")) {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("of") {
                return Err(meta.error("a projection has `of`: `#[projection(of = Note)]`"));
            }
            of = Some(meta.value()?.parse()?);
            Ok(())
        })?;
    }
    Ok(of)
}

fn from(field: &syn::Field) -> Result<Option<Expr>> {
    let mut from = None;
    for attribute in field.attrs.iter().filter(|it| it.path().is_ident("projection")) {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("from") {
                return Err(meta.error("a field has `from`: `#[projection(from = Note::TITLE)]`"));
            }
            from = Some(meta.value()?.parse()?);
            Ok(())
        })?;
    }
    Ok(from)
}
