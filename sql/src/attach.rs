//! Attaching: a session's socket comes to a node. See delivery.md 7.
//!
//! A batch of hellos is one transaction: sessions are locked in the order of mesh and key, presences
//! in the order of mailboxes, so two batches cannot wait for each other. Updating a presence waits
//! for the batches of sends that hold it FOR SHARE at the session's old edge: after this commits, an
//! older message cannot be stored behind a newer one.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use tokio_postgres::{Row, types::ToSql};

use crate::{GenericClient, Result, statement::statements};

statements! {
    // Tables are empty when everybody comes at once: after a start, or when presences were swept. A
    // plan made then would join them whole while they fill, so the statements below join by
    // `lateral` and `limit`: what is looked up is looked up.
    LOOK_UP = "
        select h.i, m.no, m.peers_max,
               (select count(*) from presence p where p.mesh = m.no) as peers,
               w.mailbox as member, w.id as member_id, w.display_name,
               s.member as session_member, coalesce(s.proved, false) as proved,
               (select true from presence p where p.session = s.mailbox limit 1) is true
                   as attached,
               exists (select from member o
                        where o.mesh = m.no and o.pubkey = h.key
                          and o.mailbox is distinct from w.mailbox)
                 or exists (select from api_key k
                             where k.mesh = m.no and k.pubkey = h.key) as of_another
          from unnest($1::text[], $2::text[], $3::text[])
               with ordinality as h(mesh_id, pubkey, key, i)
          left join lateral (
               select no, peers_max from mesh where id = h.mesh_id and archived_at is null
                limit 1) m on true
          left join lateral (
               select mailbox, id, display_name
                 from member
                where mesh = m.no and pubkey = h.pubkey and revoked_at is null
                limit 1) w on true
          left join lateral (
               select mailbox, member, proved from session where mesh = m.no and key = h.key
                limit 1) s on true
         order by h.i";

    // Before anything else, so that a member that is being revoked waits, or is not here any more.
    MEMBERS = "
        select mailbox
          from member
         where mailbox = any($1) and revoked_at is null
         order by mailbox
           for share";

    LOCK = "
        select s.mesh, s.key, s.announced, s.seen_at, p.node, p.attach_no
          from (select mesh, key
                  from unnest($1::bigint[], $2::text[]) as h(mesh, key)
                 order by mesh, key) h
          cross join lateral (
               select mailbox, mesh, key, announced, seen_at
                 from session
                where mesh = h.mesh and key = h.key
                limit 1
                  for update) s
          left join lateral (
               select node, attach_no from presence where session = s.mailbox limit 1) p on true";

    SESSIONS = "
        insert into session as s
               (mesh, member, key, proved, attach_no, announced, display_name, session_id, pid, cwd,
                hostname, peer_type, channel, model, groups, profile, visible, summary, totals,
                status, status_source)
        select h.mesh, h.member, h.key, h.proved, 1, 'here', h.display_name, h.session_id, h.pid,
               h.cwd, h.hostname, h.peer_type, h.channel, h.model,
               coalesce(h.groups, own.groups, saved.groups, '[]'),
               coalesce(own.profile, saved.profile, '{}'),
               coalesce(own.visible, saved.visible or live.other, true),
               coalesce(own.summary, saved.summary), coalesce(own.totals, saved.totals),
               coalesce(hook.status, 'idle'), case when hook.pid is null then 'jsonl' else 'hook' end
          from jsonb_to_recordset($1) as h
               (mesh bigint, member bigint, key text, proved boolean, display_name text,
                session_id text, pid bigint, cwd text, hostname text, peer_type text, channel text,
                model text, groups jsonb)
          cross join lateral (
               select exists (
                          select from presence p
                           where p.member = h.member
                             and h.key <> (select o.key from session o where o.mailbox = p.session
                                            limit 1)) as other) live
          left join lateral (
               select groups, profile, visible, summary, totals
                 from session
                where mesh = h.mesh and key = h.key and member = h.member
                limit 1) own on true
          left join lateral (
               select o.groups, o.profile, o.visible, o.summary, o.totals
                 from session o
                where o.member = h.member
                  and (select p.session from presence p where p.session = o.mailbox limit 1)
                      is null
                order by o.seen_at desc
                limit 1) saved on true
          left join hook_pending hook
               on hook.pid = h.pid and hook.cwd = h.cwd and hook.at > now() - interval '10 s'
         order by h.mesh, h.key
            on conflict (mesh, key) do update
           set attach_no = s.attach_no + 1, announced = 'here', depart_at = null,
               proved = s.proved or excluded.proved, display_name = excluded.display_name,
               session_id = excluded.session_id, pid = excluded.pid, cwd = excluded.cwd,
               hostname = excluded.hostname,
               peer_type = excluded.peer_type, channel = excluded.channel, model = excluded.model,
               groups = excluded.groups, visible = excluded.visible, status = excluded.status,
               status_source = excluded.status_source, status_at = now(), stats = null,
               connected_at = now(), seen_at = now()
         where s.member = excluded.member and (excluded.proved or not s.proved)
        returning s.mailbox, s.mesh, s.key, s.attach_no, s.status, s.groups, s.visible, s.summary,
                  s.totals, s.log_place::text::bigint as log_place,
                  pg_current_snapshot()::text as snapshot,
                  pg_snapshot_xmin(pg_current_snapshot())::text::bigint as xmin,
                  clock_timestamp() as at";

    // When members that come with a new session were last seen with another.
    SAVED = "
        select h.member, o.seen_at
          from unnest($1::bigint[]) as h(member)
          cross join lateral (
               select o.seen_at
                 from session o
                where o.member = h.member
                  and (select p.session from presence p where p.session = o.mailbox limit 1)
                      is null
                order by o.seen_at desc
                limit 1) o";

    PRESENCES = "
        insert into presence (session, mesh, member, node, attach_no, id, inbox)
        select h.session, h.mesh, h.member, $5, h.attach_no, h.id, h.inbox
          from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $6::text[],
                      $7::boolean[]) as h(session, mesh, member, attach_no, id, inbox)
         order by h.session
            on conflict (session) do update
           set node = excluded.node, attach_no = excluded.attach_no, attached_at = now(),
               id = excluded.id, inbox = excluded.inbox";

    REASSERT = "
        insert into presence (session, mesh, member, node, attach_no, id, inbox)
        select s.mailbox, s.mesh, s.member, $1, s.attach_no, $4, $5
          from session s
          join member m on m.mailbox = s.member and m.revoked_at is null
         where s.mailbox = $2 and s.attach_no = $3
            on conflict (session) do nothing";
}

