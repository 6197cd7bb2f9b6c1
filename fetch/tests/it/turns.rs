//! What a host is spared: a few requests at once, a few a second.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use skein_fetch::Fetcher;
use tokio::task::JoinSet;

use crate::site::{Reply, Site, Told, fetcher, request};

fn ask(fetcher: &Arc<Fetcher>, url: &str, n: usize) -> JoinSet<Result<u16, &'static str>> {
    let mut asking = JoinSet::new();
    for _ in 0..n {
        let (fetcher, request) = (fetcher.clone(), request(url));
        asking.spawn(async move {
            fetcher.get(&request).await.map(|answer| answer.status).map_err(|error| error.code())
        });
    }
    asking
}

#[tokio::test]
async fn a_host_is_asked_four_at_once() {
    let site = Site::start(|_| Reply::Hang(Vec::new())).await;
    let fetcher = Arc::new(fetcher(&site.rule(), Arc::default()));

    let mut asking = ask(&fetcher, &site.url("/"), 8);
    let first = asking.join_next().await.unwrap().unwrap();

    // The first four wait for their answers to the end, and so long nobody else comes.
    assert!(matches!(first, Err("timeout" | "busy")), "{first:?}");
    assert_eq!(site.n_connections(), 4);
}

#[tokio::test]
async fn a_host_that_is_asked_too_often_is_busy_at_once() {
    let n_asked = Arc::new(AtomicUsize::new(0));
    let n = n_asked.clone();
    let site = Site::start(move |_| {
        n.fetch_add(1, Ordering::SeqCst);
        Reply::ok("")
    })
    .await;
    let fetcher = Arc::new(fetcher(&site.rule(), Arc::default()));

    let mut asking = ask(&fetcher, &site.url("/"), 200);

    // Ten are spared the wait, and a hundred more wait for ten seconds at most.
    let first = asking.join_next().await.unwrap().unwrap();
    let rest = asking.join_all().await;
    let n_busy = rest.iter().chain([&first]).filter(|end| **end == Err("busy")).count();
    assert!((80..=150).contains(&n_busy), "{n_busy}");
    assert_eq!(n_asked.load(Ordering::SeqCst), 200 - n_busy);
}

#[tokio::test]
async fn one_host_does_not_wait_for_another() {
    let (slow, quick) =
        (Site::start(|_| Reply::Hang(Vec::new())).await, Site::start(|_| Reply::ok("")).await);
    let names = Told::default().name("quick.example", &[&["127.0.0.1"]]);
    let allow = format!("{},{}", slow.rule(), quick.rule());
    let fetcher = Arc::new(fetcher(&allow, Arc::new(names)));
    let mut hung = ask(&fetcher, &slow.url("/"), 8);

    let url = format!("http://quick.example:{}/", quick.address.port());
    let ended = ask(&fetcher, &url, 4).join_all().await;

    assert_eq!(ended, [Ok(200); 4]);
    assert!(hung.try_join_next().is_none(), "the slow ones are still waiting");
}

#[tokio::test]
async fn the_bodies_of_all_hosts_share_one_room() {
    const N_BYTES: usize = 2 * 1024 * 1024;
    let page = |n_bytes: usize| {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {N_BYTES}\r\n\r\n");
        [head.into_bytes(), vec![b'a'; n_bytes]].concat()
    };
    // All but the end, which never comes; and a page that is whole.
    let site = Site::start(move |asked| match &*asked.path {
        "/whole" => Reply::Raw(page(N_BYTES)),
        _ => Reply::Hang(page(N_BYTES - 1)),
    })
    .await;
    let names: Vec<String> = (0..10).map(|n| format!("{n}.example")).collect();
    let told = names.iter().fold(Told::default(), |told, name| told.name(name, &[&["127.0.0.1"]]));
    let fetcher = Arc::new(fetcher(&site.rule(), Arc::new(told)));
    let url = |name: &str, path| format!("http://{name}:{}{path}", site.address.port());

    let mut all = JoinSet::new();
    for name in &names {
        let asking = ask(&fetcher, &url(name, "/"), 4);
        all.spawn(asking.join_all());
    }
    let ended = all.join_all().await.concat();
    let whole = fetcher.get(&request(&url("0.example", "/whole"))).await.unwrap();

    // 64 MiB are 32 bodies; the others found no room at their ends.
    let n_stalled = ended.iter().filter(|end| **end == Err("stalled")).count();
    let n_busy = ended.iter().filter(|end| **end == Err("busy")).count();
    assert_eq!((n_stalled, n_busy), (32, 8), "{ended:?}");
    assert_eq!(whole.n_bytes(), N_BYTES, "the room is free again");
}
