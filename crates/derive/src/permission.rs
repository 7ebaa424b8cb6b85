//! `#[permission(posts::delete)]` on a handler.
//!
//! Makes a type that says what is asked, and puts an extractor for it before the handler's own.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{
    Error, Ident, ItemFn, LitStr, Path, Result, Token,
    ext::IdentExt,
    parenthesized,
    parse::{Parse, ParseStream},
    parse_quote,
    punctuated::Punctuated,
};

use crate::names::{is_permission, is_segment, upper_camel};

/// What is asked; all of it must hold.
pub(crate) struct Asked(Vec<Term>);

enum Term {
    Any(Vec<Name>),
    All(Vec<Name>),
    Role(LitStr),
    Policy,
}

/// A permission, as a path to its constant or as text.
enum Name {
    Constant(Path),
    Text(LitStr),
}

impl Parse for Name {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        if !input.peek(LitStr) {
            return input.call(Path::parse_mod_style).map(Self::Constant);
        }
        let text: LitStr = input.parse()?;
        if is_permission(&text.value()) {
            return Ok(Self::Text(text));
        }
        let rule = "segments of a-z, 0-9, `_`, `-` that begin with a letter, joined by `.`; `*` only as the last one";
        Err(Error::new(
            text.span(),
            format!("{:?} is no permission: {rule}", text.value()),
        ))
    }
}

impl Parse for Term {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let ahead = input.fork();
        let word = ahead.parse::<Ident>().map(|word| word.to_string()).unwrap_or_default();
        if word == "role" && ahead.peek(Token![=]) {
            input.parse::<Ident>()?;
            input.parse::<Token![=]>()?;
            let role: LitStr = input.parse()?;
            if is_segment(&role.value()) {
                return Ok(Self::Role(role));
            }
            let rule = "a lower-case letter, then up to 63 of a-z, 0-9, `_`, `-`";
            return Err(Error::new(
                role.span(),
                format!("{:?} is no role: {rule}", role.value()),
            ));
        }
        // `policy::view` is the path of a permission.
        if word == "policy" && !ahead.peek(Token![::]) {
            input.parse::<Ident>()?;
            return Ok(Self::Policy);
        }
        if (word == "any" || word == "all") && ahead.peek(syn::token::Paren) {
            let which: Ident = input.parse()?;
            let content;
            parenthesized!(content in input);
            let names: Vec<Name> = Punctuated::<Name, Token![,]>::parse_terminated(&content)?
                .into_iter()
                .collect();
            if names.is_empty() {
                return Err(Error::new(
                    which.span(),
                    format!("`{which}` of no permission asks for nothing"),
                ));
            }
            return Ok(if word == "any" {
                Self::Any(names)
            } else {
                Self::All(names)
            });
        }
        Ok(Self::All(vec![input.parse()?]))
    }
}

impl Parse for Asked {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        if input.is_empty() {
            let help =
                "say what is asked: `#[permission(posts::delete)]`, `any(..)`, `all(..)`, `role = \"..\"` or `policy`";
            return Err(input.error(help));
        }
        let terms = Punctuated::<Term, Token![,]>::parse_terminated(input)?;
        Ok(Self(terms.into_iter().collect()))
    }
}

