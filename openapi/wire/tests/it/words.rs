//! Fixed words: priorities, statuses, caps, error codes, and what a group's name reaches.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use skein_wire::{Code, Message, Priority, Refusal, Status, encode, groups::reaches, hello::Caps};

#[test]
fn priorities_and_statuses_are_spelled_one_way() {
    for (priority, word) in
        [(Priority::Now, "now"), (Priority::Next, "next"), (Priority::Low, "low")]
    {
        assert_eq!(priority.as_str(), word);
        assert_eq!(Priority::parse(word), Some(priority));
        assert_eq!(json!(priority), json!(word));
        assert_eq!(serde_json::from_value::<Priority>(json!(word)).unwrap(), priority);
    }
    for (status, word) in
        [(Status::Idle, "idle"), (Status::Working, "working"), (Status::Dnd, "dnd")]
    {
        assert_eq!(status.as_str(), word);
        assert_eq!(json!(status), json!(word));
        assert_eq!(serde_json::from_value::<Status>(json!(word)).unwrap(), status);
        assert_eq!(Status::parse(word), Some(status));
    }
}

#[test]
fn other_words_are_refused_with_the_field_named() {
    let words = ["", "Now", "NOW", " now", "now ", "urgent", "idle\n", "Dnd", "busy", "now,low"];
    let others = [
        json!(null),
        json!(0),
        json!(true),
        json!(["now"]),
        json!({"now": null}),
        json!({"idle": null}),
    ];
    for value in words.map(Value::from).into_iter().chain(others) {
        let send = json!({"type": "send", "targetSpec": "*", "nonce": "", "ciphertext": "",
            "priority": value});
        let set_status = json!({"type": "set_status", "status": value});
        for (kind, field, frame) in
            [("send", "priority", send), ("set_status", "status", set_status)]
        {
            let error = Message::decode(kind, &frame.to_string()).expect_err(&frame.to_string());

            assert_eq!(error.code, Code::InvalidMessage, "{frame}");
            assert!(error.detail.starts_with(&format!("{kind}: `{field}`: ")), "{error}");
        }
        let word = value.as_str().unwrap_or_default();
        assert_eq!((Priority::parse(word), Status::parse(word)), (None, None), "{word}");
    }
}

#[test]
fn a_group_reaches_itself_and_what_is_below_it() {
    for (target, group, reached) in [
        ("a", "a", true),
        ("a", "a/b", true),
        ("a", "a/b/c", true),
        ("a/b", "a/b/c", true),
        ("a/b", "a", false),
        ("a", "ab", false),
        ("a", "ab/c", false),
        ("a", "b/a", false),
        ("a/b", "a/bc", false),
        ("ab", "a", false),
        ("A", "a", false),
        ("ä", "ä/ö", true),
        ("ä", "äö", false),
        ("a/", "a/b", false),
        ("a%", "a/b", false),
        ("_", "a", false),
    ] {
        assert_eq!(reaches(target, group), reached, "@{target} and {group}");
    }
}

#[test]
fn only_the_known_caps_count() {
    let words = |words: &[&str]| Caps::of(&words.iter().map(|w| w.to_string()).collect::<Vec<_>>());

    assert_eq!(words(&[]), Caps::default());
    assert_eq!(words(&["Ack", "acks", "", "inbox "]), Caps::default());
    assert_eq!(words(&["new", "ack"]), Caps { ack: true, ..Caps::default() });
    assert_eq!(words(&["replies"]), Caps { replies: true, ..Caps::default() });
    assert_eq!(words(&["inbox", "inbox"]), Caps { inbox: true, ..Caps::default() });
}

#[test]
fn every_code_is_one_lower_case_word_with_a_status_and_a_message() {
    let mut seen = BTreeSet::new();
    for code in Code::ALL {
        let word = code.as_str();
        assert!(seen.insert(word), "{word} stands twice");
        assert!(!word.is_empty() && !word.starts_with('_') && !word.ends_with('_'), "{word}");
        assert!(word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{word}");
        assert!((400..=504).contains(&code.status()), "{word}: {}", code.status());
        let message = code.message();
        assert!(!message.is_empty() && !message.ends_with('.'), "{word}: {message}");
        assert!(message.starts_with(|c: char| c.is_lowercase()), "{word}: {message}");
        assert_eq!(json!(code), json!(word));
    }
}

#[test]
fn rejected_hellos_say_exactly_what_the_reference_says() {
    for (code, word, message) in [
        (Code::NoHello, "no_hello", "must send hello first"),
        (Code::Capacity, "capacity", "mesh at connection capacity"),
        (Code::TimestampSkew, "timestamp_skew", "hello rejected: timestamp_skew"),
        (Code::Malformed, "malformed", "hello rejected: malformed"),
        (Code::BadSignature, "bad_signature", "hello rejected: bad_signature"),
        (Code::Unauthorized, "unauthorized", "pubkey not found in mesh"),
        (Code::Replayed, "replayed", "hello rejected: replayed"),
    ] {
        let frame: Value = serde_json::from_str(&encode(&Refusal::new(code), None)).unwrap();

        assert_eq!(frame, json!({"type": "error", "code": word, "message": message}));
    }
}

#[test]
fn a_refused_send_carries_its_id_and_words_of_its_own() {
    let refusal = Refusal::with(Code::MailboxFull, "bob's mailbox is full").of_send("c1");

    let frame: Value = serde_json::from_str(&encode(&refusal, Some("r1"))).unwrap();

    let expected = json!({"type": "error", "code": "mailbox_full", "id": "c1", "_reqId": "r1",
        "message": "bob's mailbox is full"});
    assert_eq!(frame, expected);
}
