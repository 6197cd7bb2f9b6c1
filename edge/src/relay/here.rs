//! Who is here: the live sessions of a node by mesh, what they follow, and what reaches them.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
};

use skein_wire::limit;

use super::{parcel::Audience, versions::Versions};
use crate::session::Session;

/// The live sessions of a node.
#[derive(Debug, Default)]
pub struct Here {
    sessions: HashMap<i64, Arc<Session>>,
    by_mesh: HashMap<i64, Vec<Arc<Session>>>,
    /// The followers of a mesh's topics.
    topics: HashMap<(i64, String), Vec<Arc<Session>>>,
    follows: HashMap<i64, HashSet<String>>,
    versions: Versions,
    /// Answers that wait for their session's socket to take them.
    waiting: HashMap<i64, VecDeque<String>>,
    n_waiting_bytes: usize,
}

impl Here {
    /// A session is live; returns the one that it replaces.
    pub fn enter(&mut self, session: &Arc<Session>) -> Option<Arc<Session>> {
        let older = self.sessions.get(&session.mailbox).cloned();
        if let Some(older) = &older {
            self.leave(older);
        }
        self.sessions.insert(session.mailbox, session.clone());
        self.by_mesh.entry(session.mesh).or_default().push(session.clone());
        older
    }

    /// A session has gone; `false`: it was not here, or was replaced.
    pub fn leave(&mut self, session: &Arc<Session>) -> bool {
        let here = self.sessions.get(&session.mailbox);
        if !here.is_some_and(|here| Arc::ptr_eq(here, session)) {
            return false;
        }
        self.sessions.remove(&session.mailbox);
        take_out(&mut self.by_mesh, &session.mesh, session);
        for topic in self.follows.remove(&session.mailbox).unwrap_or_default() {
            take_out(&mut self.topics, &(session.mesh, topic), session);
        }
        let dropped = self.waiting.remove(&session.mailbox).unwrap_or_default();
        self.n_waiting_bytes -= dropped.iter().map(String::len).sum::<usize>();
        true
    }

    /// A live session.
    pub fn get(&self, mailbox: i64) -> Option<&Arc<Session>> {
        self.sessions.get(&mailbox)
    }

    /// Whether this attachment of its session is the live one.
    pub fn is_here(&self, session: &Session) -> bool {
        self.get(session.mailbox).is_some_and(|here| here.attach_no == session.attach_no)
    }

    /// Lets a session follow a topic; `false`: it follows as many as it may.
    pub fn follow(&mut self, session: &Arc<Session>, topic: &str) -> bool {
        if self.get(session.mailbox).is_none_or(|here| !Arc::ptr_eq(here, session)) {
            // It has gone meanwhile, and hears nothing.
            return true;
        }
        let follows = self.follows.entry(session.mailbox).or_default();
        if follows.contains(topic) {
            return true;
        }
        if follows.len() >= limit::TOPICS_PER_SESSION_MAX {
            return false;
        }
        follows.insert(topic.to_owned());
        self.topics.entry((session.mesh, topic.to_owned())).or_default().push(session.clone());
        true
    }

    /// Lets a session follow a topic no more.
    pub fn unfollow(&mut self, session: &Arc<Session>, topic: &str) {
        if self.get(session.mailbox).is_none_or(|here| !Arc::ptr_eq(here, session)) {
            return;
        }
        if let Some(follows) = self.follows.get_mut(&session.mailbox) {
            follows.remove(topic);
        }
        take_out(&mut self.topics, &(session.mesh, topic.to_owned()), session);
    }

    /// Pushes an event to whom it is for, and returns to how many.
    pub fn event(&mut self, audience: &Audience, frame: &str) -> usize {
        if let Some((key, version)) = &audience.newest
            && !self.versions.is_newer(audience.mesh, key, *version)
        {
            return 0;
        }
        let listed = match &audience.topic {
            None => self.by_mesh.get(&audience.mesh),
            Some(topic) => self.topics.get(&(audience.mesh, topic.clone())),
        };
        let mut n_pushed = 0;
        for session in listed.into_iter().flatten() {
            let is_for = audience.except != Some(session.mailbox)
                && audience.member.is_none_or(|member| session.member == member)
                && (!audience.replies || session.caps.replies);
            if is_for {
                session.out.frame(frame.to_owned());
                n_pushed += 1;
            }
        }
        n_pushed
    }

    /// Gives a session the answer to a call of its own, when its socket has room for it. `false`:
    /// so much waits on this node already that it is dropped. An attachment that has gone waits for
    /// nothing, and another of the same session did not ask.
    pub fn answer(&mut self, session: &Arc<Session>, frame: String) -> bool {
        if !self.is_here(session) {
            return true;
        }
        if !self.waiting.contains_key(&session.mailbox) && has_room(session, &frame) {
            session.out.frame(frame);
            return true;
        }
        if self.n_waiting_bytes + frame.len() > limit::RELAY_BYTES_MAX {
            return false;
        }
        self.n_waiting_bytes += frame.len();
        self.waiting.entry(session.mailbox).or_default().push_back(frame);
        true
    }

    /// Gives sessions what their sockets have room for by now.
    pub fn drain(&mut self) {
        let Self { sessions, waiting, n_waiting_bytes, .. } = self;
        waiting.retain(|mailbox, frames| {
            let Some(session) = sessions.get(mailbox) else {
                *n_waiting_bytes -= frames.iter().map(String::len).sum::<usize>();
                return false;
            };
            while let Some(frame) = frames.pop_front_if(|frame| has_room(session, frame)) {
                *n_waiting_bytes -= frame.len();
                session.out.frame(frame);
            }
            !frames.is_empty()
        });
    }

    /// The bytes of the answers that wait.
    pub fn n_waiting_bytes(&self) -> usize {
        self.n_waiting_bytes
    }
}

/// A socket that has nothing else to write takes any frame.
fn has_room(session: &Session, frame: &str) -> bool {
    session.out.room() >= frame.len().min(limit::FRAME_BYTES_MAX)
}

fn take_out<K: std::hash::Hash + Eq>(
    lists: &mut HashMap<K, Vec<Arc<Session>>>,
    key: &K,
    session: &Arc<Session>,
) {
    if let Some(listed) = lists.get_mut(key) {
        listed.retain(|listed| !Arc::ptr_eq(listed, session));
        if listed.is_empty() {
            lists.remove(key);
        }
    }
}
