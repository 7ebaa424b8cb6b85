//! The commands that do their work and end.

use std::{
    io::{Read, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use bekci_test_support::{MariaDb, Postgres, TempDir, mariadb_cli, psql, sqlite3_cli};
use serde_json::Value;

use crate::{
    house::{House, Kind, PASSWORD, Ran, run, run_in},
    http::post,
};

/// A configuration in a folder of its own.
struct Place {
    folder: TempDir,
    config: PathBuf,
}

impl Place {
    fn new(text: &str) -> Self {
        let folder = TempDir::new("place");
        let config = folder.path().join("bekci.toml");
        std::fs::write(&config, text).unwrap();
        Self { folder, config }
    }

    /// Two guards on this database, listening nowhere in particular.
    fn on(database: &str) -> Self {
        Self::new(&format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nops_listen = \"127.0.0.1:0\"\n[database]\nurl = \"{database}\"\n"
        ))
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        run(&self.config, arguments, "")
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }
}

#[test]
fn wrong_usage_exits_2_and_says_what_is_wrong() {
    let folder = TempDir::new("usage");
    for (arguments, said) in [
        (&["dmo"][..], "'demo'"),
        (&["demo", "--listen", "nowhere"], "--listen"),
        (&["principal", "add", "--model", "customer"], "--email"),
        (&["principal", "add", "--password", "x"], "'--password-stdin'"),
        (&["migrate", "sideways"], "sideways"),
        (&["config", "show", "--output", "xml"], "json"),
        (&[], "Usage"),
    ] {
        let ran = run_in(folder.path(), arguments, "");
        assert_eq!(ran.code, Some(2), "{arguments:?}: {ran:?}");
        assert!(ran.err.contains(said), "{arguments:?}: {ran:?}");
    }
    // Machines look at standard output, and find one value there.
    let ran = run_in(folder.path(), &["migrate", "sideways", "--output", "json"], "");
    let told: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(
        (ran.code, &told["error"]["message"]),
        (Some(2), &serde_json::json!("unrecognized subcommand 'sideways'"))
    );
}

#[test]
fn config_check_reads_the_policy_model_where_a_route_asks_it() {
    let routes = |policy: &str| {
        format!(
            "[policy]\nmodel = \"nowhere.conf\"\n[[routes]]\nid = \"x\"\npaths = [\"/x\"]\nguards = [\"customer\"]\npolicy = {policy}\n"
        )
    };
    let ran = Place::new(&routes("true")).run(&["config", "check"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("bekci.toml:2:9: policy.model: "), "{}", ran.err);
    Place::new(&routes("false")).run(&["config", "check"]).success();
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/../../config/casbin_model.conf");
    let seedless = routes("true").replace("nowhere.conf", &format!("{shipped}\"\nseed = \"nowhere.csv"));
    let ran = Place::new(&seedless).run(&["config", "check"]);
    assert_eq!(ran.code, Some(1), "nothing starts without it");
    assert!(ran.err.contains("bekci.toml:3:8: policy.seed: "), "{}", ran.err);
}

#[test]
fn config_check_reads_the_certificate_of_the_listeners() {
    let ran =
        Place::new("[server]\ntls = { cert = \"nowhere.pem\", key = \"nowhere.pem\" }\n").run(&["config", "check"]);
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.err.contains("bekci.toml:2:7: server.tls: nowhere.pem: "),
        "{}",
        ran.err
    );
}

#[test]
fn a_database_that_is_made_is_closed_to_others_in_a_folder_that_is_not() {
    let place = Place::new("[database]\nurl = \"sqlite://bekci.db\"\n");
    place.run(&["migrate", "up"]).success();
    let about = std::fs::metadata(place.path().join("bekci.db")).unwrap();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&about.permissions()) & 0o077, 0);
}

