//! Events of watches, stored as messages: for each attached session of the member, or in its
//! mailbox, and for a group.
//!
//! Sessions that take no mail of their member and are gone in a moment (commands) are told while
//! they are here, but are not counted on: without another one the event waits in the mailbox too. A
//! session that is told as one of the group is told once.

use std::collections::HashMap;

use skein_wire::{limit, push::Kept};
use uuid::Uuid;

use super::checks::Due;
use crate::{GenericClient, Result, statement::statements, store, tell::Committed};

statements! {
    SESSIONS = "
        select t.i, p.session, p.node, (p.inbox or not s.proved) as keeps,
               t.group_path is not null and s.visible and (
                   t.group_path = 'all'
                   or exists (select from jsonb_array_elements(s.groups) g
                               where g->>'name' = t.group_path
                                  or starts_with(g->>'name', t.group_path || '/'))) as is_of_group
          from unnest($1::bigint[], $2::text[]) with ordinality as t(member, group_path, i)
          join presence p on p.member = t.member
          join session s on s.mailbox = p.session
         order by t.i, p.session";

    MEMBERS = "
        select m.mailbox, m.pubkey
          from member m
          join mesh h on h.no = m.mesh
         where m.mailbox = any($1) and m.revoked_at is null and h.archived_at is null";

    STORE = "
        with numbered as (
            select nextval('message_seq') as seq, t.*
              from (select *
                      from unnest($1::bigint[], $2::bigint[], $3::integer[], $4::uuid[], $5::text[],
                                  $6::text[])
                           with ordinality as t(mesh, recipient, node, message_id, target, body, i)
                     order by i) t),
        stored as (
            insert into message (seq, mesh, message_id, sender, sender_key, target, priority, nonce,
                                 ciphertext, kind, subtype, at, xid)
            select seq, mesh, message_id, 0, 'system', target, 0, '', body,
                   (recipient is null)::integer, 'system', now(), pg_current_xact_id()
              from numbered),
        delivered as (
            insert into delivery (seq, recipient, mesh, node, class, bytes, at, xid)
            select seq, recipient, mesh, node, 0, octet_length(body), now(), pg_current_xact_id()
              from numbered
             where recipient is not null)
        select seq, pg_current_xact_id()::text::bigint as xid
          from numbered
         order by i";
}

/// A message to be stored.
struct New<'a> {
    mesh: i64,
    /// One for all copies of an event, so that who is given two has one.
    message_id: Uuid,
    /// None of a multicast.
    recipient: Option<(i64, i32)>,
    target: String,
    body: &'a str,
}

/// A session of a watch's member.
struct Session {
    mailbox: i64,
    node: i32,
    /// Whether what it was told stays with somebody.
    keeps: bool,
    /// Whether it hears the watch's group.
    is_of_group: bool,
}

/// Stores these events in the caller's transaction.
pub(super) async fn store(
    db: &impl GenericClient,
    events: &[(&Due, &Kept)],
) -> Result<Vec<Committed>> {
    if events.is_empty() {
        return Ok(Vec::new());
    }
    let sessions = sessions(db, events).await?;
    let keys = keys(db, events).await?;
    let bodies: Vec<String> = events.iter().map(|(_, event)| event.body()).collect();
    let mut news = Vec::new();
    for (i, ((due, _), body)) in events.iter().zip(&bodies).enumerate() {
        let here = sessions.get(&i).map(Vec::as_slice).unwrap_or_default();
        let mut to: Vec<(i64, i32)> =
            here.iter().filter(|s| !s.is_of_group).map(|s| (s.mailbox, s.node)).collect();
        if !here.iter().any(|s| s.keeps) {
            to.push((due.member, 0));
        }
        // A revoked member's watches are ended with it; one that just was is told nothing.
        let Some(key) = keys.get(&due.member) else { continue };
        let message_id = Uuid::new_v4();
        news.extend(to.into_iter().map(|to| New {
            mesh: due.mesh,
            message_id,
            recipient: Some(to),
            target: key.clone(),
            body,
        }));
        let group = due.group.as_ref().map(|path| format!("@{path}"));
        news.extend(group.map(|target| New {
            mesh: due.mesh,
            message_id,
            recipient: None,
            target,
            body,
        }));
    }
    let full = full(db, &news).await?;
    news.retain(|new| new.recipient.is_none_or(|(mailbox, _)| !full.contains(&mailbox)));
    insert(db, &news).await
}

