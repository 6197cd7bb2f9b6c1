//! What is refused, with its reason, before anything is kept.

use serde_json::{Value, json};
use skein_crypto::Keypair;
use skein_wire::limit;

use super::{later, list, make, one_shot};
use crate::harness::TestMesh;

fn cron(text: &str) -> Value {
    json!({"type": "schedule", "to": "*", "message": "tea", "deliverAt": 0, "cron": text})
}

fn with(mut frame: Value, field: &str, value: Value) -> Value {
    frame[field] = value;
    frame
}

#[tokio::test]
async fn an_expression_that_is_none_or_never_fires_is_refused_with_the_reason() {
    let mesh = TestMesh::start(1).await;
    let (mut ann, mut old) = (mesh.peer("ann", 0).await, mesh.old_peer("old", 0).await);
    for (text, why) in [
        ("60 * * * *", "minute: `60` is not within 0-59"),
        ("* * * *", "it has 4 fields"),
        ("0 * * * * *", "it has 6 fields"),
        ("*/0 * * * *", "a step of 0 never ends"),
        ("0 0 30 2 *", "no month that it names has such a day"),
        ("0 0 L * *", "day of the month: `l` cannot be read"),
        ("@reboot", "`@reboot` is not known"),
    ] {
        let refused = ann.call(cron(text)).await;
        let refused_old = old.call(cron(text)).await;

        assert_eq!(refused["code"], "invalid_cron", "{refused}");
        let message = refused["message"].as_str().unwrap();
        assert!(message.starts_with(&format!("Invalid cron expression: {text} (")), "{message}");
        assert!(message.contains(why), "{message}");
        assert_eq!(refused_old["message"], json!(format!("Invalid cron expression: {text}")));
    }
    assert!(list(&mut ann).await.is_empty());
}

#[tokio::test]
async fn what_does_not_fit_together_is_refused() {
    let mesh = TestMesh::start(1).await;
    let (mut ann, bob) = (mesh.peer("ann", 0).await, mesh.peer("bob", 0).await);
    let stranger = Keypair::generate().public.hex();
    let (session, member) = (bob.key(), bob.member.keys.public.hex());
    let good = one_shot("*", "tea", later(60_000));
    let sealed = |to: &str| {
        json!({"type": "schedule", "to": to, "deliverAt": later(60_000), "nonce": "n",
               "ciphertext": "c"})
    };
    let own = ann.key();
    let years = 1000 * i64::try_from(limit::SCHEDULE_HORIZON.as_secs()).unwrap();
    for (frame, code) in [
        (with(good.clone(), "to", json!(stranger)), "unknown_target"),
        (with(good.clone(), "to", json!("bob")), "unknown_target"),
        (with(good.clone(), "to", json!("@a//b")), "unknown_target"),
        (with(good.clone(), "deliverAt", Value::Null), "invalid_time"),
        (with(good.clone(), "deliverAt", json!(later(years + 60_000))), "invalid_time"),
        (with(good.clone(), "deliverAt", json!(1e300)), "invalid_time"),
        (with(good.clone(), "deliverAt", json!("soon")), "invalid_message"),
        (with(good.clone(), "tz", json!("Europe/Bielefeld")), "invalid_timezone"),
        (with(good.clone(), "tz", json!("../../etc/passwd")), "invalid_timezone"),
        (with(good.clone(), "subtype", json!("system")), "invalid_message"),
        (with(good.clone(), "missed", json!("never")), "invalid_message"),
        (with(good.clone(), "clock", json!("sim")), "no_clock"),
        (with(good.clone(), "ciphertext", json!("c")), "invalid_message"),
        (with(good.clone(), "jitterSeconds", json!(3601)), "invalid_message"),
        (with(good.clone(), "toName", json!("n".repeat(513))), "too_large"),
        (with(good.clone(), "message", json!("m".repeat(800_000))), "too_large"),
        (with(good.clone(), "message", Value::Null), "invalid_message"),
        (sealed("*"), "invalid_message"),
        (sealed(&session), "unknown_target"),
        (sealed(&own), "unknown_target"),
        (with(sealed(&own), "sealedTo", json!(member)), "unknown_target"),
        (with(sealed(&member), "sealedTo", json!(stranger)), "unknown_target"),
        (with(sealed(&member), "nonce", json!("n".repeat(129))), "too_large"),
    ] {
        let refused = ann.call(frame.clone()).await;
        assert_eq!(refused["code"], code, "{:.200} got {refused}", frame.to_string());
    }
    assert!(list(&mut ann).await.is_empty());
    make(&mut ann, with(good.clone(), "jitterSeconds", json!(3600))).await;
    make(&mut ann, with(good, "message", json!("m".repeat(786_432)))).await;
    make(&mut ann, sealed(&member)).await;
}

