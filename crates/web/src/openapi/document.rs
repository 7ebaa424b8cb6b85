//! From the tables to an OpenAPI 3.1 document.

use std::collections::{BTreeMap, BTreeSet};

#[cfg(feature = "testing")]
use bekci_core::GuardName;
use bekci_core::{AuthGuard, ErrorCode, ModelSpec};
use serde_json::{Map, Value, json};

use super::{Answers, Asks, Body, Operation, account, schema};

/// The paths that are mounted, by where; the same mount of another worker is the same.
#[derive(Debug, Default)]
pub(crate) struct Described {
    paths: BTreeMap<String, Value>,
    /// Refusals, each set of codes once: most calls share theirs.
    refusals: BTreeMap<String, Value>,
    /// Whether calls of OAuth clients are mounted.
    has_clients: bool,
    /// Bekci's own paths, each with the guard whose call it is.
    #[cfg(feature = "testing")]
    own: BTreeMap<String, Option<GuardName>>,
}

/// Where a table of operations stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing<'a> {
    /// What is before each path.
    pub(crate) prefix: &'a str,
    /// What is before each operation's name, so that no two are alike.
    pub(crate) family: &'a str,
    /// Whose credentials are asked; `None`: nobody's.
    pub(crate) guard: Option<&'a AuthGuard>,
}

/// The security scheme of OAuth clients. No guard's scheme has this name: theirs end with `Bearer` or `Cookie`.
const CLIENT: &str = "client";

impl Described {
    /// Notes what is mounted.
    pub(crate) fn add(&mut self, standing: Standing<'_>, operations: &[Operation]) {
        for operation in operations {
            let path = format!("{}{}", standing.prefix, operation.path);
            #[cfg(feature = "testing")]
            self.own
                .insert(path.clone(), standing.guard.map(|guard| guard.name.clone()));
            let method = operation.method.as_str().to_ascii_lowercase();
            self.add_one(&path, &method, described(&standing, operation));
            self.has_clients |= operation.oauth;
            for (status, codes) in refusals(operation) {
                let name = name_of(status, &codes);
                self.refusals.entry(name).or_insert_with(|| refusal(status, &codes));
            }
        }
    }

    /// Notes another path of a call that is noted.
    pub(crate) fn add_alias(&mut self, standing: Standing<'_>, path: &str, operation: &Operation) {
        #[cfg(feature = "testing")]
        self.own
            .insert(path.to_owned(), standing.guard.map(|guard| guard.name.clone()));
        let mut told = described(&standing, operation);
        if let Some(told) = told.as_object_mut() {
            let slug = path
                .trim_start_matches('/')
                .replace(|c: char| !c.is_ascii_alphanumeric(), "_");
            let id = format!("{}.{}.{slug}", standing.family, operation.id);
            told.insert("operationId".to_owned(), id.into());
            let about = format!("Another path of `{}{}`.", standing.prefix, operation.path);
            told.insert("description".to_owned(), about.into());
        }
        self.add_one(path, &operation.method.as_str().to_ascii_lowercase(), told);
    }

    /// Whose call is mounted at this path: of a guard, of none, or not of Bekci's.
    #[cfg(feature = "testing")]
    pub(crate) fn owner(&self, path: &str) -> Option<Option<&GuardName>> {
        self.own.get(path).map(Option::as_ref)
    }

    /// Notes one operation that is described elsewhere.
    pub(crate) fn add_one(&mut self, path: &str, method: &str, operation: Value) {
        let item = self.paths.entry(path.to_owned()).or_insert_with(|| json!({}));
        if let Some(item) = item.as_object_mut() {
            item.insert(method.to_owned(), operation);
        }
    }

