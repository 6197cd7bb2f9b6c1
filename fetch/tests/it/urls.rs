//! URLs that are refused before anything is sent.

use std::env;
use std::sync::Arc;

use skein_fetch::Guard;
use tokio::process::Command;

use crate::site::{Reply, Site, Trap, fetcher, request};

/// Hostile URLs and the code of their refusal. `PORT` is a port at which something private listens,
/// on loopback; the guard allows it elsewhere.
pub const HOSTILE: &[(&str, &str)] = &[
    // Loopback, in every spelling that parsers know.
    ("http://127.0.0.1:PORT/", "loopback_address"),
    ("http://127.0.0.1/", "loopback_address"),
    ("https://127.0.0.1/", "loopback_address"),
    ("http://127.1:PORT/", "loopback_address"),
    ("http://127.0.1:PORT/", "loopback_address"),
    ("http://127.255.255.254:PORT/", "loopback_address"),
    ("http://2130706433:PORT/", "loopback_address"),
    ("http://017700000001:PORT/", "loopback_address"),
    ("http://0x7f000001:PORT/", "loopback_address"),
    ("http://0x7F.1:PORT/", "loopback_address"),
    ("http://0x7f.0x0.0x0.0x1:PORT/", "loopback_address"),
    ("http://0177.0.0.1:PORT/", "loopback_address"),
    ("http://0177.0000.0000.0001:PORT/", "loopback_address"),
    ("http://127.0.0.1.:PORT/", "loopback_address"),
    ("http://%31%32%37.0.0.1:PORT/", "loopback_address"),
    ("http://127%2e0%2e0%2e1:PORT/", "loopback_address"),
    ("http://①②⑦.⓪.⓪.①:PORT/", "loopback_address"),
    ("http://127。0。0。1:PORT/", "loopback_address"),
    ("http://127.0.0.1:PORT", "loopback_address"),
    ("http:127.0.0.1:PORT/", "loopback_address"),
    ("http:/127.0.0.1:PORT/", "loopback_address"),
    ("http:\\\\127.0.0.1:PORT\\", "loopback_address"),
    ("http:////127.0.0.1:PORT/", "loopback_address"),
    ("HTTP://127.0.0.1:PORT/", "loopback_address"),
    ("http://[::1]:PORT/", "loopback_address"),
    ("http://[0:0:0:0:0:0:0:1]:PORT/", "loopback_address"),
    ("http://localhost:PORT/", "loopback_address"),
    ("http://LOCALHOST:PORT/", "loopback_address"),
    ("http://localhost.:PORT/", "loopback_address"),
    ("http://a.localhost:PORT/", "loopback_address"),
    ("http://loc\u{ad}alhost:PORT/", "loopback_address"),
    // No address at all, which systems take for their own.
    ("http://0.0.0.0:PORT/", "unspecified_address"),
    ("http://0:PORT/", "unspecified_address"),
    ("http://0x0/", "unspecified_address"),
    ("http://0.0.0.1/", "unspecified_address"),
    ("http://[::]:PORT/", "unspecified_address"),
    // Other addresses in disguise.
    ("http://[::ffff:127.0.0.1]:PORT/", "embedded_address"),
    ("http://[::ffff:7f00:1]:PORT/", "embedded_address"),
    ("http://[0:0:0:0:0:ffff:127.0.0.1]:PORT/", "embedded_address"),
    ("http://[::127.0.0.1]:PORT/", "embedded_address"),
    ("http://[::ffff:0:127.0.0.1]:PORT/", "embedded_address"),
    ("http://[64:ff9b::127.0.0.1]:PORT/", "embedded_address"),
    ("http://[64:ff9b:1::a9fe:a9fe]/", "embedded_address"),
    ("http://[2002:7f00:1::]:PORT/", "embedded_address"),
    ("http://[2001:0:4136:e378:8000:63bf:80ff:fffe]/", "embedded_address"),
    ("http://[2606:2800:220:1:0:5efe:7f00:1]/", "embedded_address"),
    ("http://[2606:2800:220:1:200:5efe:8.8.8.8]/", "embedded_address"),
    // Private networks.
    ("http://10.0.0.1/", "private_address"),
    ("http://10.255.255.255/", "private_address"),
    ("http://0xa000001/", "private_address"),
    ("http://172.16.0.1/", "private_address"),
    ("http://172.31.255.255/", "private_address"),
    ("http://192.168.0.1/", "private_address"),
    ("http://192.168.257/", "private_address"),
    ("http://[fc00::1]/", "private_address"),
    ("http://[fdff:ffff::1]/", "private_address"),
    ("http://[fec0::1]/", "private_address"),
    ("http://100.64.0.1/", "shared_address"),
    ("http://100.127.255.255/", "shared_address"),
    ("http://169.254.0.1/", "link_local_address"),
    ("http://[fe80::1]/", "link_local_address"),
    ("http://[febf::1]/", "link_local_address"),
    // Where clouds tell their machines their keys.
    ("http://169.254.169.254/latest/meta-data/", "metadata_address"),
    ("http://169.254.43518/", "metadata_address"),
    ("http://2852039166/", "metadata_address"),
    ("http://0xa9.0xfe.0xa9.0xfe/", "metadata_address"),
    ("http://0251.0376.0251.0376/", "metadata_address"),
    ("http://169.254.170.2/v2/credentials", "metadata_address"),
    ("http://169.254.170.23/v1/credentials", "metadata_address"),
    ("http://100.100.100.200/latest/", "metadata_address"),
    ("http://168.63.129.16/machine", "metadata_address"),
    ("http://192.0.0.192/latest/", "metadata_address"),
    ("http://[fd00:ec2::254]/latest/", "metadata_address"),
    ("http://[fd20:ce::254]/", "metadata_address"),
    ("http://[::ffff:169.254.169.254]/", "embedded_address"),
    // Set apart.
    ("http://192.0.2.1/", "documentation_address"),
    ("http://198.51.100.1/", "documentation_address"),
    ("http://203.0.113.1/", "documentation_address"),
    ("http://[2001:db8::1]/", "documentation_address"),
    ("http://[3fff::1]/", "documentation_address"),
    ("http://198.18.0.1/", "benchmark_address"),
    ("http://198.19.255.255/", "benchmark_address"),
    ("http://[2001:2::1]/", "benchmark_address"),
    ("http://224.0.0.1/", "multicast_address"),
    ("http://239.255.255.255/", "multicast_address"),
    ("http://[ff02::1]/", "multicast_address"),
    ("http://192.0.0.1/", "reserved_address"),
    ("http://192.88.99.1/", "reserved_address"),
    ("http://240.0.0.1/", "reserved_address"),
    ("http://255.255.255.255/", "reserved_address"),
    ("http://4294967295/", "reserved_address"),
    ("http://[100::1]/", "reserved_address"),
    ("http://[2001:10::1]/", "reserved_address"),
    ("http://[5f00::1]/", "reserved_address"),
    ("http://[4000::1]/", "reserved_address"),
    // A public address that does not look like one.
    ("http://134744072/", "spelling"),
    ("http://0x08.8.8.8/", "spelling"),
    ("http://8.8.2056/", "spelling"),
    ("http://8.8.8.8./", "spelling"),
    ("http://８.8.8.8/", "spelling"),
    ("http://%38.8.8.8/", "spelling"),
    // Names and passwords, which also hide the host.
    ("http://user@site.example/", "credentials"),
    ("http://user:password@site.example/", "credentials"),
    ("http://:password@site.example/", "credentials"),
    ("http://site.example@127.0.0.1:PORT/", "credentials"),
    ("http://site.example%40@127.0.0.1:PORT/", "credentials"),
    ("http://site.example:80@127.0.0.1:PORT/", "credentials"),
    ("http://a:b@c@127.0.0.1:PORT/", "credentials"),
    // Ports of something else.
    ("http://site.example:22/", "port"),
    ("http://site.example:25/", "port"),
    ("http://site.example:5432/", "port"),
    ("http://site.example:6379/", "port"),
    ("https://site.example:8443/", "port"),
    ("http://8.8.8.8:53/", "port"),
    ("http://[2606:4700::1111]:8080/", "port"),
    ("http://site.example:0/", "port"),
    // Schemes of something else.
    ("file:///etc/passwd", "scheme"),
    ("file://localhost/etc/passwd", "scheme"),
    ("ftp://site.example/", "scheme"),
    ("gopher://127.0.0.1:PORT/_x", "scheme"),
    ("dict://127.0.0.1:PORT/x", "scheme"),
    ("ws://site.example/", "scheme"),
    ("unix:///run/docker.sock", "scheme"),
    ("data:text/plain,x", "scheme"),
    ("javascript:alert(1)", "scheme"),
    ("jar:http://site.example/!/", "scheme"),
    ("about:blank", "scheme"),
    ("blob:http://127.0.0.1:PORT/x", "scheme"),
    // No URLs.
    ("", "url_invalid"),
    ("127.0.0.1", "url_invalid"),
    ("//127.0.0.1:PORT/", "url_invalid"),
    ("site.example/path", "url_invalid"),
    ("http://", "url_invalid"),
    ("http://:80/", "url_invalid"),
    ("http://site.example:99999/", "url_invalid"),
    ("http://256.256.256.256/", "url_invalid"),
    ("http://1.2.3.4.5/", "url_invalid"),
    ("http://0x100000000/", "url_invalid"),
    ("http://[::1/", "url_invalid"),
    ("http://[fe80::1%25eth0]/", "url_invalid"),
    ("http://[::127.0.0.1.1]/", "url_invalid"),
    ("http://site example/", "url_invalid"),
    ("http://127.0.0.1\t:PORT/", "url_invalid"),
    ("http://site.example/\r\nHost: 127.0.0.1", "url_invalid"),
    ("http://site.example/\0", "url_invalid"),
    ("\u{1}http://127.0.0.1:PORT/", "url_invalid"),
    (" http://127.0.0.1:PORT/", "url_invalid"),
    ("http://site.example\u{3000}/", "url_invalid"),
    ("http://a<b/", "url_invalid"),
    ("http://xn--a/", "url_invalid"),
];

