//! `skein key`: API keys are made, listed and revoked; what is sent with one arrives.

use serde_json::{Value, json};

use crate::place::{Place, fails, json, run};

#[tokio::test]
async fn a_key_is_made_used_and_revoked() {
    let place = Place::start(1).await;
    let owner = place.owner();
    let bob = place.member(&owner, "bob");

    let made = json(&owner, &["key", "create", "robot", "--may", "state:read,state:write"]);
    let (id, secret) = (made["key"]["id"].as_str().unwrap(), made["secret"].as_str().unwrap());
    assert_eq!(made["key"]["capabilities"], json!(["state:read", "state:write"]));
    assert_eq!(made["secretKey"].as_str().unwrap().len(), 128);
    let mesh = json(&owner, &["whoami"])[0]["meshId"].as_str().unwrap().to_owned();
    let url = format!("http://127.0.0.1:{}/v1/meshes/{mesh}/state", place.ports[0]);
    let ask = || async {
        let http = skein::rest::client_builder().build().unwrap();
        http.get(&url).bearer_auth(secret).send().await.unwrap().status().as_u16()
    };
    assert_eq!(ask().await, 200);

    let listed = run(&owner, &["key", "list"]);
    assert!(!String::from_utf8_lossy(&listed.stdout).contains(secret), "shown once");
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(json!([listed[0]["id"], listed[0]["name"]]), json!([id, "robot"]));
    assert_eq!(fails(&bob, &["key", "list"], 5).1["code"], "forbidden");
    let member = json(&owner, &["member", "list"]);
    assert_eq!(member[2]["pubkey"], made["key"]["pubkey"], "others can write to it");

    let revoked = json(&owner, &["key", "revoke", "robot"]);
    assert_eq!(revoked, json!({"id": id, "name": "robot", "revoked": true}));
    assert_eq!(fails(&owner, &["key", "revoke", "robot"], 3).1["code"], "not_found");
    assert_eq!(ask().await, 401);
}
