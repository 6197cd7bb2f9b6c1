//! Requests to URLs that peers chose.
//!
//! Whoever may name a URL that a server fetches can make the server reach what only it can reach.
//! So every such request goes through a [`Guard`]: the URL is read strictly, the address behind it
//! is vetted after it was resolved and is the one that is connected to, and so at every redirect.
//! What is refused is [`Refused`] with a reason that its user can act on. Operators allow ranges of
//! a private deployment with `SKEIN_FETCH_ALLOW` ([`Allow`]). What the operator's own configuration
//! names is not fetched through here.
//!
//! A [`Fetcher`] makes one bounded request ([`Fetcher::get`]): in time, in size, at once and a
//! second for each host, and with a share for each member. [`value::of`] says what of an answer is
//! compared.

mod address;
mod allow;
mod body;
mod clients;
mod error;
mod exchange;
mod fetcher;
mod guard;
mod hosts;
mod lookups;
pub mod outcome;
mod refused;
mod resolver;
mod shares;
mod time;
mod tls;
pub mod value;

pub use address::Kind;
pub use allow::{Allow, AllowError, VARIABLE};
pub use error::FetchError;
pub use exchange::{Request, Response};
pub use fetcher::Fetcher;
pub use guard::Guard;
pub use refused::Refused;
pub use resolver::{Resolve, Resolving, System};
