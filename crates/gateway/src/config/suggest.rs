//! "Did you mean": the known word nearest to an unknown one.

/// The candidate that a slip of the keyboard is likely to have missed: at most one edit in three characters, and two
/// at least, where an edit adds, drops or changes a character or swaps two neighbours.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = (word.chars().count() / 3).max(2);
    candidates
        .into_iter()
        // Longer words cost time and are no slips; a key has at most 32 characters.
        .filter(|candidate| word.len() <= 128 && !candidate.is_empty())
        .map(|candidate| (edits(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= allowed && *distance < candidate.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `; did you mean x?`, or nothing.
pub(crate) fn hint<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, candidates).map_or_else(String::new, |found| format!("; did you mean {found}?"))
}

/// The edit distance with swaps of neighbours (optimal string alignment), row by row.
fn edits(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=right.len()).collect();
    let mut last_left = None;
    for (row, l) in left.chars().enumerate() {
        let mut current = vec![row + 1];
        let mut last_right = None;
        for (column, r) in right.iter().enumerate() {
            let at = |cells: &[usize], i: usize| cells.get(i).copied().unwrap_or(usize::MAX - 1);
            let mut best = at(&above, column) + usize::from(l != *r);
            best = best.min(at(&above, column + 1) + 1).min(at(&current, column) + 1);
            if last_left == Some(*r) && last_right == Some(l) && column > 0 {
                best = best.min(at(&before, column - 1) + 1);
            }
            current.push(best);
            last_right = Some(*r);
        }
        before = std::mem::replace(&mut above, current);
        last_left = Some(l);
    }
    above.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_adds_drops_changes_or_swaps() {
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
