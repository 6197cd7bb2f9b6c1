//! What an operator allows beyond the public internet.

use std::net::IpAddr;
use std::num::NonZeroU16;
use std::ops::RangeInclusive;
use std::str::FromStr;

use ipnet::IpNet;

use crate::address;

/// The environment variable with the ranges that are allowed.
pub const VARIABLE: &str = "SKEIN_FETCH_ALLOW";

/// The ranges of addresses and ports that may be fetched beyond the public internet: none, unless
/// the operator says so.
///
/// A list with commas, of ranges (`10.1.0.0/16`, `fd00:1::/64`) or addresses, each with ports
/// (`10.1.0.0/16:8080`, `127.0.0.1:8000-8999`, `[fd00::1]:8080`) or without: then every port. A
/// range may be public, for its ports. Names cannot be allowed: where one leads is up to whoever
/// holds it. A cloud's metadata address is allowed only by a range of that one address, since no
/// network's range was meant to include it.
#[derive(Debug, Clone, Default)]
pub struct Allow(Vec<Rule>);

#[derive(Debug, Clone)]
struct Rule {
    range: IpNet,
    ports: RangeInclusive<u16>,
}

/// A list of ranges that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{rule}` is no range to allow: {why}")]
pub struct AllowError {
    rule: String,
    why: String,
}

impl Allow {
    /// Nothing beyond the public internet.
    pub fn nothing() -> Self {
        Self::default()
    }

    /// Whether the operator allows this address with this port.
    pub(crate) fn has(&self, address: IpAddr, port: u16) -> bool {
        let alone = address::is_metadata(address);
        self.0.iter().any(|rule| {
            rule.range.contains(&address)
                && rule.ports.contains(&port)
                && (!alone || rule.range.prefix_len() == rule.range.max_prefix_len())
        })
    }

    /// Whether the operator allows this port somewhere.
    pub(crate) fn has_port(&self, port: u16) -> bool {
        self.0.iter().any(|rule| rule.ports.contains(&port))
    }
}

impl FromStr for Allow {
    type Err = AllowError;

    fn from_str(list: &str) -> Result<Self, AllowError> {
        let rules = list.split(',').map(str::trim).filter(|rule| !rule.is_empty());
        rules.map(parse).collect::<Result<_, _>>().map(Self)
    }
}

fn parse(rule: &str) -> Result<Rule, AllowError> {
    let refuse = |why: &str| AllowError { rule: rule.into(), why: why.into() };
    let (range, ports) = split(rule).ok_or_else(|| refuse("a bracket is missing"))?;
    let ports = match ports {
        Some(ports) => parse_ports(ports)
            .ok_or_else(|| refuse("ports are a number or two, as in `8080` or `8080-8090`"))?,
        None => 1..=u16::MAX,
    };
    let range = match range.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address),
        Err(_) => range.parse::<IpNet>().map_err(|_| refuse(not_a_range(range)))?,
    };
    if range != range.trunc() {
        return Err(refuse(&format!("its address has bits past its length: `{}`?", range.trunc())));
    }
    Ok(Rule { range, ports })
}

/// The range and what follows its colon. The colons of an IPv6 address end at its `/` or `]`.
fn split(rule: &str) -> Option<(&str, Option<&str>)> {
    if let Some(rest) = rule.strip_prefix('[') {
        let (range, ports) = rest.split_once(']')?;
        return match ports {
            "" => Some((range, None)),
            _ => Some((range, Some(ports.strip_prefix(':')?))),
        };
    }
    if rule.parse::<IpAddr>().is_ok() {
        return Some((rule, None));
    }
    let after = rule.find('/').unwrap_or(0);
    Some(match rule[after..].rfind(':') {
        Some(colon) => (&rule[..after + colon], Some(&rule[after + colon + 1..])),
        None => (rule, None),
    })
}

