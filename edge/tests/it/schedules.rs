//! Schedules: made, listed and ended as the contract says and as ours ask; and what they send.
//!
//! The fires are those of the workers' own function, on a connection of the test; workers are tested
//! where they are.

mod refused;

use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;
use serde_json::{Value, json};
use skein_crypto::{Keypair, direct::Pairs, plain};
use skein_sql::{
    Settings, note,
    schedules::{self, Due, Fired},
    sweep,
};

use crate::harness::{OLD, OURS, Peer, SOON, TestMesh};

/// The node that says so, of which there is none.
const WRITER: i32 = i32::MAX;
/// What it said.
static WORDS: AtomicU64 = AtomicU64::new(1);

/// A moment that many milliseconds from now.
fn later(ms: i64) -> i64 {
    Timestamp::now().as_millisecond() + ms
}

fn one_shot(to: &str, message: &str, at: i64) -> Value {
    json!({"type": "schedule", "to": to, "message": message, "deliverAt": at})
}

fn about(kind: &str, id: &Value) -> Value {
    json!({"type": kind, "scheduledId": id})
}

/// Makes a schedule; returns its id.
async fn make(peer: &mut Peer, frame: Value) -> Value {
    let ack = peer.call(frame).await;
    assert_eq!(ack["type"], "scheduled_ack", "{ack}");
    ack["scheduledId"].clone()
}

async fn list(peer: &mut Peer) -> Vec<Value> {
    let list = peer.call(json!({"type": "list_scheduled"})).await;
    assert_eq!(list["type"], "scheduled_list", "{list}");
    list["messages"].as_array().unwrap().clone()
}

async fn detail(peer: &mut Peer, id: &Value) -> Value {
    let detail = peer.call(about("get_scheduled", id)).await;
    assert_eq!(detail["type"], "scheduled_detail", "{detail}");
    detail
}

/// Fires what is due, as a worker does, and has the nodes look.
async fn fire(mesh: &TestMesh) -> Fired {
    let connector = skein_sql::Connector::new(&mesh.database.url()).unwrap();
    let db = connector.connect(Settings::Ordinary).await.unwrap();
    let buckets: Vec<i32> = (0..64).collect();
    db.batch_execute("begin").await.unwrap();
    let fired = schedules::fire(&db, Due::Real { buckets: &buckets }).await.unwrap();
    db.batch_execute("commit").await.unwrap();
    let nodes: Vec<i32> = skein_sql::nodes::alive_edges(&db).await.unwrap();
    sweep::tell(&db, &nodes).await.unwrap();
    for failure in &fired.failed {
        let c = WORDS.fetch_add(1, Ordering::Relaxed);
        let word = note::to_member(WRITER, c, failure.mesh, failure.member, &failure.frame());
        for node in &nodes {
            let say = "select pg_notify('node_' || $1::integer, $2::text)";
            db.execute(say, &[node, &word]).await.unwrap();
        }
    }
    fired
}

#[tokio::test]
async fn q10_a_reminder_to_a_key_keeps_its_subtype() {
    let mesh = TestMesh::start(1).await;
    let mut ann = mesh.old_peer("ann", 0).await;
    let (to, at) = (ann.key(), later(-1000));

    let mut frame = one_shot(&to, "stand up", at);
    frame["subtype"] = json!("reminder");
    let ack = ann.call(frame).await;
    let listed = list(&mut ann).await;
    fire(&mesh).await;
    let push = ann.push().await;

    let fields: Vec<&String> = ack.as_object().unwrap().keys().collect();
    assert_eq!(fields, ["_reqId", "deliverAt", "scheduledId", "type"]);
    assert!(ack["deliverAt"].as_i64() >= Some(at), "what is past is now: {ack}");
    let fields: Vec<&String> = listed[0].as_object().unwrap().keys().collect();
    assert_eq!(fields, ["createdAt", "deliverAt", "id", "message", "to"]);
    assert_eq!((&listed[0]["to"], &listed[0]["message"]), (&json!(to), &json!("stand up")));
    assert_eq!((&push["subtype"], &push["nonce"]), (&json!("reminder"), &json!("")));
    assert_eq!(plain::decode(push["ciphertext"].as_str().unwrap()).unwrap(), "stand up");
    assert_eq!((&push["senderPubkey"], &push["priority"]), (&json!(to), &json!("now")));
    assert!(list(&mut ann).await.is_empty(), "it is done");
}

