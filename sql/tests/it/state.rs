//! State: what is kept, who is first, and what is asked for by transaction.

use skein_sql::{
    Db, Pool, Settings,
    state::{
        self, Author, Outcome, Set,
        changes::{self, Subject},
    },
    sweep,
};
use skein_wire::limit;

use crate::place::{Place, until};

const NOBODY: Author<'static> =
    Author { session: 0, attach_no: 0, member: 0, name: Some("the test") };

fn put<'a>(key: &'a str, value: &'a str) -> Set<'a> {
    Set { key, value, if_version: None, ttl_s: None }
}

fn pool(place: &Place) -> Pool {
    place.connector.pool(Settings::Ordinary, 8).unwrap()
}

async fn set(db: &mut Db, mesh: i64, set: &Set<'_>) -> Outcome {
    state::set(db, mesh, &NOBODY, set).await.unwrap()
}

fn version(outcome: Outcome) -> i64 {
    match outcome {
        Outcome::Done(change) => change.version,
        other => panic!("not done: {other:?}"),
    }
}

async fn end(place: &Place, key: &str) {
    let text = "update state set expires_at = now() - interval '1 s' where key = $1";
    place.run(text, &[&key]).await;
}

#[tokio::test]
async fn versions_go_on_over_removal_expiry_and_forgetting() {
    let place = Place::new().await;
    let (mesh, _) = place.mesh("a").await;
    let mut db = pool(&place).get().await.unwrap();

    assert_eq!(version(set(&mut db, mesh, &put("k", "1")).await), 1);
    assert_eq!(version(set(&mut db, mesh, &put("k", "2")).await), 2);
    assert_eq!(version(state::remove(&db, mesh, &NOBODY, "k", Some(2)).await.unwrap()), 3);
    assert_eq!(state::get(&db, mesh, "k").await.unwrap(), None);
    let brief = Set { ttl_s: Some(1), ..put("k", "3") };
    assert_eq!(version(set(&mut db, mesh, &brief).await), 4);
    end(&place, "k").await;
    assert_eq!(state::get(&db, mesh, "k").await.unwrap(), None, "it is over before it is swept");
    assert_eq!(sweep::state::expire(&place.db).await.unwrap(), 1);
    assert_eq!(sweep::state::expire(&place.db).await.unwrap(), 0);
    let age = limit::STATE_REMOVED_AGE_MAX;
    assert_eq!(sweep::state::forget(&place.db, age).await.unwrap(), 0, "it is not old enough");
    place.run("update state set updated_at = now() - interval '2 days'", &[]).await;
    assert_eq!(sweep::state::forget(&place.db, age).await.unwrap(), 1);
    assert_eq!(place.count("select count(*) from state").await, 0);

    assert_eq!(version(set(&mut db, mesh, &put("k", "4")).await), 6);
    assert_eq!(version(set(&mut db, mesh, &put("other", "4")).await), 6);
}

#[tokio::test]
async fn a_key_that_is_set_again_is_not_what_its_time_ended() {
    let place = Place::new().await;
    let (mesh, _) = place.mesh("a").await;
    let mut db = pool(&place).get().await.unwrap();
    let brief = Set { ttl_s: Some(60), ..put("k", "1") };
    set(&mut db, mesh, &brief).await;
    end(&place, "k").await;

    let again = Set { if_version: Some(0), ..put("k", "2") };
    assert_eq!(version(set(&mut db, mesh, &again).await), 2, "what is over is not there");

    assert_eq!(sweep::state::expire(&place.db).await.unwrap(), 0);
    let entry = state::get(&db, mesh, "k").await.unwrap().unwrap();
    assert_eq!((entry.value.get(), entry.expires_at), ("2", None));
}

#[tokio::test]
async fn of_many_who_compare_and_set_one_wins_each_version() {
    const WRITERS: usize = 8;
    const ROUNDS: u64 = 20;
    let place = Place::new().await;
    let (mesh, _) = place.mesh("a").await;
    let pool = pool(&place);

    for round in 0..ROUNDS {
        let writers = (0..WRITERS).map(|writer| {
            let pool = pool.clone();
            tokio::spawn(async move {
                let mut db = pool.get().await.unwrap();
                let value = writer.to_string();
                let cas = Set { if_version: Some(round), ..put("k", &value) };
                match set(&mut db, mesh, &cas).await {
                    Outcome::Done(change) => Some(change.version),
                    Outcome::Differs(current) => {
                        assert_eq!(current.unwrap().version, Some(round + 1));
                        None
                    }
                    other => panic!("{other:?}"),
                }
            })
        });
        let mut won = Vec::new();
        for writer in writers.collect::<Vec<_>>() {
            won.extend(writer.await.unwrap());
        }
        assert_eq!(won, [i64::try_from(round + 1).unwrap()]);
    }
}

