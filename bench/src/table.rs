//! Medians, and where they are written.

use std::path::Path;

/// Where the tables stand in docs/performance.md.
const MARKERS: (&str, &str) = ("<!-- figures: begin -->\n", "<!-- figures: end -->");

/// The middle of the figures; least and most.
pub(crate) fn spread(mut figures: Vec<f64>) -> (f64, f64, f64) {
    figures.sort_by(f64::total_cmp);
    (figures[figures.len() / 2], figures[0], figures[figures.len() - 1])
}

/// A Markdown table; all columns but the first are numbers.
pub(crate) fn table(title: &str, columns: &[&str], rows: &[Vec<String>]) -> String {
    let rule: String = columns.iter().skip(1).map(|_| " ---: |").collect();
    let lines: String = rows.iter().map(|row| format!("| {} |\n", row.join(" | "))).collect();
    format!("### {title}\n\n| {} |\n| --- |{rule}\n{lines}", columns.join(" | "))
}

/// Puts the tables between the markers of docs/performance.md.
pub(crate) fn write_into_the_document(tables: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/performance.md");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, between_the_markers(&text, tables).unwrap()).unwrap();
}

fn between_the_markers(text: &str, tables: &str) -> Option<String> {
    let (before, rest) = text.split_once(MARKERS.0)?;
    let (_, after) = rest.split_once(MARKERS.1)?;
    Some(format!("{before}{}\n{tables}\n{}{after}", MARKERS.0, MARKERS.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_is_not_moved_by_one_that_is_far_out() {
        assert_eq!(spread(vec![9.0, 1.0, 2.0, 1_000.0, 3.0]), (3.0, 1.0, 1_000.0));
    }

    #[test]
    fn tables_take_the_place_of_those_between_the_markers_alone() {
        let text = format!("before\n{}old\n{}\nafter\n", MARKERS.0, MARKERS.1);
        let written = between_the_markers(&text, "new\n").unwrap();
        assert_eq!(written, format!("before\n{}\nnew\n\n{}\nafter\n", MARKERS.0, MARKERS.1));
        assert_eq!(between_the_markers(&written, "new\n").unwrap(), written);
        assert_eq!(between_the_markers("without", "new"), None);
    }

    #[test]
    fn the_document_has_the_markers() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/performance.md");
        assert!(between_the_markers(&std::fs::read_to_string(path).unwrap(), "").is_some());
    }
}
