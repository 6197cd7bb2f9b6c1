//! What a host is spared: a few requests at once, a few a second; and what one member leaves to the
//! others.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustls::RootCertStore;
use skein_fetch::{Fetcher, Guard, Request, Resolve, Resolving};
use skein_wire::limit;
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
    let slow = Site::start(|_| Reply::Hang(Vec::new())).await;
    let quick = Site::at("127.0.0.2", |_| Reply::ok("")).await;
    let allow = format!("{},{}", slow.rule(), quick.rule());
    let fetcher = Arc::new(fetcher(&allow, Arc::default()));
    let mut hung = ask(&fetcher, &slow.url("/"), 8);

    let ended = ask(&fetcher, &quick.url("/"), 4).join_all().await;

    assert_eq!(ended, [Ok(200); 4]);
    assert!(hung.try_join_next().is_none(), "the slow ones are still waiting");
}

#[tokio::test]
async fn a_thousand_names_of_one_address_are_one_host() {
    let site = Site::start(|_| Reply::Hang(Vec::new())).await;
    let names: Vec<String> = (0..1000).map(|n| format!("n{n}.of-{n}.example")).collect();
    let told = names.iter().fold(Told::default(), |told, name| told.name(name, &[&["127.0.0.1"]]));
    let fetcher = Arc::new(fetcher(&site.rule(), Arc::new(told)));

    let mut asking = JoinSet::new();
    for name in &names {
        let url = format!("http://{name}:{}/", site.address.port());
        asking.spawn(ask(&fetcher, &url, 1).join_all());
    }
    let ended = asking.join_all().await.concat();

    // Those that found four before them, all of the time, or a hundred that come before them.
    let n_busy = ended.iter().filter(|end| **end == Err("busy")).count();
    assert!(n_busy >= 1000 - 8, "{n_busy}");
    assert!(site.n_connections() <= 8, "{}", site.n_connections());
}

#[tokio::test]
async fn a_name_that_leads_elsewhere_is_not_asked_over_the_connection_that_was_kept() {
    let first = Site::start(|_| Reply::ok("first")).await;
    let elsewhere = format!("127.0.0.2:{}", first.address.port());
    let second = Site::on(&elsewhere, |_| Reply::ok("second")).await;
    let leads: &[&[&str]] = &[&["127.0.0.1"], &["127.0.0.2"], &["127.0.0.1"]];
    let names = Arc::new(Told::default().name("a.example", leads));
    let fetcher = fetcher(&format!("{},{}", first.rule(), second.rule()), names);
    let url = format!("http://a.example:{}/", first.address.port());

    let mut answers = Vec::new();
    for _ in leads {
        answers.push(fetcher.get(&request(&url)).await.unwrap().text().into_owned());
    }

    assert_eq!(answers, ["first", "second", "first"]);
    assert_eq!((first.n_connections(), second.n_connections()), (1, 1), "one of them was kept");
}

#[tokio::test]
async fn an_address_that_takes_no_connection_is_followed_by_the_next() {
    let site = Site::start(|_| Reply::ok("here")).await;
    let names = Told::default().name("a.example", &[&["127.0.0.9", "127.0.0.1"]]);
    let allow = format!("127.0.0.9,{}", site.rule());
    let url = format!("http://a.example:{}/", site.address.port());

    let answer = fetcher(&allow, Arc::new(names)).get(&request(&url)).await.unwrap();

    assert_eq!(&*answer.text(), "here");
}

/// A resolver that never answers for names with `slow` in them.
struct Slow(Told);

impl Resolve for Slow {
    fn resolve(&self, name: &str) -> Resolving {
        match name.contains("slow") {
            true => Box::pin(std::future::pending()),
            false => self.0.resolve(name),
        }
    }
}

#[tokio::test]
async fn slow_names_of_one_member_or_one_domain_hold_up_nobody_else() {
    let site = Site::start(|_| Reply::ok("here")).await;
    let names = Slow(Told::default().name("quick.example", &[&["127.0.0.1"]]));
    let guard = Guard::new(site.rule().parse().unwrap());
    let fetcher = Arc::new(Fetcher::with(guard, Arc::new(names), RootCertStore::empty()));
    let (port, mut slow) = (site.address.port(), JoinSet::new());
    let mut ask = |url: String, member| {
        let (fetcher, request) = (fetcher.clone(), Request { member, ..request(&url) });
        slow.spawn(async move { fetcher.get(&request).await.map_err(|error| error.code()) });
    };
    // A member with many domains, and a domain with many members.
    for n in 0..64 {
        ask(format!("http://slow-{n}.example:{port}/"), Some(1));
        ask(format!("http://{n}.slow.example:{port}/"), Some(100 + n));
    }

    let url = format!("http://quick.example:{port}/");
    let quick = Request { member: Some(2), ..request(&url) };
    let quick = fetcher.get(&quick).await.unwrap();
    let ended = slow.join_all().await;

    assert_eq!(&*quick.text(), "here");
    let n_named = ended.iter().filter(|end| matches!(end, Err("name"))).count();
    let n_busy = ended.iter().filter(|end| matches!(end, Err("busy"))).count();
    assert_eq!((n_named, n_busy), (8, 120), "only those that were looked up may be at fault");
}

