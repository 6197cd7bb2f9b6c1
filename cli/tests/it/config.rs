//! `skein config`: only what is read can be set, and what is set is read.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use skein::home::Home;
use skein_crypto::Keypair;

use crate::place::{Place, fails, json, skein};

fn join(home: &Path, slug: &str) {
    let membership = serde_json::from_value(json!({
        "version": 1, "meshId": format!("id-{slug}"), "slug": slug, "memberId": "m",
        "memberSecret": *Keypair::generate().secret.hex(),
        "ownerPubkey": Keypair::generate().public, "edges": ["ws://127.0.0.1:1/ws"],
        "displayName": "ann", "joinedAt": "2026-01-01T00:00:00.000Z",
    }));
    Home::at(home).unwrap().save(&membership.unwrap()).unwrap();
}

#[test]
fn the_default_mesh_is_meant_where_several_are_joined() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    ["one", "two"].iter().for_each(|slug| join(home, slug));
    assert_eq!(fails(home, &["summary"], 3).1["code"], "which_mesh");

    json(home, &["config", "set", "mesh", "two"]);

    assert_eq!(json(home, &["summary"])["meshId"], "id-two");
    assert_eq!(json(home, &["summary", "--mesh", "one"])["meshId"], "id-one");
    assert_eq!(json(home, &["config", "get", "mesh"])["value"], "two");
    // A default that was left is none.
    json(home, &["leave", "two"]);
    join(home, "three");
    assert_eq!(fails(home, &["summary"], 3).1["code"], "which_mesh");
    json(home, &["config", "unset", "mesh"]);
    assert_eq!(fails(home, &["config", "get", "mesh"], 3).1["code"], "not_found");
}

#[tokio::test]
async fn the_name_is_taken_by_meshes_that_are_made_from_then_on() {
    let place = Place::start(1).await;
    let home = place.home("owner");
    assert_eq!(json(&home, &["config", "get", "name"])["value"], "user");

    json(&home, &["config", "set", "name", "Ann"]);

    let url = place.url(0);
    let args = ["mesh", "create", "demo", "--edge", &url, "--operator-token", "operator"];
    json(&home, &args);
    assert_eq!(json(&home, &["whoami"])[0]["displayName"], "Ann");
    json(&home, &["config", "set", "name", "Zoe", "--mesh", "demo"]);
    assert_eq!(json(&home, &["whoami"])[0]["displayName"], "Zoe");
    assert_eq!(json(&home, &["config", "get", "name"])["value"], "Ann");
    json(&home, &["config", "unset", "name", "--mesh", "demo"]);
    assert_eq!(json(&home, &["whoami"])[0]["displayName"], "Ann");
}

#[test]
fn the_edges_of_a_mesh_are_replaced_in_order() {
    let home = tempfile::tempdir().unwrap();
    join(home.path(), "one");

    let args = ["config", "set", "edges", "wss://b.example/ws,http://127.0.0.1:7900"];
    let set = json(home.path(), &args);

    assert_eq!(set["value"], json!(["wss://b.example/ws", "ws://127.0.0.1:7900/ws"]));
    assert_eq!(set["meshId"], "id-one");
    let known = Home::at(home.path()).unwrap().membership(None).unwrap().edges;
    assert_eq!(json!(known), set["value"]);
    assert_eq!(set["isSet"], true);
    let unset = json(home.path(), &["config", "unset", "edges"]);
    assert_eq!(json!([unset["value"], unset["isSet"]]), json!([set["value"], false]), "they stay");
}

