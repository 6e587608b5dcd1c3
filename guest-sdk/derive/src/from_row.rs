//! `#[derive(FromRow)]`: a row of any statement, read by the names of its columns.

use proc_macro2::TokenStream;
use quote::quote;
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

/// A value of the type, made of `cells`.
pub(crate) fn reading(ident: &Ident, columns: &[(&Ident, String)]) -> TokenStream {
    let of = ident.to_string();
    let fields = columns.iter().map(|(field, column)| {
        quote! { #field: cells.next(#of, #column)? }
    });
    quote! { ::core::result::Result::Ok(Self { #(#fields),* }) }
}

fn column(field: &syn::Field) -> Result<Option<String>> {
    let mut column = None;
    for attribute in field.attrs.iter().filter(|it| it.path().is_ident("row")) {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("column") {
                return Err(meta.error("a field has `column`: `#[row(column = \"name\")]`"));
            }
            column = Some(meta.value()?.parse::<LitStr>()?.value());
            Ok(())
        })?;
    }
    Ok(column)
}
