//! Accounts in a users file: they sign in, and a change of the file is a change of rights.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::{
    echo::Echo,
    house::{House, Kind, PASSWORD},
    http::{Ask, get, post},
    people::{Tokens, in_the_end},
    reloading::{File, reloads},
};

/// A node with a users file beside its configuration.
struct Desk<'a> {
    house: &'a House,
    file: File<'a>,
    users: PathBuf,
    hash: String,
    generation: std::cell::Cell<u64>,
}

impl<'a> Desk<'a> {
    fn new(house: &'a House) -> Self {
        let file = File::of_node(&house.nodes[0]);
        let hash = house
            .command(&["principal", "hash", "--password-stdin"], PASSWORD)
            .success();
        let desk = Self {
            users: file.path.with_file_name("users.toml"),
            hash: hash.out.trim().to_owned(),
            generation: std::cell::Cell::new(1),
            house,
            file,
        };
        desk.put(&desk.ada("permissions = ['tickets.view']"));
        desk.file.write(&format!("{}{}", desk.file.first, desk.sections()));
        desk.until_taken();
        desk
    }

    /// The configuration of staff.
    fn sections(&self) -> String {
        format!(
            "\n[providers.desk]\nkind = 'file'\npath = '{}'\n[guards.staff]\nprovider = 'desk'\n\
             [[routes]]\nid = 'staff'\npaths = ['/staff/**']\nguards = ['staff']\npermissions = ['tickets.view']\nupstream = 'http://{}'\n",
            self.users.display(),
            Echo::shared().address
        )
    }

    fn ada(&self, more: &str) -> String {
        let hash = &self.hash;
        format!("[[users]]\nid = 'ada'\nidentifiers = ['ada', 'ada@staff.test']\npassword_hash = '{hash}'\n{more}\n")
    }

    fn bob(&self) -> String {
        format!(
            "[[users]]\nid = 'bob'\nidentifiers = ['bob']\npassword_hash = '{}'\n",
            self.hash
        )
    }

    fn put(&self, text: &str) {
        let next = self.users.with_extension("next");
        std::fs::write(&next, text).unwrap();
        std::fs::rename(next, &self.users).unwrap();
    }

    fn until_taken(&self) {
        self.generation.set(self.generation.get() + 1);
        self.file.until("bekci_config_generation", self.generation.get());
    }

    fn change(&self, text: &str) {
        self.put(text);
        self.until_taken();
    }

    fn login(identifier: &str, password: &str) -> Ask {
        post("/auth/staff/login").json(&json!({"identifier": identifier, "password": password}))
    }

    fn sign_in(&self, identifier: &str) -> Tokens {
        Tokens::of("staff", &Self::login(identifier, PASSWORD).to(self.house.address()))
    }
}

#[test]
fn a_change_of_the_file_is_a_change_of_rights_from_the_next_request_on() {
    let house = House::new(Kind::SqliteRedis, 1);
    let (desk, address) = (Desk::new(&house), house.address());
    let tokens = desk.sign_in("ada@staff.test");
    assert_eq!(tokens.verdict(address), "200");
    let me = tokens.ask("GET", "me").to(address).json();
    assert_eq!(me["data"]["key"], "staff:ada", "{me}");

    desk.change(&desk.ada("permissions = ['tickets.print']"));
    assert_eq!(tokens.verdict(address), "403 FORBIDDEN");
    desk.change(&desk.ada("permissions = ['tickets.*']\ndenied = ['tickets.view']"));
    assert_eq!(tokens.verdict(address), "403 FORBIDDEN");
    desk.change(&desk.ada("permissions = ['tickets.view']"));
    assert_eq!(tokens.verdict(address), "200");

    desk.change(&desk.ada("permissions = ['tickets.view']\nstatus = 'suspended'"));
    assert_eq!(tokens.verdict(address), "403 ACCOUNT_BANNED");
    assert_eq!(tokens.refresh().to(address).verdict(), "403 ACCOUNT_BANNED");
    assert_eq!(Desk::login("ada", PASSWORD).to(address).verdict(), "403 ACCOUNT_BANNED");

    desk.change(&desk.bob());
    assert_eq!(tokens.verdict(address), "401 IDENTITY_NOT_FOUND");
    assert_eq!(tokens.refresh().to(address).verdict(), "401 REFRESH_TOKEN_INVALID");
    assert_eq!(
        Desk::login("ada", PASSWORD).to(address).verdict(),
        "401 CREDENTIAL_INVALID"
    );
    assert_eq!(desk.sign_in("bob").verdict(address), "403 FORBIDDEN");
}

