//! `[guards.<name>]`.

use std::collections::BTreeMap;

use bekci_core::{ModelName, Rate};

use crate::config::schema::{
    Fallback::Absent, Fallback::Computed, Fallback::Toml, Kind, Refusal, Setting, Syntax, range, settings, some,
    zero_or,
};
use crate::config::tree::{Node, Value};
use crate::config::values::names::{Audience, Call, ClaimName, Column, Name};
use crate::config::values::pattern::UrlPath;
use crate::config::values::time::{Days, Hours, Seconds};
use crate::config::values::url::{PageUrl, RedirectUri};
use crate::config::values::{Parsed, choice};

/// 400 days: the longest that a browser keeps a cookie (RFC 6265bis section 5.5).
const LONGEST: i64 = 34_560_000;

choice! {
    /// Where a token may stand in a request.
    Source {
        /// In `Authorization: Bearer`.
        Header = "header",
        /// In the guard's cookie.
        Cookie = "cookie",
    }
}

choice! {
    /// The shape of the answers of a guard's calls.
    AnswerShape {
        /// `{"success": true, "data": ..}`.
        Envelope = "envelope",
        /// The fields alone.
        Flat = "flat",
    }
}

choice! {
    /// What a sign-in has to be followed by.
    Verification {
        /// Nothing.
        Off = "off",
        /// A code that is sent by mail.
        Email = "email",
        /// A check by the application.
        Custom = "custom",
    }
}

choice! {
    /// Who may make an account.
    Register {
        /// Anyone.
        Open = "open",
        /// Whoever was invited.
        Invite = "invite",
        /// Nobody.
        Closed = "closed",
    }
}

/// A way to sign in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Way {
    /// By identifier and password.
    Password,
    /// By a one-time code that is sent by mail.
    EmailOtp,
    /// By a link that is sent by mail.
    EmailLink,
    /// By the identity provider `[idp.<name>]`.
    Idp(Name),
}

impl Parsed for Way {
    const SYNTAX: Syntax = Syntax::of::<Self>("password, email_otp, email_link or the name of an [idp] section");

    fn parse(text: &str) -> Result<Self, Refusal> {
        match text {
            "password" => Ok(Self::Password),
            "email_otp" => Ok(Self::EmailOtp),
            "email_link" => Ok(Self::EmailLink),
            name => Name::parse(name).map(Self::Idp),
        }
    }
}

choice! {
    /// The hash of new passwords that is named by a word.
    NamedHash {
        /// Argon2id with its default cost.
        Argon2id = "argon2id",
    }
}

settings! {
    /// What hashing a password costs.
    HashCost {
        /// Argon2id: the memory. 19456 where it is left out.
        memory_kib: Option<u32> [range(7_168, 1_048_576)] = Absent;
        /// Argon2id: how often the memory is gone over. 2 where it is left out.
        iterations: Option<u32> [range(1, 32)] = Absent;
        /// Argon2id: how many lanes. 1 where it is left out.
        lanes: Option<u32> [range(1, 16)] = Absent;
        /// bcrypt in place of Argon2id, with this cost.
        bcrypt: Option<u32> [range(10, 14)] = Absent;
    }
}

impl Setting for Option<u32> {
    const KIND: Kind = range(0, u32::MAX as i64);

    fn read(node: &Node) -> Option<Self> {
        u32::read(node).map(Some)
    }

    fn absent() -> Option<Self> {
        Some(None)
    }
}

/// How new passwords are hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PasswordHash {
    /// Argon2id (RFC 9106).
    Argon2id {
        /// The memory, in KiB.
        memory_kib: u32,
        /// The passes.
        iterations: u32,
        /// The lanes.
        lanes: u32,
    },
    /// bcrypt.
    Bcrypt {
        /// The logarithm of the number of rounds.
        cost: u32,
    },
}

impl Default for PasswordHash {
    /// The least that the OWASP password storage cheat sheet asks of Argon2id.
    fn default() -> Self {
        Self::Argon2id {
            memory_kib: 19_456,
            iterations: 2,
            lanes: 1,
        }
    }
}

impl Setting for PasswordHash {
    const KIND: Kind = Kind::Either {
        text: &NamedHash::KIND,
        table: HashCost::KEYS,
    };

    fn read(node: &Node) -> Option<Self> {
        if let Value::Text(_) = node.value {
            return Some(Self::default());
        }
        let cost = HashCost::read(node)?;
        Some(match cost.bcrypt {
            Some(cost) => Self::Bcrypt { cost },
            None => Self::Argon2id {
                memory_kib: cost.memory_kib.unwrap_or(19_456),
                iterations: cost.iterations.unwrap_or(2),
                lanes: cost.lanes.unwrap_or(1),
            },
        })
    }
}

settings! {
    /// How often a call may be made. `sign_in` and `refresh` count refusals, by account (a refresh by its session) and by address (an IPv6 address by its /64), never
    /// successes. Whose limit is used up gets 429 until the oldest refusal is older than the time of the rate, the right password too.
    RateLimits {
        /// Refused sign-ins.
        sign_in: Rate = Toml("'10/min'");
        /// Refused refreshes.
        refresh: Rate = Toml("'30/min'");
        /// Links and codes that are sent, by account and by address; every call counts.
        otp_start: Rate = Toml("'5/min'");
        /// Accounts that are made, by address of the client and of the account; every call counts.
        register: Rate = Toml("'5/min'");
        /// Wrong one-time codes, by account. New codes do not reset it. A client that has signed in to the account before has a count of its own.
        otp: Rate = Toml("'30/day'");
    }
}

