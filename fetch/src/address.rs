//! What an address is: on the public internet, or what else.
//!
//! The list is of what may be fetched, not of what may not: of IPv6 that is the range of global
//! unicast, and of IPv4 all but what the registries set apart. Addresses that hold another one
//! (mapped, translated, tunnelled) are refused as such, whatever they hold: no public name needs
//! them, and who unpacks them differs.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{fmt, io};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use nix::ifaddrs::getifaddrs;
use tracing::warn;

/// How old what is known of the interfaces may be.
const INTERFACES_EVERY: Duration = Duration::from_secs(30);

/// What an address is that is not on the public internet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Of this machine, by its being no address at all: `0.0.0.0`.
    Unspecified,
    /// Of this machine: `127.0.0.1`.
    Loopback,
    /// Of this machine: one that a network interface has.
    Own,
    /// Of a private network.
    Private,
    /// Of one cable or one radio.
    LinkLocal,
    /// Of a carrier's own network.
    Shared,
    /// Where a cloud tells its machines their secrets.
    Metadata,
    /// Of many machines at once.
    Multicast,
    /// For texts only.
    Documentation,
    /// For measuring networks.
    Benchmark,
    /// Another address in disguise.
    Embedded,
    /// Set apart for protocols, or for later.
    Reserved,
}

impl Kind {
    /// The word for programs.
    pub fn code(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified_address",
            Self::Loopback => "loopback_address",
            Self::Own => "own_address",
            Self::Private => "private_address",
            Self::LinkLocal => "link_local_address",
            Self::Shared => "shared_address",
            Self::Metadata => "metadata_address",
            Self::Multicast => "multicast_address",
            Self::Documentation => "documentation_address",
            Self::Benchmark => "benchmark_address",
            Self::Embedded => "embedded_address",
            Self::Reserved => "reserved_address",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unspecified => "at the unspecified address",
            Self::Loopback => "at a loopback address",
            Self::Own => "at an address of this server itself",
            Self::Private => "at a private address",
            Self::LinkLocal => "at a link-local address",
            Self::Shared => "at an address of a carrier's network",
            Self::Metadata => "at the address of a cloud's metadata",
            Self::Multicast => "at a multicast address",
            Self::Documentation => "at an address for documentation",
            Self::Benchmark => "at an address for benchmarks",
            Self::Embedded => "at an address that holds another one",
            Self::Reserved => "at a reserved address",
        })
    }
}

const fn v4(a: u8, b: u8, c: u8, d: u8, length: u8) -> IpNet {
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length))
}

const fn v6(address: [u16; 8], length: u8) -> IpNet {
    let [a, b, c, d, e, f, g, h] = address;
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, e, f, g, h), length))
}

/// The addresses at which clouds tell their machines who they are, and with which keys. Some lie in
/// ranges that are otherwise public.
const METADATA: &[IpNet] = &[
    // Most clouds.
    v4(169, 254, 169, 254, 32),
    // Tasks and pods of Amazon.
    v4(169, 254, 170, 2, 32),
    v4(169, 254, 170, 23, 32),
    v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254], 128),
    v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23], 128),
    // Google.
    v6([0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254], 128),
    // Azure; public by its range.
    v4(168, 63, 129, 16, 32),
    // Alibaba.
    v4(100, 100, 100, 200, 32),
    // Oracle.
    v4(192, 0, 0, 192, 32),
    // Scaleway.
    v4(169, 254, 42, 42, 32),
    v6([0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42], 128),
];

/// The first range that has an address says what it is.
const RANGES_V4: &[(IpNet, Kind)] = &[
    (v4(0, 0, 0, 0, 8), Kind::Unspecified),
    (v4(127, 0, 0, 0, 8), Kind::Loopback),
    (v4(10, 0, 0, 0, 8), Kind::Private),
    (v4(172, 16, 0, 0, 12), Kind::Private),
    (v4(192, 168, 0, 0, 16), Kind::Private),
    (v4(169, 254, 0, 0, 16), Kind::LinkLocal),
    (v4(100, 64, 0, 0, 10), Kind::Shared),
    (v4(192, 0, 2, 0, 24), Kind::Documentation),
    (v4(198, 51, 100, 0, 24), Kind::Documentation),
    (v4(203, 0, 113, 0, 24), Kind::Documentation),
    (v4(198, 18, 0, 0, 15), Kind::Benchmark),
    // Protocol assignments, and what was the relay of 6to4.
    (v4(192, 0, 0, 0, 24), Kind::Reserved),
    (v4(192, 88, 99, 0, 24), Kind::Reserved),
    (v4(224, 0, 0, 0, 4), Kind::Multicast),
    // What was kept for later, and the broadcast address.
    (v4(240, 0, 0, 0, 4), Kind::Reserved),
];