#[test]
fn an_id_that_left_the_file_and_came_back_has_nothing_of_what_it_held() {
    let house = House::new(Kind::Sqlite, 1);
    let (desk, address) = (Desk::new(&house), house.address());
    let tokens = desk.sign_in("ada");
    let given = house.sql("INSERT INTO bekci_principal_permissions (model, id, guard, permission, denied) VALUES ('staff', 'ada', 'staff', 'tickets.close', 0)");
    assert_eq!(given, "");
    desk.change(&desk.bob());
    let left = || {
        house.sql(
            "SELECT (SELECT count(*) FROM bekci_sessions WHERE model = 'staff' AND ended_at IS NULL) \
             + (SELECT count(*) FROM bekci_principal_permissions WHERE model = 'staff')",
        )
    };
    for _ in 0..crate::reloading::LOOKS {
        if left() == "0" {
            break;
        }
        std::thread::sleep(crate::reloading::LOOK_EVERY);
    }
    assert_eq!(left(), "0", "{}", desk.file.node_log());
    desk.change(&format!("{}{}", desk.ada("permissions = ['tickets.view']"), desk.bob()));
    assert_eq!(tokens.verdict(address), "401 TOKEN_INVALID");
    assert_eq!(tokens.refresh().to(address).verdict(), "401 REFRESH_TOKEN_INVALID");
    assert_eq!(desk.sign_in("ada").verdict(address), "200");
}

#[test]
fn a_bad_file_is_refused_whole_and_the_old_one_stays() {
    let house = House::new(Kind::Sqlite, 1);
    let (desk, address) = (Desk::new(&house), house.address());
    let tokens = desk.sign_in("ada");
    // What would take the right away, with a mistake below it.
    desk.put(&format!("{}{}rolls = ['support']\n", desk.ada(""), desk.bob()));
    desk.file.until(&reloads("refused"), 1);
    let log = desk.file.node_log();
    for told in ["users.toml:", "users.bob.rolls", "unknown key", "the old one stays"] {
        assert!(log.contains(told), "{told}: {log}");
    }
    assert!(!log.contains(&desk.hash), "the log holds a hash");
    assert_eq!(tokens.verdict(address), "200");
    assert_eq!(desk.sign_in("ada").verdict(address), "200");
    std::fs::remove_file(&desk.users).unwrap();
    desk.file.until(&reloads("refused"), 2);
    assert_eq!(tokens.verdict(address), "200");
    desk.change(&desk.ada(""));
    assert_eq!(tokens.verdict(address), "403 FORBIDDEN");
}

#[test]
fn an_unknown_user_and_a_wrong_password_have_one_answer() {
    let house = House::new(Kind::Sqlite, 1);
    let (desk, address) = (Desk::new(&house), house.address());
    let answer = |identifier: &str, password: &str| {
        let mut answer = Desk::login(identifier, password).to(address);
        let mut body: Value = answer.json();
        body["error"]["requestId"] = Value::Null;
        answer.body = Vec::new();
        (answer.verdict(), body)
    };
    let wrong = answer("ada", "a wrong password");
    assert!(wrong.1.to_string().contains("CREDENTIAL_INVALID"), "{wrong:?}");
    for (identifier, password) in [
        ("eve", PASSWORD),
        ("ADA", PASSWORD),
        ("staff:ada", PASSWORD),
        ("ada' OR '1'='1", PASSWORD),
        ("first@admin.test", PASSWORD),
        ("ada", &desk.hash),
    ] {
        assert_eq!(answer(identifier, password), wrong, "{identifier}");
    }
}

#[test]
fn accounts_of_a_file_are_shown_and_banned_by_commands_and_changed_in_the_file_alone() {
    let house = House::new(Kind::Sqlite, 1);
    let (desk, address) = (Desk::new(&house), house.address());
    desk.change(&format!("{}{}", desk.ada("permissions = ['tickets.view']"), desk.bob()));
    let tokens = desk.sign_in("ada");
    let sections = desk.sections();
    let command = |arguments: &[&str]| {
        house.command_with("[models.customer]", &format!("{sections}[models.customer]"), arguments)
    };
    let listed = command(&["principal", "list", "--model", "staff"]).success().out;
    assert!(listed.contains("staff:ada") && listed.contains("staff:bob"), "{listed}");
    let found = command(&["principal", "list", "--model", "staff", "--search", "STAFF.test"])
        .success()
        .out;
    assert!(found.contains("staff:ada") && !found.contains("staff:bob"), "{found}");
    command(&["principal", "ban", "staff:ada", "--reason", "badge lost"]).success();
    assert_eq!(
        in_the_end(&get("/staff/x").bearer(&tokens.access), address, "403 ACCOUNT_BANNED").verdict(),
        "403 ACCOUNT_BANNED"
    );
    command(&["principal", "unban", "staff:ada"]).success();
    assert_eq!(tokens.verdict(address), "200");
    let refused = command(&["principal", "delete", "staff:ada", "--yes"]);
    assert!(
        refused.code == Some(1) && refused.err.contains("its provider"),
        "{refused:?}"
    );

    let good = command(&["config", "check"]).success().out;
    assert!(good.contains("2 accounts of model staff"), "{good}");
    desk.put("[[users]]\nid = 'ada'\nidentifiers = ['ada']\nstatus = 7\n");
    let bad = command(&["config", "check"]);
    assert!(
        bad.code == Some(1) && bad.err.contains("users.toml:4:10: users.ada.status: must be a text"),
        "{bad:?}"
    );
}
