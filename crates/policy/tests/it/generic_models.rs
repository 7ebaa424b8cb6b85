//! Each kind of casbin model, decided as casbin itself decides.

use bekci_policy::{PolicyError, PolicyModel, RawEnforcer, parse_csv};
use casbin::{CoreApi, DefaultModel, Enforcer, StringAdapter};

/// A model from its parts; the effect is the one without denials if none is given.
fn model(r: &str, p: &str, g: &str, e: &str, m: &str) -> String {
    let e = if e.is_empty() {
        "some(where (p.eft == allow))"
    } else {
        e
    };
    let roles: String = g
        .split(';')
        .filter(|g| !g.is_empty())
        .map(|g| format!("{g}\n"))
        .collect();
    let roles = if roles.is_empty() {
        roles
    } else {
        format!("[role_definition]\n{roles}")
    };
    format!(
        "[request_definition]\nr = {r}\n[policy_definition]\np = {p}\n{roles}[policy_effect]\ne = {e}\n[matchers]\nm = {m} # decided here\n"
    )
}

/// Asks both about every combination of the values and gives how many were allowed.
async fn compare(model: &str, lines: &str, values: &[&[&str]]) -> usize {
    let casbin = Enforcer::new(DefaultModel::from_str(model).await.unwrap(), StringAdapter::new(lines))
        .await
        .unwrap();
    let read: Vec<_> = parse_csv(lines).unwrap().into_iter().map(|line| line.line).collect();
    let ours = RawEnforcer::new(&PolicyModel::parse(model).unwrap(), &read).unwrap();
    let mut questions: Vec<Vec<&str>> = vec![vec![]];
    for column in values {
        questions = questions
            .iter()
            .flat_map(|question| column.iter().map(|value| [&question[..], &[*value]].concat()))
            .collect();
    }
    let mut allowed = 0;
    for question in questions {
        let expected = casbin
            .enforce(question.iter().map(|text| (*text).to_owned()).collect::<Vec<String>>())
            .unwrap();
        let (answer, line) = ours.explain(&question).unwrap();
        assert_eq!(answer, expected, "{question:?}\n{model}{lines}");
        assert!(line.is_none_or(|line| line.starts_with("p, ")));
        allowed += usize::from(expected);
    }
    allowed
}

const PEOPLE: &[&str] = &["ada", "bea", "root", "clerk", ""];
const THINGS: &[&str] = &["ledger", "till", "shelf"];
const DEEDS: &[&str] = &["read", "write"];
const EXACT: &str = "r.sub == p.sub && r.obj == p.obj && r.act == p.act";
const THREE: &str = "sub, obj, act";
const FOUR: &str = "sub, obj, act, eft";
const DENY: &str = "some(where (p.eft == allow)) && !some(where (p.eft == deny))";
const ROLED: &str = "g(r.sub, p.sub) && r.obj == p.obj && r.act == p.act";

#[tokio::test]
async fn access_lists_with_and_without_a_superuser() {
    let lines = "p, ada, ledger, read\np, bea, till, write\np, ada, ledger, read\n";
    let all = [PEOPLE, THINGS, DEEDS];
    assert_eq!(compare(&model(THREE, THREE, "", "", EXACT), lines, &all).await, 2);
    let rooted = format!("{EXACT} || r.sub == \"root\"");
    assert_eq!(compare(&model(THREE, THREE, "", "", &rooted), lines, &all).await, 8);
    assert_eq!(
        compare(
            &model("sub, act", "sub, act", "", "", "r.sub == p.sub && r.act == p.act"),
            "p, ada, read",
            &[PEOPLE, DEEDS]
        )
        .await,
        1
    );
    assert_eq!(
        compare(
            &model("obj, act", "obj, act", "", "", "r.obj == p.obj && r.act == p.act"),
            "p, till, read",
            &[THINGS, DEEDS]
        )
        .await,
        1
    );
    let listed = format!("{EXACT} || r.obj in [\"till\", \"shelf\"]");
    assert!(compare(&model(THREE, THREE, "", "", &listed), lines, &all).await > 10);
    assert_eq!(compare(&model(THREE, THREE, "", "", EXACT), "", &all).await, 0);
}

#[tokio::test]
async fn roles_of_people_and_of_things() {
    let lines = "p, clerk, till, read\np, clerk, till, write\np, boss, ledger, write\ng, ada, clerk\ng, boss, clerk\ng, bea, boss\ng, clerk, clerk\n";
    let all = [PEOPLE, THINGS, DEEDS];
    assert_eq!(
        compare(&model(THREE, THREE, "g = _, _", "", ROLED), lines, &all).await,
        7
    );
    let both = "g(r.sub, p.sub) && g2(r.obj, p.obj) && r.act == p.act";
    let lines = "p, clerk, desk, read\ng, ada, clerk\ng2, till, desk\ng2, shelf, desk\n";
    assert_eq!(
        compare(&model(THREE, THREE, "g = _, _;g2 = _, _", "", both), lines, &all).await,
        4
    );
    let continued = model(
        THREE,
        THREE,
        "g = _, _",
        "",
        "g(r.sub, p.sub) && r.obj == p.obj \\\n  && r.act == p.act",
    );
    assert_eq!(
        compare(&continued, "p, clerk, till, read\ng, ada, clerk", &all).await,
        2
    );
}

#[tokio::test]
async fn roles_in_domains() {
    let parts = model(
        "sub, dom, obj, act",
        "sub, dom, obj, act",
        "g = _, _, _",
        "",
        "g(r.sub, p.sub, r.dom) && r.dom == p.dom && r.obj == p.obj && r.act == p.act",
    );
    let lines =
        "p, clerk, north, till, read\np, clerk, south, till, write\ng, ada, clerk, north\ng, bea, clerk, south\n";
    assert_eq!(
        compare(&parts, lines, &[PEOPLE, &["north", "south", "west", ""], THINGS, DEEDS]).await,
        4
    );
}

