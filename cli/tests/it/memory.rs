//! `skein memory`: remembered in one home, recalled in another, and forgotten for both.

use serde_json::{Value, json};

use crate::place::{Place, fails, json, skein};

#[tokio::test]
async fn what_one_remembers_another_recalls_until_it_is_forgotten() {
    let place = Place::start(2).await;
    let owner = place.owner();
    let bob = place.member(&owner, "bob");

    let text = "Kubernetes keeps its secrets in etcd";
    let kept = json(&bob, &["memory", "remember", text, "--tag", "cluster"]);
    for (query, kind) in [
        (&["secret", "of", "kubernetes"][..], "words"),
        (&["cluster"], "words"),
        (&["kuber"], "prefix"),
        (&["kuberntes"], "similar"),
    ] {
        let found = json(&owner, &[&["memory", "recall"][..], query].concat());
        assert_eq!(found.as_array().unwrap().len(), 1, "{query:?}");
        assert_eq!((&found[0]["id"], &found[0]["content"]), (&kept["id"], &json!(text)));
        assert_eq!(
            (&found[0]["rememberedBy"], &found[0]["match"]["kind"]),
            (&json!("bob"), &json!(kind))
        );
    }
    let shown = skein(&owner, &["memory", "recall", "kuberntes"]).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("is spelled like: kubernetes") && shown.contains(text), "{shown}");

    let id = kept["id"].as_str().unwrap();
    assert_eq!(json(&owner, &["memory", "forget", id]), json!({"id": id, "forgotten": true}));
    assert_eq!(json(&bob, &["memory", "recall", "kubernetes"]), json!([]));
    assert_eq!(fails(&bob, &["memory", "forget", "no-such-id"], 5).1["code"], "not_found");
    let kept = json(&owner, &["memory", "remember", "mine"]);
    let other = kept["id"].as_str().unwrap();
    assert_eq!(fails(&bob, &["memory", "forget", other], 5).1["code"], "forbidden");
    let nothing: Value = json(&bob, &["memory", "recall", "the"]);
    assert_eq!(nothing, json!([]));
}
