//! Changes that were answered 202: whether they hold on every node by now.

use bekci_store::DirectoryError;
use serde_json::json;

use super::call::{Answer, Call, not_found, refusal};
use crate::auth::answer::Success;

pub(super) async fn show(call: Call) -> Answer {
    let caller = call.signed_in().await?;
    let position = caller.whole("position")?;
    let held = caller.mounted.bekci.store().holds(position).await;
    let held = held.map_err(|error| refusal(DirectoryError::Store(error)))?;
    let held = held.ok_or_else(|| not_found("no such position was given"))?;
    let word = if held { "everywhere" } else { "pending" };
    Ok(Success::ok(json!({"effective": word, "position": position})))
}
