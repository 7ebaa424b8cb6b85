//! `#[derive(AuthModel)]`: what the model is, its guard's marker type, and the SeaORM hooks.

mod attributes;
mod columns;

use proc_macro2::TokenStream;
use quote::quote;
use syn::{DeriveInput, Error, Result};

use attributes::Attributes;
use columns::{Columns, Identifier};

use crate::names::{check_word, marker};

/// What `#[sea_orm::model]` calls its copy of a model.
const COPY: &str = "ModelEx";

/// What the derive makes; for a model with a mistake, the mistake and stand-ins for what the rest of the crate names, so that the compiler reports the mistake alone.
pub(crate) fn derive(input: &DeriveInput) -> TokenStream {
    expand(input).unwrap_or_else(|error| {
        let mistake = error.to_compile_error();
        let stand_ins = stand_ins(input);
        quote! {
            #mistake
            #stand_ins
        }
    })
}

/// The traits and the marker of a model whose attributes cannot be used. None of it is ever called, since the mistake beside it ends the build.
fn stand_ins(input: &DeriveInput) -> TokenStream {
    if input.ident != "Model" {
        return TokenStream::new();
    }
    let named = attributes::names(input);
    let guard = named
        .guard
        .filter(|guard| check_word(guard, "guard name").is_ok())
        .map(|name| {
            let (visibility, marker) = (&input.vis, marker(&name));
            quote! {
                #[derive(Clone, Copy, Debug)]
                #visibility struct #marker;

                impl ::bekci::GuardType for #marker {
                    const NAME: &'static str = #name;
                    type Model = Model;
                }
            }
        });
    let hooks = (!named.manual_hooks).then(|| quote!(impl ::sea_orm::ActiveModelBehavior for ActiveModel {}));
    quote! {
        impl ::bekci::AsPrincipal for Model {
            fn principal_key(&self) -> ::std::result::Result<::bekci::core::PrincipalKey, ::bekci::KeyFault> {
                ::bekci::key_of::<Self>("")
            }
        }

        impl ::bekci::AuthModel for Model {
            fn spec() -> ::std::result::Result<::bekci::core::ModelSpec, ::bekci::core::NameError> {
                ::std::result::Result::Err(::bekci::core::ModelName::new("").unwrap_err())
            }
        }

        #guard
        #hooks
    }
}

fn expand(input: &DeriveInput) -> Result<TokenStream> {
    if input.ident == COPY {
        return Ok(TokenStream::new());
    }
    if input.ident != "Model" {
        let help = "`AuthModel` is derived on a SeaORM model, which is called `Model`";
        return Err(Error::new(input.ident.span(), help));
    }
    let attributes = Attributes::read(input)?;
    let columns = Columns::read(input)?;
    let spec = spec(&attributes, &columns)?;
    let guard = guard(input, &attributes);
    let hooks = if attributes.manual_hooks {
        TokenStream::new()
    } else {
        hooks(&attributes, &columns)
    };
    Ok(quote! {
        #spec
        #guard
        #hooks
    })
}

fn spec(attributes: &Attributes, columns: &Columns) -> Result<TokenStream> {
    for name in attributes.columns() {
        columns.must_have(name)?;
    }
    let optional = |name: &Option<syn::LitStr>| match name {
        Some(name) => quote!(::std::option::Option::Some(::std::string::String::from(#name))),
        None => quote!(::std::option::Option::None),
    };
    let identifiers = attributes
        .identifiers
        .iter()
        .map(|Identifier { column, no_case }| quote!((::std::string::String::from(#column), #no_case)));
    let (model, table) = (&attributes.model, &columns.table);
    let (id_column, id_kind) = (&columns.id_column, attributes.id_kind(columns)?);
    let (password, status) = (optional(&attributes.password), optional(&attributes.status));
    let (verified, tenant) = (optional(&attributes.verified), optional(&attributes.tenant));
    let (cached, banned) = (&attributes.cached, &attributes.banned);
    let active: Vec<String> = match &attributes.active[..] {
        [] => vec!["active".to_owned()],
        said => said.iter().map(syn::LitStr::value).collect(),
    };
    let id_field = &columns.id_field;
    Ok(quote! {
        impl ::bekci::AsPrincipal for Model {
            fn principal_key(&self) -> ::std::result::Result<::bekci::core::PrincipalKey, ::bekci::KeyFault> {
                ::bekci::key_of::<Self>(&::std::string::ToString::to_string(&self.#id_field))
            }
        }

        impl ::bekci::AuthModel for Model {
            fn spec() -> ::std::result::Result<::bekci::core::ModelSpec, ::bekci::core::NameError> {
                ::std::result::Result::Ok(::bekci::core::ModelSpec {
                    name: ::bekci::core::ModelName::new(#model)?,
                    table: ::std::string::String::from(#table),
                    id_column: ::std::string::String::from(#id_column),
                    id_kind: ::bekci::core::IdKind::#id_kind,
                    identifiers: ::std::vec![#(#identifiers),*],
                    password_column: #password,
                    status_column: #status,
                    verified_column: #verified,
                    tenant_column: #tenant,
                    cached_attributes: ::std::vec![#(::std::string::String::from(#cached)),*],
                    banned_statuses: ::std::vec![#(::std::string::String::from(#banned)),*],
                    active_statuses: ::std::vec![#(::std::string::String::from(#active)),*],
                    filter: ::std::option::Option::None,
                })
            }
        }
    })
}

fn guard(input: &DeriveInput, attributes: &Attributes) -> TokenStream {
    let (visibility, name) = (&input.vis, &attributes.guard);
    let marker = marker(name);
    let doc = format!("The guard `{}`.", name.value());
    quote! {
        #[doc = #doc]
        #[derive(Clone, Copy, Debug)]
        #visibility struct #marker;

        impl ::bekci::GuardType for #marker {
            const NAME: &'static str = #name;
            type Model = Model;
        }
    }
}

fn hooks(attributes: &Attributes, columns: &Columns) -> TokenStream {
    let (model, id) = (&attributes.model, &columns.id_field);
    quote! {
        #[::sea_orm::prelude::async_trait::async_trait]
        impl ::sea_orm::ActiveModelBehavior for ActiveModel {
            async fn before_save<C>(self, db: &C, _insert: bool) -> ::std::result::Result<Self, ::sea_orm::DbErr>
            where
                C: ::sea_orm::ConnectionTrait,
            {
                ::bekci::hooks::check(db)?;
                ::std::result::Result::Ok(self)
            }

            async fn after_save<C>(model: Model, db: &C, _insert: bool) -> ::std::result::Result<Model, ::sea_orm::DbErr>
            where
                C: ::sea_orm::ConnectionTrait,
            {
                ::bekci::hooks::changed(db, #model, ::std::string::ToString::to_string(&model.#id)).await?;
                ::std::result::Result::Ok(model)
            }

            async fn before_delete<C>(self, db: &C) -> ::std::result::Result<Self, ::sea_orm::DbErr>
            where
                C: ::sea_orm::ConnectionTrait,
            {
                ::bekci::hooks::check(db)?;
                ::std::result::Result::Ok(self)
            }

            async fn after_delete<C>(self, db: &C) -> ::std::result::Result<Self, ::sea_orm::DbErr>
            where
                C: ::sea_orm::ConnectionTrait,
            {
                let id = self.#id.try_as_ref().map(::std::string::ToString::to_string);
                if let ::std::option::Option::Some(id) = id {
                    ::bekci::hooks::changed(db, #model, id).await?;
                }
                ::std::result::Result::Ok(self)
            }
        }
    }
}

#[cfg(test)]
mod tests;