    /// The document of all that was noted, for these guards and models.
    pub(crate) fn document<'a>(
        &self,
        guards: impl Iterator<Item = &'a AuthGuard>,
        models: &BTreeMap<&str, &ModelSpec>,
    ) -> Value {
        let mut schemes = BTreeMap::new();
        let mut names = BTreeSet::new();
        for guard in guards {
            names.insert(guard.name.as_str());
            let about = format!("The access token of a sign-in at {}.", guard.auth_path);
            schemes.insert(
                format!("{}Bearer", guard.name),
                json!({"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": about}),
            );
            schemes.insert(
                format!("{}Cookie", guard.name),
                json!({"type": "apiKey", "in": "cookie", "name": guard.cookies.access, "description": "The same as a cookie; what changes something needs Sec-Fetch-Site: same-origin or X-CSRF-Token beside it."}),
            );
        }
        if self.has_clients {
            let about = "A client of the configuration, by its name and secret.";
            schemes.insert(
                CLIENT.to_owned(),
                json!({"type": "http", "scheme": "basic", "description": about}),
            );
        }
        json!({
            "openapi": "3.1.0",
            "info": {
                "title": "Bekci",
                "version": env!("CARGO_PKG_VERSION"),
                "description": "Signing in and out, and who may do what. Every answer carries X-Request-Id; failures are told as application/problem+json (RFC 9457) where Accept asks for it.",
                "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
            },
            "servers": [{"url": "/"}],
            "paths": self.paths,
            "components": {
                "securitySchemes": schemes,
                "responses": self.refusals,
                "schemas": {
                    "Failure": failure(),
                    "Problem": problem(),
                    "OAuthError": oauth_error(),
                    "Pending": pending(),
                    "Guard": {"type": "string", "enum": names},
                    "Model": {"type": "string", "enum": models.keys().collect::<Vec<_>>()},
                    "Account": account::key(models.keys().copied()),
                    "AccountFields": account::fields(models.values().copied()),
                },
                "headers": {
                    "RequestId": {"description": "What the request is called in the log.", "required": true, "schema": schema::text()},
                    "Challenge": {"description": "RFC 6750: bare where no credential was presented.", "schema": schema::text()},
                    "RetryAfter": {"description": "Seconds after which a try may succeed.", "schema": schema::number(1)},
                },
            },
        })
    }
}

fn failure() -> Value {
    let error = schema::among(
        &["code", "message", "requestId"],
        &[
            ("code", schema::text()),
            ("message", schema::text()),
            ("requestId", schema::text()),
            ("details", schema::open()),
        ],
    );
    schema::exactly(&[("success", json!({"const": false})), ("error", error)])
}

fn problem() -> Value {
    schema::among(
        &["type", "title", "status", "detail", "code", "requestId"],
        &[
            ("type", schema::text()),
            ("title", schema::text()),
            ("status", schema::number(400)),
            ("detail", schema::text()),
            ("code", schema::text()),
            ("requestId", schema::text()),
            ("details", schema::open()),
        ],
    )
}

/// RFC 6749 section 5.2, with the request's id.
fn oauth_error() -> Value {
    let fields = [
        ("error", schema::text()),
        ("error_description", schema::text()),
        ("requestId", schema::text()),
    ];
    schema::exactly(&fields)
}

fn pending() -> Value {
    schema::exactly(&[
        ("effective", json!({"const": "pending"})),
        ("position", schema::number(0)),
    ])
}

/// What goes with the data of an envelope.
fn enveloped(data: Value) -> Value {
    schema::exactly(&[("success", json!({"const": true})), ("data", data)])
}

fn described(standing: &Standing<'_>, operation: &Operation) -> Value {
    let mut told = Map::new();
    told.insert(
        "operationId".into(),
        format!("{}.{}", standing.family, operation.id).into(),
    );
    told.insert("summary".into(), operation.summary.into());
    told.insert("tags".into(), json!([standing.family]));
    if let Asks::Permission(permission) = operation.asks {
        told.insert(
            "description".into(),
            format!("Asks the permission `{permission}`.").into(),
        );
    }
    told.insert("security".into(), security(standing, operation));
    let parameters = parameters(operation);
    if !parameters.is_empty() {
        told.insert("parameters".into(), parameters.into());
    }
    let body = match operation.body {
        Body::None => None,
        Body::Optional(schema) => Some((false, "application/json", schema)),
        Body::Required(schema) => Some((true, "application/json", schema)),
        Body::Form(schema) => Some((true, "application/x-www-form-urlencoded", schema)),
    };
    if let Some((required, kind, schema)) = body {
        told.insert(
            "requestBody".into(),
            json!({"required": required, "content": {kind: {"schema": schema()}}}),
        );
    }
    told.insert("responses".into(), responses(operation).into());
    told.into()
}

