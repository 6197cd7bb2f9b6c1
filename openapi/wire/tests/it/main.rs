//! What the socket messages promise: recorded frames hold their names and shapes still, nothing a
//! peer can send breaks the decoder, and every refusal says what is wrong.

#![allow(clippy::unwrap_used, reason = "what helps a test is one")]

mod cron;
mod decoder;
mod envelope;
mod fields;
mod frames;
mod golden;
mod limits;
mod registry;
mod words;