#[tokio::test]
async fn an_old_clients_cron_entry_is_listed_with_its_count_and_cancelled() {
    let mesh = TestMesh::start(1).await;
    let mut ann = mesh.old_peer("ann", 0).await;
    let frame = json!({"type": "schedule", "to": "*", "message": "tea", "deliverAt": 0,
                       "cron": "*/5 * * * *", "recurring": true});

    let ack = ann.call(frame).await;
    let (id, next) = (ack["scheduledId"].clone(), ack["deliverAt"].as_i64().unwrap());
    let listed = list(&mut ann).await;
    let cancelled = ann.call(about("cancel_scheduled", &id)).await;
    let again = ann.call(about("cancel_scheduled", &id)).await;

    assert_eq!((ack["cron"].as_str(), ack.get("next")), (Some("*/5 * * * *"), None));
    assert_eq!(next % 300_000, 0);
    assert!((0..=300_000).contains(&(next - later(0))), "{next}");
    assert_eq!((&listed[0]["cron"], &listed[0]["firedCount"]), (&ack["cron"], &json!(0)));
    assert_eq!((&cancelled["ok"], &cancelled["scheduledId"]), (&json!(true), &id));
    assert_eq!(again["ok"], json!(false));
    assert!(list(&mut ann).await.is_empty());
}

#[tokio::test]
async fn ours_is_told_the_next_slots_in_the_time_zone_that_it_names() {
    let mesh = TestMesh::start(1).await;
    let mut ann = mesh.peer("ann", 0).await;

    let ack = ann
        .call(json!({"type": "schedule", "to": "@dev", "message": "tea", "cron": "30 9 * * mon",
                     "tz": "Asia/Kolkata", "jitterSeconds": 5, "toName": "the devs"}))
        .await;

    let next: Vec<i64> = serde_json::from_value(ack["next"].clone()).unwrap();
    // 09:30 in India is 04:00 UTC, and the epoch began on a Thursday.
    let monday = 4 * 86_400_000 + 4 * 3_600_000;
    assert!(next.iter().all(|slot| slot.rem_euclid(7 * 86_400_000) == monday), "{ack}");
    assert_eq!((next.len(), next[1] - next[0]), (3, 7 * 86_400_000));
    let shown = &detail(&mut ann, &ack["scheduledId"]).await["schedule"];
    for (field, value) in [
        ("tz", json!("Asia/Kolkata")),
        ("state", json!("active")),
        ("toName", json!("the devs")),
        ("jitterSeconds", json!(5)),
        ("createdBy", json!("ann")),
        ("clock", json!("real")),
        ("missed", json!("skip")),
        ("overlap", json!("allow")),
        ("priority", json!("now")),
    ] {
        assert_eq!(shown[field], value, "{field} of {shown}");
    }
    assert!(shown["nextFire"].as_i64() >= Some(next[0]), "{shown}");
}