#[tokio::test]
async fn the_limits_of_members_and_meshes_are_told_with_their_numbers() {
    let mesh = TestMesh::start(1).await;
    let (mut ann, mut bob) = (mesh.peer("ann", 0).await, mesh.peer("bob", 0).await);
    mesh.member("cat").await;
    let good = one_shot("*", "tea", later(60_000));
    let fill = |who: &str, n: i64| {
        format!(
            "insert into schedule (id, mesh, member, session, session_key, target, nonce, body,
                                   priority, clock, missed, overlap, jitter_s, slot, serve_at)
             select gen_random_uuid(), m.mesh, m.mailbox, m.mailbox, m.pubkey, '*', '', '', 0,
                    'real', 'skip', 'allow', 0, 'infinity', 'infinity'
               from member m, generate_series(1, {n}) where m.display_name = '{who}'"
        )
    };

    mesh.run(&fill("ann", limit::SCHEDULES_PER_MEMBER_MAX - 1)).await;
    let last = make(&mut ann, good.clone()).await;
    let of_member = ann.call(good.clone()).await;
    mesh.run(&fill("cat", limit::SCHEDULES_PER_MESH_MAX - limit::SCHEDULES_PER_MEMBER_MAX)).await;
    let of_mesh = bob.call(good.clone()).await;
    ann.call(super::about("cancel_scheduled", &last)).await;

    assert_eq!(of_member["code"], "schedule_limit", "{of_member}");
    assert_eq!(of_mesh["code"], "schedule_limit", "{of_mesh}");
    assert_eq!(of_member["message"], "a member has at most 2000 schedules; cancel some");
    assert_eq!(of_mesh["message"], "a mesh has at most 20000 schedules; cancel some");
    make(&mut bob, good).await;
}

#[tokio::test]
async fn a_member_holds_no_more_text_than_it_may_and_is_told_the_number() {
    let mesh = TestMesh::start(1).await;
    let mut ann = mesh.peer("ann", 0).await;
    let n = limit::SCHEDULE_BYTES_PER_MEMBER_MAX - 4;
    mesh.run(&format!(
        "alter table schedule drop constraint schedule_body_check;
         alter table schedule alter column body set storage extended;
         insert into schedule (id, mesh, member, session, session_key, target, nonce, body,
                               priority, clock, missed, overlap, jitter_s, slot, serve_at)
         select gen_random_uuid(), mesh, mailbox, mailbox, pubkey, '*', '', repeat('A', {n}), 0,
                'real', 'skip', 'allow', 0, 'infinity', 'infinity'
           from member where display_name = 'ann'"
    ))
    .await;

    // Four bytes as they are kept.
    let last = make(&mut ann, one_shot("*", "tea", later(60_000))).await;
    let refused = ann.call(one_shot("*", "t", later(60_000))).await;
    ann.call(super::about("cancel_scheduled", &last)).await;

    assert_eq!(refused["code"], "schedule_limit", "{refused}");
    let words = "the schedules of a member hold at most 16 MiB of text; cancel some";
    assert_eq!(refused["message"], words);
    make(&mut ann, one_shot("*", "tea", later(60_000))).await;
}

#[tokio::test]
async fn who_was_revoked_a_moment_ago_makes_no_schedule() {
    let mesh = TestMesh::start(1).await;
    let mut ann = mesh.peer("ann", 0).await;
    // As it is between the revocation and the end of the member's sockets.
    mesh.run("update member set revoked_at = now() where display_name = 'ann'").await;

    let refused = ann.call(one_shot("*", "tea", later(60_000))).await;

    assert_eq!(refused["code"], "unauthorized", "{refused}");
    assert!(list(&mut ann).await.is_empty());
}
