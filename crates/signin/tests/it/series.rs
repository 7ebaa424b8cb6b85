//! Remember-me series of the store in memory, and what signing in makes of them.

use async_trait::async_trait;
use bekci_core::{
    AuthGuard, PrincipalKey, SessionId,
    remember::{
        Forget, NewSeries, RecallOrder, Recalled, RememberStore, SeriesState, SeriesToken, SeriesVerdict, judge_series,
    },
    security::{Exchanged, SecurityCookie, SecurityStore},
    signin::{EndSessions, NewSession, Opened, SignInStore as _, StoreError},
};
use bekci_signin::{PasswordAttempt, RecallAttempt, SignInError, SignedIn, SignedInBy};
use secrecy::ExposeSecret as _;
use time::{Duration, OffsetDateTime};

use crate::{
    model::Store,
    world::{CLIENT, EMAIL, PASSWORD, World, attempt},
};

/// A series, and the sign-in that it repeats.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    state: SeriesState,
    session: NewSession,
}

impl Series {
    pub(crate) fn new(begun: NewSeries, session: &NewSession) -> Self {
        Self {
            state: SeriesState {
                generation: 0,
                rotated_at: session.now,
                expires_at: begun.expires_at,
            },
            session: session.clone(),
        }
    }
}

#[async_trait]
impl RememberStore for Store {
    async fn recall(&self, order: &RecallOrder) -> Result<Recalled, StoreError> {
        let found = self.asked("recall")?.series.get(&order.series).cloned();
        let lives = |session: &SessionId| self.live().contains(session);
        let Some(series) = found.filter(|series| series.session.guard.name == order.guard.name) else {
            return Ok(Recalled::Invalid);
        };
        if !lives(&series.session.id) {
            return Ok(Recalled::Invalid);
        }
        let key = series.session.key.clone();
        match judge_series(&series.state, order.generation, order.now) {
            SeriesVerdict::Invalid => Ok(Recalled::Invalid),
            SeriesVerdict::Expired => Ok(Recalled::Expired),
            SeriesVerdict::Stolen => {
                let session = series.session.id;
                self.tables().end(|id, _| *id == session, order.now);
                Ok(Recalled::Stolen(key, session))
            }
            SeriesVerdict::Replay => Ok(Recalled::Again {
                session: series.session.id,
                generation: self.generation(series.session.id),
                facts: bekci_core::signin::SessionFacts {
                    series: Some(SeriesToken {
                        series: order.series,
                        generation: series.state.generation,
                        expires_at: series.state.expires_at,
                    }),
                    ..self.tables().facts(series.session.id)
                },
            }),
            SeriesVerdict::Rotate { next } => {
                let session = NewSession {
                    id: order.session,
                    replaces: Some(series.session.id),
                    remembered: true,
                    way: "remembered".into(),
                    verified_hash: None,
                    series: None,
                    now: order.now,
                    ..series.session.clone()
                };
                let mut opened = self.open_session(&session).await?;
                if let Opened::Open { series: token, .. } = &mut opened {
                    let state = SeriesState {
                        generation: next,
                        rotated_at: order.now,
                        ..series.state
                    };
                    *token = Some(SeriesToken {
                        series: order.series,
                        generation: next,
                        expires_at: state.expires_at,
                    });
                    self.tables().series.insert(order.series, Series { state, session });
                }
                Ok(Recalled::Opened(key, opened))
            }
        }
    }

    async fn forget(&self, guard: &AuthGuard, which: &Forget) -> Result<u64, StoreError> {
        let mut tables = self.asked("forget")?;
        let before = tables.series.len();
        tables.series.retain(|id, series| {
            let chosen = match which {
                Forget::Series(one) => id == one,
                Forget::OfSession(session) => series.session.id == *session,
                Forget::All(key) => series.session.key == *key,
            };
            !(chosen && series.session.guard.name == guard.name)
        });
        Ok((before - tables.series.len()) as u64)
    }

    async fn end_but_remember(
        &self,
        guard: &AuthGuard,
        key: &PrincipalKey,
        session: SessionId,
        now: OffsetDateTime,
    ) -> Result<Vec<SessionId>, StoreError> {
        let is_remembered = self
            .asked("end_but_remember")?
            .series
            .values()
            .any(|series| series.session.id == session);
        if !is_remembered {
            return self
                .end_sessions(key, Some(guard), &EndSessions::One(session), now)
                .await;
        }
        self.tables().sessions.get_mut(&session).unwrap().state.expires_at = Some(now);
        Ok(vec![session])
    }
}

