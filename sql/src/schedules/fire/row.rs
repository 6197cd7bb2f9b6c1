//! A schedule's row while it is fired.

use jiff::Timestamp;
use skein_wire::schedules::{Missed, Overlap};
use tokio_postgres::Row;
use uuid::Uuid;

/// A row that is locked.
pub(super) struct Scheduled {
    pub(super) id: Uuid,
    pub(super) mesh: i64,
    pub(super) mesh_id: String,
    pub(super) member: i64,
    pub(super) member_key: String,
    pub(super) session: i64,
    pub(super) session_key: String,
    pub(super) target: String,
    pub(super) nonce: String,
    pub(super) body: String,
    pub(super) sealed_to: Option<String>,
    pub(super) subtype: Option<String>,
    pub(super) priority: i16,
    pub(super) cron: Option<String>,
    pub(super) tz: Option<String>,
    pub(super) is_sim: bool,
    pub(super) missed: Missed,
    pub(super) overlap: Overlap,
    pub(super) jitter_s: u32,
    pub(super) is_active: bool,
    pub(super) slot: Timestamp,
    pub(super) serve_at: Timestamp,
    pub(super) n_logged: i64,
    pub(super) last_seq: Option<i64>,
    pub(super) run_at: Option<Timestamp>,
    /// Its creator is no member any more, or the mesh is archived.
    pub(super) is_gone: bool,
}

impl Scheduled {
    pub(super) fn of(row: &Row) -> Self {
        Self {
            id: row.get("id"),
            mesh: row.get("mesh"),
            mesh_id: row.get("mesh_id"),
            member: row.get("member"),
            member_key: row.get("pubkey"),
            session: row.get("session"),
            session_key: row.get("session_key"),
            target: row.get("target"),
            nonce: row.get("nonce"),
            body: row.get("body"),
            sealed_to: row.get("sealed_to"),
            subtype: row.get("subtype"),
            priority: row.get("priority"),
            cron: row.get("cron"),
            tz: row.get("tz"),
            is_sim: row.get::<_, &str>("clock") == "sim",
            missed: Missed::parse(row.get("missed")).unwrap_or(Missed::Skip),
            overlap: Overlap::parse(row.get("overlap")).unwrap_or(Overlap::Allow),
            jitter_s: u32::try_from(row.get::<_, i32>("jitter_s")).unwrap_or_default(),
            is_active: row.get::<_, &str>("state") == "active",
            slot: row.get("slot"),
            serve_at: row.get("serve_at"),
            n_logged: row.get("n_logged"),
            last_seq: row.get("last_seq"),
            run_at: row.get("run_at"),
            is_gone: row.get("is_gone"),
        }
    }

    pub(super) fn is_multicast(&self) -> bool {
        self.target == "*" || self.target.starts_with('@')
    }

    /// Whether it is for the session that made it.
    pub(super) fn is_own(&self) -> bool {
        self.target == self.session_key
    }

    pub(super) fn n_bytes(&self) -> usize {
        self.nonce.len() + self.body.len()
    }
}
