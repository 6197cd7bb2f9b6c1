//! Whatever is asked for is refused or is what it seems; nothing panics.

use std::net::IpAddr;

use proptest::prelude::*;
use skein_fetch::{Allow, Guard, value};

/// Texts made of what URLs are made of.
fn url_like() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        prop::sample::select(vec![
            "http",
            "https",
            "file",
            ":",
            "/",
            "//",
            "\\",
            "@",
            "?",
            "#",
            ".",
            "%",
            "[",
            "]",
            "::",
            "127",
            "0x7f",
            "0177",
            "1",
            "10",
            "8.8.8.8",
            "192.168.0.1",
            "ffff:",
            "localhost",
            "a",
            "example.com",
            ":80",
            ":443",
            ":22",
            "%2e",
            "%00",
            "。",
            "①",
            "\u{ad}",
            "\t",
            " ",
            "-",
        ])
        .prop_map(str::to_owned),
        "[ -~]{0,3}",
    ];
    prop::collection::vec(part, 0..12).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5000))]

    #[test]
    fn what_passes_is_a_public_url_and_passes_again(
        text in prop_oneof![url_like(), url_like().prop_map(|rest| format!("http://{rest}"))],
    ) {
        let guard = Guard::new(Allow::nothing());
        let Ok(url) = guard.check_url(&text) else { return Ok(()) };

        prop_assert!(matches!(url.scheme(), "http" | "https"), "{text}");
        prop_assert!(url.username().is_empty() && url.password().is_none(), "{text}");
        prop_assert!(matches!(url.port_or_known_default(), Some(80 | 443)), "{text}");
        let host = url.host_str().unwrap_or_default();
        if let Ok(address) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
            let IpAddr::V4(v4) = address else { return Ok(()) };
            prop_assert!(!v4.is_loopback() && !v4.is_private() && !v4.is_unspecified(), "{text}");
            prop_assert!(text.contains(&v4.to_string()), "{text} is {v4} in disguise");
        }
        prop_assert_eq!(guard.check_url(url.as_str()), Ok(url), "{}", text);
    }

    #[test]
    fn paths_and_ranges_are_read_or_refused(text in "[$.*?@,:/0-9a-f\\[\\]'\"()=<& -]{0,40}") {
        let _ = value::check(&format!("${text}"));
        let _ = text.parse::<Allow>();
    }
}
