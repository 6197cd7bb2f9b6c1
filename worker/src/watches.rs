//! URL watches: looking at what is due, each at its time.
//!
//! Watches that are due within a second are read together, and each is looked at by a task of its
//! own, which waits for its moment; what it saw is written with what others saw, some ten times a
//! second, by the duty on its own connection. A task knows no database. So nothing is asked or
//! written for one watch alone, and a slow server holds up nobody but its own watch.
//!
//! A check for which we had no room is no failure of what it looks at: it is made again soon, and
//! said in the list once that has happened a few times in a row.
//!
//! A task that is cut off with its connection, or its worker, wrote nothing: its watch is still
//! due, and whoever holds its bucket looks again. What was seen twice is written once, by the
//! number of the check (`skein_sql::watches`). What was seen of a bucket that was given away
//! meanwhile is dropped.

mod check;

pub use check::Fetching;

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use skein_sql::{
    GenericClient,
    duties::{BUCKETS, Kind, SLEEP_MAX},
    fail,
    watches::{self, Check, Due, Held},
};
use skein_wire::limit;
use tokio::task::{JoinError, JoinSet};
use tracing::{debug, warn};

use crate::{Result, life::Life};

/// Watches are read so long before they are due.
const AHEAD: Duration = Duration::from_secs(1);
/// And at most this often, whoever says that something changed.
const READ_EVERY: Duration = Duration::from_millis(500);
/// What was seen waits this long for more.
const WRITE_EVERY: Duration = Duration::from_millis(100);
/// Watches that are waited for or looked at; their rows are in memory. What else is due waits.
const IN_HAND_MAX: usize = 2000;
/// Results of one statement.
const WRITTEN_MAX: usize = 200;
/// Watches whose checks found no room and whose number in a row is known.
const BUSY_MAX: usize = 10_000;

/// A watch: its mesh and its id.
type Name = (i64, String);

/// The watches of one worker.
pub struct Watches {
    life: Arc<Life>,
    /// What is waited for or looked at. It ends with this value.
    tasks: JoinSet<(Check, Duration)>,
    /// The same by name, with the mailbox of its member.
    in_hand: HashMap<Name, i64>,
    /// How many checks in a row found no room.
    busy: HashMap<Name, u32>,
    /// When what is due is read again.
    read_at: Instant,
    /// When it was last read.
    was_read: Option<Instant>,
    /// Until when [`Watches::once`] is not called, unless something changed.
    asleep_until: Instant,
}

impl Watches {
    /// Nothing was looked at yet.
    pub fn new(life: &Arc<Life>) -> Self {
        let now = Instant::now();
        Self {
            life: Arc::clone(life),
            tasks: JoinSet::new(),
            in_hand: HashMap::new(),
            busy: HashMap::new(),
            read_at: now,
            was_read: None,
            asleep_until: now,
        }
    }

    /// Looks at what is due in these buckets; returns when more will be.
    ///
    /// # Errors
    /// When a statement failed: its transaction may be open, so the connection is not used again.
    pub async fn once(&mut self, db: &impl GenericClient, buckets: &[i32]) -> Result<Duration> {
        // Called before its time: there is a new watch, or another share. Many such words are one.
        if Instant::now() < self.asleep_until {
            self.read_at = woken(self.read_at, self.was_read);
        }
        self.write(db, buckets).await?;
        if Instant::now() >= self.read_at {
            self.was_read = Some(Instant::now());
            let next = self.read(db, buckets).await?;
            self.read_at = Instant::now() + next;
        }
        let mut wait = self.read_at.saturating_duration_since(Instant::now());
        if !self.tasks.is_empty() {
            wait = wait.min(WRITE_EVERY);
        }
        self.asleep_until = Instant::now() + wait;
        Ok(wait)
    }

    /// Writes what was seen in these buckets.
    async fn write(&mut self, db: &impl GenericClient, buckets: &[i32]) -> Result<()> {
        let mut done: Vec<Check> = Vec::new();
        while let Some(ended) = self.tasks.try_join_next() {
            let (check, late) = ended.unwrap_or_else(panicked);
            if !is_held(check.due.mesh, buckets) {
                self.in_hand.remove(&(check.due.mesh, check.due.id));
                continue;
            }
            self.life.tally(Kind::Watch).done(late);
            done.push(check);
        }
        if done.is_empty() {
            return Ok(());
        }
        for check in &mut done {
            count(&mut self.busy, check);
        }
        fail::point("watch.write").await;
        for checks in done.chunks(WRITTEN_MAX) {
            let stored = watches::record(db, checks).await?;
            self.life.telling.messages(stored);
        }
        for Check { due, .. } in done {
            self.in_hand.remove(&(due.mesh, due.id));
        }
        // They are due again, perhaps sooner than everything that was known.
        self.read_at = self.read_at.min(Instant::now() + READ_EVERY);
        Ok(())
    }

