//! Messages that are sent later: when they come, whom they are for, and who can read them.
//!
//! A body for a person is sealed from our member key to theirs when the schedule is made, so the
//! server cannot read it, and any session of the member can. What is for a group, for all, or was
//! asked to be plain, the server can read.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use skein_crypto::direct::Pairs;
use skein_crypto::{Keypair, Public};
use skein_wire::cron::{self, Cron};
use skein_wire::presence::Peer;
use skein_wire::schedules::{Clock, Fire, Outcome, REMINDER, Schedule, Scheduled, State};

use crate::client::message::is_multicast;
use crate::client::names;
use crate::commands::mesh::members;
use crate::home::Membership;
use crate::rest::Rest;
use crate::{Result, when};

/// Slots that are shown before a schedule is made.
pub const SHOWN: usize = 3;

/// When a schedule fires.
#[derive(Debug)]
pub enum Times {
    /// Once.
    At(Timestamp),
    /// Again and again, by the clocks of a zone.
    Cron(Box<Cron>, TimeZone),
}

impl Times {
    /// Reads a cron expression in this zone, which must have a name to be told to the server.
    pub fn cron(text: &str, zone: TimeZone) -> std::result::Result<Self, String> {
        let refused = |why| format!("`{text}` is no schedule: {why}");
        let read = Cron::parse(text).map_err(|error| refused(error.to_string()))?;
        let zone = zone.iana_name().and_then(cron::zone).ok_or_else(|| {
            "your time zone has no name that can be sent; name one, like Europe/Berlin".to_owned()
        })?;
        read.first(Timestamp::now(), &zone).map_err(|error| refused(error.to_string()))?;
        Ok(Self::Cron(Box::new(read), zone))
    }

    /// The next slots after `after`.
    pub fn upcoming(&self, after: Timestamp) -> Vec<Timestamp> {
        match self {
            Self::At(at) => vec![*at],
            Self::Cron(cron, zone) => cron.upcoming(after, zone, SHOWN),
        }
    }

    /// The expression and its zone, in words.
    pub fn words(&self) -> Option<String> {
        match self {
            Self::At(_) => None,
            Self::Cron(cron, zone) => Some(format!("{} in {}", cron.as_str(), when::name(zone))),
        }
    }

    /// The name of the zone.
    pub fn zone(&self) -> Option<&str> {
        match self {
            Self::At(_) => None,
            Self::Cron(_, zone) => Some(when::name(zone)),
        }
    }

    fn write(&self, call: &mut Schedule) {
        match self {
            Self::At(at) => call.deliver_at = Some(at.as_millisecond()),
            Self::Cron(cron, zone) => {
                call.deliver_at = Some(0);
                call.cron = Some(cron.as_str().to_owned());
                call.tz = Some(when::name(zone).to_owned());
            }
        }
    }
}

/// Whom a schedule is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whom {
    /// A key, a group or `*`.
    pub to: String,
    /// What the person wrote, if it was a name.
    pub name: Option<String>,
    /// The member that the body is sealed to; `None`: the server can read it.
    pub member: Option<Public>,
}

impl Whom {
    /// Any session of the member that asks.
    pub fn own(member: &Keypair) -> Self {
        Self { to: member.public.hex(), name: None, member: Some(member.public) }
    }

    /// What was resolved to `to`: a group, or a key of a member. `None`: nobody has this key.
    pub async fn find(
        membership: &Membership,
        peers: &[Peer],
        to: String,
        name: Option<String>,
    ) -> Option<Self> {
        if is_multicast(&to) {
            return Some(Self { to, name: None, member: None });
        }
        let member = member_key(membership, peers, &to).await?;
        Some(Self { to: member.hex(), name, member: Some(member) })
    }

    /// The same in plain text.
    pub fn plain(self) -> Self {
        Self { member: None, ..self }
    }

