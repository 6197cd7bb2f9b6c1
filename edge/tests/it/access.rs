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

use crate::harness::{OURS, Peer, TestMesh};

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
        let message_id = ann.message(&bob.key(), "now", "for bob").await["messageId"].clone();
        bob.push().await;
        ann.event("peer_joined").await;
        Self { mesh, ann, bob, eve, dan, message_id }
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
            "set_stats" => vec![json!({"type": kind, "stats": {"messagesIn": 1}})],
            _ => panic!("`{kind}` needs a case here"),
        }
    }

    /// Asserts that nothing of this mesh was told or changed, and that Eve learnt nothing of it.
    async fn is_untouched(&mut self, by: &str, before: &[Value], answer: &Value) {
        for peer in [&mut self.ann, &mut self.bob] {
            assert_eq!(peer.rest().await, Vec::<Value>::new(), "told by {by}");
            assert_eq!(peer.peers().await, before, "changed by {by}");
        }
        let ask = json!({"type": "message_status", "messageId": self.message_id});
        let status = self.ann.call(ask).await;
        assert_eq!(status["delivered"], json!(false), "settled by {by}");
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

    let push = bob.find(|f| f["nonce"] == json!(sealed.nonce)).await;
    let (nonce, body) = (push["nonce"].as_str().unwrap(), push["ciphertext"].as_str().unwrap());
    let opened = Pairs::new(&bob.session.secret).open(&ann.session.public, nonce, body).unwrap();
    assert_eq!(opened, CANARY);
    let dump = dump(&mesh).await;
    assert!(dump.contains(&sealed.ciphertext), "the dump has what is sealed");
    for secret in [CANARY.to_owned(), hex::encode(CANARY)] {
        assert!(!dump.contains(&secret), "a table has the canary");
    }
    let log = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
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
