//! Meshes, members and invites over REST: what each caller may, and how it is refused.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use skein_crypto::{Keypair, Secret};

use crate::{
    harness::{Member, OURS, Peer, TestMesh},
    web::{Answer, As, ask, credentials, send},
};

/// A mesh with an admin and a plain member, and a member of another mesh.
struct Place {
    mesh: TestMesh,
    admin: Member,
    plain: Member,
    foreign: Member,
}

impl Place {
    async fn new() -> Self {
        Self::with_edges(1).await
    }

    async fn with_edges(n_edges: usize) -> Self {
        let mesh = TestMesh::start(n_edges).await;
        let (admin, plain) = (mesh.member("admin").await, mesh.member("plain").await);
        let (other_id, other_no) = mesh.other_mesh().await;
        let foreign = mesh.member_of(&other_id, other_no, "foreign").await;
        let db = mesh.edges[0].edge.pool.get().await.unwrap();
        let make = "update member set role = 'admin' where id = $1";
        db.execute(make, &[&admin.id]).await.unwrap();
        drop(db);
        Self { mesh, admin, plain, foreign }
    }

    fn port(&self) -> u16 {
        self.mesh.edges[0].port
    }

    fn owner(&self) -> As<'_> {
        As::Key(&self.mesh.owner.secret)
    }

    fn path(&self, rest: &str) -> String {
        format!("/v1/meshes/{}{rest}", self.mesh.id)
    }

    fn member_path(&self, member: &Member) -> String {
        self.path(&format!("/members/{}", member.id))
    }

    async fn ask(&self, who: As<'_>, method: &str, rest: &str, body: &str) -> Answer {
        ask(self.port(), who, method, &self.path(rest), body).await
    }

    /// Registers an invite; returns its id.
    async fn invite(&self, role: &str) -> String {
        let answer = self.ask(self.owner(), "POST", "/invites", &new_invite(role)).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.json()["id"].as_str().unwrap().to_owned()
    }

    async fn run(&self, statement: &str) {
        let db = self.mesh.edges[0].edge.pool.get().await.unwrap();
        db.batch_execute(statement).await.unwrap();
    }
}

fn key(member: &Member) -> As<'_> {
    As::Key(&member.keys.secret)
}

fn new_invite(role: &str) -> String {
    let hash = hex::encode(skein_crypto::random::<32>());
    let expires_at = (Timestamp::now() + SignedDuration::from_hours(1)).to_string();
    json!({"tokenHash": hash, "role": role, "uses": 2, "expiresAt": expires_at}).to_string()
}

fn new_mesh(slug: &str) -> Value {
    json!({"slug": slug, "name": "A mesh", "ownerPubkey": Keypair::generate().public.hex(),
           "displayName": "ann"})
}