#[test]
fn what_cannot_be_set_is_refused_with_what_can() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    join(home, "one");
    let refused = |args: &[&str]| fails(home, args, 2).1["message"].as_str().unwrap().to_owned();

    let key = skein(home, &["config", "set", "colour", "red"]).output().unwrap();
    assert_eq!(key.status.code(), Some(2));
    let words = String::from_utf8(key.stderr).unwrap();
    assert!(words.contains("name, mesh, edges, message-mode"), "{words}");
    assert!(refused(&["config", "get", "colour"]).contains("colour"));
    assert!(refused(&["config", "set", "mesh", "two"]).contains("it may be one"));
    assert!(refused(&["config", "set", "edges", "one.example"]).contains("wss://HOST"));
    assert!(refused(&["config", "set", "message-mode", "loud"]).contains("push, inbox, off"));
    assert!(refused(&["config", "set", "name", " "]).contains("1 to 128"));
    assert!(refused(&["config", "set", "mesh", "one", "--mesh", "one"]).contains("whole home"));
    assert!(!home.join("config.json").exists(), "nothing was written");
}

#[test]
fn everything_that_can_be_set_is_listed_with_what_it_does() {
    let home = tempfile::tempdir().unwrap();

    let listed = json(home.path(), &["config", "list"]);

    let listed = listed.as_array().unwrap();
    let keys: Vec<_> = listed.iter().map(|one| one["key"].as_str().unwrap()).collect();
    assert_eq!(keys, ["name", "mesh", "edges", "message-mode"]);
    assert!(listed.iter().all(|one| one["isSet"] == false && one["about"].is_string()));
    let path = json(home.path(), &["config", "path"])["path"].clone();
    assert_eq!(path, json!(home.path().join("config.json")));
}

#[test]
fn the_message_mode_is_read_by_the_program_that_has_one() {
    let home = tempfile::tempdir().unwrap();
    join(home.path(), "one");
    assert_eq!(json(home.path(), &["config", "get", "message-mode"])["value"], "push");
    assert_eq!(json(home.path(), &["config", "set", "message-mode", "off"])["value"], "off");
    let file = home.path().join("config.json");
    let loud = std::fs::read_to_string(&file).unwrap().replace("off", "loud");
    std::fs::write(&file, loud).unwrap();

    let refused = fails(home.path(), &["mcp"], 2).1;

    assert!(refused["message"].as_str().unwrap().contains("push, inbox, off"), "{refused}");
}

#[test]
fn every_shell_gets_a_script_and_no_home_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let made = skein(&home, &["completions", shell]).output().unwrap();
        assert!(made.status.success(), "{shell}");
        let script = String::from_utf8(made.stdout).unwrap();
        for command in ["doctor", "config", "ping", "member"] {
            assert!(script.contains(command), "{shell}: {command}");
        }
    }
    assert!(!home.exists());
    let bash = skein(&home, &["completions", "bash"]).output().unwrap();
    let mut check = Command::new("bash").arg("-n").stdin(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut check.stdin.take().unwrap(), &bash.stdout).unwrap();
    assert!(check.wait().unwrap().success());
}

#[test]
fn nobody_who_reads_is_no_panic() {
    let home = tempfile::tempdir().unwrap();
    join(home.path(), "one");
    let commands: [&[&str]; 6] = [
        &["completions", "zsh"],
        &["config", "list"],
        &["whoami", "--json"],
        &["doctor"],
        &["--help"],
        &["--version"],
    ];
    for args in commands {
        let mut command = skein(home.path(), args);
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let ended = command.stdout(writer).stderr(Stdio::piped()).output().unwrap();
        let said = String::from_utf8(ended.stderr).unwrap();
        assert!(!said.contains("panicked"), "{args:?}: {said}");
        assert_eq!(ended.status.code(), Some(0), "{args:?}: {said}");
    }
}

#[test]
fn wrong_arguments_are_an_object_for_who_wants_one() {
    let home = tempfile::tempdir().unwrap();

    let refused = skein(home.path(), &["snd", "--json"]).output().unwrap();

    assert_eq!(refused.status.code(), Some(2));
    let said: Value = serde_json::from_slice(&refused.stderr).unwrap();
    assert_eq!(said["error"]["code"], "usage");
    assert!(said["error"]["message"].as_str().unwrap().contains("snd"), "{said}");
}