#[tokio::test]
async fn the_wait_for_a_turn_at_a_redirect_is_not_of_the_requests_own_time() {
    let n_came = Arc::new(AtomicUsize::new(0));
    let n = n_came.clone();
    // Four stay until their time is over; who comes then is answered, in its own time.
    let crowded = Site::at("127.0.0.2", move |_| match n.fetch_add(1, Ordering::SeqCst) {
        0..4 => Reply::Hang(Vec::new()),
        _ => Reply::Late(Duration::from_secs(1), raw("here")),
    })
    .await;
    let to = format!("HTTP/1.1 302 Found\r\nLocation: {}\r\n", crowded.url("/"));
    let to = format!("{to}Content-Length: 0\r\n\r\n").into_bytes();
    let site = Site::start(move |_| Reply::Late(Duration::from_secs(2), to.clone())).await;
    let allow = format!("{},{}", site.rule(), crowded.rule());
    let fetcher = Arc::new(fetcher(&allow, Arc::default()));
    let _crowd = ask(&fetcher, &crowded.url("/"), 4);
    while n_came.load(Ordering::SeqCst) < 4 {
        tokio::task::yield_now().await;
    }

    let answer = fetcher.get(&request(&site.url("/"))).await.unwrap();

    assert_eq!(&*answer.text(), "here");
    assert!(answer.took < limit::FETCH_TOTAL / 2, "{:?}", answer.took);
}

fn raw(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

#[tokio::test]
async fn one_member_has_so_many_turns_and_leaves_the_rest() {
    let hung: Vec<Site> = sites(20, || Reply::Hang(Vec::new())).await;
    let quick = Site::start(|_| Reply::ok("")).await;
    let fetcher = Arc::new(fetcher("127.0.0.0/8", Arc::default()));
    let mut asking = JoinSet::new();
    for site in &hung {
        for _ in 0..4 {
            let request = Request { member: Some(1), ..request(&site.url("/")) };
            let fetcher = fetcher.clone();
            asking.spawn(async move { fetcher.get(&request).await.map_err(|error| error.code()) });
        }
    }
    let n_taken = || hung.iter().map(Site::n_connections).sum::<usize>();
    while n_taken() < limit::FETCHES_AT_ONCE_PER_MEMBER_MAX {
        tokio::task::yield_now().await;
    }

    let other = Request { member: Some(2), ..request(&quick.url("/")) };
    let other = fetcher.get(&other).await.unwrap();

    assert_eq!((other.status, n_taken()), (200, limit::FETCHES_AT_ONCE_PER_MEMBER_MAX));
}

#[tokio::test]
async fn one_member_has_so_much_room_for_bodies_and_leaves_the_rest() {
    let sites = sites(3, || Reply::Hang(page(N_BYTES - 1))).await;
    let whole = Site::start(|_| Reply::Raw(page(N_BYTES))).await;
    let fetcher = Arc::new(fetcher("127.0.0.0/8", Arc::default()));
    let mut asking = JoinSet::new();
    for site in &sites {
        for _ in 0..4 {
            let request = Request { member: Some(1), ..request(&site.url("/")) };
            let fetcher = fetcher.clone();
            asking.spawn(async move { fetcher.get(&request).await.map_err(|error| error.code()) });
        }
    }

    let other = Request { member: Some(2), ..request(&whole.url("/")) };
    let other = fetcher.get(&other).await.unwrap();
    let ended = asking.join_all().await;

    assert_eq!(other.n_bytes(), N_BYTES);
    let n_stalled = ended.iter().filter(|end| matches!(end, Err("stalled"))).count();
    let n_busy = ended.iter().filter(|end| matches!(end, Err("busy"))).count();
    assert_eq!((n_stalled, n_busy), (4, 8), "four of the longest fit");
}

/// The longest body.
const N_BYTES: usize = limit::FETCH_BODY_BYTES_MAX;

/// A page of the longest body, of which so much is sent.
fn page(n_bytes: usize) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {N_BYTES}\r\n\r\n");
    [head.into_bytes(), vec![b'a'; n_bytes]].concat()
}

/// So many hosts, beside 127.0.0.1, that all do this.
async fn sites(n: u8, reply: impl Fn() -> Reply + Copy + Send + Sync + 'static) -> Vec<Site> {
    let mut sites = Vec::new();
    for last in 2..n + 2 {
        sites.push(Site::at(&format!("127.0.0.{last}"), move |_| reply()).await);
    }
    sites
}

#[tokio::test]
async fn the_bodies_of_all_hosts_share_one_room() {
    // All but the end, which never comes; and a page that is whole.
    let sites = sites(10, || Reply::Hang(page(N_BYTES - 1))).await;
    let whole = Site::start(|_| Reply::Raw(page(N_BYTES))).await;
    let fetcher = Arc::new(fetcher("127.0.0.0/8", Arc::default()));

    let mut all = JoinSet::new();
    for site in &sites {
        all.spawn(ask(&fetcher, &site.url("/"), 4).join_all());
    }
    let ended = all.join_all().await.concat();
    let whole = fetcher.get(&request(&whole.url("/"))).await.unwrap();

    // 64 MiB are 32 bodies; the others found no room at their ends.
    let n_stalled = ended.iter().filter(|end| **end == Err("stalled")).count();
    let n_busy = ended.iter().filter(|end| **end == Err("busy")).count();
    assert_eq!((n_stalled, n_busy), (32, 8), "{ended:?}");
    assert_eq!(whole.n_bytes(), N_BYTES, "the room is free again");
}
