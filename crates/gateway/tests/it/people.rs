//! Accounts, and what they hold after signing in.

use std::{net::SocketAddr, time::Duration};

use bekci_test_support::unique;
use serde_json::{Value, json};

use crate::{
    house::{House, PASSWORD, STALENESS_MS},
    http::{Answer, Ask, get, post},
};

const LOOK_EVERY_MS: u64 = 10;

/// An account of a house.
#[derive(Clone, Debug)]
pub struct Person {
    pub guard: &'static str,
    pub email: String,
    pub id: String,
}

/// What a sign-in gave.
#[derive(Clone, Debug)]
pub struct Tokens {
    pub guard: &'static str,
    pub access: String,
    pub refresh: String,
    pub session: String,
}

/// Asks again and again until the answer is this: what is written behind the gateway's back is seen within Δ.
pub fn in_the_end(ask: &Ask, address: SocketAddr, verdict: &str) -> Answer {
    let mut last = String::new();
    for _ in 0..30 * STALENESS_MS / LOOK_EVERY_MS {
        let answer = ask.to(address);
        last = answer.verdict();
        if last == verdict {
            return answer;
        }
        std::thread::sleep(Duration::from_millis(LOOK_EVERY_MS));
    }
    panic!("still {last}, not {verdict}");
}

/// The path of a guard's call.
pub fn call(guard: &str, call: &str) -> String {
    match guard {
        "shop" => format!("/shop-api/v1/auth/{call}"),
        _ => format!("/auth/{guard}/{call}"),
    }
}

impl House {
    /// A new account with a role in its guard, made behind the gateway's back.
    pub fn person(&self, guard: &'static str, role: &str) -> Person {
        let model = if guard == "admin" { "admin" } else { "customer" };
        let email = format!("{}@{model}.test", unique("someone"));
        let table = format!("{model}s");
        self.sql(&format!(
            "INSERT INTO {table} (email, name, password_hash, email_verified_at) \
             SELECT '{email}', 'Somebody', password_hash, email_verified_at FROM {table} WHERE id = 1"
        ));
        let id = self.sql(&format!("SELECT id FROM {table} WHERE email = '{email}'"));
        self.sql(&format!(
            "INSERT INTO bekci_principal_roles (model, id, guard, role) VALUES ('{model}', '{id}', '{guard}', '{role}')"
        ));
        Person { guard, email, id }
    }

    pub fn customer(&self) -> Person {
        self.person("customer", "buyer")
    }

    /// A new customer who is signed in.
    pub fn signed_in(&self) -> Tokens {
        self.customer().sign_in(self.address())
    }
}

impl Person {
    pub fn key(&self) -> String {
        let model = if self.guard == "admin" { "admin" } else { "customer" };
        format!("{model}:{}", self.id)
    }

    /// The request to sign in, with more fields in its body.
    pub fn login(&self, more: &Value) -> Ask {
        let mut body = json!({"email": self.email, "password": PASSWORD});
        for (name, value) in more.as_object().unwrap() {
            body[name] = value.clone();
        }
        post(&call(self.guard, "login")).json(&body)
    }

    pub fn sign_in(&self, address: SocketAddr) -> Tokens {
        Tokens::of(self.guard, &self.login(&json!({})).to(address))
    }
}

impl Tokens {
    pub fn of(guard: &'static str, answer: &Answer) -> Self {
        assert_eq!(answer.verdict(), "200", "{}", String::from_utf8_lossy(&answer.body));
        let data = &answer.json()["data"];
        let text = |name: &str| data[name].as_str().unwrap_or_default().to_owned();
        Self {
            guard,
            access: text("accessToken"),
            refresh: text("refreshToken"),
            session: text("sessionId"),
        }
    }

    pub fn refresh(&self) -> Ask {
        post(&call(self.guard, "token/refresh")).json(&json!({"refreshToken": self.refresh}))
    }

    /// Asks a guard's own call with the access token.
    pub fn ask(&self, method: &str, path: &str) -> Ask {
        crate::http::ask(method, &call(self.guard, path)).bearer(&self.access)
    }

    /// What a guarded route says to the access token.
    pub fn verdict(&self, address: SocketAddr) -> String {
        let route = match self.guard {
            "customer" => "/me/x",
            "admin" => "/office/x",
            other => &format!("/{other}/x"),
        };
        get(route).bearer(&self.access).to(address).verdict()
    }
}
