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
    Ok(from_row::by_shape(ident, &quote! { #(#selected)* }, &columns))
}

fn of(input: &DeriveInput) -> Result<Option<Type>> {
    let hint = "a projection has `of`: `#[projection(of = Note)]`";
    fields::said(&input.attrs, "projection", "of", hint)
}

fn from(field: &syn::Field) -> Result<Option<Expr>> {
    let hint = "a field has `from`: `#[projection(from = Note::TITLE)]`";
    fields::said(&field.attrs, "projection", "from", hint)
}
