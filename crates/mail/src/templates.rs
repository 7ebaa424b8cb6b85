//! The texts of mails.
//!
//! Each kind has a text template in each language: its first line is the subject, what follows an empty line is the text. One layout makes HTML of a text: paragraphs, the
//! link as a button, the code in large digits. A deployment replaces any of them by a file in its folder: `reset_password.en.txt`, `layout.html`, or `reset_password.en.html`
//! for the HTML of one mail. HTML is escaped. A missing value is an error, so that no mail is sent with a hole in it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use bekci_core::mail::{Mail, MailKind, MailLanguage};
use minijinja::{Environment, ErrorKind, UndefinedBehavior, Value, context};

/// The layout of HTML.
const LAYOUT: &str = "layout.html";
/// The longest file of a template, in bytes.
const MOST_BYTES: u64 = 256 * 1024;

/// A template that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// Its file cannot be read.
    #[error("{path}: {reason}", path = path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// It does not parse, or does not render.
    #[error("the mail template {name} cannot be used: {reason}")]
    Broken {
        /// Which.
        name: String,
        /// Why, with the line.
        reason: String,
    },
}

/// What a mail says.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Rendered {
    pub(crate) subject: String,
    pub(crate) text: String,
    pub(crate) html: String,
}

/// The templates of all mails. Each is tried once when they are loaded.
pub struct Templates {
    environment: Environment<'static>,
    service: String,
}

impl std::fmt::Debug for Templates {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Templates")
    }
}

impl Templates {
    /// The built-in templates, each replaced by the file of its name where the folder has one. `service` is what mails call the sender.
    ///
    /// # Errors
    /// [`TemplateError`] for a folder or a file that cannot be read, and a template that does not parse or render.
    pub fn load(service: &str, folder: Option<&Path>) -> Result<Self, TemplateError> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        let mut sources: BTreeMap<String, String> = built_in();
        if let Some(folder) = folder {
            sources.extend(replaced(folder)?);
        }
        for (name, source) in sources {
            let added = environment.add_template_owned(name.clone(), source);
            added.map_err(|error| broken(&name, &error))?;
        }
        let templates = Self {
            environment,
            service: service.to_owned(),
        };
        for kind in MailKind::ALL {
            for language in MailLanguage::ALL {
                templates.render_values(kind, language, &samples())?;
            }
        }
        Ok(templates)
    }

    pub(crate) fn render(&self, mail: &Mail) -> Result<Rendered, TemplateError> {
        self.render_values(mail.kind, mail.language, &mail.values)
    }

    fn render_values(
        &self,
        kind: MailKind,
        language: MailLanguage,
        values: &BTreeMap<String, String>,
    ) -> Result<Rendered, TemplateError> {
        let base = format!("{}.{}", kind.as_str(), language.as_str());
        let mut values: BTreeMap<&str, String> = values
            .iter()
            .map(|(name, value)| (name.as_str(), one_line(value)))
            .collect();
        values.entry("service").or_insert_with(|| one_line(&self.service));
        let whole = self.text_of(&format!("{base}.txt"), &values)?;
        let (subject, text) = whole.split_once('\n').unwrap_or((&whole, ""));
        let (subject, text) = (one_line(subject), text.trim().to_owned());
        let paragraphs: Vec<Value> = text.split("\n\n").map(|part| Value::from(part.trim())).collect();
        let html = format!("{base}.html");
        let html = match self.environment.get_template(&html) {
            Ok(_) => html,
            Err(_) => LAYOUT.to_owned(),
        };
        let values = context! {
            subject => subject.as_str(),
            language => language.as_str(),
            paragraphs => paragraphs,
            link => values.get("link").map(String::as_str),
            code => values.get("code").map(String::as_str),
            ..value_of(&values)
        };
        let html = self.of(&html, &values)?;
        Ok(Rendered { subject, text, html })
    }

    fn text_of(&self, name: &str, values: &BTreeMap<&str, String>) -> Result<String, TemplateError> {
        self.of(name, &value_of(values))
    }

    fn of(&self, name: &str, values: &Value) -> Result<String, TemplateError> {
        let template = self.environment.get_template(name);
        let rendered = template.and_then(|template| template.render(values));
        rendered.map_err(|error| broken(name, &error))
    }
}

