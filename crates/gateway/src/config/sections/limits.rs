//! `[limits]`, `[cors]`, `[tenancy]` and `[policy]`.

use std::path::PathBuf;

use crate::config::schema::{Fallback::Toml, Refusal, Syntax, range, settings};
use crate::config::values::Parsed;
use crate::config::values::pattern::{HeaderName, PageHeader, PageMethod};
use crate::config::values::time::Seconds;
use crate::config::values::url::Origin;

settings! {
    /// What a client may ask of the process.
    Limits {
        /// The longest body that Bekci itself reads, as at sign-in, in bytes. Bodies for an upstream are streamed.
        body_bytes: u32 [range(1_024, 16_777_216)] = Toml("65536");
        /// The most bytes of all identity headers of a forwarded request together, `X-Auth-Token` among them. What does not fit is left out and named by
        /// `X-Auth-Omitted`: permissions and attributes, at last roles. nginx takes 8 KiB in one header, HAProxy 16 KiB in a head, Envoy 60 KiB.
        identity_header_bytes: u32 [range(2_048, 61_440)] = Toml("8192");
        /// The same for answers of the decision endpoints. nginx takes 4 KiB in a head unless `proxy_buffer_size` of the location that asks is raised together with this.
        decision_header_bytes: u32 [range(2_048, 61_440)] = Toml("3584");
        /// How long a client may take to send the head of a request.
        head_timeout_seconds: Seconds [range(1, 300)] = Toml("5");
        /// The bytes a second that a client has to send of a request body while it is waited for; a slow upstream costs it nothing. 0: any pace. A client that falls behind
        /// gets 408.
        upload_bytes_per_second: u32 [range(0, 16_777_216)] = Toml("240");
        /// How far a client may fall behind `upload_bytes_per_second`, and so how long it may send nothing.
        upload_grace_seconds: Seconds [range(1, 3_600)] = Toml("30");
        /// How long a request body may take in all; 0: any time. A WebSocket is no body.
        upload_seconds: Seconds [range(0, 604_800)] = Toml("3600");
        /// How long a client may take nothing of an answer, counted between two writes that it takes, as `send_timeout` of nginx; 0: any time. Then its connection is closed,
        /// and that to the upstream. A slow client that goes on reading is not cut, and the wait for an upstream is not counted. It holds for WebSockets too.
        send_timeout_seconds: Seconds [range(0, 3_600)] = Toml("60");
        /// How long an idle connection is kept.
        keep_alive_seconds: Seconds [range(0, 3_600)] = Toml("15");
        /// How many connections each worker has at once.
        max_connections: u32 [range(1, 1_000_000)] = Toml("25000");
        /// How many passwords are hashed at once; 0: one for each core.
        parallel_hashes: u16 [range(0, 1_024)] = Toml("0");
    }
}

settings! {
    /// Which pages of other origins may call (Fetch standard).
    Cors {
        /// Their origins, whole, as `https://app.example.com`; `*` and `null` are none. Empty: none at Bekci's own calls, and what upstreams say of theirs is passed on. With
        /// one, upstreams have no say: preflights are answered by the gateway, alike for every path.
        origins: Vec<Origin> = Toml("[]");
        /// What they may call with.
        methods: Vec<PageMethod> = Toml("['GET', 'HEAD', 'POST']");
        /// Which headers they may send. Those that say who acts, as `x-auth-*`, cannot be named.
        headers: Vec<PageHeader> = Toml("['authorization', 'content-type']");
        /// Which headers of answers they may read.
        exposed_headers: Vec<PageHeader> = Toml("['retry-after', 'x-request-id']");
        /// Whether they may call with cookies. Bekci's are `SameSite=Lax`: browsers send them from pages of the same site alone, as from `app.example.com` to `api.example.com`;
        /// what changes something then needs `x-csrf-token` in `headers`.
        credentials: bool = Toml("false");
        /// How long a browser may keep the answer to its question.
        max_age_seconds: Seconds [range(0, 86_400)] = Toml("600");
    }
}

/// How a request says which tenant it asks about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TenantSource {
    /// There are no tenants.
    None,
    /// By the first label of its host.
    Host,
    /// By this header, from a trusted proxy.
    Header(HeaderName),
    /// By a segment of its path, the first being 1.
    Path(u8),
    /// By the `tenant` claim of its token.
    Claim,
}

impl Parsed for TenantSource {
    const SYNTAX: Syntax = Syntax::of::<Self>("none, host, header:NAME, path:N or claim")
        .matching("^(none|host|claim|header:[A-Za-z][A-Za-z0-9-]*|path:[1-9])$");

    fn parse(text: &str) -> Result<Self, Refusal> {
        match text.split_once(':') {
            None if text == "none" => Ok(Self::None),
            None if text == "host" => Ok(Self::Host),
            None if text == "claim" => Ok(Self::Claim),
            Some(("header", name)) if name.to_ascii_lowercase().starts_with("x-auth-") => Err(Refusal::Because(
                "names a header that Bekci sets itself and takes from nobody",
            )),
            Some(("header", name)) => HeaderName::parse(name).map(Self::Header),
            Some(("path", number)) => {
                let segment = number
                    .parse()
                    .ok()
                    .filter(|segment| (1..=9).contains(segment) && number.len() == 1);
                segment.map(Self::Path).ok_or(Refusal::Malformed)
            }
            _ => Err(Refusal::Malformed),
        }
    }
}

settings! {
    /// How a request says which tenant it asks about; docs/tenancy.md has each way with its traps.
    Tenancy {
        /// `none`; `host`: the label before the name of a route's wildcard host (`acme` for `acme.example.com` with `*.example.com`), while the name itself, hosts that a
        /// route names in full and that of `server.public_url` ask about none; `header:X-Tenant`, from trusted proxies; `path:1`, a segment; `claim`, the tenant that the
        /// token was made for. It proves nothing: the principal must belong to the tenant.
        source: TenantSource = Toml("'none'");
    }
}

settings! {
    /// The casbin policy.
    Policy {
        /// The casbin model.
        model: PathBuf = Toml("'config/casbin_model.conf'");
        /// Rules that are read into an empty database, once.
        seed: PathBuf = Toml("'config/casbin_policy.csv'");
    }
}
