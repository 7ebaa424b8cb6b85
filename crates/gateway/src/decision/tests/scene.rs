//! Endpoints before a gate that knows customer 42, by the token `good` in a header or in the guard's cookie.

use std::sync::Arc;

use actix_web::{
    App,
    dev::ServiceResponse,
    http::header::HeaderMap,
    test::{self, TestRequest},
    web,
};
use bekci::{Front, Tenancy};
use bekci_core::{
    AuthGuard, BearerToken, BoxFuture, Gate, GateParts, GuardChain, GuardName, IdentitySource, Need, Permission,
    Principal, RouteRule, SourceUnavailable, Stamp, Ticket, TokenFault, TokenKind, TokenVerifier, VerifiedClaims, View,
    testing::FakeClock,
};

use crate::{
    config::types::{DecisionAttributes, DecisionPreset, Origin},
    decision::{Decisions, configure},
    gatekeeper::Gatekeeper,
    generation::CurrentGate,
    lookout::Lookout,
    ops::Metrics,
    proxy::{
        Bound, IdentityHeaders, Proxy, ProxyParts, StrippedHeaders, TrustedProxies,
        testing::{headers_of, principal},
    },
    routes::{RouteSpec, RouteTable},
    sign_in::{Page, SignInPages},
};

/// The peer that is trusted.
pub(super) const PROXY: &str = "10.0.0.1:9";
/// One that is not.
pub(super) const STRANGER: &str = "192.0.2.1:9";

/// Knows one token and one principal.
#[derive(Debug)]
struct One {
    principal: Principal,
    reachable: bool,
}

impl TokenVerifier for One {
    fn guard_of(&self, token: BearerToken<'_>) -> Result<GuardName, TokenFault> {
        if token.expose() == "other" {
            return Ok(GuardName::new("admin").unwrap());
        }
        Ok(self.principal.guard.name.clone())
    }

    fn verify(&self, _: &GuardName, _: TokenKind, token: BearerToken<'_>) -> Result<Arc<VerifiedClaims>, TokenFault> {
        if token.expose() == "good" {
            Ok(Arc::clone(&self.principal.claims))
        } else {
            Err(TokenFault::Expired)
        }
    }
}

impl IdentitySource for One {
    fn ticket(&self) -> Ticket {
        Ticket(0)
    }

    fn warm(&self, _: &Need<'_>) -> Option<View> {
        self.reachable.then(|| self.principal.view.clone())
    }

    fn read<'a>(&'a self, _: &'a Need<'a>, _: Ticket) -> BoxFuture<'a, Result<View, SourceUnavailable>> {
        Box::pin(async { Err(SourceUnavailable("the database is away".to_owned())) })
    }

    fn unmoved(&self, _: &Stamp) -> bool {
        true
    }

    fn used(&self, _: &View, _: bekci_core::SessionId, _: u32) {}
}

/// What a test may change.
pub(super) struct Scene {
    pub(super) preset: DecisionPreset,
    pub(super) sign_in_url: &'static str,
    pub(super) returns: Vec<&'static str>,
    pub(super) reachable: bool,
    pub(super) verified: bool,
}

impl Default for Scene {
    fn default() -> Self {
        Self {
            preset: DecisionPreset::Bekci,
            sign_in_url: "https://gw.test/sign-in",
            returns: vec![],
            reachable: true,
            verified: true,
        }
    }
}

impl Scene {
    fn headers(&self) -> IdentityHeaders {
        let bound = Bound {
            bytes: 3_584,
            token: Some(1_200),
        };
        headers_of(
            self.preset,
            DecisionAttributes::of(["email", "name", "username"]),
            bound,
        )
    }

    /// `/public/**` for anybody, `/me/**` for customers, `/manage/**` for a permission that nobody holds; on any host. `app.test` has `/only`.
    fn decisions(&self) -> Decisions {
        let attributes = serde_json::json!({"email": "zoë@b.c", "name": "Zoë", "full_name": null});
        let mut customer = principal(&["buyer", "support"], &["orders.view"], attributes);
        let mut identity = (*customer.view.identity).clone();
        identity.verified = self.verified;
        customer.view.identity = Arc::new(identity);
        let guard = Arc::clone(&customer.guard);
        let clock = Arc::new(FakeClock::at(1_000));
        let one = Arc::new(One {
            principal: customer,
            reachable: self.reachable,
        });
        let trusted = TrustedProxies::new(|peer| peer.to_string().starts_with("10."));
        let page = Page {
            url: self.sign_in_url.to_owned(),
            returns: self.returns.iter().map(|url| Origin::of_url(url).unwrap()).collect(),
        };
        let has_page = !self.sign_in_url.is_empty();
        let keeper = Gatekeeper {
            gate: Gate::new(GateParts {
                verifier: Arc::<One>::clone(&one),
                identities: one,
                clock: Arc::<FakeClock>::clone(&clock),
            }),
            routes: routes(&guard),
            internal: None,
            tenancy: Tenancy::none(),
            proxy: Proxy::new(ProxyParts {
                trusted: trusted.clone(),
                tenancy: Tenancy::none(),
                identity: Arc::new(self.headers()),
                stripped: StrippedHeaders::default(),
                pseudonym: "bekci-test".into(),
                own_origin: "https://gw.test".into(),
                clock: Arc::<FakeClock>::clone(&clock),
                metrics: Arc::new(Metrics::default()),
            }),
            clock,
            browsers: None,
            pages: SignInPages {
                own: Origin::of_url("https://gw.test/").unwrap(),
                pages: has_page.then(|| (guard.name.clone(), page)).into_iter().collect(),
            },
            lookout: Lookout {
                gates: CurrentGate::default(),
                delta: std::time::Duration::from_secs(1),
            },
        };
        Decisions {
            keeper: Arc::new(keeper),
            trusted,
            headers: self.headers(),
        }
    }

