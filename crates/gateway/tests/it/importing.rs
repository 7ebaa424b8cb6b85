//! `bekci principal import`: accounts of other systems, from files with mistakes, interrupted and repeated, while a node serves.

use std::{
    fmt::Write as _,
    io::Write as _,
    process::{Command, Stdio},
    time::Duration,
};

use bekci_test_support::TempDir;
use serde_json::{Value, json};

use crate::{
    house::{BEKCI, House, Kind},
    http::{get, post},
};

/// The example that Firebase publishes, and what its console shows of the project.
const FIREBASE_HASH: &str = "lSrfV15cpx95/sZS2W9c9Kp6i/LVgQNDNC/qzrCnh1SAyZvqmZqAjTdn3aoItz+VHjoZilo78198JAdRuid5lQ==";
const FIREBASE_CONSOLE: &str = "hash_config {\n  algorithm: SCRYPT,\n  \
    base64_signer_key: jxspr8Ki0RYycVU8zykbdLGjFQ3McFUH0uiiTvC8pVMXAn210wjLNmdZJzxUECKbm0QsEmYUSDzZvpjeJ9WmXA==,\n  \
    base64_salt_separator: Bw==,\n  rounds: 8,\n  mem_cost: 14,\n}\n";
const DJANGO: (&str, &str) = (
    "lètmein",
    "pbkdf2_sha256$1000$seasalt$JgZryXe2Ga8ysg6XbzkLpTdyPQrHqsinbL9BnnhgX4A=",
);
const BCRYPT: (&str, &str) = ("U*U", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW");
const ARGON2: (&str, &str) = (
    "password",
    "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
);

struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(TempDir::new("import"))
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

fn import(house: &House, file: &str, more: &[&str]) -> Value {
    house.told(&[&["principal", "import", file, "--model", "customer"][..], more].concat())
}

fn count(house: &House, condition: &str) -> u64 {
    let sql = format!("SELECT count(*) FROM customers WHERE {condition}");
    house.sql(&sql).trim().parse().unwrap()
}

fn counts(told: &Value) -> [u64; 3] {
    ["imported", "present", "refused"].map(|name| told[name].as_u64().unwrap_or_else(|| panic!("{told}")))
}

const LOOKS: u32 = 3_000;
const LOOK_EVERY: Duration = Duration::from_millis(20);

fn until(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..LOOKS {
        if is_so() {
            return;
        }
        std::thread::sleep(LOOK_EVERY);
    }
    panic!("{what}");
}

#[test]
fn accounts_of_other_systems_sign_in_on_sqlite() {
    accounts_of_other_systems_sign_in(&House::new(Kind::Sqlite, 1));
}

#[test]
fn accounts_of_other_systems_sign_in_on_postgres() {
    accounts_of_other_systems_sign_in(&House::new(Kind::Postgres, 1));
}

#[test]
fn accounts_of_other_systems_sign_in_on_mariadb() {
    accounts_of_other_systems_sign_in(&House::new(Kind::MariaDb, 1));
}

fn accounts_of_other_systems_sign_in(house: &House) {
    let files = Files::new();
    let mut csv = "email,name,password_hash,verified\n".to_owned();
    for (name, (_, hash)) in [("django", DJANGO), ("php", BCRYPT), ("argon", ARGON2)] {
        writeln!(csv, "{name}@customer.test,\"Name, of {name}\",\"{hash}\",true").unwrap();
    }
    let csv = files.write("others.csv", &csv);
    let users = json!({"localId": "x1", "email": "firebase@customer.test", "emailVerified": true, "passwordHash": FIREBASE_HASH, "salt": "42xEC+ixf3L2lw==", "displayName": null});
    let users = files.write("users.jsonl", &format!("{users}\n"));
    let parameters = files.write("firebase.txt", FIREBASE_CONSOLE);
    let of_firebase = [
        "--map",
        "passwordHash=password_hash",
        "--map",
        "salt=password_salt",
        "--map",
        "emailVerified=verified",
        "--map",
        "displayName=name",
        "--map",
        "localId=-",
        "--firebase-parameters",
        &parameters,
    ];
    assert_eq!(counts(&import(house, &csv, &[])), [3, 0, 0]);
    assert_eq!(counts(&import(house, &users, &of_firebase)), [1, 0, 0]);
    assert_eq!(
        house
            .sql("SELECT name FROM customers WHERE email = 'php@customer.test'")
            .trim(),
        "Name, of php"
    );
    for (name, password) in [
        ("django", DJANGO.0),
        ("php", BCRYPT.0),
        ("argon", ARGON2.0),
        ("firebase", "user1password"),
    ] {
        let email = format!("{name}@customer.test");
        let sign_in = |password: &str| {
            let body = json!({"email": email, "password": password});
            post("/auth/customer/login").json(&body).to(house.address()).verdict()
        };
        assert_eq!(sign_in("user2password"), "401 CREDENTIAL_INVALID", "{name}");
        assert_eq!(sign_in(password), "200", "{name}");
        let replaced = format!("email = '{email}' AND password_hash LIKE '$argon2id$v=19$m=7168%'");
        until("a hash of another system is replaced", || count(house, &replaced) == 1);
        assert_eq!(sign_in(password), "200", "{name}, after its hash was replaced");
    }
}

#[test]
fn lines_with_mistakes_are_named_and_keep_no_other_line_out() {
    for kind in [Kind::Sqlite, Kind::Postgres, Kind::MariaDb] {
        let house = House::new(kind, 0);
        let files = Files::new();
        let good = DJANGO.1;
        let text = format!(
            "email,password_hash,name\n\
             a@customer.test,{good},A\n\
             A@customer.test,{good},\n\
             b@customer.test,md5$abc,B\n\
             ,{good},C\n\
             d@customer.test,{good}\n\
             e@customer.test,pbkdf2_sha256$2000001$s$VawEblbjCJ/sFpHCJUS2BflBhSFt3gRl5oudV8INrLw=,E\n\
             first@customer.test,{good},F\n\
             g@customer.test,,G\n\
             ŞŞ@customer.test,{good},H\n"
        );
        let file = files.write("mistakes.csv", &text);
        let before = count(&house, "1 = 1");
        let dry = import(&house, &file, &["--dry-run"]);
        assert_eq!(counts(&dry), [3, 1, 5], "{dry}");
        assert_eq!(count(&house, "1 = 1"), before, "a dry run writes nothing");
        let told = import(&house, &file, &[]);
        assert_eq!(counts(&told), [3, 1, 5], "{told}");
        let errors: Vec<(u64, &str)> = told["errors"]
            .as_array()
            .unwrap()
            .iter()
            .map(|error| (error["line"].as_u64().unwrap(), error["code"].as_str().unwrap()))
            .collect();
        let wrong = "VALIDATION_FAILED";
        assert_eq!(
            errors,
            [(3, "CONFLICT"), (4, wrong), (5, wrong), (6, wrong), (7, wrong)]
        );
        assert!(!told.to_string().contains("md5$abc"), "no hash is told");
        let again = import(&house, &file, &[]);
        assert_eq!(counts(&again), [0, 4, 5], "{again}");
        let ran = house.command(&["principal", "import", &file, "--model", "customer"], "");
        assert_eq!(ran.code, Some(1));
        assert!(
            ran.out.contains("line 3: CONFLICT: line 2 has the same identifier"),
            "{ran:?}"
        );
        assert_eq!(count(&house, "email = 'g@customer.test' AND password_hash IS NULL"), 1);
    }
}

#[test]
fn what_the_database_refuses_costs_the_line_alone() {
    for (kind, alter) in [
        (Kind::Postgres, "ALTER COLUMN password_hash TYPE"),
        (Kind::MariaDb, "MODIFY password_hash"),
    ] {
        let house = House::new(kind, 0);
        house.sql(&format!(
            "ALTER TABLE customers ADD COLUMN age integer CHECK (age > 0); ALTER TABLE customers {alter} varchar(100)"
        ));
        costs_the_line_alone(&house);
    }
}

fn costs_the_line_alone(house: &House) {
    let files = Files::new();
    let lines: Vec<String> = (0..20)
        .map(|n| json!({"email": format!("p{n}@customer.test"), "age": n % 10, "password_hash": ARGON2.1}).to_string())
        .chain([json!({"email": "q@customer.test", "age": "many"}).to_string()])
        .chain([
            json!({"email": "r@customer.test", "ages": 7}).to_string(),
            "[]".to_owned(),
            "{".to_owned(),
        ])
        .collect();
    let told = import(house, &files.write("p.jsonl", &lines.join("\n")), &[]);
    assert_eq!(counts(&told), [18, 0, 6], "{told}");
    let refused: Vec<u64> = told["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["line"].as_u64().unwrap())
        .collect();
    assert_eq!(refused, [1, 11, 21, 22, 23, 24]);
}

#[test]
fn a_field_without_a_column_is_refused_before_the_first_line_and_an_id_is_kept() {
    for kind in [Kind::Postgres, Kind::MariaDb] {
        keeps_ids(&House::new(kind, 0));
    }
}

fn keeps_ids(house: &House) {
    let files = Files::new();
    let file = files.write(
        "ids.csv",
        "id,email,city\n900,k@customer.test,x\n-1,l@customer.test,x\n",
    );
    let told = import(house, &file, &[]);
    let said = told["error"]["message"].as_str().unwrap();
    assert!(
        said.contains("no column city") && said.contains("--map city=-"),
        "{said}"
    );
    let told = import(house, &file, &["--map", "city=-", "--set", "name=Of the file"]);
    assert_eq!(counts(&told), [1, 0, 1], "{told}");
    assert_eq!(count(house, "id = 900 AND name = 'Of the file'"), 1);
    let add = [
        "principal",
        "add",
        "--model",
        "customer",
        "--email",
        "n@customer.test",
        "--password-stdin",
    ];
    let made = house.command(&add, "another lantern orbit meadow").success();
    assert_eq!(
        made.out.trim(),
        "made customer:901",
        "the database counts on behind the ids that were kept"
    );
    let other = files.write(
        "others.csv",
        "id,email\n901,k@customer.test\n900,m@customer.test\n900,k@customer.test\n",
    );
    let told = import(house, &other, &[]);
    assert_eq!(counts(&told), [0, 0, 3], "{told}");
    let whole = files.write("whole.csv", "id,email\n900,k@customer.test\n");
    assert_eq!(counts(&import(house, &whole, &[])), [0, 1, 0]);
}

/// Ten thousand, of which the command is ended after the first batch.
#[test]
fn an_import_that_was_interrupted_is_repeated_and_is_in_force_on_a_running_node() {
    for kind in [Kind::Sqlite, Kind::PostgresRedis, Kind::MariaDb] {
        let house = House::new(kind, 1);
        let files = Files::new();
        let mut csv = "email,password_hash\n".to_owned();
        for n in 0..10_000 {
            writeln!(csv, "many{n}@customer.test,\"{}\"", ARGON2.1).unwrap();
        }
        let config = house
            .root_file()
            .parent()
            .unwrap()
            .parent()
            .unwrap()
            .join("commands.toml");
        let mut child = Command::new(BEKCI)
            .args([
                "principal",
                "import",
                "-",
                "--format",
                "csv",
                "--model",
                "customer",
                "--config",
            ])
            .arg(&config)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let some: String = csv
            .lines()
            .take(800)
            .fold(String::new(), |text, line| text + line + "\n");
        let mut input = child.stdin.take().unwrap();
        input.write_all(some.as_bytes()).unwrap();
        input.flush().unwrap();
        until("the first batch is there", || count(&house, "email LIKE 'many%'") > 0);
        child.kill().unwrap();
        child.wait().unwrap();
        drop(input);
        let there = count(&house, "email LIKE 'many%'");
        assert_eq!(there, 500, "{kind:?}: one batch, and no half of another");
        let told = import(&house, &files.write("many.csv", &csv), &[]);
        assert_eq!(counts(&told), [9_500, 500, 0], "{told}");
        let body = json!({"email": "MANY9999@customer.test", "password": ARGON2.0});
        assert_eq!(
            post("/auth/customer/login").json(&body).to(house.address()).verdict(),
            "200"
        );
    }
}

/// A line is imported with its rights or not at all, and its rights decide on a running node.
#[test]
fn rights_of_a_line_come_with_its_account_or_the_line_is_refused() {
    for kind in [Kind::Sqlite, Kind::Postgres, Kind::MariaDb] {
        let house = House::new(kind, 1);
        let files = Files::new();
        house.sql("INSERT INTO bekci_roles (guard, tenant, name) VALUES ('customer', 'acme', 'keeper')");
        let csv = format!(
            "email,password_hash,roles,permissions,tenant\n\
             a@customer.test,\"{hash}\",\"buyer, reader\",orders.view,\n\
             b@customer.test,\"{hash}\",,,acme\n\
             c@customer.test,\"{hash}\",keeper,\"orders.export,orders.view\",acme\n\
             d@customer.test,\"{hash}\",keeper,,\n\
             e@customer.test,\"{hash}\",byer,,\n\
             f@customer.test,\"{hash}\",,Orders!,\n\
             g@customer.test,\"{hash}\",buyer,,Not a tenant\n\
             first@customer.test,,reader,,\n",
            hash = ARGON2.1
        );
        let file = files.write("rights.csv", &csv);
        let held = |table: &str| {
            let sql = format!("SELECT count(*) FROM bekci_principal_{table} WHERE model = 'customer'");
            house.sql(&sql).trim().to_owned()
        };
        let before = held("roles");
        let dry = import(&house, &file, &["--guard", "customer", "--dry-run"]);
        assert_eq!(counts(&dry), [3, 1, 4], "{dry}");
        assert_eq!(held("roles"), before, "a dry run writes nothing");
        let told = import(&house, &file, &["--guard", "customer"]);
        assert_eq!(counts(&told), [3, 1, 4], "{told}");
        let errors: Vec<_> = told["errors"].as_array().unwrap().iter().collect();
        let places: Vec<_> = errors
            .iter()
            .map(|error| (error["line"].as_u64().unwrap(), error["code"].as_str().unwrap()))
            .collect();
        let wrong = "VALIDATION_FAILED";
        assert_eq!(places, [(5, "NOT_FOUND"), (6, "NOT_FOUND"), (7, wrong), (8, wrong)]);
        assert!(
            errors[1]["message"]
                .as_str()
                .unwrap()
                .contains("bekci role add byer --guard customer"),
            "{told}"
        );
        let list =
            |table: &str, name: &str| {
                house.sql(&format!(
                "SELECT substr(email, 1, 1) || ' ' || p.guard || ' ' || p.tenant || ' ' || {name} FROM customers AS c \
                 JOIN bekci_principal_{table} AS p ON p.model = 'customer' AND p.id = {id} \
                 WHERE email IN ('a@customer.test', 'b@customer.test', 'c@customer.test') ORDER BY 1",
                id = if kind == Kind::MariaDb { "CAST(c.id AS char)" } else { "CAST(c.id AS text)" },
            ))
            };
        assert_eq!(
            list("roles", "role").lines().collect::<Vec<_>>(),
            ["a customer  buyer", "a customer  reader", "c customer acme keeper"]
        );
        assert_eq!(
            list("permissions", "permission").lines().collect::<Vec<_>>(),
            [
                "a customer  orders.view",
                "c customer acme orders.export",
                "c customer acme orders.view"
            ]
        );
        let refused = "email IN ('d@customer.test', 'e@customer.test', 'f@customer.test', 'g@customer.test')";
        assert_eq!(count(&house, refused), 0, "nothing of a refused line is written");
        let roles = house.sql("SELECT count(*) FROM bekci_principal_roles WHERE role = 'reader'");
        assert_eq!(roles.trim(), "1", "an account that exists keeps what it holds");
        for (name, verdict) in [("a", "200"), ("b", "403 FORBIDDEN")] {
            let body = json!({"email": format!("{name}@customer.test"), "password": ARGON2.0});
            let signed_in = post("/auth/customer/login").json(&body).to(house.address());
            let token = signed_in.json()["data"]["accessToken"].as_str().unwrap().to_owned();
            let answer = get("/orders/x").bearer(&token).to(house.address());
            assert_eq!(answer.verdict(), verdict, "{name}");
        }
    }
}

/// One row of a batch that the database refuses takes neither the rights of the others nor leaves its own behind.
#[test]
fn what_the_database_refuses_leaves_no_rights_behind() {
    let house = House::new(Kind::Postgres, 0);
    house.sql("ALTER TABLE customers ADD COLUMN age integer CHECK (age > 0)");
    let files = Files::new();
    let line = |n: u64| json!({"email": format!("r{n}@customer.test"), "age": n % 5, "team": ["buyer"], "permissions": "orders.view"});
    let lines: Vec<String> = (0..20).map(|n| line(n).to_string()).collect();
    let more = ["--guard", "customer", "--map", "team=@roles"];
    let told = import(&house, &files.write("r.jsonl", &lines.join("\n")), &more);
    assert_eq!(counts(&told), [16, 0, 4], "{told}");
    for table in ["roles", "permissions"] {
        let held = house.sql(&format!(
            "SELECT count(*), count(c.id) FROM bekci_principal_{table} AS p LEFT JOIN customers AS c ON c.id::text = p.id AND email LIKE 'r%@customer.test' \
             WHERE p.model = 'customer' AND p.id NOT IN (SELECT id::text FROM customers WHERE email NOT LIKE 'r%@customer.test')"
        ));
        assert_eq!(held.trim(), "16|16", "{table}");
    }
    let several = house.told(&[
        "principal",
        "import",
        &files.write("s.jsonl", &line(21).to_string()),
        "--model",
        "customer",
        "--map",
        "team=-",
    ]);
    assert_eq!(
        counts(&several),
        [1, 0, 0],
        "the guard of the model's name is meant: {several}"
    );
}
