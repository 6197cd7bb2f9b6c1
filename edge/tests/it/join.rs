//! `POST /join`: who may become a member, and in which order it is refused.

use jiff::Timestamp;
use serde_json::{Value, json};
use skein_crypto::{
    Keypair, Secret,
    invite::{Role, link, reference, token_hash},
};
use skein_openapi::members;

use crate::{
    harness::{OURS, Peer, TestMesh},
    web::{Answer, As, ask},
};

/// A mesh, and what its owner does with invites.
struct Place {
    mesh: TestMesh,
}

impl Place {
    async fn new() -> Self {
        Self { mesh: TestMesh::start(1).await }
    }

    fn port(&self) -> u16 {
        self.mesh.edges[0].port
    }

    /// A link payload of ours and its token, signed by this key.
    fn link(&self, signer: &Secret) -> (link::Payload, String) {
        let token = link::Token::generate();
        let payload = link::Payload {
            v: 2,
            mesh_id: self.mesh.id.clone(),
            slug: "test".to_owned(),
            edges: vec!["ws://edge/ws".to_owned()],
            expires_at: Timestamp::now().as_millisecond() + 3_600_000,
            role: Role::Member,
            uses: 1,
            owner_pubkey: self.mesh.owner.public,
            signer_pubkey: self.mesh.owner.public,
            token_hash: token.hash(),
            signature: String::new(),
        };
        (payload.signed(signer), token.hex().to_string())
    }

    /// A payload of the reference, and its token.
    fn reference(&self, owner: &Secret, role: Role) -> (reference::Payload, String) {
        let payload = reference::Payload {
            v: 1,
            mesh_id: self.mesh.id.clone(),
            mesh_slug: "test".to_owned(),
            broker_url: "ws://edge/ws".to_owned(),
            // Past: only the registered row's end counts.
            expires_at: 1_000_000_000,
            mesh_root_key: "cm9vdA".to_owned(),
            role,
            owner_pubkey: String::new(),
            signature: String::new(),
        };
        let payload = payload.signed(owner);
        let token = payload.encode();
        (payload, token)
    }

    /// Registers a token; returns the invite's id.
    async fn register(&self, token: &str, role: &str, uses: i32) -> String {
        let expires_at = (Timestamp::now() + jiff::SignedDuration::from_hours(1)).to_string();
        let body = json!({"tokenHash": token_hash(token), "role": role, "uses": uses,
                          "expiresAt": expires_at});
        let target = format!("/v1/meshes/{}/invites", self.mesh.id);
        let who = As::Key(&self.mesh.owner.secret);
        let answer = ask(self.port(), who, "POST", &target, &body.to_string()).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.json()["id"].as_str().unwrap().to_owned()
    }

    /// A registered link of ours with this many uses.
    async fn invite(&self, uses: i32) -> (Value, String) {
        let (payload, token) = self.link(&self.mesh.owner.secret);
        self.register(&token, "member", uses).await;
        (json!(payload), token)
    }

    async fn join(&self, payload: &Value, token: &str, key: &str) -> Answer {
        let body = json!({"invite_token": token, "invite_payload": payload, "peer_pubkey": key,
                          "display_name": "bob"});
        ask(self.port(), As::Nobody, "POST", "/join", &body.to_string()).await
    }

    async fn run(&self, statement: &str) {
        let db = self.mesh.edges[0].edge.pool.get().await.unwrap();
        db.batch_execute(statement).await.unwrap();
    }
}

fn key() -> String {
    Keypair::generate().public.hex()
}

fn refused(answer: &Answer) -> (u16, Value) {
    assert_eq!(answer.header("content-type"), Some("application/json"));
    (answer.status, answer.json())
}

fn said(code: &str) -> (u16, Value) {
    (400, json!({"ok": false, "error": code}))
}

#[tokio::test]
async fn who_has_a_link_of_ours_joins_and_says_hello() {
    let place = Place::new().await;
    let (payload, token) = place.invite(1).await;
    let keys = Keypair::generate();

    let answer = place.join(&payload, &token, &keys.public.hex()).await;

    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    let body = answer.json();
    assert_eq!(body["ok"], true);
    assert_eq!(body.as_object().unwrap().len(), 2, "{body}");
    let member = crate::harness::Member {
        mesh_id: place.mesh.id.clone(),
        id: body["memberId"].as_str().unwrap().to_owned(),
        keys,
        name: "bob".to_owned(),
    };
    Peer::connect(&place.mesh.edges[0], &member, Keypair::generate(), OURS).await;
}