impl Term {
    fn expand(&self) -> TokenStream {
        let list = |names: &[Name]| {
            let names = names.iter().map(|name| match name {
                Name::Constant(path) => quote!(#path),
                Name::Text(text) => quote!(::bekci::PermissionName::from_macro(#text)),
            });
            quote!(&[#(#names),*])
        };
        match self {
            Self::Any(names) => {
                let names = list(names);
                quote!(::bekci::asked::Term::Any(#names))
            }
            Self::All(names) => {
                let names = list(names);
                quote!(::bekci::asked::Term::All(#names))
            }
            Self::Role(role) => quote!(::bekci::asked::Term::Role(#role)),
            Self::Policy => quote!(::bekci::asked::Term::Policy),
        }
    }
}

/// The handler with the extractor before its own, and the type that says what is asked.
pub(crate) fn expand(asked: &Asked, mut handler: ItemFn) -> Result<TokenStream> {
    if let Some(receiver) = handler.sig.receiver() {
        let help = "`#[permission]` stands on a free function, since its first argument becomes an extractor";
        return Err(Error::new_spanned(receiver, help));
    }
    if handler.sig.asyncness.is_none() {
        return Err(Error::new_spanned(
            handler.sig.fn_token,
            "`#[permission]` stands on an `async fn` that Actix calls",
        ));
    }
    let name = upper_camel(&handler.sig.ident.unraw().to_string());
    let marker = format_ident!("BekciAskedOf{name}", span = handler.sig.ident.span());
    let visibility = &handler.vis;
    let terms = asked.0.iter().map(Term::expand);
    let declared = quote! {
        #[doc(hidden)]
        #visibility struct #marker;

        impl ::bekci::asked::Ask for #marker {
            fn rights() -> &'static ::bekci::asked::Rights {
                const ASKED: &[::bekci::asked::Term] = &[#(#terms),*];
                static RIGHTS: ::std::sync::OnceLock<::bekci::asked::Rights> = ::std::sync::OnceLock::new();
                RIGHTS.get_or_init(|| ::bekci::asked::Rights::new(ASKED))
            }
        }
    };
    handler
        .sig
        .inputs
        .insert(0, parse_quote!(_: ::bekci::asked::Asked<#marker>));
    Ok(quote! {
        #declared
        #handler
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(asked: &str, handler: &str) -> String {
        expand(&syn::parse_str(asked).unwrap(), syn::parse_str(handler).unwrap())
            .unwrap()
            .to_string()
    }

    #[test]
    fn the_extractor_comes_before_the_handlers_own() {
        let text = expanded(
            "posts::delete",
            "pub async fn delete_post(who: Auth<Admin>, id: Path<i64>) -> R { x }",
        );
        let head = "pub async fn delete_post (_ : :: bekci :: asked :: Asked < BekciAskedOfDeletePost > , who : Auth < Admin > ,";
        assert!(text.contains(head), "{text}");
        assert!(text.contains("pub struct BekciAskedOfDeletePost ;"), "{text}");
        assert!(
            text.contains(":: bekci :: asked :: Term :: All (& [posts :: delete])"),
            "{text}"
        );
    }

    #[test]
    fn other_attributes_of_the_handler_stay() {
        let text = expanded("posts::delete", "#[delete(\"/x\")] async fn f() {}");
        assert!(text.contains("# [delete (\"/x\")] async fn f (_ : "), "{text}");
    }

    #[test]
    fn terms_may_be_mixed() {
        let text = expanded(
            "role = \"editor\", any(posts::view, \"orders.*\"), all(a, b), policy, policy::view",
            "async fn f() {}",
        );
        for expected in [
            "Term :: Role (\"editor\")",
            "Term :: Any (& [posts :: view , :: bekci :: PermissionName :: from_macro (\"orders.*\")])",
            "Term :: All (& [a , b])",
            "Term :: Policy ,",
            "Term :: All (& [policy :: view])",
        ] {
            assert!(text.contains(expected), "{expected} in {text}");
        }
    }

    #[test]
    fn what_cannot_be_asked_is_told() {
        let error = |text: &str| syn::parse_str::<Asked>(text).err().unwrap().to_string();
        assert!(error("").contains("say what is asked"));
        assert!(error("role = \"Editor\"").contains("is no role"));
        assert!(error("\"*.view\"").contains("is no permission"));
        assert!(error("any()").contains("asks for nothing"));
        let refused = |handler: &str| {
            let handler = syn::parse_str(handler).unwrap();
            expand(&syn::parse_str("a").unwrap(), handler)
                .err()
                .unwrap()
                .to_string()
        };
        assert!(refused("fn f() {}").contains("async fn"));
        assert!(refused("async fn f(&self) {}").contains("free function"));
    }
}
