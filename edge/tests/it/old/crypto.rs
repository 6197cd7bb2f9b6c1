//! Keys and bodies as the 0.8.9 client makes and reads them (wire-protocol 5), on libsodium itself:
//! nothing here is shared with what it is tested against.

use base64::{Engine, engine::general_purpose::STANDARD};
use libsodium_rs::{crypto_box, crypto_sign, ensure_init, random};

/// An Ed25519 pair.
#[derive(Clone)]
pub struct Keys {
    /// hex64, lower case.
    pub public: String,
    secret: [u8; 64],
}

impl Keys {
    pub fn generate() -> Self {
        ensure_init().unwrap();
        let pair = crypto_sign::KeyPair::generate().unwrap();
        Self::of(*pair.secret_key.as_bytes())
    }

    /// Reads hex128, as `config.json` has it.
    pub fn parse(secret: &str) -> Self {
        ensure_init().unwrap();
        Self::of(hex::decode(secret).unwrap().try_into().unwrap())
    }

    fn of(secret: [u8; 64]) -> Self {
        Self { public: hex::encode(&secret[32..]), secret }
    }

    pub fn secret(&self) -> String {
        hex::encode(self.secret)
    }

    /// A detached signature, hex128.
    pub fn sign(&self, text: &str) -> String {
        let key = crypto_sign::SecretKey::from_bytes(&self.secret).unwrap();
        hex::encode(crypto_sign::sign_detached(text.as_bytes(), &key).unwrap())
    }

    /// A direct message's `nonce` and `ciphertext`.
    pub fn seal(&self, to: &str, text: &str) -> (String, String) {
        self.seal_with(to, text, random::bytes(24).try_into().unwrap())
    }

    fn seal_with(&self, to: &str, text: &str, nonce: [u8; 24]) -> (String, String) {
        let sealed = crypto_box::seal(
            text.as_bytes(),
            &crypto_box::Nonce::from_bytes_exact(nonce),
            &box_public(to).expect("a key that was listed"),
            &self.box_secret(),
        );
        (STANDARD.encode(nonce), STANDARD.encode(sealed.unwrap()))
    }

    /// The text of a direct message, if `from` sealed it for this key.
    pub fn open(&self, from: &str, nonce: &str, ciphertext: &str) -> Option<String> {
        let nonce = STANDARD.decode(nonce).ok()?.try_into().ok()?;
        let sealed = STANDARD.decode(ciphertext).ok()?;
        let nonce = crypto_box::Nonce::from_bytes_exact(nonce);
        let text = crypto_box::open(&sealed, &nonce, &box_public(from)?, &self.box_secret());
        String::from_utf8(text.ok()?).ok()
    }

    fn box_secret(&self) -> crypto_box::SecretKey {
        let key = crypto_sign::SecretKey::from_bytes(&self.secret).unwrap();
        let key = crypto_sign::ed25519_sk_to_curve25519(&key).unwrap();
        crypto_box::SecretKey::from_bytes(&key).unwrap()
    }
}

fn box_public(key: &str) -> Option<crypto_box::PublicKey> {
    let key = crypto_sign::PublicKey::from_bytes(&hex::decode(key).ok()?).ok()?;
    let key = crypto_sign::ed25519_pk_to_curve25519(&key).ok()?;
    crypto_box::PublicKey::from_bytes(&key).ok()
}

/// Whether this key (hex in any case) signed the text.
pub fn verify(public: &str, text: &str, signature: &str) -> bool {
    ensure_init().unwrap();
    let (Ok(public), Ok(signature)) = (hex::decode(public), hex::decode(signature)) else {
        return false;
    };
    let (Ok(public), Ok(signature)) =
        (crypto_sign::PublicKey::from_bytes(&public), signature.try_into())
    else {
        return false;
    };
    crypto_sign::verify_detached(&signature, text.as_bytes(), &public)
}

/// A multicast's `nonce` and `ciphertext`: not sealed, and the nonce means nothing.
pub fn plain(text: &str) -> (String, String) {
    (STANDARD.encode(random::bytes(24)), STANDARD.encode(text))
}

/// The text of a body that is not sealed, if it looks like text (5.4, third rule).
pub fn read_plain(ciphertext: &str) -> Option<String> {
    let text = String::from_utf8_lossy(&STANDARD.decode(ciphertext).ok()?).into_owned();
    let is_text = |unit: u16| matches!(unit, 0x09..=0x0d | 0x20..=0x7e | 0xa0..=0xffff);
    (!text.is_empty() && text.encode_utf16().all(is_text)).then_some(text)
}

/// Hex of random bytes.
pub fn random_hex(n_bytes: usize) -> String {
    hex::encode(random::bytes(n_bytes))
}

#[test]
fn its_forms_are_the_contracts_vectors() {
    ensure_init().unwrap();
    let keys = |byte: u8| {
        let pair = crypto_sign::keypair_from_seed(&[byte; 32]).unwrap();
        Keys::of(*pair.secret_key.as_bytes())
    };
    let (a, b) = (keys(1), keys(2));
    assert_eq!(a.public, "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c");

    let signed = a.sign(&format!("mesh-1|member-1|{}|1700000000000", a.public));
    assert_eq!(
        signed,
        "7de8bcca2f18af94b77eab090c59c82069e07700b30dbed8d6dc3289e218de70\
         054b77530170490503d8ad1714a3a79b1540d5cba8f8fa8435eb71bc6b928508"
    );

    let nonce: Vec<u8> = (0..24).collect();
    let (nonce, ciphertext) = a.seal_with(&b.public, "hello mesh ✓", nonce.try_into().unwrap());
    assert_eq!(nonce, "AAECAwQFBgcICQoLDA0ODxAREhMUFRYX");
    assert_eq!(ciphertext, "sDhutq1Uutt5/1jePUM7Wasdsc4zQcGHs8/znOIv");
    assert_eq!(b.open(&a.public, &nonce, &ciphertext).as_deref(), Some("hello mesh ✓"));
}
