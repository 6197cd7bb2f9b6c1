//! The document, as strangers read it: what it allows is taken, what it does not is refused as it
//! says, nothing fails, and a client that is generated from it sends a message.

use std::fs;

use serde_json::{Value, json};
use skein_crypto::{Keypair, direct::Pairs};

use crate::{
    api_keys::{ALL, Key},
    harness::TestMesh,
    python::{examples, python, said, tools},
};

/// How schemathesis runs. Each exception says why the document cannot.
const CONFIG: &str = r#"
seed = 4
[generation]
# U+0000 is refused everywhere, and no schema says so.
allow-x00 = false
database = "none"
[parameters]
mesh_id = "MESH"
[checks]
# Beside what is usual: what is longer in bytes than characters can say.
positive_data_acceptance.expected-statuses = ["2xx", 401, 403, 404, 409, 413, 429]
[[operations]]
# A moment is judged when it is asked for: neither past, nor too far ahead.
include-operation-id = "registerInvite"
checks.positive_data_acceptance.enabled = false
[[operations]]
# Two of its parameters do not go together.
include-operation-id = "listAudit"
checks.positive_data_acceptance.enabled = false
"#;

/// Tries every operation of these tags as whoever has this token.
async fn tried(mesh: &TestMesh, token: &str, tags: &[&str]) {
    let tools = tools().await;
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("schemathesis.toml");
    fs::write(&config, CONFIG.replace("MESH", &mesh.id)).unwrap();
    let program = "from schemathesis.cli import schemathesis; schemathesis()";
    let mut command = python(&tools);
    command.current_dir(folder.path()).args(["-c", program, "--config-file"]).arg(&config);
    let url = format!("http://127.0.0.1:{}/openapi.json", mesh.edges[0].port);
    command.args(["run", &url, "--phases", "examples,coverage,fuzzing"]);
    command.args(["--max-examples", &examples()]);
    command.args(["-H", &format!("Authorization: Bearer {token}")]);
    for tag in tags {
        command.args(["--include-tag", tag]);
    }

    let report = said(&mut command).await;

    let tested = report.lines().find_map(|line| line.trim().strip_prefix("Tested: "));
    let n: usize = tested.unwrap_or_else(|| panic!("nothing was tried: {report}")).parse().unwrap();
    assert!(n > 0, "{report}");
}

#[tokio::test]
async fn every_route_of_what_is_shared_keeps_to_the_document() {
    let mesh = TestMesh::start_with(1, &[("SKEIN_API_KEY_RATE_PER_MIN", "1000000")]).await;
    let _ann = mesh.peer("ann", 0).await;
    let key = Key::make(&mesh, "fuzz", &ALL).await;

    tried(&mesh, &key.secret, &["messages", "state", "tasks", "webhooks", "audit"]).await;
}

#[tokio::test]
async fn every_route_of_administration_keeps_to_the_document() {
    let mesh = TestMesh::start(1).await;
    let _ann = mesh.peer("ann", 0).await;

    tried(&mesh, "operator", &["meshes", "members", "invites", "api keys", "nodes", "audit"]).await;
}

#[tokio::test]
async fn a_client_that_is_generated_from_the_document_sends_a_message() {
    let mesh = TestMesh::start(1).await;
    let mut ann = mesh.peer("ann", 0).await;
    let key = Key::make(&mesh, "robot", &["messages:send", "messages:read"]).await;
    let (tools, folder) = (tools().await, tempfile::tempdir().unwrap());
    let config = folder.path().join("config.yml");
    fs::write(&config, "package_name_override: skein_client\npost_hooks: []\n").unwrap();
    let document = format!("http://127.0.0.1:{}/openapi.json", mesh.edges[0].port);
    let mut generate = python(&tools);
    generate.args(["-m", "openapi_python_client", "generate", "--meta", "none", "--url"]);
    generate.args([&document, "--fail-on-warning", "--config"]).arg(&config);
    generate.arg("--output-path").arg(folder.path().join("skein_client"));
    said(&mut generate).await;
    let mut compile = python(&tools);
    compile.env_remove("PYTHONDONTWRITEBYTECODE");
    compile.args(["-m", "compileall", "-q"]).arg(folder.path().join("skein_client"));
    said(&mut compile).await;

    let to = &ann.session.public;
    let body = Pairs::new(&key.keys.secret).seal(to, "from afar").unwrap();
    let message = json!({"id": Keypair::generate().public.hex(), "target": to.hex(),
                         "priority": "now", "nonce": body.nonce, "ciphertext": body.ciphertext});
    let mut send = python(&tools);
    let both = std::env::join_paths([folder.path(), tools.as_path()]).unwrap();
    send.env("PYTHONPATH", both).args(["-c", include_str!("../python/send.py")]);
    send.arg(format!("http://127.0.0.1:{}", mesh.edges[0].port));
    send.args([&key.secret, &mesh.id, &message.to_string()]);
    let said: Value = serde_json::from_str(&said(&mut send).await).unwrap();

    let push = ann.push().await;
    assert_eq!(
        (&push["messageId"], &said["sent"]["online"]),
        (&said["sent"]["messageId"], &json!(1))
    );
    let (nonce, sealed) = (push["nonce"].as_str().unwrap(), push["ciphertext"].as_str().unwrap());
    let opened = Pairs::new(&ann.session.secret).open(&key.keys.public, nonce, sealed).unwrap();
    assert_eq!(opened, "from afar");
    let sent = &said["history"]["messages"][0];
    assert_eq!((&sent["direction"], &sent["ciphertext"]), (&json!("sent"), &push["ciphertext"]));
}
