//! Schedules: messages that are sent later, once or again and again.
//!
//! A schedule belongs to the member that made it and fires whether or not that member is connected.
//! What it sends is an ordinary message, from its creator. It is `active`, `paused` by its member,
//! or `done`; what is done can be read for a day, and is not listed.
//!
//! Ours beyond the contract: the body may be sealed to a member key, so that the server cannot read
//! it; time zones; what happens to slots that were missed, and while the last message is still
//! unread; jitter; pausing, firing at once, and a log of the last fires.
//!
//! A slot is the moment that a schedule names: `deliverAt`, or a minute of the cron expression. It is
//! **missed** when it cannot be served within a minute of its time (and jitter), as when no worker
//! ran.

use serde::{Deserialize, Deserializer, Serialize, de::Error};

use crate::{Priority, call::calls};

calls! { Schedules {
    /// Makes a schedule.
    "schedule" Schedule => ScheduledAck,
    /// Asks which of the member's there are.
    "list_scheduled" ListScheduled => ScheduledList,
    /// Ends one.
    "cancel_scheduled" CancelScheduled => CancelScheduledAck,
    /// Extension: reads one with its log.
    "get_scheduled" GetScheduled => ScheduledDetail,
    /// Extension: stops one until it is resumed. Slots meanwhile are skipped.
    "pause_scheduled" PauseScheduled => ScheduledDetail,
    /// Extension: lets one go on. A one-shot whose time has passed fires at once.
    "resume_scheduled" ResumeScheduled => ScheduledDetail,
    /// Extension: fires one now, beside its slots; also one that is paused.
    "run_scheduled" RunScheduled => ScheduledDetail,
}}

/// The event that tells a schedule's creator that a fire could not be delivered. Its data is a
/// [`ScheduleFailed`].
pub const FAILED: &str = "schedule_failed";

/// The subtype of reminders.
pub const REMINDER: &str = "reminder";

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $word)] $variant,)+
        }

        impl $name {
            const WORDS: &'static [&'static str] = &[$($word),+];

            /// The word on the wire.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }

            /// What that word means.
            pub fn parse(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }
        }

        // Not derived: a derived one would also take `{"word": null}`.
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let word = String::deserialize(from)?;
                Self::parse(&word).ok_or_else(|| D::Error::unknown_variant(&word, Self::WORDS))
            }
        }
    };
}

words! {
    /// What happens to slots that were missed.
    Missed {
        /// They are skipped. What a recurring schedule does unless told otherwise.
        Skip "skip",
        /// The last of them fires, late. What a one-shot does unless told otherwise.
        Once "once",
        /// Each of them fires, late: the last hundred.
        All "all",
    }
}

words! {
    /// What happens at a slot while the last fire's message is not delivered yet.
    Overlap {
        /// It fires nevertheless; the default.
        Allow "allow",
        /// It is skipped.
        Skip "skip",
    }
}

words! {
    /// Which clock a schedule goes by.
    Clock {
        /// The real one; the default.
        Real "real",
        /// The mesh's simulation clock: it fires with the tick that reaches its time.
        Sim "sim",
    }
}

words! {
    /// Where a schedule stands.
    State {
        /// It fires.
        Active "active",
        /// It waits to be resumed.
        Paused "paused",
        /// It fires no more.
        Done "done",
    }
}

words! {
    /// What came of a slot, or of several.
    Outcome {
        /// Its message is stored.
        Fired "fired",
        /// It was not sent: the last one is not delivered yet.
        Overlapped "overlapped",
        /// It was missed, and skipped.
        Missed "missed",
        /// It could not be sent; `detail` says why.
        Failed "failed",
    }
}

/// Makes a schedule.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(tag = "type", rename = "schedule", rename_all = "camelCase")]
pub struct Schedule {
    /// Whom it is for: a key, `@group`, `@all` or `*`, as in `send`.
    pub to: String,
    /// The text, which the server can read. Either it or `ciphertext`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When: epoch milliseconds. A moment of the past fires at once. Not looked at with `cron`.
    #[serde(default, deserialize_with = "millis", skip_serializing_if = "Option::is_none")]
    pub deliver_at: Option<i64>,
    /// `reminder`, or absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subtype: Option<String>,
    /// When, again and again: see [`crate::cron`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cron: Option<String>,
    /// Not looked at; `cron` says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recurring: Option<bool>,
    /// Extension: the nonce of `ciphertext`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
    /// Extension: the body in place of `message`, sealed with the creator's member key to a member
    /// key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ciphertext: Option<String>,
    /// Extension: the member key that `ciphertext` is sealed to. Absent: `to` is that key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed_to: Option<String>,
    /// Extension: what the user wrote in place of the key; shown in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_name: Option<String>,
    /// Extension: how urgent; absent: `now`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// Extension: the IANA time zone of `cron`; absent: UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tz: Option<String>,
    /// Extension: what happens to missed slots; see [`Missed`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missed: Option<Missed>,
    /// Extension: what happens while the last message is not delivered; absent: `allow`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap: Option<Overlap>,
    /// Extension: each slot is served up to so many seconds later, always the same for one slot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jitter_seconds: Option<u32>,
    /// Extension: which clock it goes by; absent: `real`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<Clock>,
}

