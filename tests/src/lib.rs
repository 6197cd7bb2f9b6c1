//! The delivery protocol under fire.
//!
//! A [`place::Place`] is a whole deployment of real processes: a private PostgreSQL behind a
//! [`proxy`] that can misbehave, edges and workers that can be killed and paused. [`peer`]s talk
//! through it and write down what they saw in a [`record`]; [`verdict`] reads nothing else. A
//! [`fire`] is one run of traffic and faults, void unless it had the faults that it is about.
//! [`duties`] is another, of schedules and clocks while workers die.
//!
//! These functions panic when the deployment cannot be brought up, as tests do.

pub mod duties;
pub mod fire;
pub mod gate;
pub mod peer;
pub mod place;
pub mod program;
pub mod proxy;
pub mod record;
pub mod verdict;
pub mod web;
