//! What of an answer is compared.

use std::time::Duration;

use skein_fetch::{Response, value};
use skein_wire::watches::Mode;

fn response(status: u16, body: &[u8]) -> Response {
    Response {
        status,
        final_url: "http://a.example/".into(),
        content_type: None,
        etag: None,
        last_modified: None,
        body: body.into(),
        not_modified: false,
        took: Duration::ZERO,
    }
}

fn json(path: &str, body: &str) -> String {
    value::of(Mode::Json, Some(path), &response(200, body.as_bytes())).text
}

const PAGE: &str = r#"{
    "a": {"b": "text", "n": 1, "f": 1.0, "g": 0.5, "no": null, "yes": true, "odd[0]": 7},
    "list": [{"id": "x", "price": 5}, {"id": "y", "price": 15}],
    "$": "dollar"
}"#;

#[test]
fn a_status_is_its_number() {
    let value = value::of(Mode::Status, None, &response(503, b"whatever"));

    assert_eq!(value.text, "503");
    assert_eq!(value.hash.len(), 16);
}

#[test]
fn a_hash_is_the_beginning_of_a_sha_256_of_the_text() {
    let of = |body: &[u8]| value::of(Mode::Hash, None, &response(200, body));

    assert_eq!(of(b"abc").text, "ba7816bf8f01cfea");
    assert_eq!(of(b"abc").hash, "ba7816bf8f01cfea");
    assert_eq!(of(b"").text, "e3b0c44298fc1c14");
    assert_eq!(of(b"\xef\xbb\xbfabc"), of(b"abc"), "a mark of byte order is no text");
    assert_eq!(of(b"\xff"), of("\u{fffd}".as_bytes()), "what is no text is replaced");
    assert_eq!(value::of(Mode::Json, None, &response(200, b"abc")), of(b"abc"), "no path");
}

#[test]
fn a_dotted_path_is_the_contracts() {
    for (path, text) in [
        ("a.b", "text"),
        ("$.a.b", "text"),
        ("$a.b", "text"),
        ("a.n", "1"),
        ("a.f", "1"),
        ("a.g", "0.5"),
        ("a.no", "null"),
        ("a.yes", "true"),
        ("a.missing", "null"),
        ("a.b.c", "null"),
        ("missing.b", "null"),
        ("list.1.id", "y"),
        ("list.2.id", "null"),
        ("list[1].id", "null"),
        ("a.odd[0]", "7"),
        ("list.0", r#"{"id":"x","price":5}"#),
        ("a..b", "null"),
        ("$.$", "dollar"),
    ] {
        assert_eq!(json(path, PAGE), text, "{path}");
    }
}

#[test]
fn json_path_says_what_dots_cannot() {
    for (path, text) in [
        ("$['a']['b']", "text"),
        ("$.list[1].id", "y"),
        ("$.list[-1].id", "y"),
        ("$.list[*].id", r#"["x","y"]"#),
        ("$..id", r#"["x","y"]"#),
        ("$.list[?@.price > 10].id", "y"),
        ("$.list[?@.id == 'x']['price']", "5"),
        ("$.list[?@.id != 'x, $..?,,,']['price']", "[5,15]"),
        ("$.list[?@.price > 100].id", "null"),
        ("$.a['b','n']", r#"["text",1]"#),
        ("$.list[0:1]", r#"{"id":"x","price":5}"#),
        ("$.missing[0]", "null"),
    ] {
        assert_eq!(value::check(path), Ok(()), "{path}");
        assert_eq!(json(path, PAGE), text, "{path}");
    }
    assert_eq!(json("$", "[1, 2]"), "[1,2]");
}

#[test]
fn a_path_that_cannot_be_read_or_costs_too_much_is_refused() {
    for (path, why) in [
        ("", "it is empty"),
        (&*"a".repeat(513), "too long"),
        ("$[", ""),
        ("$.list[?@.price >]", ""),
        ("$['a", ""),
        ("$..a..b", "only once"),
        ("$..[?@..a]", "only once"),
        ("$[?@..a]", "cannot follow a filter"),
        ("$[?@.a == $.b]", "stands at the beginning only"),
        ("$[*,*][*,*][*,*][*,*]", "too many alternatives"),
        ("$[?@[?@[?@.a]]]", "too many filters"),
        ("$[?match(@.a, '.*')]", ""),
        ("$..[?@ == @]", "stands on the right"),
        ("$..[?@.a != (@.b)]", "stands on the right"),
        ("$..[?1 < @.a]", "stands on the right"),
        ("$..[?@==1||@==2||@==3||@==4||@==5]", "compares too much"),
        ("$..[?@.*.*.*]", "looks too deep"),
    ] {
        let refused = value::check(path).unwrap_err().to_string();

        assert!(refused.contains(why), "{path}: {refused}");
    }
}

#[test]
fn what_is_no_json_is_shown_as_it_begins() {
    let page = "ä".repeat(300);

    assert_eq!(json("a.b", &page), "ä".repeat(200));
    assert_eq!(json("a.b", "{\"a\":"), "{\"a\":");
    assert_eq!(json("a.b", ""), "");
    assert_eq!(json("a.b", &"[".repeat(100_000)), "[".repeat(200), "too deep is none");
}

#[test]
fn a_long_value_is_cut_and_its_hash_is_of_all_of_it() {
    let of = |text: &str| {
        let body = format!("{{\"a\":\"{text}\"}}");
        value::of(Mode::Json, Some("a"), &response(200, body.as_bytes()))
    };
    let (whole, one, two) =
        (of(&"é".repeat(1000)), of(&format!("{}1", "é".repeat(1000))), of(&"é".repeat(100_000)));

    assert_eq!(whole.text, "é".repeat(1000));
    assert_eq!(one.text, format!("{}…", "é".repeat(999)));
    assert_eq!(one.text, two.text);
    assert_ne!(one.hash, two.hash);
}

#[test]
fn a_path_over_a_hostile_document_stays_bounded() {
    let wide = format!("[{}0]", "0,".repeat(1_000_000));
    let deep = format!("{}1{}", "[1,".repeat(120), "]".repeat(120));
    let nested = format!("{}1{}", "[".repeat(120), "]".repeat(120));

    for path in ["$..*", "$[*,*,*,*]", "$..[?@ == 1 || @ != 2]", "$[?@[?@ > 0]]", "$..[*]"] {
        for document in [&wide, &deep, &nested] {
            assert_eq!(value::check(path), Ok(()));
            assert!(json(path, document).chars().count() <= 1000, "{path}");
        }
    }
}
