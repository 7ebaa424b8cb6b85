//! The upstream of `bekci demo`: it tells what it received.
//!
//! | path | answer |
//! | --- | --- |
//! | `/…/stream?bytes=N` | N bytes, in pieces |
//! | `/…/slow?ms=N` | as any other, N milliseconds later |
//! | `/…/status/NNN` | as any other, with that status |
//! | any, as a WebSocket | each message back |
//! | any other | 200, `{"method", "path", "query", "headers", "bodyBytes", "count"}` |

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use actix_web::{
    Error, HttpRequest, HttpResponse,
    error::{ErrorBadRequest, PayloadError},
    http::{StatusCode, header},
    web::{self, Bytes},
};
use futures_util::{Stream, StreamExt, stream};
use serde_json::{Value, json};

/// The size of a piece of `/stream`.
const PIECE: usize = 64 * 1024;
/// The largest WebSocket message that is given back.
const MAX_MESSAGE: usize = 1024 * 1024;

/// How many requests were received. One for all workers.
#[derive(Clone, Debug, Default)]
pub struct EchoCount(Arc<AtomicU64>);

impl EchoCount {
    /// The requests so far, WebSockets included.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// Makes an application the echo upstream.
pub fn configure(config: &mut web::ServiceConfig, count: EchoCount) {
    config.app_data(web::Data::new(count)).default_service(web::to(echo));
}

async fn echo(request: HttpRequest, body: web::Payload, count: web::Data<EchoCount>) -> Result<HttpResponse, Error> {
    let count = count.0.fetch_add(1, Ordering::SeqCst) + 1;
    if request.headers().contains_key(header::SEC_WEBSOCKET_KEY) {
        return open_websocket(&request, body);
    }
    let path = request.uri().path();
    if path.ends_with("/stream") {
        let bytes = number(&request, "bytes")?;
        return Ok(HttpResponse::Ok()
            .insert_header(header::ContentType::octet_stream())
            .streaming(pieces(bytes)));
    }
    let told = tell(&request, body, count).await?;
    if path.ends_with("/slow") {
        actix_web::rt::time::sleep(Duration::from_millis(number(&request, "ms")?)).await;
    }
    let asked = path.rsplit_once("/status/").map(|(_, code)| code);
    let status = match asked {
        None => StatusCode::OK,
        Some(code) => {
            let status = code.parse().ok().filter(|code| (200..=599).contains(code));
            let status = status.and_then(|code: u16| StatusCode::from_u16(code).ok());
            status.ok_or_else(|| ErrorBadRequest("a status is a number from 200 to 599\n"))?
        }
    };
    Ok(HttpResponse::build(status).json(told))
}

async fn tell(request: &HttpRequest, mut body: web::Payload, count: u64) -> Result<Value, PayloadError> {
    let mut size = 0;
    while let Some(piece) = body.next().await {
        size += piece?.len();
    }
    let mut headers: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (name, value) in request.headers() {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        headers.entry(name.as_str()).or_default().push(value);
    }
    Ok(json!({
        "method": request.method().as_str(),
        "path": request.uri().path(),
        "query": request.uri().query().unwrap_or_default(),
        "headers": headers,
        "bodyBytes": size,
        "count": count,
    }))
}

fn number(request: &HttpRequest, name: &str) -> Result<u64, Error> {
    let query = request.uri().query().unwrap_or_default();
    let value = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find_map(|(key, value)| (key == name).then_some(value));
    let number = value.and_then(|value| value.parse().ok());
    number.ok_or_else(|| ErrorBadRequest(format!("the query needs {name}=N\n")))
}

fn pieces(bytes: u64) -> impl Stream<Item = Result<Bytes, Error>> + 'static {
    static ZEROS: [u8; PIECE] = [b'0'; PIECE];
    stream::unfold(bytes, |left| async move {
        let size = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
        let piece = Bytes::from_static(ZEROS.get(..size)?);
        (size > 0).then(|| (Ok(piece), left - size as u64))
    })
}

fn open_websocket(request: &HttpRequest, body: web::Payload) -> Result<HttpResponse, Error> {
    let (answer, mut session, messages) = actix_ws::handle(request, body)?;
    let mut messages = messages.max_frame_size(MAX_MESSAGE);
    actix_web::rt::spawn(async move {
        while let Some(Ok(message)) = messages.next().await {
            let sent = match message {
                actix_ws::Message::Text(text) => session.text(text).await,
                actix_ws::Message::Binary(bytes) => session.binary(bytes).await,
                actix_ws::Message::Ping(bytes) => session.pong(&bytes).await,
                actix_ws::Message::Pong(_) | actix_ws::Message::Nop => Ok(()),
                actix_ws::Message::Continuation(_) => break,
                actix_ws::Message::Close(reason) => {
                    let _ = session.close(reason).await;
                    return;
                }
            };
            if sent.is_err() {
                return;
            }
        }
        let _ = session.close(None).await;
    });
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use actix_web::{App, test};

    use super::*;

    async fn asked(uri: &str) -> (u16, Bytes) {
        let app = App::new().configure(|config| configure(config, EchoCount::default()));
        let app = test::init_service(app).await;
        let request = test::TestRequest::post().uri(uri).insert_header(("x-a", "1"));
        let request = request.append_header(("x-a", "2")).set_payload("body");
        let answer = test::call_service(&app, request.to_request()).await;
        let status = answer.status().as_u16();
        (status, test::read_body(answer).await)
    }

    #[actix_web::test]
    async fn a_request_is_told_as_it_was_received() {
        let (status, body) = asked("/a%2Fb?x=%20&y").await;
        let told: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(status, 200);
        assert_eq!(told["method"], "POST");
        assert_eq!(told["path"], "/a%2Fb");
        assert_eq!(told["query"], "x=%20&y");
        assert_eq!(told["headers"]["x-a"], json!(["1", "2"]));
        assert_eq!(told["bodyBytes"], 4);
        assert_eq!(told["count"], 1);
    }

    #[actix_web::test]
    async fn status_stream_and_slow_do_as_their_names_say() {
        assert_eq!(asked("/x/status/418").await.0, 418);
        assert_eq!(asked("/x/status/101").await.0, 400);
        assert_eq!(asked("/x/stream?bytes=100000").await.1.len(), 100_000);
        assert_eq!(asked("/x/stream").await.0, 400);
        assert_eq!(asked("/x/slow?ms=0").await.0, 200);
    }
}
