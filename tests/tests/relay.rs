//! Relayed files under fire: peers read files of a mebibyte from peers on other edges, one of which
//! is killed in between.
//!
//! Every read must end within the client's patience by the file or by a failure with a name, and
//! the edges that live must stay within what the relay may hold. `SKEIN_RELAY_READS` says how many
//! reads; without it so many as a test can afford.

#![allow(clippy::unwrap_used, reason = "a helper of tests may panic as they do")]

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use skein::{
    client::{Client, Config, Incoming, Pushes, RequestError, asked::Question},
    shared::Shared,
};
use skein_tests::{
    peer::Identity,
    place::{Place, Setup},
};
use skein_wire::{
    limit::{PEER_FILE_BYTES_MAX, PEER_FILE_PATIENCE, RELAY_BYTES_MAX},
    peer_files::PeerFileRequest,
};
use tokio::{task::JoinSet, time::timeout};

/// Reads of a test.
const READS: usize = 150;
/// How long the reference's client waits for a file.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long anything else may take.
const SOON: Duration = Duration::from_secs(30);
/// Peers that read.
const READERS: usize = 4;
/// Reads of one of them at once.
const WINDOW: usize = 4;
/// What an edge may hold beside what the relay does.
const REST_KIB: usize = 160 * 1024;
/// What a reader may be told instead of the file.
const NAMES: [&str; 3] = ["peer_gone", "peer_not_found", "timeout"];

/// The file is its own proof: each is filled with its number.
fn write_files(dir: &Path) -> usize {
    let n_files = 8;
    for n in 0..n_files {
        let byte = b'a' + u8::try_from(n).unwrap();
        std::fs::write(dir.join(n.to_string()), vec![byte; PEER_FILE_BYTES_MAX]).unwrap();
    }
    n_files
}

fn config(identity: Identity) -> Config {
    let Identity { edges, mesh_id, member_id, member, session, name, .. } = identity;
    let config = Config::new(edges, &mesh_id, &member_id, member, session);
    Config { display_name: Some(name), answers: true, ..config }
}

/// Answers what it is asked, from what is shared; one that shares nothing here says nothing at all.
async fn answer(
    client: Client,
    mut pushes: Pushes,
    shared: Option<Shared>,
    asked: Arc<AtomicUsize>,
) {
    while let Some(incoming) = pushes.next().await {
        let Incoming::Frame { kind, text } = incoming else { continue };
        let Some(question) = Question::read(&kind, &text) else { continue };
        asked.fetch_add(1, Ordering::Relaxed);
        if let Some(shared) = shared.clone() {
            let answering = tokio::task::spawn_blocking(move || question.answer(Some(&shared)));
            client.say(answering.await.unwrap().frame);
        }
    }
}

async fn attach(identity: Identity) -> (Client, Pushes) {
    let (client, pushes) = Client::start(config(identity));
    client.ready(SOON).await.expect("it attaches");
    (client, pushes)
}

/// What one read came to: the file, or the name of its failure.
async fn read(client: &Client, holder: &str, n: usize) -> Result<(), String> {
    let ask = PeerFileRequest { target_pubkey: holder.to_owned(), file_path: n.to_string() };
    match client.request_within(&ask, PATIENCE).await {
        Ok(answer) => {
            assert_eq!(answer.error, None);
            let content = answer.content.expect("there is a file");
            let wanted = [b'a' + u8::try_from(n).unwrap(); 3];
            let first = skein_crypto::plain::decode(&content[..4]).unwrap();
            assert_eq!((first.as_bytes(), content.len()), (&wanted[..], 1_398_104));
            Ok(())
        }
        Err(RequestError::Refused(refusal)) => Err(refusal.code),
        Err(other) => panic!("a read was not answered: {other}"),
    }
}

/// The most memory that a process ever had, in KiB.
fn peak_kib(pid: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_read_across_edges_is_answered_or_fails_by_name_while_an_edge_is_killed() {
    let n_reads = std::env::var("SKEIN_RELAY_READS").map_or(READS, |n| n.parse().unwrap());
    let mut place = Place::start(Setup { edges: 3, workers: 1, ..Setup::default() }).await;
    let folder = tempfile::tempdir().unwrap();
    let n_files = write_files(folder.path());
    let shared = Shared::new(folder.path()).unwrap();
    let asked_silent = Arc::new(AtomicUsize::new(0));

    // Holders on the two other edges, and one that never says anything on the edge that dies.
    let (mut keys, mut answering) = (Vec::new(), JoinSet::new());
    for (index, edge, shares) in [(0, 1, true), (1, 2, true), (2, 1, true), (3, 1, false)] {
        let identity = place.enrol(index, edge).await;
        keys.push(identity.session.public.hex());
        let (client, pushes) = attach(identity).await;
        let shared = shares.then(|| shared.clone());
        let asked = if shares { Arc::default() } else { asked_silent.clone() };
        answering.spawn(answer(client, pushes, shared, asked));
    }
    let silent = keys.pop().unwrap();
    let mut readers = Vec::new();
    for index in 0..READERS {
        readers.push(attach(place.enrol(10 + index, 0).await).await.0);
    }

    let (next, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut reading = JoinSet::new();
    for client in readers.iter().flat_map(|client| std::iter::repeat_n(client, WINDOW)) {
        let (client, keys) = (client.clone(), keys.clone());
        let (next, done) = (next.clone(), done.clone());
        reading.spawn(async move {
            let mut ends: BTreeMap<String, usize> = BTreeMap::new();
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= n_reads {
                    return ends;
                }
                let end = read(&client, &keys[n % keys.len()], n % n_files).await;
                *ends.entry(end.err().unwrap_or_else(|| "read".into())).or_default() += 1;
                done.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let third = timeout(SOON * 4, async {
        while done.load(Ordering::Relaxed) < n_reads / 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    third.await.expect("files are read");

    // One question is with the silent holder when its edge dies.
    let waiting = tokio::spawn({
        let (client, silent) = (readers[0].clone(), silent.clone());
        async move {
            let since = Instant::now();
            (read(&client, &silent, 0).await, since.elapsed())
        }
    });
    let heard = timeout(SOON, async {
        while asked_silent.load(Ordering::Relaxed) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    heard.await.expect("the silent holder is asked");
    place.edges[1].kill().await;

    let (end, took) = waiting.await.unwrap();
    let mut ends: BTreeMap<String, usize> = BTreeMap::new();
    while let Some(of_one) = reading.join_next().await {
        for (name, n) in of_one.unwrap() {
            *ends.entry(name).or_default() += n;
        }
    }

    println!("{n_reads} reads: {ends:?}; the one that waited: {end:?} after {took:?}");
    assert_eq!(end, Err("peer_gone".to_owned()), "its edge died long before its deadline");
    assert!(took < PEER_FILE_PATIENCE, "{took:?}");
    assert_eq!(ends.values().sum::<usize>(), n_reads);
    for name in ends.keys() {
        assert!(name == "read" || NAMES.contains(&name.as_str()), "{name}");
    }
    // Holders of the killed edge come back elsewhere: most files are read all the same.
    assert!(ends["read"] > n_reads / 2, "{ends:?}");
    for edge in [0, 2] {
        let peak = peak_kib(place.edges[edge].program().pid());
        println!("edge {edge}: at most {peak} KiB");
        assert!(peak < 2 * RELAY_BYTES_MAX / 1024 + REST_KIB, "edge {edge}: {peak} KiB");
    }
    answering.shutdown().await;
    place.stop().await;
}
