//! Tasks whose lease has ended, or whose holder is gone, are open again soon.

use crate::place::{Place, until};

/// A task of mesh `m` that the session of this name holds, by a lease of so many seconds.
async fn held(place: &Place, title: &str, session: &str, lease_s: f64) {
    let insert = "
        insert into task (id, mesh, title, priority, tags, created_by, status, claimed_by,
                          claimed_session, claimed_at, leased_until)
        select $1, s.mesh, $1, 'normal', '{}', s.member, 'claimed', s.member, s.key, now(),
               now() + make_interval(secs => $3)
          from session s
         where s.display_name = $2";
    assert_eq!(place.run(insert, &[&title, &session, &lease_s]).await, 1);
}

async fn status(place: &Place, title: &str) -> String {
    place.row("select status from task where title = $1", &[&title]).await.get(0)
}

#[tokio::test]
async fn a_lease_that_ended_or_lost_its_holder_is_over_and_others_are_not() {
    let place = Place::new().await;
    let node = place.node("edge").await;
    for name in ["ann", "bob"] {
        place.session(name, node).await;
    }
    held(&place, "ended", "ann", -1.0).await;
    held(&place, "held", "ann", 600.0).await;
    held(&place, "left", "bob", 600.0).await;
    held(&place, "old", "bob", 600.0).await;
    place.run("update task set leased_until = null where title = 'old'", &[]).await;

    let worker = place.worker();
    until(async || status(&place, "ended").await == "open").await;
    assert_eq!(status(&place, "left").await, "claimed");
    place
        .run(
            "delete from presence p using session s
                where s.mailbox = p.session and s.display_name = 'bob'",
            &[],
        )
        .await;
    place.run("update session set depart_at = now() where display_name = 'bob'", &[]).await;
    until(async || status(&place, "left").await == "open").await;

    assert_eq!(
        (status(&place, "held").await, status(&place, "old").await),
        ("claimed".into(), "claimed".into())
    );
    worker.stop().await;
}
