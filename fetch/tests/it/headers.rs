//! Headers: those that a watcher may not set, and those that are sent.

use std::collections::BTreeMap;
use std::sync::Arc;

use skein_fetch::{Guard, Request};

use crate::site::{Reply, Site, fetcher};

fn check(headers: &[(&str, &str)]) -> Result<(), &'static str> {
    let headers: BTreeMap<String, String> =
        headers.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    let checked = Guard::new("".parse().unwrap()).check_headers(&headers);
    checked.map(drop).map_err(|refused| refused.code())
}

#[test]
fn headers_of_http_itself_are_refused() {
    for name in [
        "Host",
        "HOST",
        "Connection",
        "Content-Length",
        "Transfer-Encoding",
        "TE",
        "Trailer",
        "Upgrade",
        "Keep-Alive",
        "Expect",
        "HTTP2-Settings",
        "Proxy-Authorization",
        "Proxy-Connection",
        "Via",
        "Accept-Encoding",
        "Range",
        "If-None-Match",
        "If-Modified-Since",
        "If-Range",
        "",
        "a b",
        "a:b",
        "X\r\nHost",
        "X\0",
        "Hóst",
        "(x)",
    ] {
        assert_eq!(check(&[(name, "x")]), Err("header_name"), "{name:?}");
    }
}

#[test]
fn values_that_could_end_a_header_are_refused() {
    let long = "a".repeat(4097);
    for value in ["a\r\nHost: b", "a\nb", "a\rb", "a\0b", "a\tb", "\u{7f}", "é", "\u{85}", &long] {
        assert_eq!(check(&[("X-Key", value)]), Err("header_value"), "{value:?}");
    }
}

#[test]
fn more_headers_than_a_few_are_refused() {
    let names: Vec<String> = (0..33).map(|n| format!("x-{n}")).collect();
    let headers: Vec<(&str, &str)> = names.iter().map(|name| (&**name, "")).collect();

    assert_eq!(check(&headers[..32]), Ok(()));
    assert_eq!(check(&headers), Err("headers"));
}

#[tokio::test]
async fn a_request_says_who_it_is_and_what_it_was_told() {
    let site = Site::start(|_| Reply::ok("")).await;
    let fetcher = fetcher(&site.rule(), Arc::default());
    let headers = [("authorization", "Bearer a"), ("Accept", "application/json")]
        .map(|(name, value)| (name.into(), value.into()));
    let request = Request { url: site.url("/"), headers: headers.into(), ..Request::default() };

    fetcher.get(&request).await.unwrap();

    let asked = &site.asked()[0];
    assert_eq!(asked.header("authorization"), Some("Bearer a"));
    assert_eq!(asked.header("accept"), Some("application/json"));
    assert_eq!(asked.header("accept-encoding"), Some("gzip"));
    assert!(asked.header("user-agent").unwrap().starts_with("skein/"));
    assert_eq!((asked.header("referer"), asked.header("cookie")), (None, None));
}

#[tokio::test]
async fn no_cookie_is_kept() {
    let site = Site::start(|_| Reply::new("200 OK", &["Set-Cookie: a=b; Path=/"], b"")).await;
    let fetcher = fetcher(&site.rule(), Arc::default());
    let request = Request { url: site.url("/"), ..Request::default() };

    fetcher.get(&request).await.unwrap();
    fetcher.get(&request).await.unwrap();

    assert!(site.asked().iter().all(|asked| asked.header("cookie").is_none()));
}
