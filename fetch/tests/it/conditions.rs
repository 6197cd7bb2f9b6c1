//! Pages that have not changed are not sent again.

use std::sync::Arc;

use skein_fetch::Request;

use crate::site::{Asked, Reply, Site, fetcher, request};

const DATE: &str = "Sun, 22 Nov 2026 10:00:00 GMT";

fn page(asked: &Asked) -> Reply {
    let known = asked.header("if-none-match") == Some("\"v1\"")
        || asked.header("if-modified-since") == Some(DATE);
    match &*asked.path {
        "/moved" => Reply::to("/page"),
        "/always-304" => Reply::new("304 Not Modified", &[], b""),
        _ if known => Reply::Raw(b"HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\n\r\n".to_vec()),
        _ => {
            let date = format!("Last-Modified: {DATE}");
            Reply::new("200 OK", &["ETag: \"v1\"", &date, "Content-Type: text/plain"], b"page")
        }
    }
}

#[tokio::test]
async fn what_a_page_gave_is_sent_back_and_answered_without_a_body() {
    let site = Site::start(page).await;
    let fetcher = fetcher(&site.rule(), Arc::default());

    let first = fetcher.get(&request(&site.url("/"))).await.unwrap();
    let by_tag = Request { etag: first.etag.clone(), ..request(&site.url("/")) };
    let by_date = Request { last_modified: first.last_modified.clone(), ..request(&site.url("/")) };

    assert_eq!((first.status, first.not_modified, first.n_bytes()), (200, false, 4));
    assert_eq!(first.content_type.as_deref(), Some("text/plain"));
    for request in [by_tag, by_date] {
        let second = fetcher.get(&request).await.unwrap();
        assert_eq!((second.status, second.not_modified, second.n_bytes()), (304, true, 0));
    }
    assert_eq!(site.n_connections(), 1, "the connection is kept, past a 304 too");
}

#[tokio::test]
async fn a_validator_belongs_to_the_page_that_gave_it() {
    let site = Site::start(page).await;
    let fetcher = fetcher(&site.rule(), Arc::default());
    let etag = Some("\"v1\"".to_owned());

    let moved = fetcher.get(&request(&site.url("/moved"))).await.unwrap();
    let again = fetcher.get(&Request { etag, ..request(&site.url("/moved")) }).await.unwrap();

    assert_eq!((moved.etag, moved.last_modified), (None, None));
    assert_eq!((again.status, again.not_modified), (200, false));
    assert_eq!(site.asked()[3].header("if-none-match"), None);
}

#[tokio::test]
async fn a_304_that_nobody_asked_for_is_a_status() {
    let site = Site::start(page).await;
    let fetcher = fetcher(&site.rule(), Arc::default());

    let answer = fetcher.get(&request(&site.url("/always-304"))).await.unwrap();

    assert_eq!((answer.status, answer.not_modified), (304, false));
}

#[tokio::test]
async fn a_validator_that_is_no_header_is_neither_kept_nor_sent() {
    let long = format!("ETag: \"{}\"", "a".repeat(300));
    let site = Site::start(move |_| Reply::new("200 OK", &[&long], b"")).await;
    let fetcher = fetcher(&site.rule(), Arc::default());

    let answer = fetcher.get(&request(&site.url("/"))).await.unwrap();
    let split = Request { etag: Some("a\r\nHost: b".into()), ..request(&site.url("/")) };
    fetcher.get(&split).await.unwrap();

    assert_eq!(answer.etag, None);
    assert_eq!(site.asked()[1].header("if-none-match"), None);
}
