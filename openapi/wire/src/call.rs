//! The table of a capability's calls.

use serde::{Serialize, de::DeserializeOwned};

/// A message that a peer may send, and what answers it.
pub trait Call: Serialize + DeserializeOwned {
    /// The message's `type`.
    const TYPE: &'static str;
    /// The reply's struct; `()` where the contract answers nothing.
    type Reply;
}

/// Declares the calls of a capability: `"type" Struct => Reply`.
///
/// Makes the module's `Request` enum (one variant a call), its decoder, and pairs every struct with
/// its type and reply through [`Call`].
macro_rules! calls {
    ($name:ident { $($(#[$doc:meta])* $kind:literal $call:ident => $reply:ty,)+ }) => {
        #[doc = concat!("A message of this capability (", stringify!($name), ").")]
        #[allow(clippy::large_enum_variant, reason = "a request is read, served and gone")]
        #[derive(Debug, Clone)]
        pub enum Request {
            $($(#[$doc])* $call($call),)+
        }

        impl Request {
            /// Every `type` of this capability.
            pub const TYPES: &'static [&'static str] = &[$($kind),+];

            /// Reads `body` as the message of this `kind`; `None` when it is of no call here.
            pub fn decode(kind: &str, body: &str) -> Option<serde_json::Result<Self>> {
                match kind {
                    $($kind => Some(serde_json::from_str(body).map(Self::$call)),)+
                    _ => None,
                }
            }

            /// The message's `type`.
            pub fn kind(&self) -> &'static str {
                match self {
                    $(Self::$call(_) => $kind,)+
                }
            }
        }

        $(impl $crate::Call for $call {
            const TYPE: &'static str = $kind;
            type Reply = $reply;
        })+
    };
}
pub(crate) use calls;
