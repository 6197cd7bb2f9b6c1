//! Schedules fire at their time, once for each slot, whatever workers there are.

mod fence;
mod fires;
mod killed;
mod many;
mod told;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use skein_sql::{
    duties::{self, Kind},
    partitions,
    schedules::{self, Created, New},
};
use skein_wire::{
    Priority, cron,
    schedules::{Clock, Fire, Missed, Outcome, Overlap, Scheduled},
};
use uuid::Uuid;

use crate::place::{Place, until};

/// A member of a mesh of its own.
#[derive(Debug, Clone)]
pub struct Maker {
    pub mesh: i64,
    pub member: i64,
    pub key: String,
}

/// A database with today's partition.
pub async fn place() -> Place {
    let place = Place::new().await;
    partitions::ensure_ahead(&place.db, 0).await.unwrap();
    place
}

/// A member of a mesh of this name.
pub async fn maker(place: &Place, name: &str) -> Maker {
    let make = "
        with mesh as (
            insert into mesh (id, slug, name, owner_key) values ($1, $1, $1, repeat('0', 64))
            returning no)
        insert into member (id, mesh, pubkey, display_name, role)
        select $1, no, encode(sha256($1::text::bytea), 'hex'), $1, 'owner' from mesh
        returning mesh, mailbox, pubkey";
    let row = place.row(make, &[&name]).await;
    Maker { mesh: row.get(0), member: row.get(1), key: row.get(2) }
}

impl Maker {
    /// A reminder for the maker itself at `slot`.
    pub fn reminder(&self, slot: Timestamp) -> New<'_> {
        New {
            id: Uuid::new_v4(),
            member: self.member,
            session: self.member,
            session_key: &self.key,
            target: &self.key,
            to_name: None,
            nonce: "",
            body: "aGk=",
            sealed_to: None,
            subtype: Some("reminder"),
            priority: Priority::Now,
            cron: None,
            tz: None,
            clock: Clock::Real,
            missed: Missed::Once,
            overlap: Overlap::Allow,
            jitter_s: 0,
            slot,
        }
    }

    /// Makes it, and wakes the workers as an edge does; returns its id.
    pub async fn make(&self, place: &Place, new: New<'_>) -> Uuid {
        let made = schedules::create(&place.db, self.mesh, &new).await.unwrap();
        assert_eq!(made, Created::Made);
        duties::wake(&place.db, Kind::Schedule).await.unwrap();
        new.id
    }

    pub async fn read(&self, place: &Place, id: Uuid) -> Scheduled {
        schedules::read(&place.db, self.mesh, self.member, id).await.unwrap().unwrap()
    }

    pub async fn fires(&self, place: &Place, id: Uuid) -> Vec<Fire> {
        schedules::fires(&place.db, self.mesh, self.member, id).await.unwrap()
    }

    /// Waits until this many slots are in the log, and returns them.
    pub async fn logged(&self, place: &Place, id: Uuid, n: usize) -> Vec<Fire> {
        let mut fires = Vec::new();
        until(async || {
            fires = self.fires(place, id).await;
            fires.len() >= n
        })
        .await;
        fires
    }
}

/// The ids of all messages that are stored: (id, target, recipient).
pub async fn stored(place: &Place) -> Vec<(Uuid, String, Option<i64>)> {
    let read = "select m.message_id, m.target, d.recipient
                  from message m left join delivery d on d.seq = m.seq
                 order by m.seq";
    let rows = place.db.query(read, &[]).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect()
}

pub async fn now(place: &Place) -> Timestamp {
    schedules::now(&place.db).await.unwrap()
}

pub fn seconds(s: i64) -> SignedDuration {
    SignedDuration::from_secs(s)
}

/// What came of slots, oldest first.
pub fn outcomes(fires: &[Fire]) -> Vec<Outcome> {
    fires.iter().rev().map(|fire| fire.outcome).collect()
}

/// Winds a schedule back, as if nobody had run since `slot`.
pub async fn neglect(place: &Place, id: Uuid, slot: Timestamp) {
    let set = "update schedule set slot = $2, serve_at = $2 where id = $1";
    place.run(set, &[&id, &slot]).await;
}

/// The last slots of `cron` that are due.
pub fn last_slots(text: &str, now: Timestamp, n: usize) -> Vec<Timestamp> {
    let cron = cron::Cron::parse(text).unwrap();
    let zone = jiff::tz::TimeZone::UTC;
    let from = now - SignedDuration::from_mins(i64::try_from(n).unwrap() + 1);
    let slots = cron.upcoming(from, &zone, 2 * n);
    let due: Vec<Timestamp> = slots.into_iter().filter(|slot| *slot <= now).collect();
    due[due.len() - n..].to_vec()
}

/// A moment that passes in a test.
pub const MOMENT: Duration = Duration::from_millis(300);
