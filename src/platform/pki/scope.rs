// SPDX-License-Identifier: AGPL-3.0-or-later
//! What certificates may speak for ([`Scope`]) and what one certificate speaks for ([`Subject`]).
//!
//! A value that exists is parsed: names are lower-case letters, digits and hyphens, networks have no host bits.
//! Knows no certificate.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

/// Longest DNS name in text form, in bytes (RFC 1035 section 2.3.4: 255 octets on the wire).
const MAX_NAME: usize = 253;
/// Longest label of a DNS name, in bytes (RFC 1035 section 2.3.4).
const MAX_LABEL: usize = 63;
/// Most names, and most networks, of one scope: verifiers bound names × constraints (webpki: 250,000 comparisons).
const MAX_ENTRIES: usize = 64;

/// A host name or suffix: lower-case LDH labels, no trailing dot, no wildcard. `XR.Example` is read as `xr.example`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DnsName(String);

impl DnsName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this name is `suffix` or ends in `.suffix` (RFC 5280 section 4.2.1.10).
    pub fn is_within(&self, suffix: &Self) -> bool {
        self.0.strip_suffix(&suffix.0).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    }
}

impl FromStr for DnsName {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        let refuse = |reason| Err(ScopeError::Name { name: shorten(text), reason });
        if text.is_empty() {
            return refuse("it is empty; write a name such as xr.example.com");
        }
        if text.parse::<IpAddr>().is_ok() {
            return refuse("it is an address; list it as a network, such as 192.0.2.7/32");
        }
        if text.len() > MAX_NAME {
            return refuse("it is longer than 253 characters; use a shorter one");
        }
        if !text.is_ascii() {
            return refuse("it has non-ASCII characters; write its xn-- form");
        }
        if text.contains('*') {
            return refuse("wildcards are not used; write the suffix alone, every name below it is included");
        }
        if text.ends_with('.') {
            return refuse("it ends in a dot; leave the dot out");
        }
        let name = text.to_ascii_lowercase();
        for label in name.split('.') {
            if label.is_empty() {
                return refuse("it has an empty label; remove the extra dot");
            }
            if label.len() > MAX_LABEL {
                return refuse("one of its labels is longer than 63 characters; use a shorter one");
            }
            if !label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
                return refuse("only letters, digits, hyphens and dots are allowed; remove the others");
            }
            if label.starts_with('-') || label.ends_with('-') {
                return refuse("a label begins or ends with a hyphen; remove it");
            }
        }
        // Browsers read a name whose last label is a number as an IPv4 address (WHATWG URL, "ends in a number").
        if name.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit())) {
            return refuse("its last label is a number, so browsers take it for an address; use another name");
        }
        Ok(Self(name))
    }
}

impl fmt::Display for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The DNS suffixes and networks that a root is bound to, for its whole life. At least one of either.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    names: Vec<DnsName>,
    networks: Vec<IpNet>,
}

impl Scope {
    /// Reads suffixes such as `example.com` and networks such as `10.0.0.0/8` or `10.1.2.3`.
    pub fn parse<N: AsRef<str>, A: AsRef<str>>(names: &[N], networks: &[A]) -> Result<Self, ScopeError> {
        let names = names.iter().map(|name| name.as_ref().parse()).collect::<Result<_, _>>()?;
        let networks = networks.iter().map(|network| parse_network(network.as_ref())).collect::<Result<_, _>>()?;
        Self::new(names, networks)
    }

    /// The scope of these suffixes and networks, sorted and without duplicates.
    pub fn new(mut names: Vec<DnsName>, mut networks: Vec<IpNet>) -> Result<Self, ScopeError> {
        names.sort();
        names.dedup();
        for network in &networks {
            check_network(network)?;
        }
        networks.sort();
        networks.dedup();
        if names.is_empty() && networks.is_empty() {
            return Err(ScopeError::Empty);
        }
        if names.len() > MAX_ENTRIES || networks.len() > MAX_ENTRIES {
            return Err(ScopeError::TooMany);
        }
        Ok(Self { names, networks })
    }

    /// The DNS suffixes, sorted.
    pub fn names(&self) -> &[DnsName] {
        &self.names
    }

    /// The networks, sorted.
    pub fn networks(&self) -> &[IpNet] {
        &self.networks
    }

    /// Whether this name is one of the suffixes or below one.
    pub fn includes_name(&self, name: &DnsName) -> bool {
        self.names.iter().any(|suffix| name.is_within(suffix))
    }

    /// Whether this address is in one of the networks.
    pub fn includes_address(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(&address))
    }
}

impl fmt::Display for Scope {
    /// `example.com, 10.0.0.0/8`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.names.iter().map(ToString::to_string);
        let networks = self.networks.iter().map(ToString::to_string);
        f.write_str(&names.chain(networks).collect::<Vec<_>>().join(", "))
    }
}

/// The host names and addresses of one certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subject {
    /// Host names.
    pub names: BTreeSet<DnsName>,
    /// Addresses, in canonical form: IPv4 never as an IPv4-mapped IPv6 address.
    pub addresses: BTreeSet<IpAddr>,
}

impl Subject {
    /// These names and addresses, without duplicates.
    pub fn new(names: impl IntoIterator<Item = DnsName>, addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        Self {
            names: names.into_iter().collect(),
            addresses: addresses.into_iter().map(|address| address.to_canonical()).collect(),
        }
    }

