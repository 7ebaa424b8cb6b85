//! For tests of applications that use Bekci; behind the feature `testing`.
//!
//! 1. [`bekci`] builds a whole [`Bekci`](crate::Bekci) over SQLite in a folder of its own.
//! 2. [`Bekci::test_app`](crate::Bekci::test_app) takes the application as it is served, middleware and all.
//! 3. [`TestApp::acting_as`] signs somebody in: a session in the database, a token signed by the guard's key, rights as rows. Requests go through the middleware like
//!    anybody's; there is no header that stands in for any of it.
//! 4. [`TestApp::assert_guard_isolation`] tries every guard's token at every route.
//!
//! What goes wrong in here panics: it is a failed test.

mod answer;
mod app;
mod caller;
mod isolation;
mod routes;
mod whole;

pub(crate) use self::whole::hour_ago;
pub use self::{
    answer::TestAnswer,
    app::TestApp,
    caller::{Call, Caller},
    whole::{TestBekci, bekci},
};
pub use bekci_core::testing::FakeClock;

/// Ends a test.
#[track_caller]
#[expect(clippy::panic, reason = "a test that cannot go on ends here")]
fn fail(why: impl std::fmt::Display) -> ! {
    panic!("{why}")
}

/// The value, or the end of the test.
#[track_caller]
fn done<T, E: std::fmt::Display>(result: Result<T, E>, what: &str) -> T {
    result.unwrap_or_else(|error| fail(format_args!("{what}: {error}")))
}
