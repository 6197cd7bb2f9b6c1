//! The audit log is chained by whichever workers there are, once, whoever of them dies.

use std::{process::Stdio, sync::Arc};

use skein_crypto::audit::{Chain, Link};
use skein_sql::{
    audit::{self, Actor},
    sweep,
};
use skein_wire::audit::Event;
use tokio::process::Command;

use crate::place::{Place, until};

/// Meshes, and notes in each.
const MESHES: usize = 6;
const NOTES: usize = 300;

/// A mesh with a member; their numbers.
async fn mesh(place: &Place, name: &str) -> (i64, i64) {
    let make = "
        with mesh as (
            insert into mesh (id, slug, name, owner_key) values ($1, $1, $1, repeat('0', 64))
            returning no)
        insert into member (id, mesh, pubkey, display_name, role)
        select $1, no, repeat('0', 64), $1, 'owner' from mesh
        returning mesh, mailbox";
    let row = place.row(make, &[&name]).await;
    (row.get(0), row.get(1))
}

/// Stores a message as the writer does.
async fn send(place: &Place, mesh: i64, target: &str) {
    let insert = "
        with own as (select pg_current_xact_id() as xid)
        insert into message (seq, mesh, message_id, sender, sender_key, target, priority, nonce,
                             ciphertext, kind, at, xid)
        select nextval('message_seq'), $1, gen_random_uuid(), 1, 'k', $2, 0, 'n', 'c', 1, now(),
               own.xid
          from own";
    place.run(insert, &[&mesh, &target]).await;
}

/// Has every worker look now.
async fn wake(place: &Place) {
    let alive = "select id from node where kind = 'worker' and state = 'alive'";
    let rows = place.db.query(alive, &[]).await.unwrap();
    let nodes: Vec<i32> = rows.iter().map(|row| row.get(0)).collect();
    sweep::tell(&place.db, &nodes).await.unwrap();
}

/// Waits until nothing is left to be chained.
async fn chained(place: &Place) {
    let left = "select count(*) = 0 from audit_intake";
    until(async || {
        wake(place).await;
        place.row(left, &[]).await.get(0)
    })
    .await;
}

/// How many entries a mesh's log has; it must verify.
async fn verified(place: &Place, mesh: i64, mesh_id: &str) -> usize {
    let entries = audit::after(&place.db, mesh, 0, i64::MAX).await.unwrap();
    let mut chain = Chain::start(mesh_id);
    for entry in &entries {
        let link = Link {
            no: entry.no.unsigned_abs(),
            event_type: &entry.event_type,
            actor: &entry.actor_id,
            payload: &entry.payload,
            created_at: &entry.created_at,
            hash: &entry.hash,
        };
        assert_eq!(chain.take(&link), Ok(()), "{mesh_id}");
    }
    entries.len()
}

#[tokio::test]
async fn what_was_noted_and_what_was_sent_is_chained_without_being_asked_for() {
    let place = Place::new().await;
    let (mesh, member) = mesh(&place, "m").await;
    skein_sql::partitions::ensure_ahead(&place.db, 0).await.unwrap();
    audit::add(&place.db, mesh, Actor::Member(member, "ann"), Event::PeerLeft {}).await.unwrap();
    send(&place, mesh, "@dev").await;
    let _worker = place.worker();

    let found = "select count(*) = 2 from audit
                  where event_type = 'peer_left'
                     or payload = '{\"targetSpec\":\"@dev\",\"priority\":\"now\"}'";
    until(async || place.row(found, &[]).await.get(0)).await;

    assert_eq!(verified(&place, mesh, "m").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_that_come_and_are_killed_chain_everything_once() {
    let place = Arc::new(Place::new().await);
    let mut meshes = Vec::new();
    for n in 0..MESHES {
        meshes.push(mesh(&place, &format!("m{n}")).await);
    }
    let mut noting = tokio::task::JoinSet::new();
    for (mesh, member) in meshes.clone() {
        let place = place.clone();
        noting.spawn(async move {
            for _ in 0..NOTES {
                let actor = Actor::Member(member, "ann");
                audit::add(&place.db, mesh, actor, Event::PeerLeft {}).await.unwrap();
            }
        });
    }
    let start = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_skein-worker"));
        command.env_clear().env("DATABASE_URL", &place.url).stderr(Stdio::null());
        command.kill_on_drop(true).spawn().unwrap()
    };

    let (mut first, _second) = (start(), start());
    let begun = "select count(*) > 0 from audit";
    until(async || {
        wake(&place).await;
        place.row(begun, &[]).await.get(0)
    })
    .await;
    first.kill().await.unwrap();
    let _third = start();
    noting.join_all().await;
    chained(&place).await;

    for (n, (mesh, _)) in meshes.iter().enumerate() {
        assert_eq!(verified(&place, *mesh, &format!("m{n}")).await, NOTES);
    }
}

#[tokio::test]
async fn each_kind_of_duty_has_its_own_seats_and_shares() {
    let place = Place::new().await;
    let (_first, _second) = (place.worker(), place.worker());

    let shares = "select array_agg(n order by n)::text
                    from (select count(*) as n
                            from pg_locks
                           where locktype = 'advisory' and objsubid = 2 and objid < 64
                             and classid::bigint = x'736b0002'::bigint
                             and database = (select oid from pg_database
                                              where datname = current_database())
                           group by pid) held";
    until(async || {
        place.row(shares, &[]).await.get::<_, Option<String>>(0).as_deref() == Some("{32,32}")
    })
    .await;

    place.shared(&[32, 32]).await;
}
