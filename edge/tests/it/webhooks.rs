//! Webhooks: made, listed and ended over the socket; posts to them from outside, plain and signed.

mod hidden;
mod signed;

use std::collections::BTreeSet;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use skein_wire::limit;

use crate::{
    harness::{OLD, OURS, Peer, TestMesh},
    web::{Answer, As, ask},
};

/// Makes a webhook; returns its `webhook_ack`.
pub async fn create(peer: &mut Peer, mut call: Value) -> Value {
    call["type"] = json!("create_webhook");
    let ack = peer.call(call).await;
    assert_eq!(ack["type"], "webhook_ack", "{ack}");
    ack
}

async fn list(peer: &mut Peer) -> Vec<Value> {
    let list = peer.call(json!({"type": "list_webhooks"})).await;
    assert_eq!(list["type"], "webhook_list", "{list}");
    list["webhooks"].as_array().unwrap().clone()
}

/// The path of a webhook's URL.
pub fn path(ack: &Value) -> String {
    let url = ack["url"].as_str().unwrap();
    let path = url.split_once("/hook/").unwrap_or_else(|| panic!("no path: {url}")).1;
    format!("/hook/{path}")
}

/// Posts to a webhook at this edge.
pub async fn post(mesh: &TestMesh, edge: usize, path: &str, body: &str) -> Answer {
    ask(mesh.edges[edge].port, As::Nobody, "POST", path, body).await
}

fn refused(answer: &Answer) -> (u16, String) {
    let body = answer.json();
    assert_eq!(body["ok"], json!(false), "{answer:?}");
    assert_eq!(body.as_object().unwrap().len(), 2, "{body}");
    (answer.status, body["error"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_webhook_is_made_listed_and_ended() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.old_peer("ann", 0).await, mesh.peer("bob", 1).await);

    let ack = create(&mut ann, json!({"name": "ci"})).await;
    let secret = ack["secret"].as_str().unwrap();
    let url = format!("http://127.0.0.1:{}/hook/{}/{secret}", mesh.edges[0].port, mesh.id);
    assert_eq!((secret.len(), ack["url"].as_str().unwrap()), (64, url.as_str()));
    assert!(secret.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase()));
    let listed = list(&mut bob).await;
    assert_eq!(listed.len(), 1);
    let fields: BTreeSet<&str> =
        listed[0].as_object().unwrap().keys().map(|k| k.as_str()).collect();
    assert_eq!(fields, BTreeSet::from(["name", "url", "active", "createdAt"]));
    assert_eq!((&listed[0]["name"], &listed[0]["active"]), (&json!("ci"), &json!(true)));
    assert_eq!(path(&listed[0]), path(&ack), "the URL that was told, at this edge's address");

    let gone = bob.call(json!({"type": "delete_webhook", "name": "ci"})).await;
    assert_eq!(
        (&gone["name"], &gone["url"], &gone["secret"]),
        (&json!("ci"), &json!(""), &json!(""))
    );
    assert_eq!(list(&mut ann).await, Vec::<Value>::new());
    assert_eq!(refused(&post(&mesh, 0, &path(&ack), "{}").await).0, 401);
    let again = ann.call(json!({"type": "delete_webhook", "name": "never"})).await;
    assert_eq!(again["type"], "webhook_ack", "acknowledged even if unknown");
}

#[tokio::test]
async fn what_cannot_be_a_webhook_is_refused_by_its_code() {
    let mesh = TestMesh::start(1).await;
    let mut ann = mesh.peer("ann", 0).await;
    let longest = "n".repeat(limit::WEBHOOK_NAME_BYTES_MAX);
    let stranger = "ab".repeat(32);

    for (call, code) in [
        (json!({}), "invalid_webhook"),
        (json!({"name": ""}), "invalid_webhook"),
        (json!({"name": format!("{longest}x")}), "invalid_webhook"),
        (json!({"name": "a\nb"}), "invalid_webhook"),
        (json!({"name": "ci", "target": stranger}), "unknown_target"),
        (json!({"name": "ci", "target": "bob"}), "unknown_target"),
        (json!({"name": "ci", "target": "@"}), "unknown_target"),
        (json!({"name": 7}), "invalid_message"),
    ] {
        let mut frame = call.clone();
        frame["type"] = json!("create_webhook");
        let error = ann.call(frame).await;
        assert_eq!((&error["type"], &error["code"]), (&json!("error"), &json!(code)), "{call}");
    }

    assert_eq!(list(&mut ann).await, Vec::<Value>::new());
    create(&mut ann, json!({"name": longest})).await;
    create(&mut ann, json!({"name": "Köln's 'hook'; drop table webhook"})).await;
    assert_eq!(list(&mut ann).await.len(), 2);
}

