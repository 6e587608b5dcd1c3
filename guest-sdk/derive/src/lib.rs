//! The derives of `hostel-sdk`, which passes them on and says what they are for.
//!
//! `declared` reads what an entity's author wrote, `entity` writes what follows from it, and `names`
//! says which names a database can bear. The others are a derive each.

mod column_enum;
mod declared;
mod draft;
mod entity;
mod fields;
mod from_row;
mod names;
mod projection;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

type Expand = fn(&DeriveInput) -> syn::Result<proc_macro2::TokenStream>;

/// Makes a struct an entity.
#[proc_macro_derive(Entity, attributes(entity))]
pub fn entity(input: TokenStream) -> TokenStream {
    derive(parse_macro_input!(input), entity::expand)
}

/// Makes a struct what a query selects.
#[proc_macro_derive(Projection, attributes(projection))]
pub fn projection(input: TokenStream) -> TokenStream {
    derive(parse_macro_input!(input), projection::expand)
}

/// Makes a struct what a client says of an entity.
#[proc_macro_derive(Draft, attributes(draft))]
pub fn draft(input: TokenStream) -> TokenStream {
    derive(parse_macro_input!(input), draft::expand)
}

/// Makes a struct what a row is read as.
#[proc_macro_derive(FromRow, attributes(row))]
pub fn from_row(input: TokenStream) -> TokenStream {
    derive(parse_macro_input!(input), from_row::expand)
}

/// Makes an enum a column's type.
#[proc_macro_derive(ColumnEnum, attributes(column_enum))]
pub fn column_enum(input: TokenStream) -> TokenStream {
    derive(parse_macro_input!(input), column_enum::expand)
}

fn derive(input: DeriveInput, expand: Expand) -> TokenStream {
    expand(&input).unwrap_or_else(|error| error.into_compile_error()).into()
}
