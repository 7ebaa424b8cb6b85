//! The hooks of our own entities, alike but for the key that they name.

/// Implements `ActiveModelBehavior`: refuses an unguarded connection before, names the key after. `$key` is asked of the model, or of the values of a deleted one.
macro_rules! watched {
    ($key:expr, $deleted:expr) => {
        #[async_trait::async_trait]
        impl sea_orm::ActiveModelBehavior for ActiveModel {
            async fn before_save<C: sea_orm::ConnectionTrait>(
                self,
                db: &C,
                _insert: bool,
            ) -> Result<Self, sea_orm::DbErr> {
                crate::hooks::check(db)?;
                Ok(self)
            }

            async fn after_save<C: sea_orm::ConnectionTrait>(
                model: Model,
                db: &C,
                _insert: bool,
            ) -> Result<Model, sea_orm::DbErr> {
                let key: fn(&Model) -> Option<crate::keys::ChangeKey> = $key;
                if let Some(key) = key(&model) {
                    crate::hooks::refresh(db, &key).await?;
                }
                Ok(model)
            }

            async fn before_delete<C: sea_orm::ConnectionTrait>(self, db: &C) -> Result<Self, sea_orm::DbErr> {
                crate::hooks::check(db)?;
                Ok(self)
            }

            async fn after_delete<C: sea_orm::ConnectionTrait>(self, db: &C) -> Result<Self, sea_orm::DbErr> {
                let key: fn(&ActiveModel) -> Option<crate::keys::ChangeKey> = $deleted;
                if let Some(key) = key(&self) {
                    crate::hooks::refresh(db, &key).await?;
                }
                Ok(self)
            }
        }
    };
}
pub(super) use watched;

use bekci_core::PrincipalKey;
use sea_orm::ActiveValue;

use crate::keys::ChangeKey;

/// The key of a principal; `None` where the row breaks the grammar: the triggers name it all the same.
pub(super) fn principal(model: &str, id: &str) -> Option<ChangeKey> {
    PrincipalKey::parse(&format!("{model}:{id}"))
        .ok()
        .map(ChangeKey::Principal)
}

/// The same of values that may not be set.
pub(super) fn principal_of(model: &ActiveValue<String>, id: &ActiveValue<String>) -> Option<ChangeKey> {
    principal(model.try_as_ref()?, id.try_as_ref()?)
}
