//! The examples and their cases, in casbin's words and in the gateway's.

use std::{collections::BTreeSet, fmt::Write as _, path::PathBuf};

use casbin::{CoreApi, DefaultModel, Enforcer, StringAdapter, function_map::key_match};

fn folder(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/data/casbin", name].iter().collect()
}

/// The files of a folder beside the cases.
pub fn names_of(name: &str) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder(name)).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// The rows of a table, `#` being a comment.
pub fn table<const COLUMNS: usize>(name: &str) -> Vec<[String; COLUMNS]> {
    let text = std::fs::read_to_string(folder(name)).unwrap();
    let rows = text.lines().filter(|line| !line.starts_with('#'));
    let row = |line: &str| line.split('\t').map(str::to_owned).collect::<Vec<_>>();
    rows.map(|line| row(line).try_into().unwrap_or_else(|row| panic!("{name}: {row:?}")))
        .collect()
}

/// A question, and what casbin answers.
#[derive(Clone, Debug)]
pub struct Case {
    /// Model and policy.
    pub files: [String; 2],
    pub subject: String,
    pub domain: Option<String>,
    pub object: String,
    pub action: String,
    pub answer: bool,
}

impl Case {
    pub fn all() -> Vec<Self> {
        let of = |row: [String; 8]| {
            let [_, model, policy, subject, domain, object, action, answer] = row;
            Self {
                files: [model, policy],
                subject,
                domain: (domain != "-").then_some(domain),
                object,
                action,
                answer: match answer.as_str() {
                    "allow" => true,
                    "deny" => false,
                    other => panic!("{other} is no answer"),
                },
            }
        };
        table("cases.tsv").into_iter().map(of).collect()
    }

    pub fn method(&self) -> &str {
        method(&self.action)
    }

    pub fn path(&self) -> String {
        path(&self.object)
    }
}

fn method(action: &str) -> &str {
    match action {
        "read" => "GET",
        "write" => "POST",
        other => other,
    }
}

fn path(object: &str) -> String {
    if object.starts_with('/') {
        object.to_owned()
    } else {
        format!("/{object}")
    }
}

/// The name of a role, without the mark that the example gives it.
pub fn role(name: &str) -> &str {
    name.strip_prefix("role:").unwrap_or(name)
}

/// How accounts come by their roles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// By lines of the policy.
    Lines,
    /// They hold them.
    Held,
}

/// A line of the policy that gives an account a role.
pub struct Membership {
    pub account: String,
    pub role: String,
    /// `*` for everywhere.
    pub domain: Option<String>,
}

/// A model with a policy.
pub struct Example {
    model: String,
    policy: String,
    cases: Vec<Case>,
}

impl Example {
    /// Those of the cases, in their order.
    pub fn of(cases: &[Case]) -> Vec<Self> {
        let mut examples: Vec<Self> = Vec::new();
        for case in cases {
            let [model, policy] = &case.files;
            match examples.iter_mut().find(|known| known.files() == [model, policy]) {
                Some(known) => known.cases.push(case.clone()),
                None => {
                    let mut example = Self::named(model, policy);
                    example.cases.push(case.clone());
                    examples.push(example);
                }
            }
        }
        examples
    }

    pub fn named(model: &str, policy: &str) -> Self {
        Self {
            model: model.to_owned(),
            policy: policy.to_owned(),
            cases: Vec::new(),
        }
    }

    fn files(&self) -> [&String; 2] {
        [&self.model, &self.policy]
    }

    pub fn cases(&self) -> &[Case] {
        &self.cases
    }

    fn text(name: &str) -> String {
        match name {
            "-" => String::new(),
            name => std::fs::read_to_string(folder("examples").join(name)).unwrap(),
        }
    }

    /// The model that the gateway reads.
    pub fn model(&self) -> String {
        Self::text(&self.model)
            .replace("g(r.sub, p.sub, r.dom)", "p.sub in r.sub")
            .replace("g(r.sub, p.sub)", "p.sub in r.sub")
            .replace("r.sub == p.sub", "p.sub in r.sub")
            .replace(
                "regexMatch(r.act, p.act)",
                r#"regexMatch(r.act, "^(?:" + p.act + ")$")"#,
            )
    }

