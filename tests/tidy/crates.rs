//! Who may know whom: the table of docs, kept from what cargo says.
//!
//! A crate exists because it answers for one foreign vocabulary. The others speak with it in the words of bekci-core.

use crate::packages::{Dependency, Package};

/// The whole of each crate's knowledge of the others. Dev-dependencies stand apart, but for the crates of tests.
const NEIGHBOURS: [(&str, &[&str]); 15] = [
    ("bekci-core", &[]),
    ("bekci-derive", &[]),
    ("bekci-idp", &["bekci-core"]),
    ("bekci-mail", &["bekci-core"]),
    ("bekci-migration", &[]),
    ("bekci-policy", &["bekci-core"]),
    ("bekci-signin", &["bekci-core"]),
    ("bekci-store", &["bekci-core"]),
    ("bekci-token", &["bekci-core"]),
    (
        "bekci",
        &[
            "bekci-core",
            "bekci-derive",
            "bekci-idp",
            "bekci-mail",
            "bekci-migration",
            "bekci-policy",
            "bekci-signin",
            "bekci-store",
            "bekci-token",
        ],
    ),
    ("bekci-gateway", ALL),
    ("bekci-tests", ALL),
    ("bekci-test-support", &[]),
    // It runs the gateway as processes of its own, and writes beside them as an application does.
    (
        "bekci-checker",
        &[
            "bekci-core",
            "bekci-gateway",
            "bekci-store",
            "bekci-test-support",
            "bekci-token",
        ],
    ),
    // It measures the gateway as a process of its own.
    (
        "bekci-bench",
        &[
            "bekci",
            "bekci-core",
            "bekci-gateway",
            "bekci-policy",
            "bekci-signin",
            "bekci-store",
            "bekci-test-support",
            "bekci-token",
        ],
    ),
];

const ALL: &[&str] = &[
    "bekci",
    "bekci-core",
    "bekci-derive",
    "bekci-idp",
    "bekci-mail",
    "bekci-migration",
    "bekci-policy",
    "bekci-signin",
    "bekci-store",
    "bekci-token",
    "bekci-test-support",
];

/// A foreign vocabulary, as the beginnings of its crates' names, and who speaks it.
struct Foreign {
    crates: &'static [&'static str],
    known_to: &'static [&'static str],
    known_to_tests_of: &'static [&'static str],
}

/// `bekci-tests` are an application: that is why they may know what an application knows.
const FOREIGN: [Foreign; 6] = [
    Foreign {
        crates: &["sea-orm", "sea-query", "sea-schema", "sqlx"],
        // The checker writes by entities, as an application does.
        known_to: &["bekci-store", "bekci-migration", "bekci-checker", "bekci-tests"],
        known_to_tests_of: &["bekci"],
    },
    Foreign {
        crates: &["redis", "fred", "deadpool"],
        known_to: &["bekci-store", "bekci-tests"],
        known_to_tests_of: &[],
    },
    Foreign {
        crates: &["casbin", "rhai"],
        known_to: &["bekci-policy"],
        known_to_tests_of: &["bekci-gateway"],
    },
    Foreign {
        crates: &["jsonwebtoken"],
        known_to: &["bekci-token"],
        known_to_tests_of: &[],
    },
    Foreign {
        crates: &["lettre", "minijinja"],
        known_to: &["bekci-mail"],
        known_to_tests_of: &[],
    },
    Foreign {
        crates: &["actix"],
        known_to: &["bekci", "bekci-gateway", "bekci-tests"],
        known_to_tests_of: &[],
    },
];

/// Crates that do input or output, or bring in what does.
const IO: [&str; 12] = [
    "tokio",
    "mio",
    "socket2",
    "async-std",
    "hyper",
    "reqwest",
    "sea-orm",
    "sqlx",
    "redis",
    "casbin",
    "jsonwebtoken",
    "actix",
];

