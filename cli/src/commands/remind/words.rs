//! A text and a time, written one behind the other.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::when::{self, EXAMPLES, Unread, When};

/// Takes words apart: the longest end of them that says a time is the time, what stands before it
/// is the text.
pub fn apart(words: &[String], zone: &TimeZone, now: Timestamp) -> Result<(String, When), String> {
    for at in 1..words.len() {
        let (text, time) = words.split_at(at);
        match when::read(&time.join(" "), zone, now) {
            Ok(when) => return Ok((text.join(" "), when)),
            Err(Unread::Refused(problem)) => return Err(problem),
            Err(Unread::NoTime(_)) => (),
        }
    }
    Err(format!("when? write it behind the text: {EXAMPLES}; or give --in, --at or --cron"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apart_at_noon(line: &[&str]) -> Result<(String, String), String> {
        let words: Vec<String> = line.iter().map(|word| (*word).to_owned()).collect();
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        apart(&words, &TimeZone::UTC, now).map(|(text, when)| (text, when.at.to_string()))
    }

    #[test]
    fn the_time_is_the_longest_end_that_is_one() {
        for (line, text, at) in [
            (&["tea", "in", "20m"][..], "tea", "2026-11-22T12:20:00Z"),
            (&["call bob", "tomorrow", "9:00"], "call bob", "2026-11-23T09:00:00Z"),
            (&["call", "bob", "tomorrow 9:00"], "call bob", "2026-11-23T09:00:00Z"),
            (&["look", "at", "it", "at", "14:30"], "look at it", "2026-11-22T14:30:00Z"),
            (&["in", "20m"], "in", "2026-11-22T12:20:00Z"),
        ] {
            assert_eq!(apart_at_noon(line), Ok((text.into(), at.into())), "{line:?}");
        }
    }

    #[test]
    fn without_a_time_or_with_a_past_one_nothing_is_guessed() {
        assert!(apart_at_noon(&["tea", "today", "9:00"]).unwrap_err().contains("is past"));
        assert!(apart_at_noon(&["call", "tomorrow"]).unwrap_err().contains("at what time"));
        for line in [&["tea"][..], &["tea", "soon"], &["tea in 20m"]] {
            assert!(apart_at_noon(line).unwrap_err().starts_with("when?"), "{line:?}");
        }
    }
}
