//! The two middlewares: [`Front`] before the whole application, [`Require`] before what is guarded.

mod cors;
mod front;
mod require;
mod secure;
mod unread;

pub use cors::{BadCors, Cors, CorsSettings};
pub use front::{AsIs, Front, RequestContext};
pub use require::{Require, RequireService};
pub(crate) use secure::SecureCalls;