fn refusal(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

/// Every route of one mesh, as (method, rest of the path, body).
fn routes(place: &Place, invite: &str) -> Vec<(&'static str, String, String)> {
    let member = &place.plain.id;
    vec![
        ("GET", String::new(), String::new()),
        ("GET", "/members".to_owned(), String::new()),
        ("PATCH", format!("/members/{member}"), json!({"role": "admin"}).to_string()),
        ("DELETE", format!("/members/{member}"), String::new()),
        ("GET", "/invites".to_owned(), String::new()),
        ("POST", "/invites".to_owned(), new_invite("member")),
        ("DELETE", format!("/invites/{invite}"), String::new()),
    ]
}

#[tokio::test]
async fn the_operator_makes_a_mesh_whose_owner_is_its_first_member() {
    let place = Place::new().await;

    let mut new = new_mesh("made");
    let member_key = Keypair::generate().public.hex();
    new["memberPubkey"] = json!(member_key);
    let made = ask(place.port(), As::Operator, "POST", "/v1/meshes", &new.to_string()).await;

    assert_eq!(made.status, 201, "{made:?}");
    let (made, id) = (made.json(), made.json()["mesh"]["id"].as_str().unwrap().to_owned());
    assert_eq!(made["mesh"]["slug"], "made");
    assert_eq!(made["mesh"]["ownerPubkey"], new["ownerPubkey"]);
    let target = format!("/v1/meshes/{id}/members");
    let members = ask(place.port(), As::Operator, "GET", &target, "").await.json();
    let owner = &members["members"][0];
    assert_eq!((&owner["id"], &owner["role"]), (&made["memberId"], &json!("owner")));
    assert_eq!(owner["pubkey"], member_key);
    assert_eq!(members["members"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn only_the_operator_makes_meshes() {
    let place = Place::new().await;
    let body = new_mesh("made").to_string();

    for (who, expected) in [
        (As::Nobody, refusal(401, "unauthorized")),
        (place.owner(), refusal(403, "forbidden")),
        (key(&place.admin), refusal(403, "forbidden")),
    ] {
        let answer = ask(place.port(), who, "POST", "/v1/meshes", &body).await;
        assert_eq!(answer.refusal(), expected);
    }
}

#[tokio::test]
async fn a_slug_that_is_taken_is_a_conflict() {
    let place = Place::new().await;

    let body = new_mesh("test").to_string();
    let answer = ask(place.port(), As::Operator, "POST", "/v1/meshes", &body).await;

    assert_eq!(answer.refusal(), refusal(409, "conflict"));
}

#[tokio::test]
async fn a_mesh_with_a_wrong_field_is_refused_by_its_name() {
    let place = Place::new().await;

    for (field, wrong) in [
        ("slug", json!("Big")),
        ("slug", json!("-x")),
        ("slug", json!("a".repeat(64))),
        ("slug", Value::Null),
        ("name", json!("")),
        ("name", json!("a".repeat(129))),
        ("ownerPubkey", json!("AB".repeat(32))),
        ("ownerPubkey", json!("ab")),
        ("memberPubkey", json!("ab")),
        ("displayName", json!([])),
    ] {
        let mut body = new_mesh("made");
        body[field] = wrong.clone();
        let answer = ask(place.port(), As::Operator, "POST", "/v1/meshes", &body.to_string()).await;
        assert_eq!(answer.refusal(), refusal(400, "invalid_request"), "{field} {wrong}");
        let message = answer.json()["message"].as_str().unwrap().to_owned();
        // Of a wrong type the framework names the type.
        let names = [field, "Expected input type"];
        assert!(names.iter().any(|name| message.contains(name)), "{field}: {message}");
    }
    let mut zero = new_mesh("made");
    zero["name"] = json!("a\0b");
    let mut unknown = new_mesh("made");
    unknown["owner"] = json!("x");
    for body in [zero.to_string(), unknown.to_string(), "{".to_owned(), "[]".to_owned()] {
        let answer = ask(place.port(), As::Operator, "POST", "/v1/meshes", &body).await;
        assert_eq!(answer.refusal(), refusal(400, "invalid_request"), "{body}");
    }
}

#[tokio::test]
async fn a_mesh_with_the_longest_fields_is_made() {
    let place = Place::new().await;
    let mut body = new_mesh(&"a".repeat(63));
    body["name"] = json!("é".repeat(128));

    let answer = ask(place.port(), As::Operator, "POST", "/v1/meshes", &body.to_string()).await;

    assert_eq!(answer.status, 201, "{answer:?}");
}

#[tokio::test]
async fn a_body_over_the_limit_is_too_large() {
    let place = Place::new().await;

    let body = "x".repeat(65_537);
    let answer = ask(place.port(), As::Operator, "POST", "/v1/meshes", &body).await;

    assert_eq!(answer.refusal(), refusal(413, "too_large"));
}

#[tokio::test]
async fn members_read_their_mesh() {
    let place = Place::new().await;
    let _ann = Peer::connect(&place.mesh.edges[0], &place.plain, Keypair::generate(), OURS).await;

    for who in [As::Operator, place.owner(), key(&place.admin), key(&place.plain)] {
        let answer = place.ask(who, "GET", "", "").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let mesh = answer.json();
        assert_eq!((&mesh["id"], &mesh["slug"]), (&json!(place.mesh.id), &json!("test")));
        assert_eq!((&mesh["members"], &mesh["peers"]), (&json!(2), &json!(1)));
    }
}

#[tokio::test]
async fn who_is_nobody_gets_401_and_strangers_404_whether_or_not_the_mesh_exists() {
    let place = Place::new().await;
    let invite = place.invite("member").await;
    let stranger = Keypair::generate();
    let gone = place.mesh.member("gone").await;
    place.run(&format!("update member set revoked_at = now() where id = '{}'", gone.id)).await;

    for (method, rest, body) in routes(&place, &invite) {
        for mesh in [place.mesh.id.as_str(), "nowhere", "%00"] {
            let target = format!("/v1/meshes/{mesh}{rest}");
            let name = format!("{method} {target}");
            if mesh != "%00" {
                let nobody = ask(place.port(), As::Nobody, method, &target, &body).await;
                assert_eq!(nobody.refusal(), refusal(401, "unauthorized"), "{name}");
            }
            let secrets = [&stranger.secret, &place.foreign.keys.secret, &gone.keys.secret];
            for secret in secrets {
                let answer = ask(place.port(), As::Key(secret), method, &target, &body).await;
                assert_eq!(answer.refusal(), refusal(404, "not_found"), "{name}");
            }
        }
        let known = ask(place.port(), key(&place.foreign), method, &place.path(&rest), &body).await;
        let target = format!("/v1/meshes/nowhere{rest}");
        let unknown = ask(place.port(), key(&place.foreign), method, &target, &body).await;
        assert_eq!(known.body, unknown.body, "{method} {rest}");
    }
    // Nothing of it was done.
    let members = place.ask(As::Operator, "GET", "/members", "").await.json();
    assert_eq!(members["members"].as_array().unwrap().len(), 2, "{members}");
    assert!(!members.to_string().contains("\"admin\",\"x"), "{members}");
    let invites = place.ask(As::Operator, "GET", "/invites", "").await.json();
    assert_eq!(invites["invites"].as_array().unwrap().len(), 1);
    assert!(invites["invites"][0].get("revokedAt").is_none());
}

#[tokio::test]
async fn members_see_who_is_here_and_do_nothing_else() {
    let place = Place::new().await;
    let invite = place.invite("member").await;

    for (method, rest, body) in routes(&place, &invite) {
        let answer = place.ask(key(&place.plain), method, &rest, &body).await;
        match (method, rest.as_str()) {
            ("GET", "" | "/members") => assert_eq!(answer.status, 200, "{rest}"),
            _ => assert_eq!(answer.refusal(), refusal(403, "forbidden"), "{method} {rest}"),
        }
    }
}

#[tokio::test]
async fn every_route_serves_the_owner_and_the_operator() {
    let place = Place::new().await;

    for who in [place.owner(), As::Operator] {
        let invite = place.invite("admin").await;
        for (method, rest, body) in routes(&place, &invite) {
            if method == "DELETE" && rest.starts_with("/members") {
                continue;
            }
            let answer = place.ask(who, method, &rest, &body).await;
            assert!(answer.status < 300, "{method} {rest}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn an_admin_invites_and_revokes_members_but_touches_no_admin() {
    let place = Place::new().await;
    let other = place.mesh.member("other").await;
    place.run(&format!("update member set role = 'admin' where id = '{}'", other.id)).await;
    let (plain, admins) = (place.invite("member").await, place.invite("admin").await);
    let admin = key(&place.admin);
    let forbidden = refusal(403, "forbidden");

    assert_eq!(place.ask(admin, "POST", "/invites", &new_invite("member")).await.status, 201);
    let refused = place.ask(admin, "POST", "/invites", &new_invite("admin")).await;
    assert_eq!(refused.refusal(), forbidden);
    assert_eq!(place.ask(admin, "DELETE", &format!("/invites/{plain}"), "").await.status, 204);
    let refused = place.ask(admin, "DELETE", &format!("/invites/{admins}"), "").await;
    assert_eq!(refused.refusal(), forbidden);
    let refused = ask(place.port(), admin, "DELETE", &place.member_path(&other), "").await;
    assert_eq!(refused.refusal(), forbidden);
    let role = json!({"role": "admin"}).to_string();
    let refused = ask(place.port(), admin, "PATCH", &place.member_path(&place.plain), &role).await;
    assert_eq!(refused.refusal(), forbidden);
    let revoked = ask(place.port(), admin, "DELETE", &place.member_path(&place.plain), "").await;
    assert_eq!(revoked.status, 204);
}

#[tokio::test]
async fn a_role_is_changed_and_shown() {
    let place = Place::new().await;
    let path = place.member_path(&place.plain);

    for role in ["admin", "member"] {
        let body = json!({"role": role}).to_string();
        let answer = ask(place.port(), place.owner(), "PATCH", &path, &body).await;
        assert_eq!((answer.status, &answer.json()["role"]), (200, &json!(role)), "{answer:?}");
        assert_eq!(answer.json()["id"], place.plain.id);
    }
    for role in [json!("owner"), json!("Admin"), Value::Null] {
        let body = json!({"role": role}).to_string();
        let answer = ask(place.port(), place.owner(), "PATCH", &path, &body).await;
        assert_eq!(answer.refusal(), refusal(400, "invalid_request"), "{role}");
    }
    let nobody = place.path("/members/nobody");
    let body = json!({"role": "admin"}).to_string();
    let answer = ask(place.port(), place.owner(), "PATCH", &nobody, &body).await;
    assert_eq!(answer.refusal(), refusal(404, "not_found"));
}

#[tokio::test]
async fn an_owner_stays_as_it_is() {
    let place = Place::new().await;
    let new = new_mesh("own").to_string();
    let made = ask(place.port(), As::Operator, "POST", "/v1/meshes", &new).await.json();
    let (mesh, owner) = (made["mesh"]["id"].as_str().unwrap(), made["memberId"].as_str().unwrap());
    let target = format!("/v1/meshes/{mesh}/members/{owner}");

    let body = json!({"role": "member"}).to_string();
    let changed = ask(place.port(), As::Operator, "PATCH", &target, &body).await;
    let revoked = ask(place.port(), As::Operator, "DELETE", &target, "").await;

    assert_eq!(changed.refusal(), refusal(403, "forbidden"));
    assert_eq!(revoked.refusal(), refusal(403, "forbidden"));
}

#[tokio::test]
async fn a_revoked_member_loses_its_sockets_on_every_edge_and_says_hello_no_more() {
    let place = Place::with_edges(2).await;
    let mut sockets = Vec::new();
    for edge in &place.mesh.edges {
        sockets.push(Peer::connect(edge, &place.plain, Keypair::generate(), OURS).await);
    }
    let path = place.member_path(&place.plain);

    let revoked = ask(place.port(), place.owner(), "DELETE", &path, "").await;

    assert_eq!((revoked.status, revoked.body.as_str()), (204, ""));
    for socket in &mut sockets {
        socket.find(|frame| frame.get("close").is_some()).await;
    }
    let session = Keypair::generate();
    let hello = crate::harness::hello_frame(&place.plain, &session, OURS);
    let mut again = Peer::open(&place.mesh.edges[1], &place.plain, session).await;
    again.send(&hello).await;
    let answer = again.next().await;
    assert_eq!((&answer["type"], &answer["code"]), (&json!("error"), &json!("unauthorized")));
    let answer = ask(place.port(), place.owner(), "DELETE", &path, "").await;
    assert_eq!(answer.status, 204, "asking again does no harm");
    let answer = place.ask(key(&place.plain), "GET", "", "").await;
    assert_eq!(answer.refusal(), refusal(404, "not_found"), "it is a stranger now");
}

#[tokio::test]
async fn a_member_that_is_not_there_is_not_found() {
    let place = Place::new().await;

    for id in ["nobody", place.foreign.id.as_str(), "%00"] {
        let path = place.path(&format!("/members/{id}"));
        let answer = ask(place.port(), place.owner(), "DELETE", &path, "").await;
        assert_eq!(answer.refusal(), refusal(404, "not_found"), "{id}");
    }
}

#[tokio::test]
async fn an_invite_is_registered_listed_and_revoked() {
    let place = Place::new().await;
    let new = new_invite("member");

    let made = place.ask(key(&place.admin), "POST", "/invites", &new).await;

    let made = made.json();
    let id = made["id"].as_str().unwrap();
    assert_eq!((&made["uses"], &made["used"]), (&json!(2), &json!(0)));
    assert_eq!(made["createdBy"], place.admin.keys.public.hex());
    assert!(!made.to_string().contains("tokenHash"), "{made}");
    let listed = place.ask(key(&place.admin), "GET", "/invites", "").await.json();
    assert_eq!(listed, json!({"invites": [made]}));
    let path = format!("/invites/{id}");
    for _ in 0..2 {
        assert_eq!(place.ask(key(&place.admin), "DELETE", &path, "").await.status, 204);
    }
    let listed = place.ask(key(&place.admin), "GET", "/invites", "").await.json();
    assert!(listed["invites"][0]["revokedAt"].is_string());
}

#[tokio::test]
async fn an_invite_with_a_wrong_field_is_refused() {
    let place = Place::new().await;
    let in_days =
        |days: i64| json!((Timestamp::now() + SignedDuration::from_hours(24 * days)).to_string());

    for (field, wrong) in [
        ("tokenHash", json!("AB".repeat(32))),
        ("tokenHash", json!("ab".repeat(31))),
        ("role", json!("owner")),
        ("uses", json!(0)),
        ("uses", json!(10_001)),
        ("expiresAt", json!("tomorrow")),
        ("expiresAt", json!("2100-01-01T00:00:00")),
        ("expiresAt", in_days(-1)),
        ("expiresAt", in_days(367)),
    ] {
        let mut body: Value = serde_json::from_str(&new_invite("member")).unwrap();
        body[field] = wrong.clone();
        let answer = place.ask(place.owner(), "POST", "/invites", &body.to_string()).await;
        assert_eq!(answer.refusal(), refusal(400, "invalid_request"), "{field} {wrong}");
        let message = answer.json()["message"].as_str().unwrap().to_owned();
        // Of a wrong type the framework names the type.
        let names = [field, "Expected input type"];
        assert!(names.iter().any(|name| message.contains(name)), "{field}: {message}");
    }
    let mut most: Value = serde_json::from_str(&new_invite("member")).unwrap();
    most["uses"] = json!(10_000);
    most["expiresAt"] = in_days(365);
    assert_eq!(place.ask(place.owner(), "POST", "/invites", &most.to_string()).await.status, 201);
}

#[tokio::test]
async fn a_token_that_is_registered_is_a_conflict() {
    let place = Place::new().await;
    let new = new_invite("member");
    place.ask(place.owner(), "POST", "/invites", &new).await;

    let again = place.ask(place.owner(), "POST", "/invites", &new).await;

    assert_eq!(again.refusal(), refusal(409, "conflict"));
}

#[tokio::test]
async fn an_invite_that_is_not_there_is_not_found() {
    let place = Place::new().await;
    let invite = place.invite("member").await;
    let (_, other) = place.mesh.other_mesh_named("third").await;
    place.run(&format!("update invite set mesh = {other}")).await;

    for id in ["nothing", &invite] {
        let answer = place.ask(place.owner(), "DELETE", &format!("/invites/{id}"), "").await;
        assert_eq!(answer.refusal(), refusal(404, "not_found"), "{id}");
    }
}

#[tokio::test]
async fn lists_go_on_where_they_ended() {
    let place = Place::new().await;
    let no = place.mesh.no;
    place
        .run(&format!(
            "insert into member (id, mesh, pubkey, display_name, role)
             select 'm' || n, {no}, encode(sha256(n::text::bytea), 'hex'), 'm', 'member'
               from generate_series(1, 600) as n;
             insert into invite (id, mesh, token_hash, role, max_uses, created_by, expires_at)
             select 'i' || n, {no}, sha256(n::text::bytea), 'member', 1, 'operator', now()
               from generate_series(1, 600) as n"
        ))
        .await;

    for (what, total) in [("members", 602), ("invites", 600)] {
        let head = place.ask(place.owner(), "GET", &format!("/{what}"), "").await.json();
        let next = head["next"].as_str().unwrap();
        let rest = format!("/{what}?after={next}");
        let rest = place.ask(place.owner(), "GET", &rest, "").await.json();
        assert_eq!(head[what].as_array().unwrap().len(), 500, "{what}");
        assert!(rest.get("next").is_none(), "{what}");
        let ids: std::collections::HashSet<_> = [&head, &rest]
            .iter()
            .flat_map(|page| page[what].as_array().unwrap())
            .map(|it| it["id"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(ids.len(), total, "{what}");
    }
}

#[tokio::test]
async fn a_signed_request_is_taken_once_on_any_edge() {
    let place = Place::with_edges(2).await;
    let target = place.path("");
    let headers = credentials(key(&place.plain), "GET", &target, "", 0);
    let (one, other) = (place.mesh.edges[0].port, place.mesh.edges[1].port);

    let first = send(one, "GET", &target, &headers, "").await;
    let again = send(one, "GET", &target, &headers, "").await;
    let elsewhere = send(other, "GET", &target, &headers, "").await;

    assert_eq!(first.status, 200, "{first:?}");
    assert_eq!(again.refusal(), refusal(401, "replayed"));
    assert_eq!(elsewhere.refusal(), refusal(401, "replayed"));
}

#[tokio::test]
async fn a_request_that_was_signed_too_long_ago_or_ahead_is_refused() {
    let place = Place::new().await;
    let target = place.path("");
    let call = async |age_ms| {
        let headers = credentials(key(&place.plain), "GET", &target, "", age_ms);
        send(place.port(), "GET", &target, &headers, "").await
    };

    assert_eq!(call(61_000).await.refusal(), refusal(401, "timestamp_skew"));
    assert_eq!(call(-61_000).await.refusal(), refusal(401, "timestamp_skew"));
    assert_eq!(call(55_000).await.status, 200);
    assert_eq!(call(-55_000).await.status, 200);
}

#[tokio::test]
async fn a_signature_over_another_request_is_refused() {
    let place = Place::new().await;
    let body = new_invite("member");
    let target = place.path("/invites");
    let sign = |secret: &Secret, method: &str, target: &str, body: &str| {
        credentials(As::Key(secret), method, target, body, 0)
    };
    let owner = &place.mesh.owner.secret;
    let mut other_key = sign(&place.plain.keys.secret, "POST", &target, &body);
    other_key[0].1 = place.mesh.owner.public.hex();
    let mut upper_case = sign(owner, "POST", &target, &body);
    upper_case[0].1 = upper_case[0].1.to_uppercase();
    let mut other_nonce = sign(owner, "POST", &target, &body);
    other_nonce[2].1 = "00".repeat(16);
    let mut no_nonce = sign(owner, "POST", &target, &body);
    no_nonce[2].1 = "xyz".to_owned();

    for (what, headers) in [
        ("another method", sign(owner, "GET", &target, &body)),
        ("another path", sign(owner, "POST", &place.path("/members"), &body)),
        ("another query", sign(owner, "POST", &format!("{target}?x=1"), &body)),
        ("another body", sign(owner, "POST", &target, "{}")),
        ("another key", other_key),
        ("a key in upper case", upper_case),
        ("another nonce", other_nonce),
        ("no nonce", no_nonce),
    ] {
        let mut headers = headers;
        headers.push(("Content-Type", "application/json".to_owned()));
        let answer = send(place.port(), "POST", &target, &headers, &body).await;
        assert_eq!(answer.refusal(), refusal(401, "bad_signature"), "{what}");
    }
}

#[tokio::test]
async fn a_wrong_operator_token_is_refused() {
    let place = Place::new().await;

    for token in ["Bearer operato", "Bearer operator2", "Bearer ", "operator", "Basic operator"] {
        let headers = [("Authorization", token.to_owned())];
        let answer = send(place.port(), "GET", &place.path(""), &headers, "").await;
        assert_eq!(answer.refusal(), refusal(401, "unauthorized"), "{token}");
    }
}

#[tokio::test]
async fn without_an_operator_token_in_the_settings_nobody_is_the_operator() {
    let mesh = TestMesh::start_with(1, &[("SKEIN_OPERATOR_TOKEN", "")]).await;

    for token in ["", "operator"] {
        let headers = [("Authorization", format!("Bearer {token}"))];
        let answer = send(mesh.edges[0].port, "POST", "/v1/meshes", &headers, "").await;
        assert_eq!(answer.refusal(), refusal(401, "unauthorized"), "{token}");
    }
}

#[tokio::test]
async fn what_is_no_route_of_ours_is_answered_in_our_body() {
    let place = Place::new().await;

    for (method, target) in [("GET", "/v1/nothing"), ("POST", "/docs"), ("GET", "/v1/meshes/")] {
        let answer = ask(place.port(), As::Operator, method, target, "").await;
        assert_eq!(answer.refusal(), refusal(404, "not_found"), "{method} {target}");
        assert!(answer.json()["hint"].as_str().unwrap().contains("/docs"), "{method} {target}");
    }
}

#[tokio::test]
async fn while_the_database_is_away_requests_are_told_so() {
    let place = Place::new().await;
    let outside = skein_sql::Connector::new(&place.mesh.database.server_url()).unwrap();
    let outside = outside.connect(skein_sql::Settings::Maintenance).await.unwrap();
    let name = place.mesh.database.name();
    let shut = format!("alter database {name} with allow_connections false");
    outside.batch_execute(&shut).await.unwrap();
    let end = "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1";
    outside.query(end, &[&name]).await.unwrap();

    let answer = place.ask(As::Operator, "GET", "", "").await;

    assert_eq!(answer.refusal(), refusal(503, "unavailable"));
}