async fn sessions(
    db: &impl GenericClient,
    events: &[(&Due, &Kept)],
) -> Result<HashMap<usize, Vec<Session>>> {
    let sessions = db.prepare_cached(SESSIONS).await?;
    let members: Vec<i64> = events.iter().map(|(due, _)| due.member).collect();
    let groups: Vec<Option<&str>> = events.iter().map(|(due, _)| due.group.as_deref()).collect();
    let mut here: HashMap<usize, Vec<Session>> = HashMap::new();
    for row in db.query(&sessions, &[&members, &groups]).await? {
        let i = usize::try_from(row.get::<_, i64>("i") - 1).unwrap_or_default();
        here.entry(i).or_default().push(Session {
            mailbox: row.get("session"),
            node: row.get("node"),
            keeps: row.get("keeps"),
            is_of_group: row.get("is_of_group"),
        });
    }
    Ok(here)
}

/// The keys of the members who made them.
async fn keys(db: &impl GenericClient, events: &[(&Due, &Kept)]) -> Result<HashMap<i64, String>> {
    let keys = db.prepare_cached(MEMBERS).await?;
    let members: Vec<i64> = events.iter().map(|(due, _)| due.member).collect();
    let rows = db.query(&keys, &[&members]).await?;
    Ok(rows.iter().map(|row| (row.get("mailbox"), row.get("pubkey"))).collect())
}

/// Which of the mailboxes hold as much as they may: an event for one is lost, and the list of
/// watches has what it said.
async fn full(db: &impl GenericClient, news: &[New<'_>]) -> Result<Vec<i64>> {
    let mut mailboxes: Vec<i64> =
        news.iter().filter_map(|new| new.recipient.map(|to| to.0)).collect();
    mailboxes.sort_unstable();
    mailboxes.dedup();
    if mailboxes.is_empty() {
        return Ok(mailboxes);
    }
    let loads = store::load(db, &mailboxes).await?;
    let is_full = |(_, messages, bytes): &(i64, i64, i64)| {
        *messages >= limit::MAILBOX_MESSAGES_MAX || *bytes >= limit::MAILBOX_BYTES_MAX
    };
    Ok(loads.into_iter().filter(is_full).map(|load| load.0).collect())
}

async fn insert(db: &impl GenericClient, news: &[New<'_>]) -> Result<Vec<Committed>> {
    let store = db.prepare_cached(STORE).await?;
    let meshes: Vec<i64> = news.iter().map(|new| new.mesh).collect();
    let recipients: Vec<Option<i64>> =
        news.iter().map(|new| new.recipient.map(|to| to.0)).collect();
    let nodes: Vec<i32> = news.iter().map(|new| new.recipient.map_or(0, |to| to.1)).collect();
    let ids: Vec<Uuid> = news.iter().map(|new| new.message_id).collect();
    let targets: Vec<&str> = news.iter().map(|new| new.target.as_str()).collect();
    let bodies: Vec<&str> = news.iter().map(|new| new.body).collect();
    let rows = db.query(&store, &[&meshes, &recipients, &nodes, &ids, &targets, &bodies]).await?;
    let committed = rows.iter().zip(news).map(|(row, new)| Committed {
        seq: row.get("seq"),
        mesh: new.mesh,
        sender: 0,
        target: new.target.clone(),
        xid: row.get("xid"),
        recipient: new.recipient,
    });
    Ok(committed.collect())
}
