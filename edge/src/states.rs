//! Changes of state on this node: who is told what, and that nobody is told an older value last.
//!
//! A node hears of a change from the edge that made it, with the value where that fits, or finds it
//! in one of its looks: the table has the last change of every key, so what was overwritten before
//! it was told need not be told. What is heard in one turn is gathered by key, and each key is told
//! once a turn. A version that is not newer than what was told is dropped, so a key's changes are in
//! order on every socket, and the last of them is always told, whatever notifications were lost.
//!
//! The session that made a change is not told it, with one exception. When it was told another
//! change of that key a moment ago, the two may have crossed, and it would take the other's for the
//! last: then it is told its own too.
//!
//! A socket that does not read is not filled with values: what it was not told is remembered by key,
//! and it gets what those keys hold when there is room.

mod telling;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use skein_sql::{
    Error, GenericClient,
    state::changes::{self, Change, Head, Subject, What},
};
use skein_wire::{
    limit,
    state::{StateChange, null},
};

use crate::session::Session;
pub use telling::{Handle, Telling};

/// Changes that one statement reads whole.
const READ_MAX: usize = 64;
/// A change is remembered at least this long, for announcements that come late.
const REMEMBERED: Duration = Duration::from_secs(60);
/// Another's change and one's own may have crossed when there was less than this between them:
/// longer than a frame that is not lost takes.
const CROSSING: Duration = Duration::from_secs(10);

type ByMesh = HashMap<i64, Vec<Arc<Session>>>;

/// A change as nodes tell it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Changed {
    /// The mesh's number.
    pub m: i64,
    /// The key as peers are told it.
    pub k: String,
    /// The member whose context it is; nobody's: a key of the mesh's state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub o: Option<i64>,
    /// Its version.
    pub v: i64,
    /// The transaction that made it.
    pub x: i64,
    /// What it is now, unless that does not fit: then it is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub b: Option<Body>,
}

/// What a change says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Body {
    /// The session that made it; 0: none.
    pub w: i64,
    /// Whose name it is told under.
    pub u: String,
    /// JSON, as text; none: the key was removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub j: Option<String>,
}

impl From<Change> for Changed {
    fn from(change: Change) -> Self {
        let Change { subject, key, version, xid, writer, updated_by, value } = change;
        let member = match subject.what {
            What::Context(member) => Some(member),
            What::Key(_) => None,
        };
        let body = Body { w: writer, u: updated_by, j: value };
        Self { m: subject.mesh, k: key, o: member, v: version, x: xid, b: Some(body) }
    }
}

impl Changed {
    fn subject(&self) -> Subject {
        match self.o {
            Some(member) => Subject::context(self.m, member),
            None => Subject::state(self.m, &self.k),
        }
    }

    /// What was announced, whole if it came so.
    fn due(self) -> (Subject, Due) {
        let subject = self.subject();
        let Self { k, v, x, b, .. } = self;
        let whole = b.map(|Body { w, u, j }| Change {
            subject: subject.clone(),
            key: k,
            version: v,
            xid: x,
            writer: w,
            updated_by: u,
            value: j,
        });
        (subject, Due { version: v, whole })
    }
}

/// A change that is to be told in this turn.
#[derive(Debug)]
struct Due {
    version: i64,
    /// `None`: it has to be read.
    whole: Option<Change>,
}

/// A change that was told.
#[derive(Debug)]
struct Told {
    version: i64,
    xid: i64,
    at: Instant,
    /// Whether sessions were told, or there were none when it was made.
    was_told: bool,
    /// The session that was not told, since it made the change.
    except: Option<i64>,
}

/// A session whose socket has no room.
#[derive(Debug)]
struct Behind {
    session: Arc<Session>,
    /// What it was not told.
    subjects: HashSet<Subject>,
}

/// What this node has told of the changes of its meshes, and what it has yet to tell.
#[derive(Debug, Default)]
pub struct States {
    told: HashMap<Subject, Told>,
    due: HashMap<Subject, Due>,
    /// By mailbox.
    behind: HashMap<i64, Behind>,
    trimmed_at: Option<Instant>,
}

impl States {
    /// Takes an announcement. What is older than where looks begin was found by one of them.
    pub fn announced(&mut self, changed: Changed, since: i64) {
        if changed.x >= since && self.is_news(&changed.subject(), changed.v) {
            let (subject, due) = changed.due();
            self.due.insert(subject, due);
        }
    }