#[tokio::test]
async fn denials_and_priorities() {
    let all = [PEOPLE, THINGS, DEEDS];
    let lines = "p, ada, till, read, allow\np, clerk, till, write, allow\np, ada, till, write, deny\np, bea, till, read, maybe\np, clerk, shelf, read, deny\np, clerk, shelf, read, allow\ng, ada, clerk\ng, bea, clerk\n";
    assert_eq!(
        compare(&model(THREE, FOUR, "g = _, _", DENY, ROLED), lines, &all).await,
        3
    );
    for (effect, least) in [
        ("!some(where (p.eft == deny))", 20),
        ("priority(p.eft) || deny", 3),
        ("some(where (p.eft == allow))", 4),
    ] {
        assert!(
            compare(&model(THREE, FOUR, "g = _, _", effect, ROLED), lines, &all).await >= least,
            "{effect}"
        );
    }
    let twice = "p, ada, till, read, deny\np, ada, till, read, allow\np, ada, till, read, deny\n";
    compare(&model(THREE, FOUR, "", "priority(p.eft) || deny", EXACT), twice, &all).await;
}

#[tokio::test]
async fn patterns_of_each_kind() {
    let paths: &[&str] = &[
        "/till",
        "/till/1",
        "/till/1/notes",
        "/tills",
        "/",
        "till",
        "/till/",
        "/x/till/1",
        "/till.1",
    ];
    let deeds: &[&str] = &["GET", "POST", "PUT", "GETS", ""];
    let lines = "p, ada, /till/*, GET\np, ada, /till, (GET)|(POST)\np, bea, /*, ^PUT$\n";
    for function in ["keyMatch", "keyMatch2", "keyMatch3"] {
        let matcher = format!("r.sub == p.sub && {function}(r.obj, p.obj) && regexMatch(r.act, p.act)");
        assert!(
            compare(&model(THREE, THREE, "", "", &matcher), lines, &[PEOPLE, paths, deeds]).await > 5,
            "{function}"
        );
    }
    for (function, lines) in [
        (
            "keyMatch2",
            "p, ada, /till/:id, GET\np, bea, /till/:id/:what, GET\np, root, /:x.1, GET\n",
        ),
        (
            "keyMatch3",
            "p, ada, /till/{id}, GET\np, bea, /{x}/{id}/notes, GET\np, root, /{x}.1, GET\n",
        ),
        ("keyMatch", "p, ada, /till*, GET\np, bea, *, GET\np, root, /t*l, GET\n"),
        (
            "regexMatch",
            "p, ada, ^/till/[0-9]+$, GET\np, bea, till, GET\np, root, \"^.{1,5}$\", GET\n",
        ),
    ] {
        let matcher = format!("r.sub == p.sub && {function}(r.obj, p.obj) && r.act == p.act");
        assert!(
            compare(&model(THREE, THREE, "", "", &matcher), lines, &[PEOPLE, paths, deeds]).await > 2,
            "{function}"
        );
    }
}

#[test]
fn what_cannot_be_decided_is_an_error_and_never_a_panic() {
    let text = model(
        THREE,
        THREE,
        "",
        "",
        "r.sub == p.sub && regexMatch(r.obj, p.obj) && keyMatch2(r.act, p.act)",
    );
    let parsed = PolicyModel::parse(&text).unwrap();
    for line in [
        "p, ada, [, x",
        "p, ada, (?, x",
        "p, ada, *, x",
        "p, ada, a, (",
        "p, ada, a, /[",
        "p, ada, \"(?:a{1000}){1000}\", x",
    ] {
        let lines: Vec<_> = parse_csv(line).unwrap().into_iter().map(|line| line.line).collect();
        let raw = RawEnforcer::new(&parsed, &lines).unwrap();
        assert!(
            matches!(raw.enforce(&["ada", "a", "x"]), Err(PolicyError::Evaluation(_))),
            "{line}"
        );
        assert_eq!(raw.enforce(&["bea", "a", "x"]), Ok(false));
    }
    let raw = RawEnforcer::new(&parsed, &[]).unwrap();
    assert!(raw.enforce(&["ada", "a"]).is_err());
    let owner = PolicyModel::parse(&model(THREE, THREE, "", "", "r.sub == r.obj.owner")).unwrap();
    assert!(
        RawEnforcer::new(&owner, &[])
            .unwrap()
            .enforce(&["ada", "till", "read"])
            .is_err()
    );
}

#[test]
fn functions_that_are_not_there_are_said_to_be_unsupported() {
    for function in [
        "ipMatch",
        "globMatch",
        "keyMatch4",
        "keyMatch5",
        "keyGet2",
        "mine",
        "eval",
    ] {
        let text = model(
            THREE,
            THREE,
            "",
            "",
            &format!("{function}(r.sub, p.sub) && r.obj == p.obj"),
        );
        let error = PolicyModel::parse(&text).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("model, line 8: function {function} is not supported")),
            "{error}"
        );
    }
}

#[test]
fn lines_that_the_model_does_not_know_are_refused() {
    let parsed = PolicyModel::parse(&model(THREE, THREE, "g = _, _", "", ROLED)).unwrap();
    for line in [
        "p, ada, till",
        "p, ada, till, read, allow",
        "p2, ada, till, read",
        "g, ada",
        "g2, ada, clerk",
    ] {
        let lines: Vec<_> = parse_csv(line).unwrap().into_iter().map(|line| line.line).collect();
        assert!(
            matches!(
                RawEnforcer::new(&parsed, &lines),
                Err(PolicyError::Line { line: 1, .. })
            ),
            "{line}"
        );
    }
}
