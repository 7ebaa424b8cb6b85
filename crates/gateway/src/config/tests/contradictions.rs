use super::{loaded, mistake, refused};

fn route(rest: &str) -> String {
    format!("[[routes]]\nid = 'shop'\npaths = ['/**']\n{rest}\n")
}

#[test]
fn a_route_that_lets_in_nobody_and_everybody_is_refused() {
    assert_eq!(
        mistake(&route("")),
        "bekci.toml:1:1: routes.shop.guards: name the guards that it lets in, or write public = true"
    );
    assert!(mistake(&route("guards = []\n")).starts_with("bekci.toml:4:10: routes.shop.guards: name the guards"));
    assert!(
        mistake(&route("guards = ['customer']\npublic = true")).contains("routes.shop.public: stands beside guards")
    );
}

#[test]
fn a_public_route_asks_for_nothing() {
    for asked in [
        "roles = ['a']",
        "permissions = ['a.b']",
        "any_permission = ['a.*']",
        "role_or_permission = ['a']",
        "kind = 'fresh:300'",
        "kind = 'guest'",
    ] {
        let problem = mistake(&route(&format!("public = true\n{asked}")));
        assert!(problem.starts_with("bekci.toml:5:"), "{problem}");
    }
    assert!(mistake(&route("guards = ['customer']\nkind = 'guest'\nroles = ['a']")).contains("routes.shop.roles"));
}

#[test]
fn a_route_names_guards_that_exist() {
    let problem = mistake(&route("guards = ['custmer']"));
    assert_eq!(
        problem,
        "bekci.toml:4:10: routes.shop.guards: there is no guard \"custmer\"; did you mean customer?"
    );
}

#[test]
fn the_id_of_a_route_is_its_own() {
    let text = format!("{}{}", route("public = true"), route("public = true"));
    assert_eq!(
        mistake(&text),
        "bekci.toml:6:6: routes[1].id: \"shop\" is the id of another one already"
    );
}

#[test]
fn a_route_has_rights_kinds_and_paths_of_the_known_form() {
    for bad in [
        "roles = ['Buyer']",
        "permissions = ['*.view']",
        "any_permission = ['a..b']",
        "role_or_permission = ['a b']",
        "kind = 'fresh'",
        "kind = 'fresh:0'",
        "kind = 'fresh:86401'",
        "kind = 'fresh:+5'",
        "methods = ['get']",
        "methods = []",
        "hosts = ['A.b']",
        "upstream = 'http://a/b'",
        "upstream = { urls = [] }",
        "upstream = {}",
        "roles = ['a', 'a']",
    ] {
        let problem = mistake(&route(&format!("guards = ['customer']\n{bad}")));
        assert!(problem.starts_with("bekci.toml:5:"), "{problem}");
    }
    let config = loaded(&route(
        "guards = ['customer']\nkind = 'fresh:300'\nrole_or_permission = ['support', 'orders.*']",
    ));
    assert_eq!(config.routes[0].kind, crate::config::types::RouteKind::Fresh(300));
}

#[test]
fn a_guard_names_a_model_and_a_provider_that_exist() {
    let problems = refused("[guards.partner]\nprovider = 'staff'\n");
    assert_eq!(
        problems,
        [
            "bekci.toml:1:9: guards.partner.model: there is no model \"partner\"",
            "bekci.toml:2:12: guards.partner.provider: there is no provider \"staff\"",
        ]
    );
    loaded("[guards.partner]\n[models.partner]\n");
}

#[test]
fn two_guards_that_could_not_be_told_apart_are_refused() {
    let two = |rest: &str| format!("[guards.a]\nmodel = 'customer'\n[guards.b]\nmodel = 'customer'\n{rest}\n");
    loaded(&two(""));
    assert!(
        mistake(&two("audience = 'a'"))
            .starts_with("bekci.toml:5:12: guards.b.audience: \"a\" is the audience of guards.a too")
    );
    assert!(
        mistake(&two("auth_path = '/auth/a'"))
            .starts_with("bekci.toml:5:13: guards.b.auth_path: \"/auth/a\" is the auth_path of guards.a too")
    );
    assert!(
        refused(&two("aliases = { '/auth/a/x' = 'logout' }"))
            .concat()
            .contains("guards.b.aliases.\"/auth/a/x\": lies in the auth_path of guards.a")
    );
    assert!(mistake(&two("auth_path = '/admin/v1/x'")).contains("lies in /admin/v1, which is the gateway's own"));
}

