//! A session's attachment to this node: who it is, what was pushed to it, and its way out.

mod outbox;
mod pending;
mod snapshot;
mod window;

use std::{
    ops::Deref,
    sync::{Arc, Mutex, MutexGuard, atomic::AtomicBool},
};

use skein_wire::{Status, groups::Group, hello::Caps, webhooks::EVERYBODY};

pub use self::{
    outbox::{Out, Outbox},
    pending::Pending,
    snapshot::Snapshot,
    window::{Skipped, What, Window},
};

/// Who a session is, for as long as it is attached.
#[derive(Debug)]
pub struct Identity {
    /// The session's mailbox.
    pub mailbox: i64,
    /// Which attachment of the session this is.
    pub attach_no: i64,
    /// The mesh's number.
    pub mesh: i64,
    /// The mesh's id on the wire.
    pub mesh_id: Arc<str>,
    /// The member's mailbox.
    pub member: i64,
    /// The session's key: what it is addressed by, and sends from.
    pub key: String,
    /// The attachment's id on the wire.
    pub presence_id: String,
    /// The name that others see.
    pub name: String,
    /// What the client understands.
    pub caps: Caps,
}

/// One attachment of a session.
#[derive(Debug)]
pub struct Session {
    identity: Identity,
    live: Mutex<Live>,
    window: Mutex<Window>,
    /// The way to its socket.
    pub out: Outbox,
    /// Sends that are with the writer.
    pub pending: Pending,
    /// Whether a send of this attachment was skipped: then the later ones are too, or they would
    /// be stored before what is repeated elsewhere.
    pub skipped: AtomicBool,
}

impl Deref for Session {
    type Target = Identity;

    fn deref(&self) -> &Identity {
        &self.identity
    }
}

/// What changes while a session is attached.
#[derive(Debug, Clone)]
pub struct Live {
    /// What it may be interrupted with.
    pub status: Status,
    /// Its groups.
    pub groups: Vec<Group>,
    /// Whether multicasts of peers reach it.
    pub visible: bool,
    /// Counts the session's own changes of its status, so that an older reading is recognised.
    pub status_changes: u64,
}

impl Session {
    /// A new attachment with nothing pushed; its log starts at `place`.
    pub fn new(identity: Identity, live: Live, place: u64, out: Outbox) -> Self {
        Self {
            identity,
            live: Mutex::new(live),
            window: Mutex::new(Window::new(place)),
            out,
            pending: Pending::default(),
            skipped: AtomicBool::new(false),
        }
    }

    /// What changes; held for a moment only.
    pub fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().expect("nothing panics while it holds the session")
    }

    /// What was pushed; held for a moment only.
    pub fn window(&self) -> MutexGuard<'_, Window> {
        self.window.lock().expect("nothing panics while it holds the window")
    }

    /// Whether only what is urgent may be pushed.
    pub fn takes_everything(&self) -> bool {
        self.live().status == Status::Idle
    }

    /// Whether a multicast to `target` (`*`, `@all`, `@group`, [`EVERYBODY`]) by `sender` is for this
    /// session.
    pub fn hears(&self, target: &str, sender: i64) -> bool {
        if sender == self.mailbox {
            return false;
        }
        if target == EVERYBODY {
            return true;
        }
        let live = self.live();
        live.visible
            && match target.strip_prefix('@') {
                None | Some("all") => true,
                Some(group) => {
                    live.groups.iter().any(|g| skein_wire::groups::reaches(group, &g.name))
                }
            }
    }

    /// Every `target` whose multicasts are for this session, as it is now.
    pub fn log_targets(&self) -> Vec<String> {
        let mut targets = vec![EVERYBODY.to_owned()];
        let live = self.live();
        if !live.visible {
            return targets;
        }
        targets.extend(["*".to_owned(), "@all".to_owned()]);
        for group in &live.groups {
            let mut path = group.name.as_str();
            targets.push(format!("@{path}"));
            while let Some((parent, _)) = path.rsplit_once('/') {
                path = parent;
                targets.push(format!("@{path}"));
            }
        }
        targets
    }
}
