//! `#[derive(FromRow)]`: a row of any statement, read by the names of its columns.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::{DeriveInput, Ident, LitStr, Result};

use crate::fields;

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let ident = &input.ident;
    let mut columns = Vec::new();
    for field in fields::named(input)? {
        let name = fields::ident(field)?;
        columns.push((name, column(field)?.unwrap_or_else(|| fields::plain(name))));
    }
    let reading = reading(ident, &columns);
    Ok(quote! {
        #[automatically_derived]
        impl ::hostel_sdk::sql::FromRow for #ident {
            fn from_row(
                row: &::hostel_sdk::sql::Row,
            ) -> ::core::result::Result<Self, ::hostel_sdk::Error> {
                let cells = &mut ::hostel_sdk::entity::Cells::by_name(row);
                #reading
            }
        }
    })
}

/// What reads the type from what a query selected for it, and from any row by the names of its columns.
pub(crate) fn by_shape(
    ident: &Ident,
    selecting: &TokenStream,
    columns: &[(&Ident, impl ToTokens)],
) -> TokenStream {
    let reading = reading(ident, columns);
    quote! {
        #[automatically_derived]
        impl ::hostel_sdk::entity::Shape for #ident {
            fn select(into: &mut ::hostel_sdk::entity::Selection) {
                #selecting
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
    }
}

/// A value of the type, made of `cells`.
fn reading(ident: &Ident, columns: &[(&Ident, impl ToTokens)]) -> TokenStream {
    let of = ident.to_string();
    let fields = columns.iter().map(|(field, column)| {
        quote! { #field: cells.next(#of, #column)? }
    });
    quote! { ::core::result::Result::Ok(Self { #(#fields),* }) }
}

fn column(field: &syn::Field) -> Result<Option<String>> {
    let hint = "a field has `column`: `#[row(column = \"name\")]`";
    let column: Option<LitStr> = fields::said(&field.attrs, "row", "column", hint)?;
    Ok(column.map(|column| column.value()))
}
