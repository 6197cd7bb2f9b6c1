//! A queue of tasks under fire: fifty claimers on four edges share it, and an edge is killed.
//!
//! A task must be given to exactly one of them and be done exactly once. A claim whose answer was
//! lost with the edge is known to nobody; its lease ends, and then somebody else has it.
//! `SKEIN_TASKS` says how many tasks; without it so many as a test can afford.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use skein::client::{Client, Config, Pushes, RequestError};
use skein_tests::{
    peer::Identity,
    place::{Place, Setup},
};
use skein_wire::{
    Code,
    tasks::{ClaimNext, CompleteTask, CreateTask, Task},
};
use tokio::{task::JoinSet, time::timeout};

/// Tasks of a test.
const TASKS: usize = 400;
/// Who shares them.
const CLAIMERS: usize = 50;
/// How long a claim holds; much longer than its task takes, also across a lost edge.
const LEASE_SECONDS: u32 = 15;
/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long all of it may take, by what there is to do.
const ALL: Duration = Duration::from_secs(120);

async fn attach(identity: Identity) -> (Client, Pushes) {
    let Identity { edges, mesh_id, member_id, member, session, name, .. } = identity;
    let config = Config::new(edges, &mesh_id, &member_id, member, session);
    let (client, pushes) = Client::start(Config { display_name: Some(name), ..config });
    client.ready(PATIENCE).await.expect("it attaches");
    (client, pushes)
}

/// The next task; `None` when there is none now, or the answer was lost.
async fn claim(client: &Client) -> Option<Task> {
    let next = ClaimNext { lease_seconds: Some(LEASE_SECONDS), ..ClaimNext::default() };
    match client.request_within(&next, PATIENCE).await {
        Ok(result) => result.task,
        Err(error) => {
            expected(&error);
            // The client finds another edge.
            client.ready(PATIENCE).await.expect("edges live");
            None
        }
    }
}

/// Completes a task that is held, however often that has to be said.
async fn complete(client: &Client, id: &str) {
    let result = Some("done".to_owned());
    let complete = CompleteTask { task_id: id.to_owned(), result, if_held: Some(true) };
    loop {
        match client.request_within(&complete, PATIENCE).await {
            Ok(list) => {
                assert_eq!(list.task.expect("ours are told").status, "done");
                return;
            }
            Err(error) => {
                expected(&error);
                client.ready(PATIENCE).await.expect("edges live");
            }
        }
    }
}

/// What may come instead of an answer while an edge dies.
fn expected(error: &RequestError) {
    match error {
        RequestError::Lost | RequestError::TimedOut(_) => (),
        RequestError::Refused(refusal) if refusal.code == Code::Unavailable.as_str() => (),
        other => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn claimers_on_four_edges_share_tasks_exactly_once_while_an_edge_is_killed() {
    let n_tasks = std::env::var("SKEIN_TASKS").map_or(TASKS, |n| n.parse().unwrap());
    let mut place = Place::start(Setup { edges: 4, workers: 1, ..Setup::default() }).await;
    let (maker, _pushes) = attach(place.enrol(CLAIMERS, 0).await).await;
    for n in 0..n_tasks {
        let task = CreateTask { title: format!("task {n}"), ..CreateTask::default() };
        maker.request(&task).await.expect("the task is made");
    }
    let mut claimers = Vec::new();
    for index in 0..CLAIMERS {
        claimers.push(attach(place.enrol(index, index).await).await);
    }

    let done = Arc::new(AtomicUsize::new(0));
    let since = Instant::now();
    let mut working = JoinSet::new();
    for (client, pushes) in claimers {
        let done = done.clone();
        working.spawn(async move {
            let mut given = Vec::new();
            while done.load(Ordering::Relaxed) < n_tasks {
                let Some(task) = claim(&client).await else {
                    // Others have the rest, or a lease has to end first.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                };
                complete(&client, &task.id).await;
                done.fetch_add(1, Ordering::Relaxed);
                given.push(task.id);
            }
            drop(pushes);
            given
        });
    }
    let third = timeout(ALL, async {
        while done.load(Ordering::Relaxed) < n_tasks / 3 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    third.await.expect("tasks are done");
    place.edges[1].kill().await;
    let done_before = done.load(Ordering::Relaxed);
    assert!(done_before < n_tasks, "the edge died in between");

    let mut given: BTreeMap<String, usize> = BTreeMap::new();
    let all = timeout(ALL + Duration::from_millis(20 * n_tasks as u64), async {
        while let Some(of_one) = working.join_next().await {
            for id in of_one.unwrap() {
                *given.entry(id).or_default() += 1;
            }
        }
    });
    all.await.expect("all tasks are done");

    let took = since.elapsed();
    let lost = place.count("select (sum(claims) - count(*))::bigint from task").await;
    println!(
        "{n_tasks} tasks in {took:?}, the edge killed after {done_before}; {lost} claims lost"
    );
    assert_eq!(given.len(), n_tasks);
    assert!(given.values().all(|n| *n == 1), "given twice: {given:?}");
    let undone = "select count(*) from task where status <> 'done' or result <> 'done'";
    assert_eq!(place.count(undone).await, 0);
    place.stop().await;
}
