//! The listener for those who run a gateway: `/healthz`, `/readyz`, `/metrics`. It is never public.

mod metrics;
mod registry;

use std::sync::Arc;

use actix_web::{
    HttpResponse, Resource, Route,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::header,
    middleware::Next,
    web,
};
use bekci::{REQUEST_ID, RequestId};
use bekci_core::BoxFuture;
use serde_json::{Map, Value, json};

pub use metrics::Metrics;
pub use registry::{Counter, Family, Gauge, Histogram, Metric};

/// One thing that should be well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What it is: `database`, `schema`, `lease`, `keys`, `redis`, `policy`, `configuration`.
    pub name: &'static str,
    /// What is wrong with it; `None`: nothing. For those who run the gateway; no secret may stand in it.
    pub problem: Option<String>,
    /// Whether requests can be served all the same, so that no balancer should take the node out.
    pub serves_without: bool,
}

/// Tells whether requests can be served.
pub trait Readiness: Send + Sync + std::fmt::Debug {
    /// Looks at everything, and bounds the time it takes itself.
    fn checks(&self) -> BoxFuture<'_, Vec<Check>>;

    /// How many changes this node has still to apply; `None` where that cannot be told. It bounds its time as well.
    fn unapplied(&self) -> BoxFuture<'_, Option<u64>>;
}

/// Adds the calls to the ops listener's application.
pub fn configure(config: &mut web::ServiceConfig, readiness: Arc<dyn Readiness>, metrics: Arc<Metrics>) {
    config
        .app_data(web::Data::from(readiness))
        .app_data(web::Data::from(metrics))
        .service(call("/healthz", |route| route.to(healthz)))
        .service(call("/readyz", |route| route.to(readyz)))
        .service(call("/metrics", |route| route.to(metrics_text)));
}

/// A call for `GET`, and for `HEAD`, which monitors send.
fn call(path: &str, handler: fn(Route) -> Route) -> Resource {
    web::resource(path)
        .route(handler(web::get()))
        .route(handler(web::head()))
}

/// Gives every answer its `X-Request-Id`, as all of Bekci's have one.
///
/// # Errors
/// Those of what is called.
pub async fn with_request_id<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, actix_web::Error> {
    let id = RequestId::taken_or_made(request.headers());
    let mut answer = next.call(request).await?;
    if let Ok(id) = header::HeaderValue::from_str(id.as_str()) {
        answer.headers_mut().insert(REQUEST_ID, id);
    }
    Ok(answer)
}

async fn healthz() -> HttpResponse {
    HttpResponse::Ok()
        .insert_header(header::ContentType::plaintext())
        .body("ok\n")
}

/// 200 where requests can be served, else 503, and in both cases what is well and what is not.
async fn readyz(readiness: web::Data<dyn Readiness>) -> HttpResponse {
    let checks = readiness.checks().await;
    let is_ready = checks
        .iter()
        .all(|check| check.problem.is_none() || check.serves_without);
    let ailing = checks.iter().filter(|check| check.problem.is_some());
    let degraded: Vec<&str> = ailing.map(|check| check.name).collect();
    let each: Map<String, Value> = checks
        .into_iter()
        .map(|check| {
            (
                check.name.to_owned(),
                check.problem.unwrap_or_else(|| "ok".to_owned()).into(),
            )
        })
        .collect();
    let mut answer = if is_ready {
        HttpResponse::Ok()
    } else {
        HttpResponse::ServiceUnavailable()
    };
    answer.json(json!({"ready": is_ready, "degraded": degraded, "checks": each}))
}

async fn metrics_text(readiness: web::Data<dyn Readiness>, metrics: web::Data<Metrics>) -> HttpResponse {
    let unapplied = readiness.unapplied().await;
    match unapplied.and_then(|count| i64::try_from(count).ok()) {
        Some(count) => metrics.outbox_unapplied.with([]).set(count),
        None => metrics.outbox_unapplied.with([]).unknown(),
    }
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8"))
        .body(metrics.text())
}

#[cfg(test)]
mod tests {
    use actix_web::{
        App,
        http::{Method, StatusCode},
        test,
    };

    use super::*;

    #[derive(Debug)]
    struct Fixed(Vec<Check>);

    impl Readiness for Fixed {
        fn checks(&self) -> BoxFuture<'_, Vec<Check>> {
            Box::pin(async { self.0.clone() })
        }

        fn unapplied(&self) -> BoxFuture<'_, Option<u64>> {
            Box::pin(async { Some(0) })
        }
    }

    fn check(name: &'static str, problem: Option<&str>, serves_without: bool) -> Check {
        Check {
            name,
            problem: problem.map(str::to_owned),
            serves_without,
        }
    }

    async fn asked(path: &str, problem: Option<&str>) -> (StatusCode, String) {
        asked_of(
            vec![check("database", problem, false), check("keys", None, false)],
            path,
        )
        .await
    }

    async fn asked_of(checks: Vec<Check>, path: &str) -> (StatusCode, String) {
        let metrics = Arc::new(Metrics::default());
        metrics.rate_limited.with(["customer", "sign_in"]).add_one();
        let app = App::new().configure(|config| configure(config, Arc::new(Fixed(checks)), metrics));
        let app = test::init_service(app).await;
        let answer = test::call_service(&app, test::TestRequest::get().uri(path).to_request()).await;
        let status = answer.status();
        let body = test::read_body(answer).await;
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[actix_web::test]
    async fn readyz_says_which_part_is_not_well() {
        let (status, body) = asked("/readyz", None).await;
        assert_eq!(
            (status.as_u16(), &*body),
            (
                200,
                r#"{"checks":{"database":"ok","keys":"ok"},"degraded":[],"ready":true}"#
            )
        );
        let (status, body) = asked("/readyz", Some("no connection")).await;
        assert_eq!(
            (status.as_u16(), &*body),
            (
                503,
                r#"{"checks":{"database":"no connection","keys":"ok"},"degraded":["database"],"ready":false}"#
            )
        );
        let (status, body) = asked_of(vec![check("policy", Some("line 2"), true)], "/readyz").await;
        assert_eq!(
            (status.as_u16(), &*body),
            (
                200,
                r#"{"checks":{"policy":"line 2"},"degraded":["policy"],"ready":true}"#
            ),
            "what is served all the same takes no node out"
        );
    }

    #[actix_web::test]
    async fn monitors_may_call_by_head() {
        let app = App::new().configure(|config| configure(config, Arc::new(Fixed(Vec::new())), Arc::default()));
        let app = test::init_service(app).await;
        for path in ["/healthz", "/readyz", "/metrics"] {
            for (method, status) in [(Method::HEAD, 200), (Method::POST, 405)] {
                let request = test::TestRequest::default().method(method.clone()).uri(path);
                let answer = test::call_service(&app, request.to_request()).await;
                assert_eq!(answer.status().as_u16(), status, "{method} {path}");
            }
        }
    }

    #[actix_web::test]
    async fn healthz_is_well_even_where_the_database_is_not() {
        assert_eq!(asked("/healthz", Some("gone")).await.0, StatusCode::OK);
    }

    #[actix_web::test]
    async fn metrics_are_told_in_the_text_format() {
        let (status, body) = asked("/metrics", None).await;
        assert_eq!(status, StatusCode::OK);
        assert!(body.contains("bekci_rate_limited_total{guard=\"customer\",limit=\"sign_in\"} 1\n"));
        assert!(body.contains("bekci_outbox_unapplied 0\n"));
    }
}