    /// The schedule of `text` for them.
    pub fn schedule(&self, text: &str, times: &Times, member: &Keypair) -> Result<Schedule> {
        let mut call = Schedule {
            to: self.to.clone(),
            to_name: self.name.clone(),
            subtype: Some(REMINDER.to_owned()),
            ..Schedule::default()
        };
        times.write(&mut call);
        match &self.member {
            None => call.message = Some(text.to_owned()),
            Some(to) => {
                let sealed = Pairs::new(&member.secret).seal(to, text)?;
                (call.nonce, call.ciphertext) = (Some(sealed.nonce), Some(sealed.ciphertext));
                call.sealed_to = Some(to.hex());
            }
        }
        Ok(call)
    }
}

/// What a server of the old kind would not heed of a schedule, or keep as something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beyond {
    /// Its body is sealed.
    Sealed,
    /// It goes by the simulation clock.
    Sim,
    /// Its expression is meant in a zone.
    Zone,
    /// This option, as it is called here.
    Option(&'static str),
}

impl Beyond {
    /// What of this schedule that is; `None`: any server does what it says.
    pub fn of(call: &Schedule) -> Option<Self> {
        // Where there is only one, it is the zone of the server.
        let has_zone = call.tz.as_deref().is_some_and(|zone| zone != "UTC");
        let found = [
            (call.ciphertext.is_some(), Self::Sealed),
            (call.clock == Some(Clock::Sim), Self::Sim),
            (has_zone, Self::Zone),
            (call.missed.is_some(), Self::Option("missed")),
            (call.overlap.is_some(), Self::Option("overlap")),
            (call.jitter_seconds.is_some(), Self::Option("jitter")),
            (call.priority.is_some(), Self::Option("priority")),
        ];
        found.into_iter().find(|(is_asked, _)| *is_asked).map(|(_, beyond)| beyond)
    }

    /// Why such a server is not asked.
    pub fn words(self) -> String {
        let why = match self {
            Self::Sealed => "keeps no sealed messages to be sent later",
            Self::Sim => "sends nothing by the simulation clock",
            Self::Zone => "knows no time zones: it would take the expression for UTC",
            Self::Option(name) => {
                return format!("this server is of the old kind: it knows no `{name}`");
            }
        };
        format!("this server is of the old kind: it {why}")
    }
}

/// The key of the member that `key` is of, or whose session it is of.
async fn member_key(membership: &Membership, peers: &[Peer], key: &str) -> Option<Public> {
    let own = membership.member().ok()?.public;
    if own.hex() == key {
        return Some(own);
    }
    if let Some(member) = names::member_of(key, peers) {
        return Public::parse(&member).ok();
    }
    let rest = Rest::of(membership).ok()?;
    let all = members(&rest, &membership.mesh_id).await.ok()?.members;
    let found = all.iter().find(|member| member.pubkey == key)?;
    Public::parse(&found.pubkey).ok()
}

/// What a schedule says. `None`: it is sealed, and not by this member.
pub fn text(scheduled: &Scheduled, member: &Keypair) -> Option<String> {
    let Some(ciphertext) = &scheduled.ciphertext else {
        return Some(scheduled.message.clone()).filter(|_| scheduled.sealed != Some(true));
    };
    let to = Public::parse(scheduled.sealed_to.as_ref().unwrap_or(&scheduled.to)).ok()?;
    // Both ends of a pair have the same key, so who sealed can open.
    Pairs::new(&member.secret).open(&to, scheduled.nonce.as_deref()?, ciphertext).ok()
}

/// Whom a schedule is for, in a word: what was written, `you`, a group or a key.
pub fn whom(scheduled: &Scheduled, member: &Public) -> String {
    let own = member.hex();
    let is_own = scheduled.to == own || scheduled.sealed_to.as_ref() == Some(&own);
    match &scheduled.to_name {
        Some(name) => name.clone(),
        None if is_own => "you".to_owned(),
        None => crate::output::short(&scheduled.to).to_owned(),
    }
}

/// When a schedule fires next: `in 20 min  Mon 23 Nov 2026 09:00 CET`, `paused` or `done`.
pub fn next(scheduled: &Scheduled, now: Timestamp, zone: &TimeZone) -> String {
    let at = scheduled.next_fire.unwrap_or(scheduled.deliver_at);
    let is_sim = scheduled.clock == Some(Clock::Sim);
    match (scheduled.state.unwrap_or(State::Active), Timestamp::from_millisecond(at)) {
        (State::Paused, _) => "paused".to_owned(),
        (State::Done, _) => "done".to_owned(),
        (State::Active, Ok(at)) if is_sim => {
            format!("at {} of the simulation clock", when::absolute(at, zone))
        }
        (State::Active, Ok(at)) => when::both(at, now, zone),
        (State::Active, Err(_)) => "never".to_owned(),
    }
}