#[tokio::test]
async fn a_mesh_has_so_many_webhooks_and_no_more() {
    let mesh = TestMesh::start(1).await;
    let mut ann = mesh.peer("ann", 0).await;
    let member = "select mailbox from member where display_name = 'ann'";
    mesh.run(&format!(
        "insert into webhook (id, mesh, name, token_hash, sealed, signed, created_by)
         select 'i' || n, {}, 'n' || n, sha256(n::text::bytea), 'x', false, ({member})
           from generate_series(2, {}) n",
        mesh.no,
        limit::WEBHOOKS_MAX
    ))
    .await;

    create(&mut ann, json!({"name": "the last"})).await;
    let error = ann.call(json!({"type": "create_webhook", "name": "one more"})).await;

    assert_eq!(error["code"], "limit", "{error}");
    assert!(error["message"].as_str().unwrap().contains("at most 100"), "{error}");
}

#[tokio::test]
async fn a_post_reaches_everybody_on_every_edge_whatever_they_do_and_show() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.old_peer("ann", 0).await, mesh.old_peer("bob", 1).await);
    let (mut eve, mut dan) = (mesh.peer("eve", 1).await, mesh.peer("dan", 0).await);
    for peer in [&mut bob, &mut dan] {
        peer.call(json!({"type": "set_visible", "visible": false})).await;
        peer.send(&json!({"type": "set_status", "status": "dnd"})).await;
        peer.rest().await;
    }
    let ack = create(&mut ann, json!({"name": "ci"})).await;
    let body = r#" {"build": 12, "big": 12345678901234567, "z": null, "a": [1.5, "Köln 🦊"]}"#;

    let answer = post(&mesh, 1, &path(&ack), body).await;

    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    assert_eq!(answer.json(), json!({"ok": true, "delivered": 4}));
    let data: Value = serde_json::from_str(body).unwrap();
    for peer in [&mut ann, &mut bob, &mut eve, &mut dan] {
        let name = peer.member.name.clone();
        let push = peer.push().await;
        assert_eq!(push["subtype"], "webhook", "{name}: {push}");
        assert_eq!((&push["event"], &push["eventData"]), (&json!("ci"), &data), "{name}");
        assert_eq!(push["senderPubkey"], "webhook:ci", "{name}");
        assert_eq!((&push["priority"], &push["nonce"]), (&json!("next"), &json!("")), "{name}");
        assert_eq!(push["ciphertext"], json!(STANDARD.encode(body)), "{name}");
        assert_eq!(peer.rest().await, Vec::<Value>::new(), "{name}: once");
    }
}

#[tokio::test]
async fn a_post_of_the_largest_body_arrives_and_a_larger_one_is_refused() {
    let mesh = TestMesh::start(2).await;
    let mut ann = mesh.old_peer("ann", 0).await;
    let ack = create(&mut ann, json!({"name": "ci"})).await;
    let body = |n_bytes: usize| format!("[\"{}\"]", "x".repeat(n_bytes - 4));

    let taken = post(&mesh, 1, &path(&ack), &body(65_536)).await;
    let refusal = refused(&post(&mesh, 1, &path(&ack), &body(65_537)).await);

    assert_eq!(taken.status, 200, "{taken:?}");
    assert_eq!(refusal, (413, "payload too large".to_owned()));
    let push = ann.push().await;
    assert_eq!(push["eventData"][0].as_str().unwrap().len(), 65_532);
}

