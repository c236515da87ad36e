//! Values that check themselves.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// The name of a router: up to 64 letters, digits, `-`, `_` and `.`, beginning with
/// a letter or digit; so it is the name of a file and never a path.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RouterId(String);

/// The name of a network interface: 1 to 15 bytes without `/`, `:` and white
/// space, as the kernel demands (`dev_valid_name`), and without what would mean
/// something else in a configuration file.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InterfaceName(String);

/// The name of a network namespace: a file name as `ip netns` takes it, without what
/// would mean something else in a configuration file.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NamespaceName(String);

/// A virtual router identifier, 1 to 255 (RFC 9568 section 5.2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Vrid(u8);

/// An address with a prefix length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cidr {
    address: IpAddr,
    prefix: u8,
}

macro_rules! name {
    ($name:ident) => {
        impl $name {
            /// The name itself.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(RouterId);
name!(InterfaceName);
name!(NamespaceName);

impl FromStr for RouterId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let begins = text.starts_with(|first: char| first.is_ascii_alphanumeric());
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if begins && text.len() <= 64 && text.bytes().all(known) {
            // Else the directory of one router could be the pid file of another.
            if text.contains(".pid.") {
                return Err(format!(
                    "{text:?} is no router id: expected none with `.pid.`, as pid files have it"
                ));
            }
            return Ok(Self(text.to_owned()));
        }
        Err(format!(
            "{text:?} is no router id: expected 1 to 64 letters, digits, `-`, `_` or `.`, \
             beginning with a letter or digit"
        ))
    }
}

/// Whether `byte` stands for itself in a word of keepalived.conf, radvd.conf and
/// conntrackd.conf: it is no space, quote, comment, brace, variable or escape.
pub(super) const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_graphic()
        && !matches!(
            byte,
            b'"' | b'\'' | b'`' | b'#' | b'!' | b'{' | b'}' | b'$' | b'~' | b'\\' | b';'
        )
}

impl FromStr for InterfaceName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // A line of keepalived.conf that begins with `@` is a condition.
        let known = |byte: u8| is_plain(byte) && !b"/:@".contains(&byte);
        if (1..16).contains(&text.len()) && text.bytes().all(known) && text != "." && text != ".." {
            return Ok(Self(text.to_owned()));
        }
        Err(format!(
            "{text:?} is no interface name: expected 1 to 15 letters, digits and signs without \
             `/`, `:`, quotes and what else configuration files give a meaning"
        ))
    }
}

impl FromStr for NamespaceName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = |byte: u8| is_plain(byte) && byte != b'/';
        if (1..=128).contains(&text.len()) && text.bytes().all(known) && text != "." && text != ".."
        {
            return Ok(Self(text.to_owned()));
        }
        Err(format!(
            "{text:?} is no namespace name: expected 1 to 128 letters, digits and signs without \
             `/`, quotes and what else configuration files give a meaning"
        ))
    }
}

impl Vrid {
    /// The identifier `number`.
    ///
    /// # Errors
    ///
    /// It is not 1 to 255.
    pub fn new(number: i64) -> Result<Self, String> {
        u8::try_from(number)
            .ok()
            .filter(|vrid| *vrid != 0)
            .map(Self)
            .ok_or_else(|| format!("{number} is no VRID: expected 1 to 255"))
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl Cidr {
    /// `address`/`prefix`.
    ///
    /// # Errors
    ///
    /// The prefix is longer than the address.
    pub fn new(address: IpAddr, prefix: u8) -> Result<Self, String> {
        let most = Self::of_host(address).prefix;
        if prefix > most {
            return Err(format!(
                "{address}/{prefix}: expected a prefix length of at most {most}"
            ));
        }
        Ok(Self { address, prefix })
    }

    /// `address` and no other.
    #[must_use]
    pub const fn of_host(address: IpAddr) -> Self {
        let prefix = if address.is_ipv4() { 32 } else { 128 };
        Self { address, prefix }
    }

    /// The address.
    #[must_use]
    pub const fn address(&self) -> IpAddr {
        self.address
    }

    /// The prefix length.
    #[must_use]
    pub const fn prefix(&self) -> u8 {
        self.prefix
    }

    /// Whether `address` is in this network.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.address.is_ipv4() == address.is_ipv4()
            && (bits(self.address) ^ bits(address)) & self.mask() == 0
    }

    /// Whether an address is in both networks.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.contains(other.address) || other.contains(self.address)
    }

    /// The network: the address without its host bits.
    #[must_use]
    pub fn network(&self) -> Self {
        let network = bits(self.address) & self.mask();
        let address = match self.address {
            // The upper 32 of 128 bits.
            IpAddr::V4(_) => Ipv4Addr::from_bits((network >> 96) as u32).into(),
            IpAddr::V6(_) => Ipv6Addr::from_bits(network).into(),
        };
        Self { address, ..*self }
    }

    /// Whether this is the address of one host, no network.
    #[must_use]
    pub const fn is_host(&self) -> bool {
        self.prefix == self.longest()
    }

    /// Whether this is everything: the destination of a default route.
    #[must_use]
    pub fn is_default(&self) -> bool {
        self.prefix == 0 && self.address.is_unspecified()
    }