#[tokio::test]
async fn a_sealed_reminder_is_opened_with_the_members_key_by_another_of_its_sessions() {
    let mesh = TestMesh::start(2).await;
    let mut ann = mesh.peer("ann", 0).await;
    let (own, member) = (ann.key(), ann.member.clone());
    let pairs = Pairs::new(&member.keys.secret);
    let sealed = pairs.seal(&member.keys.public, "the secret plan").unwrap();
    let frame = json!({"type": "schedule", "to": own, "deliverAt": later(0), "toName": "me",
                       "subtype": "reminder", "nonce": sealed.nonce,
                       "ciphertext": sealed.ciphertext, "sealedTo": member.keys.public.hex()});
    let id = make(&mut ann, frame).await;
    let kept = mesh.ask("select count(*) from schedule where body like '%secret%'").await;
    // It made its key for one command.
    ann.close().await;
    mesh.until("select count(*) from presence", "0").await;
    let mut next = Peer::connect(&mesh.edges[1], &member, Keypair::generate(), OURS).await;

    fire(&mesh).await;
    let push = next.push().await;

    assert_eq!(kept.as_deref(), Some("0"));
    assert_eq!(push["senderPubkey"], json!(member.keys.public.hex()));
    assert_eq!(push["subtype"], json!("reminder"));
    let (nonce, body) = (push["nonce"].as_str().unwrap(), push["ciphertext"].as_str().unwrap());
    assert_eq!(pairs.open(&member.keys.public, nonce, body).unwrap(), "the secret plan");
    let detail = detail(&mut next, &id).await;
    assert_eq!(detail["schedule"]["state"], json!("done"), "readable for a day: {detail}");
    assert_eq!(detail["schedule"]["sealed"], json!(true));
    assert_eq!(detail["fires"][0]["messageId"], push["messageId"]);
}

#[tokio::test]
async fn a_schedule_for_a_group_reaches_it_across_edges_and_not_its_creator() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.peer("ann", 0).await, mesh.old_peer("bob", 1).await);
    for peer in [&mut ann, &mut bob] {
        peer.send(&json!({"type": "join_group", "name": "dev"})).await;
    }
    bob.peers().await;
    let mut frame = one_shot("@dev", "stand up", later(0));
    frame["subtype"] = json!("reminder");
    make(&mut ann, frame).await;

    fire(&mesh).await;
    let push = bob.push().await;

    assert_eq!((&push["subtype"], &push["senderPubkey"]), (&json!("reminder"), &json!(ann.key())));
    assert_eq!(plain::decode(push["ciphertext"].as_str().unwrap()).unwrap(), "stand up");
    assert!(ann.quiet(|f| f["type"] == "push" && f["subtype"] == "reminder").await.is_empty());
}

#[tokio::test]
async fn what_cannot_be_delivered_is_told_to_its_creator_on_whatever_edge() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, bob) = (mesh.peer("ann", 0).await, mesh.peer("bob", 0).await);
    let to = bob.member.keys.public.hex();
    let id = make(&mut ann, one_shot(&to, "hello", later(0))).await;
    mesh.run("update member set revoked_at = now() where display_name = 'bob'").await;
    let mut ann = ann.back(&mesh.edges[1], OURS).await;

    let fired = fire(&mesh).await;
    let event = ann.event("schedule_failed").await;

    assert_eq!((fired.failed.len(), fired.committed.len()), (1, 0));
    assert_eq!(event["senderPubkey"], json!("system"));
    let data = &event["eventData"];
    assert_eq!((&data["scheduledId"], &data["to"]), (&id, &json!(to)));
    assert_eq!(data["code"], json!("unknown_target"));
    let fires = detail(&mut ann, &id).await["fires"].clone();
    assert_eq!(fires[0]["outcome"], json!("failed"), "{fires}");
}

#[tokio::test]
async fn ours_pauses_resumes_runs_and_reads_from_any_edge_and_session() {
    let mesh = TestMesh::start(2).await;
    let mut ann = mesh.peer("ann", 0).await;
    let member = ann.member.clone();
    let mut elsewhere = Peer::connect(&mesh.edges[1], &member, Keypair::generate(), OURS).await;
    let frame = json!({"type": "schedule", "to": "*", "message": "tea", "cron": "0 0 1 1 *"});
    let id = make(&mut ann, frame).await;
    let state = |detail: &Value| detail["schedule"]["state"].clone();

    let paused = elsewhere.call(about("pause_scheduled", &id)).await;
    let twice = ann.call(about("pause_scheduled", &id)).await;
    ann.call(about("run_scheduled", &id)).await;
    fire(&mesh).await;
    let ran = detail(&mut elsewhere, &id).await;
    let resumed = ann.call(about("resume_scheduled", &id)).await;

    assert_eq!((state(&paused), state(&twice)), (json!("paused"), json!("paused")));
    assert_eq!(paused["schedule"].get("nextFire"), None);
    assert_eq!(ran["fires"].as_array().map(Vec::len), Some(1), "{ran}");
    assert_eq!(ran["schedule"]["firedCount"], json!(1));
    assert_eq!(state(&resumed), json!("active"));
    assert!(resumed["schedule"]["nextFire"].as_i64() > Some(later(0)), "{resumed}");
    assert_eq!(list(&mut elsewhere).await.len(), 1);
}

