//! What `#[derive(AuthModel)]` and `guard!` write down in types.

use bekci_core::{KeyError, ModelSpec, NameError, PrincipalKey};

/// Why a row is no principal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFault {
    /// The model's name breaks the grammar of names.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The row's id is none that its model may have.
    #[error(transparent)]
    Id(#[from] KeyError),
}

/// Whatever names a principal: its key, or the row of its account.
pub trait AsPrincipal {
    /// The principal's key: `customer:42`.
    ///
    /// # Errors
    /// [`KeyFault`] for a row whose id is none that its model may have, such as a text with a space in it.
    fn principal_key(&self) -> Result<PrincipalKey, KeyFault>;
}

impl AsPrincipal for PrincipalKey {
    fn principal_key(&self) -> Result<PrincipalKey, KeyFault> {
        Ok(self.clone())
    }
}

/// What the derive calls.
#[doc(hidden)]
pub fn key_of<M: AuthModel>(id: &str) -> Result<PrincipalKey, KeyFault> {
    Ok(M::spec()?.key(id)?)
}

/// A SeaORM model whose rows are accounts. Derived: `#[derive(AuthModel)]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a model of accounts",
    label = "no `#[derive(AuthModel)]`",
    note = "add `AuthModel` to the derives of the SeaORM `Model`, with `#[auth(guard = \"..\", identifier = \"..\")]`"
)]
pub trait AuthModel: 'static {
    /// The model's table and the meaning of its columns.
    ///
    /// # Errors
    /// [`NameError`] where the model's name breaks the grammar of names; the derive refuses such a name when it compiles.
    fn spec() -> Result<ModelSpec, NameError>;
}

/// A guard as a type: `Admin`, `Customer`. Made by `#[derive(AuthModel)]` beside the model, and by `guard!` for a second guard on it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a guard",
    label = "not a guard",
    note = "a guard is the type that `#[derive(AuthModel)]` makes beside the model, named after `guard = \"..\"` (`Admin` for \"admin\"), or one that `guard!` makes"
)]
pub trait GuardType: 'static {
    /// The guard's name.
    const NAME: &'static str;
    /// The model whose accounts come in by it.
    type Model: AuthModel;
}