#[tokio::test]
async fn the_bound_on_keys_holds_when_many_begin_keys_at_once() {
    let place = Place::new().await;
    let (mesh, _) = place.mesh("a").await;
    let (other, _) = place.mesh("b").await;
    let room = 3;
    let text = "insert into state (mesh, key, value, version, updated_by, updated_at, xid)
                select $1, 'k' || n, '1', 1, 'x', now(), pg_current_xact_id()
                  from generate_series(1, $2) as n";
    let n = i32::try_from(limit::STATE_KEYS_MAX).unwrap() - room;
    place.run(text, &[&mesh, &n]).await;
    let pool = pool(&place);

    let writers = (0..8).map(|writer| {
        let pool = pool.clone();
        tokio::spawn(async move {
            let key = format!("new {writer}");
            match set(&mut pool.get().await.unwrap(), mesh, &put(&key, "1")).await {
                Outcome::Done(_) => 1,
                Outcome::Full(n) => {
                    assert_eq!(n, limit::STATE_KEYS_MAX.unsigned_abs());
                    0
                }
                other => panic!("{other:?}"),
            }
        })
    });
    let mut n_made = 0;
    for writer in writers.collect::<Vec<_>>() {
        n_made += writer.await.unwrap();
    }

    assert_eq!(n_made, room);
    let mut db = pool.get().await.unwrap();
    version(set(&mut db, mesh, &put("k1", "2")).await);
    version(set(&mut db, other, &put("k", "1")).await);
    version(state::remove(&db, mesh, &NOBODY, "k2", None).await.unwrap());
    version(set(&mut db, mesh, &put("one more", "1")).await);
}

#[tokio::test]
async fn what_changed_is_found_by_transaction_and_of_its_mesh_only() {
    let place = Place::new().await;
    let ((mesh, _), (other, _)) = (place.mesh("a").await, place.mesh("b").await);
    let mut db = pool(&place).get().await.unwrap();
    let Outcome::Done(before) = set(&mut db, mesh, &put("before", "1")).await else { panic!() };
    // The horizon waits for every transaction of the server, those of other tests too.
    let mut since = 0;
    until(async || {
        since = skein_sql::serve::horizon(&db).await.unwrap();
        since > before.xid
    })
    .await;
    for key in ["set", "removed"] {
        set(&mut db, mesh, &put(key, "1")).await;
    }
    set(&mut db, mesh, &put("set", "2")).await;
    state::remove(&db, mesh, &NOBODY, "removed", None).await.unwrap();
    set(&mut db, other, &put("foreign", "1")).await;

    let mut found = changes::since(&db, &[mesh], since).await.unwrap();

    found.sort_unstable_by_key(|head| format!("{:?}", head.subject));
    let found: Vec<(Subject, i64)> = found.into_iter().map(|h| (h.subject, h.version)).collect();
    let expected = [(Subject::state(mesh, "removed"), 2), (Subject::state(mesh, "set"), 2)];
    assert_eq!(found, expected);
    let mut whole = changes::read(&db, &expected.map(|(subject, _)| subject)).await.unwrap();
    whole.sort_unstable_by(|a, b| a.key.cmp(&b.key));
    let whole: Vec<_> = whole.iter().map(|c| (c.version, c.value.as_deref())).collect();
    assert_eq!(whole, [(2, None), (2, Some("2"))]);
}

#[tokio::test]
async fn a_list_has_as_much_as_fits_and_goes_on_where_it_ended() {
    let place = Place::new().await;
    let (mesh, _) = place.mesh("a").await;
    let (foreign, _) = place.mesh("b").await;
    let mut db = pool(&place).get().await.unwrap();
    let large = format!("\"{}\"", "x".repeat(limit::STATE_VALUE_BYTES_MAX - 2));
    let n_fit = limit::LIST_BYTES_MAX / limit::STATE_VALUE_BYTES_MAX;
    for n in 0..=n_fit {
        set(&mut db, mesh, &put(&format!("k{n:02}"), &large)).await;
    }
    for key in ["K", "_", "ä"] {
        set(&mut db, mesh, &put(key, "1")).await;
    }
    set(&mut db, foreign, &put("k00", "1")).await;

    let (mut keys, mut after) = (Vec::new(), String::new());
    loop {
        let (entries, more) = state::list(&db, mesh, "", &after).await.unwrap();
        let n_bytes: usize = entries.iter().map(|entry| entry.value.get().len()).sum();
        assert!(n_bytes <= limit::LIST_BYTES_MAX);
        keys.extend(entries.into_iter().map(|entry| entry.key));
        after.clone_from(keys.last().unwrap());
        if !more {
            break;
        }
    }

    let mut sorted = keys.clone();
    sorted.sort_unstable();
    assert_eq!((keys.len(), &keys), (n_fit + 4, &sorted), "in the order of their bytes");
    let (some, more) = state::list(&db, mesh, "k0", "k07").await.unwrap();
    let some: Vec<_> = some.iter().map(|entry| entry.key.as_str()).collect();
    assert_eq!((some, more), (vec!["k08", "k09"], false));
}
