//! Watches of a mesh: what is looked at, for whom, and what was last seen.
//!
//! A watch has a bucket, that of its mesh, and is **due** at `next_at` ([`due`]). Whoever holds the
//! bucket looks, and writes what it saw ([`record`]) under the number of the check that it read: a
//! result that somebody else has written already changes nothing and tells nobody. So two workers
//! may look at the same address, after a takeover, and one of them is heard.
//!
//! Times are slots of the watch's interval, at a phase of its own, so that watches are spread over
//! it, and a late check makes the next no later.

mod checks;
mod events;

pub use checks::{Check, Due, Failed, Held, Seen, due, next_in, record};

use jiff::Timestamp;
use skein_wire::{
    limit,
    watches::{Health, Mode, Watched},
};
use tokio_postgres::Row;

use crate::{GenericClient, Result, iso, members, meshes, statement::statements};

pub(crate) use {checks::STATEMENTS as CHECKS, events::STATEMENTS as EVENTS};

statements! {
    COUNT = "
        select count(*) as of_mesh, count(*) filter (where member = $2) as of_member
          from watch
         where mesh = $1";

    CREATE = "
        insert into watch (mesh, id, member, url, mode, extract, interval_s, notify_on, headers,
                           header_names, label, group_path, phase)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
        on conflict do nothing";

    LIST = "
        select w.id, w.url, w.mode, w.extract, w.interval_s, w.notify_on, w.header_names, w.label,
               w.group_path, w.created_at, w.next_at, w.checked_at, w.value, w.hash, w.http_status,
               w.error, w.failures, m.display_name
          from watch w
          join member m on m.mailbox = w.member
         where w.mesh = $1 and w.member = $2
         order by w.created_at, w.id";

    READ = "
        select w.member, w.url, w.mode
          from watch w
         where w.mesh = $1 and w.id = $2";

    DELETE = "
        delete from watch
         where mesh = $1 and id = $2
           and (member = $3
                or exists (select from member a
                            where a.mesh = $1 and a.mailbox = $3
                              and a.role in ('owner', 'admin')))";
}

/// A watch to be made.
#[derive(Debug, Clone, Copy)]
pub struct New<'a> {
    /// The mailbox of the member that makes it.
    pub member: i64,
    /// What is looked at.
    pub url: &'a str,
    /// What of it is compared.
    pub mode: Mode,
    /// The path into JSON.
    pub extract: Option<&'a str>,
    /// Seconds from one check to the next.
    pub interval_s: u32,
    /// Which values are told.
    pub notify_on: &'a str,
    /// The headers, sealed with the deployment key.
    pub headers: Option<&'a str>,
    /// Their names.
    pub header_names: &'a [String],
    /// What it is called.
    pub label: Option<&'a str>,
    /// The path of a group that is told too.
    pub group: Option<&'a str>,
}

/// What became of a watch to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Created {
    /// It is there, under this id.
    Made(String),
    /// The mesh has as many as it may.
    MeshFull,
    /// The member has as many as it may.
    MemberFull,
    /// It is no member any more.
    NoMember,
}

/// A watch that is to be ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The mailbox of the member that made it.
    pub member: i64,
    /// What it looks at.
    pub url: String,
    /// What of it is compared.
    pub mode: Mode,
}

/// Makes a watch in the caller's transaction, due at once, unless there are too many.
pub async fn create(db: &impl GenericClient, mesh: i64, new: New<'_>) -> Result<Created> {
    meshes::hold(db, mesh).await?;
    if !members::hold(db, new.member).await? {
        return Ok(Created::NoMember);
    }
    let count = db.prepare_cached(COUNT).await?;
    let count = db.query_one(&count, &[&mesh, &new.member]).await?;
    if count.get::<_, i64>("of_member") >= limit::WATCHES_PER_MEMBER_MAX {
        return Ok(Created::MemberFull);
    }
    if count.get::<_, i64>("of_mesh") >= limit::WATCHES_MAX {
        return Ok(Created::MeshFull);
    }
    let create = db.prepare_cached(CREATE).await?;
    let New { member, url, extract, notify_on, headers, header_names, label, group, .. } = new;
    let interval_s = i32::try_from(new.interval_s).unwrap_or(i32::MAX);
    loop {
        // Of the contract's form: eight characters, so that two may be the same.
        let number = uuid::Uuid::new_v4().as_fields().0;
        let (id, phase) = (format!("w_{number:08x}"), f64::from(number) / 2f64.powi(32));
        let made = db
            .execute(
                &create,
                &[
                    &mesh,
                    &id,
                    &member,
                    &url,
                    &new.mode.as_str(),
                    &extract,
                    &interval_s,
                    &notify_on,
                    &headers,
                    &header_names,
                    &label,
                    &group,
                    &phase,
                ],
            )
            .await?;
        if made == 1 {
            return Ok(Created::Made(id));
        }
    }
}

/// The watches of a member, oldest first.
pub async fn list(db: &impl GenericClient, mesh: i64, member: i64) -> Result<Vec<Watched>> {
    let list = db.prepare_cached(LIST).await?;
    Ok(db.query(&list, &[&mesh, &member]).await?.iter().map(watched).collect())
}

/// The watch of this id.
pub async fn read(db: &impl GenericClient, mesh: i64, id: &str) -> Result<Option<Found>> {
    let read = db.prepare_cached(READ).await?;
    let row = db.query_opt(&read, &[&mesh, &id]).await?;
    Ok(row.map(|row| Found { member: row.get("member"), url: row.get("url"), mode: mode(&row) }))
}

/// Ends a watch and returns true, or returns false when `by` is neither the member that made it nor
/// an admin.
pub async fn delete(db: &impl GenericClient, mesh: i64, id: &str, by: i64) -> Result<bool> {
    let delete = db.prepare_cached(DELETE).await?;
    Ok(db.execute(&delete, &[&mesh, &id, &by]).await? == 1)
}

fn watched(row: &Row) -> Watched {
    let failures: i32 = row.get("failures");
    let header_names: Vec<String> = row.get("header_names");
    Watched {
        id: row.get("id"),
        url: row.get("url"),
        mode: mode(row),
        label: row.get("label"),
        interval: row.get::<_, i32>("interval_s").unsigned_abs(),
        last_hash: row.get::<_, Option<_>>("hash").unwrap_or_default(),
        last_value: row.get::<_, Option<_>>("value").unwrap_or_default(),
        last_check: row.get::<_, Option<Timestamp>>("checked_at").map(iso),
        created_at: iso(row.get("created_at")),
        extract: row.get("extract"),
        notify_on: Some(row.get("notify_on")),
        group: row.get::<_, Option<String>>("group_path").map(|path| format!("@{path}")),
        headers: Some(header_names).filter(|names| !names.is_empty()),
        status: Some(if failures == 0 { Health::Ok } else { Health::Failing }),
        last_error: row.get("error"),
        last_status: row
            .get::<_, Option<i32>>("http_status")
            .and_then(|status| u16::try_from(status).ok()),
        next_check: Some(iso(row.get("next_at"))),
        failures: Some(failures.unsigned_abs()),
        created_by: Some(row.get("display_name")),
    }
}

fn mode(row: &Row) -> Mode {
    Mode::parse(row.get("mode")).expect("the table admits no other word")
}
