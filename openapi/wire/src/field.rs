//! Which field of a frame an error is about: the parser knows the place, people want the name.

use std::{fmt, ops::RangeInclusive};

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The top-level field of `frame` whose value `error` lies in.
///
/// `None` when it lies in no value: a missing field, for one, which the error names itself.
pub fn of(frame: &str, error: &serde_json::Error) -> Option<String> {
    let lines_before = error.line().checked_sub(1)?;
    let line_start: usize = frame.split_inclusive('\n').take(lines_before).map(str::len).sum();
    // The column counts what was read of the line, so the place is at the end of what was read.
    let place = line_start + error.column();
    serde_json::Deserializer::from_str(frame).deserialize_map(Find { frame, place }).ok()?
}

/// Looks for the field whose value reaches over `place`; a map would lose fields that come twice.
struct Find<'a> {
    frame: &'a str,
    place: usize,
}

impl<'de> Visitor<'de> for Find<'de> {
    type Value = Option<String>;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some((name, value)) = fields.next_entry::<String, &RawValue>()? {
            if extent(self.frame, value.get()).contains(&self.place) {
                found = Some(name);
            }
        }
        Ok(found)
    }
}

/// Where `part`, which is a slice of `frame`, starts and ends.
fn extent(frame: &str, part: &str) -> RangeInclusive<usize> {
    let start = part.as_ptr().addr() - frame.as_ptr().addr();
    start..=start + part.len()
}