#[async_trait]
impl SecurityStore for Store {
    async fn exchange(&self, held: &SecurityCookie, now: OffsetDateTime) -> Result<Exchanged, StoreError> {
        let mut tables = self.asked("exchange")?;
        let row = tables.security.entry(held.session).or_insert((0, now));
        if row.0 == held.generation {
            *row = (held.generation + 1, now);
        } else if row.0 != held.generation + 1 {
            return Ok(Exchanged::Mismatch);
        }
        Ok(Exchanged::For(SecurityCookie {
            session: held.session,
            generation: row.0,
            issued_at: row.1.unix_timestamp(),
        }))
    }

    async fn is_current(&self, held: &SecurityCookie, _: OffsetDateTime) -> Result<bool, StoreError> {
        let tables = self.asked("is_current")?;
        let current = tables.security.get(&held.session).map_or(0, |row| row.0);
        Ok(held.generation == current || held.generation + 1 == current)
    }
}

async fn remembered(world: &World) -> SignedIn {
    let attempt = PasswordAttempt {
        remember: true,
        ..attempt(EMAIL, PASSWORD)
    };
    let granted = world.sign_in.password(&world.customer, attempt).await.unwrap();
    granted.full().unwrap()
}

async fn recall(world: &World, before: &SignedIn) -> Result<SignedIn, SignInError> {
    let remember = before.remember.as_ref().unwrap();
    let attempt = RecallAttempt {
        token: remember.token.expose_secret(),
        client: Some(CLIENT),
    };
    world.sign_in.recall(&world.customer, attempt).await
}

#[tokio::test]
async fn a_token_opens_a_session_and_is_followed_by_the_next() {
    let world = World::new().await;
    assert!(world.signed_in().await.remember.is_none(), "nobody asked for it");
    let first = remembered(&world).await;
    let ends = first.remember.as_ref().unwrap().expires_at;
    assert_eq!(ends - world.clock_now(), Duration::days(180));
    world.advance(Duration::days(60));
    let second = recall(&world, &first).await.unwrap();
    assert_eq!(second.outcome, SignedInBy::Remembered);
    assert_ne!(second.session, first.session);
    // No use moves the end.
    assert_eq!(second.remember.as_ref().unwrap().expires_at, ends);
    let again = recall(&world, &first).await.unwrap();
    assert_eq!(again.session, second.session);
    let token = |signed_in: &SignedIn| signed_in.remember.as_ref().unwrap().token.expose_secret().to_owned();
    assert_eq!(token(&again), token(&second));
    world.advance(Duration::days(120));
    assert_eq!(recall(&world, &second).await.unwrap_err(), SignInError::RememberInvalid);
}

#[tokio::test]
async fn a_copy_ends_the_session_and_a_ban_is_told() {
    let world = World::new().await;
    let first = remembered(&world).await;
    let second = recall(&world, &first).await.unwrap();
    world.ban("customer:42", "abuse");
    assert!(matches!(recall(&world, &second).await, Err(SignInError::Banned { .. })));
    world.advance(Duration::seconds(11));
    assert_eq!(recall(&world, &first).await.unwrap_err(), SignInError::RememberStolen);
    assert_eq!(world.store.live(), []);
    assert_eq!(recall(&world, &second).await.unwrap_err(), SignInError::RememberInvalid);
}

#[tokio::test]
async fn what_is_not_ours_touches_no_store() {
    let world = World::new().await;
    let first = remembered(&world).await;
    let refresh = first.refresh.expose_secret().replacen("bkr_", "bkm_", 1);
    let before = world.store.all_calls();
    for token in ["", "bkm_", &refresh] {
        let attempt = RecallAttempt { token, client: None };
        let refused = world.sign_in.recall(&world.customer, attempt).await;
        assert_eq!(refused.unwrap_err(), SignInError::RememberInvalid);
    }
    let token = first.remember.as_ref().unwrap().token.expose_secret().to_owned();
    let attempt = RecallAttempt {
        token: &token,
        client: None,
    };
    let at_another = world.sign_in.recall(&world.admin, attempt).await;
    assert_eq!(at_another.unwrap_err(), SignInError::RememberInvalid);
    assert_eq!(world.store.all_calls(), before);
}