/// What a hello claims, looked up before anything is written.
#[derive(Debug)]
pub struct Claim {
    /// The mesh's number; `None` when there is no such mesh.
    pub mesh: Option<i64>,
    /// The mesh's own limit of sockets.
    pub peers_max: Option<i64>,
    /// Sockets attached to the mesh.
    pub peers: i64,
    /// The member's mailbox, id and name; `None` when the key is no member's.
    pub member: Option<(i64, String, String)>,
    /// The member that the session key belongs to, when it was seen before.
    pub session_member: Option<i64>,
    /// Whether the session key ever came with a proof.
    pub proved: bool,
    /// Whether the session is attached somewhere now.
    pub attached: bool,
    /// Whether the session key is another member's own key.
    pub of_another: bool,
}

/// A hello that was accepted so far.
#[derive(Debug, Serialize)]
pub struct Arrival {
    /// The mesh's number.
    pub mesh: i64,
    /// The member's mailbox.
    pub member: i64,
    /// The session's key.
    pub key: String,
    /// Whether it came with a proof.
    pub proved: bool,
    /// The name that others see.
    pub display_name: String,
    /// The host program's id.
    pub session_id: String,
    /// Process id.
    pub pid: i64,
    /// Working directory.
    pub cwd: String,
    /// Machine.
    pub hostname: Option<String>,
    /// `ai`, `human` or `connector`.
    pub peer_type: Option<String>,
    /// Which program.
    pub channel: Option<String>,
    /// Which model.
    pub model: Option<String>,
    /// The hello's groups; `None` restores the saved ones.
    pub groups: Option<Value>,
    /// This attachment's id on the wire.
    #[serde(skip)]
    pub presence_id: String,
    /// Whether it takes its member's mail.
    #[serde(skip)]
    pub inbox: bool,
}