#[tokio::test]
async fn the_schedules_of_a_member_are_nobody_elses() {
    let mesh = TestMesh::start(1).await;
    let (mut ann, mut bob) = (mesh.peer("ann", 0).await, mesh.peer("bob", 0).await);
    let id = make(&mut ann, one_shot("*", "tea", later(3_600_000))).await;

    assert!(list(&mut bob).await.is_empty());
    assert_eq!(bob.call(about("cancel_scheduled", &id)).await["ok"], json!(false));
    for kind in ["get_scheduled", "pause_scheduled", "resume_scheduled", "run_scheduled"] {
        let answer = bob.call(about(kind, &id)).await;
        assert_eq!(answer["code"], json!("schedule_not_found"), "{kind}");
    }
    assert_eq!(detail(&mut ann, &id).await["schedule"]["state"], json!("active"));
}

#[tokio::test]
async fn making_and_cancelling_are_in_the_audit_log_without_the_text() {
    let mesh = TestMesh::start(1).await;
    let mut ann = mesh.peer("ann", 0).await;

    let id = make(&mut ann, one_shot("*", "the secret plan", later(3_600_000))).await;
    ann.call(about("cancel_scheduled", &id)).await;

    for event in ["schedule_created", "schedule_cancelled"] {
        let ask = json!({"type": "audit_query", "eventType": event});
        let entries = ann.call(ask).await["entries"].clone();
        assert_eq!(entries[0]["payload"]["scheduleId"], id, "{event}: {entries}");
        assert!(!entries.to_string().contains("secret plan"), "{entries}");
    }
}

#[tokio::test]
async fn a_worker_is_woken_for_what_is_due_soon_and_not_for_what_is_not() {
    let mesh = TestMesh::start(1).await;
    let connector = skein_sql::Connector::new(&mesh.database.url()).unwrap();
    let db = connector.connect(Settings::Ordinary).await.unwrap();
    let worker = skein_sql::nodes::create(&db, "worker", "", None).await.unwrap();
    let mut listener = connector.listener().await.unwrap();
    listener.listen(worker).await.unwrap();
    let mut ann = mesh.peer("ann", 0).await;

    make(&mut ann, one_shot("*", "next year", later(86_400_000))).await;
    make(&mut ann, one_shot("*", "soon", later(500))).await;
    let heard = listener.notifications.recv().await.unwrap();

    assert_eq!(note::woken(&heard.payload).as_deref(), Some("schedule"));
    assert!(listener.notifications.try_recv().is_err(), "one is woken for, not two");
}

