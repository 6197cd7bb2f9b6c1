//! Nonces: each is new once, on whichever connection.

use skein_sql::nonces;

use crate::place::Place;

#[tokio::test]
async fn a_nonce_is_new_once() {
    let place = Place::new().await;
    let other = place.connect().await;

    assert!(nonces::take(&place.db, b"one").await.unwrap());
    assert!(!nonces::take(&other, b"one").await.unwrap());
    assert!(nonces::take(&other, b"two").await.unwrap());
}

#[tokio::test]
async fn a_batch_answers_each_nonce_and_the_first_of_equal_ones_is_new() {
    let place = Place::new().await;
    nonces::take(&place.db, b"old").await.unwrap();
    let batch = [&b"b"[..], b"old", b"a", b"b"].map(<[u8]>::to_vec);

    let is_new = nonces::take_all(&place.db, &batch).await.unwrap();

    assert_eq!(is_new, [true, false, true, false]);
    assert_eq!(nonces::take_all(&place.db, &[]).await.unwrap(), [] as [bool; 0]);
}

#[tokio::test]
async fn of_two_batches_at_once_each_nonce_is_new_in_one() {
    let place = Place::new().await;
    let batch: Vec<_> = (0..200_u8).map(|n| vec![n]).collect();
    let reversed: Vec<_> = batch.iter().rev().cloned().collect();
    let (one, other) = (place.connect().await, place.connect().await);

    let (one, other) =
        tokio::join!(nonces::take_all(&one, &batch), nonces::take_all(&other, &reversed));

    let (one, other) = (one.unwrap(), other.unwrap());
    assert!(one.iter().zip(other.iter().rev()).all(|(one, other)| one != other));
}

#[tokio::test]
async fn what_is_older_than_the_memory_is_forgotten() {
    let place = Place::new().await;
    nonces::take_all(&place.db, &[b"old".to_vec(), b"young".to_vec()]).await.unwrap();
    place
        .run(
            "update nonce_seen set at = now() - interval '121 s' where nonce = $1",
            &[&&b"old"[..]],
        )
        .await;

    assert_eq!(nonces::sweep(&place.db).await.unwrap(), 1);

    assert!(nonces::take(&place.db, b"old").await.unwrap());
    assert!(!nonces::take(&place.db, b"young").await.unwrap());
}
