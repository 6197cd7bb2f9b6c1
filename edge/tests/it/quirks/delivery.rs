//! Q13 to Q20: targets, keys, multicasts, groups, and what becomes of a message.

use serde_json::{Value, json};
use skein_crypto::Keypair;

use crate::{
    harness::{Member, OLD, OURS, Peer, TestMesh},
    old::{
        client,
        crypto::Keys,
        join::{hook, post},
        member,
        peer::{Client, Config},
        url,
    },
};

#[tokio::test]
async fn q13_what_nobody_can_collect_is_refused_and_what_somebody_can_is_kept() {
    let mesh = TestMesh::start(2).await;
    let (ann, bob) = (client(&mesh, "ann", 0).await, client(&mesh, "bob", 1).await);
    let absent = member(&mesh, "cid", 1).await;
    let absent = Keys::parse(&absent.secret_key).public;
    let (stranger, upper) = (Keys::generate().public, bob.key().to_uppercase());

    for target in ["#general", "tag:x", "bob", "", "@", "@a//b", &upper, &stranger] {
        let why = ann.send(target, "x", "next").await.unwrap_err();
        assert!(why.starts_with("unknown_target: "), "{target}: {why}");
    }
    mesh.until("select count(*) from message", "0").await;
    for target in [bob.key(), &bob.member().public, &absent, "*", "@all", "@nobody/is/in"] {
        assert!(!ann.send(target, "x", "next").await.unwrap().is_empty(), "{target}");
    }
    assert_eq!(ann.strays().await, Vec::<Value>::new());
}

#[tokio::test]
async fn q14_messages_are_routed_by_both_keys() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.old_peer("ann", 0).await, mesh.peer("bob", 1).await);
    let member_key = bob.member.keys.public.hex();

    ann.message(&bob.key(), "next", "to the session").await;
    ann.message(&member_key, "next", "to the member").await;

    assert_eq!(bob.push().await["ciphertext"], "to the session");
    assert_eq!(bob.push().await["ciphertext"], "to the member");
}

#[tokio::test]
async fn q14_member_mail_waits_for_a_client_that_can_open_it() {
    let mesh = TestMesh::start(2).await;
    let (ann, config) = (client(&mesh, "ann", 0).await, member(&mesh, "bob", 1).await);
    let bob = Client::open(&config).await;
    let member_key = bob.member().public.clone();

    // Sealed to the member key, which no client of 0.8.9 can open: it would show a failure, answer
    // the ping, and the message would be gone. A short command would take it just so.
    let id = ann.send(&member_key, "for bob himself", "next").await.unwrap();
    let command = Client::open(&config).await;
    let taken = command.quiet(|push| push.event.is_none()).await;
    assert!(taken.is_empty(), "{taken:?}");
    command.close().await;
    bob.lose().await;
    bob.hurry().await;
    let taken = bob.quiet(|push| push.event.is_none()).await;
    assert!(taken.is_empty(), "{taken:?}");
    let status = ann.status_of(&id).await.unwrap();
    let recipient = json!({"name": "bob", "pubkey": member_key, "status": "disconnected"});
    assert_eq!((&status["delivered"], &status["recipients"]), (&json!(false), &json!([recipient])));

    // The same member's first client of ours.
    let keys = Keypair::from(skein_crypto::Secret::parse(&config.secret_key).unwrap());
    let (mesh_id, id_of) = (config.mesh_id.clone(), config.member_id.clone());
    let ours = Member { mesh_id, id: id_of, keys, name: "bob".to_owned() };
    let mut ours = Peer::connect(&mesh.edges[0], &ours, Keypair::generate(), OURS).await;
    let push = ours.push().await;
    assert_eq!(push["messageId"], id.as_str());
    let text = |name: &str| push[name].as_str().unwrap().to_owned();
    let opened = bob.member().open(&text("senderPubkey"), &text("nonce"), &text("ciphertext"));
    assert_eq!(opened.as_deref(), Some("for bob himself"));
    mesh.until("select count(*) from delivery", "0").await;
    assert_eq!(ann.status_of(&id).await.unwrap()["delivered"], true);
}

