//! Inputs that are almost right: what parsers get wrong is seldom noise.

use super::Chance;

/// Longer inputs are cut, so that what a trial costs is bounded.
const MOST_BYTES: usize = 64 * 1024;
/// How many changes at most make an input of another.
const CHANGES: usize = 5;
/// How often at most a piece is repeated.
const REPEATS: usize = 300;
/// Bytes that end, quote or escape something somewhere.
const ODD: &[u8] = b"\0\t\n\r\x1b \"#%&'()*+,-./:;<=>?@[\\]^_`{|}~\x7f\x80\xa0\xad\xc0\xc3\xe2\xed\xff";

/// Makes inputs of a corpus: each a member of it with up to five changes.
#[derive(Clone, Debug)]
pub struct Mutator {
    corpus: Vec<Vec<u8>>,
    words: Vec<Vec<u8>>,
}

impl Mutator {
    /// Of these inputs, with words that mean something in their language.
    #[must_use]
    pub fn new(corpus: impl IntoIterator<Item = impl Into<Vec<u8>>>, words: &[&str]) -> Self {
        Self {
            corpus: corpus.into_iter().map(Into::into).collect(),
            words: words.iter().map(|word| word.as_bytes().to_vec()).collect(),
        }
    }

    /// The inputs that it started from.
    pub fn corpus(&self) -> impl Iterator<Item = &[u8]> {
        self.corpus.iter().map(Vec::as_slice)
    }

    /// Another input.
    pub fn make(&self, chance: &mut Chance) -> Vec<u8> {
        let mut input = pick(&self.corpus, chance).to_vec();
        for _ in 0..=chance.below(CHANGES) {
            self.change(&mut input, chance);
        }
        input.truncate(MOST_BYTES);
        input
    }

    /// The same as text; what is no UTF-8 is replaced.
    pub fn make_text(&self, chance: &mut Chance) -> String {
        String::from_utf8_lossy(&self.make(chance)).into_owned()
    }

    fn change(&self, input: &mut Vec<u8>, chance: &mut Chance) {
        let at = chance.below(input.len() + 1);
        let end = at + chance.below(input.len() - at + 1).min(1 + chance.below(24));
        match chance.below(10) {
            0 => drop(input.splice(at..end, [])),
            1 => drop(input.splice(at..end, [chance.byte()])),
            2 => drop(input.splice(at..at, pick_byte(ODD, chance))),
            3 => drop(input.splice(at..end, pick_byte(ODD, chance))),
            4 => drop(input.splice(at..at, pick(&self.words, chance).to_vec())),
            5 => drop(input.splice(at..end, pick(&self.words, chance).to_vec())),
            6 => {
                let piece = input.get(at..end).unwrap_or_default().repeat(1 + chance.below(REPEATS));
                drop(input.splice(at..at, piece));
            }
            7 => {
                let other = pick(&self.corpus, chance);
                let from = other.get(chance.below(other.len() + 1)..).unwrap_or_default();
                drop(input.splice(at.., from.to_vec()));
            }
            8 => {
                let to = chance.below(input.len() + 1);
                let piece = input.get(at..end).unwrap_or_default().to_vec();
                drop(input.splice(to..to, piece));
            }
            _ => {
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= 1 << chance.below(8);
                }
            }
        }
    }
}

fn pick<'a>(of: &'a [Vec<u8>], chance: &mut Chance) -> &'a [u8] {
    of.get(chance.below(of.len())).map(Vec::as_slice).unwrap_or_default()
}

fn pick_byte(of: &[u8], chance: &mut Chance) -> Option<u8> {
    of.get(chance.below(of.len())).copied()
}

/// Reads a corpus: one input each line. `\n`, `\r`, `\t`, `\0`, `\\` and `\xNN` stand for what they do in Rust; an empty line and one that begins with
/// `# ` say nothing, and `\x` before a line's end stands for nothing at all, so that an input can be empty or begin with a blank.
///
/// # Panics
/// Where an escape is none of these.
#[must_use]
#[track_caller]
pub fn corpus(text: &str) -> Vec<Vec<u8>> {
    let says_something = |line: &&str| !line.is_empty() && !line.starts_with("# ");
    text.lines().filter(says_something).map(unescape).collect()
}

#[track_caller]
fn unescape(line: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(line.len());
    let mut rest = line;
    while let Some((plain, escaped)) = rest.split_once('\\') {
        bytes.extend(plain.as_bytes());
        let (byte, length) = match escaped.as_bytes() {
            [b'n', ..] => (Some(b'\n'), 1),
            [b'r', ..] => (Some(b'\r'), 1),
            [b't', ..] => (Some(b'\t'), 1),
            [b'0', ..] => (Some(b'\0'), 1),
            [b'\\', ..] => (Some(b'\\'), 1),
            [b'x'] => (None, 1),
            [b'x', ..] => (escaped.get(1..3).and_then(|hex| u8::from_str_radix(hex, 16).ok()), 3),
            _ => (None, 0),
        };
        #[expect(clippy::panic, reason = "a mistake of the corpus")]
        if byte.is_none() && length != 1 {
            panic!("no escape: \\{escaped}");
        }
        bytes.extend(byte);
        rest = escaped.get(length..).unwrap_or_default();
    }
    bytes.extend(rest.as_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_corpus_is_read_line_by_line_with_its_escapes() {
        assert_eq!(
            corpus("# a remark\n/a\n\n#b\nx\\r\\n\\x00\\xfF\\\\\\t\n\\x\n"),
            [&b"/a"[..], b"#b", b"x\r\n\0\xff\\\t", b""]
        );
    }

    #[test]
    fn a_seed_makes_the_same_inputs_and_many_different_ones() {
        let mutator = Mutator::new(corpus("/a/b\nabc\n"), &["word"]);
        let make = |seed| mutator.make(&mut Chance::new(seed));
        let once: Vec<_> = (0..500).map(make).collect();
        assert_eq!(once, (0..500).map(make).collect::<Vec<_>>());
        let different: std::collections::HashSet<_> = once.iter().collect();
        assert!(different.len() > 300, "{}", different.len());
        assert!(once.iter().any(|input| input.windows(4).any(|part| part == b"word")));
        assert!(once.iter().all(|input| input.len() <= MOST_BYTES));
    }
}
