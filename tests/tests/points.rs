//! The narrow places of the delivery protocol, one test each: an edge is held or killed exactly
//! there.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use skein_tests::{
    gate::Gate,
    peer::{Caps, Identity, Kind, Peer, Raw},
    place::{Place, Setup},
    proxy::Moment,
    record::{Class, Record, To},
    verdict,
};
use tokio::time::{sleep, timeout};

/// Long enough to say that something does not happen.
const WHILE: Duration = Duration::from_millis(500);
/// Sooner than a look, which comes every two seconds, finds anything but by chance.
const AT_ONCE: Duration = Duration::from_millis(700);
/// How often what should come at once is tried: chance does not help so often.
const ROUNDS: usize = 4;
/// Multicasts whose bodies one statement does not read.
const MORE_THAN_A_PAGE: usize = 70;
/// How long a COMMIT is waited for.
const COMMIT_PATIENCE: Duration = Duration::from_secs(10);

async fn place(edges: usize, fail: Vec<(usize, String)>) -> Place {
    Place::start(Setup { edges, workers: 0, fail, ..Setup::default() }).await
}

/// Somebody whom the mesh knows and who is away.
async fn away(place: &Place, index: usize, edge: usize) -> Identity {
    let identity = place.enrol(index, edge).await;
    drop(Raw::attach(&identity, Caps::Ours).await);
    gone(place, &identity).await;
    identity
}

