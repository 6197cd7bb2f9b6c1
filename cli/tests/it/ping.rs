//! `skein ping`: times that are times, and a peer that hears nothing of it.

use std::io::{BufRead, BufReader};

use serde_json::{Value, json};

use crate::place::{Follower, Place, fails, json, skein, wait};

#[tokio::test]
async fn the_ways_to_the_edge_and_to_the_database_are_measured() {
    let place = Place::start(1).await;
    let owner = place.owner();

    let measured = json(&owner, &["ping", "--count", "3"]);

    assert_eq!(measured["edge"], place.url(0));
    assert_eq!(measured["peers"], 0);
    assert!(measured.get("peer").is_none());
    assert!(measured["helloMs"].as_f64().unwrap() > 0.0);
    for way in ["edgeMs", "databaseMs"] {
        let [min, median, max] =
            ["min", "median", "max"].map(|field| measured[way][field].as_f64().unwrap());
        assert!(0.0 <= min && min <= median && median <= max, "{way}: {measured}");
    }
    assert!(measured["edgeMs"]["min"].as_f64().unwrap() > 0.0);
    assert!(place.log(0).contains("session"), "it said hello");
}

#[tokio::test]
async fn a_peer_is_here_or_away_or_unknown_and_gets_nothing_of_it() {
    let place = Place::start(1).await;
    let owner = place.owner();
    let bob = place.member(&owner, "bob");
    let mut follower = Follower::start(&bob);
    wait("bob is here", || json(&owner, &["peers"]).to_string().contains("\"bob\"").then_some(()))
        .await;

    let here = json(&owner, &["ping", "BOB"]);
    json(&owner, &["send", "bob", "the first word"]);

    let said = BufReader::new(follower.0.stdout.take().unwrap()).lines().next().unwrap().unwrap();
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["text"], "the first word");
    assert_eq!(json!([here["peer"]["here"], here["peer"]["name"]]), json!([true, "BOB"]));
    assert_eq!(here["peer"]["sessions"][0]["status"], "idle");
    assert_eq!(here["peer"]["sessions"][0]["pubkey"], here["peer"]["pubkey"]);
    follower.end();
    let member = json(&bob, &["whoami"])[0]["memberPubkey"].clone();
    let away = wait("bob is away", || {
        let seen = skein(&owner, &["ping", "bob", "--json"]).output().unwrap();
        (seen.status.code() == Some(3)).then_some(seen)
    })
    .await;
    let error: Value = serde_json::from_slice(&away.stderr).unwrap();
    assert_eq!(error["error"]["code"], "not_here");
    let away: Value = serde_json::from_slice(&away.stdout).unwrap();
    assert_eq!(json!([away["peer"]["here"], away["peer"]["pubkey"]]), json!([false, member]));
    let (_, unknown) = fails(&owner, &["ping", "eve"], 3);
    assert_eq!(unknown["code"], "not_found");
    let (_, many) = fails(&owner, &["ping", "*"], 2);
    assert_eq!(many["code"], "usage");
}

#[tokio::test]
async fn what_waits_for_the_session_that_pings_is_not_taken() {
    let place = Place::start(1).await;
    let owner = place.owner();
    let bob = place.member(&owner, "bob");
    // The session that short commands use: bob answers it while nobody is attached with its key.
    json(&owner, &["ping"]);
    let session = place.short_session(&owner);
    json(&bob, &["send", &session, "I am"]);

    // Long enough for the message to be pushed meanwhile.
    json(&owner, &["ping", "--count", "500"]);
    assert_eq!(json(&owner, &["inbox", "--all"]), json!([]));

    wait("the answer is in the inbox", || {
        json(&owner, &["peers"]);
        json(&owner, &["inbox", "--all"]).to_string().contains("I am").then_some(())
    })
    .await;
}

#[tokio::test]
async fn without_an_edge_it_ends_with_four() {
    let mut place = Place::start(1).await;
    let owner = place.owner();
    place.kill(0);

    let (_, error) = fails(&owner, &["ping"], 4);

    assert_eq!(error["code"], "not_connected");
    assert!(error["hint"].as_str().unwrap().contains("skein doctor"));
}