    /// Whether there is anything to tell.
    pub fn has_work(&self) -> bool {
        !self.due.is_empty() || !self.behind.is_empty()
    }

    fn is_news(&self, subject: &Subject, version: i64) -> bool {
        self.told.get(subject).is_none_or(|told| told.version < version)
            && self.due.get(subject).is_none_or(|due| due.version < version)
    }

    /// Finds what changed in the meshes here since xid `since` and was not told.
    pub async fn look(
        &mut self,
        db: &impl GenericClient,
        since: i64,
        by_mesh: &ByMesh,
    ) -> Result<(), Error> {
        let meshes: Vec<i64> = by_mesh.keys().copied().collect();
        if meshes.is_empty() {
            return Ok(());
        }
        for Head { subject, version, .. } in changes::since(db, &meshes, since).await? {
            if self.is_news(&subject, version) {
                self.due.insert(subject, Due { version, whole: None });
            }
        }
        Ok(())
    }

    /// Notes what changed in meshes that have no session here yet: their first is told what comes
    /// after its hello, and can read the rest.
    pub async fn begin(
        &mut self,
        db: &impl GenericClient,
        meshes: &[i64],
        since: i64,
    ) -> Result<(), Error> {
        for Head { subject, version, xid } in changes::since(db, meshes, since).await? {
            if self.due.get(&subject).is_some_and(|due| due.version <= version) {
                self.due.remove(&subject);
            }
            let told = Told { version, xid, at: Instant::now(), was_told: false, except: None };
            self.told.insert(subject, told);
        }
        Ok(())
    }

    /// Tells what is due, and gives sockets that have room again what they were not told.
    pub async fn work(&mut self, db: &impl GenericClient, by_mesh: &ByMesh) -> Result<(), Error> {
        self.due.retain(|subject, _| by_mesh.contains_key(&subject.mesh));
        let unread = self.due.iter().filter(|(_, due)| due.whole.is_none());
        let unread: Vec<Subject> = unread.map(|(subject, _)| subject.clone()).collect();
        for wanted in unread.chunks(READ_MAX) {
            let found = changes::read(db, wanted).await?;
            // One that is not found was removed long ago.
            wanted.iter().for_each(|subject| drop(self.due.remove(subject)));
            found.into_iter().for_each(|change| self.tell(change, by_mesh));
        }
        for (_, due) in std::mem::take(&mut self.due) {
            if let Some(change) = due.whole {
                self.tell(change, by_mesh);
            }
        }
        self.catch_up(db, by_mesh).await
    }

    /// Tells a change to the sessions of its mesh, unless a newer one was told.
    fn tell(&mut self, change: Change, by_mesh: &ByMesh) {
        let before = self.told.get(&change.subject);
        if before.is_some_and(|told| told.version >= change.version) {
            return;
        }
        let writer = Some(change.writer);
        let may_cross = before.is_some_and(|told| {
            told.was_told && told.at.elapsed() < CROSSING && told.except != writer
        });
        let except = writer.filter(|_| !may_cross);
        let mut frames = Frames::new(&change);
        for session in by_mesh.get(&change.subject.mesh).into_iter().flatten() {
            if Some(session.mailbox) != except {
                self.give(session, &mut frames);
            }
        }
        let Change { version, xid, .. } = change;
        let told = Told { version, xid, at: Instant::now(), was_told: true, except };
        self.told.insert(change.subject, told);
    }

    /// Gives a session a change; one that has no room is given it later.
    fn give(&mut self, session: &Arc<Session>, frames: &mut Frames<'_>) {
        let subject = &frames.change.subject;
        if !session.out.is_full() {
            if let Some(behind) = self.behind.get_mut(&session.mailbox) {
                behind.subjects.remove(subject);
            }
            session.out.frame(frames.of(session));
            return;
        }
        let behind = self
            .behind
            .entry(session.mailbox)
            .or_insert_with(|| Behind { session: session.clone(), subjects: HashSet::new() });
        if !Arc::ptr_eq(&behind.session, session) {
            // An attachment that has ended was owed what this one is not.
            *behind = Behind { session: session.clone(), subjects: HashSet::new() };
        }
        behind.subjects.insert(subject.clone());
        if behind.subjects.len() > limit::STATES_BEHIND_MAX {
            session.out.close(1013, "too far behind");
        }
    }

