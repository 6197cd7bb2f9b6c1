//! What a redirect leads to is judged as what was asked for is.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use skein_fetch::{FetchError, Request};

use crate::site::{Reply, Site, Told, Trap, fetcher, get, request};
use crate::urls::HOSTILE;

/// A site that redirects `/N` to the Nth hostile URL.
async fn leading_astray(trap_port: u16) -> Site {
    Site::start(move |asked| {
        let n: usize = asked.path[1..].parse().unwrap();
        Reply::to(&HOSTILE[n].0.replace("PORT", &trap_port.to_string()))
    })
    .await
}

#[tokio::test]
async fn no_hostile_url_is_reached_by_a_redirect() {
    let trap = Trap::start().await;
    let site = leading_astray(trap.port()).await;
    let allow = format!("{},{}", site.rule(), trap.rule_of_its_port());
    let mut n_refused = 0;

    for (n, (to, code)) in HOSTILE.iter().enumerate() {
        // These are no header, or relative to the site.
        if *code == "url_invalid" {
            continue;
        }
        let fetcher = fetcher(&allow, Arc::default());

        let error = fetcher.get(&request(&site.url(&format!("/{n}")))).await.unwrap_err();

        assert!(matches!(error, FetchError::Redirected { .. }), "{to}: {error:?}");
        assert_eq!(error.code(), *code, "{to}: {error}");
        trap.assert_empty(to);
        n_refused += 1;
    }
    assert!(n_refused >= 80);
}

#[tokio::test]
async fn a_redirect_without_a_scheme_is_judged_too() {
    let trap = Trap::start().await;
    let port = trap.port();
    let site = Site::start(move |asked| match &*asked.path {
        "/1" => Reply::to(&format!("//127.0.0.1:{port}/")),
        "/2" => Reply::to(&format!("\\\\127.0.0.1:{port}/")),
        "/3" => Reply::to(&format!("/\\2130706433:{port}/")),
        "/4" => Reply::to(&format!("  //0x7f.1:{port}/  ")),
        _ => Reply::to(&format!("//user@127.0.0.1:{port}/")),
    })
    .await;
    for (n, code) in [
        (1, "loopback_address"),
        (2, "loopback_address"),
        (3, "loopback_address"),
        (4, "loopback_address"),
        (5, "credentials"),
    ] {
        let error = get(&site, &site.url(&format!("/{n}"))).await.unwrap_err();

        assert_eq!(error.code(), code, "{n}: {error}");
        trap.assert_empty(&n.to_string());
    }
}

#[tokio::test]
async fn five_redirects_are_followed_and_no_more() {
    let site = Site::start(|asked| match asked.path[1..].parse::<u32>().unwrap() {
        0 => Reply::ok("there"),
        n => Reply::to(&format!("/{}", n - 1)),
    })
    .await;

    let answer = get(&site, &site.url("/5")).await.unwrap();
    let error = get(&site, &site.url("/6")).await.unwrap_err();

    assert_eq!((&*answer.text(), &answer.final_url), ("there", &site.url("/0")));
    assert_eq!(error.code(), "redirects");
    assert!(!site.asked().iter().skip(6).any(|asked| asked.path == "/0"));
}

#[tokio::test]
async fn a_circle_ends() {
    let site = Site::start(|asked| Reply::to(&asked.path)).await;

    let error = get(&site, &site.url("/")).await.unwrap_err();

    assert_eq!((error.code(), site.asked().len()), ("redirects", 6));
}

#[tokio::test]
async fn every_kind_of_redirect_is_followed_by_the_fetcher_alone() {
    for status in ["301 M", "302 F", "303 S", "307 T", "308 P"] {
        let site = Site::start(move |asked| match &*asked.path {
            "/there" => Reply::ok("there"),
            _ => Reply::new(status, &["Location: there"], b"a page"),
        })
        .await;

        let answer = get(&site, &site.url("/here")).await.unwrap();

        assert_eq!((answer.status, &*answer.text()), (200, "there"), "{status}");
    }
}

#[tokio::test]
async fn what_only_looks_like_a_redirect_is_an_answer() {
    let trap = Trap::start().await;
    let to_trap = format!("http://127.0.0.1:{}/", trap.port());
    let headers = [
        ("300 Multiple Choices", format!("Location: {to_trap}")),
        ("304 Not Modified", format!("Location: {to_trap}")),
        ("305 Use Proxy", format!("Location: {to_trap}")),
        ("200 OK", format!("Location: {to_trap}")),
        ("201 Created", format!("Location: {to_trap}")),
        ("302 Found", "No-Location: here".into()),
        ("200 OK", format!("Refresh: 0; url={to_trap}")),
        ("200 OK", format!("Link: <{to_trap}>; rel=preload")),
        ("200 OK", format!("Alt-Svc: h2=\"127.0.0.1:{}\"", trap.port())),
        ("401 Unauthorized", format!("WWW-Authenticate: Basic realm=\"{to_trap}\"")),
        ("407 Proxy Authentication Required", "Proxy-Authenticate: Basic".into()),
        ("421 Misdirected Request", format!("Location: {to_trap}")),
    ];
    for (status, header) in headers {
        let (code, header) = (status[..3].parse::<u16>().unwrap(), header.clone());
        let site = Site::start(move |_| Reply::new(status, &[&header], b"")).await;

        let answer = get(&site, &site.url("/")).await.unwrap();

        assert_eq!((answer.status, site.asked().len()), (code, 1), "{status}");
        trap.assert_empty(status);
    }
}

