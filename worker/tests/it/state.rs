//! Keys of the state whose time is over are removed, and those that were removed long ago forgotten.

use crate::place::{Place, until};

#[tokio::test]
async fn a_key_whose_time_is_over_is_removed_and_one_removed_long_ago_forgotten() {
    let place = Place::new().await;
    let mesh =
        "insert into mesh (id, slug, name, owner_key) values ('m', 'm', 'm', repeat('0', 64))";
    place.run(mesh, &[]).await;
    let insert = "
        insert into state (mesh, key, value, version, updated_by, updated_at, expires_at, xid)
        select no, k.key, k.value, 4, 'ann', now() - k.age, now() + k.rest, pg_current_xact_id()
          from mesh,
               (values ('over', '1', interval '1 s', interval '-1 s'),
                       ('lasts', '1', '1 s', '1 hour'),
                       ('kept', '1', '2 days', null),
                       ('removed', null, '1 hour', null),
                       ('long ago', null, '2 days', null)) as k(key, value, age, rest)";
    assert_eq!(place.run(insert, &[]).await, 5);

    let _worker = place.worker();

    let value = async |key: &str| -> Option<(Option<String>, i64)> {
        let read = "select value, version from state where key = $1";
        let row = place.db.query_opt(read, &[&key]).await.unwrap();
        row.map(|row| (row.get("value"), row.get("version")))
    };
    until(async || value("over").await == Some((None, 5)) && value("long ago").await.is_none())
        .await;
    let kept = Some((Some("1".to_owned()), 4));
    assert_eq!((value("lasts").await, value("kept").await), (kept.clone(), kept));
    assert_eq!(value("removed").await, Some((None, 4)), "nodes may not have heard of it");
    let floor: i64 = place.row("select state_floor from mesh", &[]).await.get(0);
    assert_eq!(floor, 4, "its versions are not given out again");
}
