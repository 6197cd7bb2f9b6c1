//! What is a frame, what its reply is matched by, and what no frame may hold.

use serde_json::json;
use skein_wire::{
    Code, Envelope, Message, encode, limit::ERROR_DETAIL_BYTES_MAX, presence::SetVisible,
};

use crate::golden::{self, Sender};

#[test]
fn a_request_id_is_echoed_exactly_when_it_is_a_string() {
    for req_id in ["r1", "", "vlist_1775640600000", "a \"quoted\" \\ \n\t /", "✓ 🦊", "null"] {
        let call = encode(&SetVisible { visible: true }, Some(req_id));

        let envelope = Envelope::peek(&call).unwrap();

        assert_eq!(envelope.req_id.as_deref(), Some(req_id), "{call}");
    }
    for other in ["null", "7", "1.5", "true", "[]", "[\"r1\"]", "{}", "{\"a\":\"r1\"}"] {
        let frame = format!(r#"{{"type":"set_visible","_reqId":{other},"visible":true}}"#);

        let envelope = Envelope::peek(&frame).unwrap();

        assert_eq!(envelope.req_id, None, "{frame}");
        Message::decode(&envelope.kind, &frame).unwrap();
    }
}

#[test]
fn escapes_in_a_request_id_are_read() {
    let envelope = Envelope::peek(r#"{"type":"\u0061ck","_reqId":"\u0072\ud83e\udd8a"}"#).unwrap();

    assert_eq!((envelope.kind.as_str(), envelope.req_id.as_deref()), ("ack", Some("r🦊")));
}

#[test]
fn a_frame_is_one_json_object() {
    for frame in [
        "",
        " ",
        "null",
        "true",
        "7",
        "\"send\"",
        "[]",
        r#"["leave_group",null,null]"#,
        r#" ["set_profile","a","b"]"#,
        r#"[{"type":"list_peers"}]"#,
        "{",
        r#"{"type":"list_peers"}}"#,
        r#"{"type":"list_peers"} {"type":"list_peers"}"#,
        r#"{"type":"list_peers",}"#,
        r#"{'type':'list_peers'}"#,
        r#"{type:"list_peers"}"#,
        "\u{feff}{\"type\":\"list_peers\"}",
    ] {
        assert_eq!(Envelope::peek(frame).unwrap_err().code, Code::InvalidJson, "{frame}");
    }
}

#[test]
fn a_frame_has_a_string_type_that_is_known() {
    for frame in [r#"{}"#, r#"{"type":null}"#, r#"{"type":7}"#, r#"{"type":["send"]}"#] {
        let error = Envelope::peek(frame).unwrap_err();
        assert_eq!(error.code, Code::InvalidMessage, "{frame}");
        assert!(error.detail.contains("`type`"), "{frame}: {error}");
    }
    for kind in ["", "ping", "SEND", "send ", "hello", "ack", "push", "peers_list"] {
        let frame = json!({"type": kind}).to_string();
        let error = Message::decode(&Envelope::peek(&frame).unwrap().kind, &frame).unwrap_err();
        assert_eq!(error.code, Code::UnknownType, "{kind}");
        assert!(error.detail.contains(&format!("`{kind}`")), "{error}");
    }
}

#[test]
fn zero_and_lone_surrogates_are_refused_wherever_they_stand() {
    let bad =
        ["\\u0000", "\\ud800", "\\uDFFF", "\\ud83d \\ude00", "\\ud83d\\u0041", "a\\\\\\u0000"];
    for (_, _, label, frame) in golden::frames() {
        let frame = frame.to_string();
        // The place after every quote that opens a string, keys and unknown fields included.
        let open = r#"{"x":"","y":{"":["",{"z":""}]},"#.to_owned() + &frame[1..];
        let strings: Vec<usize> = open.match_indices('"').map(|(at, _)| at).step_by(2).collect();
        assert!(!open.contains('\\'), "{label}: quotes must pair up");
        for at in strings {
            for text in bad {
                let planted = format!("{}{text}{}", &open[..=at], &open[at + 1..]);

                let error = Envelope::peek(&planted).expect_err(&planted);

                assert_eq!(error.code, Code::InvalidJson, "{label}: {planted}");
            }
        }
    }
}

#[test]
fn text_that_only_looks_like_them_is_taken() {
    for text in [r"\\u0000", r"\\ud800", r"\ud83e\udd8a", r"\u0001", r"\uffff", r"\\\\u0000"] {
        let frame = format!(r#"{{"type":"set_summary","summary":"{text}","x":"{text}"}}"#);

        let written = golden::rewrite(Sender::Peer, &frame).unwrap_or_else(|e| panic!("{e}"));

        let (before, after): (serde_json::Value, serde_json::Value) =
            (serde_json::from_str(&frame).unwrap(), serde_json::from_str(&written).unwrap());
        assert_eq!(before["summary"], after["summary"], "{text}");
    }
    Envelope::peek("{\"type\":\"set_summary\",\"summary\":\"\u{0}\"}").unwrap_err();
}

#[test]
fn a_wrong_type_of_any_field_is_refused_with_message_and_field_named() {
    let wrong = ["null", "true", "-7", "1e300", "\"\"", "\"word\"", "[[]]", "[{}]", "{\"a\":[1]}"];
    let mut refused = 0;
    for (kind, from, label, frame) in golden::frames() {
        if from != Sender::Peer || kind == "hello" {
            continue;
        }
        for field in frame.as_object().unwrap().keys().filter(|field| *field != "type") {
            for wrong in wrong {
                let mut changed = frame.clone();
                changed[field] = serde_json::from_str(wrong).unwrap();
                for text in [changed.to_string(), serde_json::to_string_pretty(&changed).unwrap()] {
                    let Err(error) = Message::decode(&kind, &text) else { continue };
                    refused += 1;
                    assert_eq!(error.code, Code::InvalidMessage, "{label}: {text}");
                    let named = format!("{kind}: `{field}`: ");
                    assert!(error.detail.starts_with(&named), "{error} of {label}: {text}");
                }
            }
        }
    }
    assert!(refused > 200, "only {refused} frames were refused");
}

#[test]
fn a_refusal_is_short_whatever_was_sent() {
    let long = "✓".repeat(100_000);
    let unknown = json!({"type": long}).to_string();
    let wrong = json!({"type": "set_visible", "visible": long}).to_string();
    let status = json!({"type": "set_status", "status": long}).to_string();
    for (frame, start) in [
        (unknown, "no message has the type `✓✓"),
        (wrong, "set_visible: `visible`: invalid type: string \"✓✓"),
        (status, "set_status: `status`: unknown variant `✓✓"),
    ] {
        let kind = Envelope::peek(&frame).unwrap().kind;

        let error = Message::decode(&kind, &frame).unwrap_err();

        assert!(error.detail.starts_with(start), "{error}");
        assert!(error.detail.len() <= ERROR_DETAIL_BYTES_MAX, "{}", error.detail.len());
    }
}