#[tokio::test]
async fn what_is_no_post_is_refused_in_the_contracts_words() {
    let mesh = TestMesh::start(1).await;
    let mut ann = mesh.old_peer("ann", 0).await;
    let ack = create(&mut ann, json!({"name": "ci"})).await;
    let good = path(&ack);
    let secret = good.rsplit('/').next().unwrap();
    let nobody = format!("/hook/{}/{}", mesh.id, "0".repeat(64));
    let deep = "[".repeat(limit::STATE_DEPTH_MAX + 1) + &"]".repeat(limit::STATE_DEPTH_MAX + 1);

    for (target, body, status, error) in [
        (&good, "{", 400, "invalid JSON"),
        (&good, deep.as_str(), 400, "JSON nested too deep"),
        (&good, "", 400, "invalid JSON"),
        (&good, "{} {}", 400, "invalid JSON"),
        (&good, "null", 400, "invalid JSON body"),
        (&good, "7", 400, "invalid JSON body"),
        (&good, "\"x\"", 400, "invalid JSON body"),
        (&good, "true", 400, "invalid JSON body"),
        // The body is read before the secret is looked at.
        (&nobody, "7", 400, "invalid JSON body"),
        (&nobody, "{}", 401, "unauthorized"),
        (&format!("{good}?x=1"), "{}", 401, "unauthorized"),
        (&format!("/hook/other/{secret}"), "{}", 401, "unauthorized"),
        (&format!("/hook/{}/%00", mesh.id), "{}", 401, "unauthorized"),
        (&format!("/hook/{}/%ff%fe", mesh.id), "{}", 401, "unauthorized"),
        (&format!("/hook/{}/{}", mesh.id, secret.to_uppercase()), "{}", 401, "unauthorized"),
        (
            &good.replace(
                secret,
                &secret.replacen(&secret[..1], &format!("%{:x}", secret.as_bytes()[0]), 1),
            ),
            "{}",
            401,
            "unauthorized",
        ),
    ] {
        let answer = post(&mesh, 0, target, body).await;
        assert_eq!(refused(&answer), (status, error.to_owned()), "{target} {body}");
        let origin = answer.header("access-control-allow-origin");
        assert_eq!((origin, answer.header("content-type")), (Some("*"), Some("application/json")));
    }
    for (method, target) in [
        ("GET", good.clone()),
        ("POST", format!("{good}/")),
        ("POST", format!("{good}/x")),
        ("POST", format!("/hook//{secret}")),
        ("POST", format!("/hook/{}/", mesh.id)),
    ] {
        let answer = ask(mesh.edges[0].port, As::Nobody, method, &target, "{}").await;
        assert_eq!((answer.status, answer.body.as_str()), (404, "not found"), "{method} {target}");
    }
    assert_eq!(ann.rest().await, Vec::<Value>::new());
}

#[tokio::test]
async fn a_webhook_of_another_mesh_is_neither_shown_nor_ended_nor_reaches_this_one() {
    let mesh = TestMesh::start(1).await;
    let mut ann = mesh.peer("ann", 0).await;
    let (other, no) = mesh.other_mesh().await;
    let eve = mesh.member_of(&other, no, "eve").await;
    let mut eve = Peer::connect(&mesh.edges[0], &eve, ann.session.clone(), OURS).await;
    let ours = create(&mut ann, json!({"name": "ci"})).await;

    assert_eq!(list(&mut eve).await, Vec::<Value>::new());
    eve.call(json!({"type": "delete_webhook", "name": "ci"})).await;
    let theirs = create(&mut eve, json!({"name": "ci"})).await;
    let to_bob = eve
        .call(
            json!({"type": "create_webhook", "name": "x", "target": ann.member.keys.public.hex()}),
        )
        .await;
    let moved = path(&ours).replace(&mesh.id, &other);

    assert_eq!(to_bob["code"], "unknown_target");
    assert_eq!(refused(&post(&mesh, 0, &moved, "{}").await).0, 401);
    assert_eq!(post(&mesh, 0, &path(&ours), "{}").await.json()["delivered"], 1);
    assert_eq!(ann.push().await["event"], "ci");
    assert_eq!(post(&mesh, 0, &path(&theirs), "[]").await.json()["delivered"], 1);
    assert_eq!(eve.push().await["eventData"], json!([]));
    assert_eq!(ann.rest().await, Vec::<Value>::new());
    assert_eq!(list(&mut ann).await.len(), 1);
}

