//! The vectors of the reference.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use skein_crypto::file::{self, ContentKey};
use skein_crypto::{Public, at_rest, audit, hello, plain, vault};

use crate::{counting, keys};

const A_X25519_SECRET: &str = "58e86efb75fa4e2c410f46e16de9f6acae1a1703528651b69bc176c088bef36e";
const B_X25519_SECRET: &str = "a83c626bc9c38c8c201878ebb1d5b0b50ac40e8986c78793db1d4ef369fca14e";

#[test]
fn keys_have_the_stated_public_halves_and_images() {
    let (a, b, o) = (keys(1), keys(2), keys(3));

    assert_eq!(a.public.hex(), "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c");
    assert_eq!(b.public.hex(), "8139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394");
    assert_eq!(o.public.hex(), "ed4928c628d1c2c6eae90338905995612959273a5c63f93636c14614ac8737d1");
    assert_eq!(
        hex::encode(a.public.x25519().unwrap()),
        "1b1b58dd50ea14b60da17b790cd02754d970c9bab864ebb3c0f3016fe51d3f57"
    );
    assert_eq!(
        hex::encode(b.public.x25519().unwrap()),
        "60346e7c911a5f6ba154129174cafe75b294ac3bbd5549632f48cec6266f8410"
    );
    assert_eq!(hex::encode(*a.secret.x25519()), A_X25519_SECRET);
    assert_eq!(hex::encode(*b.secret.x25519()), B_X25519_SECRET);
}

#[test]
fn hello_is_signed_as_stated() {
    let a = keys(1);
    let key = a.public.hex();

    let signature = hello::sign(&a.secret, "mesh-1", "member-1", 1_700_000_000_000);

    assert_eq!(
        hello::text("mesh-1", "member-1", &key, 1_700_000_000_000),
        format!("mesh-1|member-1|{key}|1700000000000")
    );
    assert_eq!(
        signature.hex(),
        "7de8bcca2f18af94b77eab090c59c82069e07700b30dbed8d6dc3289e218de70\
         054b77530170490503d8ad1714a3a79b1540d5cba8f8fa8435eb71bc6b928508"
    );
    let hex = signature.hex();
    let checked = hello::verify("mesh-1", "member-1", &key, 1_700_000_000_000, &hex);
    assert_eq!(checked, Ok(a.public));
}

#[test]
fn files_are_sealed_as_stated() {
    let key = ContentKey::from_bytes([7; 32]);
    let stored = "000102030405060708090a0b0c0d0e0f1011121314151617\
                  f9728e72b856a603c654d76e0c005500fc77852aab170da19c";

    assert_eq!(hex::encode(file::seal_with(&key, b"file body", counting())), stored);
    assert_eq!(file::open(&key, &hex::decode(stored).unwrap()).unwrap(), b"file body");
}

#[test]
fn a_sealed_file_key_opens_for_its_peer_only() {
    let wrapped = "aLbnUORPJ8AO3SXHb/eNdKOoWKB+ThZOcWa4Mcr5wEdPe1rNGUhnVIqWJ+KySU68z5PoodFlr4YFC4rG\
                   p2ZLfLrFAOvla+8Tx9z6gcE2ybM=";

    let opened = ContentKey::unwrap(wrapped, &keys(2).secret);

    assert_eq!(opened, Ok(ContentKey::from_bytes([7; 32])));
    assert!(ContentKey::unwrap(wrapped, &keys(1).secret).is_err());
    assert_eq!(ContentKey::generate().wrap(&keys(2).public).unwrap().len(), 108);
}

#[test]
fn vault_entries_open_for_their_member_only() {
    let entry = vault::seal(&keys(1).public, b"s3cret").unwrap();

    assert_eq!(vault::open(&keys(1).secret, &entry).unwrap(), b"s3cret");
    assert!(vault::open(&keys(2).secret, &entry).is_err());
    assert_eq!(STANDARD.decode(entry.ciphertext).unwrap().len(), 6 + 16);
}

#[test]
fn the_server_seals_at_rest_as_stated() {
    let stored = "AAECAwQFBgcICQoLx9cEgGKl7gO7kzYuwbBr8ZFz0OAGbVzH4g==";

    assert_eq!(at_rest::seal_with(&[9; 32], br#"{"K":"v"}"#, counting()), stored);
    assert_eq!(at_rest::open(&[9; 32], stored).unwrap(), br#"{"K":"v"}"#);
    assert!(at_rest::open(&[8; 32], stored).is_err());
    assert!(at_rest::open(&[9; 32], "AAEC").is_err());
}

#[test]
fn audit_entries_are_hashed_as_stated() {
    let hash = audit::hash(
        audit::GENESIS,
        "mesh-1",
        "state_set",
        "member-1",
        r#"{"key":"k","value":1}"#,
        "2026-01-02T03:04:05.678Z",
    );

    assert_eq!(hash, "8156defeef7d8221be146a12a204798cded7d41d03c5901e895a76b5c5cf8353");
}

#[test]
fn plain_bodies_are_base64_and_text_is_told_from_noise() {
    let body = plain::encode("hello mesh ✓ 🦀\n");

    assert_eq!(plain::decode(&body).unwrap(), "hello mesh ✓ 🦀\n");
    assert!(plain::is_printable("hello mesh ✓ 🦀\n\t"));
    for noise in ["", "\u{7}", "\u{7f}", "\u{85}", "a\0"] {
        assert!(!plain::is_printable(noise), "{noise:?}");
    }
    assert!(plain::decode("aGk").is_err(), "padding is required");
    assert!(plain::decode("__-_").is_err(), "the url alphabet is not");
}

#[test]
fn upper_case_keys_are_read_only_where_both_cases_are_meant() {
    let upper = keys(1).public.hex().to_uppercase();

    assert!(Public::parse(&upper).is_err());
    assert_eq!(Public::parse_any_case(&upper), Ok(keys(1).public));
    for bad in ["", "8a88", &format!("{upper}00"), &"g".repeat(64)] {
        assert!(Public::parse_any_case(bad).is_err(), "{bad}");
    }
}
