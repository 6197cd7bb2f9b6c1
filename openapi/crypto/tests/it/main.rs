//! What the byte formats promise: the vectors of `wire-protocol.md` section 5, and refusals.

mod direct;
mod invites;
mod ours;
mod vectors;

use skein_crypto::Keypair;

/// The vector keys: the pair of a seed of 32 equal bytes.
fn keys(byte: u8) -> Keypair {
    Keypair::from_seed(&[byte; 32])
}

/// The bytes 0, 1, 2 and so on.
fn counting<const N: usize>() -> [u8; N] {
    std::array::from_fn(|i| u8::try_from(i).expect("vectors are short"))
}