/// Likewise; what is in none and not of global unicast is reserved.
const RANGES_V6: &[(IpNet, Kind)] = &[
    (v6([0, 0, 0, 0, 0, 0, 0, 0], 128), Kind::Unspecified),
    (v6([0, 0, 0, 0, 0, 0, 0, 1], 128), Kind::Loopback),
    // Compatible, mapped and translated: an IPv4 address in the last 32 bits.
    (v6([0, 0, 0, 0, 0, 0, 0, 0], 96), Kind::Embedded),
    (v6([0, 0, 0, 0, 0, 0xffff, 0, 0], 96), Kind::Embedded),
    (v6([0, 0, 0, 0, 0xffff, 0, 0, 0], 96), Kind::Embedded),
    // NAT64, its well-known and its local prefix.
    (v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96), Kind::Embedded),
    (v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48), Kind::Embedded),
    // Teredo and 6to4.
    (v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32), Kind::Embedded),
    (v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16), Kind::Embedded),
    (v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7), Kind::Private),
    // Site-local, which some networks still use.
    (v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10), Kind::Private),
    (v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10), Kind::LinkLocal),
    (v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8), Kind::Multicast),
    (v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32), Kind::Documentation),
    (v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20), Kind::Documentation),
    (v6([0x2001, 2, 0, 0, 0, 0, 0, 0], 48), Kind::Benchmark),
    // Protocol assignments: overlays, anycast services, nothing that has pages.
    (v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23), Kind::Reserved),
];

const GLOBAL_UNICAST: IpNet = v6([0x2000, 0, 0, 0, 0, 0, 0, 0], 3);

/// What `address` is; none: it is on the public internet.
pub(crate) fn kind(address: IpAddr) -> Option<Kind> {
    if is_metadata(address) {
        return Some(Kind::Metadata);
    }
    let ranges = if address.is_ipv4() { RANGES_V4 } else { RANGES_V6 };
    if let Some((_, kind)) = ranges.iter().find(|(range, _)| range.contains(&address)) {
        return Some(*kind);
    }
    match address {
        IpAddr::V4(_) => None,
        IpAddr::V6(v6) if holds_isatap(v6) => Some(Kind::Embedded),
        IpAddr::V6(_) if GLOBAL_UNICAST.contains(&address) => None,
        IpAddr::V6(_) => Some(Kind::Reserved),
    }
}

/// Whether a cloud tells its secrets there.
pub(crate) fn is_metadata(address: IpAddr) -> bool {
    METADATA.iter().any(|range| range.contains(&address))
}

/// Whether the last half is a tunnel's, of any prefix.
fn holds_isatap(address: Ipv6Addr) -> bool {
    let [_, _, _, _, mark, tunnel, _, _] = address.segments();
    matches!(mark, 0 | 0x200) && tunnel == 0x5efe
}

/// The IPv4 address in the last 32 bits, where operators allow a range of such addresses: a machine
/// behind NAT64 has no other way to the web.
pub(crate) fn embedded(address: IpAddr) -> Option<IpAddr> {
    let IpAddr::V6(v6) = address else { return None };
    let (range, kind) = RANGES_V6.iter().find(|(range, _)| range.contains(&address))?;
    let [.., a, b, c, d] = v6.octets();
    (*kind == Kind::Embedded && range.prefix_len() == 96)
        .then_some(IpAddr::V4(Ipv4Addr::new(a, b, c, d)))
}

/// Whether the address is one of this machine's own: what listens on all of its addresses is often
/// kept from the world by a filter that lets the machine itself through.
///
/// That is what an interface has, and what the machine would speak from to that address. Nothing is
/// sent.
pub(crate) fn is_own(address: IpAddr) -> bool {
    has_interface(address) || speaks_from(address).is_ok_and(|from| from == address)
}

/// Whether an interface has this address, or had it a moment ago.
fn has_interface(address: IpAddr) -> bool {
    static READ: Mutex<Option<(Instant, HashSet<IpAddr>)>> = Mutex::new(None);
    let mut read = READ.lock().unwrap_or_else(PoisonError::into_inner);
    if read.as_ref().is_none_or(|(at, _)| at.elapsed() >= INTERFACES_EVERY) {
        *read = Some((Instant::now(), interfaces()));
    }
    read.as_ref().is_some_and(|(_, addresses)| addresses.contains(&address))
}