#[test]
fn an_alias_is_for_a_call_that_there_is_at_a_path_that_is_nobodys() {
    let with = |aliases: &str| format!("[guards.customer]\naliases = {{ {aliases} }}\n");
    loaded(&with(
        "'/api/v1/users/me/logout-all' = 'logout-all', '/api/auth/refresh-token' = 'token/refresh'",
    ));
    loaded(&with("'/auth/customer/sign-in' = 'login'"));
    for (aliases, told) in [
        (
            "'/out' = 'logut'",
            "bekci.toml:2:22: guards.customer.aliases.\"/out\": there is no call \"logut\"; did you mean logout?",
        ),
        ("'/out' = 'sessions/x'", "there is no call \"sessions/x\""),
        (
            "'/auth/customer/me' = 'logout'",
            "is the path of one of the guard's own calls",
        ),
        (
            "'/auth/customer/sessions/all' = 'logout'",
            "is the path of one of the guard's own calls",
        ),
        (
            "'/admin/v1/out' = 'logout'",
            "lies in /admin/v1, which is the gateway's own",
        ),
        (
            "'/openapi.json' = 'me'",
            "lies in /openapi.json, which is the gateway's own",
        ),
    ] {
        assert!(
            mistake(&with(aliases)).contains(told),
            "{aliases}: {}",
            mistake(&with(aliases))
        );
    }
    let route = |path: &str| {
        format!(
            "{}[[routes]]\nid = 'a'\npaths = ['{path}']\npublic = true\n",
            with("'/api/out' = 'logout'")
        )
    };
    for good in ["/api/**", "/**", "/api/*", "/auth/**", "/api/out/more"] {
        loaded(&route(good));
    }
    assert!(
        mistake(&route("/api/out"))
            .starts_with("bekci.toml:5:9: routes.a.paths: \"/api/out\" is an alias of guards.customer")
    );
    for bad in ["/auth/customer/**", "/auth/customer", "/auth/customer/x"] {
        assert!(
            mistake(&route(bad)).contains("lies in the auth_path of guards.customer"),
            "{bad}"
        );
    }
}

#[test]
fn names_that_differ_in_case_alone_are_no_two_guards() {
    assert!(
        refused("[guards.Customer]\n")
            .iter()
            .any(|problem| problem.contains("guards.Customer: \"Customer\" is not a guard's name"))
    );
}

/// The end of a cookie's name is one of these, and none has an underscore: so the name before it is the guard's, whole.
#[test]
fn no_two_guards_have_equal_cookies() {
    let ends = ["at", "rt", "rm", "st", "oidc", "csrf", "tt"];
    let names = ["a", "a_at", "a_at_at", "at", "at_at", "a_rt", "rt"];
    let mut cookies: Vec<String> = names
        .iter()
        .flat_map(|name| ends.map(|end| format!("bekci_{name}_{end}")))
        .collect();
    let all = cookies.len();
    cookies.sort();
    cookies.dedup();
    assert_eq!(cookies.len(), all);
}

#[test]
fn a_way_to_sign_in_has_its_section() {
    let problems = refused("[guards.customer]\nsign_in = ['password', 'google']\n");
    assert!(
        problems
            .iter()
            .any(|problem| problem.contains("guards.customer.sign_in")),
        "{problems:?}"
    );
}

#[test]
fn a_password_needs_its_column() {
    let problem = mistake("[models.customer]\npassword_column = ''\n");
    assert!(
        problem.contains("guards.customer.sign_in: names password, and models.customer.password_column is empty"),
        "{problem}"
    );
}

#[test]
fn a_password_hash_is_never_an_attribute_and_never_an_identifier() {
    assert!(
        mistake("[models.customer]\ncached_attributes = ['password_hash']\n")
            .contains("models.customer.cached_attributes: holds the column")
    );
    assert!(
        mistake("[models.customer]\nidentifiers = ['password_hash']\n")
            .contains("models.customer.identifiers: holds the column")
    );
    assert!(mistake("[models.customer]\ncached_attributes = ['__type']\n").contains("begins with __"));
}

#[test]
fn each_model_has_its_own_table() {
    let problem = mistake("[models.customer]\ntable = 'Admins'\n");
    assert!(
        problem.contains("models.customer.table: is the table of models.admin too"),
        "{problem}"
    );
}

