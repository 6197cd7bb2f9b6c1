//! What is promised of fetching: hostile URLs and hostile answers are refused or bounded, each with
//! its reason, and nothing private is contacted.
//!
//! Real sockets on loopback. A [`site::Site`] plays the public internet, by being what the guard
//! allows; a [`site::Trap`] plays what must not be reached, and counts who comes.

#![allow(clippy::unwrap_used, reason = "a helper of tests may panic as they do")]

mod answers;
mod anything;
mod conditions;
mod headers;
mod names;
mod redirects;
mod site;
mod slow;
mod tls;
mod turns;
mod urls;
mod values;
