//! Casbin's own examples, decided by a gateway over HTTP as casbin's own enforcer decides them; `data/casbin/README.md` says by which names.

mod example;
mod gateway;

use std::collections::BTreeSet;

use bekci_policy::{PolicyModel, compile, compile_text, parse_csv};

use example::{Case, Example, names_of, table};
use gateway::Gateways;

/// Files of the examples that are named in a table.
fn named<'a>(rows: impl IntoIterator<Item = &'a [String; 2]>) -> BTreeSet<&'a str> {
    rows.into_iter()
        .flatten()
        .map(String::as_str)
        .filter(|name| *name != "-")
        .collect()
}

#[test]
fn every_example_is_decided_by_the_gateway_as_by_casbin() {
    let cases = Case::all();
    let mut gateways = Gateways::new(&cases);
    let mut decided = 0;
    for example in Example::of(&cases) {
        let gateway = gateways.open(&example.model());
        let casbin = example.casbin();
        for &way in example.ways() {
            let kept = gateway.furnish(&example, way);
            for case in example.cases() {
                assert_eq!(casbin.decides(case), case.answer, "casbin: {case:?}");
                assert_eq!(gateway.decides(case), case.answer, "{way:?}: {case:?}");
            }
            // What casbin's tests do not name: every combination of the names in them.
            for question in example.combinations() {
                let (ours, theirs) = (gateway.decides(&question), casbin.decides(&question));
                assert_eq!(ours, theirs, "{way:?}: {question:?}");
                decided += 1;
            }
            gateway.clear(kept);
        }
    }
    assert!(decided > 200, "{decided}");
}

#[test]
fn what_cannot_decide_requests_is_refused_for_the_reason_that_is_told() {
    for [model, policy, refused, _] in table::<4>("refused.tsv") {
        let example = Example::named(&model, &policy);
        let loaded = PolicyModel::parse(&example.model()).and_then(|model| {
            compile(&model, &[])?;
            let lines = parse_csv(&example.lines(|name| format!("principal:customer:{name}")))?;
            compile_text(&model, &lines)
        });
        match loaded {
            Ok(_) => assert_eq!(refused, "-", "{model} {policy} loads"),
            Err(error) => assert!(error.to_string().contains(&refused), "{model} {policy}: {error}"),
        }
    }
}

#[test]
fn no_example_is_left_out() {
    let decided: Vec<_> = Case::all().into_iter().map(|case| case.files).collect();
    let refused: Vec<_> = table::<4>("refused.tsv")
        .into_iter()
        .map(|[model, policy, ..]| [model, policy])
        .collect();
    for pair in &decided {
        assert!(!refused.contains(pair), "{pair:?} is decided, and refused too");
    }
    let told = &named(&decided) | &named(&refused);
    assert_eq!(
        told.into_iter().map(str::to_owned).collect::<BTreeSet<_>>(),
        names_of("examples")
    );
}

#[test]
fn the_document_names_every_example() {
    let document = include_str!("../../../../docs/policies.md");
    for name in names_of("examples") {
        let Some(model) = name.strip_suffix(".conf") else {
            continue;
        };
        assert!(document.contains(&format!("`{model}`")), "{model}");
    }
}