/// Which crates of Bekci a crate depends on.
pub(crate) fn check_neighbours(package: &Package) -> Vec<String> {
    let may_know = match NEIGHBOURS.iter().find(|(name, _)| *name == package.name) {
        Some((_, may_know)) => *may_know,
        None if package.is_application() => ALL,
        None => {
            return vec![package.finding(
                "name",
                &format!("`{}` has no row in the table of tests/tidy/crates.rs", package.name),
            )];
        }
    };
    let tests_are_the_crate = package.name == "bekci-test-support";
    let counts = |dependency: &&Dependency| tests_are_the_crate || !dependency.is_for_tests();
    let of_bekci = |dependency: &&Dependency| dependency.name == "bekci" || dependency.name.starts_with("bekci-");
    let mut findings: Vec<String> = package
        .dependencies
        .iter()
        .filter(counts)
        .filter(of_bekci)
        .filter(|dependency| !may_know.contains(&dependency.name.as_str()))
        .map(|dependency| {
            package.finding(
                &dependency.name,
                &format!("`{}` may not know `{}`", package.name, dependency.name),
            )
        })
        .collect();
    if package.name == "bekci-migration" {
        let others = package
            .dependencies
            .iter()
            .filter(counts)
            .filter(|dependency| dependency.name != "sea-orm-migration");
        findings.extend(others.map(|dependency| {
            package.finding(
                &dependency.name,
                &format!(
                    "`bekci-migration` knows sea-orm-migration alone, not `{}`",
                    dependency.name
                ),
            )
        }));
    }
    findings
}

/// Whether a crate speaks a foreign vocabulary that another one answers for.
pub(crate) fn check_foreign(package: &Package) -> Vec<String> {
    if package.is_application() {
        return Vec::new();
    }
    let knows = |dependency: &Dependency, foreign: &Foreign| {
        let name = package.name.as_str();
        foreign.known_to.contains(&name) || (dependency.is_for_tests() && foreign.known_to_tests_of.contains(&name))
    };
    let mut findings = Vec::new();
    for dependency in &package.dependencies {
        for foreign in FOREIGN
            .iter()
            .filter(|foreign| is_one_of(&dependency.name, foreign.crates))
        {
            if !knows(dependency, foreign) {
                let who = foreign.known_to.join(", ");
                let what = format!(
                    "`{}` may not name `{}`: that is for {who}",
                    package.name, dependency.name
                );
                findings.push(package.finding(&dependency.name, &what));
            }
        }
    }
    findings
}

/// Core decides; what it depends on, at any depth, does no input or output.
pub(crate) fn check_core_does_no_io(tree: &[String]) -> Vec<String> {
    let crates = tree.iter().filter(|name| is_one_of(name, &IO));
    crates
        .map(|name| format!("crates/core/Cargo.toml:1: brings in `{name}`, which does input or output"))
        .collect()
}

/// What each manifest must say.
pub(crate) fn check_manifest(package: &Package) -> Vec<String> {
    let manifest: toml::Table = package.manifest.1.parse().unwrap();
    let lints = manifest
        .get("lints")
        .and_then(|lints| lints.get("workspace"))
        .and_then(toml::Value::as_bool);
    let mut findings = Vec::new();
    if lints != Some(true) {
        findings.push(package.finding("[lints]", "lacks `[lints] workspace = true`"));
    }
    if package.license.as_deref() != Some("MIT OR Apache-2.0") {
        findings.push(package.finding("license", "lacks `license.workspace = true`"));
    }
    findings
}