#[tokio::test]
async fn hostile_urls_are_refused_and_nothing_private_is_contacted() {
    let trap = Trap::start().await;
    let fetcher = fetcher(&trap.rule_of_its_port(), Arc::default());
    assert!(HOSTILE.len() >= 80);

    for (url, code) in HOSTILE {
        let url = url.replace("PORT", &trap.port().to_string());

        let error = fetcher.get(&request(&url)).await.unwrap_err();
        let checked = fetcher.guard().check_url(&url).unwrap_err();

        assert_eq!(error.code(), *code, "{url}: {error}");
        assert_eq!(error.refused(), Some(&checked), "{url}");
        trap.assert_empty(&url);
    }
}

#[tokio::test]
async fn what_is_allowed_is_fetched() {
    let site = Site::start(|_| Reply::ok("hello")).await;
    let fetcher = fetcher(&site.rule(), Arc::default());

    let answer = fetcher.get(&request(&site.url("/a?b#c"))).await.unwrap();

    assert_eq!((answer.status, &*answer.text()), (200, "hello"));
    assert_eq!((site.n_connections(), &*site.asked()[0].path), (1, "/a?b"));
}

/// The test above once more, in a process that is told to use a proxy: it would resolve for us.
#[tokio::test]
async fn no_proxy_is_asked() {
    let proxy = Trap::start().await;
    let address = format!("http://127.0.0.1:{}", proxy.port());

    let again = Command::new(env::current_exe().unwrap())
        .args(["--exact", "urls::what_is_allowed_is_fetched"])
        .envs(["http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"].map(|name| (name, &address)))
        .output()
        .await
        .unwrap();

    let said = String::from_utf8_lossy(&again.stdout);
    assert!(again.status.success() && said.contains("1 passed"), "{said}");
    proxy.assert_empty("as a proxy");
}

