//! Names lead where their holder likes, and somewhere else the next time.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use skein_fetch::{Resolve, System};

use crate::site::{Reply, Site, Told, Trap, fetcher, request};

/// Where names lead, and the code of the refusal.
const LEADING: &[(&[&str], &str)] = &[
    (&["127.0.0.1"], "loopback_address"),
    (&["::1"], "loopback_address"),
    (&["0.0.0.0"], "unspecified_address"),
    (&["::"], "unspecified_address"),
    (&["::ffff:127.0.0.1"], "embedded_address"),
    (&["::127.0.0.1"], "embedded_address"),
    (&["64:ff9b::7f00:1"], "embedded_address"),
    (&["2002:7f00:1::"], "embedded_address"),
    (&["10.1.2.3"], "private_address"),
    (&["172.20.0.1"], "private_address"),
    (&["192.168.1.1"], "private_address"),
    (&["fd12:3456::1"], "private_address"),
    (&["100.64.1.1"], "shared_address"),
    (&["169.254.1.1"], "link_local_address"),
    (&["fe80::1"], "link_local_address"),
    (&["169.254.169.254"], "metadata_address"),
    (&["fd00:ec2::254"], "metadata_address"),
    (&["168.63.129.16"], "metadata_address"),
    (&["224.0.0.251"], "multicast_address"),
    (&["203.0.113.9"], "documentation_address"),
    (&["198.18.0.9"], "benchmark_address"),
    (&["255.255.255.255"], "reserved_address"),
    // One of them is enough, wherever it stands.
    (&["8.8.8.8", "127.0.0.1"], "port"),
    (&["127.0.0.1", "8.8.8.8"], "loopback_address"),
    (&["192.0.2.77", "127.0.0.1"], "loopback_address"),
    (&["192.0.2.77", "192.0.2.77", "::1"], "loopback_address"),
    // A public address, with the port of something private.
    (&["8.8.8.8"], "port"),
    (&[], "name"),
];

#[tokio::test]
async fn a_name_is_as_good_as_each_of_its_addresses() {
    let trap = Trap::start().await;
    for (addresses, code) in LEADING {
        let names = Arc::new(Told::default().name("inside.example", &[addresses]));
        let fetcher = fetcher(&trap.rule_of_its_port(), names.clone());
        let url = format!("http://inside.example:{}/", trap.port());

        let error = fetcher.get(&request(&url)).await.unwrap_err();

        assert_eq!(error.code(), *code, "{addresses:?}: {error}");
        assert_eq!(names.n_lookups(), 1);
        trap.assert_empty(&format!("{addresses:?}"));
    }
}

#[tokio::test]
async fn a_refusal_names_the_host_and_not_its_address() {
    let names = Arc::new(Told::default().name("inside.example", &[&["10.11.12.13"]]));

    let error = fetcher("", names).get(&request("http://inside.example/")).await.unwrap_err();

    let text = error.to_string();
    assert!(text.contains("`inside.example` is at a private address"), "{text}");
    assert!(!text.contains("10.11.12.13"), "{text}");
}

#[tokio::test]
async fn what_was_vetted_is_what_is_connected_to() {
    let site = Site::start(|_| Reply::ok("here")).await;
    // Whoever looked a second time would be led to the trap's address.
    let names = Arc::new(Told::default().name("a.example", &[&["127.0.0.1"], &["127.0.0.9"]]));
    let fetcher = fetcher(&site.rule(), names.clone());
    let url = format!("http://a.example:{}/", site.address.port());

    let answer = fetcher.get(&request(&url)).await.unwrap();

    assert_eq!((&*answer.text(), names.n_lookups(), site.n_connections()), ("here", 1, 1));
    let host = site.asked()[0].header("host").unwrap().to_owned();
    assert_eq!(host, format!("a.example:{}", site.address.port()));
}

#[tokio::test]
async fn a_name_that_changes_is_vetted_again_with_each_connection() {
    let trap = Trap::start().await;
    let site = Site::start(|_| {
        Reply::Last(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\na".to_vec())
    })
    .await;
    // The same port at two addresses: only the first is allowed.
    let names = Arc::new(Told::default().name("a.example", &[&["127.0.0.1"], &["127.0.0.9"]]));
    let fetcher = fetcher(&site.rule(), names.clone());
    let url = format!("http://a.example:{}/", site.address.port());

    fetcher.get(&request(&url)).await.unwrap();
    let error = fetcher.get(&request(&url)).await.unwrap_err();

    assert_eq!((error.code(), names.n_lookups()), ("loopback_address", 2));
    trap.assert_empty("after the first");
}

#[tokio::test]
async fn a_name_that_changes_between_two_redirects_is_refused() {
    let site = Site::start(|_| {
        let head = "HTTP/1.1 302 Found\r\nConnection: close\r\nLocation: /again\r\n";
        Reply::Last(format!("{head}Content-Length: 0\r\n\r\n").into_bytes())
    })
    .await;
    let names = Arc::new(Told::default().name("a.example", &[&["127.0.0.1"], &["10.0.0.1"]]));
    let fetcher = fetcher(&site.rule(), names.clone());
    let url = format!("http://a.example:{}/", site.address.port());

    let error = fetcher.get(&request(&url)).await.unwrap_err();

    assert_eq!((error.code(), site.asked().len()), ("private_address", 1));
}

#[tokio::test]
async fn an_address_that_is_allowed_with_one_port_is_refused_with_another() {
    let (site, trap) = (Site::start(|_| Reply::ok("here")).await, Trap::start().await);
    let names = Arc::new(Told::default().name("a.example", &[&["127.0.0.1"]]));
    let allow = format!("{},{}", site.rule(), trap.rule_of_its_port());
    let fetcher = fetcher(&allow, names);
    let url = |port| request(&format!("http://a.example:{port}/"));

    let (here, inside) = (url(site.address.port()), url(trap.port()));
    let (here, inside) = tokio::join!(fetcher.get(&here), fetcher.get(&inside));

    assert_eq!(here.unwrap().status, 200);
    assert_eq!(inside.unwrap_err().code(), "loopback_address");
    trap.assert_empty("with its port");
}

#[tokio::test]
async fn a_name_that_nobody_knows_is_said() {
    let error = fetcher("", Arc::default()).get(&request("http://a.example/")).await.unwrap_err();

    assert_eq!(error.code(), "name", "{error}");
}

#[tokio::test]
async fn the_system_finds_what_it_knows() {
    let found = System.resolve("localhost").await.unwrap();

    assert!(!found.is_empty() && found.iter().all(IpAddr::is_loopback), "{found:?}");
    let literal = System.resolve("127.0.0.1").await.unwrap();
    assert_eq!(literal[0], Ipv4Addr::LOCALHOST);
}
