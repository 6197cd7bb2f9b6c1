//! Both forms of invite.

use skein_crypto::Error;
use skein_crypto::invite::link::{self, Token};
use skein_crypto::invite::{Link, Payload, Role, reference, token_hash};
use skein_crypto::keys::RootKey;

use crate::keys;

fn nine_fields() -> reference::Payload {
    reference::Payload {
        v: 1,
        mesh_id: "mesh-1".into(),
        mesh_slug: "demo".into(),
        broker_url: "wss://broker.example/ws".into(),
        expires_at: 1_900_000_000,
        mesh_root_key: "cm9vdA".into(),
        role: Role::Member,
        owner_pubkey: String::new(),
        signature: String::new(),
    }
    .signed(&keys(3).secret)
}

fn ours() -> link::Link {
    let token = Token::generate();
    let payload = link::Payload {
        v: 2,
        mesh_id: "mesh-1".into(),
        slug: "demo".into(),
        edges: vec!["ws://127.0.0.1:7900/ws".into(), "ws://127.0.0.1:7901/ws".into()],
        expires_at: 1_900_000_000_000,
        role: Role::Member,
        uses: 1,
        owner_pubkey: keys(3).public,
        signer_pubkey: keys(3).public,
        token_hash: token.hash(),
        signature: String::new(),
    }
    .signed(&keys(3).secret);
    link::Link { payload, token, root_key: RootKey::generate() }
}

#[test]
fn the_reference_invite_is_signed_and_encoded_as_stated() {
    let payload = nine_fields();

    let key = keys(3).public;
    assert_eq!(
        payload.text(),
        format!("1|mesh-1|demo|wss://broker.example/ws|1900000000|cm9vdA|member|{key}")
    );
    assert_eq!(
        payload.signature,
        "11a2385f0f831d7ca8e3c6e0e50af226523cb3d7e927409aa8b0390847f1557b\
         94cfeefe75f2478aa13d6c5dda735c27a95f908e6740b66ed1eb4cb30996f504"
    );
    let token = payload.encode();
    assert!(token.starts_with("eyJ2IjoxLCJtZXNoX2lkIjoibWVzaC0xIiwibWVzaF9zbHVnIjoiZGVtbyIs"));
    assert_eq!(token.len(), 499);
}

#[test]
fn every_form_of_reference_link_is_read() {
    let token = nine_fields().encode();
    let forms = [
        format!("ic://join/{token}"),
        format!("ic://join/{token}/"),
        format!("https://claudemesh.com/join/{token}"),
        format!("http://127.0.0.1:7900/join/{token}/"),
        format!("https://claudemesh.com/de/join/{token}"),
        token.clone(),
    ];

    for form in forms {
        let read = Link::parse(&form);
        let expected = Link::Reference { token: token.clone(), payload: nine_fields() };
        assert_eq!(read, Ok(expected), "{form}");
    }
    for bad in ["", "short", "ic://join/", "ftp://x/join/abc", "https://x/DE/join/abc"] {
        assert!(reference::token_of(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_changed_reference_invite_is_refused() {
    let mut payload = nine_fields();
    payload.role = Role::Admin;

    assert_eq!(payload.verify(), Err(Error::BadSignature));
    assert_eq!(Link::parse(&payload.encode()), Err(Error::BadSignature));
}

#[test]
fn our_link_comes_back_whole_and_keeps_its_secrets_behind_the_hash() {
    let link = ours();

    let text = link.at("http://127.0.0.1:7900/");

    assert_eq!(Link::parse(&text), Ok(Link::Ours(link.clone())));
    let (public, _secret) = text.split_once('#').unwrap();
    assert!(!public.contains(link.token.hex().as_str()));
    let shown = format!("{link:?}");
    assert!(!shown.contains(link.token.hex().as_str()) && shown.contains("Token(..)"));
    assert_eq!(link.payload.token_hash, token_hash(&link.token.hex()));
}

#[test]
fn a_changed_or_mixed_link_of_ours_is_refused() {
    let link = ours();
    let mut promoted = link.clone();
    promoted.payload.role = Role::Admin;
    let mut mixed = link.clone();
    mixed.token = Token::generate();
    let mut ambiguous = link.clone();
    ambiguous.payload.slug = "demo|x".into();
    ambiguous.payload = ambiguous.payload.signed(&keys(3).secret);

    for bad in [promoted, mixed, ambiguous] {
        assert!(Link::parse(&bad.at("https://edge.example")).is_err());
    }
    assert!(Link::parse(&link.at("ic://edge.example")).is_err());
}

#[test]
fn a_join_body_is_read_by_its_version() {
    let json = |payload: &str| serde_json::from_str(payload).unwrap();
    let one = serde_json::to_value(nine_fields()).unwrap();
    let two = serde_json::to_value(ours().payload).unwrap();

    assert!(matches!(Payload::from_json(one), Ok(Payload::Reference(_))));
    assert!(matches!(Payload::from_json(two.clone()), Ok(Payload::Link(_))));
    assert!(Payload::from_json(two).unwrap().verify().is_ok());
    for bad in [r#"{"v":3}"#, r#"{}"#, r#"{"v":1}"#, r#"[]"#, r#""x""#] {
        assert!(Payload::from_json(json(bad)).is_err(), "{bad}");
    }
}