#[test]
fn public_urls_pass() {
    let guard = Guard::new("".parse().unwrap());
    for url in [
        "http://example.com",
        "https://example.com/a/b?c=d#e",
        "http://example.com:80/",
        "https://example.com:80/",
        "http://example.com:443/",
        "https://exämple.com/",
        "http://8.8.8.8/",
        "http://8.8.8.8?q",
        "https://1.1.1.1:443/",
        "http://172.15.255.255/",
        "http://172.32.0.0/",
        "http://100.63.255.255/",
        "http://100.128.0.0/",
        "http://192.0.1.1/",
        "http://223.255.255.255/",
        "http://[2606:4700::1111]/",
        "http://[2a00:1450:4001::200e]/",
        "http://intranet/",
        "http://127.0.0.1.example.com/",
        "http://localhost.example.com/",
    ] {
        assert!(guard.check_url(url).is_ok(), "{url}: {:?}", guard.check_url(url));
    }
}

#[test]
fn a_url_of_any_length_is_bounded() {
    let guard = Guard::new("".parse().unwrap());
    let of = |length: usize| format!("http://example.com/{}", "a".repeat(length - 19));

    assert!(guard.check_url(&of(4096)).is_ok());
    assert_eq!(guard.check_url(&of(4097)).unwrap_err().code(), "url_too_long");
}

