//! Departures: sessions whose grace is over are announced gone, each by exactly one worker or
//! edge.
//!
//! The deadline stands in the row; whoever's UPDATE succeeds tells the mesh. An announcement that
//! is lost afterwards is lost: presence events are best effort, and the list of peers is the
//! truth.

use std::collections::HashMap;

use jiff::Timestamp;
use serde_json::json;
use skein_wire::{
    Priority,
    push::{Push, SYSTEM},
};
use uuid::Uuid;

use crate::{GenericClient, Result, duties, iso, statement::statements};

statements! {
    DEPART = "
        with due as (
            select s.mailbox, s.attach_no
              from session s
             where s.depart_at <= now() and s.announced = 'here'
               and (s.mesh % $2::integer)::integer = any($1)
               and not exists (select from presence p where p.session = s.mailbox)
             order by s.depart_at
             limit $3
               for no key update skip locked),
        gone as (
            update session s
               set announced = 'gone', depart_at = null
              from due, mesh m, member w
             where s.mailbox = due.mailbox and s.attach_no = due.attach_no and m.no = s.mesh
               and w.mailbox = s.member
            returning s.mailbox, s.attach_no, s.key, s.display_name, s.mesh, m.id as mesh_id,
                      w.id as member_id),
        audited as (
            insert into audit_intake (mesh, event_type, actor_id, actor, payload)
            select mesh, 'peer_left', member_id, display_name, '{}' from gone)
        select mailbox, attach_no, key, display_name, mesh, mesh_id, now() as at
          from gone";

    // A deadline that a newer attachment has overtaken.
    OVERTAKEN = "
        update session s
           set depart_at = null
         where s.depart_at <= now() and (s.mesh % $2::integer)::integer = any($1)
           and (s.announced = 'gone'
                or exists (select from presence p where p.session = s.mailbox))";

    AUDIENCE = "
        select distinct p.mesh, p.node
          from presence p
          join node n on n.id = p.node and n.state in ('alive', 'draining')
         where p.mesh = any($1)";

    ANNOUNCE = "
        select pg_notify('node_' || t.node, t.payload)
          from unnest($1::integer[], $2::text[]) as t(node, payload)";
}

/// Sessions that one step announces.
const DEPARTURES_MAX: i64 = 500;

/// A session that this caller has to announce gone.
#[derive(Debug, Clone)]
pub struct Departed {
    /// Its mailbox.
    pub mailbox: i64,
    /// The attachment that ended.
    pub attach_no: i64,
    /// Its key.
    pub key: String,
    /// Its name.
    pub display_name: String,
    /// The mesh's number.
    pub mesh: i64,
    /// The mesh, on the wire.
    pub mesh_id: String,
    /// When.
    pub at: Timestamp,
}

/// Marks the sessions of these buckets gone that did not come back in time, at most 500.
pub async fn depart(db: &impl GenericClient, buckets: &[i32]) -> Result<Vec<Departed>> {
    let depart = db.prepare_cached(DEPART).await?;
    let rows = db.query(&depart, &[&buckets, &duties::BUCKETS, &DEPARTURES_MAX]).await?;
    if rows.is_empty() {
        let overtaken = db.prepare_cached(OVERTAKEN).await?;
        db.execute(&overtaken, &[&buckets, &duties::BUCKETS]).await?;
    }
    Ok(rows
        .iter()
        .map(|row| Departed {
            mailbox: row.get("mailbox"),
            attach_no: row.get("attach_no"),
            key: row.get("key"),
            display_name: row.get("display_name"),
            mesh: row.get("mesh"),
            mesh_id: row.get("mesh_id"),
            at: row.get("at"),
        })
        .collect())
}

/// Tells every node that has sessions of the mesh. The caller leaves out what is beyond the mesh's
/// rate of events.
pub async fn announce(db: &impl GenericClient, departed: &[Departed]) -> Result<()> {
    let mut meshes: Vec<i64> = departed.iter().map(|d| d.mesh).collect();
    meshes.dedup();
    let audience = db.prepare_cached(AUDIENCE).await?;
    let mut nodes: HashMap<i64, Vec<i32>> = HashMap::new();
    for row in db.query(&audience, &[&meshes]).await? {
        nodes.entry(row.get("mesh")).or_default().push(row.get("node"));
    }
    let (mut told, mut payloads) = (Vec::new(), Vec::new());
    for session in departed {
        let event = event(session);
        for node in nodes.get(&session.mesh).into_iter().flatten() {
            told.push(*node);
            payloads.push(event.clone());
        }
    }
    let announce = db.prepare_cached(ANNOUNCE).await?;
    db.execute(&announce, &[&told, &payloads]).await?;
    Ok(())
}

fn event(session: &Departed) -> String {
    let push = Push {
        message_id: Uuid::new_v4().to_string(),
        mesh_id: session.mesh_id.clone(),
        sender_pubkey: SYSTEM.into(),
        priority: Priority::Low,
        nonce: String::new(),
        ciphertext: String::new(),
        created_at: iso(session.at),
        target_spec: None,
        subtype: Some("system".into()),
        event: Some("peer_left".into()),
        event_data: Some(json!({ "name": session.display_name, "pubkey": session.key })),
    };
    json!({
        "k": "event", "mesh": session.mesh, "except": null, "about": session.mailbox,
        "no": session.attach_no, "push": push,
    })
    .to_string()
}