#[tokio::test]
async fn a_call_is_answered_also_where_the_workers_could_not_be_woken() {
    let mesh = TestMesh::start(1).await;
    let mut ann = mesh.peer("ann", 0).await;
    make(&mut ann, one_shot("*", "before", later(0))).await;
    let connector = skein_sql::Connector::new(&mesh.database.url()).unwrap();
    let holder = connector.connect(Settings::Ordinary).await.unwrap();
    let watcher = connector.connect(Settings::Ordinary).await.unwrap();
    // Who is woken is asked after the commit, and waits here until it is cancelled.
    let lock = "set idle_in_transaction_session_timeout = 0;
                begin;
                lock table node in access exclusive mode";
    holder.batch_execute(lock).await.unwrap();
    let cancel = "select count(*) filter (where pg_cancel_backend(pid)) = 1
                    from pg_stat_activity
                   where datname = current_database() and wait_event_type = 'Lock'
                     and query like '%pg_notify%''worker''%'";

    let cancelling = async {
        while !watcher.query_one(cancel, &[]).await.unwrap().get::<_, bool>(0) {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        holder.batch_execute("rollback").await.unwrap();
    };
    let frame = one_shot("*", "tea", later(0));
    let (ack, ()) = tokio::join!(ann.call(frame), cancelling);

    assert_eq!(ack["type"], "scheduled_ack", "{ack}");
    assert_eq!(list(&mut ann).await.len(), 2);
}

#[tokio::test]
async fn a_list_that_does_not_fit_a_frame_says_how_many_are_left_out() {
    let mesh = TestMesh::start(1).await;
    let mut ann = mesh.peer("ann", 0).await;
    let text = "a".repeat(700_000);
    for n in 0..5 {
        make(&mut ann, one_shot("*", &text, later(3_600_000 + n))).await;
        let all = ann.call(json!({"type": "list_scheduled"})).await;
        let n_listed = all["messages"].as_array().unwrap().len();
        let more = all["more"].as_u64().unwrap_or(0);
        assert_eq!(n_listed as i64 + more.cast_signed(), n + 1);
        assert_eq!(all.get("more").is_some(), n >= 3, "{n_listed} fit");
    }
}

#[tokio::test]
async fn a_sealed_schedule_that_fires_is_in_the_audit_log_as_its_creators() {
    let mesh = TestMesh::start(1).await;
    let (mut ann, bob) = (mesh.peer("ann", 0).await, mesh.peer("bob", 0).await);
    let to = bob.member.keys.public.hex();
    let sealed = Pairs::new(&ann.member.keys.secret).seal(&bob.member.keys.public, "tea").unwrap();
    let frame = json!({"type": "schedule", "to": to, "deliverAt": later(0), "nonce": sealed.nonce,
                       "ciphertext": sealed.ciphertext});
    make(&mut ann, frame).await;

    fire(&mesh).await;

    // Messages are looked for once a second at most.
    let ask = json!({"type": "audit_query", "eventType": "message_sent"});
    let looking = async {
        loop {
            let entries = ann.call(ask.clone()).await["entries"].clone();
            if entries[0].is_object() {
                return entries;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    let found = tokio::time::timeout(SOON, looking).await.expect("it is found");
    assert_eq!(found[0]["actor"], "ann", "{found}");
    assert_eq!(found[0]["payload"]["targetSpec"], json!(to), "{found}");
}

#[tokio::test]
async fn a_session_that_was_lost_gets_its_reminder_when_it_comes_back() {
    let mesh = TestMesh::start(1).await;
    let mut ann = mesh.old_peer("ann", 0).await;
    let (to, member, session) = (ann.key(), ann.member.clone(), ann.session.clone());
    let _other = Peer::connect(&mesh.edges[0], &member, Keypair::generate(), OURS).await;
    make(&mut ann, one_shot(&to, "stand up", later(0))).await;
    ann.vanish();
    mesh.until("select count(*) from presence", "1").await;

    fire(&mesh).await;
    let mut ann = Peer::connect(&mesh.edges[0], &member, session, OLD).await;
    let push = ann.push().await;

    assert_eq!(plain::decode(push["ciphertext"].as_str().unwrap()).unwrap(), "stand up");
}

#[tokio::test]
async fn an_old_session_key_made_for_one_command_gets_its_reminder_at_the_next() {
    let mesh = TestMesh::start(1).await;
    let mut ann = mesh.old_peer("ann", 0).await;
    let (to, member) = (ann.key(), ann.member.clone());
    make(&mut ann, one_shot(&to, "stand up", later(0))).await;
    ann.close().await;
    mesh.until("select count(*) from presence", "0").await;
    let mut next = Peer::connect(&mesh.edges[0], &member, Keypair::generate(), OLD).await;

    fire(&mesh).await;
    let push = next.push().await;

    assert_eq!(plain::decode(push["ciphertext"].as_str().unwrap()).unwrap(), "stand up");
}
