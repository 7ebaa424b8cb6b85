//! What stands in `#[auth(…)]`.

use proc_macro2::{Ident, Span};
use quote::format_ident;
use syn::{
    DeriveInput, Error, Expr, ExprLit, Lit, LitStr, Meta, Result, Token, bracketed, meta::ParseNestedMeta,
    parenthesized, parse::ParseStream, punctuated::Punctuated,
};

use super::columns::{Columns, Identifier};
use crate::names::{check_word, did_you_mean};

const PARTS: [&str; 10] = [
    "guard",
    "model",
    "identifier",
    "password",
    "status",
    "verified",
    "tenant",
    "cached",
    "id",
    "hooks",
];

/// What was said of the model.
pub(crate) struct Attributes {
    pub(crate) guard: LitStr,
    pub(crate) model: LitStr,
    pub(crate) identifiers: Vec<Identifier>,
    pub(crate) password: Option<LitStr>,
    pub(crate) status: Option<LitStr>,
    pub(crate) banned: Vec<LitStr>,
    pub(crate) active: Vec<LitStr>,
    pub(crate) verified: Option<LitStr>,
    pub(crate) tenant: Option<LitStr>,
    pub(crate) cached: Vec<LitStr>,
    pub(crate) manual_hooks: bool,
    id: Option<LitStr>,
}

/// What can be read of attributes that hold a mistake.
pub(crate) struct Names {
    pub(crate) guard: Option<LitStr>,
    pub(crate) manual_hooks: bool,
}

/// Reads on behind a mistake where the grammar of attributes lets it.
pub(crate) fn names(input: &DeriveInput) -> Names {
    let mut names = Names {
        guard: None,
        manual_hooks: false,
    };
    for attribute in input.attrs.iter().filter(|attribute| attribute.path().is_ident("auth")) {
        let Ok(parts) = attribute.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated) else {
            continue;
        };
        for part in &parts {
            let Meta::NameValue(part) = part else { continue };
            let Expr::Lit(ExprLit {
                lit: Lit::Str(text), ..
            }) = &part.value
            else {
                continue;
            };
            if part.path.is_ident("guard") {
                names.guard = Some(text.clone());
            } else if part.path.is_ident("hooks") {
                names.manual_hooks = text.value() == "manual";
            }
        }
    }
    names
}

#[derive(Default)]
struct Partial {
    guard: Option<LitStr>,
    model: Option<LitStr>,
    identifiers: Vec<Identifier>,
    password: Option<LitStr>,
    status: Option<LitStr>,
    banned: Vec<LitStr>,
    active: Vec<LitStr>,
    verified: Option<LitStr>,
    tenant: Option<LitStr>,
    cached: Vec<LitStr>,
    hooks: Option<LitStr>,
    id: Option<LitStr>,
}

impl Attributes {
    pub(crate) fn read(input: &DeriveInput) -> Result<Self> {
        let mut partial = Partial::default();
        for attribute in input.attrs.iter().filter(|attribute| attribute.path().is_ident("auth")) {
            attribute.parse_nested_meta(|meta| partial.read(&meta))?;
        }
        partial.finish(input.ident.span())
    }

    /// The columns that were named, the password's last.
    pub(crate) fn columns(&self) -> impl Iterator<Item = &LitStr> {
        let single = [&self.status, &self.verified, &self.tenant, &self.password];
        let identifiers = self.identifiers.iter().map(|identifier| &identifier.column);
        identifiers.chain(&self.cached).chain(single.into_iter().flatten())
    }

    /// The variant of `IdKind`.
    pub(crate) fn id_kind(&self, columns: &Columns) -> Result<Ident> {
        let Some(said) = &self.id else {
            return columns.id_kind();
        };
        let kind = match said.value().as_str() {
            "integer" => "Integer",
            "uuid" => "Uuid",
            "text" => "Text",
            _ => return Err(Error::new(said.span(), "`id` is \"integer\", \"uuid\" or \"text\"")),
        };
        Ok(format_ident!("{kind}"))
    }
}

