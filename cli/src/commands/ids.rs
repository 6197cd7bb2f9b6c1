//! Ids that may be cut short, as long as they mean one thing.
//!
//! What begins so is looked for in the member's own list. A whole id is taken as it is: an admin may
//! end what others made, which is in no list of the admin's.

use crate::output::harmless;
use crate::{Error, Result};

/// What has such ids.
#[derive(Debug)]
pub struct Kind {
    what: &'static str,
    several: &'static str,
    is_whole: fn(&str) -> bool,
    /// Where ids are found.
    fix: &'static str,
}

/// Schedules.
pub const SCHEDULE: Kind = Kind {
    what: "schedule",
    several: "schedules",
    is_whole: |id| {
        let digits: Vec<u8> = id.bytes().filter(|byte| *byte != b'-').collect();
        digits.len() == 32 && digits.iter().all(u8::is_ascii_hexdigit)
    },
    fix: "`skein schedule list` lists yours; those of others only they can reach",
};

/// URL watches.
pub const WATCH: Kind = Kind {
    what: "watch",
    several: "watches",
    is_whole: |id| {
        let digits = id.strip_prefix("w_").unwrap_or_default();
        digits.len() == 8 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    },
    fix: "`skein watch list` lists yours; an admin ends another's by its whole id, which \
          `skein audit list --event watch_created` shows",
};

impl Kind {
    /// Whether nothing is missing from this id, so that no list is needed.
    pub fn is_whole(&self, id: &str) -> bool {
        (self.is_whole)(id)
    }

    /// The one of these ids that begins so. `more` are not among them, as they did not fit.
    pub fn find(&self, id: &str, listed: Vec<String>, more: u32) -> Result<String> {
        if id.is_empty() {
            return Err(Error::Usage(format!("which {}? an id, or how one begins", self.what)));
        }
        let mut found: Vec<String> = listed;
        found.retain(|one| one.starts_with(id));
        match (found.len(), found.iter().any(|one| one == id)) {
            (_, true) => Ok(id.to_owned()),
            (1, _) if more == 0 => Ok(found.remove(0)),
            (0 | 1, _) if more > 0 => Err(self.none(format!(
                "{more} {} of yours are not listed, and `{id}` may mean one of them; give the \
                 whole id",
                self.several
            ))),
            (0, _) => Err(self.unknown(id)),
            _ => Err(Error::Ambiguous {
                what: format!("`{id}`"),
                candidates: found.iter().map(|one| harmless(one)).collect(),
            }),
        }
    }

    /// There is none of this id.
    pub fn unknown(&self, id: &str) -> Error {
        let what = self.what;
        self.none(match self.is_whole(id) {
            true => format!("you have no {what} `{id}`"),
            false => format!("no {what} of yours has an id that begins with `{id}`"),
        })
    }

    fn none(&self, what: String) -> Error {
        Error::NoSuch { what, fix: self.fix.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(id: &str, more: u32) -> String {
        let listed = ["w_0a0a0a0a", "w_0a0b0b0b", "w_11111111"].map(str::to_owned).to_vec();
        WATCH.find(id, listed, more).unwrap_or_else(|error| error.to_string())
    }

    #[test]
    fn what_begins_so_is_found_when_it_means_one() {
        assert_eq!(found("w_1", 0), "w_11111111");
        assert_eq!(found("w_0a0b0b0b", 7), "w_0a0b0b0b", "whole, whatever is not listed");
        assert!(found("w_0", 0).contains("means several: w_0a0a0a0a; w_0a0b0b0b"));
        assert!(found("", 0).starts_with("which watch?"));
        assert!(found("w_2", 0).contains("begins with `w_2`"));
        assert!(found("w_1", 2).contains("2 watches of yours"));
    }

    #[test]
    fn an_empty_id_never_means_the_only_one() {
        assert!(WATCH.find("", vec!["w_11111111".into()], 0).is_err());
    }

    #[test]
    fn a_whole_id_is_known_by_its_form() {
        for (kind, id, is_whole) in [
            (&WATCH, "w_0a0a0a0a", true),
            (&WATCH, "w_0a0a0a0", false),
            (&WATCH, "0a0a0a0a", false),
            (&SCHEDULE, "9a2d7c36-4f0e-4c52-8f64-6c1f30a1b2c3", true),
            (&SCHEDULE, "9a2d7c364f0e4c528f646c1f30a1b2c3", true),
            (&SCHEDULE, "9a2d7c36-4f0e-4c52-8f64-6c1f30a1b2c", false),
            (&SCHEDULE, "stand-up", false),
        ] {
            assert_eq!(kind.is_whole(id), is_whole, "{id}");
        }
    }
}