#[tokio::test]
async fn a_location_that_is_none_is_refused() {
    for (headers, code) in [
        (&["Location: http://"][..], "url_invalid"),
        (&["Location: http://a b/"], "url_invalid"),
        (&["Location: http://[::1/"], "url_invalid"),
        (&["Location: /a", "Location: /b"], "location"),
    ] {
        let site = Site::start(move |_| Reply::new("302 Found", headers, b"")).await;

        let error = get(&site, &site.url("/")).await.unwrap_err();

        assert_eq!(error.code(), code, "{headers:?}: {error}");
    }
    let raw = b"HTTP/1.1 302 Found\r\nLocation: /\xff\xfe\r\nContent-Length: 0\r\n\r\n";
    let site = Site::start(|_| Reply::Raw(raw.to_vec())).await;
    assert_eq!(get(&site, &site.url("/")).await.unwrap_err().code(), "location");

    let long = format!("Location: /{}", "a".repeat(4096));
    let site = Site::start(move |_| Reply::new("302 Found", &[&long], b"")).await;
    assert_eq!(get(&site, &site.url("/")).await.unwrap_err().code(), "url_too_long");
}

#[tokio::test]
async fn headers_stay_with_the_origin_they_were_given_for() {
    let other = Arc::new(Site::start(|_| Reply::ok("there")).await);
    let to_other = other.url("/there");
    let site = Site::start(move |asked| match &*asked.path {
        "/same" => Reply::to("/here"),
        "/here" => Reply::ok("here"),
        _ => Reply::to(&to_other),
    })
    .await;
    let fetcher = fetcher(&format!("{},{}", site.rule(), other.rule()), Arc::default());
    let ask = |path: &str| Request {
        url: site.url(path),
        headers: [("Authorization", "secret"), ("Cookie", "a=b"), ("X-Key", "1")]
            .map(|(name, value)| (name.into(), value.into()))
            .into(),
        ..Request::default()
    };

    fetcher.get(&ask("/same")).await.unwrap();
    fetcher.get(&ask("/other")).await.unwrap();

    for asked in site.asked() {
        assert_eq!(asked.header("authorization"), Some("secret"), "{}", asked.path);
        assert_eq!(asked.header("x-key"), Some("1"), "{}", asked.path);
    }
    let asked = &other.asked()[0];
    for name in ["authorization", "cookie", "x-key", "referer"] {
        assert_eq!(asked.header(name), None, "{name}");
    }
}

#[tokio::test]
async fn headers_do_not_come_back_with_a_redirect_that_returns() {
    let home = Arc::new(AtomicUsize::new(0));
    let port = home.clone();
    let other = Site::start(move |_| {
        Reply::to(&format!("http://127.0.0.1:{}/back", port.load(Ordering::SeqCst)))
    })
    .await;
    let to_other = other.url("/");
    let site = Site::start(move |asked| match &*asked.path {
        "/back" => Reply::ok("back"),
        _ => Reply::to(&to_other),
    })
    .await;
    home.store(site.address.port().into(), Ordering::SeqCst);
    let fetcher = fetcher(&format!("{},{}", site.rule(), other.rule()), Arc::default());
    let headers = [("Authorization".into(), "secret".into())].into();

    fetcher.get(&Request { url: site.url("/"), headers, ..Request::default() }).await.unwrap();

    let asked = site.asked();
    assert_eq!(asked[0].header("authorization"), Some("secret"));
    assert_eq!((&*asked[1].path, asked[1].header("authorization")), ("/back", None));
}

#[tokio::test]
async fn a_name_that_a_redirect_leads_to_is_vetted() {
    let trap = Trap::start().await;
    let port = trap.port();
    let site =
        Site::start(move |_| Reply::to(&format!("http://inside.example:{port}/admin"))).await;
    let names = Arc::new(Told::default().name("inside.example", &[&["127.0.0.1"]]));
    let fetcher = fetcher(&format!("{},{}", site.rule(), trap.rule_of_its_port()), names.clone());

    let error = fetcher.get(&request(&site.url("/"))).await.unwrap_err();

    assert_eq!(error.code(), "loopback_address", "{error}");
    assert!(matches!(error, FetchError::Redirected { .. }), "{error:?}");
    assert_eq!(names.n_lookups(), 1);
    trap.assert_empty("by its name");
}
