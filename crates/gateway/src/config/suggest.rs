//! "Did you mean": the known word nearest to an unknown one.

use strsim::osa_distance;

/// The candidate that a slip of the keyboard is likely to have missed: at most one edit in three characters, and two
/// at least, where an edit adds, drops or changes a character or swaps two neighbours.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = (word.chars().count() / 3).max(2);
    candidates
        .into_iter()
        // Longer words cost time and are no slips; a key has at most 32 characters.
        .filter(|candidate| word.len() <= 128 && !candidate.is_empty())
        .map(|candidate| (osa_distance(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= allowed && *distance < candidate.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `; did you mean x?`, or nothing.
pub(crate) fn hint<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, candidates).map_or_else(String::new, |found| format!("; did you mean {found}?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_adds_drops_changes_or_swaps() {
        let edits = osa_distance;
        assert_eq!(edits("listen", "listen"), 0);
        assert_eq!(edits("acess", "access"), 1);
        assert_eq!(edits("lsiten", "listen"), 1);
        assert_eq!(edits("", "abc"), 3);
        assert_eq!(edits("workers", "wrokerz"), 2);
    }

    #[test]
    fn a_word_of_its_own_is_no_slip() {
        assert_eq!(nearest("acess_ttl", ["refresh_ttl", "access_ttl"]), Some("access_ttl"));
        assert_eq!(nearest("colour", ["listen", "workers"]), None);
        assert_eq!(nearest("ab", ["cd"]), None);
    }
}