settings! {
    /// A named way in: a provider, a model, an audience, the places of its token and the rules of its sessions.
    Guard {
        /// The model whose accounts sign in.
        model: ModelName = Computed { says: "the guard's name", value: |facts| Value::Text(facts.name.clone()) };
        /// Where the accounts are loaded from: `database`, or a `[providers]` section.
        provider: Name = Toml("'database'");
        /// The `aud` claim of its tokens. No two guards share one.
        audience: Audience = Computed { says: "the guard's name", value: |facts| Value::Text(facts.name.clone()) };
        /// Where its token may stand. Each is read; two different tokens are refused.
        sources: Vec<Source> [some::<Source>()] = Toml("['header', 'cookie']");
        /// Where its calls are: `/api/v1/auth` gives `/api/v1/auth/login`. No two guards share one.
        auth_path: UrlPath = Computed { says: "`/auth/` and the guard's name", value: |facts| Value::Text(format!("/auth/{}", facts.name)) };
        /// Other paths for its calls, as `{ "/api/v1/users/me/logout-all" = "logout-all" }`. Each is the call itself, with the same proof of origin and limits, and is asked
        /// before any route. The refresh cookie goes to `auth_path` alone, so at an alias elsewhere the refresh token stands in the body.
        aliases: BTreeMap<UrlPath, Call> = Toml("{}");
        /// What its calls answer when they are done. `envelope`: `{"success": true, "data": ..}`; `flat`: the data alone, of a sign-in `token`, `expiration`, `refreshToken`,
        /// `refreshTokenExpiration` and the rest. What is refused looks the same in both.
        answer_shape: AnswerShape = Toml("'envelope'");
        /// Attributes that its tokens carry, as `{ uid = "id" }`: `id`, `key` (the principal's key), or one of its model's `cached_attributes`. They are never read back as rights.
        claims: BTreeMap<ClaimName, Column> = Toml("{}");
        /// How long an access token is good; an hour at most (RFC 6750 section 5.3).
        access_ttl_seconds: Seconds [range(1, 3_600)] = Toml("900");
        /// How long a refresh token is good.
        refresh_ttl_seconds: Seconds [range(60, LONGEST)] = Toml("2592000");
        /// How long the predecessor of a refresh token gets the very same answer again, for two tabs at once; 0: any reuse ends the session.
        refresh_reuse_grace_seconds: Seconds [range(0, 300)] = Toml("30");
        /// How long a client that never got the answer may come back, from the same device; 0: not at all.
        refresh_lost_response_hours: Hours [range(0, 168)] = Toml("24");
        /// How long a session lives without a refresh; 0: as long as its refresh token.
        session_idle_seconds: Seconds [zero_or(60, LONGEST)] = Toml("0");
        /// How long a session lives at all, whatever is refreshed; 0: without end.
        session_max_seconds: Seconds [zero_or(60, LONGEST)] = Toml("0");
        /// Whether a sign-in ends the account's other sessions.
        unique_session: bool = Toml("false");
        /// How many sessions an account has at most; the oldest ends for a new one.
        max_sessions: u32 [range(1, 10_000)] = Toml("50");
        /// How long a remember-me cookie is good, from the sign-in on. No use moves its end.
        remember_me_days: Days [range(1, 400)] = Toml("180");
        /// `email` or `custom`: a sign-in first gives a temporary identity, which a code makes permanent.
        verification: Verification = Toml("'off'");
        /// How long a temporary identity lives.
        temporary_ttl_seconds: Seconds [range(30, 3_600)] = Toml("300");
        /// Whether there is no session before the address is confirmed.
        require_verified_email: bool = Toml("false");
        /// The digits of a one-time code.
        otp_length: u32 [range(6, 10)] = Toml("6");
        /// How long a one-time code, and a link that signs in, is good; ten minutes at most (ASVS 5.0, 6.6).
        otp_ttl_seconds: Seconds [range(30, 600)] = Toml("180");
        /// How old the security cookie of a session by cookie may be before it is exchanged; 0: it is not used.
        security_cookie_rotate_seconds: Seconds [zero_or(10, 86_400)] = Toml("60");
        /// Whether what a replaced session held goes into the new one.
        carry_session_data: bool = Toml("false");
        /// The fewest characters of a password; asked when one is set, never at sign-in.
        password_min_length: u32 [range(8, 128)] = Toml("15");
        /// `argon2id`, or its cost `{ memory_kib = 19456, iterations = 2, lanes = 1 }`, or `{ bcrypt = 12 }`.
        password_hash: PasswordHash = Toml("'argon2id'");
        /// Whether the first sign-in replaces a hash that is weaker, or of another system. `false`: hashes stay as they are, so that an older application on the same table goes
        /// on verifying them.
        password_rehash: bool = Toml("true");
        /// The attributes that a user may change of the own account (`PATCH <auth_path>/me`); each is one of its model's `cached_attributes`, and none identifies. `name` can be
        /// given when an account is made, too.
        own_attributes: Vec<Column> = Toml("['name']");
        /// The pages that links in mails may lead to, as `redirectUri` in a call; compared exactly. Without one they lead to `<auth_path>/links`.
        redirect_uris: Vec<RedirectUri> = Toml("[]");
        /// The page to which a browser without a session is sent; empty: none. The address that was asked for is its `return_to`, if its origin is that of
        /// `server.public_url` or of one of `redirect_uris`.
        sign_in_url: Option<PageUrl> = Toml("''");
        /// How often its calls may be made, each as `N/s`, `N/min`, `N/h` or `N/day`.
        rate_limit: RateLimits = Toml("{}");
        /// How often a one-time code may be tried.
        otp_tries: u32 [range(1, 10)] = Toml("5");
        /// The ways to sign in: `password`, `email_otp`, `email_link`, or the name of an `[idp]` section.
        sign_in: Vec<Way> = Toml("['password']");
        /// Who may make an account: `open`, `invite` or `closed`.
        register: Register = Toml("'closed'");
    }
}
