//! Attaching: a session's socket comes to a node. See delivery.md 7.
//!
//! A batch of hellos is one transaction: sessions are locked in the order of mesh and key, presences
//! in the order of mailboxes, so two batches cannot wait for each other. Updating a presence waits
//! for the batches of sends that hold it FOR SHARE at the session's old edge: after this commits, an
//! older message cannot be stored behind a newer one.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::{GenericClient, Result, statement::statements};

statements! {
    LOOK_UP = "
        select h.i, m.no, m.peers_max,
               (select count(*) from presence p where p.mesh = m.no) as peers,
               w.mailbox as member, w.id as member_id, w.display_name,
               s.member as session_member, coalesce(s.proved, false) as proved,
               exists (select from presence p where p.session = s.mailbox) as attached,
               exists (select from member o
                        where o.mesh = m.no and o.pubkey = h.key
                          and o.mailbox is distinct from w.mailbox) as of_another
          from unnest($1::text[], $2::text[], $3::text[])
               with ordinality as h(mesh_id, pubkey, key, i)
          left join mesh m on m.id = h.mesh_id and m.archived_at is null
          left join member w on w.mesh = m.no and w.pubkey = h.pubkey and w.revoked_at is null
          left join session s on s.mesh = m.no and s.key = h.key
         order by h.i";

    // Before anything else, so that a member that is being revoked waits, or is not here any more.
    MEMBERS = "
        select mailbox
          from member
         where mailbox = any($1) and revoked_at is null
         order by mailbox
           for share";

    LOCK = "
        select s.mesh, s.key, p.node, p.attach_no
          from unnest($1::bigint[], $2::text[]) as h(mesh, key)
          join session s on s.mesh = h.mesh and s.key = h.key
          left join presence p on p.session = s.mailbox
         order by s.mesh, s.key
           for update of s";

    SESSIONS = "
        insert into session as s
               (mesh, member, key, proved, attach_no, display_name, session_id, pid, cwd, hostname,
                peer_type, channel, model, groups, profile, visible, summary, totals, status,
                status_source)
        select h.mesh, h.member, h.key, h.proved, 1, h.display_name, h.session_id, h.pid, h.cwd,
               h.hostname, h.peer_type, h.channel, h.model,
               coalesce(h.groups, own.groups, saved.groups, '[]'),
               coalesce(own.profile, saved.profile, '{}'),
               coalesce(own.visible, saved.visible, true) or live.other,
               coalesce(own.summary, saved.summary), coalesce(own.totals, saved.totals),
               coalesce(hook.status, 'idle'), case when hook.pid is null then 'jsonl' else 'hook' end
          from jsonb_to_recordset($1) as h
               (mesh bigint, member bigint, key text, proved boolean, display_name text,
                session_id text, pid bigint, cwd text, hostname text, peer_type text, channel text,
                model text, groups jsonb)
          cross join lateral (
               select exists (select from presence p join session o on o.mailbox = p.session
                               where p.member = h.member and o.key <> h.key) as other) live
          left join session own on own.mesh = h.mesh and own.key = h.key and own.member = h.member
          left join lateral (
               select o.groups, o.profile, o.visible, o.summary, o.totals
                 from session o
                where o.member = h.member
                  and not exists (select from presence p where p.session = o.mailbox)
                order by o.seen_at desc
                limit 1) saved on true
          left join hook_pending hook
               on hook.pid = h.pid and hook.cwd = h.cwd and hook.at > now() - interval '10 s'
         order by h.mesh, h.key
            on conflict (mesh, key) do update
           set attach_no = s.attach_no + 1, depart_at = null, proved = s.proved or excluded.proved,
               display_name = excluded.display_name, session_id = excluded.session_id,
               pid = excluded.pid, cwd = excluded.cwd, hostname = excluded.hostname,
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

    SAVED = "
        select h.mesh, h.key, coalesce(own.seen_at, other.seen_at) as seen_at,
               own.mailbox is not null as own
          from unnest($1::bigint[], $2::bigint[], $3::text[]) as h(mesh, member, key)
          left join session own on own.mesh = h.mesh and own.key = h.key
          left join lateral (
               select o.seen_at
                 from session o
                where o.member = h.member
                  and not exists (select from presence p where p.session = o.mailbox)
                order by o.seen_at desc
                limit 1) other on true";

    PRESENCES = "
        insert into presence (session, mesh, member, node, attach_no, id, inbox)
        select h.session, h.mesh, h.member, $5, h.attach_no, h.id, h.inbox
          from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $6::text[],
                      $7::boolean[]) as h(session, mesh, member, attach_no, id, inbox)
         order by h.session
            on conflict (session) do update
           set node = excluded.node, attach_no = excluded.attach_no, attached_at = now(),
               id = excluded.id, inbox = excluded.inbox";

    ANNOUNCE = "
        update session
           set announced = 'here'
         where mailbox = any($1) and announced = 'gone'
        returning mailbox";

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
    let still: Vec<i64> = still.iter().map(|row| row.get("mailbox")).collect();
    let lock = db.prepare_cached(LOCK).await?;
    let locked = db.query(&lock, &[&meshes, &keys]).await?;
    let saved = db.prepare_cached(SAVED).await?;
    let saved = db.query(&saved, &[&meshes, &members, &keys]).await?;
    let sessions = db.prepare_cached(SESSIONS).await?;
    let here: Vec<&Arrival> = arrivals.iter().filter(|a| still.contains(&a.member)).collect();
    let records = serde_json::to_value(here).expect("arrivals have string keys only");
    let rows = db.query(&sessions, &[&records]).await?;

    let of = |rows: &[tokio_postgres::Row], arrival: &Arrival| {
        rows.iter().position(|r| {
            r.get::<_, i64>("mesh") == arrival.mesh && r.get::<_, &str>("key") == arrival.key
        })
    };
    let mut attached: Vec<Option<Attached>> = arrivals
        .iter()
        .map(|arrival| {
            let row = &rows[of(&rows, arrival)?];
            let before = of(&locked, arrival).map(|i| &locked[i]);
            let seen = of(&saved, arrival).map(|i| &saved[i]);
            Some(Attached {
                mailbox: row.get("mailbox"),
                attach_no: row.get("attach_no"),
                replaced: before.and_then(|b| {
                    Some((b.get::<_, Option<i32>>("node")?, b.get::<_, Option<i64>>("attach_no")?))
                }),
                announce: false,
                is_new: seen.is_none_or(|s| !s.get::<_, bool>("own")),
                last_seen: seen.and_then(|s| s.get("seen_at")),
                status: row.get("status"),
                groups: row.get("groups"),
                visible: row.get("visible"),
                summary: row.get("summary"),
                totals: row.get("totals"),
                log_place: row.get("log_place"),
                snapshot: row.get("snapshot"),
                at: row.get("at"),
                xmin: row.get("xmin"),
            })
        })
        .collect();

    let here: Vec<(&Arrival, &Attached)> =
        arrivals.iter().zip(&attached).filter_map(|(a, b)| Some((a, b.as_ref()?))).collect();
    let mailboxes: Vec<i64> = here.iter().map(|(_, b)| b.mailbox).collect();
    let numbers: Vec<i64> = here.iter().map(|(_, b)| b.attach_no).collect();
    let here_meshes: Vec<i64> = here.iter().map(|(a, _)| a.mesh).collect();
    let here_members: Vec<i64> = here.iter().map(|(a, _)| a.member).collect();
    let ids: Vec<&str> = here.iter().map(|(a, _)| a.presence_id.as_str()).collect();
    let inboxes: Vec<bool> = here.iter().map(|(a, _)| a.inbox).collect();
    let presences = db.prepare_cached(PRESENCES).await?;
    db.execute(
        &presences,
        &[&mailboxes, &here_meshes, &here_members, &numbers, &node, &ids, &inboxes],
    )
    .await?;
    let announce = db.prepare_cached(ANNOUNCE).await?;
    let announced = db.query(&announce, &[&mailboxes]).await?;
    let announced: Vec<i64> = announced.iter().map(|row| row.get("mailbox")).collect();
    for session in attached.iter_mut().flatten() {
        session.announce = announced.contains(&session.mailbox);
    }
    Ok(attached)
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
