//! Accounts by themselves: registering, passwords, addresses, by HTTP and with a real mail server.

/// Runs each function of a suite on every store, in the house that it names.
macro_rules! on_every_mailing {
    ($house:ident; $($name:ident),* $(,)?) => {
        crate::accounts::on_every_mailing!(@ $house, sqlite, Sqlite, $($name),*);
        crate::accounts::on_every_mailing!(@ $house, sqlite_and_redis, SqliteRedis, $($name),*);
        crate::accounts::on_every_mailing!(@ $house, postgres, Postgres, $($name),*);
        crate::accounts::on_every_mailing!(@ $house, postgres_and_redis, PostgresRedis, $($name),*);
    };
    (@ $house:ident, $module:ident, $kind:ident, $($name:ident),*) => {
        mod $module {
            $(#[test]
            fn $name() {
                super::$name(&crate::accounts::Mailing::$house(crate::house::Kind::$kind));
            })*
        }
    };
}
pub(crate) use on_every_mailing;

mod addresses;
mod codes;
mod invites;
mod passwords;
mod providers;
mod providers_down;
mod registering;
mod remembered;
mod verification;
mod verified;

use std::sync::Arc;

use bekci_test_support::{ReceivedMail, Smtp, unique};
use serde_json::{Value, json};

use crate::{
    house::{House, Kind},
    http::{Answer, Ask, get, post},
    people::Tokens,
    shared::shared,
};

/// A password that nobody has yet.
const OTHER: &str = "velvet harbour nineteen kites";

/// A house that sends mails, and the server that takes them.
pub struct Mailing {
    pub house: House,
    pub smtp: Smtp,
}

/// What a link in a mail carries.
#[derive(Clone, Debug)]
pub struct Link {
    pub page: String,
    pub kind: String,
    pub reference: String,
    pub code: String,
}

const OPEN: &str = "register = \"open\"\nredirect_uris = [\"https://app.bekci.test/reset\"]\nsign_in = [\"password\", \"email_otp\", \"email_link\"]\n";
const VERIFIED: &str = "register = \"open\"\nrequire_verified_email = true\nsign_in = [\"password\", \"email_otp\"]\n";

const VERIFYING: &str = "register = \"open\"\nverification = \"email\"\nsign_in = [\"password\", \"email_otp\"]\n";

impl Mailing {
    fn new(kind: Kind, customer: &'static str, limits: Option<&'static str>) -> Self {
        let smtp = Smtp::start();
        let house = House::mailing(kind, smtp.port(), customer, limits, 2);
        Self { house, smtp }
    }

    /// The house that tests of a kind share, where anybody makes an account.
    pub fn open(kind: Kind) -> Arc<Self> {
        shared("open", kind, || Self::new(kind, OPEN, None))
    }

    /// The same where nobody signs in before the address is confirmed.
    pub fn verified(kind: Kind) -> Arc<Self> {
        shared("verified", kind, || Self::new(kind, VERIFIED, None))
    }

    /// A house of its own like the shared one, with these limits.
    pub fn open_of(kind: Kind, limits: Option<&'static str>) -> Self {
        Self::new(kind, OPEN, limits)
    }

    /// The house where a right password gives a temporary identity, and a mailed code makes it permanent.
    pub fn verifying(kind: Kind) -> Arc<Self> {
        shared("verifying", kind, || Self::verifying_of(kind, None))
    }

    /// The house where an account is made by an invitation.
    pub fn inviting(kind: Kind) -> Arc<Self> {
        shared("inviting", kind, || Self::new(kind, "register = \"invite\"\n", None))
    }

    /// A house of its own like it, with these limits.
    pub fn verifying_of(kind: Kind, limits: Option<&'static str>) -> Self {
        let smtp = Smtp::start();
        let house = House::verifying(kind, smtp.port(), VERIFYING, limits);
        Self { house, smtp }
    }

