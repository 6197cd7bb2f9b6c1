//! Audit: the log of what happened in a mesh, and the proof that nobody changed it.
//!
//! Every entry has the number after that of the entry before it, and a hash over that entry's hash
//! and what it says itself (`skein_crypto::audit`): an entry that is changed, taken out or moved
//! shows. [`Event`] lists what is audited. A message is audited when it is stored, and messages of
//! one sender to one target may share an entry with a `count`.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use skein_crypto::audit;

use crate::{call::calls, groups::Group, limit, stats::plain};

calls! { Audit {
    /// Reads entries, newest first.
    "audit_query" AuditQuery => AuditResult,
    /// Computes the hashes again.
    "audit_verify" AuditVerify => AuditVerifyResult,
}}

/// Reads entries, newest first.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(tag = "type", rename = "audit_query", rename_all = "camelCase")]
pub struct AuditQuery {
    /// At most so many; 50 when absent, and never more than a page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// After so many newer ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u32>,
    /// Only those of this event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_type: Option<String>,
    /// Extension: only those with a smaller number, so that pages stay put while the log grows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
}

/// Entries of the log.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename = "audit_result")]
pub struct AuditResult {
    /// Newest first, as many as fit one frame.
    pub entries: Vec<Entry>,
    /// How many there are, of the event that was asked for.
    pub total: u64,
}

/// An entry of the log.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Its number in the mesh: 1, 2, 3 and so on.
    pub id: u64,
    /// What happened.
    pub event_type: String,
    /// Who did it, by name. The name is not part of the hash.
    pub actor: String,
    /// Extension: who did it, as the hash has it: a member's id, `owner`, `operator` or `system`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor_id: Option<String>,
    /// What it is about: these very bytes are part of the hash.
    pub payload: Box<RawValue>,
    /// The entry's hash.
    pub hash: String,
    /// When it happened, ISO 8601. Numbers are given a little later, so this may step back.
    pub created_at: String,
}

/// Computes the hashes again.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(tag = "type", rename = "audit_verify")]
pub struct AuditVerify {
    /// Extension: begins behind this entry, as the `next` of the answer before said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
}

