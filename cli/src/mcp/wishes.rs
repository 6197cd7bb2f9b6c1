//! What this session wants to be in a mesh: its groups, what it does, how it shows itself.
//!
//! A server keeps most of it with the session, but not all, not every server, and nothing that was
//! said without a connection. So it is kept here, and said again after each attachment where the
//! server does not have it.

use std::collections::BTreeSet;

use skein_wire::Status;
use skein_wire::groups::{Group, JoinGroup, LeaveGroup};
use skein_wire::presence::{SetStatus, SetSummary, SetVisible};
use skein_wire::profile::{Profile, SetProfile};

use crate::client::{Client, RequestError};
use crate::home::Membership;

/// What the session wants; what it never spoke of is left as the server has it.
#[derive(Debug, Default)]
pub struct Wishes {
    /// Every group that it wants to be in; `None` before the first attachment.
    groups: Option<Vec<Group>>,
    joined: Vec<Group>,
    left: Vec<String>,
    /// What it does.
    pub status: Option<Status>,
    /// What it works on.
    pub summary: Option<String>,
    /// Whether others see it.
    pub visible: Option<bool>,
    /// What it says of itself.
    pub profile: Profile,
    /// The streams that it listens to.
    pub streams: BTreeSet<String>,
}

impl Wishes {
    /// What the person's home says at the start.
    pub fn of(membership: &Membership) -> Self {
        Self {
            joined: membership.groups.clone(),
            status: membership.status,
            summary: membership.summary.clone(),
            ..Self::default()
        }
    }

    /// Wants to be in a group.
    pub fn join(&mut self, group: Group) {
        self.left.retain(|name| *name != group.name);
        let list = self.groups.as_mut().unwrap_or(&mut self.joined);
        list.retain(|known| known.name != group.name);
        list.push(group);
    }

    /// Wants to be out of a group.
    pub fn leave(&mut self, name: &str) {
        match &mut self.groups {
            Some(groups) => groups.retain(|known| known.name != name),
            None => {
                self.joined.retain(|known| known.name != name);
                self.left.push(name.to_owned());
            }
        }
    }

    /// The groups, as far as they are known.
    pub fn groups(&self) -> &[Group] {
        self.groups.as_deref().unwrap_or(&self.joined)
    }

    /// The session is attached, and the server has it in these groups. At the first time they
    /// become wishes too: an earlier life of the session had them.
    pub fn attached(&mut self, have: &[Group]) {
        if self.groups.is_some() {
            return;
        }
        self.groups = Some(have.to_vec());
        for group in std::mem::take(&mut self.joined) {
            self.join(group);
        }
        for name in std::mem::take(&mut self.left) {
            self.leave(&name);
        }
    }

    /// Says what differs from what the server has. What fails is said after the next attachment.
    pub async fn say(&self, have: &[Group], client: &Client) -> Result<(), RequestError> {
        // One at a time: some servers handle the messages of a session at once.
        for group in self.groups().iter().filter(|group| !have.contains(group)) {
            let join = JoinGroup { name: group.name.clone(), role: group.role.clone() };
            said(client.tell(&join).await)?;
        }
        for group in have {
            if !self.groups().iter().any(|wanted| wanted.name == group.name) {
                said(client.tell(&LeaveGroup { name: group.name.clone() }).await)?;
            }
        }
        if let Some(status) = self.status {
            said(client.tell(&SetStatus { status }).await)?;
        }
        if let Some(summary) = self.summary.clone() {
            said(client.tell(&SetSummary { summary }).await)?;
        }
        if let Some(visible) = self.visible {
            said(client.tell(&SetVisible { visible }).await)?;
        }
        if !self.profile.is_empty() {
            let Profile { avatar, title, bio, capabilities } = self.profile.clone();
            said(client.tell(&SetProfile { avatar, title, bio, capabilities }).await)?;
        }
        for stream in &self.streams {
            said(client.subscribe(stream).await)?;
        }
        Ok(())
    }

    /// The person changed what the home says. Whether that is news.
    pub fn changed(&mut self, before: &Membership, now: &Membership) -> bool {
        for group in now.groups.iter().filter(|group| !before.groups.contains(group)) {
            self.join(group.clone());
        }
        for group in &before.groups {
            if !now.groups.iter().any(|kept| kept.name == group.name) {
                self.leave(&group.name);
            }
        }
        if now.status != before.status {
            self.status = now.status;
        }
        if now.summary != before.summary {
            self.summary.clone_from(&now.summary);
        }
        now.groups != before.groups || now.status != before.status || now.summary != before.summary
    }
}

/// One refusal does not keep the rest from being said. A server of the old kind answers nothing to
/// these messages, and has taken them.
fn said(outcome: Result<(), RequestError>) -> Result<(), RequestError> {
    match outcome {
        Err(RequestError::Refused(refusal)) => {
            tracing::warn!(code = refusal.code, "the server refuses: {}", refusal.message);
            Ok(())
        }
        Err(RequestError::TimedOut(_)) => Ok(()),
        other => other,
    }
}