/// A session that is attached now, in the order of the arrivals.
#[derive(Debug)]
pub struct Attached {
    /// The session's mailbox.
    pub mailbox: i64,
    /// Which attachment of it this is.
    pub attach_no: i64,
    /// The attachment before, when it had not ended: node and number.
    pub replaced: Option<(i32, i64)>,
    /// Whether the mesh has to be told.
    pub announce: bool,
    /// Whether the session key is new here.
    pub is_new: bool,
    /// When it, or else its member, was last seen; `None` when never.
    pub last_seen: Option<Timestamp>,
    /// Its status.
    pub status: String,
    /// Its groups, as JSON.
    pub groups: Value,
    /// Whether others see it.
    pub visible: bool,
    /// What it works on.
    pub summary: Option<String>,
    /// Its totals, as JSON.
    pub totals: Option<Value>,
    /// Its place in the log of multicasts.
    pub log_place: i64,
    /// The snapshot in which it attached, and its xmin.
    pub snapshot: String,
    /// See `snapshot`.
    pub xmin: i64,
    /// A moment after that snapshot was taken, by the database's clock.
    pub at: Timestamp,
}

/// Looks up what hellos claim: mesh id, member key, session key, pairwise. One answer each, in order.
pub async fn look_up(
    db: &impl GenericClient,
    mesh_ids: &[&str],
    pubkeys: &[&str],
    keys: &[&str],
) -> Result<Vec<Claim>> {
    let look_up = db.prepare_cached(LOOK_UP).await?;
    let rows = db.query(&look_up, &[&mesh_ids, &pubkeys, &keys]).await?;
    Ok(rows
        .iter()
        .map(|row| Claim {
            mesh: row.get("no"),
            peers_max: row.get("peers_max"),
            peers: row.get("peers"),
            member: row
                .get::<_, Option<i64>>("member")
                .map(|mailbox| (mailbox, row.get("member_id"), row.get("display_name"))),
            session_member: row.get("session_member"),
            proved: row.get("proved"),
            attached: row.get("attached"),
            of_another: row.get("of_another"),
        })
        .collect())
}

/// Attaches the sessions to `node`, inside the caller's transaction; distinct by mesh and key.
///
/// One answer each, in order; `None` where the session key turned out to be another member's, or to
/// need a proof, or where the member was revoked meanwhile.
pub async fn attach(
    db: &impl GenericClient,
    node: i32,
    arrivals: &[Arrival],
) -> Result<Vec<Option<Attached>>> {
    let meshes: Vec<i64> = arrivals.iter().map(|a| a.mesh).collect();
    let members: Vec<i64> = arrivals.iter().map(|a| a.member).collect();
    let keys: Vec<&str> = arrivals.iter().map(|a| a.key.as_str()).collect();

    let still = db.prepare_cached(MEMBERS).await?;
    let still = db.query(&still, &[&members]).await?;
    let still: HashSet<i64> = still.iter().map(|row| row.get("mailbox")).collect();
    let lock = db.prepare_cached(LOCK).await?;
    let locked = db.query(&lock, &[&meshes, &keys]).await?;
    let locked = by_key(&locked);
    let is_new = |a: &&Arrival| !locked.contains_key(&(a.mesh, a.key.as_str()));
    let new: Vec<i64> = arrivals.iter().filter(is_new).map(|a| a.member).collect();
    let saved = saved(db, &new).await?;
    let sessions = db.prepare_cached(SESSIONS).await?;
    let here: Vec<&Arrival> = arrivals.iter().filter(|a| still.contains(&a.member)).collect();
    let records = serde_json::to_value(here).expect("arrivals have string keys only");
    let rows = db.query(&sessions, &[&records]).await?;
    let rows = by_key(&rows);

    let attached: Vec<Option<Attached>> = arrivals
        .iter()
        .map(|arrival| {
            let key = (arrival.mesh, arrival.key.as_str());
            let before = locked.get(&key).copied();
            Some(attached(rows.get(&key)?, before, saved.get(&arrival.member).copied()))
        })
        .collect();
    let here: Vec<(&Arrival, &Attached)> =
        arrivals.iter().zip(&attached).filter_map(|(a, b)| Some((a, b.as_ref()?))).collect();
    present(db, node, &here).await?;
    Ok(attached)
}