#[tokio::test]
async fn who_has_an_invite_of_the_reference_joins() {
    let place = Place::new().await;
    let (payload, token) = place.reference(&place.mesh.owner.secret, Role::Member);
    place.register(&token, "member", 1).await;

    let answer = place.join(&json!(payload), &token, &key().to_uppercase()).await;

    assert_eq!((answer.status, &answer.json()["ok"]), (200, &json!(true)), "{answer:?}");
}

#[tokio::test]
async fn a_key_that_joined_before_is_a_member_already_and_takes_no_use() {
    let place = Place::new().await;
    let (payload, token) = place.invite(2).await;
    let (bob, eve) = (key(), key());
    let first = place.join(&payload, &token, &bob).await.json();

    let again = place.join(&payload, &token, &bob.to_uppercase()).await.json();

    let id = &first["memberId"];
    assert_eq!(again, json!({"ok": true, "memberId": id, "alreadyMember": true}));
    assert_eq!(place.join(&payload, &token, &eve).await.status, 200, "a use is left");
    assert_eq!(place.join(&payload, &token, &bob).await.status, 200, "spent, but a member");
}

#[tokio::test]
async fn of_many_who_join_at_once_as_many_succeed_as_the_invite_has_uses() {
    let place = Place::new().await;
    let (payload, token) = place.invite(3).await;
    let keys: Vec<_> = (0..8).map(|_| key()).collect();

    let answers =
        futures_util::future::join_all(keys.iter().map(|key| place.join(&payload, &token, key)))
            .await;

    let (joined, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|it| it.status == 200);
    assert_eq!(joined.len(), 3, "{answers:?}");
    assert!(refused.iter().all(|it| (it.status, it.json()) == said("invite_exhausted")));
}