    /// Whether there is neither a name nor an address.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty() && self.addresses.is_empty()
    }
}

/// Why a scope is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// Not a host name.
    #[error("the name {name:?} is refused: {reason}")]
    Name {
        /// What was given, shortened.
        name: String,
        /// What is wrong and what to do.
        reason: &'static str,
    },
    /// Not a network.
    #[error("the network {network:?} is refused: {reason}")]
    Network {
        /// What was given, shortened.
        network: String,
        /// What is wrong and what to do.
        reason: String,
    },
    /// Neither a name nor a network.
    #[error("the root would be bound to nothing: give at least one name or network")]
    Empty,
    /// More than verifiers are willing to compare.
    #[error("more than {MAX_ENTRIES} names or networks: use a common suffix or a larger network")]
    TooMany,
}

fn parse_network(text: &str) -> Result<IpNet, ScopeError> {
    let network = match text.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address),
        Err(_) => text.parse::<IpNet>().map_err(|_| ScopeError::Network {
            network: shorten(text),
            reason: "write address/length, such as 10.0.0.0/8 or fd00::/8".to_owned(),
        })?,
    };
    check_network(&network).map(|()| network)
}

fn check_network(network: &IpNet) -> Result<(), ScopeError> {
    let refuse = |reason| Err(ScopeError::Network { network: network.to_string(), reason });
    if network.prefix_len() == 0 {
        return refuse("it is every address there is; name the networks the clients are in".to_owned());
    }
    if network.addr() != network.network() {
        return refuse(format!("it has host bits; write {} or a single address", network.trunc()));
    }
    Ok(())
}

/// Enough of what somebody typed to recognise it.
fn shorten(text: &str) -> String {
    text.chars().take(MAX_LABEL).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_or_refused_with_a_reason() {
        fn check(text: &str, expected: Result<&str, &str>) {
            match (text.parse::<DnsName>(), expected) {
                (Ok(name), Ok(expected)) => assert_eq!(name.as_str(), expected),
                (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
                (got, _) => panic!("{text:?} gave {got:?}"),
            }
        }
        check("XR.Example.com", Ok("xr.example.com"));
        check("localhost", Ok("localhost"));
        check("3com.xn--bcher-kva.example", Ok("3com.xn--bcher-kva.example"));
        check(&["a".repeat(63).as_str(), "example"].join("."), Ok(&["a".repeat(63).as_str(), "example"].join(".")));
        check("", Err("empty"));
        check("example.com.", Err("leave the dot out"));
        check(".example.com", Err("empty label"));
        check("a..example", Err("empty label"));
        check("*.example.com", Err("wildcards"));
        check("bücher.example", Err("xn--"));
        check("a_b.example", Err("letters, digits"));
        check("a b.example", Err("letters, digits"));
        check("-a.example", Err("hyphen"));
        check("a-.example", Err("hyphen"));
        check("10.0.0.1", Err("network"));
        check("fe80::1", Err("network"));
        check("example.10", Err("number"));
        check(&"a".repeat(64), Err("63"));
        check(&"a.".repeat(127), Err("253"));
    }

    #[test]
    fn a_network_is_read_or_refused_with_a_reason() {
        fn check(text: &str, expected: Result<&str, &str>) {
            match (parse_network(text), expected) {
                (Ok(network), Ok(expected)) => assert_eq!(network.to_string(), expected),
                (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
                (got, _) => panic!("{text:?} gave {got:?}"),
            }
        }
        check("10.0.0.0/8", Ok("10.0.0.0/8"));
        check("10.1.2.3", Ok("10.1.2.3/32"));
        check("fd00::/8", Ok("fd00::/8"));
        check("::1", Ok("::1/128"));
        check("10.1.2.3/8", Err("write 10.0.0.0/8"));
        check("0.0.0.0/0", Err("every address"));
        check("::/0", Err("every address"));
        check("10.0.0.0/33", Err("such as"));
        check("lan", Err("such as"));
    }

    #[test]
    fn a_scope_is_bound_to_something_and_not_to_everything() {
        let none: [&str; 0] = [];
        assert_eq!(Scope::parse(&none, &none), Err(ScopeError::Empty));
        let many: Vec<String> = (0..=MAX_ENTRIES).map(|n| format!("n{n}.example")).collect();
        assert_eq!(Scope::parse(&many, &none), Err(ScopeError::TooMany));
        let scope = Scope::parse(&["b.example", "a.example", "A.example"], &["10.0.0.0/8"]).unwrap();
        assert_eq!(scope.to_string(), "a.example, b.example, 10.0.0.0/8");
    }

    #[test]
    fn a_suffix_includes_itself_and_what_is_below_it() {
        let scope = Scope::parse(&["example.com"], &["10.0.0.0/8"]).unwrap();
        for (name, expected) in
            [("example.com", true), ("a.b.example.com", true), ("badexample.com", false), ("com", false)]
        {
            assert_eq!(scope.includes_name(&name.parse().unwrap()), expected, "{name}");
        }
        for (address, expected) in [("10.255.0.1", true), ("11.0.0.1", false), ("fd00::1", false)] {
            assert_eq!(scope.includes_address(address.parse().unwrap()), expected, "{address}");
        }
    }
}