/// What came of computing the hashes again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "audit_verify_result", rename_all = "camelCase")]
pub struct AuditVerifyResult {
    /// Whether everything that was looked at is as it was written.
    pub valid: bool,
    /// How many entries the log has; where `next` is given, how many were looked at so far.
    pub entries: u64,
    /// The number of the first entry that is changed, missing or moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broken_at: Option<u64>,
    /// Extension: the log is longer than one answer may take; ask again with `after` this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// What is audited. No secret is ever part of it: no key but public ones, no token, no body.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
pub enum Event<'a> {
    /// A session is here: one that was not, or was announced gone.
    PeerJoined {
        /// The session's key.
        pubkey: &'a str,
        /// Its groups.
        groups: &'a [Group],
        /// Whether it was here before.
        restored: bool,
        /// How many of its groups found no room here.
        #[serde(skip_serializing_if = "Option::is_none")]
        groups_left_out: Option<usize>,
    },
    /// A session has gone, and did not come back in time.
    PeerLeft {},
    /// A message was stored.
    MessageSent {
        /// What it was sent to.
        target_spec: &'a str,
        /// How urgent it was.
        priority: &'a str,
        /// How many messages this stands for, when more than one.
        #[serde(skip_serializing_if = "Option::is_none")]
        count: Option<i64>,
    },
    /// A key of the mesh's state was set to this value.
    StateSet {
        /// The key.
        key: &'a str,
        /// The value, compact.
        value: Box<RawValue>,
    },
    /// The same with a value that is too large for the log.
    StateSetLarge {
        /// The key.
        key: &'a str,
        /// SHA-256 of the value as it was sent, in lower-case hex.
        value_sha256: String,
        /// Its length.
        value_bytes: usize,
    },
    /// A key of the mesh's state was removed.
    StateDeleted {
        /// The key.
        key: &'a str,
    },
    /// The mesh was made.
    MeshCreated {
        /// Its short name.
        slug: &'a str,
        /// Who owns it.
        owner_pubkey: &'a str,
    },
    /// An invite was registered.
    InviteCreated {
        /// The invite; its token is nobody's business.
        invite_id: &'a str,
        /// What it makes of whoever joins.
        role: &'a str,
        /// How many may join.
        uses: i32,
        /// Until when.
        expires_at: &'a str,
    },
    /// An invite was ended.
    InviteRevoked {
        /// The invite.
        invite_id: &'a str,
    },
    /// A key became a member.
    MemberJoined {
        /// The member.
        member_id: &'a str,
        /// Its key.
        pubkey: &'a str,
        /// What it may do.
        role: &'a str,
        /// The invite that let it in.
        invite_id: &'a str,
    },
    /// A member may do something else now.
    RoleChanged {
        /// The member.
        member_id: &'a str,
        /// What it may do.
        role: &'a str,
    },
    /// A member is none any more.
    MemberRevoked {
        /// The member.
        member_id: &'a str,
    },
    /// An API key was made.
    ApiKeyCreated {
        /// The key's id, not the key.
        key_id: &'a str,
        /// What it is called.
        name: &'a str,
        /// What it may do.
        capabilities: &'a [String],
    },
    /// An API key was ended.
    ApiKeyRevoked {
        /// The key's id.
        key_id: &'a str,
    },
    /// A webhook was made.
    WebhookCreated {
        /// What it is called; its address is a secret.
        name: &'a str,
        /// Where what it is told goes.
        #[serde(skip_serializing_if = "Option::is_none")]
        target: Option<&'a str>,
    },
    /// A webhook was removed.
    WebhookDeleted {
        /// What it was called.
        name: &'a str,
    },
    /// A schedule was made.
    ScheduleCreated {
        /// The schedule.
        schedule_id: &'a str,
        /// Whom it is for.
        to: &'a str,
        /// When, again and again.
        #[serde(skip_serializing_if = "Option::is_none")]
        cron: Option<&'a str>,
    },
    /// A schedule was ended by its member.
    ScheduleCancelled {
        /// The schedule.
        schedule_id: &'a str,
        /// Whom it was for.
        to: &'a str,
    },
    /// The simulation clock was started, or goes at another speed.
    ClockSet {
        /// Its speed.
        #[serde(serialize_with = "plain")]
        speed: f64,
    },
    /// The simulation clock was paused.
    ClockPaused {
        /// Nobody did it: the last peer had left.
        #[serde(skip_serializing_if = "Option::is_none")]
        by_itself: Option<bool>,
    },
    /// The simulation clock goes on.
    ClockResumed {},
    /// A URL watch was made.
    WatchCreated {
        /// The watch.
        watch_id: &'a str,
        /// What it looks at, without its query, which may hold a secret.
        url: &'a str,
        /// The group that is told too.
        #[serde(skip_serializing_if = "Option::is_none")]
        group: Option<&'a str>,
    },
    /// A URL watch was ended.
    WatchDeleted {
        /// The watch.
        watch_id: &'a str,
        /// What it looked at, without its query.
        url: &'a str,
    },
    /// A check of a URL was tried.
    WatchTested {
        /// What it looked at, without its query.
        url: &'a str,
    },
}

impl<'a> Event<'a> {
    /// That a session is here, with as many of its groups as have room.
    pub fn peer_joined(pubkey: &'a str, groups: &'a [Group], restored: bool) -> Self {
        let json =
            |group: &Group| serde_json::to_string(group).expect("groups have string keys only");
        let mut n_bytes = 0;
        let fits = |group: &&Group| {
            n_bytes += json(group).len() + 1;
            n_bytes <= limit::AUDIT_GROUPS_BYTES_MAX
        };
        let n_kept = groups.iter().take_while(fits).count();
        let left_out = groups.len() - n_kept;
        Self::PeerJoined {
            pubkey,
            groups: &groups[..n_kept],
            restored,
            groups_left_out: (left_out > 0).then_some(left_out),
        }
    }

    /// That a key of the state was set to this JSON: with the value, or its hash where that is
    /// large.
    pub fn state_set(key: &'a str, json: &'a str) -> Self {
        let small = Some(json).filter(|json| json.len() <= limit::AUDIT_VALUE_BYTES_MAX);
        match small.and_then(|json| RawValue::from_string(compact(json)).ok()) {
            Some(value) => Self::StateSet { key, value },
            None => Self::StateSetLarge {
                key,
                value_sha256: audit::digest(json),
                value_bytes: json.len(),
            },
        }
    }

