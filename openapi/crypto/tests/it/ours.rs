//! What is ours alone: proofs, signed requests, message ids.

use skein_crypto::message_id::{body_hash, bytes_of, of};
use skein_crypto::proof::{self, LIFE_MS, LIFE_MS_MAX};
use skein_crypto::request::{self, SKEW_MS_MAX, Signed};
use skein_crypto::{Error, Public};

use crate::keys;

const NOW_MS: i64 = 1_800_000_000_000;

#[test]
fn a_session_proof_holds_for_its_mesh_session_member_and_time_only() {
    let (member, session, other) = (keys(1), keys(2), keys(4));
    let proof = proof::sign(&member.secret, "mesh-1", &session.public, NOW_MS);
    let check = |member: &Public, mesh: &str, session: &Public, now| {
        proof.verify(member, mesh, session, now)
    };

    assert_eq!(check(&member.public, "mesh-1", &session.public, NOW_MS), Ok(()));
    assert_eq!(check(&member.public, "mesh-1", &session.public, NOW_MS + LIFE_MS), Ok(()));
    for (member, mesh, session) in [
        (&other.public, "mesh-1", &session.public),
        (&member.public, "mesh-2", &session.public),
        (&member.public, "mesh-1", &other.public),
    ] {
        assert_eq!(check(member, mesh, session, NOW_MS), Err(Error::BadSignature));
    }
    let late = NOW_MS + LIFE_MS + 1;
    let early = NOW_MS + LIFE_MS - LIFE_MS_MAX - 1;
    for now in [late, early] {
        assert_eq!(check(&member.public, "mesh-1", &session.public, now), Err(Error::Expired));
    }
}

#[test]
fn two_proofs_of_one_moment_differ() {
    let (member, session) = (keys(1), keys(2));
    let proofs = [(); 2].map(|()| proof::sign(&member.secret, "m", &session.public, NOW_MS));

    assert_ne!(proofs[0].nonce, proofs[1].nonce);
}

#[test]
fn a_signed_request_holds_for_its_method_path_body_and_time_only() {
    let signed = request::sign(&keys(3).secret, "POST", "/v1/meshes?x=1", b"{}", NOW_MS);
    let [key, timestamp, nonce, signature] = signed.headers().map(|(_, value)| value);
    let read = Signed::parse(&key, &timestamp, &nonce, &signature).unwrap();

    assert_eq!(read, signed);
    let check = |method, path, body: &[u8], now| read.verify(method, path, body, now);
    assert_eq!(check("POST", "/v1/meshes?x=1", b"{}", NOW_MS + SKEW_MS_MAX), Ok(()));
    for (method, path, body) in [
        ("PUT", "/v1/meshes?x=1", &b"{}"[..]),
        ("POST", "/v1/meshes", b"{}"),
        ("POST", "/v1/meshes?x=1", b"{ }"),
    ] {
        assert_eq!(check(method, path, body, NOW_MS), Err(Error::BadSignature));
    }
    for now in [NOW_MS + SKEW_MS_MAX + 1, NOW_MS - SKEW_MS_MAX - 1] {
        assert_eq!(check("POST", "/v1/meshes?x=1", b"{}", now), Err(Error::Expired));
    }
}

#[test]
fn headers_that_cannot_be_read_are_refused() {
    let signed = request::sign(&keys(3).secret, "GET", "/", b"", NOW_MS);
    let [key, timestamp, nonce, signature] = signed.headers().map(|(_, value)| value);

    assert!(Signed::parse("", &timestamp, &nonce, &signature).is_err());
    assert!(Signed::parse(&key, "soon", &nonce, &signature).is_err());
    assert!(Signed::parse(&key, &timestamp, "00", &signature).is_err());
    assert!(Signed::parse(&key, &timestamp, &nonce, "00").is_err());
}

#[test]
fn a_message_id_depends_on_mesh_session_and_id_and_on_where_one_ends() {
    let (a, b) = (keys(1).public, keys(2).public);
    let base = of("mesh", &a, "id");

    assert_eq!(base, hex::encode(bytes_of("mesh", &a, "id")));
    assert_eq!(base, of("mesh", &a, "id"));
    // Held still: rows in databases and inboxes on disks carry it.
    assert_eq!(base, "a43924ad3707e99c7717d37c094d5cc3");
    let others = [of("mesh2", &a, "id"), of("mesh", &b, "id"), of("mesh", &a, "id2")];
    assert!(!others.contains(&base));
}

#[test]
fn a_body_hash_depends_on_every_part_and_on_where_one_ends() {
    let base = body_hash("t", "now", "n", "c");

    assert_eq!(hex::encode(base), "c53b890d176c21ed1763b03d615bed15");
    let others = [
        body_hash("u", "now", "n", "c"),
        body_hash("t", "low", "n", "c"),
        body_hash("t", "now", "nc", ""),
        body_hash("t", "now", "", "nc"),
    ];
    assert!(!others.contains(&base));
}