/// What came of a slot, in words.
pub fn outcome(fire: &Fire) -> String {
    let late = match fire.lateness_ms {
        late if late < 1000 => "on time".to_owned(),
        late => format!("{:.1} s late", late as f64 / 1000.0),
    };
    let words = match fire.outcome {
        Outcome::Fired => format!("sent {late}"),
        Outcome::Overlapped => "not sent: the last one is not delivered yet".to_owned(),
        Outcome::Missed => "missed".to_owned(),
        Outcome::Failed => "failed".to_owned(),
    };
    match &fire.detail {
        Some(detail) => format!("{words}: {detail}"),
        None => words,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn scheduled(call: &Schedule) -> Scheduled {
        serde_json::from_value(json!({
            "id": "s", "to": call.to, "message": call.message.clone().unwrap_or_default(),
            "deliverAt": call.deliver_at, "createdAt": 0, "nonce": call.nonce,
            "ciphertext": call.ciphertext, "sealedTo": call.sealed_to, "toName": call.to_name,
            "sealed": call.ciphertext.is_some(),
        }))
        .unwrap()
    }

    #[test]
    fn a_sealed_body_is_read_by_its_two_members_and_nobody_else() {
        let [ann, bob, eve] = [(); 3].map(|()| Keypair::generate());
        let to_bob =
            Whom { to: bob.public.hex(), name: Some("bob".into()), member: Some(bob.public) };
        let at = Times::At(Timestamp::from_millisecond(1000).unwrap());

        let call = to_bob.schedule("tea", &at, &ann).unwrap();
        let made = scheduled(&call);

        assert_eq!((call.message.as_ref(), call.deliver_at), (None, Some(1000)));
        assert_eq!(text(&made, &ann).as_deref(), Some("tea"));
        assert_eq!(text(&made, &eve), None);
        let opened = Pairs::new(&bob.secret).open(
            &ann.public,
            &call.nonce.unwrap(),
            &call.ciphertext.unwrap(),
        );
        assert_eq!(opened.unwrap(), "tea");
        assert_eq!(whom(&made, &ann.public), "bob");
        let own = Whom::own(&ann).schedule("tea", &at, &ann).unwrap();
        assert_eq!(text(&scheduled(&own), &ann).as_deref(), Some("tea"));
        assert_eq!(whom(&scheduled(&own), &ann.public), "you");
        let plain = to_bob.plain().schedule("tea", &at, &ann).unwrap();
        assert_eq!((plain.message.as_deref(), plain.ciphertext), (Some("tea"), None));
    }

    #[test]
    fn a_sealed_body_that_did_not_come_is_not_an_empty_text() {
        let ann = Keypair::generate();
        let call = Whom::own(&ann).schedule("tea", &Times::At(Timestamp::UNIX_EPOCH), &ann);
        let kept = Scheduled { ciphertext: None, nonce: None, ..scheduled(&call.unwrap()) };

        assert_eq!(text(&kept, &ann), None);
    }

    #[test]
    fn an_expression_that_never_fires_or_is_none_is_refused_with_its_reason() {
        let of = |text| Times::cron(text, TimeZone::UTC).unwrap_err();

        assert!(of("0 0 30 2 *").contains("`0 0 30 2 *` is no schedule: "), "{}", of("0 0 30 2 *"));
        assert!(of("61 * * * *").contains("minute"), "{}", of("61 * * * *"));
        let posix = TimeZone::posix("CET-1").unwrap();
        assert!(Times::cron("0 9 * * *", posix).unwrap_err().contains("name one"));
        let daily = Times::cron("0 9 * * *", TimeZone::get("Europe/Berlin").unwrap()).unwrap();
        assert_eq!(daily.upcoming(Timestamp::now()).len(), SHOWN);
        assert_eq!(daily.words().unwrap(), "0 9 * * * in Europe/Berlin");
    }
}