#[tokio::test]
async fn a_webhook_with_a_target_is_mail_that_waits_for_it() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, bob) = (mesh.peer("ann", 0).await, mesh.peer("bob", 1).await);
    let mut eve = mesh.peer("eve", 1).await;
    let ack = create(&mut ann, json!({"name": "alarm", "target": bob.key()})).await;
    let (member, session) = (bob.member.clone(), bob.session.clone());
    bob.close().await;

    let answer = post(&mesh, 0, &path(&ack), r#"{"n": 1}"#).await.json();
    assert_eq!((&answer["ok"], &answer["delivered"]), (&json!(true), &json!(0)));
    let mut bob = Peer::connect(&mesh.edges[1], &member, session, OURS).await;

    let push = bob.push().await;
    assert_eq!((&push["subtype"], &push["event"]), (&json!("webhook"), &json!("alarm")));
    assert_eq!((&push["eventData"], &push["messageId"]), (&json!({"n": 1}), &answer["messageId"]));
    assert_eq!(post(&mesh, 0, &path(&ack), "[2]").await.json()["delivered"], 1);
    assert_eq!(bob.push().await["eventData"], json!([2]));
    assert_eq!((eve.rest().await, ann.rest().await), (vec![], vec![]), "for nobody else");
    let listed = list(&mut ann).await;
    assert_eq!((&listed[0]["target"], listed[0].get("signed")), (&json!(bob.key()), None));
    let mut old = mesh.old_peer("old", 0).await;
    assert_eq!(list(&mut old).await[0].get("target"), None, "extensions go to ours");
}

#[tokio::test]
async fn a_webhook_with_a_target_respects_its_status() {
    let mesh = TestMesh::start(1).await;
    let (mut ann, mut bob) = (mesh.peer("ann", 0).await, mesh.peer("bob", 0).await);
    let ack =
        create(&mut ann, json!({"name": "alarm", "target": bob.member.keys.public.hex()})).await;
    bob.call(json!({"type": "set_status", "status": "working"})).await;

    post(&mesh, 0, &path(&ack), "[1]").await;
    assert_eq!(bob.rest().await, Vec::<Value>::new(), "held");
    bob.call(json!({"type": "set_status", "status": "idle"})).await;

    assert_eq!(bob.push().await["eventData"], json!([1]));
}

#[tokio::test]
async fn a_webhook_for_a_group_reaches_its_members_also_those_that_come_back() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.peer("ann", 0).await, mesh.peer("bob", 1).await);
    bob.call(json!({"type": "join_group", "name": "ops/night"})).await;
    let ack = create(&mut ann, json!({"name": "alarm", "target": "@ops"})).await;

    assert_eq!(post(&mesh, 0, &path(&ack), "[1]").await.json()["delivered"], 1);
    assert_eq!(bob.push().await["eventData"], json!([1]));
    let (member, session) = (bob.member.clone(), bob.session.clone());
    bob.close().await;
    assert_eq!(post(&mesh, 0, &path(&ack), "[2]").await.json()["delivered"], 0);
    let mut bob = Peer::connect(&mesh.edges[0], &member, session, OURS).await;

    // What was settled a moment ago may come again, under its id.
    bob.find(|push| push["eventData"] == json!([2])).await;
    assert_eq!(ann.rest().await, Vec::<Value>::new());
}

#[tokio::test]
async fn a_webhook_whose_target_was_revoked_says_so() {
    let mesh = TestMesh::start(1).await;
    let (mut ann, bob) = (mesh.peer("ann", 0).await, mesh.peer("bob", 0).await);
    let ack = create(&mut ann, json!({"name": "alarm", "target": bob.key()})).await;
    mesh.run("update member set revoked_at = now() where display_name = 'bob'").await;

    assert_eq!(refused(&post(&mesh, 0, &path(&ack), "{}").await).0, 404);
}

#[tokio::test]
async fn one_webhook_is_posted_to_so_often_and_another_is_not_slowed() {
    let mesh = TestMesh::start(1).await;
    let mut ann = mesh.peer("ann", 0).await;
    let ack = create(&mut ann, json!({"name": "ci"})).await;
    let other = create(&mut ann, json!({"name": "other", "target": "@nobody"})).await;

    let mut n_taken = 0;
    let limited = loop {
        let answer = post(&mesh, 0, &path(&ack), "[]").await;
        if answer.status != 200 {
            break answer;
        }
        n_taken += 1;
        assert!(n_taken < 10 * limit::WEBHOOK_POSTS_PER_MINUTE, "there is no limit");
    };

    assert_eq!(refused(&limited), (429, "rate limited".to_owned()));
    assert!(n_taken >= limit::WEBHOOK_POSTS_PER_MINUTE, "{n_taken}");
    assert_eq!(post(&mesh, 0, &path(&other), "[]").await.status, 200);
}

