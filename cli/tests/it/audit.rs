//! `skein audit`: what happened is listed, and the log is computed again here.

use serde_json::{Value, json};
use skein_crypto::audit::{GENESIS, hash};

use crate::place::{Place, fails, json, run, skein};

/// Runs statements on the log, past what guards it.
async fn tamper(place: &Place, statements: &str) {
    let (db, connection) =
        tokio_postgres::connect(&place.database_url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let text = format!(
        "alter table audit disable trigger user; alter table audit_head disable trigger user;
         {statements};
         alter table audit enable trigger user; alter table audit_head enable trigger user"
    );
    db.batch_execute(&text).await.unwrap();
}

fn events(listed: &Value) -> Vec<(i64, &str)> {
    let entries = listed["entries"].as_array().unwrap().iter();
    entries.map(|e| (e["no"].as_i64().unwrap(), e["eventType"].as_str().unwrap())).collect()
}

#[tokio::test]
async fn what_happened_is_listed_newest_first_and_by_event() {
    let place = Place::start(1).await;
    let owner = place.owner();
    let bob = place.member(&owner, "bob");

    let all = json(&owner, &["audit", "list"]);
    let two = json(&bob, &["audit", "list", "--limit", "2"]);
    let before = json(&bob, &["audit", "list", "--before", "2"]);
    let joined = json(&bob, &["audit", "list", "--event", "member_joined"]);
    let words = skein(&bob, &["audit", "list"]).output().unwrap().stdout;
    let words = String::from_utf8(words).unwrap();

    let n = all["total"].as_i64().unwrap();
    assert_eq!(events(&all).last(), Some(&(1, "mesh_created")));
    assert_eq!(events(&two).iter().map(|e| e.0).collect::<Vec<_>>(), [n, n - 1]);
    assert_eq!(events(&before), [(1, "mesh_created")]);
    assert_eq!(joined["entries"].as_array().unwrap().len(), 1, "{joined}");
    assert_eq!(joined["entries"][0]["actor"], "bob");
    assert!(words.contains("invite_created") && words.contains("mesh_created"), "{words}");
}

#[tokio::test]
async fn the_log_is_computed_again_and_the_first_broken_entry_is_named() {
    let place = Place::start(1).await;
    let owner = place.owner();
    let bob = place.member(&owner, "bob");

    let right = json(&bob, &["audit", "verify"]);
    tamper(&place, "update audit set actor_id = 'mallory' where no = 2").await;
    let (said, error) = fails(&bob, &["audit", "verify"], 1);

    let n = right["entries"].as_i64().unwrap();
    assert!(n >= 3, "{right}");
    assert_eq!((&right["valid"], &right["brokenAt"]), (&json!(true), &Value::Null));
    assert_eq!(
        (&right["last"]["no"], right["last"]["hash"].as_str().unwrap().len()),
        (&json!(n), 64)
    );
    assert_eq!((&said["valid"], &said["brokenAt"]), (&json!(false), &json!(2)));
    assert_eq!(error["code"], "unwell");
    assert!(error["message"].as_str().unwrap().contains("entry 2"), "{error}");
}

#[tokio::test]
async fn a_log_that_was_cut_off_or_written_anew_is_not_the_one_that_was_seen() {
    let place = Place::start(1).await;
    let owner = place.owner();
    let seen = json(&owner, &["audit", "verify"])["last"]["no"].as_i64().unwrap();
    let fresh = place.member(&owner, "bob");

    // Everything that follows from it is computed anew, as whoever has the database can.
    let mesh_id = json(&owner, &["whoami"])[0]["meshId"].as_str().unwrap().to_owned();
    let forged = hash(GENESIS, &mesh_id, "forged", "x", "{}", "2026-01-01T00:00:00.000Z");
    tamper(
        &place,
        &format!(
            "delete from audit; delete from audit_intake; delete from audit_head;
             insert into audit select no, 1, 'forged', 'x', 'x', '{{}}', '2026-01-01T00:00:00Z',
                                      '{forged}' from mesh;
             insert into audit_head select no, 1, '{forged}' from mesh"
        ),
    )
    .await;

    let stranger = run(&fresh, &["audit", "verify"]);
    let (said, error) = fails(&owner, &["audit", "verify"], 1);

    let shown: Value = serde_json::from_slice(&stranger.stdout).unwrap();
    assert_eq!(shown["valid"], true, "who never saw it cannot know: {shown}");
    let at = said["brokenAt"].as_i64().unwrap();
    assert!(at <= seen, "{said}");
    assert!(error["message"].as_str().unwrap().contains("this home"), "{error}");
}