#[test]
fn a_password_is_hashed_one_way() {
    let problem = refused("[guards.customer]\npassword_hash = { bcrypt = 12, lanes = 2 }\n").concat();
    assert!(
        problem.contains("guards.customer.password_hash.bcrypt: stands beside"),
        "{problem}"
    );
    let config = loaded("[guards.customer]\npassword_hash = { iterations = 3 }\n");
    let expected = crate::config::types::PasswordHash::Argon2id {
        memory_kib: 19_456,
        iterations: 3,
        lanes: 1,
    };
    assert_eq!(config.guards["customer"].password_hash, expected);
}

#[test]
fn lifetimes_are_in_order() {
    assert!(
        mistake("[guards.customer]\nrefresh_ttl_seconds = 900\n")
            .contains("refresh_ttl_seconds: must be more than access_ttl_seconds")
    );
    assert!(
        mistake("[guards.customer]\nsession_max_seconds = 899\n")
            .contains("session_max_seconds: must not be less than access_ttl_seconds")
    );
    assert!(
        mistake("[identity_cache]\npoll_ms = 1000\n")
            .contains("identity_cache.poll_ms: must be less than max_staleness_ms")
    );
}

#[test]
fn two_routes_that_are_equally_specific_are_told_at_the_later_one() {
    let route = |id: &str| format!("[[routes]]\nid = '{id}'\npaths = ['/x/**']\nmethods = ['GET']\npublic = true\n");
    assert_eq!(
        mistake(&format!("{}{}", route("a"), route("b"))),
        "bekci.toml:8:9: routes.b.paths: routes a and b both match GET * /x/**"
    );
}

#[test]
fn a_shared_key_needs_its_secret() {
    assert_eq!(
        mistake("[token]\nalgorithm = 'HS256'\n"),
        "bekci.toml:2:13: token.algorithm: \"HS256\" needs secrets.jwt, which is not there"
    );
    loaded(
        "[token]\nalgorithm = 'HS256'\n[secrets]\njwt = 'x9Q2vTz7Lk0Rj4Ws8Yd1Bm6Hc3Pn5GfE0uKq7Ao2XiVt9ZrJw4Sl8NyCb6DhMp3F'\n",
    );
}

#[test]
fn two_listeners_are_not_in_each_others_way() {
    assert!(
        mistake("[server]\nops_listen = '127.0.0.1:8080'\n")
            .contains("server.ops_listen: is the address and port of server.listen too")
    );
    assert!(mistake("[server]\nlisten = '0.0.0.0:8081'\n").contains("server.ops_listen"));
    loaded("[server]\nlisten = '127.0.0.1:0'\nops_listen = '127.0.0.1:0'\n");
}

#[test]
fn credentials_beside_sqlite_are_a_mistake() {
    assert!(mistake("[database]\nuser = 'app'\n").contains("database.user: has no meaning with SQLite"));
}

#[test]
fn a_list_of_redis_servers_has_its_hosts_in_the_url_and_its_credentials_beside_it() {
    let text = "[redis]\nenabled = true\nurl = 'redis-cluster://a:1,b:2'\n";
    let more = |more: &str| format!("{text}{more}");
    assert!(mistake(&more("host = 'c'\n")).contains("redis.host: has no meaning with a list of servers"));
    let config = loaded(&more("user = 'app'\npassword = 'p@ss'\n"));
    let url = config.redis.effective_url().unwrap();
    assert_eq!(
        secrecy::ExposeSecret::expose_secret(&url),
        "redis-cluster://app:p%40ss@a:1,b:2"
    );
}

#[test]
fn a_schema_before_a_table_needs_a_database_that_has_schemas() {
    let model = "[models.customer]\ntable = 'shop.Customers'\n";
    assert!(mistake(model).contains("models.customer.table: names a schema; SQLite has none"));
    let mariadb = format!("[database]\nurl = 'mysql://db/shop'\n{model}");
    assert!(mistake(&mariadb).contains("models.customer.table: names a schema, which MariaDB calls a database"));
}

#[test]
fn a_refused_value_has_no_consequences_told() {
    let text = route("guards = ['Customer!']");
    assert_eq!(refused(&text).len(), 1, "that no guard is left is no second mistake");
}