    async fn catch_up(&mut self, db: &impl GenericClient, by_mesh: &ByMesh) -> Result<(), Error> {
        self.behind.retain(|_, behind| {
            let is_here = |session: &Arc<Session>| Arc::ptr_eq(session, &behind.session);
            let here = by_mesh.get(&behind.session.mesh);
            !behind.subjects.is_empty() && here.is_some_and(|here| here.iter().any(is_here))
        });
        for behind in self.behind.values_mut().filter(|behind| !behind.session.out.is_full()) {
            let wanted: Vec<Subject> = behind.subjects.iter().take(READ_MAX).cloned().collect();
            let mut found = changes::read(db, &wanted).await?;
            found.retain(|change| {
                let has_room = !behind.session.out.is_full();
                if has_room {
                    behind.session.out.frame(Frames::new(change).of(&behind.session));
                }
                !has_room
            });
            let left: HashSet<&Subject> = found.iter().map(|change| &change.subject).collect();
            behind.subjects.retain(|subject| !wanted.contains(subject) || left.contains(subject));
        }
        Ok(())
    }

    /// Forgets what neither a look, which begins at `since`, nor a late announcement can bring again.
    pub fn trim(&mut self, since: i64) {
        if self.trimmed_at.is_none_or(|at| at.elapsed() > REMEMBERED / 4) {
            self.trimmed_at = Some(Instant::now());
            self.told.retain(|_, told| told.xid >= since || told.at.elapsed() < REMEMBERED);
        }
    }
}

/// The texts of one change: one for those of ours, one for others.
struct Frames<'a> {
    change: &'a Change,
    texts: [Option<String>; 2],
}

impl<'a> Frames<'a> {
    fn new(change: &'a Change) -> Self {
        Self { change, texts: [None, None] }
    }

    fn of(&mut self, session: &Session) -> String {
        let is_ours = session.caps.replies;
        let text = &mut self.texts[usize::from(is_ours)];
        text.get_or_insert_with(|| frame(self.change, is_ours)).clone()
    }
}

fn frame(change: &Change, is_ours: bool) -> String {
    let value = change.value.clone().map(RawValue::from_string);
    let is_key = matches!(change.subject.what, What::Key(_));
    let version = (is_ours && is_key).then(|| change.version.unsigned_abs());
    let frame = StateChange {
        key: change.key.clone(),
        value: value.and_then(Result::ok).unwrap_or_else(null),
        updated_by: change.updated_by.clone(),
        version,
        deleted: (is_ours && change.value.is_none()).then_some(true),
    };
    skein_wire::encode(&frame, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(key: &str, version: i64, xid: i64) -> Changed {
        let body = Body { w: 1, u: "ann".into(), j: Some(version.to_string()) };
        Changed { m: 1, k: key.into(), o: None, v: version, x: xid, b: Some(body) }
    }

    #[test]
    fn of_one_key_only_the_newest_is_due_in_whatever_order_it_comes() {
        let mut states = States::default();

        for version in [3, 5, 4, 1] {
            states.announced(changed("k", version, 100 + version), 0);
        }

        let due: Vec<i64> = states.due.values().map(|due| due.version).collect();
        assert_eq!(due, [5]);
    }

    #[test]
    fn what_is_older_than_the_looks_is_no_news() {
        let mut states = States::default();

        states.announced(changed("k", 3, 99), 100);

        assert!(!states.has_work());
    }

    #[test]
    fn a_key_and_a_context_of_its_name_are_told_apart() {
        let mut states = States::default();
        let context = Changed { o: Some(7), ..changed("_context:ann", 1, 5) };

        states.announced(changed("_context:ann", 1, 5), 0);
        states.announced(context, 0);

        assert_eq!(states.due.len(), 2);
    }

    #[test]
    fn what_was_told_is_remembered_until_no_look_can_find_it() {
        let mut states = States::default();
        let change = |version, xid| changed("k", version, xid).due().1.whole.unwrap();
        states.tell(change(4, 104), &ByMesh::new());
        let old = Instant::now().checked_sub(2 * REMEMBERED).unwrap();
        states.told.values_mut().for_each(|told| told.at = old);

        states.trim(104);
        states.announced(changed("k", 4, 104), 104);
        assert!(!states.has_work());

        states.trimmed_at = None;
        states.trim(105);
        assert!(states.told.is_empty());
    }
}