    /// Takes what is due soon in hand; returns when to read again.
    async fn read(&mut self, db: &impl GenericClient, buckets: &[i32]) -> Result<Duration> {
        let room = IN_HAND_MAX.saturating_sub(self.in_hand.len());
        if room == 0 {
            return Ok(READ_EVERY);
        }
        let n_max = i64::try_from(room).expect("it is at most a small constant");
        let held: Vec<Held<'_>> = self
            .in_hand
            .iter()
            .map(|((mesh, id), member)| Held { mesh: *mesh, id, member: *member })
            .collect();
        let due = watches::due(db, buckets, AHEAD, n_max, &held).await?;
        let n_due = due.len();
        for due in due {
            self.in_hand.insert((due.mesh, due.id.clone()), due.member);
            self.tasks.spawn(look(self.life.watches.clone(), due));
        }
        if n_due > 0 {
            debug!(n_due, n_in_hand = self.in_hand.len(), "{n_due} watches are due");
        }
        // What found no room is read again when something was written.
        if n_due == room {
            return Ok(READ_EVERY);
        }
        let next = watches::next_in(db, buckets, AHEAD).await?;
        let soon = next.map_or(SLEEP_MAX, |next| next.saturating_sub(AHEAD).min(SLEEP_MAX));
        Ok(soon.max(READ_EVERY))
    }
}

/// When what is due is read, since something was said to have changed.
fn woken(read_at: Instant, was_read: Option<Instant>) -> Instant {
    was_read.map_or_else(Instant::now, |was_read| read_at.min(was_read + READ_EVERY))
}

/// Whether the mesh is in one of these buckets.
fn is_held(mesh: i64, buckets: &[i32]) -> bool {
    buckets.iter().any(|bucket| i64::from(*bucket) == mesh % i64::from(BUCKETS))
}

/// Counts a check that found no room, and says so in the list only from a few in a row on.
fn count(busy: &mut HashMap<Name, u32>, check: &mut Check) {
    let name = (check.due.mesh, check.due.id.clone());
    let failed = match &mut check.outcome {
        Err(failed) if failed.is_ours => failed,
        _ => {
            busy.remove(&name);
            return;
        }
    };
    if busy.len() >= BUSY_MAX {
        busy.clear();
    }
    let (mesh, watch) = name.clone();
    let n = busy.entry(name).or_default();
    *n += 1;
    if *n < limit::WATCH_BUSY_TOLD {
        failed.why = None;
    } else if *n == limit::WATCH_BUSY_TOLD {
        warn!(mesh, watch, "{n} checks of watch {watch} in a row found no room");
    }
}

/// Looks when it is time; says what was seen, and how late that was.
async fn look(fetching: Fetching, due: Due) -> (Check, Duration) {
    let planned = Instant::now() + due.wait;
    tokio::time::sleep(due.wait).await;
    let late = due.late;
    let (check, took) = fetching.check(due).await;
    (check, late + planned.elapsed().saturating_sub(took))
}

fn panicked<T>(error: JoinError) -> T {
    match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(_) => unreachable!("no task is cancelled before its duty ends"),
    }
}

#[cfg(test)]
mod tests {
    use skein_sql::watches::Failed;
    use skein_wire::watches::Mode;

    use super::*;

    fn check(outcome: std::result::Result<watches::Seen, Failed>) -> Check {
        let due = Due {
            mesh: 65,
            id: "w_00000000".into(),
            member: 1,
            created_by: "ann".into(),
            url: "https://a.example/".into(),
            mode: Mode::Hash,
            extract: None,
            interval_s: 60,
            notify_on: "change".into(),
            headers: None,
            label: None,
            group: None,
            check_no: 0,
            last: None,
            failures: 0,
            etag: None,
            last_modified: None,
            wait: Duration::ZERO,
            late: Duration::ZERO,
        };
        Check { due, outcome }
    }

    #[test]
    fn what_found_no_room_is_said_from_a_few_in_a_row_on() {
        let mut busy = HashMap::new();
        let mut says = |is_ours| {
            let why = Some("why".to_owned());
            let mut check = check(Err(Failed { why, status: None, is_ours }));
            count(&mut busy, &mut check);
            check.outcome.unwrap_err().why.is_some()
        };

        let told = limit::WATCH_BUSY_TOLD as usize;
        let first: Vec<bool> = (0..told + 1).map(|_| says(true)).collect();
        let (failure, again) = (says(false), says(true));

        assert_eq!(first, [vec![false; told - 1], vec![true; 2]].concat());
        assert!(failure, "what is the page's is said at once");
        assert!(!again, "they were not in a row");
    }

    #[test]
    fn many_words_of_changes_are_one_read() {
        let now = Instant::now();
        let (planned, soon) = (now + Duration::from_secs(60), now + READ_EVERY);

        assert!(woken(planned, None) < planned, "the first is at once");
        assert_eq!(woken(planned, Some(now)), soon);
        assert_eq!(woken(woken(planned, Some(now)), Some(now)), soon, "each later one as well");
        assert_eq!(woken(now, Some(now)), now, "what was to be read anyway is not put off");
    }

    #[test]
    fn a_mesh_is_in_the_bucket_of_its_number() {
        assert!(is_held(65, &[0, 1]));
        assert!(!is_held(65, &[0, 2, 63]));
        assert!(!is_held(65, &[]));
    }
}