/// `sea-orm` stands for itself and for `sea-orm-migration`, and not for `sea-ormolu`.
fn is_one_of(name: &str, beginnings: &[&str]) -> bool {
    beginnings.iter().any(|beginning| {
        name.strip_prefix(beginning)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packages::tree_of;

    fn package(name: &str, path: &str, manifest: &str, dependencies: &[(&str, Option<&str>)]) -> Package {
        let dependency = |(name, kind): &(&str, Option<&str>)| Dependency {
            name: (*name).to_owned(),
            kind: kind.map(str::to_owned),
        };
        Package {
            name: name.to_owned(),
            manifest_path: String::new(),
            license: None,
            dependencies: dependencies.iter().map(dependency).collect(),
            manifest: (path.to_owned(), manifest.to_owned()),
        }
    }

    #[test]
    fn a_neighbour_that_a_crate_may_not_know_is_found_with_its_line() {
        let manifest = "[dependencies]\nbekci-core.workspace = true\nbekci-store = \"0.1\"\n";
        let dependencies = [
            ("bekci-core", None),
            ("bekci-store", None),
            ("bekci-policy", Some("dev")),
        ];
        let found = check_neighbours(&package(
            "bekci-token",
            "crates/token/Cargo.toml",
            manifest,
            &dependencies,
        ));
        assert_eq!(
            found,
            ["crates/token/Cargo.toml:3: `bekci-token` may not know `bekci-store`"]
        );
    }

    #[test]
    fn a_crate_without_a_row_is_found() {
        assert_eq!(
            check_neighbours(&package("bekci-new", "crates/new/Cargo.toml", "", &[])).len(),
            1
        );
        assert_eq!(
            check_neighbours(&package("shop", "examples/shop/Cargo.toml", "", &[("bekci", None)])).len(),
            0
        );
    }

    #[test]
    fn the_support_of_tests_knows_no_crate_of_bekci_even_in_its_own_tests() {
        let dependencies = [("bekci-core", Some("dev"))];
        assert_eq!(
            check_neighbours(&package(
                "bekci-test-support",
                "tests/support/Cargo.toml",
                "",
                &dependencies
            ))
            .len(),
            1
        );
    }

    #[test]
    fn migration_knows_one_crate() {
        let dependencies = [("sea-orm-migration", None), ("serde", None), ("tokio", Some("dev"))];
        assert_eq!(
            check_neighbours(&package("bekci-migration", "migration/Cargo.toml", "", &dependencies)).len(),
            1
        );
    }

    #[test]
    fn a_foreign_vocabulary_in_the_wrong_crate_is_found() {
        let wrong = [
            ("bekci-core", "sea-orm", None),
            ("bekci-gateway", "sea-orm-migration", Some("dev")),
            ("bekci", "sea-orm", None),
            ("bekci-signin", "redis", Some("dev")),
            ("bekci", "jsonwebtoken", None),
            ("bekci-store", "casbin", None),
            ("bekci-token", "actix-web", None),
            ("bekci-store", "actix-rt", Some("dev")),
        ];
        for (name, foreign, kind) in wrong {
            let found = check_foreign(&package(name, "Cargo.toml", "", &[(foreign, kind)]));
            assert_eq!(found.len(), 1, "{name} names {foreign}");
        }
    }

    #[test]
    fn a_foreign_vocabulary_in_the_right_crate_is_not_found() {
        let right = [
            ("bekci-store", "sea-orm", None),
            ("bekci", "sea-orm", Some("dev")),
            ("bekci-tests", "redis", Some("dev")),
            ("bekci-gateway", "actix-web", None),
            ("bekci-core", "redistribute", None),
        ];
        for (name, foreign, kind) in right {
            assert_eq!(
                check_foreign(&package(name, "Cargo.toml", "", &[(foreign, kind)])),
                Vec::<String>::new()
            );
        }
    }

    #[test]
    fn io_anywhere_below_core_is_found() {
        let found = check_core_does_no_io(&["serde".to_owned(), "tokio".to_owned(), "sea-orm-macros".to_owned()]);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(
            tree_of("bekci-store").iter().any(|name| name == "tokio"),
            "the tree that is looked at is whole"
        );
    }

    #[test]
    fn a_manifest_without_the_lints_or_the_licence_of_the_workspace_is_found() {
        let found = check_manifest(&package(
            "bekci-core",
            "crates/core/Cargo.toml",
            "[package]\nname = \"x\"\n",
            &[],
        ));
        assert_eq!(found.len(), 2, "{found:?}");
        let off = "[lints]\nworkspace = false\n";
        assert!(
            check_manifest(&package("bekci-core", "crates/core/Cargo.toml", off, &[]))[0]
                .contains(":1: lacks `[lints]")
        );
    }
}
