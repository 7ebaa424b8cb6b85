//! Rights as code names them: constants that `permissions!` makes, or names read at run time.

use std::borrow::Cow;

use bekci_core::{NameError, Permission, RoleName, TenantName};

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

impl AsPermission for String {
    fn as_permission(&self) -> Result<Cow<'_, Permission>, NameError> {
        self.as_str().as_permission()
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

impl AsRole for String {
    fn as_role(&self) -> Result<Cow<'_, RoleName>, NameError> {
        self.as_str().as_role()
    }
}

impl<R: AsRole + ?Sized> AsRole for &R {
    fn as_role(&self) -> Result<Cow<'_, RoleName>, NameError> {
        (**self).as_role()
    }
}

/// Whatever names a tenant: a [`TenantName`] or a text that may turn out to be none.
pub trait AsTenant {
    /// The tenant.
    ///
    /// # Errors
    /// [`NameError`] where the text breaks the grammar of tenants.
    fn as_tenant(&self) -> Result<Cow<'_, TenantName>, NameError>;
}

impl AsTenant for TenantName {
    fn as_tenant(&self) -> Result<Cow<'_, TenantName>, NameError> {
        Ok(Cow::Borrowed(self))
    }
}

impl AsTenant for str {
    fn as_tenant(&self) -> Result<Cow<'_, TenantName>, NameError> {
        TenantName::new(self).map(Cow::Owned)
    }
}

impl AsTenant for String {
    fn as_tenant(&self) -> Result<Cow<'_, TenantName>, NameError> {
        self.as_str().as_tenant()
    }
}

impl<T: AsTenant + ?Sized> AsTenant for &T {
    fn as_tenant(&self) -> Result<Cow<'_, TenantName>, NameError> {
        (**self).as_tenant()
    }
}

macro_rules! several {
    ($(#[$doc:meta])* $several:ident, $one:ident, $name:ident, $get:ident) => {
        $(#[$doc])*
        pub trait $several {
            /// The names.
            ///
            /// # Errors
            /// [`NameError`] for the first text that breaks the grammar.
            fn names(self) -> Result<Vec<$name>, NameError>;
        }

        impl<T: $one> $several for T {
            fn names(self) -> Result<Vec<$name>, NameError> {
                Ok(vec![self.$get()?.into_owned()])
            }
        }

        impl<T: $one, const N: usize> $several for [T; N] {
            fn names(self) -> Result<Vec<$name>, NameError> {
                self.as_slice().names()
            }
        }

        impl<T: $one> $several for Vec<T> {
            fn names(self) -> Result<Vec<$name>, NameError> {
                self.as_slice().names()
            }
        }

        impl<T: $one> $several for &[T] {
            fn names(self) -> Result<Vec<$name>, NameError> {
                self.iter().map(|name| name.$get().map(Cow::into_owned)).collect()
            }
        }

        impl<T: $one> $several for &Vec<T> {
            fn names(self) -> Result<Vec<$name>, NameError> {
                self.as_slice().names()
            }
        }

        impl<T: $one, const N: usize> $several for &[T; N] {
            fn names(self) -> Result<Vec<$name>, NameError> {
                self.as_slice().names()
            }
        }
    };
}

several!(
    /// A role, or a list of roles: `"support"`, `["support", "editor"]`, a `Vec<RoleName>`.
    Roles, AsRole, RoleName, as_role
);
several!(
    /// A permission, or a list of permissions: `posts::delete`, `"orders.view"`, `["orders.view", "orders.place"]`.
    Permissions, AsPermission, Permission, as_permission
);

#[cfg(test)]
mod tests {
    use super::*;

    fn roles(roles: impl Roles) -> Result<Vec<String>, String> {
        let names = roles.names().map_err(|error| error.to_string())?;
        Ok(names.into_iter().map(String::from).collect())
    }

    #[test]
    fn one_name_and_a_list_of_names_are_taken_as_texts_and_as_types() {
        let typed = RoleName::new("support").unwrap();
        let (text, list) = ("support".to_owned(), vec![typed.clone()]);
        for given in [
            roles("support"),
            roles("support".to_owned()),
            roles(&text),
            roles(&typed),
            roles([&typed]),
            roles(vec![typed.clone()]),
            roles(&list[..]),
            roles(&list),
            roles(typed),
        ] {
            assert_eq!(given, Ok(vec!["support".to_owned()]));
        }
        assert_eq!(roles(["a", "b"]).unwrap(), ["a", "b"]);
        assert_eq!(roles([""; 0]).unwrap(), [""; 0]);
        let delete = PermissionName::from_macro("posts.delete");
        assert_eq!([delete, delete].names().unwrap().len(), 2);
    }

    #[test]
    fn a_bad_name_is_named_with_its_rule() {
        assert_eq!(
            roles(["editor", "Support"]).unwrap_err(),
            "role \"Support\" is not valid: a lower-case letter, then up to 63 of a-z, 0-9, `_`, `-`"
        );
        let bad = Permissions::names("orders.*.view").unwrap_err().to_string();
        assert!(bad.starts_with("permission \"orders.*.view\" is not valid: "), "{bad}");
        let bad = "Acme".as_tenant().unwrap_err().to_string();
        assert!(bad.starts_with("tenant \"Acme\" is not valid: "), "{bad}");
    }
}