/// The addresses of all interfaces. A system that does not say has none to be told from others.
fn interfaces() -> HashSet<IpAddr> {
    let all = match getifaddrs() {
        Ok(all) => all,
        Err(error) => {
            warn!(%error, "the addresses of this machine cannot be read");
            return HashSet::new();
        }
    };
    let addresses = all.filter_map(|interface| interface.address).filter_map(|address| {
        let v4 = address.as_sockaddr_in().map(|v4| IpAddr::from(v4.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::from(v6.ip())))
    });
    addresses.collect()
}

/// The address that the system would speak from to this one.
fn speaks_from(address: IpAddr) -> io::Result<IpAddr> {
    let any: IpAddr = match address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    // No way there: then there is no harm, and connecting says so.
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(SocketAddr::new(address, 443))?;
    Ok(socket.local_addr()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the ranges begin and end, and a spread over all addresses.
    fn addresses() -> impl Iterator<Item = IpAddr> {
        let edges = RANGES_V4.iter().chain(RANGES_V6).flat_map(|(range, _)| {
            let (first, last) = (range.network(), range.broadcast());
            [first, last, shifted(first, -1), shifted(last, 1)]
        });
        let spread_v4 =
            (0..200_000_u32).map(|n| IpAddr::from(n.wrapping_mul(2_654_435_761).to_be_bytes()));
        let spread_v6 = (0..=u16::MAX).map(|n| {
            let mut octets = [0x5a; 16];
            octets[..2].copy_from_slice(&n.to_be_bytes());
            IpAddr::from(octets)
        });
        edges.chain(spread_v4).chain(spread_v6)
    }

    fn shifted(address: IpAddr, by: i8) -> IpAddr {
        match address {
            IpAddr::V4(v4) => Ipv4Addr::from(u32::from(v4).wrapping_add_signed(by.into())).into(),
            IpAddr::V6(v6) => Ipv6Addr::from(u128::from(v6).wrapping_add_signed(by.into())).into(),
        }
    }

    #[test]
    fn nothing_that_the_standard_library_sets_apart_is_public() {
        let mut n_public = 0;
        for address in addresses() {
            let is_apart = address.is_loopback()
                || address.is_multicast()
                || address.is_unspecified()
                || match address {
                    IpAddr::V4(v4) => {
                        v4.is_private()
                            || v4.is_link_local()
                            || v4.is_broadcast()
                            || v4.is_documentation()
                    }
                    IpAddr::V6(v6) => {
                        v6.is_unique_local() || v6.is_unicast_link_local() || v6.to_ipv4().is_some()
                    }
                };
            let public = kind(address).is_none();

            assert!(!(is_apart && public), "{address}");
            n_public += usize::from(public);
        }
        assert!(n_public > 150_000, "most of IPv4 and an eighth of IPv6 is public: {n_public}");
    }

    #[test]
    fn ranges_end_where_they_should() {
        for (address, expected) in [
            ("9.255.255.255", None),
            ("11.0.0.0", None),
            ("172.15.255.255", None),
            ("172.32.0.0", None),
            ("100.63.255.255", None),
            ("100.128.0.0", None),
            ("198.17.255.255", None),
            ("198.20.0.0", None),
            ("223.255.255.255", None),
            ("168.63.129.15", None),
            ("168.63.129.16", Some(Kind::Metadata)),
            ("1fff::", Some(Kind::Reserved)),
            ("2000::", None),
            ("2001:1ff:ffff::", Some(Kind::Reserved)),
            ("2001:200::", None),
            ("2001:db7::", None),
            ("2001:db9::", None),
            ("2001:ffff::", None),
            ("2002::", Some(Kind::Embedded)),
            ("2003::", None),
            ("3ffe::", None),
            ("3fff:fff::", Some(Kind::Documentation)),
            ("3fff:1000::", None),
            ("4000::", Some(Kind::Reserved)),
        ] {
            assert_eq!(kind(address.parse().unwrap()), expected, "{address}");
        }
    }

    #[test]
    fn a_machine_knows_its_own_addresses() {
        let interfaces = interfaces();
        assert!(interfaces.contains(&IpAddr::from(Ipv4Addr::LOCALHOST)), "{interfaces:?}");
        for address in interfaces {
            assert!(is_own(address), "{address}");
        }
        assert!(!is_own(Ipv4Addr::new(192, 0, 2, 1).into()));
        assert!(!is_own("2001:db8::1".parse().unwrap()));
    }
}
