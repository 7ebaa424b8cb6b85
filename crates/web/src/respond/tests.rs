use actix_web::{body::MessageBody, http::header::HeaderMap};
use bekci_core::{BadPath, GuardName, TokenFault};
use time::macros::datetime;

use super::*;

fn told(refusal: &Refusal, voice: &Voice) -> (u16, Option<String>, Value) {
    let answer = refusal.render(voice);
    let challenge = answer
        .headers()
        .get("www-authenticate")
        .map(|value| value.to_str().unwrap().to_owned());
    let status = answer.status().as_u16();
    let body = answer.into_body().try_into_bytes().unwrap();
    (status, challenge, serde_json::from_slice(&body).unwrap())
}

fn plain() -> Voice {
    Voice::read(&HeaderMap::new())
}

#[test]
fn every_auth_error_has_its_status_code_and_challenge() {
    let bare = Some("Bearer realm=\"bekci\"");
    let request = Some("Bearer realm=\"bekci\", error=\"invalid_request\"");
    let token = Some("Bearer realm=\"bekci\", error=\"invalid_token\"");
    let scope = Some("Bearer realm=\"bekci\", error=\"insufficient_scope\"");
    let blocked = AuthError::TokenBlocked {
        reason: "stolen".into(),
        until: None,
    };
    let banned = AuthError::AccountBanned {
        reason: None,
        until: None,
    };
    let guard = GuardName::new("admin").ok();
    let cases = [
        (AuthError::AmbiguousCredentials, 400, "AMBIGUOUS_CREDENTIALS", request),
        (AuthError::BadPath(BadPath("x")), 400, "BAD_PATH", None),
        (AuthError::TokenMissing, 401, "TOKEN_MISSING", bare),
        (
            AuthError::TokenInvalid(TokenFault::Signature),
            401,
            "TOKEN_INVALID",
            token,
        ),
        (
            AuthError::TokenInvalid(TokenFault::Expired),
            401,
            "TOKEN_EXPIRED",
            token,
        ),
        (AuthError::GuardMismatch(guard), 401, "GUARD_MISMATCH", bare),
        (AuthError::SessionEnded, 401, "TOKEN_INVALID", token),
        (AuthError::GenerationRetired, 401, "TOKEN_INVALID", token),
        (blocked, 401, "TOKEN_BLOCKED", token),
        (AuthError::IdentityNotFound, 401, "IDENTITY_NOT_FOUND", token),
        (banned, 403, "ACCOUNT_BANNED", None),
        (AuthError::Unverified, 403, "UNVERIFIED", None),
        (AuthError::MissingRight("role x".into()), 403, "FORBIDDEN", scope),
        (AuthError::NotInTenant("acme".into()), 403, "FORBIDDEN", scope),
        (AuthError::NotFresh(300), 403, "FORBIDDEN", scope),
        (AuthError::GuestsOnly, 403, "FORBIDDEN", None),
        (AuthError::PolicyDenied("rule 3".into()), 403, "POLICY_DENIED", scope),
        (AuthError::CsrfRejected, 403, "CSRF_REJECTED", None),
        (
            AuthError::StoreUnavailable("pool".into()),
            503,
            "STORE_UNAVAILABLE",
            None,
        ),
    ];
    for (error, status, code, challenge) in cases {
        let name = format!("{error:?}");
        let (was, carried, body) = told(&Refusal::from(error), &plain());
        assert_eq!((was, carried.as_deref()), (status, challenge), "{name}");
        assert_eq!(body["error"]["code"], code, "{name}");
        assert_eq!(body["success"], false, "{name}");
    }
}

#[test]
fn every_code_has_an_answer_that_caches_do_not_keep() {
    for code in ErrorCode::ALL {
        let answer = Refusal::new(*code, "for the log").render(&plain());
        assert_eq!(answer.status().as_u16(), code.status());
        assert_eq!(answer.headers().get("cache-control").unwrap(), "no-store");
        assert_eq!(answer.headers().get("x-content-type-options").unwrap(), "nosniff");
        assert_eq!(answer.headers().get("referrer-policy").unwrap(), "no-referrer");
        let policy = answer.headers().get("content-security-policy").unwrap();
        assert!(
            policy.to_str().unwrap().contains("frame-ancestors 'none'"),
            "{policy:?}"
        );
        assert_eq!(answer.headers().contains_key("www-authenticate"), code.status() == 401);
        assert!(answer.headers().contains_key("x-request-id"));
        let body = answer.into_body().try_into_bytes().unwrap();
        assert!(!String::from_utf8_lossy(&body).contains("for the log"), "{code:?}");
    }
}

