use super::{load_with, loaded, mistake, refused};

#[test]
fn every_mistake_is_told_with_its_line_and_column() {
    let text = "\
[server]
listen = 'localhost'
wrokers = 2

[guards.customer]
  acess_ttl_seconds = 900
access_ttl_seconds = 86400
sources = ['header', 'query']

[gaurds.admin]
";
    assert_eq!(
        refused(text),
        [
            "bekci.toml:2:10: server.listen: \"localhost\" is not an address and port, as 127.0.0.1:8080 or [::1]:8080",
            "bekci.toml:3:1: server.wrokers: unknown key; did you mean workers?",
            "bekci.toml:6:3: guards.customer.acess_ttl_seconds: unknown key; did you mean access_ttl_seconds?",
            "bekci.toml:7:22: guards.customer.access_ttl_seconds: 86400 is out of range; it may be 1 to 3600",
            "bekci.toml:8:22: guards.customer.sources[1]: \"query\" is not one of header, cookie",
            "bekci.toml:10:2: gaurds: unknown key; did you mean guards?",
        ]
    );
}

#[test]
fn a_key_in_the_wrong_section_is_told_where_it_belongs() {
    assert_eq!(
        mistake("[server]\nmax_connections = 5\n"),
        "bekci.toml:2:1: server.max_connections: unknown key; database has a key of this name"
    );
}

#[test]
fn every_error_of_the_syntax_is_told_and_none_shows_the_line() {
    let problems = refused("[database]\npassword = 'hunter2\nurl = \n[server\n");
    assert!(problems.len() > 1, "{problems:?}");
    assert!(
        problems
            .iter()
            .all(|problem| problem.contains("is not TOML") && !problem.contains("hunter2")),
        "{problems:?}"
    );
    assert!(
        problems.iter().any(|problem| problem.starts_with("bekci.toml:2:")),
        "{problems:?}"
    );
}

#[test]
fn a_column_counts_characters_not_bytes() {
    assert!(
        mistake(
            "log = { format = 'bekçi', level = 5 }\n"
                .replace("'bekçi'", "'json'")
                .as_str()
        )
        .starts_with("bekci.toml:1:34:")
    );
    assert!(mistake("mesages = { \"ç\" = 'ş' }\n").starts_with("bekci.toml:1:1:"));
    assert!(
        refused("log = { \"çç\" = 1, level = 5 }\n")
            .iter()
            .any(|problem| problem.starts_with("bekci.toml:1:27:"))
    );
}

#[test]
fn what_is_logged_is_a_level_or_says_what_of() {
    for bad in ["loud", "", "bekci", "info;debug"] {
        assert!(
            mistake(&format!("[log]\nlevel = '{bad}'\n")).starts_with("bekci.toml:2:9: log.level: "),
            "{bad}"
        );
    }
    for good in ["off", "WARN", "info,bekci=debug", "bekci=trace", "warn,bekci"] {
        loaded(&format!("[log]\nlevel = '{good}'\n"));
    }
}

#[test]
fn a_value_of_the_wrong_type_is_told_by_its_type() {
    let problems =
        refused("server = 1\nroutes = {}\n[redis]\nenabled = 'yes'\n[database]\nmax_connections = 1.5\nurl = 7\n");
    assert_eq!(
        problems,
        [
            "bekci.toml:1:10: server: must be a table, not a number",
            "bekci.toml:2:10: routes: is a list: write [[routes]]",
            "bekci.toml:4:11: redis.enabled: must be true or false, not a text",
            "bekci.toml:6:19: database.max_connections: must be a whole number, not a fraction",
            "bekci.toml:7:7: database.url: must be a text, { file = \"..\" } or { env = \"..\" }, not a number",
        ]
    );
}

#[test]
fn a_required_key_that_is_missing_is_told_at_its_table() {
    let problems = refused("[[routes]]\nguards = ['customer']\n");
    assert_eq!(problems.len(), 2, "{problems:#?}");
    assert!(
        problems
            .iter()
            .any(|problem| problem.ends_with("routes[0].id: is required")),
        "{problems:#?}"
    );
    assert!(
        problems
            .iter()
            .any(|problem| problem.ends_with("routes[0].paths: is required")),
        "{problems:#?}"
    );
}

#[test]
fn a_network_of_everyone_is_no_trusted_proxy() {
    for everyone in ["0.0.0.0/0", "::/0", "::ffff:0:0/96"] {
        let problem = mistake(&format!("[server]\ntrusted_proxies = ['10.0.0.0/8', '{everyone}']\n"));
        assert!(
            problem.contains("server.trusted_proxies[1]") && problem.contains("is everyone"),
            "{problem}"
        );
    }
    for (halves, family) in [("'0.0.0.0/1', '128.0.0.0/1'", "IPv4"), ("'8000::/1', '::/1'", "IPv6")] {
        assert_eq!(
            mistake(&format!("[server]\ntrusted_proxies = [{halves}]\n")),
            format!(
                "bekci.toml:2:19: server.trusted_proxies: is every {family} address, taken together: then any client could write its own X-Forwarded-For"
            )
        );
    }
    loaded("[server]\ntrusted_proxies = ['0.0.0.0/1', '8000::/1', '10.0.0.0/8']\n");
}