#[test]
fn config_check_names_every_mistake_with_its_line() {
    let place = Place::new(
        "[server]\nlisten = \"nowhere\"\nworkrs = 3\n[guards.customer]\nmodel = \"Customer\"\naccess_ttl_seconds = 0\n\
         [[routes]]\nid = \"x\"\npaths = [\"/x\"]\nguards = [\"customr\"]\nupstream = \"http://127.0.0.1:9\"\n",
    );
    let ran = place.run(&["config", "check"]);
    assert_eq!(ran.code, Some(1));
    for (line, said) in [
        (2, "listen"),
        (3, "workers"),
        (5, "model"),
        (6, "access_ttl_seconds"),
        (10, "customr"),
    ] {
        let place = format!("bekci.toml:{line}:");
        let told = ran.err.lines().find(|told| told.contains(&place));
        assert!(
            told.is_some_and(|told| told.contains(said)),
            "{line} {said}: {}",
            ran.err
        );
    }
}

#[test]
fn config_check_says_what_is_good_and_which_route_is_never_reached() {
    let route = |id: &str, methods: &str| {
        let to = "public = true\nupstream = \"http://127.0.0.1:9\"";
        format!("[[routes]]\nid = \"{id}\"\npaths = [\"/x\"]\nmethods = [{methods}]\n{to}\n")
    };
    let place = Place::new(&format!(
        "{}{}{}",
        route("all", "\"*\""),
        route("reading", "\"GET\", \"HEAD\""),
        route("writing", "\"POST\", \"PUT\", \"PATCH\", \"DELETE\", \"OPTIONS\"")
    ));
    let ran = place.run(&["config", "check"]).success();
    assert!(ran.out.contains("2 guards, 3 routes"), "{}", ran.out);
    assert!(
        ran.out.contains("bekci.toml:1:1: route all can never be reached"),
        "{}",
        ran.out
    );
}

#[test]
fn config_show_masks_secrets() {
    let place = Place::new(
        "[database]\nurl = \"postgres://bekci:pa55-in-url@db/x\"\n[redis]\nenabled = true\npassword = \"pa55-of-redis\"\n\
         [token]\nalgorithm = \"HS256\"\n[secrets]\n\
         jwt = \"pa55-of-jwt-x9Q2vTz7Lk0Rj4Ws8Yd1Bm6Hc3Pn5GfE0uKq7Ao2XiVt9ZrJw4Sl8NyCb6DhMp3F\"\n",
    );
    for output in ["text", "json"] {
        let ran = place.run(&["config", "show", "--output", output]).success();
        assert!(!ran.out.contains("pa55") && !ran.err.contains("pa55"), "{ran:?}");
        assert!(ran.out.contains("HS256"));
    }
}

#[test]
fn migrate_makes_the_schema_once_and_tells_what_is_missing() {
    let place = Place::new("");
    let status = |place: &Place| -> Value {
        let ran = place.run(&["migrate", "status", "--output", "json"]).success();
        serde_json::from_str(&ran.out).unwrap()
    };
    let before = status(&place);
    assert_eq!(before["current"], false);
    assert_eq!(before["missingTables"].as_array().unwrap().len(), 2, "{before}");

    assert!(place.run(&["migrate", "up"]).success().out.contains("customers"));
    assert_eq!(status(&place)["current"], true);
    assert_eq!(place.run(&["migrate", "up"]).success().out, "nothing to do\n");

    let refused = place.run(&["migrate", "down"]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("--yes"), "{refused:?}");
}

