//! What `#[derive(AuthModel)]` and `guard!` write down in types.

use bekci_core::{ModelSpec, NameError};

/// A SeaORM model whose rows are accounts. Derived: `#[derive(AuthModel)]`.
pub trait AuthModel: 'static {
    /// The model's table and the meaning of its columns.
    ///
    /// # Errors
    /// [`NameError`] where the model's name breaks the grammar of names; the derive refuses such a name when it compiles.
    fn spec() -> Result<ModelSpec, NameError>;
}

/// A guard as a type: `Admin`, `Customer`. Made by `#[derive(AuthModel)]` beside the model, and by `guard!` for a second guard on it.
pub trait GuardType: 'static {
    /// The guard's name.
    const NAME: &'static str;
    /// The model whose accounts come in by it.
    type Model: AuthModel;
}
