//! The inbox on disk.

use std::fs;
use std::io::Write;
use std::path::Path;

use skein::client::inbox::{Inbox, Shown, Taken};
use skein::client::message::{Kind, Message};
use skein_wire::Priority;

fn message(id: &str, body: &str) -> Message {
    Message {
        message_id: id.into(),
        mesh_id: "mesh-1".into(),
        sender_pubkey: "ab".repeat(32),
        priority: Priority::Next,
        created_at: "2026-01-01T00:00:00.000Z".into(),
        received_at: "2026-01-01T00:00:01.000Z".into(),
        kind: Kind::Direct,
        target: None,
        text: Some(body.into()),
        problem: None,
        sealed: None,
        conflict: false,
        subtype: None,
        event: None,
        event_data: None,
        body_hash: body.into(),
    }
}

fn append(inbox: &mut Inbox, messages: &[(&str, &str)]) -> Vec<Taken> {
    let messages = messages.iter().map(|(id, body)| message(id, body)).collect();
    inbox.append(messages).unwrap()
}

fn is_new(taken: &[Taken]) -> Vec<bool> {
    taken.iter().map(|taken| matches!(taken, Taken::New(_))).collect()
}

fn shown(dir: &Path) -> Vec<String> {
    let mut ids = Vec::new();
    let mut shown = Shown::open(dir).unwrap();
    shown
        .rest(|message| {
            ids.push(message.message_id.clone());
            Ok(())
        })
        .unwrap();
    ids
}

#[test]
fn a_repeat_is_dropped_within_a_burst_between_bursts_and_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut inbox = Inbox::open(dir.path()).unwrap();

    let burst = append(&mut inbox, &[("1", "a"), ("2", "b"), ("1", "a")]);
    assert_eq!(is_new(&burst), [true, true, false]);
    assert_eq!(is_new(&append(&mut inbox, &[("2", "b"), ("3", "c")])), [false, true]);
    drop(inbox);
    let mut inbox = Inbox::open(dir.path()).unwrap();

    assert_eq!(is_new(&append(&mut inbox, &[("1", "a"), ("4", "d")])), [false, true]);
    assert_eq!(shown(dir.path()), ["1", "2", "3", "4"]);
}

#[test]
fn a_known_id_with_another_body_is_kept_once_as_a_conflict() {
    let dir = tempfile::tempdir().unwrap();
    let mut inbox = Inbox::open(dir.path()).unwrap();
    append(&mut inbox, &[("1", "a")]);

    let taken = append(&mut inbox, &[("1", "b"), ("1", "b"), ("1", "a")]);

    let Taken::New(conflict) = &taken[0] else { panic!("another body is new") };
    assert!(conflict.conflict);
    assert_eq!(is_new(&taken), [true, false, false]);
    let mut inbox = Inbox::open(dir.path()).unwrap();
    assert_eq!(is_new(&append(&mut inbox, &[("1", "b"), ("1", "c")])), [false, true]);
}

#[test]
fn two_processes_of_one_home_take_a_message_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = Inbox::open(dir.path()).unwrap();
    let mut second = Inbox::open(dir.path()).unwrap();

    assert_eq!(is_new(&append(&mut first, &[("1", "a")])), [true]);
    assert_eq!(is_new(&append(&mut second, &[("1", "a"), ("2", "b")])), [false, true]);
    assert_eq!(is_new(&append(&mut first, &[("2", "b"), ("3", "c")])), [false, true]);

    assert_eq!(shown(dir.path()), ["1", "2", "3"]);
}

#[test]
fn a_torn_end_is_cut_and_damage_in_the_middle_is_skipped() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("00000001.log");
    let mut inbox = Inbox::open(dir.path()).unwrap();
    append(&mut inbox, &[("1", "a"), ("2", "b"), ("3", "c")]);
    let mut bytes = fs::read(&log).unwrap();
    let second = bytes.iter().position(|&byte| byte == b'\n').unwrap() + 20;
    bytes[second] ^= 1;
    fs::write(&log, bytes).unwrap();
    fs::OpenOptions::new().append(true).open(&log).unwrap().write_all(b"0123 {\"mess").unwrap();

    let mut inbox = Inbox::open(dir.path()).unwrap();

    assert_eq!(
        is_new(&append(&mut inbox, &[("3", "c"), ("2", "b"), ("4", "d")])),
        [false, true, true]
    );
    assert_eq!(shown(dir.path()), ["1", "3", "2", "4"]);
}

#[test]
fn what_was_shown_is_not_shown_again_and_a_failure_to_show_shows_it_next_time() {
    let dir = tempfile::tempdir().unwrap();
    let mut inbox = Inbox::open(dir.path()).unwrap();
    append(&mut inbox, &[("1", "a"), ("2", "b")]);
    let mut reader = Shown::open(dir.path()).unwrap();
    let mut count = 0;

    let failed = reader.rest(|_| {
        count += 1;
        if count == 2 { Err(std::io::ErrorKind::BrokenPipe.into()) } else { Ok(()) }
    });

    assert!(failed.is_err());
    assert_eq!(shown(dir.path()), ["2"]);
    assert_eq!(shown(dir.path()), [""; 0]);
    append(&mut inbox, &[("3", "c")]);
    assert_eq!(shown(dir.path()), ["3"]);
    assert_eq!(Shown::open(dir.path()).unwrap().all().unwrap().len(), 3);
}

#[test]
fn ids_are_known_across_segments_also_when_their_index_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let body = "x".repeat(1024 * 1024);
    let mut inbox = Inbox::open(dir.path()).unwrap();
    for n in 0..20 {
        append(&mut inbox, &[(&format!("m{n}"), &body)]);
    }
    assert!(dir.path().join("00000003.log").exists(), "three segments were written");
    assert!(dir.path().join("00000001.ids").exists());
    fs::remove_file(dir.path().join("00000002.ids")).unwrap();

    let mut inbox = Inbox::open(dir.path()).unwrap();

    for n in 0..20 {
        assert_eq!(is_new(&append(&mut inbox, &[(&format!("m{n}"), &body)])), [false], "m{n}");
    }
    assert_eq!(shown(dir.path()).len(), 20);
}

#[test]
fn nobody_else_may_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let inbox_dir = dir.path().join("inbox");
    append(&mut Inbox::open(&inbox_dir).unwrap(), &[("1", "a")]);

    assert_eq!(fs::metadata(&inbox_dir).unwrap().permissions().mode() & 0o777, 0o700);
    for entry in fs::read_dir(&inbox_dir).unwrap() {
        let mode = entry.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
