//! What the derives read of structs: their fields, and what serde calls these.

use syn::parse::Parse;
use syn::punctuated::Punctuated;
use syn::{Attribute, Data, DeriveInput, Error, Field, Fields, Ident, LitStr, Result, Token};

/// A struct's fields, which have names.
pub(crate) fn named(input: &DeriveInput) -> Result<&Punctuated<Field, Token![,]>> {
    if let Some(parameter) = input.generics.params.first() {
        return Err(Error::new_spanned(parameter, "this derive takes no type with parameters"));
    }
    match &input.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(fields) => Ok(&fields.named),
            _ => Err(Error::new_spanned(&input.ident, "this derive takes structs with fields")),
        },
        _ => Err(Error::new_spanned(&input.ident, "this derive takes structs")),
    }
}

/// A field's name. Those of `named` all have one.
pub(crate) fn ident(field: &Field) -> Result<&Ident> {
    field.ident.as_ref().ok_or_else(|| Error::new_spanned(field, "this field has no name"))
}

/// A name without `r#`.
pub(crate) fn plain(ident: &Ident) -> String {
    let text = ident.to_string();
    text.strip_prefix("r#").map_or(text.clone(), str::to_owned)
}

/// The words of a name: `BookingLine` is `booking line`, with a space for `between`.
pub(crate) fn words(ident: &Ident, between: char) -> String {
    let mut words = String::new();
    for letter in plain(ident).chars() {
        if letter.is_uppercase() && !words.is_empty() {
            words.push(between);
        }
        words.extend(letter.to_lowercase());
    }
    words
}

/// The constant that stands for a field.
pub(crate) fn constant(ident: &Ident) -> Ident {
    Ident::new(&plain(ident).to_uppercase(), ident.span())
}

/// What `attribute` says of `key`, and of nothing else: `#[row(column = …)]`.
///
/// # Errors
/// `hint` where it says something else.
pub(crate) fn said<T: Parse>(
    attributes: &[Attribute],
    attribute: &str,
    key: &str,
    hint: &str,
) -> Result<Option<T>> {
    let mut said = None;
    for attribute in attributes.iter().filter(|it| it.path().is_ident(attribute)) {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident(key) {
                return Err(meta.error(hint));
            }
            said = Some(meta.value()?.parse()?);
            Ok(())
        })?;
    }
    Ok(said)
}

/// What clients call fields, as serde is told.
pub(crate) struct Renaming(Option<String>);

impl Renaming {
    pub(crate) fn of(attributes: &[Attribute]) -> Self {
        Self(serde_text(attributes, "rename_all"))
    }

    pub(crate) fn name(&self, ident: &Ident, attributes: &[Attribute]) -> String {
        serde_text(attributes, "rename").unwrap_or_else(|| self.renamed(&plain(ident)))
    }

    fn renamed(&self, name: &str) -> String {
        let Some(rule) = &self.0 else { return name.to_owned() };
        let words = || name.split('_').filter(|word| !word.is_empty());
        let pascal = || words().map(capitalized).collect::<String>();
        match rule.as_str() {
            "camelCase" => {
                let mut all = words();
                let first = all.next().unwrap_or_default().to_owned();
                all.map(capitalized).fold(first, |name, word| name + &word)
            }
            "PascalCase" => pascal(),
            "kebab-case" => name.replace('_', "-"),
            "SCREAMING-KEBAB-CASE" => name.replace('_', "-").to_uppercase(),
            "SCREAMING_SNAKE_CASE" | "UPPERCASE" => name.to_uppercase(),
            _ => name.to_owned(),
        }
    }
}

fn capitalized(word: &str) -> String {
    let mut rest = word.chars();
    rest.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(rest).collect()
}

/// `#[serde(name = "…")]`, where it is said. What is said in another way is left to serde.
fn serde_text(attributes: &[Attribute], name: &str) -> Option<String> {
    let mut found = None;
    for attribute in attributes.iter().filter(|it| it.path().is_ident("serde")) {
        let _ = attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident(name) {
                found = Some(meta.value()?.parse::<LitStr>()?.value());
            } else if meta.input.peek(Token![=]) {
                meta.value()?.parse::<syn::Expr>()?;
            } else if meta.input.peek(syn::token::Paren) {
                let inside;
                syn::parenthesized!(inside in meta.input);
                inside.parse::<proc_macro2::TokenStream>()?;
            }
            Ok(())
        });
    }
    found
}

#[cfg(test)]
mod tests {
    use syn::parse_quote;

    use super::*;

    #[test]
    fn a_field_is_called_as_serde_calls_it() {
        let name = |rule: &str, field: &str| {
            let attribute: Attribute = parse_quote!(#[serde(rename_all = #rule, default)]);
            let ident = Ident::new(field, proc_macro2::Span::call_site());
            Renaming::of(&[attribute]).name(&ident, &[])
        };
        assert_eq!(name("camelCase", "starts_at"), "startsAt");
        assert_eq!(name("PascalCase", "starts_at"), "StartsAt");
        assert_eq!(name("kebab-case", "starts_at"), "starts-at");
        assert_eq!(name("snake_case", "starts_at"), "starts_at");
        let renamed: Attribute =
            parse_quote!(#[serde(skip_serializing_if = "Option::is_none", rename = "from")]);
        let ident = Ident::new("starts_at", proc_macro2::Span::call_site());
        assert_eq!(Renaming(None).name(&ident, &[renamed]), "from");
        assert_eq!(Renaming(None).name(&ident, &[]), "starts_at");
    }

    #[test]
    fn a_constant_is_called_in_capitals() {
        let ident: Ident = parse_quote!(r#type);
        assert_eq!(constant(&ident).to_string(), "TYPE");
    }
}
