//! Answers that are too long, packed to be so, broken, or no answers.

use std::io::Write;
use std::sync::Arc;

use flate2::Compression;
use flate2::write::GzEncoder;
use skein_fetch::FetchError;

use crate::site::{Reply, Site, fetcher, get, request};

const MIB: usize = 1024 * 1024;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn packed(body: &[u8]) -> Reply {
    Reply::new("200 OK", &["Content-Encoding: gzip"], body)
}

fn raw(text: &str) -> Reply {
    Reply::Last(text.as_bytes().to_vec())
}

fn endless(head: &str, again: &[u8]) -> Reply {
    Reply::Endless(format!("HTTP/1.1 200 OK\r\n{head}").into_bytes(), again.to_vec())
}

/// A member of zeros, which unpacks to a thousand times its size.
fn bomb() -> Vec<u8> {
    gzip(&vec![0; 4 * MIB])
}

/// What a hostile server says, and the code of what becomes of it.
fn hostile() -> Vec<(&'static str, Reply, &'static str)> {
    let chunk = vec![b'a'; 16 * 1024];
    let chunked = [b"4000\r\n".to_vec(), chunk.clone(), b"\r\n".to_vec()].concat();
    let gzip_head = "Content-Encoding: gzip\r\n\r\n";
    let truncated = gzip(&vec![7; 100_000]);
    let truncated = &truncated[..truncated.len() / 2];
    let mut corrupt = gzip(b"a page of text");
    let last = corrupt.len() - 6;
    corrupt[last] ^= 0xff;
    let many_headers = (0..5000).map(|n| format!("X-{n}: a\r\n")).collect::<String>();
    let long_headers = (0..90).map(|n| format!("X-{n}: {}\r\n", "a".repeat(1000)));
    let long_headers = long_headers.collect::<String>();
    let endless_name =
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b\x08\x08\0\0\0\0\0\xff";
    let ok = "HTTP/1.1 200 OK\r\n";
    vec![
        ("an endless body", endless("\r\n", &chunk), "body_too_long"),
        (
            "endless chunks",
            endless("Transfer-Encoding: chunked\r\n\r\n", &chunked),
            "body_too_long",
        ),
        (
            "50 GB announced",
            endless("Content-Length: 50000000000\r\n\r\n", &chunk),
            "body_too_long",
        ),
        ("a bomb", packed(&bomb()), "body_too_long"),
        ("an endless bomb", endless(gzip_head, &bomb()), "body_too_long"),
        ("a bomb in a bomb, which is unpacked once", packed(&gzip(&bomb())), ""),
        ("endless members of nothing", endless(gzip_head, &gzip(b"")), "body_too_long"),
        ("a member's endless name", Reply::Endless(endless_name.to_vec(), chunk.clone()), "broken"),
        ("half of a packed body", packed(truncated), "broken"),
        ("a packed body with a wrong sum", packed(&corrupt), "broken"),
        ("plain text said to be packed", packed(b"plain text, really"), "broken"),
        (
            "a packed body with more behind it",
            packed(&[gzip(b"a"), vec![1; 64]].concat()),
            "broken",
        ),
        (
            "an encoding that was not asked for",
            Reply::new("200 OK", &["Content-Encoding: br"], b"x"),
            "encoding",
        ),
        (
            "two encodings",
            Reply::new("200 OK", &["Content-Encoding: gzip, gzip"], &gzip(&bomb())),
            "encoding",
        ),
        (
            "two encodings in two headers",
            Reply::new("200 OK", &["Content-Encoding: gzip", "Content-Encoding: gzip"], &bomb()),
            "encoding",
        ),
        (
            "an endless header",
            Reply::Endless(format!("{ok}X: ").into(), chunk.clone()),
            "head_too_long",
        ),
        ("endless headers", Reply::Endless(ok.into(), b"X-A: b\r\n".to_vec()), "head_too_long"),
        (
            "an endless status line",
            Reply::Endless(b"HTTP/1.1 200 ".to_vec(), chunk.clone()),
            "head_too_long",
        ),
        ("5000 headers", raw(&format!("{ok}{many_headers}\r\n")), "head_too_long"),
        ("headers of 90 KB", raw(&format!("{ok}{long_headers}\r\n")), "head_too_long"),
        ("nothing", raw(""), "broken"),
        ("no HTTP", raw("220 mail.example ESMTP\r\n"), "broken"),
        ("a page without a head", raw("<html>hello</html>\r\n\r\n"), "broken"),
        ("another protocol", raw("ICY 200 OK\r\n\r\n"), "broken"),
        ("HTTP/3", raw("HTTP/3.0 200 OK\r\n\r\n"), "broken"),
        ("a status of four digits", raw("HTTP/1.1 2000 OK\r\n\r\n"), "broken"),
        ("a status of letters", raw("HTTP/1.1 abc OK\r\n\r\n"), "broken"),
        ("half a head", raw("HTTP/1.1 200 OK\r\nContent-Le"), "broken"),
        ("a header without a name", raw(&format!("{ok}: a\r\n\r\n")), "broken"),
        ("a header with a NUL", raw(&format!("{ok}X: a\0b\r\n\r\n")), "broken"),
        ("a name with a space", raw(&format!("{ok}Content-Length : 1\r\n\r\na")), "broken"),
        (
            "two lengths",
            raw(&format!("{ok}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab")),
            "broken",
        ),
        ("a length below nothing", raw(&format!("{ok}Content-Length: -1\r\n\r\na")), "broken"),
        ("a length of letters", raw(&format!("{ok}Content-Length: ten\r\n\r\na")), "broken"),
        (
            "a length past all numbers",
            raw(&format!("{ok}Content-Length: 99999999999999999999\r\n\r\na")),
            "broken",
        ),
        ("less than announced", raw(&format!("{ok}Content-Length: 10\r\n\r\nabc")), "broken"),
        (
            "a chunk of letters",
            raw(&format!("{ok}Transfer-Encoding: chunked\r\n\r\nxyz\r\n")),
            "broken",
        ),
        (
            "a chunk past all numbers",
            raw(&format!("{ok}Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n")),
            "broken",
        ),
        (
            "chunks without an end",
            raw(&format!("{ok}Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n")),
            "broken",
        ),
        (
            "an endless chunk extension",
            endless("Transfer-Encoding: chunked\r\n\r\n1;", b"abcdefgh"),
            "broken",
        ),
        (
            "endless trailers",
            endless("Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X-A: b\r\n"),
            "broken",
        ),
    ]
}

