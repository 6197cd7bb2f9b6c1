//! The log of multicasts on this node: each is fanned out once, whoever announced it.
//!
//! A session that has no room skips a multicast and reads it later, by number, before it is given
//! anything newer. A fresh one, whose sender attached a moment ago, is not pushed as announced: an
//! older one of the same sender may not have been told yet, so the log is read first.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use skein_sql::{Db, Error, GenericClient, fail, serve};
use skein_wire::limit;

use crate::{
    measure,
    note::{Inline, Logged},
    push,
    session::{Out, Session, Skipped, What},
};

/// Multicasts whose bodies one statement reads.
const READ_MAX: usize = 64;
/// A multicast is remembered at least this long, for announcements that come late.
const REMEMBERED: Duration = Duration::from_secs(60);

type ByMesh = HashMap<i64, Vec<Arc<Session>>>;

/// What this node has fanned out.
#[derive(Debug, Default)]
pub struct Log {
    /// By number: the transaction that stored it, and when it was fanned out.
    seen: HashMap<i64, (i64, Instant)>,
    wants_look: bool,
    last_read: Option<LastRead>,
    horizon: i64,
    trimmed_at: Option<Instant>,
}

/// The last time that the log of every mesh here was read.
#[derive(Debug, Clone, Copy)]
struct LastRead {
    /// A moment before it.
    at: Instant,
    /// Everything stored before this xid was seen.
    xmin: i64,
}

impl LastRead {
    /// Whether this connection is to the same life of the database.
    fn is_known_to(&self, db: &Db) -> bool {
        Db::metrics(db).created < self.at
    }
}

impl Log {
    /// Takes an announcement; one without a body, or behind a due look, is left to that look.
    pub fn announced(&mut self, logged: Logged, look_due: bool, by_mesh: &ByMesh) {
        if self.seen.contains_key(&logged.s) {
            return;
        }
        let Some(inline) = logged.b.filter(|_| !look_due && !self.wants_look) else {
            self.wants_look = true;
            return;
        };
        self.fan_out(logged.s, logged.x, logged.m, logged.a, &logged.t, &inline, None, by_mesh);
    }

    /// Whether the log has to be read.
    pub fn wants_look(&self) -> bool {
        self.wants_look
    }

    /// Reads what was stored in `meshes` since xid `since` and fans out what was not yet. Returns
    /// the xmin of what was read.
    pub async fn read(
        &mut self,
        db: &impl GenericClient,
        meshes: &[i64],
        since: i64,
        by_mesh: &ByMesh,
    ) -> Result<i64, Error> {
        let (xmin, mut unseen) = serve::log(db, meshes, since).await?;
        unseen.retain(|(seq, _)| !self.seen.contains_key(seq));
        for wanted in unseen.chunks(READ_MAX) {
            let mut bodies = serve::bodies(db, wanted).await?;
            bodies.sort_unstable_by_key(|body| body.seq);
            self.fan_out_all(bodies, by_mesh);
            fail::point("log.page").await;
        }
        Ok(xmin)
    }

    /// Reads the log of every mesh that has sessions here: from `since` on, or, when nobody but
    /// what was announced asks for it, from where it was last read.
    ///
    /// That is only as good as the database's memory: a crash takes back commits that did not wait
    /// for the disk, and their numbers are given out again. It ends every connection as well, so one
    /// that was there before the last read says that none has happened.
    pub async fn look(
        &mut self,
        db: &Db,
        since: i64,
        is_regular: bool,
        by_mesh: &ByMesh,
    ) -> Result<(), Error> {
        let last = self.last_read.filter(|last| !is_regular && last.is_known_to(db));
        let since = last.map_or(since, |last| since.max(last.xmin));
        let meshes: Vec<i64> = by_mesh.keys().copied().collect();
        let at = Instant::now();
        if !meshes.is_empty() {
            let xmin = self.read(db, &meshes, since, by_mesh).await?;
            self.last_read = Some(LastRead { at, xmin });
        }
        self.wants_look = false;
        Ok(())
    }

    fn fan_out_all(&mut self, bodies: Vec<serve::Body>, by_mesh: &ByMesh) {
        for body in bodies {
            let inline = Inline::of(&body);
            let serve::Body { seq, xid, mesh, sender, target, subtype, .. } = body;
            self.fan_out(seq, xid, mesh, sender, &target, &inline, subtype, by_mesh);
        }
    }

    /// Told after a regular look: no look begins before `xmin` again.
    pub fn looked(&mut self, xmin: i64) {
        self.horizon = xmin;
    }