impl Partial {
    fn read(&mut self, meta: &ParseNestedMeta<'_>) -> Result<()> {
        let part = meta.path.get_ident().map(Ident::to_string).unwrap_or_default();
        match part.as_str() {
            "guard" => once(&mut self.guard, meta),
            "model" => once(&mut self.model, meta),
            "password" => once(&mut self.password, meta),
            "verified" => once(&mut self.verified, meta),
            "tenant" => once(&mut self.tenant, meta),
            "hooks" => once(&mut self.hooks, meta),
            "id" => once(&mut self.id, meta),
            "identifier" => {
                for text in strings(meta)? {
                    self.identifiers.push(Identifier::read(&text)?);
                }
                Ok(())
            }
            "cached" => {
                self.cached.extend(strings(meta)?);
                Ok(())
            }
            "status" if meta.input.peek(Token![=]) => Err(meta.error(
                "`status` has parts of its own: `status(column = \"..\", banned = [\"..\"], active = [\"..\"])`",
            )),
            "status" => meta.parse_nested_meta(|inner| {
                if inner.path.is_ident("column") {
                    once(&mut self.status, &inner)
                } else if inner.path.is_ident("banned") {
                    self.banned.extend(strings(&inner)?);
                    Ok(())
                } else if inner.path.is_ident("active") {
                    self.active.extend(strings(&inner)?);
                    Ok(())
                } else {
                    Err(inner.error("`status` has `column = \"..\"`, `banned = [\"..\"]` and `active = [\"..\"]`"))
                }
            }),
            _ => Err(meta.error(format!(
                "`#[auth(..)]` has {}{}",
                PARTS.join(", "),
                did_you_mean(&part, &PARTS)
            ))),
        }
    }

    fn finish(self, span: Span) -> Result<Attributes> {
        let missing = |what: &str| Error::new(span, format!("`#[auth({what})]` is missing"));
        let guard = self.guard.ok_or_else(|| missing("guard = \"..\""))?;
        check_word(&guard, "guard name")?;
        let model = self.model.unwrap_or_else(|| guard.clone());
        check_word(&model, "model name")?;
        if self.identifiers.is_empty() {
            return Err(missing("identifier = \"..\""));
        }
        if let (None, Some(value)) = (&self.status, self.banned.first().or(self.active.first())) {
            return Err(Error::new(
                value.span(),
                "`banned` and `active` need `column = \"..\"` beside it in `status(..)`",
            ));
        }
        let manual_hooks = match &self.hooks {
            None => false,
            Some(hooks) if hooks.value() == "manual" => true,
            Some(hooks) => return Err(Error::new(hooks.span(), "`hooks` is \"manual\" or left out")),
        };
        let secret = self.password.as_ref().map(LitStr::value);
        for column in &self.cached {
            if Some(column.value()) == secret {
                return Err(Error::new(
                    column.span(),
                    "a password hash is never part of the cached identity",
                ));
            }
            if column.value().starts_with("__") {
                return Err(Error::new(column.span(), "names that begin with `__` are Bekci's own"));
            }
        }
        Ok(Attributes {
            guard,
            model,
            identifiers: self.identifiers,
            password: self.password,
            status: self.status,
            banned: self.banned,
            active: self.active,
            verified: self.verified,
            tenant: self.tenant,
            cached: self.cached,
            manual_hooks,
            id: self.id,
        })
    }
}

fn once(place: &mut Option<LitStr>, meta: &ParseNestedMeta<'_>) -> Result<()> {
    let value = meta.value()?.parse()?;
    if place.replace(value).is_some() {
        return Err(meta.error("said twice"));
    }
    Ok(())
}

/// `= "a"`, `= ["a", "b"]` or `("a", "b")`.
fn strings(meta: &ParseNestedMeta<'_>) -> Result<Vec<LitStr>> {
    let list = |content: ParseStream<'_>| {
        Punctuated::<LitStr, Token![,]>::parse_terminated(content).map(|list| list.into_iter().collect())
    };
    if meta.input.peek(syn::token::Paren) {
        let content;
        parenthesized!(content in meta.input);
        return list(&content);
    }
    let value = meta.value()?;
    if value.peek(syn::token::Bracket) {
        let content;
        bracketed!(content in value);
        return list(&content);
    }
    Ok(vec![value.parse()?])
}
