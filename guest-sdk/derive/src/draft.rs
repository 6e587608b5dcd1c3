//! `#[derive(Draft)]`: what a client says of an entity, field by field as columns.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{DeriveInput, Error, Ident, Result, Type};

use crate::fields::{self, constant};

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let ident = &input.ident;
    let entity = entity(input)?;
    let (mut stated, mut version) = (Vec::new(), quote! { ::core::option::Option::None });
    for field in fields::named(input)? {
        let name = fields::ident(field)?;
        match Said::of(field)? {
            Said::Column(to) => {
                let column = constant(to.as_ref().unwrap_or(name));
                stated.push(quote! { <#entity>::#column.stated(&self.#name) });
            }
            Said::Version => {
                version = quote! { ::hostel_sdk::entity::SeenVersion::seen(&self.#name) };
            }
            Said::Nothing => {}
        }
    }
    Ok(quote! {
        #[automatically_derived]
        impl ::hostel_sdk::entity::Draft for #ident {
            type Entity = #entity;

            fn stated(&self) -> ::std::vec::Vec<::hostel_sdk::entity::Assignment<#entity>> {
                [#(#stated),*].into_iter().flatten().collect()
            }

            fn seen_version(&self) -> ::core::option::Option<::hostel_sdk::sql::Value> {
                #version
            }
        }
    })
}

/// What a field of a draft is.
enum Said {
    /// A column, under another name perhaps.
    Column(Option<Ident>),
    /// The version that its author has seen.
    Version,
    Nothing,
}

impl Said {
    fn of(field: &syn::Field) -> Result<Self> {
        let mut said = Self::Column(None);
        for attribute in field.attrs.iter().filter(|it| it.path().is_ident("draft")) {
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("to") {
                    said = Self::Column(Some(meta.value()?.parse()?));
                } else if meta.path.is_ident("version") {
                    said = Self::Version;
                } else if meta.path.is_ident("skip") {
                    said = Self::Nothing;
                } else {
                    return Err(meta.error("a field has `to`, `version` and `skip`"));
                }
                Ok(())
            })?;
        }
        Ok(said)
    }
}

fn entity(input: &DeriveInput) -> Result<Type> {
    let hint = "a draft has `of`: `#[draft(of = Note)]`";
    let entity = fields::said(&input.attrs, "draft", "of", hint)?;
    entity.ok_or_else(|| {
        Error::new_spanned(&input.ident, "say what it is a draft of: `#[draft(of = Note)]`")
    })
}
