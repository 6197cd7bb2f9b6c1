//! Groups of three letters: what words that are alike have in common.
//!
//! A word is a run of letters and digits in lower case. Two spaces stand before it and one behind,
//! so that its beginning counts most: `cat` is `␣␣c`, `␣ca`, `cat`, `at␣`.

use std::collections::BTreeSet;

/// Of longer words the beginning counts.
const WORD_CHARS_MAX: usize = 32;

/// The words of a text, in their order.
pub fn words(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(|word| word.chars().flat_map(char::to_lowercase).collect())
        .collect()
}

/// A group of three letters.
type Group = [char; 3];

fn groups(word: &str) -> Vec<Group> {
    let mut letters = vec![' ', ' '];
    letters.extend(word.chars().take(WORD_CHARS_MAX));
    letters.push(' ');
    letters.array_windows().copied().collect()
}

/// The groups of a word, in their order; one may stand there twice.
pub fn of_word(word: &str) -> Vec<String> {
    groups(word).iter().map(|group| group.iter().collect()).collect()
}

/// The different groups of all words of a text.
pub fn of_text(text: &str) -> BTreeSet<String> {
    words(text).iter().flat_map(|word| of_word(word)).collect()
}

/// The different groups of a word, to be compared with those of others.
#[derive(Debug)]
pub struct Groups(Vec<Group>);

impl Groups {
    /// Those of this word.
    pub fn of(word: &str) -> Self {
        let mut groups = groups(word);
        groups.sort_unstable();
        groups.dedup();
        Self(groups)
    }

    /// How much two words are alike, from 0 to 1: twice what they have in common, of what they have.
    pub fn likeness(&self, other: &Self) -> f64 {
        let n_common = self.0.iter().filter(|group| other.0.binary_search(group).is_ok()).count();
        // Words are short, so the numbers are small.
        (2 * n_common) as f64 / (self.0.len() + other.0.len()) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_runs_of_letters_and_digits_in_lower_case() {
        assert_eq!(words("Deploy-Script v2, ÄRGER!"), ["deploy", "script", "v2", "ärger"]);
        assert!(words(" …—' ").is_empty());
    }

    #[test]
    fn a_word_has_one_group_more_than_letters() {
        assert_eq!(of_word("cat"), ["  c", " ca", "cat", "at "]);
        assert_eq!(of_word(&"x".repeat(99)).len(), WORD_CHARS_MAX + 1);
        assert!(of_text("cat CAT").len() == 4);
    }

    #[test]
    fn a_word_is_like_itself_and_less_like_others() {
        let likeness = |a: &str, b: &str| Groups::of(a).likeness(&Groups::of(b));
        assert!((likeness("kubernetes", "kubernetes") - 1.0).abs() < f64::EPSILON);
        assert!(likeness("kuberntes", "kubernetes") > 0.7);
        assert!(likeness("kubernetes", "postgres") < 0.3);
    }
}