    /// The entry's `eventType`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::PeerJoined { .. } => "peer_joined",
            Self::PeerLeft {} => "peer_left",
            Self::MessageSent { .. } => "message_sent",
            Self::StateSet { .. } | Self::StateSetLarge { .. } => "state_set",
            Self::StateDeleted { .. } => "state_deleted",
            Self::MeshCreated { .. } => "mesh_created",
            Self::InviteCreated { .. } => "invite_created",
            Self::InviteRevoked { .. } => "invite_revoked",
            Self::MemberJoined { .. } => "member_joined",
            Self::RoleChanged { .. } => "role_changed",
            Self::MemberRevoked { .. } => "member_revoked",
            Self::ApiKeyCreated { .. } => "api_key_created",
            Self::ApiKeyRevoked { .. } => "api_key_revoked",
            Self::WebhookCreated { .. } => "webhook_created",
            Self::WebhookDeleted { .. } => "webhook_deleted",
            Self::ScheduleCreated { .. } => "schedule_created",
            Self::ScheduleCancelled { .. } => "schedule_cancelled",
            Self::ClockSet { .. } => "clock_set",
            Self::ClockPaused { .. } => "clock_paused",
            Self::ClockResumed {} => "clock_resumed",
            Self::WatchCreated { .. } => "watch_created",
            Self::WatchDeleted { .. } => "watch_deleted",
            Self::WatchTested { .. } => "watch_tested",
        }
    }

    /// The entry's payload: compact JSON, its fields in the order above.
    pub fn payload(&self) -> String {
        serde_json::to_string(self).expect("events have string keys only")
    }
}

/// The same JSON without what stands between its parts.
fn compact(json: &str) -> String {
    let (mut in_text, mut is_escaped) = (false, false);
    let keep = |c: &char| {
        if in_text {
            in_text = is_escaped || *c != '"';
            is_escaped = !is_escaped && *c == '\\';
            return true;
        }
        in_text = *c == '"';
        !matches!(*c, ' ' | '\t' | '\n' | '\r')
    };
    json.chars().filter(keep).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_compact_and_in_the_contracts_order() {
        let value = "{ \"b\" :\t1,\n \"a\": [ \"x y\", \"\\\" \", \"\\\\\" ] }";
        let groups = [Group { name: "dev".into(), role: None }];
        let sent =
            |count| Event::MessageSent { target_spec: "*", priority: "next", count }.payload();

        assert_eq!(
            Event::state_set("k", value).payload(),
            "{\"key\":\"k\",\"value\":{\"b\":1,\"a\":[\"x y\",\"\\\" \",\"\\\\\"]}}"
        );
        assert_eq!(
            Event::peer_joined("ab", &groups, true).payload(),
            r#"{"pubkey":"ab","groups":[{"name":"dev"}],"restored":true}"#
        );
        assert_eq!(Event::PeerLeft {}.payload(), "{}");
        let paused = |by_itself| Event::ClockPaused { by_itself }.payload();
        assert_eq!(Event::ClockSet { speed: 10.0 }.payload(), r#"{"speed":10}"#);
        assert_eq!(
            (paused(None), paused(Some(true))),
            ("{}".into(), r#"{"byItself":true}"#.into())
        );
        assert_eq!(sent(None), r#"{"targetSpec":"*","priority":"next"}"#);
        assert_eq!(sent(Some(7)), r#"{"targetSpec":"*","priority":"next","count":7}"#);
    }

    #[test]
    fn what_is_large_is_named_by_its_hash_or_counted() {
        let most = format!("\"{}\"", "x".repeat(limit::AUDIT_VALUE_BYTES_MAX - 2));
        let large = format!("\"{}\"", "x".repeat(limit::AUDIT_VALUE_BYTES_MAX - 1));
        let long = Group { name: "\u{1}".repeat(128), role: Some("\u{1}".repeat(128)) };

        let kept = Event::state_set("k", &most).payload();
        let hashed = Event::state_set("k", &large).payload();
        let joined = Event::peer_joined("ab", &vec![long; 64], false).payload();

        assert!(kept.contains("xxx"), "{kept}");
        assert!(hashed.contains("\"valueBytes\":1025}") && !hashed.contains("xxx"), "{hashed}");
        assert!(joined.len() < limit::AUDIT_GROUPS_BYTES_MAX + 200, "{}", joined.len());
        assert!(joined.ends_with("\"restored\":false,\"groupsLeftOut\":62}"), "{joined}");
    }
}
