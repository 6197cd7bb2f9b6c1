//! A hello as far as its own text goes: its form, its limits and its signatures.

use jiff::Timestamp;
use skein_crypto::{Public, hello as signed};
use skein_wire::{
    Code,
    hello::{Head, Hello},
    limit,
};

/// A hello that was read and checked as far as its own text goes.
#[derive(Debug)]
pub struct Checked {
    /// The mesh it names, if it names one.
    pub mesh_id: String,
    /// What was said, or what is wrong with it.
    pub verdict: Result<Hello, Code>,
}

impl Checked {
    /// Checks a hello's own text, in the contract's order: timestamp, form, signature.
    pub fn read(frame: &str, now: Timestamp) -> Self {
        let head: Head = serde_json::from_str(frame).unwrap_or_default();
        let verdict = check(frame, &head, now);
        Self { mesh_id: head.mesh_id.unwrap_or_default(), verdict }
    }

    /// The member's key; empty when the hello cannot be read.
    pub fn pubkey(&self) -> &str {
        self.verdict.as_ref().map_or("", |hello| hello.pubkey.as_str())
    }

    /// The key that the session is addressed by.
    pub fn key(&self) -> &str {
        self.verdict
            .as_ref()
            .map_or("", |hello| hello.session_pubkey.as_deref().unwrap_or(&hello.pubkey))
    }

    /// What makes this very hello recognisable: the proof's nonce, else the exact signature.
    pub fn nonce(&self) -> Vec<u8> {
        self.verdict.as_ref().map_or(Vec::new(), |hello| {
            bytes(hello.session_proof.as_ref().map_or(&hello.signature, |proof| &proof.nonce))
        })
    }

    /// The signature of a hello that is recognised by its proof. Whoever heard it could leave the
    /// proof out and name a session key of his own.
    pub fn proved_signature(&self) -> Option<Vec<u8>> {
        let hello = self.verdict.as_ref().ok()?;
        hello.session_proof.as_ref().map(|_| bytes(&hello.signature))
    }
}

fn check(frame: &str, head: &Head, now: Timestamp) -> Result<Hello, Code> {
    let skew_ms = head.timestamp.map(|at| (at - now.as_millisecond() as f64).abs());
    let skew_max_ms = limit::HELLO_SKEW.as_millis() as f64;
    if !skew_ms.is_some_and(|ms| ms <= skew_max_ms) {
        return Err(Code::TimestampSkew);
    }
    let mut hello: Hello = serde_json::from_str(frame).map_err(|_| Code::Malformed)?;
    shape(&mut hello)?;
    signed::verify(
        &hello.mesh_id,
        &hello.member_id,
        &hello.pubkey,
        hello.timestamp,
        &hello.signature,
    )
    .map_err(|error| match error {
        skein_crypto::Error::BadSignature => Code::BadSignature,
        _ => Code::Malformed,
    })?;
    if let Some(proof) = &hello.session_proof {
        let member = Public::parse_any_case(&hello.pubkey).map_err(|_| Code::Malformed)?;
        let key = hello.session_pubkey.as_deref().ok_or(Code::Malformed)?;
        let session = Public::parse(key).map_err(|_| Code::Malformed)?;
        proof
            .verify(&member, &hello.mesh_id, &session, now.as_millisecond())
            .map_err(|_| Code::BadSignature)?;
    }
    Ok(hello)
}

/// Checks forms and limits; a display name that is too long is cut.
fn shape(hello: &mut Hello) -> Result<(), Code> {
    if let Some(key) = &hello.session_pubkey {
        Public::parse(key).map_err(|_| Code::Malformed)?;
    }
    let texts = [
        Some(&hello.session_id),
        Some(&hello.cwd),
        hello.hostname.as_ref(),
        hello.peer_type.as_ref(),
        hello.channel.as_ref(),
        hello.model.as_ref(),
        hello.client.as_ref(),
    ];
    if texts.into_iter().flatten().any(|text| text.len() > limit::HELLO_TEXT_BYTES_MAX) {
        return Err(Code::Malformed);
    }
    if let Some(name) = &mut hello.display_name {
        *name = name.trim().chars().take(limit::DISPLAY_NAME_CHARS_MAX).collect();
    }
    let groups = hello.groups.get_or_insert_default();
    let are_groups = groups.iter().all(|group| {
        let n_bytes = group.role.as_ref().map_or(0, String::len);
        crate::handlers::groups::is_path(&group.name) && n_bytes <= limit::ROLE_BYTES_MAX
    });
    if groups.len() > limit::GROUPS_MAX || !are_groups {
        return Err(Code::Malformed);
    }
    Ok(())
}

/// The bytes that a hex text stands for, in whichever case it is written.
fn bytes(hex: &str) -> Vec<u8> {
    hex::decode(hex).unwrap_or_else(|_| hex.as_bytes().to_vec())
}
