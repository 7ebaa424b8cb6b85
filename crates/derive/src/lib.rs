//! Derive macros of Bekci. Use them through the crate `bekci`, which documents what they mean together.
//!
//! Names are checked while compiling, by the grammar of `bekci-core`; generated code never panics.

mod guard;
mod model;
mod names;
mod permission;
mod permissions;

use proc_macro::TokenStream;

/// Makes the rows of a SeaORM `Model` accounts that can sign in.
///
/// ```text
/// #[derive(Clone, Debug, DeriveEntityModel, AuthModel)]
/// #[auth(guard = "admin", identifier = "email", password = "password_hash",
///        status(column = "status", banned = ["banned"]), cached("email", "name"))]
/// #[sea_orm(table_name = "admins")]
/// pub struct Model { … }
/// ```
///
/// What stands in `#[auth(…)]`; columns are named as in the database:
///
/// | part | meaning | without it |
/// | --- | --- | --- |
/// | `guard = "admin"` | the guard's name; a marker type `Admin` is made beside the model | needed |
/// | `model = "admin"` | the model's name, the first part of its principals' keys | the guard's name |
/// | `identifier = "email"` | a column to sign in with; `"email:nocase"`: case does not count; repeatable, or a list | needed |
/// | `password = "password_hash"` | the column of the password hash | accounts have no password |
/// | `status(column = "status", banned = ["banned"], active = ["active"])` | the column of the status, its values that ban and those that let in; `"*"`: all that do not ban. Any other keeps out, since it may be a misspelt ban | there is none; without `active`: `active` |
/// | `verified = "email_verified_at"` | the column that is not null once the address is verified | every account is |
/// | `tenant = "tenant"` | the column of the tenant that an account belongs to | it belongs where it holds rights |
/// | `cached("email", "name")` | columns that are part of the cached identity | none |
/// | `id = "integer"` | `integer`, `uuid` or `text`, where the type of the primary key does not tell | told by the type |
/// | `hooks = "manual"` | makes no `ActiveModelBehavior`: call `bekci::hooks` first in your own | it is made |
///
/// Under `#[sea_orm::model]` every derive stands on `ModelEx` too; there this one makes nothing.
#[proc_macro_derive(AuthModel, attributes(auth))]
pub fn auth_model(input: TokenStream) -> TokenStream {
    answer(syn::parse(input).map(|input| model::derive(&input)))
}

/// A second guard on a model: `guard!(pub Kiosk = "kiosk" on customer::Model);`.
#[proc_macro]
pub fn guard(input: TokenStream) -> TokenStream {
    answer(syn::parse(input).map(|guard: guard::Guard| guard.expand()))
}

/// Permissions as constants: `permissions! { pub mod posts { view, create, delete } }` makes `posts::delete`, the permission `posts.delete`.
///
/// Modules may stand in modules. `ALL` lists what stands in a module itself.
#[proc_macro]
pub fn permissions(input: TokenStream) -> TokenStream {
    answer(syn::parse(input).map(|permissions: permissions::Permissions| permissions.expand()))
}

/// Asks rights of whoever calls a handler: `#[permission(posts::delete)]`.
///
/// It becomes the handler's first extractor, so that 401 and 403 come before any error of the body. What it takes, all of which must hold:
/// a permission (a path that `permissions!` made, or a text), `any(a, b)`, `all(a, b)`, `role = "editor"`, and
/// `policy`: that the policies allow the request's method on its path.
#[proc_macro_attribute]
pub fn permission(asked: TokenStream, handler: TokenStream) -> TokenStream {
    let expanded = syn::parse(asked).and_then(|asked: permission::Asked| {
        let handler = syn::parse(handler)?;
        permission::expand(&asked, handler)
    });
    answer(expanded)
}

fn answer(expanded: syn::Result<proc_macro2::TokenStream>) -> TokenStream {
    expanded.unwrap_or_else(|error| error.to_compile_error()).into()
}