/// Waits until a peer that left is attached nowhere.
async fn gone(place: &Place, identity: &Identity) {
    let key = identity.session.public.hex();
    let attached = format!(
        "select count(*) from presence p join session s on s.mailbox = p.session
          where s.key = '{key}'"
    );
    while place.count(&attached).await > 0 {
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recipient_that_attaches_after_it_was_resolved_is_told_at_once() {
    let gate = Gate::open();
    let place = place(2, vec![(0, gate.at("store.resolved"))]).await;
    let mut ann = Raw::attach(&place.enrol(0, 0).await, Caps::Ours).await;
    for round in 0..ROUNDS {
        let bob = away(&place, 1 + round, 1).await;
        gate.close();

        ann.say(&format!("id-{round}"), &bob.session.public.hex(), "hi").await;
        gate.hit().await;
        let mut bob = Raw::attach(&bob, Caps::Ours).await;
        gate.let_go();
        let since = Instant::now();

        assert_eq!(bob.message().await.0, "hi");
        assert!(since.elapsed() < AT_ONCE, "only a look found it: {:?}", since.elapsed());
    }
    place.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_moves_waits_for_what_its_old_edge_is_storing() {
    let gate = Gate::shut();
    let place = place(2, vec![(0, gate.at("store.resolved"))]).await;
    let (ann, bob) = (place.enrol(0, 0).await, place.enrol(1, 1).await);
    let mut bob = Raw::attach(&bob, Caps::Ours).await;
    let mut old_ann = Raw::attach(&ann, Caps::Old).await;

    old_ann.say("c1", &bob.key(), "first").await;
    gate.hit().await;
    let (to, edge) = (bob.key(), place.edges[1].url());
    let moved = tokio::spawn(async move {
        let mut ann = Raw::attach_to(&edge, &ann, Caps::Old).await;
        ann.tell("c2", &to, "second").await;
    });
    sleep(WHILE).await;
    let overtook = moved.is_finished();
    gate.let_go();
    moved.await.unwrap();

    assert!(!overtook, "the hello has to wait");
    assert_eq!(bob.texts(2).await, ["first", "second"]);
    place.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_skipped_at_the_old_edge_is_stored_when_it_is_repeated_at_the_new() {
    let gate = Gate::shut();
    let place = place(2, vec![(0, gate.at("store.before"))]).await;
    let (ann, bob) = (place.enrol(0, 0).await, place.enrol(1, 1).await);
    let mut bob = Raw::attach(&bob, Caps::Ours).await;
    let mut carl = Raw::attach(&place.enrol(2, 0).await, Caps::Ours).await;
    let id = "5f".repeat(16);

    let mut old_ann = Raw::attach(&ann, Caps::Ours).await;
    old_ann.say(&id, &bob.key(), "first").await;
    gate.hit().await;
    let mut new_ann = Raw::attach_to(&place.edges[1].url(), &ann, Caps::Ours).await;
    gate.let_go();
    // The old edge has passed it once it has stored what came after.
    carl.tell("carl-1", &bob.key(), "from carl").await;
    new_ann.tell(&id, &bob.key(), "first").await;
    new_ann.tell("ann-2", &bob.key(), "second").await;

    let mut texts = bob.texts(3).await;
    texts.retain(|text| text != "from carl");
    assert_eq!(texts, ["first", "second"]);
    assert!(bob.texts_within(WHILE).await.is_empty());
    place.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_send_that_is_skipped_does_not_have_its_repeat_in_the_same_batch_skipped() {
    let gate = Gate::shut();
    let place = place(2, vec![(0, gate.at("store.before"))]).await;
    let (ann, bob) = (place.enrol(0, 0).await, place.enrol(1, 1).await);
    let mut bob = Raw::attach(&bob, Caps::Ours).await;
    let mut carl = Raw::attach(&place.enrol(2, 0).await, Caps::Ours).await;
    let id = "5f".repeat(16);

    // While carl's batch is held, the next one gathers: ann's send, and its repeat over the next
    // attachment.
    carl.say("carl-1", &bob.key(), "from carl").await;
    gate.hit().await;
    let mut old_ann = Raw::attach(&ann, Caps::Ours).await;
    old_ann.say(&id, &bob.key(), "first").await;
    old_ann.read_so_far().await;
    let mut new_ann = Raw::attach(&ann, Caps::Ours).await;
    new_ann.say(&id, &bob.key(), "first").await;
    new_ann.say("ann-2", &bob.key(), "second").await;
    new_ann.read_so_far().await;
    gate.let_go();

    new_ann.outcome(&id).await.expect("the repeat is stored");
    new_ann.outcome("ann-2").await.expect("what follows is stored");
    let mut texts = bob.texts(3).await;
    texts.retain(|text| text != "from carl");
    assert_eq!(texts, ["first", "second"]);
    place.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_send_leaves_nothing_that_a_repeat_could_be_taken_for() {
    let place = place(1, Vec::new()).await;
    let mut ann = Raw::attach(&place.enrol(0, 0).await, Caps::Ours).await;
    let bob = place.enrol(1, 0).await;
    let (to, id) = (bob.session.public.hex(), "5f".repeat(16));

    ann.say(&id, &to, "hi").await;
    let refused = ann.outcome(&id).await;
    let mut bob = Raw::attach(&bob, Caps::Ours).await;
    ann.tell(&id, &to, "hi").await;

    assert_eq!(refused, Err("unknown_target".to_owned()));
    assert_eq!(bob.message().await.0, "hi");
    place.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_finds_what_an_edge_stored_and_died_before_telling() {
    let gate = Gate::shut();
    let fail = format!("{},tell.before=kill", gate.at("store.resolved"));
    let mut place = place(2, vec![(0, fail)]).await;
    let mut ann = Raw::attach(&place.enrol(0, 0).await, Caps::Ours).await;
    let bob = away(&place, 1, 1).await;

    ann.say("1", &bob.session.public.hex(), "hi").await;
    gate.hit().await;
    let mut bob = Raw::attach(&bob, Caps::Ours).await;
    gate.let_go();
    let ended = place.edges[0].program().ended_within(Duration::from_secs(10)).await;

    assert!(ended.is_some(), "the edge died before it told anybody");
    assert_eq!(bob.message().await.0, "hi");
    place.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_follows_from_the_next_edge_waits_for_what_was_never_told() {
    let mut place = place(2, vec![(0, "tell.before=kill".into())]).await;
    let (ann, bob) = (place.enrol(0, 0).await, place.enrol(1, 1).await);
    let mut bob = Raw::attach(&bob, Caps::Ours).await;
    let mut at_first = Raw::attach(&ann, Caps::Old).await;

    at_first.say("c1", &bob.key(), "first").await;
    let ended = place.edges[0].program().ended_within(Duration::from_secs(10)).await;
    let mut at_second = Raw::attach_to(&place.edges[1].url(), &ann, Caps::Old).await;
    at_second.tell("c2", &bob.key(), "second").await;

    assert!(ended.is_some(), "the edge died before it told anybody");
    assert_eq!(bob.texts(2).await, ["first", "second"]);
    place.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_lost_notification_announced_is_found() {
    let place = place(2, Vec::new()).await;
    let mut ann = Raw::attach(&place.enrol(0, 0).await, Caps::Ours).await;
    let mut bob = Raw::attach(&place.enrol(1, 1).await, Caps::Ours).await;
    place.proxy.deafen();

    ann.tell("1", &bob.key(), "to bob").await;
    let direct = bob.message().await.0;
    ann.tell("2", "*", "to all").await;

    assert_eq!((direct.as_str(), bob.message().await.0.as_str()), ("to bob", "to all"));
    assert!(place.proxy.swallowed() > 0, "it was announced");
    place.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_that_was_told_and_died_before_pushing_loses_nothing() {
    // The first page is the one of attaching.
    let mut place = place(2, vec![(1, "push.before=kill@2".into())]).await;
    let mut ann = Raw::attach(&place.enrol(0, 0).await, Caps::Ours).await;
    let identity = place.enrol(1, 1).await;
    let bob = Raw::attach(&identity, Caps::Ours).await;

    ann.tell("1", &bob.key(), "hi").await;
    let ended = place.edges[1].program().ended_within(Duration::from_secs(10)).await;
    let mut bob = Raw::attach_to(&place.edges[0].url(), &identity, Caps::Ours).await;

    assert!(ended.is_some(), "the edge died before it pushed");
    assert_eq!(bob.message().await.0, "hi");
    place.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_commits_behind_a_later_one_is_pushed() {
    let gate = Gate::shut();
    let place = place(2, vec![(0, gate.at("store.resolved"))]).await;
    let mut slow = Raw::attach(&place.enrol(0, 0).await, Caps::Ours).await;
    let mut fast = Raw::attach(&place.enrol(1, 1).await, Caps::Ours).await;
    let mut bob = Raw::attach(&place.enrol(2, 1).await, Caps::Ours).await;

    slow.say("1", &bob.key(), "lower").await;
    gate.hit().await;
    fast.tell("1", &bob.key(), "higher").await;
    let (first, id) = bob.message().await;
    bob.received(&[&id]).await;
    gate.let_go();

    assert_eq!((first.as_str(), bob.message().await.0.as_str()), ("higher", "lower"));
    place.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_while_a_hello_commits_is_on_its_first_page() {
    let gate = Gate::open();
    let place = place(2, vec![(1, gate.at("attach.before_commit"))]).await;
    let mut ann = Raw::attach(&place.enrol(0, 0).await, Caps::Ours).await;
    for round in 0..ROUNDS {
        let bob = away(&place, 1 + round, 1).await;
        gate.close();

        let mut bob = Raw::say_hello(&bob.edges[0].clone(), &bob, Caps::Ours).await;
        gate.hit().await;
        ann.tell(&format!("id-{round}"), &bob.key(), "hi").await;
        // The sender's edge has told nobody by now: there was nobody to tell.
        ann.sync().await;
        sleep(Duration::from_millis(100)).await;
        gate.let_go();
        let since = Instant::now();

        assert_eq!(bob.message().await.0, "hi");
        assert!(since.elapsed() < AT_ONCE, "only a look found it: {:?}", since.elapsed());
    }
    place.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_between_attaching_and_reading_is_pushed_once() {
    let gate = Gate::open();
    let place = place(2, vec![(1, gate.at("attach.before_read"))]).await;
    let mut ann = Raw::attach(&place.enrol(0, 0).await, Caps::Ours).await;
    let bob = away(&place, 1, 1).await;
    gate.close();

    let mut bob = Raw::say_hello(&bob.edges[0].clone(), &bob, Caps::Ours).await;
    gate.hit().await;
    ann.tell("1", &bob.key(), "hi").await;
    ann.sync().await;
    gate.let_go();

    assert_eq!(bob.message().await.0, "hi");
    assert!(bob.texts_within(Duration::from_secs(3)).await.is_empty(), "not again by a look");
    place.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_and_not_received_is_sent_again() {
    let place = place(2, Vec::new()).await;
    let mut ann = Raw::attach(&place.enrol(0, 0).await, Caps::Ours).await;
    let identity = place.enrol(1, 1).await;
    let mut bob = Raw::attach(&identity, Caps::Ours).await;

    ann.tell("1", &bob.key(), "hi").await;
    let first = bob.message().await;
    sleep(WHILE).await;
    drop(bob);
    let mut bob = Raw::attach(&identity, Caps::Ours).await;

    assert_eq!(bob.message().await, first);
    place.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_settle_that_comes_after_a_move_ends_the_repeats() {
    let gate = Gate::shut();
    let place = place(2, vec![(0, gate.at("settle.before"))]).await;
    let mut ann = Raw::attach(&place.enrol(0, 1).await, Caps::Ours).await;
    let identity = place.enrol(1, 0).await;
    let mut bob = Raw::attach(&identity, Caps::Ours).await;

    ann.tell("1", &bob.key(), "hi").await;
    let first = bob.message().await;
    bob.received(&[&first.1]).await;
    gate.hit().await;
    let mut bob = Raw::attach_to(&place.edges[1].url(), &identity, Caps::Ours).await;
    let again = bob.message().await;
    gate.let_go();
    bob.received(&[&again.1]).await;
    ann.tell("2", &bob.key(), "ho").await;
    let (next, id) = bob.message().await;
    bob.received(&[&id]).await;
    sleep(WHILE).await;
    drop(bob);
    let mut bob = Raw::attach(&identity, Caps::Ours).await;

    assert_eq!((again, next.as_str()), (first, "ho"));
    assert!(bob.texts_within(WHILE).await.is_empty(), "both are settled");
    place.stop().await;
}

/// Cuts the connection around a COMMIT and returns what the recipient then sees within a while.
async fn cut_at_commit(at: Moment, is_crash: bool) -> Vec<String> {
    let mut place = place(1, Vec::new()).await;
    let mut ann = Raw::attach(&place.enrol(0, 0).await, Caps::Old).await;
    let mut bob = Raw::attach(&place.enrol(1, 0).await, Caps::Ours).await;

    let to = bob.key();
    let held = place.proxy.hold_commit(at, COMMIT_PATIENCE);
    let (is_held, ()) = tokio::join!(held, ann.say("c1", &to, "hi"));
    assert!(is_held, "the writer commits");
    if is_crash {
        place.server.restart_immediate().await.expect("PostgreSQL starts again");
    }
    place.proxy.cut_all();
    ann.outcome("c1").await.expect("it is acknowledged once it is stored");

    let mut texts = bob.texts(1).await;
    texts.extend(bob.texts_within(WHILE).await);
    place.stop().await;
    texts
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_is_lost_is_not_made_again() {
    assert_eq!(cut_at_commit(Moment::AfterServer, false).await, ["hi"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_never_arrives_is_made_again() {
    assert_eq!(cut_at_commit(Moment::BeforeServer, false).await, ["hi"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_took_effect_before_a_crash_is_not_made_again() {
    assert_eq!(cut_at_commit(Moment::AfterServer, true).await, ["hi"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_a_crash_took_back_is_made_again() {
    assert_eq!(cut_at_commit(Moment::BeforeServer, true).await, ["hi"]);
}

/// Peers of our client, one on each edge in turn, and what they write down.
async fn clients(place: &Place, n: usize) -> (Vec<Peer>, Arc<Record>) {
    let mut identities = Vec::new();
    for index in 0..n {
        identities.push(place.enrol(index, index).await);
    }
    let keys = Arc::new(identities.iter().map(|who| who.session.public).collect::<Vec<_>>());
    let record = Arc::new(Record::default());
    let start =
        |who| Peer::start(Kind::Ours, who, keys.clone(), record.clone(), place.folder.path());
    let peers = identities.into_iter().map(start).collect();
    until(|| record.attachments().len() == n).await;
    (peers, record)
}

async fn until(mut happened: impl FnMut() -> bool) {
    let happens = async {
        while !happened() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(60), happens).await.expect("it happens in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_is_not_shown_again_by_our_client() {
    let gate = Gate::shut();
    let place = place(2, vec![(0, gate.at("settle.before"))]).await;
    let (peers, record) = clients(&place, 2).await;

    peers[1].send(To::Peer(0), Class::Rest).await;
    gate.hit().await;
    peers[0].move_to(&place.edges[1].url()).await;
    until(|| record.attachments().len() == 3).await;
    // The edge sends again what it does not know to be received, and this comes behind it.
    peers[1].send(To::Peer(0), Class::Rest).await;
    until(|| verdict::is_complete(&record, &[Kind::Ours; 2])).await;
    gate.let_go();

    let verdict = verdict::judge(&record, &[Kind::Ours; 2]);
    assert!(verdict.is_good(), "{:?}", verdict.findings);
    drop(peers);
    place.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_pushed_as_announced_comes_once_and_in_order() {
    const EACH: usize = 1000;
    let kinds = [Kind::Ours; 4];
    let place = place(2, Vec::new()).await;
    let (peers, record) = clients(&place, kinds.len()).await;
    age(&place).await;

    let talk = |me: usize| {
        let peers = &peers;
        async move {
            for n in 0..EACH {
                let class = if n % 4 == 0 { Class::Now } else { Class::Rest };
                peers[me].send(To::Peer((me + 1 + n % 3) % 4), class).await;
                if n % 20 == 0 {
                    peers[me].send(To::All, Class::Multicast).await;
                }
            }
        }
    };
    tokio::join!(talk(0), talk(1), talk(2), talk(3));
    until(|| verdict::is_complete(&record, &kinds)).await;

    let verdict = verdict::judge(&record, &kinds);
    assert!(verdict.is_good(), "{:?}", verdict.findings);
    drop(peers);
    place.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn multicasts_of_before_an_old_peer_came_do_not_come_behind_later_ones() {
    let place = place(2, Vec::new()).await;
    let mut ann = Raw::attach(&place.enrol(0, 0).await, Caps::Ours).await;
    let bob = place.enrol(1, 1).await;
    let mut first = Raw::attach(&bob, Caps::Old).await;
    ann.tell("0", "*", "so that the edge knows the writer").await;
    first.message().await;
    drop(first);
    gone(&place, &bob).await;
    age(&place).await;

    ann.tell("1", "*", "before").await;
    let mut bob = Raw::attach(&bob, Caps::Old).await;
    ann.tell("2", "*", "after").await;

    let came = bob.texts_within(Duration::from_secs(5)).await;
    assert_eq!(came.last().map(String::as_str), Some("after"), "{came:?}");
    place.stop().await;
}

/// As if everybody had been here for a while: nothing that they send is fresh.
async fn age(place: &Place) {
    let age = "update presence set attached_at = attached_at - interval '5 minutes'";
    place.db().await.execute(age, &[]).await.expect("the database serves");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gap_brings_a_new_session_no_multicast_of_before_it_came() {
    let gate = Gate::shut();
    let place = place(2, vec![(0, gate.at("tell.before"))]).await;
    let mut ann = Raw::attach(&place.enrol(0, 0).await, Caps::Ours).await;
    let mut carl = Raw::attach(&place.enrol(1, 1).await, Caps::Old).await;

    ann.tell("ann-1", "*", "before").await;
    gate.hit().await;
    let mut bob = Raw::attach(&place.enrol(2, 1).await, Caps::Old).await;
    let url = place.edges[1].url();
    let gap = format!("select pg_notify('node_' || max(id), '?') from node where url = '{url}'");
    place.db().await.execute(&gap, &[]).await.expect("the database serves");

    assert_eq!(carl.message().await.0, "before");
    gate.let_go();
    ann.tell("ann-2", "*", "after").await;
    assert_eq!(carl.message().await.0, "after");
    assert_eq!(bob.message().await.0, "after");
    assert!(bob.texts_within(WHILE).await.is_empty());
    place.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_of_many_pages_keeps_the_order_of_what_commits_between_them() {
    let (storing, arriving, reading) = (Gate::shut(), Gate::open(), Gate::open());
    let of_reader = format!("{},{}", arriving.at("attach.before_read"), reading.at("log.page"));
    let place = place(2, vec![(0, of_reader), (1, storing.at("store.resolved"))]).await;
    let mut ann = Raw::attach(&place.enrol(0, 1).await, Caps::Ours).await;
    let mut carl = Raw::attach(&place.enrol(1, 0).await, Caps::Ours).await;
    let mut bob = Raw::attach(&place.enrol(2, 0).await, Caps::Old).await;
    let dora = place.enrol(3, 0).await;

    // Its number is lower than those of carl, and it is not committed yet.
    ann.say("ann-1", "*", "first").await;
    storing.hit().await;
    // While the reader stands, more gathers than one statement reads.
    arriving.close();
    let _dora = Raw::say_hello(&place.edges[0].url(), &dora, Caps::Old).await;
    arriving.hit().await;
    for n in 0..MORE_THAN_A_PAGE {
        carl.say(&format!("carl-{n}"), "*", "from carl").await;
    }
    for n in 0..MORE_THAN_A_PAGE {
        carl.outcome(&format!("carl-{n}")).await.expect("it is stored");
    }
    reading.close();
    arriving.let_go();
    reading.hit().await;
    storing.let_go();
    ann.outcome("ann-1").await.expect("it is stored");
    ann.tell("ann-2", "*", "second").await;
    reading.let_go();

    let mut texts = bob.texts(MORE_THAN_A_PAGE + 2).await;
    texts.retain(|text| text != "from carl");
    assert_eq!(texts, ["first", "second"]);
    place.stop().await;
}
