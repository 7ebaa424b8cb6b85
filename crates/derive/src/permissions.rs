//! `permissions! { pub mod posts { view, create, delete } }`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{
    Attribute, Error, Ident, Result, Token, Visibility, braced,
    ext::IdentExt,
    parse::{Parse, ParseStream},
};

use crate::names::is_segment;

/// The modules, as written.
pub(crate) struct Permissions(Vec<Module>);

struct Module {
    attributes: Vec<Attribute>,
    visibility: Visibility,
    name: Ident,
    members: Vec<(Vec<Attribute>, Ident)>,
    modules: Vec<Module>,
}

impl Parse for Permissions {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut modules = Vec::new();
        while !input.is_empty() {
            let attributes = input.call(Attribute::parse_outer)?;
            modules.push(Module::parse(input, attributes)?);
        }
        Ok(Self(modules))
    }
}

impl Module {
    fn parse(input: ParseStream<'_>, attributes: Vec<Attribute>) -> Result<Self> {
        let visibility = input.parse()?;
        input.parse::<Token![mod]>()?;
        let name = segment(input)?;
        let content;
        braced!(content in input);
        let (mut members, mut modules) = (Vec::new(), Vec::new());
        while !content.is_empty() {
            let attributes = content.call(Attribute::parse_outer)?;
            if content.peek(Token![pub]) || content.peek(Token![mod]) {
                modules.push(Self::parse(&content, attributes)?);
                content.parse::<Option<Token![,]>>()?;
            } else {
                members.push((attributes, segment(&content)?));
                if !content.is_empty() {
                    content.parse::<Token![,]>()?;
                }
            }
        }
        Ok(Self {
            attributes,
            visibility,
            name,
            members,
            modules,
        })
    }

    fn expand(&self, prefix: &str) -> TokenStream {
        let Self {
            attributes,
            visibility,
            name,
            ..
        } = self;
        let path = format!("{prefix}{}", name.unraw());
        let members = self.members.iter().map(|(attributes, member)| {
            let text = format!("{path}.{}", member.unraw());
            let doc = format!("The permission `{text}`.");
            quote! {
                #[doc = #doc]
                #(#attributes)*
                #[expect(non_upper_case_globals, reason = "named as the permission is")]
                pub const #member: ::bekci::PermissionName = ::bekci::PermissionName::from_macro(#text);
            }
        });
        let names = self.members.iter().map(|(_, member)| member);
        let modules = self.modules.iter().map(|module| module.expand(&format!("{path}.")));
        let doc = format!("The permissions under `{path}`.");
        quote! {
            #[doc = #doc]
            #(#attributes)*
            #visibility mod #name {
                #(#members)*
                /// What stands in this module itself.
                pub const ALL: &[::bekci::PermissionName] = &[#(#names),*];
                #(#modules)*
            }
        }
    }
}

fn segment(input: ParseStream<'_>) -> Result<Ident> {
    let name: Ident = input.parse()?;
    if is_segment(&name.unraw().to_string()) {
        Ok(name)
    } else {
        let rule = "a lower-case letter, then up to 63 of a-z, 0-9, `_`";
        Err(Error::new(
            name.span(),
            format!("{name} cannot be part of a permission: {rule}"),
        ))
    }
}

impl Permissions {
    pub(crate) fn expand(&self) -> TokenStream {
        self.0.iter().map(|module| module.expand("")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_member_is_a_constant_named_by_its_whole_path() {
        let all: Permissions =
            syn::parse_str("pub mod orders { view, r#type, pub mod items { delete } } mod other {}").unwrap();
        let text = all.expand().to_string();
        for expected in [
            "pub mod orders",
            "pub const view : :: bekci :: PermissionName = :: bekci :: PermissionName :: from_macro (\"orders.view\")",
            "from_macro (\"orders.type\")",
            "from_macro (\"orders.items.delete\")",
            "ALL : & [:: bekci :: PermissionName] = & [view , r#type]",
            "mod other",
        ] {
            assert!(text.contains(expected), "{expected} in {text}");
        }
    }

    #[test]
    fn a_name_that_no_permission_can_have_is_told() {
        for text in ["mod Posts {}", "mod posts { View }", "mod posts { _view }"] {
            let error = syn::parse_str::<Permissions>(text).err().unwrap().to_string();
            assert!(error.contains("cannot be part of a permission"), "{text}: {error}");
        }
        assert!(syn::parse_str::<Permissions>("mod posts { view create }").is_err());
    }
}
