//! `GET /stats`: what this node has counted.

use super::{
    Right,
    call::{Answer, Call},
};
use crate::auth::answer::Success;

pub(super) async fn show(call: Call) -> Answer {
    let caller = call.bare(Right::StatsRead).await?;
    Ok(Success::ok(caller.mounted.bekci.stats().to_json()))
}
