//! Dotted keys, as messages name them: `guards.customer.sources[1]`.

/// The key `name` of the table `table`, quoted where TOML would have it quoted.
pub(crate) fn key(table: &str, name: &str) -> String {
    let is_bare = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    let name = if is_bare { name.to_owned() } else { quoted(name) };
    if table.is_empty() {
        name
    } else {
        format!("{table}.{name}")
    }
}

/// The element `index`, from 0, of the list `list`.
pub(crate) fn item(list: &str, index: usize) -> String {
    format!("{list}[{index}]")
}

/// The text as a TOML basic string.
pub(crate) fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
