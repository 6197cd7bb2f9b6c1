//! Watches: ten thousand of them over a thousand addresses, written by SQL; how late a worker looks,
//! and what that costs it.
//!
//! The pages are served by this process ([`skein_tests::web`]), which writes down when each was
//! looked at. When that should have been follows from the watch: its interval, and its phase in it.
//! The first round, in which nothing is known yet, is not measured.

use std::time::{Duration, SystemTime};

use skein_sql::duties::{self, Kind};
use skein_tests::web::Web;
use tokio::time::sleep;

use super::tenants::{self, Error};

/// Watches of the row.
const WATCHES: usize = 10_000;
/// Addresses that they are spread over.
const HOSTS: usize = 1000;
/// From one check of a watch to the next.
const INTERVAL: Duration = Duration::from_secs(60);
/// What may still be under way when a round is over.
const SLACK: Duration = Duration::from_secs(5);

const FILL: &str = "
    with who as materialized (
        select row_number() over (order by mailbox) as n, mesh, mailbox
          from member
         where id like 'bench-%'),
    new as (
        select i, (i - 1) * 1.0 / $1::int as phase, u.url
          from unnest($2::text[]) with ordinality as u(url, i))
    insert into watch (mesh, id, member, url, mode, interval_s, notify_on, phase, next_at)
    select w.mesh, 'w_' || lpad(to_hex(n.i), 8, '0'), w.mailbox, n.url, 'hash', $3, 'change', n.phase,
           to_timestamp((floor(extract(epoch from now()) / $3::int) + 1 + n.phase) * $3::int)
      from new n
      join who w on w.n = 1 + n.i % (select count(*) from who)";

/// What was measured.
pub struct Watched {
    /// How many milliseconds late each check was, least first.
    pub late_ms: Vec<f64>,
    /// Watches that were not looked at in the round.
    pub n_missed: usize,
    /// The share of a core that the worker took.
    pub cores: f64,
    /// Its memory at the end, in bytes, and at its most.
    pub rss_bytes: (u64, u64),
}

/// A web that watches may look at, to be started before the deployment that is to be told of it.
pub struct Place {
    runtime: tokio::runtime::Runtime,
    web: Web,
}

impl Place {
    /// Serves the pages.
    pub fn start() -> Result<Self, String> {
        // Threads of its own: the pages are served while this one waits for a round to end.
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let web = runtime.block_on(Web::start(HOSTS));
        Ok(Self { runtime, web })
    }

    /// What the deployment must allow.
    pub fn allow(&self) -> String {
        self.web.allow()
    }

    /// Makes the watches, and measures their second round.
    pub fn measure(&self, url: &str, worker: u32) -> Result<Watched, String> {
        let measured = self.runtime.block_on(self.rounds(url, worker));
        measured.map_err(|error| tenants::chain(&*error))
    }

    async fn rounds(&self, url: &str, worker: u32) -> Result<Watched, Error> {
        let db = tenants::make(url).await?;
        let urls: Vec<String> = (0..WATCHES).map(|n| self.web.url(n)).collect();
        let n_watches = i32::try_from(WATCHES)?;
        let interval_s = i32::try_from(INTERVAL.as_secs())?;
        db.execute(FILL, &[&n_watches, &urls, &interval_s]).await?;
        db.batch_execute("analyze watch").await?;
        duties::wake(&db, Kind::Watch).await?;
        // The next whole interval, and one round.
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
        let first = whole(now) + INTERVAL;
        sleep(first + INTERVAL - now).await;
        let before = process::read(worker)?;
        sleep(INTERVAL).await;
        let after = process::read(worker)?;
        sleep(SLACK).await;
        Ok(self.measured(first + INTERVAL, before, after))
    }

    /// The looks of the round that began then.
    fn measured(&self, from: Duration, before: process::State, after: process::State) -> Watched {
        let mut late_ms = Vec::new();
        for n in 0..WATCHES {
            let due = from + INTERVAL.mul_f64(n as f64 / WATCHES as f64);
            let looks = self
                .web
                .looks(n)
                .into_iter()
                .map(|look| look.at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default());
            // Half an interval before its time a look belongs to the round before.
            let look = looks.filter(|at| *at + INTERVAL / 2 > due).min();
            let late = look.map(|at| at.saturating_sub(due).as_secs_f64() * 1e3);
            late_ms.extend(late.filter(|late| *late < INTERVAL.as_secs_f64() * 1e3));
        }
        late_ms.sort_by(f64::total_cmp);
        Watched {
            n_missed: WATCHES - late_ms.len(),
            late_ms,
            cores: (after.cpu_s - before.cpu_s) / INTERVAL.as_secs_f64(),
            rss_bytes: (after.rss_bytes, after.peak_bytes),
        }
    }
}

/// The whole interval that this moment is in.
fn whole(now: Duration) -> Duration {
    let interval_s = INTERVAL.as_secs();
    Duration::from_secs(now.as_secs() / interval_s * interval_s)
}

/// What a process costs, by `/proc`.
mod process {
    use std::fs;

    /// Ticks of the processor in a second, as `/proc` counts them on Linux.
    const TICKS_PER_SECOND: f64 = 100.0;

    /// What it has cost so far.
    #[derive(Debug, Clone, Copy)]
    pub struct State {
        pub cpu_s: f64,
        pub rss_bytes: u64,
        pub peak_bytes: u64,
    }

    pub fn read(pid: u32) -> Result<State, String> {
        let words = |error: std::io::Error| format!("the worker is gone: {error}");
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).map_err(words)?;
        let status = fs::read_to_string(format!("/proc/{pid}/status")).map_err(words)?;
        // The name is in brackets, and may hold anything; utime and stime are fields 14 and 15.
        let fields = stat.rsplit_once(") ").map_or("", |rest| rest.1).split(' ').skip(11);
        let ticks: u64 = fields.take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
        let bytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
            kib.and_then(|kib| kib.trim().parse::<u64>().ok()).unwrap_or_default() * 1024
        };
        let cpu_s = ticks as f64 / TICKS_PER_SECOND;
        Ok(State { cpu_s, rss_bytes: bytes("VmRSS:"), peak_bytes: bytes("VmHWM:") })
    }
}