/// Any number is a time; one with a fraction is that of its whole milliseconds.
fn millis<'de, D: Deserializer<'de>>(from: D) -> Result<Option<i64>, D::Error> {
    let Some(number) = Option::<serde_json::Number>::deserialize(from)? else { return Ok(None) };
    #[allow(clippy::cast_possible_truncation, reason = "a number too large becomes the largest")]
    let whole = || number.as_f64().map(|ms| ms as i64);
    Ok(number.as_i64().or_else(whole))
}

/// The schedule was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "scheduled_ack", rename_all = "camelCase")]
pub struct ScheduledAck {
    /// Its id.
    pub scheduled_id: String,
    /// When it first fires, epoch milliseconds.
    pub deliver_at: i64,
    /// As it was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cron: Option<String>,
    /// Extension: its first slots, at most three, epoch milliseconds, without jitter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Vec<i64>>,
}

/// Asks which schedules of the member there are that are not done.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(tag = "type", rename = "list_scheduled")]
pub struct ListScheduled {}

/// The schedules of a member, the next to fire first.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename = "scheduled_list")]
pub struct ScheduledList {
    /// As many as fit a frame.
    pub messages: Vec<Scheduled>,
    /// Extension: how many there are beyond these; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub more: Option<u32>,
}

/// A schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Scheduled {
    /// Its id.
    pub id: String,
    /// Whom it is for.
    pub to: String,
    /// The text; empty where it is sealed.
    pub message: String,
    /// When it fires next, epoch milliseconds; of one that does not, when it would have.
    pub deliver_at: i64,
    /// When it was made, epoch milliseconds.
    pub created_at: i64,
    /// Of a recurring one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cron: Option<String>,
    /// How often it has fired; of a recurring one, and in all answers to ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fired_count: Option<i64>,
    /// Extension: what the user wrote in place of the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_name: Option<String>,
    /// Extension: true where the body is sealed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<bool>,
    /// Extension: of a sealed body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
    /// Extension: the sealed body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ciphertext: Option<String>,
    /// Extension: the member key that it is sealed to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed_to: Option<String>,
    /// Extension: where it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    /// Extension: how urgent its messages are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// Extension: `reminder`, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subtype: Option<String>,
    /// Extension: the time zone of `cron`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tz: Option<String>,
    /// Extension: which clock it goes by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<Clock>,
    /// Extension: what happens to missed slots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missed: Option<Missed>,
    /// Extension: what happens while the last message is not delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap: Option<Overlap>,
    /// Extension: the most that a slot is served late on purpose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jitter_seconds: Option<u32>,
    /// Extension: when it fires next; absent when it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_fire: Option<i64>,
    /// Extension: what came of the last slot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_fire: Option<Fire>,
    /// Extension: the name of the member that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
}

impl Scheduled {
    /// The same without what is ours beyond the contract.
    pub fn plain(self) -> Self {
        Self {
            fired_count: self.fired_count.filter(|_| self.cron.is_some()),
            to_name: None,
            sealed: None,
            nonce: None,
            ciphertext: None,
            sealed_to: None,
            state: None,
            priority: None,
            subtype: None,
            tz: None,
            clock: None,
            missed: None,
            overlap: None,
            jitter_seconds: None,
            next_fire: None,
            last_fire: None,
            created_by: None,
            ..self
        }
    }
}

/// What came of a slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fire {
    /// The slot, in epoch milliseconds of the schedule's clock; of several that were skipped
    /// together the last.
    pub slot: i64,
    /// When it was served, epoch milliseconds.
    pub at: i64,
    /// How much later than its time (with jitter) that was, by the schedule's clock.
    pub lateness_ms: i64,
    /// What came of it.
    pub outcome: Outcome,
    /// The message that was stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// Why not, or since which slot they were skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// Ends a schedule.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename = "cancel_scheduled", rename_all = "camelCase")]
pub struct CancelScheduled {
    /// Which.
    pub scheduled_id: String,
}

/// Whether there was one to end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "cancel_scheduled_ack", rename_all = "camelCase")]
pub struct CancelScheduledAck {
    /// Which.
    pub scheduled_id: String,
    /// False: the member has none of this id that is not done.
    pub ok: bool,
}

/// Extension: reads a schedule with its log.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename = "get_scheduled", rename_all = "camelCase")]
pub struct GetScheduled {
    /// Which.
    pub scheduled_id: String,
}

/// Extension: stops a schedule until it is resumed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename = "pause_scheduled", rename_all = "camelCase")]
pub struct PauseScheduled {
    /// Which.
    pub scheduled_id: String,
}

/// Extension: lets a schedule go on.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename = "resume_scheduled", rename_all = "camelCase")]
pub struct ResumeScheduled {
    /// Which.
    pub scheduled_id: String,
}

/// Extension: fires a schedule now. The answer does not wait for it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename = "run_scheduled", rename_all = "camelCase")]
pub struct RunScheduled {
    /// Which.
    pub scheduled_id: String,
}

/// Extension: a schedule with its log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "scheduled_detail")]
pub struct ScheduledDetail {
    /// It.
    pub schedule: Scheduled,
    /// What came of its last slots, newest first, at most a hundred.
    pub fires: Vec<Fire>,
}

/// Extension, the data of the event [`FAILED`]: a fire could not be delivered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScheduleFailed {
    /// Which schedule.
    pub scheduled_id: String,
    /// Whom it is for.
    pub to: String,
    /// Why, for programs: a code of `error`.
    pub code: String,
    /// Why, for people.
    pub message: String,
}
