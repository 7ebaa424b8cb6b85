//! How the servers behind a store are, for those who look for what is wrong.

use sea_orm::{ConnectionTrait, DbErr};
use time::OffsetDateTime;

use crate::{
    RedisReport, Store,
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

    /// Tries everything that Redis is used for; `None`: there is no Redis.
    pub async fn try_redis(&self) -> Option<RedisReport> {
        let (shared, limiter) = (self.node.shared()?, self.redis_limiter.as_ref()?);
        let began = self.node.uptime();
        let problem = match limiter.try_out().await {
            Ok(()) => shared.try_out().await.err(),
            Err(problem) => Some(problem),
        };
        let hints = match &problem {
            None => shared.try_hints().await.err(),
            Some(_) => None,
        };
        Some(RedisReport {
            took: self.node.uptime().saturating_sub(began),
            problem,
            hints,
        })
    }
}