#[tokio::test]
async fn q15_what_was_sent_to_an_old_session_key_waits_for_that_key_and_member_mail_survives() {
    let mesh = TestMesh::start(1).await;
    let (mut ann, bob) = (mesh.old_peer("ann", 0).await, mesh.old_peer("bob", 0).await);
    let (member, session) = (bob.member.clone(), bob.session.clone());
    bob.close().await;
    ann.message(&session.public.hex(), "next", "to the old session").await;
    ann.message(&member.keys.public.hex(), "next", "to the member").await;

    let mut new = Peer::connect(&mesh.edges[0], &member, Keypair::generate(), OURS).await;

    assert_eq!(new.push().await["ciphertext"], "to the member");
    assert_eq!(new.quiet(|f| f["nonce"] == "n").await, Vec::<Value>::new());
    let mut old = Peer::connect(&mesh.edges[0], &member, session, OLD).await;
    assert_eq!(old.welcome["type"], "hello_ack");
    assert_eq!(old.push().await["ciphertext"], "to the old session");
}

#[tokio::test]
async fn q15_a_restarted_process_has_another_key_and_none_of_the_old_ones_mail() {
    let mesh = TestMesh::start(2).await;
    let (ann, config) = (client(&mesh, "ann", 0).await, member(&mesh, "bob", 1).await);
    let bob = Client::open(&config).await;
    let old_key = bob.key().to_owned();
    bob.close().await;
    ann.send(&old_key, "to who you were", "next").await.unwrap();

    let elsewhere = Config { broker_url: url(&mesh, 0), ..config };
    let bob = Client::open(&elsewhere).await;
    ann.send(bob.key(), "to who you are", "next").await.unwrap();

    assert_eq!(bob.text().await, "to who you are");
    assert!(bob.quiet(|push| push.event.is_none()).await.is_empty());
}

#[tokio::test]
async fn q16_multicasts_ignore_status_and_priority() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.old_peer("ann", 0).await, mesh.old_peer("bob", 1).await);
    bob.send(&json!({"type": "join_group", "name": "dev"})).await;

    for status in ["working", "dnd", "idle"] {
        bob.send(&json!({"type": "set_status", "status": status})).await;
        bob.rest().await;
        for (target, priority) in [("*", "low"), ("@all", "next"), ("@dev", "low")] {
            let body = format!("{status} {target}");
            ann.message(target, priority, &body).await;
            let push = bob.push().await;
            assert_eq!((&push["ciphertext"], &push["priority"]), (&json!(body), &json!(priority)));
        }
    }
}

#[tokio::test]
async fn q16_an_old_client_never_gets_a_multicast_of_its_absence() {
    let mesh = TestMesh::start(1).await;
    let (mut ann, bob) = (mesh.old_peer("ann", 0).await, mesh.old_peer("bob", 0).await);
    let (member, session) = (bob.member.clone(), bob.session.clone());
    bob.close().await;
    mesh.until("select count(*) from presence", "1").await;
    ann.message("*", "now", "missed").await;

    let mut bob = Peer::connect(&mesh.edges[0], &member, session, OLD).await;
    ann.message("*", "now", "heard").await;

    assert_eq!(bob.push().await["ciphertext"], "heard");
}

#[tokio::test]
async fn q17_a_group_hears_what_its_parents_are_told_and_nothing_else() {
    let mesh = TestMesh::start(2).await;
    let (ann, bob) = (client(&mesh, "ann", 0).await, client(&mesh, "bob", 1).await);
    bob.join_group("g1/sub");
    bob.peers().await;

    for target in ["@g1", "@g1/sub", "@g1/sub/deeper", "@g1/other", "@g", "@g1/su", "@sub", "*"] {
        ann.send(target, target, "next").await.unwrap();
    }

    for heard in ["@g1", "@g1/sub", "*"] {
        assert_eq!(bob.text().await, heard);
    }
}

