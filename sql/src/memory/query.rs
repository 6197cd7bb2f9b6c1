//! A query, as the three ways of looking put it to PostgreSQL, and what it found in a text.
//!
//! The texts made here are read as `tsquery`. Every word in them is quoted, so that no letter of a
//! peer is an operator.

use std::{collections::BTreeSet, ops::Range};

use skein_wire::memory::{Match, MatchKind};

use super::grams::{self, Groups};

/// Words that are looked for by their likeness; those behind them are not looked for.
const LIKE_WORDS_MAX: usize = 8;
/// Groups of three that a slip of one letter changes at most: two neighbours that change places.
const SLIP_GROUPS: usize = 4;
/// Groups that must be left when those of a slip are taken away.
const GROUPS_MIN: usize = 2;
/// Of a word with at least so many groups (first), the places of a slip are taken so many at a
/// time (second): that keeps queries short, and at least three groups are left all the same.
const STEPS: [(usize, usize); 4] = [(0, 1), (8, 2), (9, 3), (12, 4)];
/// How much a word must be like the query's.
const LIKENESS_MIN: f64 = 0.4;

/// A query that was read.
#[derive(Debug)]
pub struct Query {
    mesh: i64,
    /// What its words are to English.
    stems: Vec<String>,
    /// Its words that carry meaning, each with its stem.
    words: Vec<(String, String)>,
}

/// An entry of the indexes: the number of the mesh, and what it is about.
pub fn entry(mesh: i64, text: &str) -> String {
    format!("{mesh} {text}")
}

impl Query {
    /// A query with its stems; `stem_of` are those of `words`, empty where a word has no meaning.
    pub fn new(mesh: i64, stems: Vec<String>, words: Vec<String>, stem_of: Vec<String>) -> Self {
        let words = words.into_iter().zip(stem_of).filter(|(_, stem)| !stem.is_empty()).collect();
        Self { mesh, stems, words }
    }

    fn quoted(&self, text: &str) -> String {
        format!("'{}'", entry(self.mesh, text).replace('\\', "\\\\").replace('\'', "''"))
    }

    /// All the stems; `None` when there are none.
    pub fn by_words(&self) -> Option<String> {
        all(self.stems.iter().map(|stem| self.quoted(stem)))
    }

    /// Each word by its stem or as a beginning.
    pub fn by_prefix(&self) -> Option<String> {
        let one = |(word, stem): &(String, String)| {
            format!("({} | {}:*)", self.quoted(stem), self.quoted(word))
        };
        all(self.words.iter().map(one))
    }

    /// Each word with all its groups of three but its end, which may be another, and those that one
    /// slip can change.
    pub fn by_grams(&self) -> Option<String> {
        all(self.like_words().map(|word| {
            let groups: Vec<String> = wanted(word).iter().map(|group| self.quoted(group)).collect();
            but_a_slip(&groups)
        }))
    }

    fn like_words(&self) -> impl Iterator<Item = &str> {
        self.words.iter().take(LIKE_WORDS_MAX).map(|(word, _)| word.as_str())
    }

    /// What was found by the stems.
    pub fn same_words(&self, score: f64) -> Match {
        Match { kind: MatchKind::Words, terms: self.stems.clone(), score }
    }

    /// What was found by beginnings.
    pub fn begins(&self, text: &str, score: f64) -> Match {
        let words = grams::words(text);
        let found = |(word, stem): &(String, String)| {
            let begins = |start: &str| words.iter().find(|one| one.starts_with(start)).cloned();
            begins(word).or_else(|| begins(stem)).unwrap_or_else(|| stem.clone())
        };
        Match { kind: MatchKind::Prefix, terms: self.words.iter().map(found).collect(), score }
    }

    /// What was found by likeness; `None` when a word has none that is like it.
    pub fn is_like(&self, text: &str) -> Option<Match> {
        let words: BTreeSet<String> = grams::words(text).into_iter().collect();
        let words: Vec<_> = words.iter().map(|word| (word, Groups::of(word))).collect();
        let (mut terms, mut sum) = (Vec::new(), 0.0);
        for wanted in self.like_words() {
            let wanted = Groups::of(wanted);
            let likeness = words.iter().map(|(word, groups)| (wanted.likeness(groups), *word));
            let (best, word) = likeness.max_by(|a, b| a.0.total_cmp(&b.0))?;
            if best < LIKENESS_MIN {
                return None;
            }
            terms.push(word.clone());
            sum += best;
        }
        let score = sum / terms.len() as f64;
        Some(Match { kind: MatchKind::Similar, terms, score })
    }
}

/// The groups of a word but its last: a word may end otherwise, as `secrets` does.
fn wanted(word: &str) -> Vec<String> {
    let mut groups = grams::of_word(word);
    groups.pop();
    groups
}

fn all(parts: impl Iterator<Item = String>) -> Option<String> {
    let parts: Vec<_> = parts.collect();
    (!parts.is_empty()).then(|| parts.join(" & "))
}

