//! Accounts in code: added as rows of their entity, with password and roles, in one transaction.

use std::{fmt, future::IntoFuture};

use bekci_core::{BoxFuture, ErrorCode, NameError, RoleName, TenantName};
use bekci_store::{
    Committed, NewRow, Scope,
    sea_orm::{ActiveModelBehavior, ActiveModelTrait, EntityTrait, IntoActiveModel},
};
use secrecy::SecretString;

use super::rights::{RightsError, guard_of};
use crate::{
    AsPrincipal, AsRole, AsTenant, AuthModel, Bekci, GuardType,
    admin::{Fields, hashed, must_be_audited, must_have_identifier, refusal, texts},
    respond::Refusal,
};

type Row<A> = <<A as ActiveModelTrait>::Entity as EntityTrait>::Model;

/// Makes accounts; from [`Bekci::accounts`].
#[derive(Clone, Debug)]
pub struct Accounts {
    bekci: Bekci,
}

/// An account that was made.
#[derive(Clone, Debug)]
pub struct Created<M> {
    /// Its row, as the database has it.
    pub row: M,
    /// Its key.
    pub key: bekci_core::PrincipalKey,
    /// The commit.
    pub committed: Committed,
}

/// An account that is to be made; `.await` makes it. From [`Accounts::create`].
#[must_use = "nothing is made before .await"]
pub struct Create<A> {
    bekci: Bekci,
    row: A,
    password: Option<SecretString>,
    guard: Option<&'static str>,
    roles: Vec<Result<(Option<TenantName>, RoleName), NameError>>,
}

impl<A> fmt::Debug for Create<A> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The row may hold what is not to be printed.
        formatter
            .debug_struct("Create")
            .field("roles", &self.roles)
            .finish_non_exhaustive()
    }
}

impl Accounts {
    pub(crate) fn new(bekci: Bekci) -> Self {
        Self { bekci }
    }

    /// Makes an account of this row. Password and roles are set beside it, and all of it is one transaction.
    ///
    /// - The entity's hooks run, and every node knows the account when the call returns.
    /// - What the management API refuses is refused: a weak password, an identifier that another account can sign in with, an attribute with control characters.
    /// - The column of the password holds a hash: give the password to [`password`](Create::password), and leave the column unset.
    ///
    /// ```no_run
    /// # mod customer {
    /// #     use bekci::AuthModel;
    /// #     use sea_orm::entity::prelude::*;
    /// #     #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, AuthModel)]
    /// #     #[auth(guard = "customer", identifier = "email", password = "password_hash", cached("email"))]
    /// #     #[sea_orm(table_name = "customers")]
    /// #     pub struct Model {
    /// #         #[sea_orm(primary_key)]
    /// #         pub id: i64,
    /// #         pub email: String,
    /// #         pub password_hash: Option<String>,
    /// #     }
    /// #     #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    /// #     pub enum Relation {}
    /// # }
    /// # use sea_orm::Set;
    /// # async fn example(bekci: bekci::Bekci) -> Result<(), bekci::Refusal> {
    /// let ann = customer::ActiveModel { email: Set("ann@example.com".to_owned()), ..Default::default() };
    /// let ann = bekci.accounts().create(ann).password("nine wet lamps hum softly").role("buyer").await?;
    /// println!("made {}", ann.key);
    /// # Ok(())
    /// # }
    /// ```
    pub fn create<A: ActiveModelTrait>(&self, row: A) -> Create<A> {
        Create {
            bekci: self.bekci.clone(),
            row,
            password: None,
            guard: None,
            roles: Vec::new(),
        }
    }
}

impl<A> Create<A> {
    /// With a password.
    pub fn password(mut self, password: impl Into<SecretString>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// With a role that counts everywhere.
    pub fn role(mut self, role: impl AsRole) -> Self {
        self.roles.push(role.as_role().map(|role| (None, role.into_owned())));
        self
    }

    /// With a role that counts in one tenant.
    pub fn role_in(mut self, tenant: impl AsTenant, role: impl AsRole) -> Self {
        let tenant = tenant.as_tenant();
        let both = tenant.and_then(|tenant| Ok((Some(tenant.into_owned()), role.as_role()?.into_owned())));
        self.roles.push(both);
        self
    }

    /// The roles are of guard `G`. Required where several guards are for the model.
    pub fn through<G: GuardType>(mut self) -> Self {
        self.guard = Some(G::NAME);
        self
    }
}

impl<A> Create<A>
where
    A: ActiveModelTrait + ActiveModelBehavior + Send,
    Row<A>: IntoActiveModel<A> + AuthModel + AsPrincipal,
{
    async fn make(self) -> Result<Created<Row<A>>, Refusal> {
        let Self {
            bekci,
            row,
            password,
            guard,
            roles,
        } = self;
        let name = Row::<A>::spec().map_err(RightsError::from)?.name;
        let spec = bekci.watch().model(&name);
        let unknown = || Refusal::misconfigured(format!("no guard for model {name} is registered with the builder"));
        let spec = spec.ok_or_else(unknown)?;
        must_be_audited(&bekci, "application")?;
        let mut new = NewRow {
            row,
            password_hash: None,
            roles: Vec::new(),
        };
        let wanted = Fields::of_row(new.columns(spec)).read(spec)?;
        must_have_identifier(spec, &wanted)?;
        for role in roles {
            let (tenant, role) = role.map_err(RightsError::from)?;
            let guard = guard_of(&bekci, guard, Some(name.as_str()))?;
            new.roles.push((Scope { guard, tenant }, role));
        }
        if let Some(password) = password {
            if spec.password_column.is_none() {
                let why = format!("model {name} has no password column");
                return Err(Refusal::new(ErrorCode::ValidationFailed, why));
            }
            let about = texts(wanted.columns.iter().map(|(_, value)| value));
            let about: Vec<&str> = about.iter().map(String::as_str).collect();
            new.password_hash = Some(hashed(&bekci, &name, password, &about).await?);
        }
        let key_of = |row: &Row<A>| row.principal_key().map_err(|fault| fault.to_string());
        let added = bekci.store().directory().add_row(&name, new, key_of).await;
        let (row, key, committed) = added.map_err(refusal)?;
        Ok(Created { row, key, committed })
    }
}

impl<A> IntoFuture for Create<A>
where
    A: ActiveModelTrait + ActiveModelBehavior + Send + 'static,
    Row<A>: IntoActiveModel<A> + AuthModel + AsPrincipal + Send,
{
    type Output = Result<Created<Row<A>>, Refusal>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.make())
    }
}
