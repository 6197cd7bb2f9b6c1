//! Presence: who is attached where, how an attachment ends, and who is listed.
//!
//! A lost socket is not a lost peer: its session stays listed until `depart_at`, and the mesh is told
//! once, by whoever's guarded UPDATE succeeds. See delivery.md 9.

use jiff::Timestamp;
use serde_json::Value;
use skein_wire::{Status, groups::Group, presence::Peer, profile::Profile};

use crate::{GenericClient, Result, iso, statement::statements};

statements! {
    END = "
        delete from presence
         where session = $1 and attach_no = $2
        returning member, inbox";

    LEAVE = "
        update session
           set depart_at = case when announced = 'here'
                                then now() + $3::float8 * interval '1 s' end,
               log_place = greatest(log_place, $4::text::xid8),
               seen_at = now()
         where mailbox = $1 and attach_no = $2";

    DEPART = "
        with gone as (
            update session s
               set announced = 'gone', depart_at = null
              from member m
             where s.mailbox = $1 and s.attach_no = $2 and s.announced = 'here'
               and s.depart_at <= now() and m.mailbox = s.member
               and not exists (select from presence p where p.session = s.mailbox)
            returning s.mesh, s.key, s.display_name, m.id as member_id),
        audited as (
            insert into audit_intake (mesh, event_type, actor_id, actor, payload)
            select mesh, 'peer_left', member_id, display_name, '{}' from gone)
        select mesh, key, display_name from gone";

    WITHDRAW = "
        update delivery
           set offered = null, node = 0, xid = pg_current_xact_id()
         where recipient = $1 and offered = $2
        returning seq, recipient";

    // Not a lost session that a newer one of its member has taken the name of: a process that was
    // killed and started again has another key, and clients take the first of a name.
    LIST = "
        select s.key, m.pubkey, s.display_name, s.status, s.summary, s.groups, s.session_id,
               s.connected_at, s.cwd, s.hostname, s.peer_type, s.channel, s.model, s.stats,
               s.visible, s.profile
          from session s
          join member m on m.mailbox = s.member and m.revoked_at is null
         where s.mailbox in (
                   select p.session from presence p where p.mesh = $1
                   union all
                   select d.mailbox from session d
                    where d.mesh = $1 and d.depart_at > now() and d.announced = 'here'
                      and not exists (
                          select from presence p join session n on n.mailbox = p.session
                           where p.member = d.member and n.display_name = d.display_name
                             and n.connected_at > d.seen_at))
           and (s.visible or s.member = $2)
         order by s.connected_at, s.mailbox";

    MINE = "
        select p.session, p.attach_no
          from presence p
          join member m on m.mailbox = p.member and m.revoked_at is null
         where p.node = $1";

    // What a hello holds just now is passed over: nothing waits, and the next time will do.
    PLACES = "
        with free as (
            select mailbox
              from session
             where mailbox = any($1)
             order by mailbox
               for no key update skip locked)
        update session s
           set log_place = t.place::xid8
          from free
          join unnest($1::bigint[], $2::text[]) as t(mailbox, place) on t.mailbox = free.mailbox
         where s.mailbox = free.mailbox and s.log_place < t.place::xid8";
}

/// A departure that this caller has to announce.
#[derive(Debug)]
pub struct Departure {
    /// The mesh's number.
    pub mesh: i64,
    /// The session's key.
    pub key: String,
    /// The session's name.
    pub display_name: String,
}