fn security(standing: &Standing<'_>, operation: &Operation) -> Value {
    if operation.oauth {
        // The second: by `client_id` and `client_secret` of the form.
        return json!([{ CLIENT: [] }, {}]);
    }
    match (standing.guard, operation.asks) {
        (None, _) | (_, Asks::Nobody) => json!([]),
        (Some(guard), Asks::SignedIn | Asks::Permission(_)) => {
            let scheme = |kind: &str| json!({ format!("{}{kind}", guard.name): [] });
            let kinds = [("Bearer", guard.sources.header), ("Cookie", guard.sources.cookie)];
            let taken = kinds.into_iter().filter(|(_, taken)| *taken);
            taken.map(|(kind, _)| scheme(kind)).collect()
        }
    }
}

fn parameters(operation: &Operation) -> Vec<Value> {
    let in_path = operation.path.split('/').filter_map(|part| {
        let name = part.strip_prefix('{')?.strip_suffix('}')?;
        Some(json!({"name": name, "in": "path", "required": true, "schema": of_path(name)}))
    });
    let in_query = operation
        .query
        .iter()
        .map(|name| json!({"name": name, "in": "query", "schema": of_query(name)}));
    in_path.chain(in_query).collect()
}

fn of_path(name: &str) -> Value {
    match name {
        "model" => schema::model(),
        "idp" => schema::name(),
        "sid" => schema::hex_id(),
        "position" => schema::number(0),
        _ => schema::pattern("^[A-Za-z0-9_-]{1,64}$"),
    }
}

fn of_query(name: &str) -> Value {
    match name {
        "limit" => json!({"type": "integer", "minimum": 1, "maximum": 200, "default": 50}),
        "guard" => schema::guard(),
        "q" => schema::line_of(1, 200),
        "after" => {
            json!({"type": "string", "pattern": "^[A-Za-z0-9_-]+$", "description": "`next` of the page before."})
        }
        _ => schema::text(),
    }
}

/// Each status with its codes: what the operation names, and what comes with what it asks and reads.
fn refusals(operation: &Operation) -> BTreeMap<u16, BTreeSet<&'static str>> {
    use ErrorCode as E;
    let mut codes = vec![E::BadPath, E::Internal];
    if operation.oauth {
        return by_status(codes);
    }
    codes.extend_from_slice(operation.refusals);
    if !matches!(operation.asks, Asks::Nobody) {
        codes.extend([
            E::AmbiguousCredentials,
            E::TokenMissing,
            E::TokenInvalid,
            E::TokenExpired,
        ]);
        codes.extend([E::TokenBlocked, E::GuardMismatch, E::IdentityNotFound]);
        codes.extend([E::AccountBanned, E::AccountInactive, E::StoreUnavailable]);
        if !operation.method.is_safe() {
            codes.push(E::CsrfRejected);
        }
    }
    if matches!(operation.asks, Asks::Permission(_)) {
        codes.push(E::Forbidden);
    }
    if !matches!(operation.body, Body::None) {
        codes.extend([E::MalformedRequest, E::PayloadTooLarge]);
        codes.extend([E::UnsupportedMediaType, E::ValidationFailed]);
    }
    if !operation.query.is_empty() {
        codes.extend([E::MalformedRequest, E::ValidationFailed]);
    }
    by_status(codes)
}

fn by_status(codes: Vec<ErrorCode>) -> BTreeMap<u16, BTreeSet<&'static str>> {
    let mut by_status: BTreeMap<u16, BTreeSet<&'static str>> = BTreeMap::new();
    for code in codes {
        by_status.entry(code.status()).or_default().insert(code.as_str());
    }
    by_status
}