    /// Asks from this peer.
    pub(super) async fn ask_from(&self, peer: &str, request: TestRequest) -> Answer {
        let decisions = web::Data::new(self.decisions());
        let app = App::new().wrap(Front::default());
        let app = test::init_service(app.configure(|service| configure(service, decisions))).await;
        let request = request.peer_addr(peer.parse().unwrap()).to_request();
        let answer = test::call_service(&app, request).await;
        Answer::of(answer).await
    }

    /// Asks as the proxy.
    pub(super) async fn ask(&self, request: TestRequest) -> Answer {
        self.ask_from(PROXY, request).await
    }
}

/// Asks the usual scene as the proxy.
pub(super) async fn ask(request: TestRequest) -> Answer {
    Scene::default().ask(request).await
}

fn routes(guard: &Arc<AuthGuard>) -> RouteTable {
    let spec = |host: &str, path: &str, rule: RouteRule| RouteSpec {
        id: rule.id.clone(),
        hosts: vec![host.to_owned()],
        paths: vec![path.to_owned()],
        methods: vec!["*".to_owned()],
        rule: Arc::new(rule),
        upstream: None,
        semicolon_allowed: false,
        double_encoding_allowed: false,
    };
    let guarded = |id: &str| RouteRule::guarded(id, GuardChain::new([Arc::clone(guard)]));
    let manage = RouteRule {
        permissions: vec![Permission::new("orders.manage").unwrap()],
        ..guarded("manage")
    };
    let for_get = RouteSpec {
        methods: vec!["GET".to_owned()],
        ..spec("*", "/public/for-get/**", guarded("for-get"))
    };
    let (table, unreachable) = RouteTable::new([
        for_get,
        spec("*", "/public/**", RouteRule::public("public")),
        spec("*", "/me/**", guarded("me")),
        spec("*", "/manage/**", manage),
        spec("app.test", "/only", guarded("only")),
    ])
    .unwrap();
    assert_eq!(unreachable, []);
    table
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: serde_json::Value,
}

impl Answer {
    async fn of(answer: ServiceResponse<impl actix_web::body::MessageBody>) -> Self {
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let body = test::read_body(answer).await;
        let body = serde_json::from_slice(&body).unwrap_or_default();
        Self { status, headers, body }
    }

    /// The one value of a header; `None` where it is not there.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name);
        let value = values.next()?;
        assert!(values.next().is_none(), "{name} stands twice");
        Some(value.to_str().unwrap())
    }

    pub(super) fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or_default()
    }
}

/// As Traefik, Caddy and HAProxy ask.
pub(super) fn forward_auth(method: &str, uri: &str) -> TestRequest {
    TestRequest::get()
        .uri("/forward-auth")
        .insert_header(("X-Forwarded-Method", method))
        .insert_header(("X-Forwarded-Proto", "https"))
        .insert_header(("X-Forwarded-Host", "gw.test"))
        .insert_header(("X-Forwarded-Uri", uri))
}

/// As nginx asks.
pub(super) fn auth_request(method: &str, url: &str) -> TestRequest {
    TestRequest::get()
        .uri("/auth-request")
        .insert_header(("X-Original-Method", method))
        .insert_header(("X-Original-URL", url))
}

/// As a browser asks for a page.
pub(super) fn navigating(request: TestRequest) -> TestRequest {
    request
        .insert_header(("Accept", "text/html,application/xhtml+xml,*/*;q=0.8"))
        .insert_header(("Sec-Fetch-Mode", "navigate"))
}

/// With the good token.
pub(super) fn signed_in(request: TestRequest) -> TestRequest {
    request.insert_header(("Authorization", "Bearer good"))
}
