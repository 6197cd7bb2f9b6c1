//! Access: every message as a stranger and as a member of another mesh, asked while the answer
//! would otherwise be yes. The messages come from the wire's own table; one without a case fails.

use std::{
    io::Write,
    sync::{Arc, Mutex},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use skein_crypto::{Keypair, direct::Pairs};
use skein_wire::Message;

use crate::{
    api_keys::{ALL, Key},
    harness::{OURS, Peer, TestMesh},
    webhooks,
};

/// A mesh with two peers who talk, and a member of another mesh on the same edge, whose session has
/// the very key that Ann's has here.
struct Place {
    mesh: TestMesh,
    ann: Peer,
    bob: Peer,
    eve: Peer,
    /// Eve's own neighbour.
    dan: Peer,
    /// Ann's message to Bob, which he has not said that he received.
    message_id: Value,
    /// What Ann remembers, and a task of hers that Bob holds, and one that nobody does.
    memory_id: Value,
    held_id: Value,
    open_id: Value,
    /// What Ann watches.
    watch_id: Value,
    /// A schedule of Ann's.
    scheduled_id: Value,
}

impl Place {
    async fn new() -> Self {
        let mesh = TestMesh::start(1).await;
        let edge = &mesh.edges[0];
        let (mut ann, mut bob) = (mesh.peer("ann", 0).await, mesh.peer("bob", 0).await);
        bob.acks = false;
        let (other, no) = mesh.other_mesh().await;
        let (eve, dan) =
            (mesh.member_of(&other, no, "eve").await, mesh.member_of(&other, no, "dan").await);
        let eve = Peer::connect(edge, &eve, ann.session.clone(), OURS).await;
        let dan = Peer::connect(edge, &dan, Keypair::generate(), OURS).await;
        for peer in [&mut ann, &mut bob] {
            peer.call(json!({"type": "join_group", "name": "dev", "role": "lead"})).await;
            peer.call(json!({"type": "set_summary", "summary": "the truth"})).await;
        }
        ann.call(json!({"type": "create_webhook", "name": "hook"})).await;
        let watch = json!({"type": "watch", "url": "https://ann.example/", "label": "the truth"});
        let watch_id = ann.call(watch).await["watchId"].clone();
        let memory = json!({"type": "remember", "content": "the truth"});
        let memory_id = ann.call(memory).await["id"].clone();
        let task = json!({"type": "create_task", "title": "the truth"});
        let held_id = ann.call(task.clone()).await["id"].clone();
        bob.call(json!({"type": "claim_task", "taskId": held_id, "leaseSeconds": 600})).await;
        let open_id = ann.call(task).await["id"].clone();
        let schedule = json!({"type": "schedule", "to": bob.key(), "message": "the truth",
                              "cron": "0 0 1 1 *"});
        let scheduled_id = ann.call(schedule).await["scheduledId"].clone();
        ann.call(json!({"type": "set_state", "key": "plan", "value": "the truth"})).await;
        ann.call(json!({"type": "share_context", "summary": "the truth"})).await;
        ann.call(json!({"type": "share_skill", "name": "deploy", "description": "the truth",
                        "instructions": "the truth"}))
            .await;
        for key in ["plan", "_context:ann"] {
            bob.find(|f| f["type"] == "state_change" && f["key"] == key).await;
        }
        ann.call(json!({"type": "set_clock", "speed": 10})).await;
        ann.call(json!({"type": "create_stream", "name": "builds"})).await;
        bob.call(json!({"type": "subscribe", "stream": "builds"})).await;
        let message_id = ann.message(&bob.key(), "now", "for bob").await["messageId"].clone();
        bob.push().await;
        ann.event("peer_joined").await;
        Self {
            mesh,
            ann,
            bob,
            eve,
            dan,
            message_id,
            memory_id,
            held_id,
            open_id,
            watch_id,
            scheduled_id,
        }
    }

    /// Every message of the contract that would do something here.
    fn frames(&self, kind: &str) -> Vec<Value> {
        let send = |to: &str| {
            json!({"type": "send", "id": Keypair::generate().public.hex(), "targetSpec": to,
                   "priority": "now", "nonce": "from eve", "ciphertext": "x"})
        };
        match kind {
            "send" => vec![
                send(&self.bob.key()),
                send(&self.bob.member.keys.public.hex()),
                send(&self.ann.member.keys.public.hex()),
                send(&self.ann.key()),
                send("*"),
                send("@all"),
                send("@dev"),
            ],
            "message_status" => vec![json!({"type": kind, "messageId": self.message_id})],
            "received" => vec![json!({"type": kind, "messageIds": [self.message_id]})],
            "list_peers" => vec![json!({"type": kind})],
            "set_status" => vec![json!({"type": kind, "status": "dnd"})],
            "set_summary" => vec![json!({"type": kind, "summary": "a lie"})],
            "set_visible" => vec![json!({"type": kind, "visible": false})],
            "set_profile" => vec![json!({"type": kind, "title": "a lie"})],
            "join_group" => vec![json!({"type": kind, "name": "dev", "role": "a lie"})],
            "leave_group" => vec![json!({"type": kind, "name": "dev"})],
            "create_webhook" => vec![
                json!({"type": kind, "name": "a lie", "target": "@dev"}),
                json!({"type": kind, "name": "hers"}),
            ],
            "list_webhooks" => vec![json!({"type": kind})],
            "delete_webhook" => vec![json!({"type": kind, "name": "hook"})],
            "set_stats" => vec![json!({"type": kind, "stats": {"messagesIn": 1}})],
            "remember" => vec![json!({"type": kind, "content": "a lie"})],
            "recall" => {
                ["truth", "trut", "turth"].map(|query| json!({"type": kind, "query": query})).into()
            }
            "forget" => vec![json!({"type": kind, "memoryId": self.memory_id})],
            "create_task" => vec![
                json!({"type": kind, "title": "a lie"}),
                json!({"type": kind, "title": "a lie", "dependsOn": [self.open_id]}),
            ],
            "claim_task" => vec![json!({"type": kind, "taskId": self.open_id})],
            "complete_task" => vec![
                json!({"type": kind, "taskId": self.held_id}),
                json!({"type": kind, "taskId": self.held_id, "ifHeld": true}),
            ],
            "list_tasks" | "mesh_info" => vec![json!({"type": kind})],
            "schedule" => {
                let later = jiff::Timestamp::now().as_millisecond() + 3_600_000;
                [&self.bob.key(), "*"]
                    .map(|to| {
                        json!({"type": kind, "to": to, "message": "a lie", "deliverAt": later})
                    })
                    .into()
            }
            "list_scheduled" => vec![json!({"type": kind})],
            "cancel_scheduled" | "get_scheduled" | "pause_scheduled" | "resume_scheduled"
            | "run_scheduled" => vec![json!({"type": kind, "scheduledId": self.scheduled_id})],
            "set_clock" => vec![json!({"type": kind, "speed": 50})],
            "pause_clock" | "resume_clock" | "get_clock" => vec![json!({"type": kind})],
            // The first is her own; there is no second.
            "claim_next" => vec![json!({"type": kind}), json!({"type": kind})],
            "renew_task" => {
                vec![json!({"type": kind, "taskId": self.held_id, "leaseSeconds": 60})]
            }
            "get_task" => vec![json!({"type": kind, "taskId": self.open_id})],
            "watch_tasks" => vec![json!({"type": kind, "watch": true})],
            "set_state" => vec![
                json!({"type": kind, "key": "plan", "value": "a lie", "ifVersion": 0}),
                json!({"type": kind, "key": "plan", "value": "a lie"}),
            ],
            "get_state" => vec![json!({"type": kind, "key": "plan"})],
            "list_state" => vec![json!({"type": kind}), json!({"type": kind, "prefix": "pl"})],
            "delete_state" => vec![json!({"type": kind, "key": "plan"})],
            "share_context" => vec![json!({"type": kind, "summary": "a lie"})],
            "get_context" => {
                vec![json!({"type": kind, "query": "truth"}), json!({"type": kind, "query": ""})]
            }
            "list_contexts" => vec![json!({"type": kind})],
            "share_skill" => vec![json!({"type": kind, "name": "deploy", "description": "a lie",
                                         "instructions": "a lie"})],
            "get_skill" | "remove_skill" => vec![json!({"type": kind, "name": "deploy"})],
            "list_skills" => vec![json!({"type": kind}), json!({"type": kind, "query": "lie"})],
            "peer_file_request" => {
                [&self.bob.key(), &self.bob.member.keys.public.hex(), &self.ann.key()]
                    .map(|key| json!({"type": kind, "targetPubkey": key, "filePath": "a"}))
                    .into()
            }
            "peer_dir_request" => {
                [&self.bob.key(), &self.bob.member.keys.public.hex(), &self.ann.key()]
                    .map(|key| json!({"type": kind, "targetPubkey": key, "dirPath": "a"}))
                    .into()
            }
            "peer_file_response" => vec![json!({"type": kind, "requesterPubkey": self.bob.key(),
                                                "filePath": "a", "content": "YSBsaWU="})],
            "peer_dir_response" => vec![json!({"type": kind, "requesterPubkey": self.bob.key(),
                                               "dirPath": "a", "entries": ["a lie"]})],
            "create_stream" => vec![json!({"type": kind, "name": "builds"})],
            "publish" => vec![json!({"type": kind, "stream": "builds", "data": "a lie"})],
            "subscribe" | "unsubscribe" => vec![json!({"type": kind, "stream": "builds"})],
            "list_streams" => vec![json!({"type": kind})],
            // Nothing is looked at here: the guard refuses this machine's own addresses.
            "watch" => vec![json!({"type": kind, "url": "https://eve.example/", "group": "@dev"})],
            "unwatch" => vec![json!({"type": kind, "watchId": self.watch_id})],
            "watch_list" => vec![json!({"type": kind})],
            "watch_test" => vec![json!({"type": kind, "url": "http://127.0.0.1/"})],
            "audit_query" => vec![
                json!({"type": kind, "limit": 1000}),
                json!({"type": kind, "eventType": "message_sent"}),
            ],
            "audit_verify" => vec![json!({"type": kind})],
            _ => panic!("`{kind}` needs a case here"),
        }
    }

    /// Asserts that nothing of this mesh was told or changed, and that Eve learnt nothing of it.
    async fn is_untouched(&mut self, by: &str, before: &[Value], answer: &Value) {
        for peer in [&mut self.ann, &mut self.bob] {
            assert_eq!(peer.rest().await, Vec::<Value>::new(), "told by {by}");
            assert_eq!(peer.peers().await, before, "changed by {by}");
        }
        let webhooks = self.ann.call(json!({"type": "list_webhooks"})).await;
        assert_eq!(webhooks["webhooks"].as_array().map(Vec::len), Some(1), "changed by {by}");
        let ask = json!({"type": "message_status", "messageId": self.message_id});
        let status = self.ann.call(ask).await;
        assert_eq!(status["delivered"], json!(false), "settled by {by}");
        for (ask, answer) in [
            (json!({"type": "get_state", "key": "plan"}), "/value"),
            (json!({"type": "list_contexts"}), "/contexts/0/summary"),
            (json!({"type": "get_skill", "name": "deploy"}), "/skill/instructions"),
        ] {
            let kept = self.bob.call(ask).await;
            assert_eq!(kept.pointer(answer), Some(&json!("the truth")), "changed by {by}");
        }
        let ask = json!({"type": "get_scheduled", "scheduledId": self.scheduled_id});
        let schedule = self.ann.call(ask).await["schedule"].clone();
        assert_eq!(schedule["state"], json!("active"), "changed by {by}");
        assert!(schedule["nextFire"] == schedule["deliverAt"], "run by {by}: {schedule}");
        let clock = self.bob.call(json!({"type": "get_clock"})).await;
        let (speed, is_paused) = (&clock["speed"], &clock["paused"]);
        assert_eq!((speed, is_paused), (&json!(10), &json!(false)), "changed by {by}");
        let watches = self.ann.call(json!({"type": "watch_list"})).await;
        assert_eq!(watches["watches"][0]["id"], self.watch_id, "changed by {by}");
        let recall = json!({"type": "recall", "query": "truth"});
        let found = self.ann.call(recall).await["memories"].clone();
        assert_eq!(found.as_array().map(Vec::len), Some(1), "forgotten by {by}");
        let tasks = self.bob.call(json!({"type": "list_tasks"})).await["tasks"].clone();
        let states = tasks.as_array().unwrap().iter().map(|task| task["status"].clone());
        assert!(states.eq([json!("open"), json!("claimed")]), "changed by {by}: {tasks}");
        let streams = self.ann.call(json!({"type": "list_streams"})).await["streams"].clone();
        assert_eq!(streams[0]["subscriberCount"], 1, "changed by {by}: {streams}");
        assert_eq!(streams.as_array().map(Vec::len), Some(1), "changed by {by}");
        let answer = answer.to_string();
        for secret in ["bob", "the truth", self.bob.key().as_str(), self.bob.member.id.as_str()] {
            assert!(!answer.contains(secret), "{by} was told {answer}");
        }
    }
}

#[tokio::test]
async fn a_stranger_is_told_to_say_hello_whatever_it_says() {
    let mut place = Place::new().await;
    let before = place.ann.peers().await;
    let member = place.ann.member.clone();
    let mut stranger = Peer::open(&place.mesh.edges[0], &member, Keypair::generate()).await;

    for kind in Message::types() {
        for mut frame in place.frames(kind) {
            frame["_reqId"] = json!("r");
            stranger.send(&frame).await;
            let answer = stranger.next().await;
            let no_hello = json!({"type": "error", "code": "no_hello",
                                  "message": "must send hello first"});
            assert_eq!(answer, no_hello, "{frame}");
            place.is_untouched(kind, &before, &answer).await;
        }
    }
}

#[tokio::test]
async fn a_member_of_another_mesh_reaches_nothing_of_this_one() {
    let mut place = Place::new().await;
    let before = place.ann.peers().await;
    assert_eq!(before.len(), 2);

    for kind in Message::types() {
        for mut frame in place.frames(kind) {
            let id = frame["id"].as_str().unwrap_or("r").to_owned();
            frame["_reqId"] = json!(id);
            place.eve.send(&frame).await;
            if kind.ends_with("_response") {
                // An answer to another peer has no answer; what she asks next has.
                place.eve.peers().await;
                place.is_untouched(kind, &before, &Value::Null).await;
                continue;
            }
            let answer =
                place.eve.find(|f| f["_reqId"] == id.as_str() || f["id"] == id.as_str()).await;
            expect(&place, kind, &frame, &answer);
            place.is_untouched(&frame.to_string(), &before, &answer).await;
        }
    }

    // Each of those messages has its effect where Eve is.
    let dan = place.dan.peers().await;
    assert!(dan.iter().all(|peer| peer["displayName"] == "dan"), "eve is hidden there");
    let heard = place.dan.quiet(|f| f["nonce"] == "from eve").await;
    assert_eq!(heard.len(), 2, "`*` and `@all`, and nobody there is in `dev`");
}

/// What Eve must be answered.
fn expect(place: &Place, kind: &str, frame: &Value, answer: &Value) {
    match kind {
        "send" => {
            let target = frame["targetSpec"].as_str().unwrap();
            // The key that is also her own session's is that session here.
            let is_hers = target.starts_with(['*', '@']) || target == place.eve.key();
            let word = if is_hers { &answer["type"] } else { &answer["code"] };
            assert_eq!(word, if is_hers { "ack" } else { "unknown_target" }, "{frame}");
        }
        "message_status" => assert_eq!(answer["code"], "not_found"),
        "audit_query" => assert_eq!(answer["type"], "audit_result"),
        "audit_verify" => assert_eq!(answer["valid"], true),
        "remember" => assert_eq!(answer["type"], "memory_stored"),
        "recall" => assert_eq!(answer["memories"], json!([]), "{frame}"),
        "forget" => assert_eq!(answer["code"], "not_found"),
        "create_task" => {
            let is_hers = frame.get("dependsOn").is_none();
            let word = if is_hers { &answer["type"] } else { &answer["code"] };
            assert_eq!(word, if is_hers { "task_created" } else { "task_not_found" });
        }
        "claim_task" => assert_eq!(answer["code"], "task_not_claimable"),
        "list_tasks" => assert_eq!(answer["tasks"].as_array().map(Vec::len), Some(1), "{answer}"),
        "claim_next" => assert_eq!(answer["type"], "task_result"),
        "schedule" => {
            let is_hers = frame["to"] == "*";
            let word = if is_hers { &answer["type"] } else { &answer["code"] };
            assert_eq!(word, if is_hers { "scheduled_ack" } else { "unknown_target" }, "{frame}");
        }
        "list_scheduled" => assert_eq!(answer["messages"].as_array().map(Vec::len), Some(1)),
        "cancel_scheduled" => assert_eq!(answer["ok"], false, "{answer}"),
        "get_scheduled" | "pause_scheduled" | "resume_scheduled" | "run_scheduled" => {
            assert_eq!(answer["code"], "schedule_not_found", "{frame}");
        }
        "mesh_info" => assert_eq!(answer["peers"], 2, "{answer}"),
        // It is her own.
        "set_clock" | "pause_clock" | "resume_clock" | "get_clock" => {
            let is_paused = kind == "pause_clock";
            assert_eq!((&answer["speed"], &answer["paused"]), (&json!(50), &json!(is_paused)));
        }
        "complete_task" | "renew_task" | "get_task" => {
            assert_eq!(answer["code"], "task_not_found", "{frame}");
        }
        "watch" => assert_eq!(answer["type"], "watch_ack"),
        "unwatch" => assert_eq!(answer["code"], "watch_not_found"),
        "watch_list" => {
            assert_eq!(answer["watches"].as_array().map(Vec::len), Some(1), "{answer}");
            assert_eq!(answer["watches"][0]["createdBy"], "eve");
        }
        "watch_test" => assert_eq!(answer["code"], "url_refused"),
        "create_webhook" | "delete_webhook" => assert_eq!(answer["type"], "webhook_ack"),
        "list_webhooks" => {
            let hers = ["a lie", "hers"].map(|name| json!(name));
            let listed = answer["webhooks"].as_array().unwrap().iter().map(|w| w["name"].clone());
            assert!(listed.eq(hers), "{answer}");
        }
        // Each finds what she did herself, and nothing else.
        "get_state" => {
            assert_eq!((&answer["value"], &answer["version"]), (&json!("a lie"), &json!(2)))
        }
        "list_state" => assert_eq!(answer["entries"].as_array().map(Vec::len), Some(1)),
        "share_context" => assert_eq!(answer["type"], "context_shared"),
        "get_context" => {
            let n_hers = usize::from(frame["query"] == "");
            assert_eq!(answer["contexts"].as_array().map(Vec::len), Some(n_hers), "{answer}");
        }
        "list_contexts" => assert_eq!(answer["contexts"].as_array().map(Vec::len), Some(1)),
        "share_skill" => assert_eq!(answer["action"], "shared"),
        "get_skill" => assert_eq!(answer["skill"]["author"], "eve"),
        "list_skills" => assert_eq!(answer["skills"].as_array().map(Vec::len), Some(1)),
        "remove_skill" => assert_eq!(answer["action"], "removed"),
        "peer_file_request" | "peer_dir_request" => {
            // The key that is also her own session's asks herself.
            let is_hers = frame["targetPubkey"] == place.eve.key();
            let word = if is_hers { &answer["type"] } else { &answer["code"] };
            let asked = format!("{kind}_forward");
            assert_eq!(word, if is_hers { asked.as_str() } else { "peer_not_found" }, "{frame}");
        }
        "create_stream" => assert_eq!(answer["type"], "stream_created"),
        "subscribe" => assert_eq!(answer["type"], "subscribed"),
        "list_streams" => {
            assert_eq!(answer["streams"].as_array().map(Vec::len), Some(1), "{answer}");
            assert_eq!(answer["streams"][0]["createdBy"], "eve");
        }
        "list_peers" => assert_eq!(answer["peers"].as_array().unwrap().len(), 2, "{answer}"),
        _ => assert_eq!(answer["type"], "ack", "{frame}"),
    }
}

/// Lines of the log.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_canary_in_a_sealed_message_is_in_no_table_and_no_log() {
    const CANARY: &str = "canary-7f3a-in-the-mine";
    let lines = Lines::default();
    let writer = lines.clone();
    let log = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(log);
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.peer("ann", 0).await, mesh.peer("bob", 1).await);
    bob.acks = false;
    let sealed = Pairs::new(&ann.session.secret).seal(&bob.session.public, CANARY).unwrap();
    let clear = STANDARD.encode(CANARY);

    ann.send(&json!({"type": "send", "id": "1".repeat(32), "targetSpec": bob.key(),
                     "priority": "next", "nonce": sealed.nonce, "ciphertext": sealed.ciphertext}))
        .await;
    ann.message("*", "next", &clear).await;
    ann.message("nobody", "next", CANARY).await;
    ann.text(format!(r#"{{"type":"{CANARY}","x":"{CANARY}"}}"#)).await;
    ann.call(json!({"type": "set_status", "status": CANARY})).await;

    let plain = webhooks::create(&mut ann, json!({"name": "plain"})).await;
    let signed = webhooks::create(&mut ann, json!({"name": "signed", "signed": true})).await;
    for ack in [&plain, &signed] {
        webhooks::post(&mesh, 0, &webhooks::path(ack), "{}").await;
        webhooks::post(&mesh, 0, &format!("{}/x", webhooks::path(ack)), "{}").await;
    }
    let key = Key::make(&mesh, "robot", &ALL).await;
    key.ask(&mesh, 0, "GET", "/messages", "").await;
    key.ask(&mesh, 0, "GET", "/nowhere", "").await;

    let push = bob.find(|f| f["nonce"] == json!(sealed.nonce)).await;
    let (nonce, body) = (push["nonce"].as_str().unwrap(), push["ciphertext"].as_str().unwrap());
    let opened = Pairs::new(&bob.session.secret).open(&ann.session.public, nonce, body).unwrap();
    assert_eq!(opened, CANARY);
    let dump = dump(&mesh).await;
    assert!(dump.contains(&sealed.ciphertext), "the dump has what is sealed");
    for secret in [CANARY.to_owned(), hex::encode(CANARY)] {
        assert!(!dump.contains(&secret), "a table has the canary");
    }
    let secrets = [&plain["secret"], &signed["secret"]].map(|it| it.as_str().unwrap());
    for secret in secrets.into_iter().chain([key.secret.as_str()]) {
        assert!(!dump.contains(secret) && !dump.contains(&hex::encode(secret)), "a table has it");
    }
    let log = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    for secret in secrets.into_iter().chain([key.secret.as_str()]) {
        assert!(!log.contains(secret), "the log has the secret of a webhook, or of a key");
    }
    assert!(log.contains("attached"), "the log is heard: {log}");
    for secret in
        [CANARY, &clear, &sealed.ciphertext, &sealed.nonce, &ann.session.secret.hex(), "5a5a5a"]
    {
        assert!(!log.contains(secret), "the log has {secret}");
    }
}

/// Every row of every table, as text.
async fn dump(mesh: &TestMesh) -> String {
    let db = mesh.edges[0].edge.pool.get().await.unwrap();
    let tables = "select format('%I.%I', schemaname, tablename) as name from pg_tables
                   where schemaname not in ('pg_catalog', 'information_schema')";
    let mut text = String::new();
    for table in db.query(tables, &[]).await.unwrap() {
        let name: String = table.get("name");
        for row in db.query(&format!("select t::text as line from {name} t"), &[]).await.unwrap() {
            text += row.get::<_, &str>("line");
            text.push('\n');
        }
    }
    text
}