    /// Checks that a host can have this address.
    ///
    /// # Errors
    ///
    /// It is none of a host: that of a network, of all hosts, of none or of many.
    pub fn check_host(&self) -> Result<(), String> {
        let mistaken_for = if self.address.is_unspecified() || self.prefix == 0 {
            "no address of a host"
        } else if self.address.is_multicast() {
            "a multicast address"
        } else if self.address.is_loopback() {
            "a loopback address"
        } else if self.prefix + 1 < self.longest() && *self == self.network() {
            "the address of its network"
        } else if self.address.is_ipv4()
            && self.prefix + 1 < self.longest()
            && (bits(self.address) | self.mask()) >> 96 == u128::from(u32::MAX)
        {
            "the broadcast address of its network"
        } else {
            return Ok(());
        };
        Err(format!(
            "{self} is {mistaken_for}: expected the address of a host"
        ))
    }

    const fn longest(&self) -> u8 {
        Self::of_host(self.address).prefix
    }

    fn mask(&self) -> u128 {
        let host_bits = 128 - u32::from(self.prefix);
        u128::MAX.checked_shl(host_bits).unwrap_or(0)
    }
}

/// IPv4 addresses as the upper 32 of 128 bits: one comparison serves both.
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()) << 96,
        IpAddr::V6(address) => address.to_bits(),
    }
}

impl FromStr for Cidr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("{text:?} is no address with prefix length: expected one like 192.0.2.1/24");
        let (address, prefix) = text.split_once('/').ok_or_else(wrong)?;
        let address = address.parse().map_err(|_| wrong())?;
        // Rust would take "+24" too.
        if !prefix.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(wrong());
        }
        Self::new(address, prefix.parse().map_err(|_| wrong())?)
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is<T: FromStr>(text: &str) -> bool {
        text.parse::<T>().is_ok()
    }

    #[test]
    fn names_hold_nothing_that_files_or_paths_give_a_meaning() {
        for byte in (0..=u8::MAX).map(char::from) {
            let text = format!("a{byte}b");
            let plain = byte.is_ascii_alphanumeric() || "-_.+=,%&()*<>?[]^|".contains(byte);
            assert_eq!(is::<InterfaceName>(&text), plain, "{text:?}");
            let plain = plain || ":@".contains(byte);
            assert_eq!(is::<NamespaceName>(&text), plain, "{text:?}");
            let plain = byte.is_ascii_alphanumeric() || "-_.".contains(byte);
            assert_eq!(is::<RouterId>(&text), plain, "{text:?}");
        }
        for text in ["", ".", "..", "../a", "a/.."] {
            assert!(!is::<InterfaceName>(text), "{text}");
            assert!(!is::<NamespaceName>(text), "{text}");
            assert!(!is::<RouterId>(text), "{text}");
        }
        assert!(is::<RouterId>(&"a".repeat(64)) && !is::<RouterId>(&"a".repeat(65)));
        assert!(is::<InterfaceName>(&"a".repeat(15)) && !is::<InterfaceName>(&"a".repeat(16)));
        assert!(!is::<RouterId>(".hidden") && !is::<RouterId>("-option"));
    }

    #[test]
    fn networks_contain_and_overlap_within_their_family() {
        let cidr = |text: &str| text.parse::<Cidr>().unwrap();
        for (a, b, overlap) in [
            ("10.0.0.1/8", "10.255.0.0/16", true),
            ("10.0.0.0/24", "10.0.1.0/24", false),
            ("0.0.0.0/0", "192.0.2.1/32", true),
            ("0.0.0.0/0", "::/0", false),
            ("2001:db8::/32", "2001:db8:ffff::1/128", true),
            ("2001:db8::/33", "2001:db8:ffff::1/128", false),
        ] {
            assert_eq!(cidr(a).overlaps(&cidr(b)), overlap, "{a} {b}");
            assert_eq!(cidr(b).overlaps(&cidr(a)), overlap, "{b} {a}");
        }
        for (text, network) in [
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("10.1.2.3/32", "10.1.2.3/32"),
            ("10.1.2.3/0", "0.0.0.0/0"),
            ("2001:db8::ffff/112", "2001:db8::/112"),
        ] {
            assert_eq!(cidr(text).network(), cidr(network), "{text}");
        }
    }

    #[test]
    fn hosts_have_addresses_that_are_no_networks() {
        for (text, host) in [
            ("10.0.0.1/24", true),
            ("10.0.0.0/24", false),
            ("10.0.0.255/24", false),
            // RFC 3021: both addresses of a /31 are of hosts.
            ("10.0.0.0/31", true),
            ("10.0.0.255/32", true),
            ("10.0.0.1/0", false),
            ("127.0.0.1/8", false),
            ("224.0.0.18/32", false),
            ("2001:db8::/64", false),
            ("2001:db8::/127", true),
            ("2001:db8::ffff/112", true),
            ("ff02::12/128", false),
            ("::/128", false),
        ] {
            let checked = text.parse::<Cidr>().unwrap().check_host();
            assert_eq!(checked.is_ok(), host, "{text}: {checked:?}");
        }
        for text in [
            "10.0.0.1",
            "10.0.0.1/",
            "10.0.0.1/33",
            "10.0.0.1/+8",
            "::1/129",
            "a/8",
        ] {
            assert!(!is::<Cidr>(text), "{text}");
        }
    }
}