#[tokio::test]
async fn q18_what_a_dying_connection_was_sent_comes_again() {
    let mesh = TestMesh::start(2).await;
    let (ann, bob) = (client(&mesh, "ann", 0).await, client(&mesh, "bob", 1).await);
    bob.stop();
    let mut ids = Vec::new();
    for text in ["one", "two", "three"] {
        ids.push(ann.send(bob.key(), text, "next").await.unwrap());
    }
    // Written to a socket that nobody reads: that is not delivered.
    for id in &ids {
        let status = ann.status_of(id).await.unwrap();
        assert_eq!(status["delivered"], false, "{status}");
    }

    bob.lose().await;
    bob.lead_to(&url(&mesh, 0));
    bob.hurry().await;

    for text in ["one", "two", "three"] {
        assert_eq!(bob.text().await, text);
    }
    mesh.until("select count(*) from delivery", "0").await;
    assert_eq!(ann.status_of(&ids[2]).await.unwrap()["delivered"], true);
}

#[tokio::test]
async fn q18_a_repeat_has_the_id_of_the_first() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.old_peer("ann", 0).await, mesh.old_peer("bob", 1).await);
    let (member, session) = (bob.member.clone(), bob.session.clone());
    ann.message(&bob.key(), "next", "once").await;
    // It has read the message, and dies before it answers the ping behind it.
    let first = bob.push().await;
    bob.vanish();
    mesh.until("select count(*) from presence", "1").await;

    let mut bob = Peer::connect(&mesh.edges[0], &member, session, OLD).await;

    let again = bob.push().await;
    assert_eq!(again, first, "so that a client which remembers ids shows it once");
}

#[tokio::test]
async fn q19_a_hook_finds_its_session_by_id_and_else_by_folder() {
    let mesh = TestMesh::start_with(2, &[("SKEIN_LEGACY", "hooks")]).await;
    let (broker, other) = (url(&mesh, 0), mesh.other_mesh().await);
    let launched = Config {
        session_id: Some("6f1c2d9e-0000-4000-8000-000000000001".to_owned()),
        ..member(&mesh, "bob", 1).await
    };
    let bob = Client::open(&launched).await;
    // Somebody else, in another mesh, in a folder of the same name, and later.
    let eve = mesh.member_of(&other.0, other.1, "eve").await;
    let mut eve = Peer::connect(&mesh.edges[0], &eve, Keypair::generate(), OLD).await;
    mesh.run("update session set cwd = '/work/project' where display_name = 'eve'").await;

    let id = launched.session_id.as_deref().unwrap();
    let (status, said) = post(&broker, "/hook/set-status", &hook(id, "working")).await;
    let presence = bob.opened().await["presenceId"].clone();
    assert_eq!((status, said), (200, json!({"ok": true, "presence_id": presence})));
    assert_eq!(bob.me().await["status"], "working");
    assert_eq!(eve.me().await["status"], "idle");

    // Without an id, as from sessions that were not launched: the latest of the folder, as ever.
    let (_, said) = post(&broker, "/hook/set-status", &hook("", "dnd")).await;
    assert_eq!(said["presence_id"], eve.welcome["presenceId"]);
    assert_eq!(eve.me().await["status"], "dnd");
    // A hook takes nobody out of `dnd`, and is told so by nothing.
    let (_, said) = post(&broker, "/hook/set-status", &hook("", "idle")).await;
    assert_eq!((&said["ok"], eve.me().await["status"].as_str()), (&json!(true), Some("dnd")));
}

#[tokio::test]
async fn q19_a_hook_that_comes_first_waits_for_its_session() {
    let mesh = TestMesh::start_with(2, &[("SKEIN_LEGACY", "hooks")]).await;
    let config = member(&mesh, "bob", 1).await;
    // Only the pid of the session itself will do; the hook of 0.8.9 sends another (kept).
    for (pid, status) in [(std::process::id(), "working"), (1, "idle")] {
        mesh.run("delete from hook_pending").await;
        let hook = json!({"cwd": "/work/project", "pid": pid, "status": "working"});
        let (_, said) = post(&url(&mesh, 0), "/hook/set-status", &hook).await;
        assert_eq!(said, json!({"ok": true, "pending": true}));

        let bob = Client::open(&config).await;

        assert_eq!(bob.me().await["status"], status, "{pid}");
        bob.close().await;
        mesh.until("select count(*) from presence", "0").await;
    }
}