#[test]
fn a_new_epoch_is_for_a_database_that_has_one() {
    let place = Place::new("");
    place.run(&["migrate", "up"]).success();
    let changed = place.run(&["migrate", "epoch", "--output", "json"]).success();
    assert_eq!(serde_json::from_str::<Value>(&changed.out).unwrap()["changed"], true);
    let empty = Place::new("[database]\nauto_migrate = false\n");
    let refused = empty.run(&["migrate", "epoch"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
}

#[test]
fn a_new_deployment_gets_its_roles_from_a_file_and_a_second_time_nothing_changes() {
    let place = Place::new("");
    place.run(&["migrate", "up"]).success();
    let file = place.path().join("roles.toml");
    let text = "[[role]]\nguard = 'admin'\nname = 'support'\npermissions = ['orders.view', 'tickets.*']\n\
                [[role]]\nguard = 'customer'\ntenant = 'acme'\nname = 'buyer'\npermissions = []\n";
    std::fs::write(&file, text).unwrap();
    let import = || {
        let arguments = ["role", "import", file.to_str().unwrap(), "--output", "json"];
        serde_json::from_str::<Value>(&place.run(&arguments).success().out).unwrap()
    };
    let first = import();
    assert_eq!(
        (&first["roles"], first["changed"].as_array().unwrap().len()),
        (&Value::from(2), 2)
    );
    let second = import();
    assert_eq!(second["changed"].as_array().unwrap().len(), 0, "{second}");
    let shown = place.run(&["role", "show", "support", "--guard", "admin"]).success();
    assert!(
        shown.out.contains("orders.view") && shown.out.contains("tickets.*"),
        "{shown:?}"
    );
    // One mistake, and no role is made.
    for wrong in [
        "[[role]]\nguard = 'nobody'\nname = 'a'\npermissions = []\n",
        "[[roles]]\n",
        "[[role]]\nguard = 'admin'\nname = 'a b'\npermissions = []\n",
    ] {
        let good = "[[role]]\nguard = 'admin'\nname = 'fresh'\npermissions = []\n";
        std::fs::write(&file, format!("{good}{wrong}")).unwrap();
        let refused = place.run(&["role", "import", file.to_str().unwrap()]);
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert_eq!(place.run(&["role", "show", "fresh", "--guard", "admin"]).code, Some(1));
    }
}

#[test]
fn migrate_status_makes_nothing_where_there_is_no_database() {
    let place = Place::new("");
    let there = || {
        let mut names: Vec<_> = std::fs::read_dir(place.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        names
    };
    let before = there();
    let ran = place.run(&["migrate", "status"]).success();
    assert!(
        ran.out.starts_with("there is no database yet") && ran.out.contains("missing tables: admins, customers"),
        "{ran:?}"
    );
    let told: Value =
        serde_json::from_str(&place.run(&["migrate", "status", "--output", "json"]).success().out).unwrap();
    assert_eq!((&told["database"], &told["current"]), (&false.into(), &false.into()));
    assert_eq!(there(), before, "asking makes nothing");
    place.run(&["migrate", "up"]).success();
    let told: Value =
        serde_json::from_str(&place.run(&["migrate", "status", "--output", "json"]).success().out).unwrap();
    assert_eq!((&told["database"], &told["current"]), (&true.into(), &true.into()));
}

#[test]
fn the_statements_that_migrate_prints_make_the_schema() {
    let place = Place::new("");
    let sql = place.run(&["migrate", "up", "--sql"]).success().out;
    std::fs::create_dir(place.path().join("data")).unwrap();
    sqlite3_cli(&place.path().join("data/bekci.db"), &sql);
    assert_eq!(place.run(&["migrate", "status"]).success().out, "up to date\n");

    let url = Postgres::shared().fresh_database("printed");
    let place = Place::on(&url);
    psql(&url, &place.run(&["migrate", "up", "--sql"]).success().out);
    assert_eq!(place.run(&["migrate", "status"]).success().out, "up to date\n");

    let url = MariaDb::shared().fresh_database("printed");
    let place = Place::on(&url);
    mariadb_cli(&url, &place.run(&["migrate", "up", "--sql"]).success().out);
    assert_eq!(place.run(&["migrate", "status"]).success().out, "up to date\n");
}

#[test]
fn an_account_made_by_the_command_signs_in() {
    let house = House::shared(Kind::Sqlite);
    for guard in ["customer", "admin"] {
        let body = serde_json::json!({"email": format!("first@{guard}.test"), "password": PASSWORD});
        let answer = post(&format!("/auth/{guard}/login")).json(&body).to(house.address());
        assert_eq!(answer.verdict(), "200");
        assert_eq!(answer.json()["data"]["user"]["key"], format!("{guard}:1"));
    }
}

#[test]
fn a_password_that_is_no_good_makes_no_account() {
    let place = Place::new("");
    let add = [
        "principal",
        "add",
        "--create",
        "--model",
        "customer",
        "--email",
        "a@b.test",
        "--password-stdin",
    ];
    for password in ["short", "", "correct horse battery staple"] {
        let ran = run(&place.config, &add, password);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.err.contains("the password"), "{ran:?}");
    }
    let ran = run(
        &place.config,
        &[
            "principal",
            "add",
            "--model",
            "partner",
            "--email",
            "a@b.test",
            "--password-stdin",
        ],
        "",
    );
    assert!(ran.err.contains("partner"), "{ran:?}");
}

#[test]
fn on_a_server_database_serve_makes_no_keys_and_no_schema_and_says_which_command_does() {
    let url = Postgres::shared().fresh_database("bare");
    let place = Place::on(&url);

    let ran = place.run(&["serve"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        ran.err.contains("bekci migrate up") && ran.err.contains("auto_migrate"),
        "{ran:?}"
    );

    place.run(&["migrate", "up"]).success();
    let ran = place.run(&["serve"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        ran.err.contains("root") && ran.err.contains("bekci key generate"),
        "{ran:?}"
    );

    let made = place.run(&["key", "generate"]).success();
    assert_eq!(made.out.lines().count(), 3, "{made:?}");
    assert_eq!(place.run(&["key", "generate"]).success().out, "nothing is missing\n");
    let keys = place.path().join("data/keys");
    std::fs::remove_dir_all(keys.join("admin")).unwrap();
    let ran = place.run(&["serve"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        ran.err.contains("guard admin") && ran.err.contains("bekci key generate"),
        "{ran:?}"
    );
}

/// `script` (of util-linux) gives the command a terminal; each line is typed when the command has asked for it.
fn at_a_terminal(place: &Place, answers: [&str; 2]) -> (Option<i32>, String) {
    let command = format!(
        "{} principal add --create --model admin --email a@b.test --config {}",
        env!("CARGO_BIN_EXE_bekci"),
        place.config.display()
    );
    let mut child = Command::new("script")
        .args(["-qec", &command, "/dev/null"])
        .current_dir(place.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut keyboard = child.stdin.take().unwrap();
    let mut screen = child.stdout.take().unwrap();
    let mut told = Vec::new();
    for (prompt, answer) in ["Password: ", "Once more: "].into_iter().zip(answers) {
        let mut byte = [0];
        while !told.ends_with(prompt.as_bytes()) && screen.read(&mut byte).unwrap() == 1 {
            told.push(byte[0]);
        }
        writeln!(keyboard, "{answer}").unwrap();
    }
    drop(keyboard);
    screen.read_to_end(&mut told).unwrap();
    (
        child.wait().unwrap().code(),
        String::from_utf8_lossy(&told).into_owned(),
    )
}

#[test]
fn a_password_is_asked_for_twice_at_the_terminal() {
    let place = Place::on("sqlite://data/bekci.db");
    let (code, told) = at_a_terminal(&place, [PASSWORD, "another long password"]);
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("not the same twice"), "{told}");
    let (code, told) = at_a_terminal(&place, [PASSWORD, PASSWORD]);
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("made admin:1"), "{told}");
    let missing = run(
        &place.config,
        &["principal", "add", "--model", "admin", "--email", "b@b.test"],
        PASSWORD,
    );
    assert_eq!(missing.code, Some(2), "{missing:?}");
    assert!(missing.err.contains("--password-stdin"), "{missing:?}");
}

#[test]
fn the_first_account_on_sqlite_makes_what_is_missing_for_its_owner_alone() {
    let place = Place::on("sqlite://data/bekci.db");
    let add = |model, more: &[&str]| {
        let about = ["--model", model, "--email", "a@b.test", "--password-stdin"];
        run(
            &place.config,
            &[&["principal", "add"][..], &about[..], more].concat(),
            PASSWORD,
        )
    };
    let refused = add("admin", &[]);
    assert!(refused.err.contains("--create makes it"), "{refused:?}");
    assert!(!place.path().join("data").exists(), "nothing is made by the way");
    let made = add("admin", &["--create"]).success();
    assert!(made.out.starts_with("made database "), "{made:?}");
    let folder = std::fs::metadata(place.path().join("data")).unwrap();
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&folder.permissions()) & 0o777,
        0o700
    );
    let wrong = add("admni", &[]);
    assert_eq!(wrong.code, Some(1), "{wrong:?}");
    assert!(wrong.err.contains("there are: admin, customer"), "{wrong:?}");
}
