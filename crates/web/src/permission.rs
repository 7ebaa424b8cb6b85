//! Rights as code names them: constants that `permissions!` makes, or names read at run time.

use std::borrow::Cow;

use bekci_core::{NameError, Permission, RoleName};

/// A permission that `permissions!` has checked while compiling: `posts::delete` is `posts.delete`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PermissionName(&'static str);

impl PermissionName {
    /// What `permissions!` writes; the text is checked again where it is used.
    #[doc(hidden)]
    #[must_use]
    pub const fn from_macro(text: &'static str) -> Self {
        Self(text)
    }

    /// The permission as text.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        self.0
    }
}

/// Whatever can be asked for as a permission: `posts::delete`, a [`Permission`], or a text that may turn out to be none.
pub trait AsPermission {
    /// The permission.
    ///
    /// # Errors
    /// [`NameError`] where the text breaks the grammar of permissions.
    fn as_permission(&self) -> Result<Cow<'_, Permission>, NameError>;
}

impl AsPermission for Permission {
    fn as_permission(&self) -> Result<Cow<'_, Permission>, NameError> {
        Ok(Cow::Borrowed(self))
    }
}

impl AsPermission for PermissionName {
    fn as_permission(&self) -> Result<Cow<'_, Permission>, NameError> {
        Permission::new(self.0).map(Cow::Owned)
    }
}

impl AsPermission for str {
    fn as_permission(&self) -> Result<Cow<'_, Permission>, NameError> {
        Permission::new(self).map(Cow::Owned)
    }
}

impl<P: AsPermission + ?Sized> AsPermission for &P {
    fn as_permission(&self) -> Result<Cow<'_, Permission>, NameError> {
        (**self).as_permission()
    }
}

/// Whatever can be asked for as a role: a [`RoleName`] or a text that may turn out to be none.
pub trait AsRole {
    /// The role.
    ///
    /// # Errors
    /// [`NameError`] where the text breaks the grammar of roles.
    fn as_role(&self) -> Result<Cow<'_, RoleName>, NameError>;
}

impl AsRole for RoleName {
    fn as_role(&self) -> Result<Cow<'_, RoleName>, NameError> {
        Ok(Cow::Borrowed(self))
    }
}

impl AsRole for str {
    fn as_role(&self) -> Result<Cow<'_, RoleName>, NameError> {
        RoleName::new(self).map(Cow::Owned)
    }
}

impl<R: AsRole + ?Sized> AsRole for &R {
    fn as_role(&self) -> Result<Cow<'_, RoleName>, NameError> {
        (**self).as_role()
    }
}
