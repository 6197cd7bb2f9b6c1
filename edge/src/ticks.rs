//! Ticks on this node: the sessions of a mesh are told every number of its clock, once and in order.
//!
//! A tick comes as a note of the worker that made it. Notes are lost, so the node keeps the last
//! number that it told each mesh: what is missing before an announced one is told first, what is not
//! newer is dropped, and looks read the clocks themselves, whose last tick is the truth. What a
//! clock showed at a tick follows from the tick's number.
//!
//! A session hears what comes after it attached: before it is made live its clock is read, and those
//! of its mesh who are here are told up to that tick. So no number comes twice to a client that
//! moves from one edge to another either.

use std::{collections::HashMap, sync::Arc, time::Duration};

use skein_sql::{
    Error, GenericClient,
    clock::{self, Head},
};
use skein_wire::{clock::TICK, limit};
use tokio::time::Instant;
use tracing::warn;

use crate::{push, session::Session};

/// How often the meshes here are asked whether they have a clock by now. A mesh that has one is
/// looked at by every look; that it has is usually said by its first tick.
const SEARCH_EVERY: Duration = Duration::from_secs(10);

type ByMesh = HashMap<i64, Vec<Arc<Session>>>;

/// The ticks that this node has told.
#[derive(Debug)]
pub struct Ticks {
    /// By mesh: the last number that was told, or that was there before its first session.
    told: HashMap<i64, i64>,
    searched_at: Instant,
}

impl Default for Ticks {
    fn default() -> Self {
        Self { told: HashMap::new(), searched_at: Instant::now() }
    }
}

impl Ticks {
    /// Tells the sessions of a mesh that its clock has come so far, with every number between what
    /// they were told and this.
    pub fn tell(&mut self, head: &Head, by_mesh: &ByMesh) {
        // A mesh that is new here has its clock read before its first session is live.
        let Some(sessions) = by_mesh.get(&head.m) else { return };
        let told = self.told.entry(head.m).or_default();
        let n_missing = head.t - *told;
        let mut first = *told + 1;
        if n_missing > limit::TICKS_BEHIND_MAX {
            warn!(mesh = head.m, tick = head.t, "of {n_missing} ticks only the last is told");
            first = head.t;
        }
        *told = head.t.max(*told);
        for tick in first..=head.t {
            let mut frame = None;
            for session in sessions {
                let frame = frame.get_or_insert_with(|| frame_of(&session.mesh_id, head, tick));
                session.out.frame(frame.clone());
            }
        }
    }

    /// Reads the clocks of meshes that sessions are about to be made live in: those who are here
    /// already are told up to now, and everybody hears what comes after.
    pub async fn begin(
        &mut self,
        db: &impl GenericClient,
        meshes: &[i64],
        by_mesh: &ByMesh,
    ) -> Result<(), Error> {
        for head in clock::heads(db, meshes).await? {
            if by_mesh.contains_key(&head.m) {
                self.tell(&head, by_mesh);
            } else {
                self.told.insert(head.m, head.t);
            }
        }
        Ok(())
    }

    /// Finds ticks whose announcement was lost.
    pub async fn look(&mut self, db: &impl GenericClient, by_mesh: &ByMesh) -> Result<(), Error> {
        self.told.retain(|mesh, _| by_mesh.contains_key(mesh));
        let is_search = self.searched_at.elapsed() > SEARCH_EVERY;
        let meshes: Vec<i64> = match is_search {
            true => by_mesh.keys().copied().collect(),
            false => self.told.keys().copied().collect(),
        };
        if !meshes.is_empty() {
            for head in clock::heads(db, &meshes).await? {
                self.tell(&head, by_mesh);
            }
        }
        if is_search {
            self.searched_at = Instant::now();
        }
        Ok(())
    }
}

fn frame_of(mesh_id: &str, head: &Head, tick: i64) -> String {
    let data = serde_json::to_value(head.tick(tick)).expect("a tick has string keys only");
    skein_wire::encode(&push::event(mesh_id, TICK, data), None)
}

#[cfg(test)]
mod tests {
    use skein_wire::hello::Caps;
    use tokio::sync::mpsc::UnboundedReceiver;

    use super::*;
    use crate::session::{Identity, Live, Out, Outbox};

    fn session(mesh: i64) -> (Arc<Session>, UnboundedReceiver<Out>) {
        let (out, read) = Outbox::new();
        let text = String::new;
        let identity = Identity {
            mailbox: 1,
            attach_no: 1,
            mesh,
            mesh_id: "m".into(),
            member: 1,
            key: text(),
            presence_id: text(),
            name: text(),
            caps: Caps::default(),
        };
        let (status, groups) = (skein_wire::Status::Dnd, Vec::new());
        let live = Live { status, groups, visible: false, status_changes: 0 };
        (Arc::new(Session::new(identity, live, 0, out)), read)
    }

    /// What a session was told since the last time: number and time.
    fn heard(read: &mut UnboundedReceiver<Out>) -> Vec<(i64, String)> {
        let mut heard = Vec::new();
        while let Ok(Out::Frame(frame)) = read.try_recv() {
            let frame: serde_json::Value = serde_json::from_str(&frame).unwrap();
            assert_eq!((&frame["event"], &frame["priority"]), (&"tick".into(), &"low".into()));
            let data = &frame["eventData"];
            heard.push((data["tick"].as_i64().unwrap(), data["simTime"].as_str().unwrap().into()));
        }
        heard
    }

    fn numbers(read: &mut UnboundedReceiver<Out>) -> Vec<i64> {
        heard(read).into_iter().map(|(tick, _)| tick).collect()
    }

    fn head(m: i64, t: i64) -> Head {
        Head { m, t, b: 1_775_640_600_123, s: 2.5 }
    }

    #[test]
    fn what_is_missing_is_told_first_and_what_is_not_newer_never() {
        let (ann, mut read) = session(7);
        let by_mesh = ByMesh::from([(7, vec![ann])]);
        let mut ticks = Ticks::default();

        for tick in [1, 4, 4, 2, 3, 5, 1] {
            ticks.tell(&head(7, tick), &by_mesh);
        }
        ticks.tell(&head(8, 1), &by_mesh);

        let heard = heard(&mut read);
        assert!(heard.iter().map(|(tick, _)| *tick).eq(1..=5), "{heard:?}");
        assert_eq!(heard[0].1, "2026-04-08T09:31:00.123Z");
        assert_eq!(heard[4].1, "2026-04-08T09:35:00.123Z");
    }

    #[test]
    fn after_a_long_loss_only_the_newest_is_told() {
        let (ann, mut read) = session(7);
        let by_mesh = ByMesh::from([(7, vec![ann])]);
        let mut ticks = Ticks::default();

        ticks.tell(&head(7, limit::TICKS_BEHIND_MAX), &by_mesh);
        assert!(numbers(&mut read).into_iter().eq(1..=limit::TICKS_BEHIND_MAX));
        let far = 2 * limit::TICKS_BEHIND_MAX + 1;
        ticks.tell(&head(7, far), &by_mesh);
        ticks.tell(&head(7, far + 1), &by_mesh);

        assert_eq!(numbers(&mut read), [far, far + 1]);
    }
}
