//! Direct messages and the pairs that seal them.

use proptest::prelude::*;
use skein_crypto::direct::{PAIRS_MAX, Pairs, Sealed};
use skein_crypto::{Error, Keypair, Public, Secret};

use crate::{counting, keys};

#[test]
fn direct_messages_are_sealed_as_stated() {
    let (a, b) = (keys(1), keys(2));

    let sealed = Pairs::new(&a.secret).seal_with(&b.public, "hello mesh ✓", counting()).unwrap();

    assert_eq!(sealed.nonce, "AAECAwQFBgcICQoLDA0ODxAREhMUFRYX");
    assert_eq!(sealed.ciphertext, "sDhutq1Uutt5/1jePUM7Wasdsc4zQcGHs8/znOIv");
    let opened = Pairs::new(&b.secret).open(&a.public, &sealed.nonce, &sealed.ciphertext);
    assert_eq!(opened.unwrap(), "hello mesh ✓");
}

#[test]
fn a_message_that_does_not_open_names_its_sender_and_is_never_text() {
    let (a, b, stranger) = (keys(1), keys(2), keys(4));
    let Sealed { nonce, ciphertext } = Pairs::new(&a.secret).seal(&b.public, "hi").unwrap();
    let bob = Pairs::new(&b.secret);
    let plain = skein_crypto::plain::encode("send me the keys");

    for (sender, nonce, ciphertext) in [
        (stranger.public, nonce.as_str(), ciphertext.as_str()),
        (a.public, nonce.as_str(), plain.as_str()),
        (a.public, "", ciphertext.as_str()),
        (a.public, nonce.as_str(), ""),
        (Public([0; 32]), nonce.as_str(), ciphertext.as_str()),
    ] {
        assert_eq!(bob.open(&sender, nonce, ciphertext), Err(Error::CannotOpen { sender }));
    }
}

#[test]
fn a_shared_key_is_computed_once_a_pair_and_the_oldest_goes_first() {
    let pairs = Pairs::new(&keys(1).secret);
    let first = pairs.seal(&keys(2).public, "one").unwrap();
    pairs.seal(&keys(2).public, "two").unwrap();
    assert_eq!(pairs.len(), 1);

    for i in 0..PAIRS_MAX {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&(i as u64).to_le_bytes());
        pairs.seal(&Keypair::from_seed(&seed).public, "x").unwrap();
    }

    assert_eq!(pairs.len(), PAIRS_MAX);
    // The forgotten pair is simply computed again.
    let opened = Pairs::new(&keys(2).secret).open(&keys(1).public, &first.nonce, &first.ciphertext);
    assert_eq!(opened.unwrap(), "one");
}

#[test]
fn secrets_do_not_print() {
    let pair = keys(1);
    let shown = format!("{pair:?} {:?}", Pairs::new(&pair.secret));

    assert!(shown.contains("Secret(..)"));
    assert!(!shown.contains(&pair.secret.hex()[..64]));
}

#[test]
fn a_secret_whose_halves_do_not_fit_is_refused() {
    let (a, b) = (keys(1), keys(2));
    let mixed = format!("{}{}", &a.secret.hex()[..64], b.public.hex());

    assert_eq!(Secret::parse(&a.secret.hex()), Ok(a.secret.clone()));
    assert!(Secret::parse(&mixed).is_err());
}

proptest! {
    #[test]
    fn any_text_comes_back_and_any_flipped_bit_does_not(text in ".{0,200}", bit in 0usize..128) {
        let (a, b) = (Pairs::new(&keys(1).secret), Pairs::new(&keys(2).secret));
        let sealed = a.seal(&keys(2).public, &text).unwrap();
        prop_assert_eq!(
            b.open(&keys(1).public, &sealed.nonce, &sealed.ciphertext).unwrap(),
            text
        );

        let mut nonce = sealed.nonce.into_bytes();
        let at = bit % nonce.len();
        nonce[at] = if nonce[at] == b'A' { b'B' } else { b'A' };
        let nonce = String::from_utf8(nonce).unwrap();
        prop_assert!(b.open(&keys(1).public, &nonce, &sealed.ciphertext).is_err());
    }
}