#[tokio::test]
async fn posts_in_a_row_arrive_in_their_order_through_two_edges() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.peer("ann", 0).await, mesh.old_peer("bob", 1).await);
    let all = create(&mut ann, json!({"name": "all"})).await;
    let one = create(&mut ann, json!({"name": "one", "target": bob.key()})).await;

    for n in 0..40 {
        let edge = n % 2;
        assert_eq!(post(&mesh, edge, &path(&all), &json!([n]).to_string()).await.status, 200);
        assert_eq!(post(&mesh, edge, &path(&one), &json!([n]).to_string()).await.status, 200);
    }

    let (mut to_all, mut to_one) = (Vec::new(), Vec::new());
    while to_all.len() < 40 || to_one.len() < 40 {
        let push = bob.push().await;
        let n = push["eventData"][0].as_i64().unwrap();
        if push["event"] == "all" { to_all.push(n) } else { to_one.push(n) }
    }
    let wanted: Vec<i64> = (0..40).collect();
    assert_eq!((to_all, to_one), (wanted.clone(), wanted));
}

#[tokio::test]
async fn a_posts_secret_is_in_no_table() {
    let mesh = TestMesh::start(1).await;
    let mut ann = mesh.peer("ann", 0).await;
    let plain = create(&mut ann, json!({"name": "plain"})).await;
    let signed = create(&mut ann, json!({"name": "signed", "signed": true})).await;

    let rows = mesh.ask("select string_agg(w::text, ' ') from webhook w").await.unwrap();

    for ack in [plain, signed] {
        let secret = ack["secret"].as_str().unwrap();
        assert!(!rows.contains(secret) && !rows.contains(&hex::encode(secret)), "{rows}");
    }
}

/// Q34, as the reference's client decides: not a system event, an empty nonce, and text of
/// printable characters in base64.
#[tokio::test]
async fn q34_a_post_is_shown_by_an_old_client() {
    let mesh = TestMesh::start(2).await;
    let mut ann = mesh.old_peer("ann", 0).await;
    let ack = create(&mut ann, json!({"name": "ci"})).await;

    post(&mesh, 1, &path(&ack), r#"{"text": "grün 🦊"}"#).await;

    let push = ann.push().await;
    assert!(push["subtype"] != "system" && push["senderPubkey"] != "system");
    assert_eq!(push["nonce"], "", "so nothing is opened");
    let text = skein_crypto::plain::decode(push["ciphertext"].as_str().unwrap()).unwrap();
    assert!(skein_crypto::plain::is_printable(&text), "{text}");
    assert_eq!(text, r#"{"text": "grün 🦊"}"#);
    assert_eq!((&push["event"], &push["eventData"]["text"]), (&json!("ci"), &json!("grün 🦊")));
}

#[tokio::test]
async fn q08_a_name_that_is_taken_is_told_and_one_that_ended_is_free() {
    let mesh = TestMesh::start(2).await;
    for caps in [OLD, OURS] {
        let member = mesh.member("ann").await;
        let mut ann =
            Peer::connect(&mesh.edges[0], &member, skein_crypto::Keypair::generate(), caps).await;
        let first = create(&mut ann, json!({"name": "ci"})).await;

        let error = ann.call(json!({"type": "create_webhook", "name": "ci"})).await;
        assert_eq!((&error["type"], &error["code"]), (&json!("error"), &json!("webhook_exists")));
        assert_eq!(error["message"], "Webhook \"ci\" already exists in this mesh");
        ann.call(json!({"type": "delete_webhook", "name": "ci"})).await;
        let second = create(&mut ann, json!({"name": "ci"})).await;

        assert_ne!(first["secret"], second["secret"]);
        assert_eq!(post(&mesh, 1, &path(&first), "{}").await.status, 401);
        assert_eq!(post(&mesh, 1, &path(&second), "{}").await.status, 200);
        ann.call(json!({"type": "delete_webhook", "name": "ci"})).await;
    }
}
