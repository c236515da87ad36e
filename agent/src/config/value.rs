//! Values that check themselves.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// The name of a router: up to 64 letters, digits, `-`, `_` and `.`, beginning with
/// a letter or digit; so it is the name of a file and never a path.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RouterId(String);

/// The name of a network interface: 1 to 15 bytes without `/`, `:` and white
/// space, as the kernel demands (`dev_valid_name`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InterfaceName(String);

/// The name of a network namespace: a file name as `ip netns` takes it.
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
            return Ok(Self(text.to_owned()));
        }
        Err(format!(
            "{text:?} is no router id: expected 1 to 64 letters, digits, `-`, `_` or `.`, \
             beginning with a letter or digit"
        ))
    }
}

impl FromStr for InterfaceName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = |byte: u8| byte.is_ascii_graphic() && !b"/:".contains(&byte);
        if (1..16).contains(&text.len()) && text.bytes().all(known) && text != "." && text != ".." {
            return Ok(Self(text.to_owned()));
        }
        Err(format!(
            "{text:?} is no interface name: expected 1 to 15 printable characters without `/` \
             and `:`"
        ))
    }
}

impl FromStr for NamespaceName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = |byte: u8| byte.is_ascii_graphic() && byte != b'/';
        if (1..=128).contains(&text.len()) && text.bytes().all(known) && text != "." && text != ".."
        {
            return Ok(Self(text.to_owned()));
        }
        Err(format!(
            "{text:?} is no namespace name: expected 1 to 128 printable characters without `/`, \
             as `ip netns` lists it"
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
        let most = if address.is_ipv4() { 32 } else { 128 };
        if prefix > most {
            return Err(format!(
                "{address}/{prefix}: expected a prefix length of at most {most}"
            ));
        }
        Ok(Self { address, prefix })
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
        let mask = |length: u8| u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
        // IPv4 addresses as the upper 32 of 128 bits: one comparison serves both.
        let bits = |address: IpAddr| match address {
            IpAddr::V4(address) => u128::from(address.to_bits()) << 96,
            IpAddr::V6(address) => address.to_bits(),
        };
        self.address.is_ipv4() == address.is_ipv4()
            && (bits(self.address) ^ bits(address)) & mask(self.prefix) == 0
    }
}

impl FromStr for Cidr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("{text:?} is no address with prefix length: expected one like 192.0.2.1/24");
        let (address, prefix) = text.split_once('/').ok_or_else(wrong)?;
        let address = address.parse().map_err(|_| wrong())?;
        Self::new(address, prefix.parse().map_err(|_| wrong())?)
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}