fn value_of(values: &BTreeMap<&str, String>) -> Value {
    Value::from_pairs(values.iter().map(|(name, value)| (*name, value.as_str())))
}

/// A value stands in one line, whatever it is: it cannot begin a header, nor a paragraph of its own.
fn one_line(text: &str) -> String {
    let is_break = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    let spaced: String = text.chars().map(|c| if is_break(c) { ' ' } else { c }).collect();
    spaced.trim().to_owned()
}

/// Each value that a template may use.
fn samples() -> BTreeMap<String, String> {
    ["link", "code", "minutes", "address", "days"]
        .map(|name| (name.to_owned(), "0".to_owned()))
        .into()
}

fn broken(name: &str, error: &minijinja::Error) -> TemplateError {
    let line = error.line().map(|line| format!(" in line {line}")).unwrap_or_default();
    let detail = error.detail().map(|detail| format!(": {detail}")).unwrap_or_default();
    let what = match error.kind() {
        ErrorKind::UndefinedError => "a value is not there".to_owned(),
        kind => kind.to_string(),
    };
    TemplateError::Broken {
        name: name.to_owned(),
        reason: format!("{what}{line}{detail}"),
    }
}

/// The files of a folder that replace a built-in template. Another name is a mistake.
fn replaced(folder: &Path) -> Result<BTreeMap<String, String>, TemplateError> {
    let unreadable = |path: &Path, reason: &dyn std::fmt::Display| TemplateError::Unreadable {
        path: path.to_owned(),
        reason: reason.to_string(),
    };
    let mut known: Vec<String> = built_in().into_keys().collect();
    known.extend(names().map(|(kind, language)| format!("{}.{}.html", kind.as_str(), language.as_str())));
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).map_err(|error| unreadable(folder, &error))? {
        let path = entry.map_err(|error| unreadable(folder, &error))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with('.') || !(name.ends_with(".txt") || name.ends_with(".html")) {
            continue;
        }
        if !known.iter().any(|known| known == name) {
            return Err(unreadable(&path, &"no mail has a template of this name"));
        }
        let length = std::fs::metadata(&path)
            .map_err(|error| unreadable(&path, &error))?
            .len();
        if length > MOST_BYTES {
            return Err(unreadable(&path, &"is too long for a template"));
        }
        let text = std::fs::read_to_string(&path).map_err(|error| unreadable(&path, &error))?;
        found.insert(name.to_owned(), text);
    }
    Ok(found)
}

fn names() -> impl Iterator<Item = (MailKind, MailLanguage)> {
    MailKind::ALL
        .into_iter()
        .flat_map(|kind| MailLanguage::ALL.map(|language| (kind, language)))
}

fn built_in() -> BTreeMap<String, String> {
    let mut sources: BTreeMap<String, String> = names()
        .map(|(kind, language)| {
            let name = format!("{}.{}.txt", kind.as_str(), language.as_str());
            (name, source(kind, language).to_owned())
        })
        .collect();
    sources.insert(LAYOUT.to_owned(), include_str!("../templates/layout.html").to_owned());
    sources
}

/// The built-in text of a mail.
fn source(kind: MailKind, language: MailLanguage) -> &'static str {
    use MailKind as K;
    use MailLanguage::{English, Turkish};
    match (kind, language) {
        (K::VerifyAddress, English) => include_str!("../templates/verify_address.en.txt"),
        (K::VerifyAddress, Turkish) => include_str!("../templates/verify_address.tr.txt"),
        (K::AddressInUse, English) => include_str!("../templates/address_in_use.en.txt"),
        (K::AddressInUse, Turkish) => include_str!("../templates/address_in_use.tr.txt"),
        (K::ResetPassword, English) => include_str!("../templates/reset_password.en.txt"),
        (K::ResetPassword, Turkish) => include_str!("../templates/reset_password.tr.txt"),
        (K::PasswordChanged, English) => include_str!("../templates/password_changed.en.txt"),
        (K::PasswordChanged, Turkish) => include_str!("../templates/password_changed.tr.txt"),
        (K::ChangeAddress, English) => include_str!("../templates/change_address.en.txt"),
        (K::ChangeAddress, Turkish) => include_str!("../templates/change_address.tr.txt"),
        (K::AddressChanged, English) => include_str!("../templates/address_changed.en.txt"),
        (K::AddressChanged, Turkish) => include_str!("../templates/address_changed.tr.txt"),
        (K::SignInCode, English) => include_str!("../templates/sign_in_code.en.txt"),
        (K::SignInCode, Turkish) => include_str!("../templates/sign_in_code.tr.txt"),
        (K::SignInLink, English) => include_str!("../templates/sign_in_link.en.txt"),
        (K::SignInLink, Turkish) => include_str!("../templates/sign_in_link.tr.txt"),
        (K::VerificationCode, English) => include_str!("../templates/verification_code.en.txt"),
        (K::VerificationCode, Turkish) => include_str!("../templates/verification_code.tr.txt"),
        (K::Invitation, English) => include_str!("../templates/invitation.en.txt"),
        (K::Invitation, Turkish) => include_str!("../templates/invitation.tr.txt"),
    }
}