/// How a call of OAuth clients refuses, by status.
fn oauth_refusals() -> impl Iterator<Item = (u16, Value)> {
    let described = [
        (400, "`invalid_request`, or `BAD_PATH` in Bekci's own shape"),
        (401, "`invalid_client`"),
        (408, "`invalid_request`: the body did not come in time"),
        (413, "`invalid_request`: the body is too large"),
        (415, "`invalid_request`: the body is no form"),
        (503, "`temporarily_unavailable`"),
    ];
    described.into_iter().map(|(status, about)| {
        let mut headers = Map::from_iter([(
            "X-Request-Id".to_owned(),
            json!({"$ref": "#/components/headers/RequestId"}),
        )]);
        if status == 401 {
            let about = "RFC 7617: the Basic scheme.";
            headers.insert(
                "WWW-Authenticate".into(),
                json!({"description": about, "schema": schema::text()}),
            );
        }
        if status == 503 {
            headers.insert("Retry-After".into(), json!({"$ref": "#/components/headers/RetryAfter"}));
        }
        let oauth = json!({"$ref": "#/components/schemas/OAuthError"});
        let schema = match status {
            400 => json!({"anyOf": [oauth, {"$ref": "#/components/schemas/Failure"}]}),
            _ => oauth,
        };
        let refusal =
            json!({"description": about, "headers": headers, "content": {"application/json": {"schema": schema}}});
        (status, refusal)
    })
}

fn responses(operation: &Operation) -> Map<String, Value> {
    let id = json!({"$ref": "#/components/headers/RequestId"});
    let mut told = Map::new();
    let (kind, schema) = match operation.answers {
        Answers::Data(schema) if !operation.bare => ("application/json", enveloped(schema())),
        Answers::Data(schema) | Answers::Json(schema) => ("application/json", schema()),
        Answers::Other(kind) => (kind, schema::text()),
    };
    told.insert(
        "200".into(),
        json!({"description": "Done.", "headers": {"X-Request-Id": id}, "content": {kind: {"schema": schema}}}),
    );
    let pending = (
        "Committed, and not confirmed on every node yet.",
        pending_ref as super::Schema,
    );
    if let Some((about, data)) = operation.accepted.or(operation.pending.then_some(pending)) {
        let schema = if operation.bare { data() } else { enveloped(data()) };
        told.insert(
            "202".into(),
            json!({"description": about, "headers": {"X-Request-Id": id}, "content": {"application/json": {"schema": schema}}}),
        );
    }
    for (status, codes) in refusals(operation) {
        let shared = format!("#/components/responses/{}", name_of(status, &codes));
        told.insert(status.to_string(), json!({ "$ref": shared }));
    }
    if operation.oauth {
        told.extend(oauth_refusals().map(|(status, refusal)| (status.to_string(), refusal)));
    }
    told
}

fn pending_ref() -> Value {
    json!({"$ref": "#/components/schemas/Pending"})
}

fn name_of(status: u16, codes: &BTreeSet<&'static str>) -> String {
    let codes: Vec<&str> = codes.iter().copied().collect();
    format!("{status}.{}", codes.join("."))
}

fn refusal(status: u16, codes: &BTreeSet<&'static str>) -> Value {
    let id = json!({"$ref": "#/components/headers/RequestId"});
    let mut headers = Map::from_iter([("X-Request-Id".to_owned(), id)]);
    if status == 401 {
        headers.insert(
            "WWW-Authenticate".into(),
            json!({"$ref": "#/components/headers/Challenge"}),
        );
    }
    if matches!(status, 429 | 503) {
        headers.insert("Retry-After".into(), json!({"$ref": "#/components/headers/RetryAfter"}));
    }
    let listed: Vec<String> = codes.iter().map(|code| format!("`{code}`")).collect();
    let code = json!({"properties": {"code": {"enum": codes}}});
    json!({
        "description": listed.join(", "),
        "headers": headers,
        "content": {
            "application/json": {"schema": {"allOf": [{"$ref": "#/components/schemas/Failure"}, {"properties": {"error": code}}]}},
            "application/problem+json": {"schema": {"allOf": [{"$ref": "#/components/schemas/Problem"}, code]}},
        },
    })
}