#[test]
fn a_range_of_disguises_says_nothing_of_what_is_in_them() {
    let check = |allow: &str, url: &str| {
        Guard::new(allow.parse().unwrap())
            .check_url(url)
            .map(drop)
            .map_err(|refused| refused.code())
    };

    assert_eq!(check("64:ff9b::/96", "http://[64:ff9b::8.8.8.8]/"), Ok(()));
    assert_eq!(check("64:ff9b::/96", "http://[64:ff9b::8.8.8.8]:22/"), Err("port"));
    assert_eq!(check("64:ff9b::/96", "http://[64:ff9b::a9fe:a9fe]/"), Err("metadata_address"));
    assert_eq!(check("::ffff:0:0/96", "http://[::ffff:10.0.0.1]/"), Err("private_address"));
    assert_eq!(check("::ffff:0:0/96,10.0.0.0/8", "http://[::ffff:10.0.0.1]/"), Ok(()));
    assert_eq!(check("::1", "http://[::1]:8080/"), Ok(()));
    assert_eq!(check("127.0.0.0/8", "http://localhost:8080/"), Ok(()));
    assert_eq!(check("127.0.0.0/8:81", "http://localhost:8080/"), Err("loopback_address"));
    assert_eq!(check("169.254.0.0/16", "http://169.254.169.254/"), Err("metadata_address"));
    assert_eq!(check("169.254.169.254", "http://169.254.169.254/"), Ok(()));
}

#[test]
fn refusals_say_what_to_do() {
    let guard = Guard::new("".parse().unwrap());
    for (url, words) in [
        (
            "http://10.0.0.1/",
            "`10.0.0.1` is at a private address, which is not fetched: the \
                              operator can allow it in SKEIN_FETCH_ALLOW",
        ),
        (
            "http://a.example:8080/",
            "port 8080 is not fetched, only 80 and 443: the operator can \
                                    allow more in SKEIN_FETCH_ALLOW",
        ),
        (
            "http://a:b@c.example/",
            "a URL must hold no name or password: give an `Authorization` \
                                   header instead",
        ),
        ("http://134744072/", "write the address as 8.8.8.8"),
        ("ftp://a.example/", "only http and https are fetched, not `ftp`"),
    ] {
        assert_eq!(guard.check_url(url).unwrap_err().to_string(), words);
    }
}
