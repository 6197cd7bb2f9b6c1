//! Mail of agents' sessions, each in an inbox of its own.
//!
//! One that the home still has the key of may come back and read what it was sent, so a person sees
//! it without taking it away. One whose key is gone never will: its mail is the person's. An inbox
//! that cannot be read is told, and hides no other.

use std::collections::HashSet;
use std::io;

use super::printer::Mail;
use crate::Result;
use crate::client::inbox::Shown;
use crate::client::message::Message;
use crate::home::{AgentInbox, Home};
use crate::mcp::mesh::is_ping;

/// The inboxes of a mesh's agents.
pub struct Agents(Vec<AgentInbox>);

/// An inbox that could not be read.
pub type Problem = (AgentInbox, io::Error);

impl Agents {
    /// Those of a mesh.
    pub fn of(home: &Home, mesh_id: &str) -> Self {
        Self(home.agent_inboxes(mesh_id))
    }

    /// Everything that is kept, but for copies of what is known.
    pub fn all(self, known: &[Mail]) -> (Vec<Mail>, Vec<Problem>) {
        let mut seen: HashSet<_> = known.iter().map(|mail| identity(&mail.message)).collect();
        let (mut found, mut problems) = (Vec::new(), Vec::new());
        for inbox in self.0 {
            match Shown::open(&inbox.dir).and_then(|shown| shown.all()) {
                Ok(all) => {
                    let new = all.into_iter().filter(|one| is_mail(one, &inbox, &mut seen));
                    found.extend(new.map(|message| Mail { message, agent: Some(inbox.key) }));
                }
                Err(error) => problems.push((inbox, error)),
            }
        }
        (found, problems)
    }

    /// Whether there are some that cannot come back.
    pub fn have_gone(&self) -> bool {
        self.0.iter().any(|inbox| !inbox.may_return)
    }

    /// Shows what those were sent that cannot come back, each once, but for copies of what is known.
    pub fn gone(
        &self,
        known: &[Message],
        mut show: impl FnMut(&Mail) -> io::Result<()>,
    ) -> Vec<Problem> {
        let mut seen: HashSet<_> = known.iter().map(identity).collect();
        let mut problems = Vec::new();
        for inbox in self.0.iter().filter(|inbox| !inbox.may_return) {
            let shown = Shown::open(&inbox.dir).and_then(|mut shown| {
                shown.rest(|message| match is_mail(message, inbox, &mut seen) {
                    true => show(&Mail { message: message.clone(), agent: Some(inbox.key) }),
                    false => Ok(()),
                })
            });
            problems.extend(shown.err().map(|error| (inbox.clone(), error)));
        }
        problems
    }

    /// What waits for those that may come back, in words.
    pub fn waiting(&self) -> Option<String> {
        let may_return = self.0.iter().filter(|inbox| inbox.may_return);
        let count = |inbox: &AgentInbox| {
            let pending = Shown::open(&inbox.dir).and_then(|mut one| one.pending(None, usize::MAX));
            let pending = pending.unwrap_or_default().into_iter();
            pending.filter(|(_, message)| !is_ping(message, &inbox.key)).count()
        };
        let count: usize = may_return.map(count).sum();
        (count > 0).then(|| {
            format!("{count} more wait for agents of this home; `skein inbox --all` shows them")
        })
    }
}

/// An error for the first inbox that could not be read.
pub fn told(problems: Vec<Problem>) -> Result<()> {
    match problems.into_iter().next() {
        None => Ok(()),
        Some((inbox, error)) => Err(crate::Error::at(inbox.dir)(error)),
    }
}

/// Whether a message is none of the session to itself, and not one of those that were `seen`.
fn is_mail(message: &Message, inbox: &AgentInbox, seen: &mut HashSet<(String, String)>) -> bool {
    !is_ping(message, &inbox.key) && seen.insert(identity(message))
}

/// By which two copies are one message.
fn identity(message: &Message) -> (String, String) {
    (message.message_id.clone(), message.body_hash.clone())
}
