//! Where metrics are to be had.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

/// The word for "nowhere".
const OFF: &str = "off";

/// Where metrics are to be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listen {
    /// Nowhere.
    Off,
    /// At this address of the namespace that the daemon runs in.
    At(SocketAddr),
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == OFF {
            return Ok(Self::Off);
        }
        text.parse()
            .map(Self::At)
            .map_err(|_| format!("expected an address with a port, as 127.0.0.1:19112, or {OFF}"))
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str(OFF),
            Self::At(address) => address.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_port() {
        for text in ["127.0.0.1:19112", "[::1]:19112", "off"] {
            assert_eq!(text.parse::<Listen>().unwrap().to_string(), text);
        }
        for text in ["", "localhost", "127.0.0.1", ":19112", "::1:19112x", "Off"] {
            assert!(text.parse::<Listen>().unwrap_err().contains("expected"));
        }
    }
}
