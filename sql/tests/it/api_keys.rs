//! API keys: found by their secret while they are good, and of one mesh.

use skein_openapi::api_keys::{Capability, NewApiKey};
use skein_sql::{api_keys, meshes::Mesh};

use crate::{meshes::mesh, place::Place};

async fn create(place: &Place, mesh: &Mesh, secret: u8) -> Option<String> {
    let new = NewApiKey {
        name: "robot".to_owned(),
        pubkey: hex(secret),
        capabilities: vec![Capability::StateRead],
        days: Some(1),
    };
    let member = hex(secret.wrapping_add(100));
    let key = api_keys::create(&place.db, mesh.no, &new, &[secret; 32], &member, "operator").await;
    key.unwrap().map(|key| key.id)
}

fn hex(byte: u8) -> String {
    format!("{byte:02x}").repeat(32)
}

#[tokio::test]
async fn a_key_is_found_until_it_is_revoked_or_expires() {
    let place = Place::new().await;
    let (mesh, _) = mesh(&place, "demo").await;
    let (first, second) =
        (create(&place, &mesh, 1).await.unwrap(), create(&place, &mesh, 2).await.unwrap());

    let key = api_keys::find(&place.db, &[1; 32]).await.unwrap().unwrap();
    assert_eq!((key.id.as_str(), key.mesh), (first.as_str(), mesh.no));
    assert_eq!(key.capabilities, [Capability::StateRead]);
    assert_eq!(api_keys::find(&place.db, &[1; 32]).await.unwrap().unwrap(), key, "again");
    assert_eq!(api_keys::find(&place.db, &[3; 32]).await.unwrap(), None);

    assert!(api_keys::revoke(&place.db, mesh.no, &first).await.unwrap());
    assert!(!api_keys::revoke(&place.db, mesh.no, &first).await.unwrap(), "nothing is left");
    assert_eq!(api_keys::find(&place.db, &[1; 32]).await.unwrap(), None);
    place.run("update api_key set expires_at = now() where id = $1", &[&second]).await;
    assert_eq!(api_keys::find(&place.db, &[2; 32]).await.unwrap(), None);
}

#[tokio::test]
async fn a_key_of_another_mesh_is_neither_listed_nor_revoked() {
    let place = Place::new().await;
    let (first, _) = mesh(&place, "first").await;
    let (second, _) = mesh(&place, "second").await;
    let id = create(&place, &first, 1).await.unwrap();

    assert!(!api_keys::revoke(&place.db, second.no, &id).await.unwrap());
    assert_eq!(api_keys::list(&place.db, second.no, None, 10).await.unwrap(), []);
    assert_eq!(api_keys::list(&place.db, first.no, None, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_public_key_is_one_keys() {
    let place = Place::new().await;
    let (mesh, _) = mesh(&place, "demo").await;
    let id = create(&place, &mesh, 1).await.unwrap();
    api_keys::revoke(&place.db, mesh.no, &id).await.unwrap();

    assert_eq!(create(&place, &mesh, 1).await, None, "also when it was revoked");
}

#[tokio::test]
async fn the_history_is_forgotten_with_its_messages() {
    let place = Place::new().await;
    let (mesh, _) = mesh(&place, "demo").await;
    create(&place, &mesh, 1).await.unwrap();
    let key = api_keys::find(&place.db, &[1; 32]).await.unwrap().unwrap();
    let at = jiff::Timestamp::now();
    api_keys::note(&place.db, mesh.no, &key.id, &[(1, at), (2, at)], true).await.unwrap();
    api_keys::note(&place.db, mesh.no, &key.id, &[(2, at)], true).await.unwrap();

    let found = api_keys::history(&place.db, &key, None, 10).await.unwrap();
    assert_eq!(found.iter().map(|m| (m.0, m.2)).collect::<Vec<_>>(), [(2, true), (1, true)]);
    let rest = api_keys::history(&place.db, &key, Some((2, true)), 10).await.unwrap();
    assert_eq!(rest.len(), 1);
    assert_eq!(api_keys::sweep(&place.db, 4).await.unwrap(), 0);
    place.run("update api_message set at = now() - interval '5 days' where seq = 1", &[]).await;
    assert_eq!(api_keys::sweep(&place.db, 4).await.unwrap(), 1);
}
