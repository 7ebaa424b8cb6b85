//! The two middlewares: [`Front`] before the whole application, [`Require`] before what is guarded.

mod front;
mod require;

pub use front::Front;
pub use require::{Require, RequireService};