/// When these members were last seen, with a session that is not here now.
async fn saved(db: &impl GenericClient, members: &[i64]) -> Result<HashMap<i64, Timestamp>> {
    if members.is_empty() {
        return Ok(HashMap::new());
    }
    let saved = db.prepare_cached(SAVED).await?;
    let rows = db.query(&saved, &[&members]).await?;
    Ok(rows.iter().map(|row| (row.get("member"), row.get("seen_at"))).collect())
}

/// Rows by mesh and key.
fn by_key(rows: &[Row]) -> HashMap<(i64, &str), &Row> {
    rows.iter().map(|row| ((row.get("mesh"), row.get("key")), row)).collect()
}

/// A session as it was written; `before` is what it was, `saved` when its member was last seen with
/// another.
fn attached(row: &Row, before: Option<&Row>, saved: Option<Timestamp>) -> Attached {
    let attach_no: i64 = row.get("attach_no");
    Attached {
        mailbox: row.get("mailbox"),
        attach_no,
        replaced: before.and_then(|b| {
            Some((b.get::<_, Option<i32>>("node")?, b.get::<_, Option<i64>>("attach_no")?))
        }),
        // One that was there and was not locked has come between the two statements, from another
        // edge, which tells the mesh.
        announce: match before {
            Some(before) => before.get::<_, &str>("announced") == "gone",
            None => attach_no == 1,
        },
        is_new: attach_no == 1,
        last_seen: before.map_or(saved, |before| before.get("seen_at")),
        status: row.get("status"),
        groups: row.get("groups"),
        visible: row.get("visible"),
        summary: row.get("summary"),
        totals: row.get("totals"),
        log_place: row.get("log_place"),
        snapshot: row.get("snapshot"),
        at: row.get("at"),
        xmin: row.get("xmin"),
    }
}

/// Enters the presences of sessions that were attached.
async fn present(db: &impl GenericClient, node: i32, here: &[(&Arrival, &Attached)]) -> Result<()> {
    let mailboxes: Vec<i64> = here.iter().map(|(_, b)| b.mailbox).collect();
    let numbers: Vec<i64> = here.iter().map(|(_, b)| b.attach_no).collect();
    let meshes: Vec<i64> = here.iter().map(|(a, _)| a.mesh).collect();
    let members: Vec<i64> = here.iter().map(|(a, _)| a.member).collect();
    let ids: Vec<&str> = here.iter().map(|(a, _)| a.presence_id.as_str()).collect();
    let inboxes: Vec<bool> = here.iter().map(|(a, _)| a.inbox).collect();
    let presences = db.prepare_cached(PRESENCES).await?;
    let values: [&(dyn ToSql + Sync); 7] =
        [&mailboxes, &meshes, &members, &numbers, &node, &ids, &inboxes];
    db.execute(&presences, &values).await?;
    Ok(())
}

/// Enters a presence that the database has lost, unless a newer attachment exists or the member was
/// revoked; returns whether it is there again.
pub async fn reassert(
    db: &impl GenericClient,
    node: i32,
    session: i64,
    attach_no: i64,
    presence_id: &str,
    inbox: bool,
) -> Result<bool> {
    let reassert = db.prepare_cached(REASSERT).await?;
    Ok(db.execute(&reassert, &[&node, &session, &attach_no, &presence_id, &inbox]).await? == 1)
}