/// Ends an attachment, inside the caller's transaction: the session departs in `grace_s` seconds
/// unless it comes back, and starts again at `log_place` in the log.
///
/// Returns the deliveries that were offered to it and must be resolved again, as (seq, recipient);
/// `None` when the attachment had ended or was replaced.
pub async fn end(
    db: &impl GenericClient,
    session: i64,
    attach_no: i64,
    grace_s: f64,
    log_place: u64,
) -> Result<Option<Vec<(i64, i64)>>> {
    let leave = db.prepare_cached(LEAVE).await?;
    let place = log_place.to_string();
    let n_left = db.execute(&leave, &[&session, &attach_no, &grace_s, &place]).await?;
    if n_left == 0 && log_place > 0 {
        // It is attached again; what it has settled here it has all the same.
        keep_places(db, &[(session, log_place)]).await?;
    }
    let end = db.prepare_cached(END).await?;
    let Some(ended) = db.query_opt(&end, &[&session, &attach_no]).await? else {
        return Ok(None);
    };
    if !ended.get::<_, bool>("inbox") {
        return Ok(Some(Vec::new()));
    }
    let withdraw = db.prepare_cached(WITHDRAW).await?;
    let rows = db.query(&withdraw, &[&ended.get::<_, i64>("member"), &session]).await?;
    Ok(Some(rows.iter().map(|row| (row.get("seq"), row.get("recipient"))).collect()))
}

/// Declares a session departed, if it is due and has not come back; `Some` for the one caller that
/// has to tell the mesh.
pub async fn depart(
    db: &impl GenericClient,
    session: i64,
    attach_no: i64,
) -> Result<Option<Departure>> {
    let depart = db.prepare_cached(DEPART).await?;
    let row = db.query_opt(&depart, &[&session, &attach_no]).await?;
    Ok(row.map(|row| Departure {
        mesh: row.get("mesh"),
        key: row.get("key"),
        display_name: row.get("display_name"),
    }))
}

/// Who is here, or away no longer than the grace: longest attached first. Hidden sessions are shown
/// to their own member only.
pub async fn list(db: &impl GenericClient, mesh: i64, member: i64) -> Result<Vec<Peer>> {
    let list = db.prepare_cached(LIST).await?;
    Ok(db.query(&list, &[&mesh, &member]).await?.iter().map(peer).collect())
}

fn peer(row: &tokio_postgres::Row) -> Peer {
    let profile: Profile = from_json(row.get("profile"));
    let stats: Option<Value> = row.get("stats");
    Peer {
        pubkey: row.get("key"),
        member_pubkey: row.get("pubkey"),
        display_name: row.get("display_name"),
        status: Status::parse(row.get("status")).unwrap_or_default(),
        summary: row.get("summary"),
        groups: from_json::<Vec<Group>>(row.get("groups")),
        session_id: row.get("session_id"),
        connected_at: iso(row.get::<_, Timestamp>("connected_at")),
        cwd: row.get("cwd"),
        hostname: row.get("hostname"),
        peer_type: row.get("peer_type"),
        channel: row.get("channel"),
        model: row.get("model"),
        stats: stats.and_then(|s| s.as_object().cloned()),
        visible: Some(row.get("visible")),
        profile: (!profile.is_empty()).then_some(profile),
    }
}

fn from_json<T: serde::de::DeserializeOwned + Default>(value: Value) -> T {
    serde_json::from_value(value).unwrap_or_default()
}

/// The attachments that the database has for this node and whose member may be here.
pub async fn of_node(db: &impl GenericClient, node: i32) -> Result<Vec<(i64, i64)>> {
    let mine = db.prepare_cached(MINE).await?;
    let rows = db.query(&mine, &[&node]).await?;
    Ok(rows.iter().map(|row| (row.get("session"), row.get("attach_no"))).collect())
}

/// Writes the sessions' places in the log: mailbox and place. What a session has settled, it has
/// settled over any attachment; a place never goes back.
pub async fn keep_places(db: &impl GenericClient, places: &[(i64, u64)]) -> Result<()> {
    let mailboxes: Vec<i64> = places.iter().map(|p| p.0).collect();
    let texts: Vec<String> = places.iter().map(|p| p.1.to_string()).collect();
    let keep = db.prepare_cached(PLACES).await?;
    db.execute(&keep, &[&mailboxes, &texts]).await?;
    Ok(())
}