#[test]
fn a_ban_tells_its_reason_and_end_and_a_missing_right_its_name() {
    let banned = AuthError::AccountBanned {
        reason: Some("spam".into()),
        until: Some(datetime!(2030-01-02 03:04:05 +01:00)),
    };
    let (_, _, body) = told(&banned.into(), &plain());
    assert_eq!(
        body["error"]["details"],
        json!({"reason": "spam", "until": "2030-01-02T02:04:05Z"})
    );
    let (_, _, body) = told(
        &AuthError::MissingRight("permission posts.delete".into()).into(),
        &plain(),
    );
    assert_eq!(body["error"]["details"]["missing"], "permission posts.delete");
}

#[test]
fn a_sign_out_whose_commit_is_not_known_says_so() {
    let (status, _, body) = told(&SignInError::CommitUnknown("lost".into()).into(), &plain());
    assert_eq!(status, 503);
    assert_eq!(body["error"]["details"], json!({"outcome": "unknown"}));
}

#[test]
fn what_the_store_said_stays_in_the_log() {
    let refusal = Refusal::from(AuthError::StoreUnavailable("postgres://u:p@db refused".into()));
    let (_, _, body) = told(&refusal, &plain());
    assert!(!body.to_string().contains("postgres"));
    assert!(refusal.reason().contains("postgres"));
}

#[test]
fn a_problem_has_the_members_of_rfc_9457() {
    let voice = Voice {
        problem: true,
        language: Language::Turkish,
        messages: Messages::default(),
        ..plain()
    };
    let answer = Refusal::from(AuthError::NotFresh(300)).render(&voice);
    assert_eq!(
        answer.headers().get("content-type").unwrap(),
        "application/problem+json"
    );
    let body: Value = serde_json::from_slice(&answer.into_body().try_into_bytes().unwrap()).unwrap();
    let expected = json!({
        "type": "about:blank",
        "title": "Forbidden",
        "status": 403,
        "detail": "Bunu yapma yetkiniz yok.",
        "code": "FORBIDDEN",
        "requestId": voice.request_id.as_str(),
        "details": {"freshWithinSeconds": 300},
    });
    assert_eq!(body, expected);
}

#[test]
fn a_wait_is_told_in_whole_seconds_rounded_up() {
    let wait = |millis| {
        let refusal = Refusal::new(ErrorCode::RateLimited, "").retry_after(Duration::from_millis(millis));
        let answer = refusal.render(&plain());
        answer
            .headers()
            .get("retry-after")
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(
        (wait(0), wait(1), wait(1000), wait(1001)),
        ("1".into(), "1".into(), "1".into(), "2".into())
    );
}

#[test]
fn every_sign_in_error_has_its_status_code_and_challenge() {
    let bare = Some("Bearer realm=\"bekci\"");
    let request = Some("Bearer realm=\"bekci\", error=\"invalid_request\"");
    let field = SignInError::Field {
        field: "identifier",
        rule: "must not be empty",
    };
    let banned = SignInError::Banned {
        reason: None,
        until: None,
    };
    let cases = [
        (field, 422, "VALIDATION_FAILED", None),
        (SignInError::CredentialInvalid, 401, "CREDENTIAL_INVALID", bare),
        (
            SignInError::IdentityAmbiguous { proven: false },
            401,
            "CREDENTIAL_INVALID",
            bare,
        ),
        (
            SignInError::IdentityAmbiguous { proven: true },
            401,
            "IDENTITY_AMBIGUOUS",
            bare,
        ),
        (banned, 403, "ACCOUNT_BANNED", None),
        (SignInError::RefreshInvalid, 401, "REFRESH_TOKEN_INVALID", bare),
        (SignInError::RefreshExpired, 401, "REFRESH_TOKEN_EXPIRED", bare),
        (SignInError::RefreshReused, 401, "REFRESH_TOKEN_REUSED", bare),
        (SignInError::AmbiguousCredentials, 400, "AMBIGUOUS_CREDENTIALS", request),
        (SignInError::TokenMissing, 401, "TOKEN_MISSING", bare),
        (SignInError::GuardMismatch, 401, "GUARD_MISMATCH", bare),
        (SignInError::NotFound, 404, "NOT_FOUND", None),
        (SignInError::Busy, 429, "RATE_LIMITED", None),
        (
            SignInError::StoreUnavailable("pool".into()),
            503,
            "STORE_UNAVAILABLE",
            None,
        ),
        (SignInError::Pending { position: 3 }, 503, "STORE_UNAVAILABLE", None),
        (
            SignInError::CommitUnknown("lost".into()),
            503,
            "STORE_UNAVAILABLE",
            None,
        ),
        (SignInError::Internal("key".into()), 500, "INTERNAL", None),
    ];
    for (error, status, code, challenge) in cases {
        let (name, waits) = (format!("{error:?}"), error.retry_after_seconds().is_some());
        let refusal = Refusal::from(error);
        let (was, carried, body) = told(&refusal, &plain());
        assert_eq!((was, carried.as_deref()), (status, challenge), "{name}");
        assert_eq!(body["error"]["code"], code, "{name}");
        assert_eq!(
            refusal.render(&plain()).headers().contains_key("retry-after"),
            waits,
            "{name}"
        );
    }
}