fn parse_ports(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let first = first.trim().parse::<NonZeroU16>().ok()?.get();
    let last = last.trim().parse::<NonZeroU16>().ok()?.get();
    (first <= last).then_some(first..=last)
}

fn not_a_range(text: &str) -> &'static str {
    if text.starts_with(|c: char| c.is_ascii_alphabetic()) && !text.contains(':') {
        "names cannot be allowed, only addresses, since where a name leads is up to its holder"
    } else {
        "write an address, or a range as in `10.1.0.0/16` or `fd00:1::/64`"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(list: &str, address: &str, port: u16) -> bool {
        list.parse::<Allow>().unwrap().has(address.parse().unwrap(), port)
    }

    #[test]
    fn a_list_allows_its_ranges_with_their_ports() {
        for (list, address, port, allowed) in [
            ("", "127.0.0.1", 80, false),
            (" , ", "127.0.0.1", 80, false),
            ("127.0.0.0/8", "127.1.2.3", 1, true),
            ("127.0.0.0/8", "127.1.2.3", 65_535, true),
            ("127.0.0.0/8", "128.0.0.1", 80, false),
            ("10.1.0.0/16:8080-8090", "10.1.255.255", 8080, true),
            ("10.1.0.0/16:8080-8090", "10.1.0.0", 8090, true),
            ("10.1.0.0/16:8080-8090", "10.1.0.0", 8091, false),
            ("10.1.0.0/16:8080-8090", "10.1.0.0", 80, false),
            ("10.1.0.0/16 , 127.0.0.1:80", "127.0.0.1", 80, true),
            ("127.0.0.1:80", "127.0.0.2", 80, false),
            ("fd00:1::/64", "fd00:1::5", 443, true),
            ("fd00:1::/64:8080", "fd00:1::5", 8080, true),
            ("fd00:1::/64:8080", "fd00:1::5", 443, false),
            ("[fd00:1::/64]:8080", "fd00:1::5", 8080, true),
            ("[::1]:8080", "::1", 8080, true),
            ("[::1]", "::1", 8080, true),
            ("::1", "::1", 8080, true),
            ("::1", "127.0.0.1", 8080, false),
            ("0.0.0.0/0:8443", "93.184.216.34", 8443, true),
        ] {
            assert_eq!(has(list, address, port), allowed, "{list}: {address} {port}");
        }
    }

    #[test]
    fn a_metadata_address_is_allowed_by_its_own_name_only() {
        assert!(!has("0.0.0.0/0", "169.254.169.254", 80));
        assert!(!has("169.254.169.254/31", "169.254.169.254", 80));
        assert!(!has("fd00::/8", "fd00:ec2::254", 80));
        assert!(has("169.254.169.254", "169.254.169.254", 80));
        assert!(has("169.254.169.254/32:80", "169.254.169.254", 80));
        assert!(has("fd00:ec2::254/128", "fd00:ec2::254", 80));
        assert!(has("0.0.0.0/0", "169.254.169.253", 80), "its neighbours are in the range");
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        for (list, why) in [
            ("localhost", "names cannot be allowed"),
            ("intranet.example:8080", "names cannot be allowed"),
            ("10.1.2.3/16", "`10.1.0.0/16`?"),
            ("10.1.0.0/33", "write an address"),
            ("10.1", "write an address"),
            ("10.1.0.0/16:", "ports are"),
            ("10.1.0.0/16:0", "ports are"),
            ("10.1.0.0/16:90-80", "ports are"),
            ("10.1.0.0/16:65536", "ports are"),
            ("10.1.0.0/16:80;443", "ports are"),
            ("[::1", "a bracket is missing"),
            ("127.0.0.1 10.0.0.1", "write an address"),
            ("127.0.0.0/8, *", "write an address"),
        ] {
            let refused = list.parse::<Allow>().unwrap_err().to_string();

            assert!(refused.contains(why), "{list}: {refused}");
        }
    }
}
