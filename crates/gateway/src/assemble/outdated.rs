//! What an out-of-date schema lacks, in words.

use bekci_migration::Status;

/// Each kind of thing with its names. A table that is not there has no triggers either, and is named once.
pub(crate) fn lacking(status: &Status) -> String {
    let is_there = |table: &&String| status.pending.is_empty() && !status.missing_tables.contains(*table);
    let unwatched: Vec<String> = status.missing_watches.iter().filter(is_there).cloned().collect();
    let lists = [
        ("not applied", &status.pending),
        ("missing tables", &status.missing_tables),
        ("missing triggers on", &unwatched),
    ];
    let told = lists.into_iter().filter(|(_, names)| !names.is_empty());
    let told: Vec<String> = told
        .map(|(what, names)| format!("{what}: {}", names.join(", ")))
        .collect();
    told.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(of: &[&str]) -> Vec<String> {
        of.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn what_is_missing_is_named_once_and_by_its_kind() {
        let empty = Status {
            pending: names(&["m1"]),
            missing_tables: names(&["admins"]),
            missing_watches: names(&["bekci_sessions", "admins"]),
        };
        assert_eq!(lacking(&empty), "not applied: m1; missing tables: admins");
        let new_model = Status {
            pending: Vec::new(),
            missing_tables: names(&["partners"]),
            missing_watches: names(&["partners", "customers"]),
        };
        assert_eq!(
            lacking(&new_model),
            "missing tables: partners; missing triggers on: customers"
        );
    }
}