#[tokio::test]
async fn the_same_key_at_once_becomes_one_member_and_takes_one_use() {
    let place = Place::new().await;
    let (payload, token) = place.invite(2).await;
    let bob = key();

    let answers =
        futures_util::future::join_all((0..6).map(|_| place.join(&payload, &token, &bob))).await;

    let ids: std::collections::HashSet<_> =
        answers.iter().map(|it| it.json()["memberId"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids.len(), 1, "{answers:?}");
    assert_eq!(place.join(&payload, &token, &key()).await.status, 200, "a use is left");
}

#[tokio::test]
async fn a_missing_field_is_named_as_the_contract_does() {
    let place = Place::new().await;
    let (payload, token) = place.invite(1).await;
    let whole = json!({"invite_token": token, "invite_payload": payload, "peer_pubkey": key(),
                       "display_name": "bob"});

    let required = "invite_token, invite_payload, peer_pubkey, display_name required";
    for name in ["invite_token", "invite_payload", "peer_pubkey", "display_name"] {
        for wrong in [None, Some(json!("")), Some(json!(7)), Some(Value::Null)] {
            let mut body = whole.clone();
            match wrong.clone() {
                None => drop(body.as_object_mut().unwrap().remove(name)),
                Some(wrong) => body[name] = wrong,
            }
            let answer = ask(place.port(), As::Nobody, "POST", "/join", &body.to_string()).await;
            assert_eq!(refused(&answer), said(required), "{name} {wrong:?}");
        }
    }
    for body in ["[]", "null", "7"] {
        let answer = ask(place.port(), As::Nobody, "POST", "/join", body).await;
        assert_eq!(refused(&answer), said(required), "{body}");
    }
}

#[tokio::test]
async fn a_key_that_is_none_is_refused() {
    let place = Place::new().await;
    let (payload, token) = place.invite(1).await;

    for wrong in ["ab", &key()[1..], &key().replace(|_: char| true, "g")] {
        let answer = place.join(&payload, &token, wrong).await;
        assert_eq!(refused(&answer), said("peer_pubkey must be 64 hex chars (32 bytes)"));
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_or_no_json_is_refused() {
    let place = Place::new().await;

    let large = ask(place.port(), As::Nobody, "POST", "/join", &"x".repeat(65_537)).await;
    let wrong = ask(place.port(), As::Nobody, "POST", "/join", &"x".repeat(65_536)).await;

    let too_large = json!({"ok": false, "error": "payload too large"});
    assert_eq!(refused(&large), (413, too_large));
    assert_eq!((wrong.status, &wrong.json()["ok"]), (500, &json!(false)));
}

#[tokio::test]
async fn a_signature_that_does_not_fit_is_refused() {
    let place = Place::new().await;
    let (ours, token) = place.invite(1).await;
    let (theirs, _) = place.reference(&place.mesh.owner.secret, Role::Member);

    for (payload, field, value) in [
        (ours.clone(), "meshId", json!("another")),
        (ours.clone(), "role", json!("admin")),
        (ours.clone(), "signature", json!("00".repeat(64))),
        (ours.clone(), "v", json!(3)),
        (ours, "uses", Value::Null),
        (json!(theirs), "role", json!("admin")),
        (json!(theirs), "owner_pubkey", json!(key())),
    ] {
        let mut changed = payload;
        changed[field] = value;
        let answer = place.join(&changed, &token, &key()).await;
        assert_eq!(refused(&answer), said("invite_bad_signature"), "{field}");
    }
}

#[tokio::test]
async fn a_mesh_that_is_not_there_is_not_found() {
    let place = Place::new().await;
    let (mut payload, token) = place.link(&place.mesh.owner.secret);
    place.register(&token, "member", 1).await;
    payload.mesh_id = "nowhere".to_owned();

    let unknown = payload.clone().signed(&place.mesh.owner.secret);
    assert_eq!(refused(&place.join(&json!(unknown), &token, &key()).await), said("mesh_not_found"));

    payload.mesh_id = place.mesh.id.clone();
    let archived = payload.signed(&place.mesh.owner.secret);
    place.run("update mesh set archived_at = now()").await;
    let answer = place.join(&json!(archived), &token, &key()).await;
    assert_eq!(refused(&answer), said("mesh_not_found"));
}

#[tokio::test]
async fn an_invite_that_another_key_signed_is_refused() {
    let place = Place::new().await;
    let stranger = Keypair::generate();
    let (theirs, their_token) = place.reference(&stranger.secret, Role::Member);
    let (ours, our_token) = place.link(&stranger.secret);
    let plain = place.mesh.member("plain").await;
    let (members, members_token) = place.link(&plain.keys.secret);
    for token in [&their_token, &our_token, &members_token] {
        place.register(token, "member", 1).await;
    }

    for (payload, token) in
        [(json!(theirs), &their_token), (json!(ours), &our_token), (json!(members), &members_token)]
    {
        let answer = place.join(&payload, token, &key()).await;
        assert_eq!(refused(&answer), said("invite_owner_mismatch"), "{payload}");
    }
}

#[tokio::test]
async fn an_admin_may_sign_links_until_it_is_revoked() {
    let place = Place::new().await;
    let admin = place.mesh.member("admin").await;
    place.run(&format!("update member set role = 'admin' where id = '{}'", admin.id)).await;
    let (payload, token) = place.link(&admin.keys.secret);
    place.register(&token, "member", 2).await;
    let payload = json!(payload);

    let before = place.join(&payload, &token, &key()).await;
    place.run(&format!("update member set revoked_at = now() where id = '{}'", admin.id)).await;
    let after = place.join(&payload, &token, &key()).await;

    assert_eq!(before.status, 200, "{before:?}");
    assert_eq!(refused(&after), said("invite_owner_mismatch"));
}

#[tokio::test]
async fn a_token_that_nobody_registered_is_not_found() {
    let place = Place::new().await;
    let (ours, token) = place.link(&place.mesh.owner.secret);
    let (theirs, their_token) = place.reference(&place.mesh.owner.secret, Role::Member);
    let (_, registered) = place.invite(1).await;

    for (payload, token) in [
        (json!(ours), &token),
        (json!(theirs), &their_token),
        // A token that is good, but of another link than the payload.
        (json!(ours), &registered),
    ] {
        let answer = place.join(&payload, token, &key()).await;
        assert_eq!(refused(&answer), said("invite_not_found"));
    }
}

#[tokio::test]
async fn a_token_of_another_mesh_is_refused() {
    let place = Place::new().await;
    let (payload, token) = place.reference(&place.mesh.owner.secret, Role::Member);
    let (_, other) = place.mesh.other_mesh().await;
    place.register(&token, "member", 1).await;
    place.run(&format!("update invite set mesh = {other}")).await;

    let answer = place.join(&json!(payload), &token, &key()).await;

    assert_eq!(refused(&answer), said("invite_mesh_mismatch"));
}

#[tokio::test]
async fn revoked_comes_before_expired_and_expired_before_exhausted() {
    let place = Place::new().await;
    let (payload, token) = place.invite(1).await;
    assert_eq!(place.join(&payload, &token, &key()).await.status, 200);

    assert_eq!(refused(&place.join(&payload, &token, &key()).await), said("invite_exhausted"));
    place.run("update invite set expires_at = now()").await;
    assert_eq!(refused(&place.join(&payload, &token, &key()).await), said("invite_expired"));
    place.run("update invite set revoked_at = now()").await;
    assert_eq!(refused(&place.join(&payload, &token, &key()).await), said("invite_revoked"));
}

#[tokio::test]
async fn a_member_may_not_join_again_with_an_invite_that_has_ended() {
    let place = Place::new().await;
    let (payload, token) = place.invite(2).await;
    let bob = key();
    place.join(&payload, &token, &bob).await;
    place.run("update invite set revoked_at = now()").await;

    assert_eq!(refused(&place.join(&payload, &token, &bob).await), said("invite_revoked"));
}

#[tokio::test]
async fn a_revoked_key_stays_out_and_takes_no_use() {
    let place = Place::new().await;
    let (payload, token) = place.invite(2).await;
    let bob = key();
    place.join(&payload, &token, &bob).await;
    place.run("update member set revoked_at = now()").await;

    let answer = place.join(&payload, &token, &bob).await;

    assert_eq!(refused(&answer), said("member_insert_failed"));
    assert_eq!(place.join(&payload, &token, &key()).await.status, 200, "a use is left");
}

#[tokio::test]
async fn a_key_that_is_a_session_of_the_mesh_cannot_join() {
    let place = Place::new().await;
    let (payload, token) = place.invite(1).await;
    let ann = place.mesh.peer("ann", 0).await;

    let answer = place.join(&payload, &token, &ann.key()).await;

    assert_eq!(refused(&answer), said("member_insert_failed"));
    assert_eq!(place.join(&payload, &token, &key()).await.status, 200, "a use is left");
}

#[tokio::test]
async fn the_role_is_the_registered_one_whatever_the_payload_says() {
    let place = Place::new().await;
    let (admins, _) = place.reference(&place.mesh.owner.secret, Role::Admin);
    let (_, token) = place.reference(&place.mesh.owner.secret, Role::Member);
    place.register(&token, "member", 1).await;
    let bob = key();

    let answer = place.join(&json!(admins), &token, &bob).await;

    assert_eq!(answer.status, 200, "{answer:?}");
    let db = place.mesh.edges[0].edge.pool.get().await.unwrap();
    let member = skein_sql::members::find_by_key(&db, place.mesh.no, &bob).await.unwrap().unwrap();
    assert_eq!(member.role, members::Role::Member);
}

#[tokio::test]
async fn a_long_name_is_cut_and_one_that_cannot_be_kept_is_refused() {
    let place = Place::new().await;
    let (payload, token) = place.invite(2).await;
    let bob = key();
    let join = async |name: String| {
        let body = json!({"invite_token": token, "invite_payload": payload, "peer_pubkey": bob,
                          "display_name": name});
        ask(place.port(), As::Nobody, "POST", "/join", &body.to_string()).await
    };

    assert_eq!(join("a\0b".to_owned()).await.status, 400);
    assert_eq!(join("é".repeat(200)).await.status, 200);

    let db = place.mesh.edges[0].edge.pool.get().await.unwrap();
    let member = skein_sql::members::find_by_key(&db, place.mesh.no, &bob).await.unwrap().unwrap();
    assert_eq!(member.display_name, "é".repeat(128));
}

#[tokio::test]
async fn the_token_is_in_no_table() {
    let place = Place::new().await;
    let (_, token) = place.invite(1).await;

    let db = place.mesh.edges[0].edge.pool.get().await.unwrap();
    let rows = db.query("select i::text as row from invite i", &[]).await.unwrap();
    let kept: String = rows.iter().map(|row| row.get::<_, String>("row")).collect();

    assert!(kept.contains(&token_hash(&token)) && !kept.contains(&token), "{kept}");
}