#[test]
fn the_public_url_is_an_origin() {
    for bad in [
        "https://example.com/app",
        "https://example.com/",
        "example.com",
        "ftp://example.com",
        "https://u:p@example.com",
    ] {
        assert!(
            mistake(&format!("[server]\npublic_url = '{bad}'\n")).starts_with("bekci.toml:2:14: server.public_url:"),
            "{bad}"
        );
    }
    let config = loaded("[server]\npublic_url = 'https://Example.com:443'\n");
    assert_eq!(config.server.public_url.as_str(), "https://example.com");
}

#[test]
fn numbers_stay_within_what_the_standards_advise() {
    for (section, bad) in [
        ("token", "leeway_seconds = 61"),
        ("guards.customer", "access_ttl_seconds = 0"),
        ("guards.customer", "access_ttl_seconds = 3601"),
        ("guards.customer", "password_min_length = 7"),
        ("guards.customer", "password_hash = { bcrypt = 9 }"),
        ("guards.customer", "password_hash = { bcrypt = 15 }"),
        ("guards.customer", "security_cookie_rotate_seconds = 9"),
        ("guards.customer", "otp_length = 5"),
        ("guards.customer", "otp_ttl_seconds = 601"),
        ("server", "workers = -1"),
        ("database", "max_connections = 0"),
        ("database", "max_connections = 99999999999999999999"),
    ] {
        let key = bad.split(" =").next().unwrap();
        assert!(
            mistake(&format!("[{section}]\n{bad}\n")).contains(&format!("{section}.{key}")),
            "{bad}"
        );
    }
}

#[test]
fn secrets_that_are_too_weak_are_refused_and_never_shown() {
    for (key, bad) in [
        ("root", "0123456789abcdef"),
        ("root", "correct horse battery staple 123"),
        ("root", &"00".repeat(32)),
        ("otp", "topsecret-31-characters-long-no"),
        ("otp", &"k".repeat(64)),
        ("jwt", "topsecret-63-characters-long-is-one-fewer-than-it-has-to-be-ok"),
        ("jwt", ""),
        ("jwt", &"changeme".repeat(8)),
        (
            "jwt",
            "this is my very secret key for signing tokens, nobody will guess it",
        ),
    ] {
        let problem = mistake(&format!("[secrets]\n{key} = '{bad}'\n"));
        assert!(
            problem.starts_with(&format!("bekci.toml:2:{}: secrets.{key}:", key.len() + 4)),
            "{problem}"
        );
        assert!(bad.is_empty() || !problem.contains(bad), "{problem}");
    }
}

#[test]
fn a_url_with_a_password_is_refused_without_showing_it() {
    let problem = mistake("[database]\nurl = 'oracle://app:hunter2@db/x'\n");
    assert!(!problem.contains("hunter2"), "{problem}");
    let problem = mistake("[redis]\nurl = 'http://:hunter2@cache'\n");
    assert!(!problem.contains("hunter2"), "{problem}");
}

#[test]
fn a_text_can_come_from_a_variable_and_a_missing_one_is_told() {
    let text = "[log]\nformat = { env = 'FORMAT' }\n";
    assert!(load_with(text, &[("FORMAT", "json")]).is_ok());
    assert_eq!(
        mistake(text),
        "bekci.toml:2:10: log.format: the environment variable FORMAT is not set"
    );
    let problem = load_with(text, &[("FORMAT", "xml")]).unwrap_err().concat();
    assert_eq!(
        problem,
        "bekci.toml:2:10: log.format: \"xml\" is not one of human, json"
    );
}

#[test]
fn a_reference_is_one_key_of_the_known_ones() {
    for bad in [
        "{ file = 'x' }",
        "{ env = '' }",
        "{ env = 1 }",
        "{ env = 'A', file = 'b' }",
    ] {
        assert!(
            mistake(&format!("[log]\nformat = {bad}\n"))
                .starts_with("bekci.toml:2:10: log.format: must be a text or { env"),
            "{bad}"
        );
    }
}

#[test]
fn a_missing_file_of_a_secret_is_told_but_for_the_root_which_can_be_made() {
    assert!(load_with("[secrets]\nroot = { file = '/nonexistent/root' }\n", &[]).is_ok());
    let problem = mistake("[secrets]\njwt = { file = '/nonexistent/jwt' }\n");
    assert!(
        problem.contains("secrets.jwt: the file /nonexistent/jwt cannot be read"),
        "{problem}"
    );
}

