//! Every variant of a run under fire, in the size of a test. `./dev soak` makes larger ones.

use skein_tests::fire::{Plan, Variant, run, seed};

/// Messages of a run.
const MESSAGES: u64 = 5000;

/// For test runners that run the tests of a program beside each other.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Runs in a row that may be void: without the faults that they are about, they prove nothing.
const VOID_MAX: u64 = 2;

async fn holds(variant: Variant) {
    let _alone = ALONE.lock().await;
    for n_void in 0.. {
        let plan = Plan { variant, messages: MESSAGES, seed: seed().wrapping_add(n_void) };
        let report = run(plan).await;
        assert!(report.findings.is_empty(), "{report}");
        if report.is_good() {
            return;
        }
        assert!(n_void < VOID_MAX, "{report}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_of_ours_see_every_message_once_and_in_order() {
    holds(Variant::Ours).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn old_peers_see_every_message_and_repeats_under_the_same_id() {
    holds(Variant::Old).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn old_and_new_peers_talk_to_each_other() {
    holds(Variant::Mixed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_holds_with_every_notification_lost() {
    holds(Variant::Deaf).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_holds_when_an_edge_is_paused_and_goes_on() {
    holds(Variant::Paused).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_holds_when_messages_are_pushed_as_announced() {
    holds(Variant::Aged).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_holds_while_everybody_moves() {
    holds(Variant::Moving).await;
}