#[test]
fn tenants_are_looked_for_where_somebody_may_name_them() {
    let by = |source: &str, rest: &str| format!("[tenancy]\nsource = '{source}'\n{rest}");
    assert!(mistake(&by("host", "")).contains("tenancy.source: takes the first label of a host, and no route"));
    assert!(mistake(&by("header:X-Tenant", "")).contains("server.trusted_proxies names none"));
    for bad in [
        "path:0",
        "path:10",
        "path:x",
        "header:",
        "header:X-Auth-Tenant",
        "Host",
        "cookie",
    ] {
        assert!(!refused(&by(bad, "")).is_empty(), "{bad}");
    }
    for taken in ["header:Cookie", "header:authorization", "header:Host"] {
        let problems = refused(&by(taken, "[server]\ntrusted_proxies = ['10.0.0.1']\n"));
        assert!(problems[0].contains("cannot name a tenant"), "{problems:?}");
    }
    loaded(&by(
        "host",
        &format!("{}hosts = ['*.example.com']\n", route("public = true")),
    ));
    loaded(&by("header:X-Tenant", "[server]\ntrusted_proxies = ['10.0.0.1']\n"));
    loaded(&by("path:2", ""));
    loaded(&by("claim", ""));
}

#[test]
fn a_claim_is_taken_from_what_a_sign_in_has() {
    let claims = |claims: &str| format!("[guards.customer]\nclaims = {claims}\n");
    assert_eq!(
        mistake(&claims("{ uid = 'nope' }")),
        "bekci.toml:2:18: guards.customer.claims.uid: takes \"nope\", which is none of id, key, email, name: id, key and models.customer.cached_attributes; did you mean name?"
    );
    assert!(mistake(&claims("{ mail = 'emial' }")).ends_with("did you mean email?"));
    loaded(&claims("{ uid = 'id', who = 'key', email = 'email', Name = 'name' }"));
    let cached = "[models.customer]\ncached_attributes = ['city']\n";
    loaded(&format!("{}{cached}", claims("{ city = 'city' }")));
    assert!(mistake(&format!("{}{cached}", claims("{ email = 'email' }"))).contains("none of id, key, city"));
}

#[test]
fn a_status_bans_or_lets_in_and_never_both() {
    assert_eq!(
        mistake("[models.customer]\nactive_statuses = ['active', 'banned']\n"),
        "bekci.toml:2:19: models.customer.active_statuses: holds \"banned\", which is one of banned_statuses too"
    );
    let config = loaded("[models.customer]\nactive_statuses = ['*']\n");
    assert_eq!(config.models.len(), 2);
}

#[test]
fn mail_needs_user_and_password_together_and_tls_for_them() {
    for (text, place) in [
        ("[mail]\nuser = 'a'\n", "bekci.toml:2:8: mail.user: needs a password"),
        (
            "[mail]\npassword = 'a'\n",
            "bekci.toml:2:12: mail.password: needs a user",
        ),
        (
            "[mail]\ntransport = 'smtp'\nhost = 'mail.test'\ntls = 'none'\nuser = 'a'\npassword = 'b'\n",
            "bekci.toml:4:7: mail.tls: the password would be sent in clear",
        ),
        ("[mail]\nfrom = 'a@b, c@d'\n", "bekci.toml:2:8: mail.from: "),
        ("[mail]\nfrom = \"A\\nBcc: x@y <a@b>\"\n", "bekci.toml:2:8: mail.from: "),
    ] {
        let problems = refused(text);
        assert!(
            problems.iter().any(|problem| problem.starts_with(place)),
            "{problems:#?}"
        );
    }
}

#[test]
fn accounts_by_themselves_need_an_address_a_table_and_their_columns() {
    let named = "[models.customer]\nidentifiers = ['login']\n";
    for (text, place) in [
        (
            format!("[guards.customer]\nregister = 'open'\n{named}"),
            "bekci.toml:2:12: guards.customer.register: needs an e-mail address among the identifiers",
        ),
        (
            "[guards.customer]\nrequire_verified_email = true\n[models.customer]\nverified_column = ''\n".to_owned(),
            "bekci.toml:2:26: guards.customer.require_verified_email: needs models.customer.verified_column",
        ),
        (
            "[guards.customer]\nown_attributes = ['email']\n".to_owned(),
            "bekci.toml:2:18: guards.customer.own_attributes: \"email\" identifies accounts",
        ),
        (
            "[guards.customer]\nown_attributes = ['nam']\n".to_owned(),
            "bekci.toml:2:18: guards.customer.own_attributes: there is no cached attribute",
        ),
    ] {
        let problems = refused(&text);
        assert!(
            problems.iter().any(|problem| problem.starts_with(place)),
            "{problems:#?}"
        );
    }
}