#[test]
fn a_missing_file_is_told() {
    let none = std::iter::empty();
    let problems = super::super::load(Some(std::path::Path::new("/nonexistent/bekci.toml")), none).unwrap_err();
    assert_eq!(problems.len(), 1);
    assert_eq!(
        problems[0].to_string(),
        "/nonexistent/bekci.toml:1:1: there is no such file"
    );
}

#[test]
fn a_message_is_for_a_code_that_there_is_in_a_language_that_is_spoken() {
    let config =
        loaded("[messages.en]\nTOKEN_EXPIRED = 'Sign in again.'\n[messages.tr]\nTOKEN_EXPIRED = 'Yeniden girin.'\n");
    assert_eq!(config.messages.len(), 2);
    let text =
        "[messages.en]\nTOKEN_EXPIERD = 'a'\ntoken_missing = 'b'\n[messages.eng]\nTOKEN_EXPIRED = 'c'\n[messages.de]\n";
    assert_eq!(
        refused(text),
        [
            "bekci.toml:2:1: messages.en.TOKEN_EXPIERD: \"TOKEN_EXPIERD\" is not a code of an answer, as TOKEN_EXPIRED; did you mean TOKEN_EXPIRED?",
            "bekci.toml:3:1: messages.en.token_missing: \"token_missing\" is not a code of an answer, as TOKEN_EXPIRED",
            "bekci.toml:4:11: messages.eng: \"eng\" is not one of en, tr; did you mean en?",
            "bekci.toml:6:11: messages.de: \"de\" is not one of en, tr",
        ]
    );
    let problems = refused("[messages.en]\nFORBIDDEN = \"two\\nlines\"\nNOT_FOUND = ''\nCONFLICT = { text = 'a' }\n");
    for (problem, start) in problems.iter().zip([
        "bekci.toml:2:13: messages.en.FORBIDDEN: \"two\\nlines\" is not a message",
        "bekci.toml:3:13: messages.en.NOT_FOUND: \"\" is not a message",
        "bekci.toml:4:12: messages.en.CONFLICT: must be a text",
    ]) {
        assert!(problem.starts_with(start), "{problems:#?}");
    }
    assert_eq!(problems.len(), 3, "{problems:#?}");
}

#[test]
fn a_variable_can_give_a_message_too() {
    let given = load_with("", &[("BEKCI__MESSAGES__TR__NOT_FOUND", "Yok.")])
        .unwrap()
        .config;
    let told: Vec<_> = given
        .messages
        .values()
        .flatten()
        .map(|(code, text)| (code.0, text.as_str()))
        .collect();
    assert_eq!(told, [(bekci_core::ErrorCode::NotFound, "Yok.")]);
    let problems = load_with("", &[("BEKCI__MESSAGES__TR__NOT_FUOND", "Yok.")]).unwrap_err();
    assert!(problems[0].contains("BEKCI__MESSAGES__TR__NOT_FUOND"), "{problems:#?}");
}

#[test]
fn an_origin_is_named_whole_and_no_page_may_say_who_acts() {
    let good = "[cors]\norigins = ['https://App.example.com:443', 'http://localhost:3000']\nmethods = ['GET', 'DELETE']\nheaders = ['X-CSRF-Token']\ncredentials = true\n";
    let origins: Vec<_> = loaded(good)
        .cors
        .origins
        .iter()
        .map(|origin| origin.as_str().to_owned())
        .collect();
    assert_eq!(
        origins,
        ["https://app.example.com", "http://localhost:3000"],
        "as browsers send them"
    );
    let text = "[cors]\norigins = ['*', 'null', 'https://*.example.com', 'https://a.b/']\nmethods = ['*', 'TRACE', 'get']\n\
                headers = ['*', 'X-Auth-Id', 'x-forwarded-for', 'Remote-User', 'cookie']\nexposed_headers = ['*']\n";
    let problems = refused(text);
    assert_eq!(problems.len(), 13, "{problems:#?}");
    for (problem, key) in problems.iter().zip([
        "bekci.toml:2:12: cors.origins[0]: \"*\" is not an origin",
        "bekci.toml:2:17: cors.origins[1]: \"null\" is not an origin",
        "bekci.toml:2:25: cors.origins[2]: ",
        "bekci.toml:2:50: cors.origins[3]: ",
        "bekci.toml:3:12: cors.methods[0]: ",
        "bekci.toml:3:17: cors.methods[1]: ",
        "bekci.toml:3:26: cors.methods[2]: ",
        "bekci.toml:4:12: cors.headers[0]: ",
        "bekci.toml:4:17: cors.headers[1]: \"X-Auth-Id\" is not the name of a header that a page may have a say in",
        "bekci.toml:4:30: cors.headers[2]: ",
        "bekci.toml:4:49: cors.headers[3]: ",
        "bekci.toml:4:64: cors.headers[4]: ",
        "bekci.toml:5:20: cors.exposed_headers[0]: ",
    ]) {
        assert!(problem.starts_with(key), "{key}: {problems:#?}");
    }
}
