//! The home: memberships and what becomes of them.

use skein::Error;
use skein::home::{Home, Membership};
use skein_crypto::Keypair;

fn membership(mesh_id: &str, slug: &str) -> Membership {
    let (member, owner) = (Keypair::generate(), Keypair::generate());
    serde_json::from_value(serde_json::json!({
        "version": 1, "meshId": mesh_id, "slug": slug, "memberId": "m",
        "memberSecret": *member.secret.hex(), "ownerPubkey": owner.public,
        "edges": ["ws://127.0.0.1:7900/ws"], "displayName": "ann",
        "joinedAt": "2026-01-01T00:00:00.000Z",
    }))
    .unwrap()
}

#[test]
fn a_mesh_is_meant_by_name_or_because_it_is_the_only_one() {
    let dir = tempfile::tempdir().unwrap();
    let home = Home::at(dir.path()).unwrap();
    assert!(matches!(home.membership(None), Err(Error::NoMesh)));

    home.save(&membership("id-1", "one")).unwrap();
    assert_eq!(home.membership(None).unwrap().slug, "one");
    home.save(&membership("id-2", "two")).unwrap();

    assert!(
        matches!(home.membership(None), Err(Error::WhichMesh(slugs)) if slugs == ["one", "two"])
    );
    assert_eq!(home.membership(Some("two")).unwrap().mesh_id, "id-2");
    assert_eq!(home.membership(Some("id-1")).unwrap().slug, "one");
    assert!(matches!(home.membership(Some("three")), Err(Error::NotFound(_))));
    home.save(&membership("id-3", "two")).unwrap();
    assert!(matches!(home.membership(Some("two")), Err(Error::Ambiguous { .. })));
}

#[test]
fn a_membership_comes_back_whole_and_does_not_print_its_secrets() {
    let dir = tempfile::tempdir().unwrap();
    let home = Home::at(dir.path()).unwrap();
    let written = membership("id-1", "one");
    home.save(&written).unwrap();

    let read = home.membership(None).unwrap();

    assert_eq!(read.member().unwrap(), written.member().unwrap());
    assert!(!format!("{read:?}").contains(written.member_secret.as_str()));
    use std::os::unix::fs::PermissionsExt;
    let file = home.membership_file("id-1");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    home.forget("id-1").unwrap();
    assert!(matches!(home.membership(None), Err(Error::NoMesh)));
}

#[test]
fn damage_is_named_with_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let home = Home::at(dir.path()).unwrap();
    home.save(&membership("id-1", "one")).unwrap();
    let file = home.membership_file("id-1");
    let text = std::fs::read_to_string(&file).unwrap();

    for damaged in [text.replace("\"version\": 1", "\"version\": 2"), text.replace("\"m", "\"x")] {
        std::fs::write(&file, damaged).unwrap();
        let Err(Error::Damaged { path, .. }) = home.memberships() else { panic!("it is damaged") };
        assert_eq!(path, file);
    }
}

#[test]
fn a_join_that_was_not_answered_is_tried_again_with_the_same_key() {
    let dir = tempfile::tempdir().unwrap();
    let home = Home::at(dir.path()).unwrap();

    let first = home.joining("hash").unwrap();

    assert_eq!(home.joining("hash").unwrap(), first);
    home.joined("hash");
    assert_ne!(home.joining("hash").unwrap(), first);
}
