//! Calls that are open: those of our sessions, and those that our sessions are asked.
//!
//! The caller's node keeps the call and is the only one that ends it, with one frame for the caller:
//! the answer, or a failure by name. The callee's node keeps what its session was asked, so that an
//! answer is taken from that session only, and goes to whoever asked.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
};

use skein_wire::{Code, limit};
use tokio::time::Instant;

use crate::session::Session;

/// Words a call's failure for its caller, as a frame.
pub type Failure = Box<dyn FnOnce(Code) -> String + Send>;

/// A call of one of our sessions.
pub struct Open {
    /// Who asked.
    pub caller: Arc<Session>,
    /// The node that has who is asked.
    pub node: i32,
    /// When it fails by itself.
    pub deadline: Instant,
    /// See [`Failure`].
    pub fail: Failure,
}

impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let caller = &self.caller.key;
        f.debug_struct("Open").field("caller", caller).field("node", &self.node).finish()
    }
}

/// Something that one of our sessions was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The caller's node.
    pub node: i32,
    /// The number of the call there.
    pub id: u64,
    /// The caller's `_reqId`.
    pub req_id: Option<String>,
    /// When the caller has given up.
    pub until: Instant,
}

/// The open calls of a node.
#[derive(Debug, Default)]
pub struct Calls {
    next: u64,
    open: HashMap<u64, Open>,
    of_session: HashMap<i64, usize>,
    /// By the session that was asked, then by what its answer is matched by: oldest first.
    asked: HashMap<i64, HashMap<String, VecDeque<Asked>>>,
}

impl Calls {
    /// Opens a call and numbers it, or gives it back: too many are open.
    pub fn open(&mut self, call: Open) -> Result<u64, Open> {
        let n_of_session = self.of_session.get(&call.caller.mailbox).copied().unwrap_or_default();
        if n_of_session >= limit::RELAY_CALLS_PER_SESSION_MAX
            || self.open.len() >= limit::RELAY_CALLS_MAX
        {
            return Err(call);
        }
        self.of_session.insert(call.caller.mailbox, n_of_session + 1);
        self.next += 1;
        self.open.insert(self.next, call);
        Ok(self.next)
    }

    /// Ends a call, if it is open and goes to `node`: of one call, only one caller is given it.
    pub fn close(&mut self, id: u64, node: i32) -> Option<Open> {
        if self.open.get(&id)?.node != node {
            return None;
        }
        let call = self.open.remove(&id)?;
        self.count_down(call.caller.mailbox);
        Some(call)
    }

    fn count_down(&mut self, mailbox: i64) {
        if let Some(n) = self.of_session.get_mut(&mailbox) {
            *n -= 1;
            if *n == 0 {
                self.of_session.remove(&mailbox);
            }
        }
    }

    fn close_all(&mut self, ends: impl Fn(&Open) -> bool) -> Vec<Open> {
        let ended: Vec<Open> =
            self.open.extract_if(|_, call| ends(call)).map(|(_, call)| call).collect();
        for call in &ended {
            self.count_down(call.caller.mailbox);
        }
        ended
    }

    /// Ends the calls whose time is over, and forgets what was asked with them.
    pub fn expire(&mut self, now: Instant) -> Vec<Open> {
        self.asked.retain(|_, keys| {
            keys.retain(|_, queue| {
                queue.retain(|asked| asked.until > now);
                !queue.is_empty()
            });
            !keys.is_empty()
        });
        self.close_all(|call| call.deadline <= now)
    }

    /// The nodes that calls are open to.
    pub fn nodes(&self) -> Vec<i32> {
        let nodes: HashSet<i32> = self.open.values().map(|call| call.node).collect();
        nodes.into_iter().collect()
    }

    /// Ends the calls to nodes that are gone.
    pub fn lost(&mut self, nodes: &[i32]) -> Vec<Open> {
        self.close_all(|call| nodes.contains(&call.node))
    }

    /// Notes what a session is asked; `false`: it was asked too much already.
    pub fn ask(&mut self, mailbox: i64, key: String, asked: Asked) -> bool {
        let keys = self.asked.entry(mailbox).or_default();
        let queues = keys.values();
        if queues.map(VecDeque::len).sum::<usize>() >= limit::RELAY_ASKED_PER_SESSION_MAX {
            return false;
        }
        keys.entry(key).or_default().push_back(asked);
        true
    }

    /// What the session answers with this key: the oldest of it.
    pub fn answered(&mut self, mailbox: i64, key: &str) -> Option<Asked> {
        let keys = self.asked.get_mut(&mailbox)?;
        let queue = keys.get_mut(key)?;
        let asked = queue.pop_front();
        if queue.is_empty() {
            keys.remove(key);
        }
        if keys.is_empty() {
            self.asked.remove(&mailbox);
        }
        asked
    }

    /// Forgets a session's own calls, which nobody waits for, and returns what it was asked.
    pub fn leave(&mut self, session: &Arc<Session>) -> Vec<Asked> {
        drop(self.close_all(|call| Arc::ptr_eq(&call.caller, session)));
        let asked = self.asked.remove(&session.mailbox).unwrap_or_default();
        asked.into_values().flatten().collect()
    }

    /// How many calls are open here, and how many questions to sessions of ours.
    pub fn len(&self) -> (usize, usize) {
        let asked = self.asked.values().flat_map(HashMap::values).map(VecDeque::len).sum();
        (self.open.len(), asked)
    }
}