#[cfg(test)]
mod tests {
    use bekci_core::mail::EmailAddress;
    use time::OffsetDateTime;

    use super::*;

    fn mail(kind: MailKind, values: &[(&str, &str)]) -> Mail {
        Mail {
            kind,
            to: EmailAddress::new("a@b.c").unwrap(),
            language: MailLanguage::English,
            values: values
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            expires_at: OffsetDateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn every_mail_has_a_subject_a_text_and_html_in_both_languages() {
        let templates = Templates::load("Shop", None).unwrap();
        for (kind, language) in names() {
            let rendered = templates.render_values(kind, language, &samples()).unwrap();
            assert!(!rendered.subject.is_empty() && rendered.subject.len() < 78, "{kind:?}");
            assert!(rendered.subject.contains("Shop"), "{kind:?} {}", rendered.subject);
            assert!(rendered.html.contains("<html lang="), "{kind:?}");
        }
    }

    #[test]
    fn a_value_begins_neither_a_header_nor_a_paragraph_nor_an_element() {
        let templates = Templates::load("Shop\r\nBcc: v@y.z", None).unwrap();
        let evil = "1\r\nBcc: v@y.z\r\n\r\n<script>alert(1)</script>\u{2028}x";
        let rendered = templates
            .render(&mail(MailKind::SignInCode, &[("code", evil), ("minutes", evil)]))
            .unwrap();
        assert!(!rendered.subject.contains(['\r', '\n']), "{:?}", rendered.subject);
        assert!(!rendered.text.contains("\nBcc"), "{:?}", rendered.text);
        assert!(!rendered.html.contains("<script>"), "{}", rendered.html);
    }

    #[test]
    fn a_missing_value_is_an_error_and_no_hole() {
        let templates = Templates::load("Shop", None).unwrap();
        assert!(templates.render(&mail(MailKind::ResetPassword, &[])).is_err());
    }

    #[test]
    fn a_folder_replaces_templates_and_its_mistakes_are_found_when_it_is_loaded() {
        let folder = bekci_test_support::TempDir::new("templates");
        let put = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        put(
            "sign_in_code.en.txt",
            "{{ code }} for {{ service }}\n\nIt is {{ code }}.\n",
        );
        put("README", "not a template");
        let templates = Templates::load("Shop", Some(folder.path())).unwrap();
        let rendered = templates
            .render(&mail(MailKind::SignInCode, &[("code", "123456")]))
            .unwrap();
        assert_eq!(
            (&*rendered.subject, &*rendered.text),
            ("123456 for Shop", "It is 123456.")
        );
        put("sign_in_code.en.html", "<b>{{ code }}</b>");
        let templates = Templates::load("Shop", Some(folder.path())).unwrap();
        let rendered = templates
            .render(&mail(MailKind::SignInCode, &[("code", "<i>")]))
            .unwrap();
        assert_eq!(rendered.html, "<b>&lt;i&gt;</b>");
        put("sign_in_code.en.txt", "{{ password }}\n\nx");
        let told = Templates::load("Shop", Some(folder.path())).unwrap_err().to_string();
        assert!(told.contains("sign_in_code.en.txt"), "{told}");
        put("sign_in_code.en.txt", "{% if %}\n\nx");
        assert!(Templates::load("Shop", Some(folder.path())).is_err());
        std::fs::remove_file(folder.path().join("sign_in_code.en.txt")).unwrap();
        put("sign_in.en.txt", "x");
        assert!(Templates::load("Shop", Some(folder.path())).is_err());
        assert!(Templates::load("Shop", Some(&folder.path().join("none"))).is_err());
    }
}