/// Where a slip can be in a word of `n` groups: the groups that are left out, for each place. Any
/// four that follow each other are in one of them.
fn slips(n: usize) -> Vec<Range<usize>> {
    let step = STEPS.iter().rev().find(|(least, _)| *least <= n).map_or(1, |(_, step)| *step);
    let width = (SLIP_GROUPS + step - 1).min(n.saturating_sub(GROUPS_MIN));
    let last = n - width;
    // A word that is too short for a slip has one place, of no width.
    let first = if width == 0 { last } else { 0 };
    (first..last).step_by(step).chain([last]).map(|start| start..start + width).collect()
}

/// All groups but those that a slip at some place changes: those behind the first place, or those
/// before the second and (those behind it, or those before the third and …). PostgreSQL compares
/// thousands of memories with it, and most of them lack a group at the first look: written out, one
/// place beside the other, it takes twice as long.
fn but_a_slip(groups: &[String]) -> String {
    let mut text = String::new();
    let slips = slips(groups.len());
    for (n, slip) in slips.iter().enumerate().rev() {
        let behind = groups[slip.end..].join(" & ");
        // What stands before this place and behind the one before.
        let since = if n == 0 { 0 } else { slips[n - 1].start };
        let between = groups[since..slip.start].join(" & ");
        text = match (behind.as_str(), text.as_str()) {
            ("", "") => between,
            (behind, "") => join(&between, behind),
            ("", rest) => join(&between, rest),
            (behind, rest) => join(&between, &format!("({behind} | {rest})")),
        };
    }
    text
}

/// Both, or the second where there is no first.
fn join(first: &str, second: &str) -> String {
    if first.is_empty() { second.to_owned() } else { format!("{first} & {second}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(words: &[(&str, &str)]) -> Query {
        let owned = |text: &str| text.to_owned();
        let stems = words.iter().map(|(_, stem)| owned(stem)).filter(|s| !s.is_empty()).collect();
        let (words, stem_of) = words.iter().map(|(word, stem)| (owned(word), owned(stem))).unzip();
        Query::new(7, stems, words, stem_of)
    }

    #[test]
    fn every_word_is_quoted_and_names_the_mesh() {
        let query = query(&[("o'hara", "o'hara"), ("the", ""), ("a\\b", "a\\b")]);

        assert_eq!(query.by_words().unwrap(), r"'7 o''hara' & '7 a\\b'");
        let prefixes = r"('7 o''hara' | '7 o''hara':*) & ('7 a\\b' | '7 a\\b':*)";
        assert_eq!(query.by_prefix().unwrap(), prefixes);
    }

    #[test]
    fn words_without_meaning_are_not_looked_for() {
        let query = query(&[("the", "")]);

        assert_eq!((query.by_words(), query.by_prefix(), query.by_grams()), (None, None, None));
    }

    #[test]
    fn a_word_with_any_one_slip_keeps_the_groups_that_are_asked_for() {
        for word in ["tree", "apples", "ripgreps", "kubernetes", "internationalization"] {
            let asked = wanted(word);
            let letters: Vec<char> = word.chars().collect();
            for place in 0..letters.len() {
                let mut other = letters.clone();
                other[place] = '0';
                let kept = grams::of_text(&other.iter().collect::<String>());
                let fits = |slip: &Range<usize>| {
                    let mut left = asked[..slip.start].iter().chain(&asked[slip.end..]);
                    left.all(|group| kept.contains(group))
                };
                // A short word keeps too little to be told from others.
                assert!(
                    letters.len() < 5 || slips(asked.len()).iter().any(fits),
                    "{word}: {place}"
                );
            }
        }
    }

    #[test]
    fn any_two_neighbours_can_change_places_and_enough_is_left() {
        for n in 6..40 {
            let slips = slips(n);
            for start in 0..=n - SLIP_GROUPS {
                let is_in =
                    |slip: &Range<usize>| slip.start <= start && start + SLIP_GROUPS <= slip.end;
                assert!(slips.iter().any(is_in), "{n}: {start}");
            }
            assert!(slips.iter().all(|slip| n - slip.len() >= 3.min(n - SLIP_GROUPS)), "{n}");
        }
    }

    #[test]
    fn what_is_left_beside_a_slip_is_asked_for_place_by_place() {
        let groups = |n: usize| -> Vec<String> { (0..n).map(|n| n.to_string()).collect() };

        assert_eq!(but_a_slip(&groups(1)), "0");
        assert_eq!(but_a_slip(&groups(2)), "0 & 1");
        assert_eq!(but_a_slip(&groups(3)), "(1 & 2 | 0 & (2 | 1))");
        assert_eq!(but_a_slip(&groups(6)), "(4 & 5 | 0 & (5 | 1))");
    }

    #[test]
    fn what_is_like_is_named_and_what_is_not_is_left_out() {
        let query = query(&[("kuberntes", "kubernt"), ("secrt", "secrt")]);

        let found = query.is_like("The Kubernetes SECRET").unwrap();

        assert_eq!(found.terms, ["kubernetes", "secret"]);
        assert_eq!(found.kind, MatchKind::Similar);
        assert_eq!(query.is_like("the kubernetes"), None);
        assert_eq!(query.is_like(""), None);
    }
}
