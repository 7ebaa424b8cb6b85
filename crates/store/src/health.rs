//! How the servers behind a store are, for those who look for what is wrong.

use std::time::Duration;

use sea_orm::{ConnectionTrait, DbErr};
use time::OffsetDateTime;

use crate::{
    Store,
    sql::{from_micros, now_micros, statement},
};

impl Store {
    /// What time it is by the database's own clock. On SQLite that is this machine's.
    ///
    /// # Errors
    /// The database's.
    pub async fn database_time(&self) -> Result<OffsetDateTime, DbErr> {
        let backend = self.node.backend();
        let sql = format!("SELECT {} AS now", now_micros(backend));
        let row = self.node.db().query_one_raw(statement(backend, sql, [])).await?;
        let row = row.ok_or_else(|| DbErr::Custom("bekci: the database does not tell its time".to_owned()))?;
        Ok(from_micros(row.try_get("", "now")?))
    }

    /// How long the shared cache takes to answer; `None`: there is none.
    ///
    /// # Errors
    /// Why it does not answer, for people.
    pub async fn shared_cache_answers(&self) -> Option<Result<Duration, String>> {
        let shared = self.node.shared()?;
        let began = self.node.uptime();
        let answer = shared.ping().await;
        Some(answer.map(|()| self.node.uptime().saturating_sub(began)))
    }
}