    /// Forgets what no look can find again.
    pub fn trim(&mut self) {
        if self.trimmed_at.is_none_or(|at| at.elapsed() > REMEMBERED / 4) {
            self.trimmed_at = Some(Instant::now());
            let horizon = self.horizon;
            self.seen.retain(|_, (xid, at)| *xid >= horizon || at.elapsed() < REMEMBERED);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one message, used here only")]
    fn fan_out(
        &mut self,
        seq: i64,
        xid: i64,
        mesh: i64,
        sender: i64,
        target: &str,
        inline: &Inline,
        subtype: Option<String>,
        by_mesh: &ByMesh,
    ) {
        self.seen.insert(seq, (xid, Instant::now()));
        let Some(sessions) = by_mesh.get(&mesh) else { return };
        // One text for those of ours, one for others.
        let mut frames: [Option<String>; 2] = [None, None];
        let mut n_sockets = 0;
        for session in sessions.iter().filter(|s| s.hears(target, sender)) {
            let mut window = session.window();
            if window.caught_up.contains(&seq) || window.began_after(xid_of(xid), inline.at()) {
                continue;
            }
            if !window.skipped.is_empty() || window.room() == 0 || session.out.is_full() {
                let (at, xid, bytes) = (inline.at(), xid_of(xid), inline.c.len());
                window.skipped.push_back(Skipped { seq, at, xid, bytes });
                if window.skipped.len() > limit::BEHIND_MAX {
                    session.out.close(1013, "too far behind");
                }
                continue;
            }
            window.push(seq, What::Multicast(xid_of(xid)), inline.i.as_u128());
            let text = frames[usize::from(session.caps.ack)]
                .get_or_insert_with(|| push::frame(session, inline, subtype.clone(), Some(target)))
                .clone();
            session.out.send(Out::Push(text, window.last()));
            n_sockets += 1;
        }
        measure::fanned_out(n_sockets);
    }

    /// Notes what a session missed, oldest first, to be pushed from its page: everything visible
    /// before `horizon`.
    pub fn catch_up(session: &Session, missed: &[serve::Missed], horizon: u64) {
        let mut window = session.window();
        window.advance(horizon);
        for missed in missed {
            window.caught_up.insert(missed.seq);
            window.skipped.push_back(Skipped {
                seq: missed.seq,
                at: missed.at,
                xid: xid_of(missed.xid),
                bytes: usize::try_from(missed.bytes).unwrap_or(0),
            });
        }
    }
}

fn xid_of(xid: i64) -> u64 {
    u64::try_from(xid).unwrap_or(0)
}

/// Pushes what a session skipped, as far as there is room. Returns how many were pushed.
pub async fn drain(db: &impl GenericClient, session: &Session) -> Result<usize, Error> {
    let wanted = due(session);
    if wanted.is_empty() {
        return Ok(0);
    }
    let bodies: HashMap<i64, serve::Body> =
        serve::bodies(db, &wanted).await?.into_iter().map(|b| (b.seq, b)).collect();
    let mut window = session.window();
    let mut n_pushed = 0;
    for (seq, _) in wanted {
        window.skipped.pop_front();
        // A day that was dropped meanwhile has no bodies of multicasts any more.
        let Some(body) = bodies.get(&seq) else { continue };
        window.push(seq, What::Multicast(xid_of(body.xid)), body.message_id.as_u128());
        let inline = Inline::of(body);
        let frame = push::frame(session, &inline, body.subtype.clone(), Some(&body.target));
        session.out.send(Out::Push(frame, window.last()));
        n_pushed += 1;
    }
    Ok(n_pushed)
}

/// The skipped multicasts that there is room for, in the window and in the socket; at least one,
/// however large, when nothing else is on its way.
fn due(session: &Session) -> Vec<(i64, jiff::Timestamp)> {
    let window = session.window();
    if session.out.is_full() {
        return Vec::new();
    }
    let mut bytes = session.out.room();
    let mut due = Vec::new();
    for skipped in window.skipped.iter().take(window.room()) {
        if skipped.bytes > bytes && !due.is_empty() {
            break;
        }
        bytes = bytes.saturating_sub(skipped.bytes);
        due.push((skipped.seq, skipped.at));
    }
    due
}

#[cfg(test)]
mod tests {
    use skein_sql::{Connector, Settings};

    use super::*;

    #[tokio::test]
    async fn only_a_connection_of_before_says_that_the_database_did_not_crash_since() {
        let database = skein_embedded::testing::database().await;
        let connector = Connector::new(&database.url()).unwrap();
        let pool = connector.pool(Settings::Ordinary, 2).unwrap();

        let before = pool.get().await.unwrap();
        let last = LastRead { at: Instant::now(), xmin: 3 };
        let after = pool.get().await.unwrap();

        assert!(last.is_known_to(&before));
        assert!(!last.is_known_to(&after));
    }
}
