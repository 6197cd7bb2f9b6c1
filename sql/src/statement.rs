//! The list of every SQL text, so that a test can prepare them all.

/// Declares a module's statements: constants, and `STATEMENTS`, which lists them by name.
macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident = $text:expr;)+) => {
        $($(#[$doc])* const $name: &str = $text;)+
        pub(crate) const STATEMENTS: &[(&str, &str)] =
            &[$((concat!(module_path!(), "::", stringify!($name)), $name)),+];
    };
}
pub(crate) use statements;

/// Every statement of the crate: its name and its text.
pub fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
    [
        crate::health::STATEMENTS,
        crate::invites::STATEMENTS,
        crate::members::STATEMENTS,
        crate::meshes::STATEMENTS,
        crate::nodes::STATEMENTS,
        crate::direct::STATEMENTS,
        crate::duties::STATEMENTS,
        crate::fence::STATEMENTS,
        crate::sweep::STATEMENTS,
        crate::sweep::departures::STATEMENTS,
        crate::sweep::expiry::STATEMENTS,
        crate::sweep::memory::STATEMENTS,
        crate::sweep::nodes::STATEMENTS,
        crate::schedules::STATEMENTS,
        crate::schedules::change::STATEMENTS,
        crate::schedules::log::STATEMENTS,
        crate::schedules::fire::STATEMENTS,
        crate::schedules::fire::alone::STATEMENTS,
        crate::schedules::fire::batch::STATEMENTS,
        crate::nonces::STATEMENTS,
        crate::partitions::STATEMENTS,
        crate::memory::STATEMENTS,
        crate::tasks::STATEMENTS,
        crate::tasks::claim::STATEMENTS,
        crate::tasks::change::STATEMENTS,
        crate::tasks::lapse::STATEMENTS,
        crate::tell::STATEMENTS,
        crate::store::STATEMENTS,
        crate::settle::STATEMENTS,
        crate::sessions::STATEMENTS,
        crate::serve::STATEMENTS,
        crate::presence::STATEMENTS,
        crate::messages::STATEMENTS,
        crate::attach::STATEMENTS,
        crate::audit::STATEMENTS,
        crate::audit::sent::STATEMENTS,
        crate::relay::STATEMENTS,
        crate::streams::STATEMENTS,
        crate::state::STATEMENTS,
        crate::sweep::state::STATEMENTS,
        crate::state::changes::STATEMENTS,
        crate::clock::STATEMENTS,
        crate::contexts::STATEMENTS,
        crate::skills::STATEMENTS,
        crate::watches::STATEMENTS,
        crate::watches::CHECKS,
        crate::watches::EVENTS,
        crate::webhooks::STATEMENTS,
        crate::api_keys::STATEMENTS,
    ]
    .into_iter()
    .flatten()
    .copied()
}