#[tokio::test]
async fn hostile_answers_are_bounded_or_said_to_be_what_they_are() {
    for (what, reply, code) in hostile() {
        let reply = std::sync::Mutex::new(Some(reply));
        let site = Site::start(move |_| reply.lock().unwrap().take().unwrap()).await;

        let result = get(&site, &site.url("/")).await;

        let found = result.as_ref().map_or_else(FetchError::code, |_| "");
        assert_eq!(found, code, "{what}: {result:?}");
    }
}

#[tokio::test]
async fn a_body_may_be_as_long_as_its_limit_packed_or_not() {
    let site = Site::start(|asked| {
        let n_bytes = 2 * MIB + usize::from(asked.path.ends_with("more"));
        match &asked.path[..6] {
            "/plain" => Reply::new("200 OK", &[], &vec![b'a'; n_bytes]),
            _ => packed(&gzip(&vec![b'a'; n_bytes])),
        }
    })
    .await;
    for kind in ["/plain", "/packd"] {
        let answer = get(&site, &site.url(kind)).await.unwrap();
        let error = get(&site, &site.url(&format!("{kind}-more"))).await.unwrap_err();

        assert_eq!((answer.n_bytes(), error.code()), (2 * MIB, "body_too_long"), "{kind}");
    }
}

#[tokio::test]
async fn a_packed_body_is_unpacked() {
    let members = [gzip(b"hello "), gzip(b"world")].concat();
    let site = Site::start(move |_| packed(&members)).await;

    let answer = get(&site, &site.url("/")).await.unwrap();

    assert_eq!(answer.text(), "hello world");
}

#[tokio::test]
async fn an_answer_without_a_body_may_say_how_it_is_packed() {
    for status in ["204 No Content", "304 Not Modified", "200 OK"] {
        let site = Site::start(move |_| Reply::new(status, &["Content-Encoding: gzip"], b"")).await;

        assert_eq!(get(&site, &site.url("/")).await.unwrap().n_bytes(), 0, "{status}");
    }
}

#[tokio::test]
async fn what_is_no_utf_8_is_replaced() {
    for (body, text) in [
        (&b"a\xffb"[..], "a\u{fffd}b"),
        (b"\xef\xbb\xbfa", "a"),
        (b"\xc3", "\u{fffd}"),
        (b"\xed\xa0\x80", "\u{fffd}\u{fffd}\u{fffd}"),
        (b"\xf4\x90\x80\x80", "\u{fffd}\u{fffd}\u{fffd}\u{fffd}"),
        (b"a\0b", "a\0b"),
    ] {
        let site = Site::start(|_| Reply::new("200 OK", &[], body)).await;

        assert_eq!(get(&site, &site.url("/")).await.unwrap().text(), text, "{body:?}");
    }
}

#[tokio::test]
async fn any_status_is_an_answer() {
    for status in [100_u16, 200, 204, 404, 418, 500, 599, 999] {
        if status == 100 {
            continue;
        }
        let site = Site::start(move |_| Reply::new(&format!("{status} X"), &[], b"")).await;

        assert_eq!(get(&site, &site.url("/")).await.unwrap().status, status);
    }
}

#[tokio::test]
async fn a_connection_that_was_answered_badly_is_not_used_again() {
    let site = Site::start(|asked| match &*asked.path {
        // A second answer that nobody asked for.
        "/smuggled" => {
            let [one, two] = ["real", "fake"]
                .map(|body| format!("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n{body}"));
            Reply::Raw(format!("{one}{two}").into_bytes())
        }
        _ => Reply::ok("true"),
    })
    .await;
    let fetcher = fetcher(&site.rule(), Arc::default());

    let first = fetcher.get(&request(&site.url("/smuggled"))).await.unwrap();
    let second = fetcher.get(&request(&site.url("/next"))).await.unwrap();

    assert_eq!((&*first.text(), &*second.text()), ("real", "true"));
}
