//! `#[derive(ColumnEnum)]`: one of a few names, kept as a text.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Error, Fields, LitStr, Result, Variant};

use crate::fields;

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let ident = &input.ident;
    let Data::Enum(data) = &input.data else {
        return Err(Error::new_spanned(ident, "this derive takes enums"));
    };
    let (mut variants, mut names) = (Vec::new(), Vec::<String>::new());
    for variant in &data.variants {
        if !matches!(variant.fields, Fields::Unit) {
            return Err(Error::new_spanned(variant, "a variant of a column is a name alone"));
        }
        let name = name(variant)?;
        if names.contains(&name) {
            return Err(Error::new_spanned(variant, format!("two variants are `{name}`")));
        }
        variants.push(&variant.ident);
        names.push(name);
    }
    Ok(quote! {
        #[automatically_derived]
        impl ::hostel_sdk::entity::ColumnType for #ident {
            const KIND: ::hostel_sdk::entity::Kind =
                ::hostel_sdk::entity::Kind::Enum(&[#(#names),*]);
        }

        #[automatically_derived]
        impl ::hostel_sdk::sql::ToValue for #ident {
            fn to_value(&self) -> ::hostel_sdk::sql::Value {
                let name: &str = match self { #(Self::#variants => #names),* };
                ::hostel_sdk::sql::ToValue::to_value(name)
            }
        }

        #[automatically_derived]
        impl ::hostel_sdk::sql::FromValue for #ident {
            fn from_value(
                cell: ::hostel_sdk::sql::Cell<'_>,
            ) -> ::core::result::Result<Self, ::hostel_sdk::sql::Mismatch> {
                match cell {
                    #(::hostel_sdk::sql::Cell::Text(#names) => {
                        ::core::result::Result::Ok(Self::#variants)
                    })*
                    _ => ::core::result::Result::Err(::hostel_sdk::sql::Mismatch),
                }
            }
        }
    })
}

/// `InReview` as `in_review`, unless the variant is called otherwise.
fn name(variant: &Variant) -> Result<String> {
    let hint = "a variant has `name`: `#[column_enum(name = \"open\")]`";
    let name: Option<LitStr> = fields::said(&variant.attrs, "column_enum", "name", hint)?;
    Ok(name.map_or_else(|| fields::words(&variant.ident, '_'), |name| name.value()))
}
