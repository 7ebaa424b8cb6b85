//! `guard!(pub Kiosk = "kiosk" on customer::Model)`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{
    Error, Ident, LitStr, Result, Token, Type, Visibility,
    parse::{Parse, ParseStream},
};

use crate::names::check_word;

/// A guard's marker type, as written.
pub(crate) struct Guard {
    visibility: Visibility,
    marker: Ident,
    name: LitStr,
    model: Type,
}

impl Parse for Guard {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let visibility = input.parse()?;
        let marker = input.parse()?;
        input.parse::<Token![=]>()?;
        let name: LitStr = input.parse()?;
        check_word(&name, "guard name")?;
        let on: Ident = input.parse()?;
        if on != "on" {
            return Err(Error::new(
                on.span(),
                "expected `on`, then the model: `Kiosk = \"kiosk\" on customer::Model`",
            ));
        }
        let model = input.parse()?;
        input.parse::<Option<Token![;]>>()?;
        Ok(Self {
            visibility,
            marker,
            name,
            model,
        })
    }
}

impl Guard {
    pub(crate) fn expand(&self) -> TokenStream {
        let Self {
            visibility,
            marker,
            name,
            model,
        } = self;
        let doc = format!("The guard `{}`.", name.value());
        quote! {
            #[doc = #doc]
            #[derive(Clone, Copy, Debug)]
            #visibility struct #marker;

            impl ::bekci::GuardType for #marker {
                const NAME: &'static str = #name;
                type Model = #model;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_guard_is_a_type_of_its_own_on_the_same_model() {
        let guard: Guard = syn::parse_str("pub Kiosk = \"kiosk\" on customer::Model").unwrap();
        let text = guard.expand().to_string();
        assert!(text.contains("pub struct Kiosk ;"), "{text}");
        assert!(text.contains("const NAME : & 'static str = \"kiosk\" ;"), "{text}");
        assert!(text.contains("type Model = customer :: Model ;"), "{text}");
    }

    #[test]
    fn a_wrong_name_or_word_is_told() {
        let error = |text: &str| syn::parse_str::<Guard>(text).err().unwrap().to_string();
        assert!(error("Kiosk = \"Kiosk\" on customer::Model").contains("guard name \"Kiosk\" is not valid"));
        assert!(error("Kiosk = \"kiosk\" of customer::Model").contains("expected `on`"));
    }
}