#[tokio::test]
async fn q20_no_push_rewrites_a_status_and_idle_releases_what_was_held() {
    let mesh = TestMesh::start(2).await;
    let (ann, bob) = (client(&mesh, "ann", 0).await, client(&mesh, "bob", 1).await);
    bob.set_status("working");
    bob.peers().await;

    for (priority, text) in [("low", "first"), ("now", "urgent"), ("next", "second")] {
        ann.send(bob.key(), text, priority).await.unwrap();
    }
    assert_eq!(bob.text().await, "urgent", "the contract's gate stays");
    assert!(bob.quiet(|push| push.event.is_none()).await.is_empty());
    assert_eq!(bob.me().await["status"], "working", "its own word stays");
    bob.set_status("idle");
    assert_eq!((bob.text().await, bob.text().await), ("first".into(), "second".into()));

    // A status that lapses, which nobody announces, releases as well.
    bob.set_status("working");
    bob.peers().await;
    ann.send(bob.key(), "third", "next").await.unwrap();
    mesh.run("update session set status = 'idle' where display_name = 'bob'").await;
    assert_eq!(bob.text().await, "third");
}

#[tokio::test]
async fn low_is_pushed_as_next_is() {
    let mesh = TestMesh::start(1).await;
    let (mut ann, mut bob) = (mesh.old_peer("ann", 0).await, mesh.old_peer("bob", 0).await);
    ann.message(&bob.key(), "low", "at once").await;
    assert_eq!(bob.push().await["ciphertext"], "at once");

    bob.send(&json!({"type": "set_status", "status": "working"})).await;
    bob.rest().await;
    for priority in ["low", "next"] {
        ann.message(&bob.key(), priority, priority).await;
    }
    assert_eq!(bob.quiet(|f| f["nonce"] == "n").await, Vec::<Value>::new());
    bob.send(&json!({"type": "set_status", "status": "idle"})).await;

    for priority in ["low", "next"] {
        assert_eq!(bob.push().await["priority"], priority, "in the order they were sent");
    }
}

#[tokio::test]
async fn all_is_everybody_but_the_sender_its_other_sessions_included() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.old_peer("ann", 0).await, mesh.old_peer("bob", 1).await);
    let member = ann.member.clone();
    let mut sibling = Peer::connect(&mesh.edges[1], &member, Keypair::generate(), OLD).await;

    for target in ["*", "@all"] {
        ann.message(target, "next", target).await;
        for peer in [&mut bob, &mut sibling] {
            assert_eq!(peer.push().await["ciphertext"], target);
        }
    }

    assert_eq!(ann.quiet(|f| f["nonce"] == "n").await, Vec::<Value>::new());
}

#[tokio::test]
async fn message_status_keeps_the_contracts_words() {
    let mesh = TestMesh::start(1).await;
    let (mut ann, mut bob) = (mesh.old_peer("ann", 0).await, mesh.old_peer("bob", 0).await);
    bob.send(&json!({"type": "set_status", "status": "dnd"})).await;
    bob.rest().await;
    let (key, member, session) = (bob.key(), bob.member.clone(), bob.session.clone());
    let id = ann.message(&key, "next", "x").await["messageId"].clone();
    let ask = json!({"type": "message_status", "messageId": id, "_reqId": "r"});
    let status = |word: &str, at: &Value| {
        json!({"type": "message_status_result", "messageId": id, "targetSpec": key,
               "delivered": word == "delivered", "deliveredAt": at, "_reqId": "r",
               "recipients": [{"name": "bob", "pubkey": key, "status": word}]})
    };

    ann.send(&ask).await;
    assert_eq!(ann.find(|f| f["_reqId"] == "r").await, status("held", &json!(null)));
    bob.close().await;
    mesh.until("select count(*) from presence", "1").await;
    ann.send(&ask).await;
    assert_eq!(ann.find(|f| f["_reqId"] == "r").await, status("disconnected", &json!(null)));
    let mut bob = Peer::connect(&mesh.edges[0], &member, session, OLD).await;
    bob.push().await;
    // Reading on answers the ping that settles it.
    bob.quiet(|_| false).await;
    mesh.until("select count(*) from delivery", "0").await;
    ann.send(&ask).await;
    let answer = ann.find(|f| f["_reqId"] == "r").await;
    assert_eq!(answer, status("delivered", &answer["deliveredAt"]));
    assert!(answer["deliveredAt"].as_str().is_some_and(|at| at.len() == 24), "{answer}");
}
