//! What the model's fields say: its table, its columns, its primary key.

use crate::names::did_you_mean;
use proc_macro2::Ident;
use quote::format_ident;
use syn::{Data, DeriveInput, Error, Field, Fields, LitStr, Result, Type, ext::IdentExt, meta::ParseNestedMeta};

/// A column to sign in with.
pub(crate) struct Identifier {
    pub(crate) column: LitStr,
    pub(crate) no_case: bool,
}

impl Identifier {
    /// `email`, or `email:nocase`.
    pub(crate) fn read(text: &LitStr) -> Result<Self> {
        let value = text.value();
        let (column, no_case) = match value.split_once(':') {
            None => (value.as_str(), false),
            Some((column, "nocase")) => (column, true),
            Some(_) => {
                return Err(Error::new(
                    text.span(),
                    "an identifier is \"column\" or \"column:nocase\"",
                ));
            }
        };
        Ok(Self {
            column: LitStr::new(column, text.span()),
            no_case,
        })
    }
}

/// What was read of the model's fields.
pub(crate) struct Columns {
    pub(crate) table: LitStr,
    pub(crate) id_field: Ident,
    pub(crate) id_column: String,
    id_type: Type,
    names: Vec<String>,
}

/// What `#[sea_orm(..)]` says of one field.
#[derive(Default)]
struct Said {
    primary: bool,
    ignored: bool,
    column: Option<String>,
}

impl Columns {
    pub(crate) fn read(input: &DeriveInput) -> Result<Self> {
        let table = table(input)?;
        let Data::Struct(data) = &input.data else {
            return Err(Error::new(input.ident.span(), "`AuthModel` is derived on a struct"));
        };
        let Fields::Named(fields) = &data.fields else {
            return Err(Error::new(input.ident.span(), "`AuthModel` needs named fields"));
        };
        let (mut names, mut keys) = (Vec::new(), Vec::new());
        for field in &fields.named {
            let Some(ident) = &field.ident else { continue };
            let said = Said::read(field)?;
            if said.ignored {
                continue;
            }
            let name = said.column.unwrap_or_else(|| ident.unraw().to_string());
            if said.primary {
                keys.push((ident.clone(), name.clone(), field.ty.clone()));
            }
            names.push(name);
        }
        let mut keys = keys.into_iter();
        match (keys.next(), keys.next()) {
            (Some((id_field, id_column, id_type)), None) => Ok(Self {
                table,
                id_field,
                id_column,
                id_type,
                names,
            }),
            (None, _) => Err(Error::new(input.ident.span(), "no field has `#[sea_orm(primary_key)]`")),
            (Some(_), Some((second, ..))) => Err(Error::new(
                second.span(),
                "an account has one id: a primary key of two columns cannot be one",
            )),
        }
    }

    pub(crate) fn must_have(&self, column: &LitStr) -> Result<()> {
        if self.names.contains(&column.value()) {
            return Ok(());
        }
        let all = self.names.join(", ");
        let near = did_you_mean(&column.value(), &self.names);
        let told = format!("there is no column {:?}; the columns are {all}{near}", column.value());
        Err(Error::new(column.span(), told))
    }

    /// The variant of `IdKind` that the type of the primary key tells.
    pub(crate) fn id_kind(&self) -> Result<Ident> {
        let last = match &self.id_type {
            Type::Path(path) => path.path.segments.last().map(|segment| segment.ident.to_string()),
            _ => None,
        };
        let kind = match last.as_deref() {
            Some("i8" | "i16" | "i32" | "i64" | "u8" | "u16" | "u32" | "u64") => "Integer",
            Some("Uuid") => "Uuid",
            Some("String") => "Text",
            _ => {
                let help = "an id is an integer, a `Uuid` or a `String`; of another type, say `#[auth(id = \"..\")]`";
                return Err(Error::new_spanned(&self.id_type, help));
            }
        };
        Ok(format_ident!("{kind}"))
    }
}

impl Said {
    fn read(field: &Field) -> Result<Self> {
        let mut said = Self::default();
        for attribute in field
            .attrs
            .iter()
            .filter(|attribute| attribute.path().is_ident("sea_orm"))
        {
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("primary_key") {
                    said.primary = true;
                } else if meta.path.is_ident("ignore") {
                    said.ignored = true;
                } else if meta.path.is_ident("column_name") {
                    said.column = Some(meta.value()?.parse::<LitStr>()?.value());
                    return Ok(());
                }
                skip(&meta)
            })?;
        }
        Ok(said)
    }
}

fn table(input: &DeriveInput) -> Result<LitStr> {
    let mut table = None;
    for attribute in input
        .attrs
        .iter()
        .filter(|attribute| attribute.path().is_ident("sea_orm"))
    {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("table_name") {
                table = Some(meta.value()?.parse()?);
                return Ok(());
            }
            for unknown in ["schema_name", "rename_all"] {
                if meta.path.is_ident(unknown) {
                    let told =
                        format!("`AuthModel` does not know `{unknown}`: name the table, or each column, in full");
                    return Err(meta.error(told));
                }
            }
            skip(&meta)
        })?;
    }
    table.ok_or_else(|| Error::new(input.ident.span(), "`#[sea_orm(table_name = \"..\")]` is missing"))
}

/// Reads over what an attribute of SeaORM's says, since it is not for us.
fn skip(meta: &ParseNestedMeta<'_>) -> Result<()> {
    if meta.input.peek(syn::Token![=]) {
        meta.value()?.parse::<syn::Expr>()?;
    } else if meta.input.peek(syn::token::Paren) {
        let content;
        syn::parenthesized!(content in meta.input);
        content.parse::<proc_macro2::TokenStream>()?;
    }
    Ok(())
}
