//! Simulation clocks under real workers: every number is given once, whoever dies, and told.
//!
//! A trigger writes every tick into a table of the test in the tick's own transaction, so that a
//! number which was given and told to nobody shows too.

use std::{
    collections::BTreeMap,
    process::Stdio,
    time::{Duration, Instant},
};

use skein_embedded::Server;
use skein_sql::{
    Listener,
    audit::Actor,
    clock,
    duties::{self, Kind},
    schedules::New,
};
use skein_wire::{cron::Cron, schedules::Missed};
use skein_worker::Options;
use tokio::process::{Child, Command};

use crate::{
    place::{Heart, Place, QUICK, SOON, Worker, until},
    schedules::{self, Maker},
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_skein-worker");

const LOG: &str = "
    create table ticked (mesh bigint not null, tick bigint not null,
                         at timestamptz not null default clock_timestamp());
    create function note_tick() returns trigger language plpgsql as $$
    begin
        insert into ticked (mesh, tick) values (new.mesh, new.tick);
        return new;
    end $$;
    create trigger note_tick after update of tick on clock
        for each row when (new.tick <> old.tick) execute function note_tick();";

/// An edge that beats, and meshes that each have a session there and a clock.
struct Clocks {
    place: Place,
    meshes: Vec<i64>,
    /// What the edge is told.
    listener: Listener,
    _heart: Heart,
}

impl Clocks {
    async fn new(place: Place, n: i64, speed: f64) -> Self {
        place.db.batch_execute(LOG).await.unwrap();
        let node = place.node("edge").await;
        let listener = place.connector.listener().await.unwrap();
        listener.listen(node).await.unwrap();
        let heart = Heart::start(&place.connector, node);
        let make = "
            with made as (
                insert into mesh (id, slug, name, owner_key)
                select 'm' || i, 'm' || i, 'm', repeat('0', 64) from generate_series(1, $1::bigint) i
                returning no),
            joined as (
                insert into member (id, mesh, pubkey, display_name, role)
                select 'm' || no, no, repeat('0', 64), 'm', 'owner' from made
                returning mailbox, mesh),
            known as (
                insert into session (mesh, member, key, attach_no, announced, display_name,
                                     session_id, pid, cwd)
                select mesh, mailbox, repeat('1', 64), 1, 'here', 'm', 'm', 1, '/' from joined
                returning mailbox, mesh, member)
            insert into presence (session, mesh, member, node, attach_no, id)
            select mailbox, mesh, member, $2, 1, 'p' from known
            returning mesh";
        let rows = place.db.query(make, &[&n, &node]).await.unwrap();
        let meshes: Vec<i64> = rows.iter().map(|row| row.get("mesh")).collect();
        for mesh in &meshes {
            clock::set(&place.db, *mesh, Actor::System, speed).await.unwrap();
        }
        Self { place, meshes, listener, _heart: heart }
    }

    /// The numbers that were given, by mesh, in the order of their commits.
    async fn given(&self) -> BTreeMap<i64, Vec<i64>> {
        let read = "select mesh, tick from ticked order by at, tick";
        let mut given: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
        for row in self.place.db.query(read, &[]).await.unwrap() {
            given.entry(row.get("mesh")).or_default().push(row.get("tick"));
        }
        given
    }

    async fn pause(&self) {
        for mesh in &self.meshes {
            clock::pause(&self.place.db, *mesh, Actor::System).await.unwrap();
        }
    }

    async fn resume(&self) {
        for mesh in &self.meshes {
            clock::resume(&self.place.db, *mesh, Actor::System).await.unwrap();
        }
        duties::wake(&self.place.db, Kind::Clock).await.unwrap();
    }

    /// Waits until every clock has come so far.
    async fn reach(&self, tick: i64) {
        let read = "select count(*) = $1 from clock where tick >= $2";
        let n = i64::try_from(self.meshes.len()).unwrap();
        until(async || self.place.row(read, &[&n, &tick]).await.get(0)).await;
    }

    /// Every number was given once and in order, from 1 on.
    async fn are_whole(&self) {
        let given = self.given().await;
        assert_eq!(given.len(), self.meshes.len());
        for (mesh, numbers) in given {
            assert!(numbers.iter().copied().eq(1..=numbers.len() as i64), "{mesh}: {numbers:?}");
        }
    }

    /// What the edge was told until now: (mesh, number).
    fn told(&mut self) -> Vec<(i64, i64)> {
        let mut told = Vec::new();
        while let Ok(note) = self.listener.notifications.try_recv() {
            told.extend(heads(&note.payload));
        }
        told
    }

    /// The numbers that the edge is told of one mesh, up to this one.
    async fn told_until(&mut self, tick: i64) -> Vec<i64> {
        let mut told = Vec::new();
        let listening = async {
            while told.last().is_none_or(|last| *last < tick) {
                let note = self.listener.notifications.recv().await.expect("it listens");
                told.extend(heads(&note.payload).into_iter().map(|(_, number)| number));
            }
        };
        tokio::time::timeout(SOON, listening).await.expect("it is told soon");
        told
    }
}

fn heads(payload: &str) -> Vec<(i64, i64)> {
    let note: serde_json::Value = serde_json::from_str(payload).unwrap();
    if note["k"] != "ticks" {
        return Vec::new();
    }
    let head =
        |head: &serde_json::Value| (head["m"].as_i64().unwrap(), head["t"].as_i64().unwrap());
    note["l"].as_array().unwrap().iter().map(head).collect()
}

/// A worker of its own process, which dies where this says.
fn process(place: &Place, fail: &str) -> Child {
    let mut command = Command::new(PROGRAM);
    command.env_clear().env("DATABASE_URL", &place.url).env("SKEIN_FAIL", fail);
    command
        .env("RUST_LOG", "debug,tokio_postgres=info")
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

#[tokio::test]
async fn clocks_tick_by_themselves_and_nodes_are_told_each_number() {
    let mut clocks = Clocks::new(Place::new().await, 1, 100.0).await;
    let worker = clocks.place.worker();

    assert_eq!(clocks.told_until(4).await, [1, 2, 3, 4]);

    clocks.are_whole().await;
    worker.stop().await;
}

#[tokio::test]
async fn a_number_that_was_committed_and_told_to_nobody_is_not_given_again() {
    let mut clocks = Clocks::new(Place::new().await, 1, 100.0).await;
    let mut first = process(&clocks.place, "clock.committed=kill@3");
    let ended = tokio::time::timeout(SOON, first.wait()).await.unwrap().unwrap();
    assert!(!ended.success());
    assert_eq!(clocks.given().await[&clocks.meshes[0]], [1, 2, 3]);

    let second = clocks.place.worker();

    assert_eq!(clocks.told_until(5).await, [1, 2, 4, 5], "nodes tell the third before the fourth");
    clocks.are_whole().await;
    second.stop().await;
}

#[tokio::test]
async fn a_number_that_was_not_committed_is_given_by_the_next_worker() {
    let mut clocks = Clocks::new(Place::new().await, 1, 100.0).await;
    let mut first = process(&clocks.place, "clock.before_commit=kill@3");
    let ended = tokio::time::timeout(SOON, first.wait()).await.unwrap().unwrap();
    assert!(!ended.success());

    let second = clocks.place.worker();

    assert_eq!(clocks.told_until(5).await, [1, 2, 3, 4, 5]);
    clocks.are_whole().await;
    second.stop().await;
}

#[tokio::test]
async fn twenty_clocks_at_their_fastest_miss_and_repeat_nothing_while_workers_come_and_go() {
    let mut clocks = Clocks::new(Place::new().await, 20, 100.0).await;
    let mut workers = vec![clocks.place.worker(), clocks.place.worker()];
    // Cut in the middle of whatever they do.
    let cut = "select count(pg_terminate_backend(a.pid))
                 from pg_stat_activity a
                where a.datname = current_database() and a.application_name <> 'skein'
                  and a.query not like 'listen %'";
    for round in 1..=6 {
        clocks.reach(2 * round).await;
        if round % 2 == 0 {
            clocks.place.row(cut, &[]).await;
        } else {
            // Dropped, as by a SIGKILL.
            workers.remove(0);
            workers.push(clocks.place.worker());
        }
    }
    clocks.reach(15).await;
    for worker in workers {
        worker.stop().await;
    }

    clocks.are_whole().await;
    let mut told = clocks.told();
    let n_told = told.len();
    told.sort_unstable();
    told.dedup();
    assert_eq!(told.len(), n_told, "nothing was told twice");
}

#[tokio::test]
async fn a_schedule_in_simulated_time_fires_once_a_minute_with_the_tick_whoever_dies() {
    let clocks = Clocks::new(schedules::place().await, 1, 100.0).await;
    clocks.pause().await;
    let (place, mesh) = (&clocks.place, clocks.meshes[0]);
    let member: i64 = place.row("select mailbox from member", &[]).await.get(0);
    let maker = Maker { mesh, member, key: "0".repeat(64) };
    let base = clock::heads(&place.db, &[mesh]).await.unwrap()[0].sim_time();
    let cron = Cron::parse("* * * * *").unwrap();
    let slots = cron.upcoming(base, &jiff::tz::TimeZone::UTC, 12);
    let reminder = maker.reminder(slots[0]);
    let every_minute = New {
        cron: Some("* * * * *"),
        clock: skein_wire::schedules::Clock::Sim,
        missed: Missed::Skip,
        ..reminder
    };
    let id = maker.make(place, every_minute).await;
    clocks.resume().await;

    // One dies with the tick and its messages, one between their commit and the telling.
    for fail in ["clock.before_commit=kill@3", "clock.committed=kill@3"] {
        let ended = tokio::time::timeout(SOON, process(place, fail).wait()).await.unwrap().unwrap();
        assert!(!ended.success());
        let n_ticks =
            usize::try_from(clock::heads(&place.db, &[mesh]).await.unwrap()[0].t).unwrap();
        assert_eq!(maker.fires(place, id).await.len(), n_ticks, "with the tick or not at all");
    }
    let third = place.worker();
    clocks.reach(8).await;
    clocks.pause().await;
    third.stop().await;

    clocks.are_whole().await;
    let n = usize::try_from(clock::heads(&place.db, &[mesh]).await.unwrap()[0].t).unwrap();
    let fires = maker.fires(place, id).await;
    let fired: Vec<i64> = fires.iter().rev().map(|fire| fire.slot).collect();
    assert_eq!(fired, slots.iter().take(n).map(|slot| slot.as_millisecond()).collect::<Vec<_>>());
    let mut ids: Vec<_> = schedules::stored(place).await.into_iter().map(|sent| sent.0).collect();
    ids.dedup();
    assert_eq!(ids.len(), n, "one message a minute");
}

#[tokio::test]
async fn what_fires_in_one_mesh_holds_up_the_ticks_of_no_other() {
    let clocks = Clocks::new(schedules::place().await, 6, 100.0).await;
    clocks.pause().await;
    let (place, heavy) = (&clocks.place, clocks.meshes[0]);
    let member = "select mailbox from member where mesh = $1";
    let member: i64 = place.row(member, &[&heavy]).await.get(0);
    let maker = Maker { mesh: heavy, member, key: "0".repeat(64) };
    let base = clock::heads(&place.db, &[heavy]).await.unwrap()[0].sim_time();
    let sim = skein_wire::schedules::Clock::Sim;
    let id = maker.make(place, New { clock: sim, ..maker.reminder(base) }).await;
    clocks.resume().await;
    // It has been due for longer than the others.
    let first = "update clock set due_at = now() - interval '1 s' where mesh = $1";
    place.run(first, &[&heavy]).await;
    place.run("update clock set due_at = now() where mesh <> $1", &[&heavy]).await;
    // Whoever fires waits here.
    let holder = place.connector.connect(skein_sql::Settings::Ordinary).await.unwrap();
    let lock = "set idle_in_transaction_session_timeout = 0;
                begin;
                lock table schedule_fire in exclusive mode";
    holder.batch_execute(lock).await.unwrap();

    let worker = place.worker();
    let waits = "select count(*) = 1 from pg_locks
                  where relation = 'schedule_fire'::regclass and not granted";
    until(async || place.row(waits, &[]).await.get(0)).await;
    let ticked = clock::heads(&place.db, &clocks.meshes).await.unwrap();
    holder.batch_execute("rollback").await.unwrap();
    maker.logged(place, id, 1).await;

    for head in ticked {
        assert_eq!(head.t > 0, head.m != heavy, "only the mesh whose schedule fires waits");
    }
    worker.stop().await;
    clocks.are_whole().await;
}

#[tokio::test]
async fn a_clock_that_is_set_to_go_faster_wakes_its_worker() {
    let mut clocks = Clocks::new(Place::new().await, 1, 1.0).await;
    let worker = clocks.place.worker();
    clocks.place.shared(&[64]).await;
    let mesh = clocks.meshes[0];

    // It would sleep for a minute.
    clock::set(&clocks.place.db, mesh, Actor::System, 100.0).await.unwrap();
    duties::wake(&clocks.place.db, Kind::Clock).await.unwrap();
    assert_eq!(clocks.told_until(2).await, [1, 2]);
    clock::pause(&clocks.place.db, mesh, Actor::System).await.unwrap();
    let stopped = clock::get(&clocks.place.db, mesh).await.unwrap().unwrap();
    tokio::time::sleep(3 * skein_wire::clock::interval(100.0)).await;
    assert_eq!(clock::get(&clocks.place.db, mesh).await.unwrap().unwrap(), stopped);
    clock::resume(&clocks.place.db, mesh, Actor::System).await.unwrap();
    duties::wake(&clocks.place.db, Kind::Clock).await.unwrap();

    clocks.told_until(stopped.tick + 2).await;
    clocks.are_whole().await;
    worker.stop().await;
}

#[tokio::test]
async fn a_clock_stops_where_nobody_is() {
    let clocks = Clocks::new(Place::new().await, 2, 100.0).await;
    let worker = clocks.place.worker();
    clocks.reach(2).await;

    // The one has no session any more when it would tick. The other would not tick for a minute: its
    // session is lost, does not come back, and departs.
    let (gone, lost) = (clocks.meshes[0], clocks.meshes[1]);
    clock::set(&clocks.place.db, lost, Actor::System, 1.0).await.unwrap();
    clocks.place.run("update session set announced = 'gone' where mesh = $1", &[&gone]).await;
    clocks.place.run("update session set depart_at = now() where mesh = $1", &[&lost]).await;
    clocks.place.run("delete from presence", &[]).await;

    let paused = "select count(*) = 2 from clock where paused";
    until(async || clocks.place.row(paused, &[]).await.get(0)).await;
    let noted = "select count(*) from audit_intake where event_type = 'clock_paused'";
    let chained = "select count(*) from audit where event_type = 'clock_paused'";
    let n = async |text| clocks.place.row(text, &[]).await.get::<_, i64>(0);
    until(async || n(noted).await + n(chained).await == 2).await;
    worker.stop().await;
}

#[tokio::test]
async fn an_outage_of_the_database_is_not_made_up_for() {
    let mut server = Server::start(skein_embedded::Options::default()).await.unwrap();
    let url = server.create_database("outage").await.unwrap();
    let clocks = Clocks::new(Place::at(&url).await, 1, 100.0).await;
    let worker = Worker::start(Options { timing: QUICK, ..clocks.place.options() });
    clocks.reach(3).await;

    server.kill().await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    server.resume().await.unwrap();
    let since = Instant::now();
    let clocks = Clocks { place: Place::at(&url).await, ..clocks };
    let n_before = clocks.given().await[&clocks.meshes[0]].len();
    let n_after = n_before + 4;
    clocks.reach(n_after as i64).await;

    // Each but the first took a whole step: what a burst would not.
    assert!(since.elapsed() > 2 * skein_wire::clock::interval(100.0), "{:?}", since.elapsed());
    clocks.are_whole().await;
    worker.stop().await;
    server.stop().await.unwrap();
}