    /// Waits for a condition, for two minutes at most.
    pub fn until(&self, holds: impl Fn() -> bool) {
        for _ in 0..2_400 {
            if holds() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("waited in vain");
    }

    /// The verdicts of 64 calls at once, on both nodes in turn.
    pub fn of_64_at_once(&self, call: impl Fn(std::net::SocketAddr) -> String + Sync) -> Vec<String> {
        std::thread::scope(|scope| {
            let tries: Vec<_> = (0..64)
                .map(|n| {
                    let (call, node) = (&call, self.house.nodes[n % 2].address);
                    scope.spawn(move || call(node))
                })
                .collect();
            tries.into_iter().map(|one| one.join().unwrap()).collect()
        })
    }

    pub fn here(&self) -> std::net::SocketAddr {
        self.house.nodes[0].address
    }

    pub fn there(&self) -> std::net::SocketAddr {
        self.house.nodes[1].address
    }

    pub fn mails(&self, to: &str, count: usize) -> Vec<ReceivedMail> {
        self.smtp.wait_for(to, count)
    }

    /// The link of the newest mail of this kind to an address, when so many mails have come.
    pub fn link(&self, to: &str, count: usize, kind: &str) -> Link {
        let mails = self.mails(to, count);
        let links = mails.iter().filter_map(Link::of);
        let newest = links.rev().find(|link| link.kind == kind);
        newest.unwrap_or_else(|| panic!("no link of {kind} in {mails:?}"))
    }

    /// The mail that has these words, when so many have come. Two that were queued together come in any order.
    pub fn told(&self, to: &str, count: usize, words: &str) -> ReceivedMail {
        let mut mails = self.mails(to, count);
        let at = mails
            .iter()
            .position(|mail| mail.head().contains(words) || mail.text().contains(words));
        mails.swap_remove(at.unwrap_or_else(|| panic!("{words:?} is in none of {mails:?}")))
    }
}

impl Link {
    /// `None`: the mail has none.
    pub fn of(mail: &ReceivedMail) -> Option<Self> {
        let text = mail.text();
        let link = text.lines().find(|line| line.starts_with("http"))?;
        let (page, fragment) = link.trim().split_once('#').unwrap();
        let part = |name: &str| {
            let mut parts = fragment.split('&').filter_map(|part| part.split_once('='));
            parts.find(|(key, _)| *key == name).unwrap().1.to_owned()
        };
        Some(Self {
            page: page.to_owned(),
            kind: part("kind"),
            reference: part("ref"),
            code: part("code"),
        })
    }
}

fn fresh_address(label: &str) -> String {
    format!("{}@customer.test", unique(label).replace('_', "-"))
}

fn register(email: &str, password: &str) -> Ask {
    post("/auth/customer/register").json(&json!({"email": email, "password": password}))
}

fn login(email: &str, password: &str) -> Ask {
    post("/auth/customer/login").json(&json!({"email": email, "password": password}))
}

fn forgot(email: &str) -> Ask {
    post("/auth/customer/password/forgot").json(&json!({"email": email}))
}

fn reset(link: &Link, password: &str) -> Ask {
    reset_at("/auth/customer", link, password)
}

fn reset_at(path: &str, link: &Link, password: &str) -> Ask {
    let body = json!({"ref": link.reference, "code": link.code, "newPassword": password});
    post(&format!("{path}/password/reset")).json(&body)
}

fn confirm(link: &Link) -> Ask {
    post("/auth/customer/me/email/confirm").json(&json!({"ref": link.reference, "code": link.code}))
}

/// Status, headers but for those that differ from request to request, and body: all that a client sees.
fn seen(answer: &Answer) -> (u16, Vec<String>, Value) {
    let names = answer.names().filter(|name| !["date", "x-request-id"].contains(name));
    let mut headers: Vec<String> = names.map(|name| format!("{name}: {:?}", answer.header(name))).collect();
    headers.sort();
    let mut body = answer.json();
    if let Some(error) = body["error"].as_object_mut() {
        error.remove("requestId");
    }
    (answer.status, headers, body)
}

fn tokens(answer: &Answer) -> Tokens {
    Tokens::of("customer", answer)
}

fn lets_in(tokens: &Tokens, address: std::net::SocketAddr) -> String {
    get("/me/x").bearer(&tokens.access).to(address).verdict()
}
