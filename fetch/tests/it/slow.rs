//! Servers that take their time: the whole of a request ends within its own.

use std::time::Duration;

use skein_fetch::FetchError;

use crate::site::{Reply, Site, get};

fn ok(head: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\n{head}").into_bytes()
}

async fn code(reply: impl Fn() -> Reply + Send + Sync + 'static) -> &'static str {
    let site = Site::start(move |_| reply()).await;
    get(&site, &site.url("/")).await.as_ref().map_or_else(FetchError::code, |_| "")
}

/// Each of these ends by a deadline of the fetcher, or the test would not end.
#[tokio::test]
async fn slow_answers_end() {
    let pause = Duration::from_millis(200);
    let (silent, head, drip, stalled, informed, zeros, trailers) = tokio::join!(
        code(|| Reply::Hang(Vec::new())),
        code(move || Reply::Drip(ok("X: "), b"a".to_vec(), pause)),
        code(move || Reply::Drip(ok("\r\n"), b"a".to_vec(), pause)),
        code(|| Reply::Hang(ok("Content-Length: 10\r\n\r\nabc"))),
        code(move || Reply::Drip(vec![], b"HTTP/1.1 103 Early Hints\r\n\r\n".to_vec(), pause)),
        code(move || {
            let head = ok("Content-Encoding: gzip\r\n\r\n\x1f");
            Reply::Drip(head, b"\x8b".to_vec(), pause)
        }),
        code(move || Reply::Drip(ok("Content-Length: 4\r\n\r\n"), vec![], pause)),
    );

    assert_eq!(silent, "timeout");
    assert_eq!(head, "timeout");
    assert_eq!(drip, "timeout");
    assert_eq!(stalled, "stalled");
    assert_eq!(informed, "timeout");
    assert_eq!(zeros, "broken");
    assert_eq!(trailers, "stalled");
}

#[tokio::test]
async fn redirects_do_not_begin_the_time_anew() {
    // Each takes its time to say where it leads, and none is slow by itself.
    let site = Site::start(|asked| {
        let n: u32 = asked.path[1..].parse().unwrap();
        Reply::Late(Duration::from_secs(3), redirect_to(n + 1))
    })
    .await;

    let error = get(&site, &site.url("/0")).await.unwrap_err();

    assert_eq!(error.code(), "timeout");
    assert!(site.asked().len() >= 2, "it was redirected");
}

fn redirect_to(n: u32) -> Vec<u8> {
    format!("HTTP/1.1 302 Found\r\nLocation: /{n}\r\nContent-Length: 0\r\n\r\n").into_bytes()
}

#[tokio::test]
async fn a_handshake_that_nobody_answers_ends() {
    let site = Site::start(|_| Reply::Hang(Vec::new())).await;
    let url = site.url("/").replace("http:", "https:");

    let error = get(&site, &url).await.unwrap_err();

    assert_eq!(error.code(), "connect", "{error}");
}
