//! The simulation clock: one a mesh, in which a minute passes at every tick.
//!
//! A clock runs at 1 to 100 times the speed of the world: at each tick, every 60 s divided by the
//! speed, it counts one more and its time goes on by a minute. Every session of the mesh is told of
//! every tick, in order, by the system event [`TICK`]. A clock that was paused, by a peer or because
//! the last of them left, stays so until it is resumed. What was missed while nobody could count is
//! not made up for: the next tick is the next number.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::{call::calls, limit, stats::plain};

/// The name of the system event that tells of a tick; its data is a [`Tick`].
pub const TICK: &str = "tick";

calls! { Clock {
    /// Starts the clock, or changes its speed.
    "set_clock" SetClock => ClockStatus,
    /// Stops the clock where it is.
    "pause_clock" PauseClock => ClockStatus,
    /// Lets it go on.
    "resume_clock" ResumeClock => ClockStatus,
    /// Reads it.
    "get_clock" GetClock => ClockStatus,
}}

/// Starts the clock of the mesh, or changes its speed; one that is paused stays so.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename = "set_clock")]
pub struct SetClock {
    /// Its speed. It is held between the limits, and what is no number is 1: see [`held`].
    #[serde(default = "slowest", deserialize_with = "lenient", serialize_with = "plain")]
    pub speed: f64,
}

/// Stops the clock where it is.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(tag = "type", rename = "pause_clock")]
pub struct PauseClock {}

/// Lets the clock go on: its next tick is a whole step from now.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(tag = "type", rename = "resume_clock")]
pub struct ResumeClock {}

/// Reads the clock.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(tag = "type", rename = "get_clock")]
pub struct GetClock {}

/// How the clock of a mesh stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "clock_status", rename_all = "camelCase")]
pub struct ClockStatus {
    /// How many times faster than the world it is; 0: there is no clock.
    #[serde(serialize_with = "plain")]
    pub speed: f64,
    /// Whether it stands still.
    pub paused: bool,
    /// How many ticks there were.
    pub tick: i64,
    /// What it shows, ISO 8601.
    pub sim_time: String,
    /// When it was first set, ISO 8601.
    pub started_at: String,
}

impl ClockStatus {
    /// The answer where there is no clock: both times are `now`.
    pub fn none(now: &str) -> Self {
        let (sim_time, started_at) = (now.to_owned(), now.to_owned());
        Self { speed: 0.0, paused: true, tick: 0, sim_time, started_at }
    }
}

/// What the event [`TICK`] says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tick {
    /// Its number: one more than that of the tick before it.
    pub tick: i64,
    /// What the clock shows now, ISO 8601.
    pub sim_time: String,
    /// How fast it goes.
    #[serde(serialize_with = "plain")]
    pub speed: f64,
}

/// A speed between the limits.
pub fn held(speed: f64) -> f64 {
    if speed.is_nan() {
        return slowest();
    }
    speed.clamp(slowest(), limit::CLOCK_SPEED_MAX.into())
}

/// The time from one tick to the next at this speed.
pub fn interval(speed: f64) -> Duration {
    limit::CLOCK_STEP.div_f64(held(speed))
}

fn slowest() -> f64 {
    limit::CLOCK_SPEED_MIN.into()
}

/// Reads a speed as the contract does: everything is one.
fn lenient<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    let text = Box::<RawValue>::deserialize(from)?;
    let is_number = text.get().starts_with(|c: char| c == '-' || c.is_ascii_digit());
    // A number that is too large to be one is read as infinite.
    let number = text.get().parse().ok().filter(|_| is_number);
    Ok(held(number.unwrap_or_else(slowest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_speed_is_held_between_the_limits_and_what_is_no_number_is_one() {
        for (given, speed) in [
            ("1", 1.0),
            ("2.5", 2.5),
            ("100", 100.0),
            ("100.5", 100.0),
            ("1e400", 100.0),
            ("-1e400", 1.0),
            ("0.5", 1.0),
            ("0", 1.0),
            ("-7", 1.0),
            ("\"50\"", 1.0),
            ("\"fast\"", 1.0),
            ("null", 1.0),
            ("true", 1.0),
            ("[50]", 1.0),
            ("{}", 1.0),
        ] {
            let frame = format!("{{\"type\":\"set_clock\",\"speed\": {given} }}");
            let call: SetClock = serde_json::from_str(&frame).unwrap();

            assert_eq!(call.speed, speed, "{given}");
        }
        let unsaid: SetClock = serde_json::from_str("{\"type\":\"set_clock\"}").unwrap();
        assert_eq!((unsaid.speed, held(f64::NAN)), (1.0, 1.0));
    }

    #[test]
    fn a_tick_is_a_minute_at_the_slowest_and_six_tenths_of_a_second_at_the_fastest() {
        let of = |speed| interval(speed).as_millis();

        assert_eq!((of(1.0), of(2.5), of(100.0)), (60_000, 24_000, 600));
    }
}
