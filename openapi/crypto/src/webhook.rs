//! Posts to webhooks, signed by who posts: the symmetric form of the Standard Webhooks scheme.
//!
//! The key is random bytes, written `whsec_` and base64. Text: `<id>.<timestamp in s>.<body>`;
//! signature: `v1,` and the base64 of its HMAC-SHA256. The three travel in the headers below;
//! several signatures, by several keys, are separated by spaces.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;

use crate::{Error, Result, random};

/// The sender's id of the post; a repeat has the same.
pub const ID_HEADER: &str = "webhook-id";
/// When it was signed, in Unix seconds.
pub const TIMESTAMP_HEADER: &str = "webhook-timestamp";
/// One or several signatures.
pub const SIGNATURE_HEADER: &str = "webhook-signature";

/// What a key's text begins with.
pub const SECRET_PREFIX: &str = "whsec_";
/// What a signature of this scheme begins with.
const VERSION: &str = "v1,";

/// A new key, as text.
pub fn generate() -> String {
    format!("{SECRET_PREFIX}{}", STANDARD.encode(random::<32>()))
}

/// Signs a post.
///
/// # Errors
/// When `secret` is no key.
pub fn sign(secret: &str, id: &str, timestamp_s: i64, body: &[u8]) -> Result<String> {
    let tag = hmac::sign(&key(secret)?, &text(id, timestamp_s, body));
    Ok(format!("{VERSION}{}", STANDARD.encode(tag)))
}

/// Whether one of `signatures` is by this key over exactly this post, made within `skew_s` of
/// `now_s`. The signature is looked at first, so that nothing is told to who has no key.
///
/// # Errors
/// [`Error::BadSignature`], [`Error::Expired`], or that `secret` is no key.
pub fn verify(
    secret: &str,
    id: &str,
    timestamp_s: i64,
    body: &[u8],
    signatures: &str,
    now_s: i64,
    skew_s: u64,
) -> Result<()> {
    let key = key(secret)?;
    let text = text(id, timestamp_s, body);
    let is_signed = signatures
        .split(' ')
        .filter_map(|signature| STANDARD.decode(signature.strip_prefix(VERSION)?).ok())
        .any(|tag| hmac::verify(&key, &text, &tag).is_ok());
    if !is_signed {
        return Err(Error::BadSignature);
    }
    if timestamp_s.abs_diff(now_s) > skew_s {
        return Err(Error::Expired);
    }
    Ok(())
}

fn key(secret: &str) -> Result<hmac::Key> {
    let bytes = secret.strip_prefix(SECRET_PREFIX).and_then(|text| STANDARD.decode(text).ok());
    let bytes = bytes.ok_or(Error::Malformed("webhook secret"))?;
    Ok(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
}

fn text(id: &str, timestamp_s: i64, body: &[u8]) -> Vec<u8> {
    [format!("{id}.{timestamp_s}.").as_bytes(), body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const AT: i64 = 1_614_265_330;
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    /// Made with another program.
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    fn verified(id: &str, at: i64, body: &[u8], signatures: &str, now: i64) -> Result<()> {
        verify(SECRET, id, at, body, signatures, now, 300)
    }

    #[test]
    fn a_post_is_signed_as_others_sign_it() {
        assert_eq!(sign(SECRET, ID, AT, BODY).unwrap(), SIGNATURE);
        assert_eq!(verified(ID, AT, BODY, SIGNATURE, AT), Ok(()));
        let several = format!("v1a,AAAA {} {SIGNATURE}", SIGNATURE.replace('g', "h"));
        assert_eq!(verified(ID, AT, BODY, &several, AT), Ok(()));
    }

    #[test]
    fn a_post_that_was_changed_is_not_what_was_signed() {
        for (id, at, body, signature) in [
            ("msg_x", AT, BODY, SIGNATURE),
            (ID, AT + 1, BODY, SIGNATURE),
            (ID, AT, &b"{}"[..], SIGNATURE),
            (ID, AT, BODY, ""),
            (ID, AT, BODY, "v1,"),
            (ID, AT, BODY, &SIGNATURE[3..]),
            (ID, AT, BODY, &SIGNATURE.replace("v1", "v2")),
        ] {
            assert_eq!(verified(id, at, body, signature, AT), Err(Error::BadSignature));
        }
        assert!(sign("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", ID, AT, BODY).is_err());
        let other = generate();
        assert!(verify(&other, ID, AT, BODY, SIGNATURE, AT, 300).is_err());
    }

    #[test]
    fn a_signature_is_good_for_five_minutes_either_way() {
        for now in [AT - 300, AT + 300] {
            assert_eq!(verified(ID, AT, BODY, SIGNATURE, now), Ok(()));
        }
        for now in [AT - 301, AT + 301, 0, i64::MAX, i64::MIN] {
            assert_eq!(verified(ID, AT, BODY, SIGNATURE, now), Err(Error::Expired));
        }
    }
}