    /// The lines of the policy, each with its values.
    fn rows(&self) -> Vec<Vec<String>> {
        let text = Self::text(&self.policy);
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        lines
            .map(|line| line.split(',').map(|value| value.trim().to_owned()).collect())
            .collect()
    }

    fn is_account(&self, name: &str) -> bool {
        self.cases.iter().any(|case| case.subject == name)
    }

    fn subject(&self, name: &str, account: &impl Fn(&str) -> String) -> String {
        if self.is_account(name) {
            account(name)
        } else if name == "*" {
            name.to_owned()
        } else {
            format!("role:customer:{}", role(name))
        }
    }

    /// The lines that the gateway reads.
    pub fn lines(&self, account: impl Fn(&str) -> String) -> String {
        let tenanted = Self::text(&self.model).contains("p = sub, dom");
        let mut text = String::new();
        for mut row in self.rows() {
            match row[0].as_str() {
                "p" => {
                    let object = if tenanted { 3 } else { 2 };
                    row[1] = self.subject(&row[1], &account);
                    row[object] = path(&row[object]);
                    row[object + 1] = method(&row[object + 1]).to_owned();
                }
                "g" => {
                    row[1] = self.subject(&row[1], &account);
                    row[2] = self.subject(&row[2], &account);
                }
                _ => row[1..].iter_mut().for_each(|object| *object = path(object)),
            }
            writeln!(text, "{}", row.join(", ")).unwrap();
        }
        text
    }

    /// Which roles the policy gives to accounts.
    pub fn memberships(&self) -> Vec<Membership> {
        let of = |row: Vec<String>| {
            let account = row.get(1).filter(|name| row[0] == "g" && self.is_account(name))?;
            Some(Membership {
                account: account.clone(),
                role: role(&row[2]).to_owned(),
                domain: row.get(3).cloned(),
            })
        };
        self.rows().into_iter().filter_map(of).collect()
    }

    /// Both ways, where the policy gives roles to accounts.
    pub fn ways(&self) -> &'static [Way] {
        if self.memberships().is_empty() {
            &[Way::Lines]
        } else {
            &[Way::Lines, Way::Held]
        }
    }

    /// Every combination of the names of the cases.
    pub fn combinations(&self) -> Vec<Case> {
        let mut all: Vec<Case> = self.cases.first().cloned().into_iter().collect();
        for put in [
            (|case, of| case.subject.clone_from(&of.subject)) as fn(&mut Case, &Case),
            |case, of| case.domain.clone_from(&of.domain),
            |case, of| case.object.clone_from(&of.object),
            |case, of| case.action.clone_from(&of.action),
        ] {
            let with = |question: &Case, of: &Case| {
                let mut question = question.clone();
                put(&mut question, of);
                question
            };
            all = all
                .iter()
                .flat_map(|question| self.cases.iter().map(move |of| with(question, of)))
                .collect();
            let key = |case: &Case| format!("{} {:?} {} {}", case.subject, case.domain, case.object, case.action);
            all.sort_by_key(key);
            all.dedup_by_key(|case| key(case));
        }
        all
    }

    /// Casbin's own enforcer on the files as they are.
    pub fn casbin(&self) -> Casbin {
        let rules = Self::text(&self.policy);
        let patterns = self.model == "rbac_with_pattern_domain_model.conf";
        let model = Self::text(&self.model);
        let enforcer = actix_web::rt::System::new().block_on(async {
            let model = DefaultModel::from_str(&model).await.unwrap();
            let mut enforcer = Enforcer::new(model, StringAdapter::new(rules)).await.unwrap();
            if patterns {
                // As the example's test does.
                enforcer.get_role_manager().write().matching_fn(None, Some(key_match));
                enforcer.build_role_links().unwrap();
            }
            enforcer
        });
        Casbin(enforcer)
    }
}

pub struct Casbin(Enforcer);

impl Casbin {
    pub fn decides(&self, case: &Case) -> bool {
        let Case {
            subject,
            domain,
            object,
            action,
            ..
        } = case;
        let arguments = [Some(subject), domain.as_ref(), Some(object), Some(action)];
        let arguments: Vec<String> = arguments.into_iter().flatten().cloned().collect();
        self.0.enforce(arguments).unwrap()
    }
}
