//! The shape of these calls' answers.

use actix_web::{
    HttpRequest, HttpResponse, HttpResponseBuilder,
    http::{StatusCode, header::HeaderValue},
    web::Data,
};
use bekci_core::{AnswerShape, ErrorCode};
use serde_json::{Value, json};

use super::Mounted;
use crate::respond::{OWN_ANSWERS, REQUEST_ID, Refusal, Voice};

/// An answer with these data, to which cookies can still be added.
pub(crate) struct Success {
    pub(super) answer: HttpResponseBuilder,
    data: Value,
}

impl Success {
    pub(crate) fn new(status: StatusCode, data: Value) -> Self {
        let mut answer = HttpResponse::build(status);
        for (name, value) in OWN_ANSWERS {
            answer.insert_header((name, HeaderValue::from_static(value)));
        }
        Self { answer, data }
    }

    pub(crate) fn ok(data: Value) -> Self {
        Self::new(StatusCode::OK, data)
    }

    /// Committed, and not yet confirmed on every node.
    pub(crate) fn pending(position: i64) -> Self {
        Self::new(
            StatusCode::ACCEPTED,
            json!({"effective": "pending", "position": position}),
        )
    }
}

/// The answer to a request, told as the request wants it.
pub(crate) fn told(request: &HttpRequest, result: Result<Success, Refusal>) -> HttpResponse {
    let voice = Voice::of(request);
    match result {
        Ok(mut success) => {
            success.answer.insert_header((REQUEST_ID, voice.request_id.header()));
            let data = match shape_of(request) {
                AnswerShape::Envelope => json!({"success": true, "data": success.data}),
                AnswerShape::Flat => success.data,
            };
            success.answer.json(data)
        }
        Err(refusal) => refusal.render(&voice),
    }
}

/// The shape of the guard's answers whose call this is; what belongs to no guard is in an envelope.
fn shape_of(request: &HttpRequest) -> AnswerShape {
    let mounted = request.app_data::<Data<Mounted>>();
    mounted.map_or_else(AnswerShape::default, |mounted| mounted.guard.answer_shape)
}

/// The same refusal for whatever is asked.
pub(crate) async fn refused(request: HttpRequest, code: ErrorCode) -> HttpResponse {
    told(&request, Err(Refusal::new(code, "nothing is mounted here")))
}
