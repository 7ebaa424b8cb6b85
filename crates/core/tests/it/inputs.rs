//! Whatever a client sends is read in one way or refused: each parser over its corpus and over inputs made of it, held against a plain second reading.

mod credentials;
mod keys;
mod paths;

/// The file's inputs, and those that chance makes of them; `heed` judges each.
fn on_each_and_by_chance(
    corpus: &str,
    words: &[&str],
    trials: usize,
    mut heed: impl FnMut(&[u8], &mut bekci_test_support::Chance),
) {
    use bekci_test_support::{Chance, Mutator, by_chance};
    let mutator = Mutator::new(bekci_test_support::corpus(corpus), words);
    for input in mutator.corpus() {
        heed(input, &mut Chance::new(0));
    }
    by_chance(trials, |chance| heed(&mutator.make(chance), chance));
}
