//! Resigning for a keepalived that is dead: the advert of priority 0 that it would
//! have sent (RFC 9568 section 6.4.3), so that a backup need not wait until it would
//! have missed three.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context as _, Result, ensure};
use keepfast_common::wire::checksum;
use keepfast_common::wire::{Address, widen};

use super::frame::{IPV6, ethernet};
use super::raw::Frames;
use crate::netns::Namespace;

const IPV4: u16 = 0x0800;
/// The protocol number of VRRP.
const VRRP: u8 = 112;
/// No router passed it on.
const HOP_LIMIT: u8 = 255;
/// Internetwork control, as keepalived sends adverts.
const PRECEDENCE: u8 = 0xc0;
/// Authentication by a password (RFC 2338 section 5.3.6).
const PASSWORD: u8 = 1;

const GROUP_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);
const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12);

/// A virtual router that is given up. Not to be shown: it may hold a password.
pub struct Resignation<'a> {
    /// The index of the interface that adverts are exchanged on.
    pub index: u32,
    /// That interface's hardware address.
    pub mac: [u8; 6],
    /// This host's own address there.
    pub source: IpAddr,
    /// The virtual router identifier.
    pub vrid: u8,
    /// 2 or 3.
    pub version: u8,
    /// Hundredths of a second between two adverts.
    pub interval_cs: u16,
    /// What is advertised, of the same family as the source.
    pub addresses: Vec<IpAddr>,
    /// The password of version 2.
    pub password: Option<&'a str>,
}

impl Resignation<'_> {
    /// Sends it in `namespace`.
    ///
    /// # Errors
    ///
    /// The namespace cannot be entered, a privilege is missing, or the interface is
    /// down.
    pub fn send(&self, namespace: &Namespace) -> Result<()> {
        let frame = self.frame()?;
        let frames = namespace.enter(Frames::open)?;
        frames
            .send(self.index, &frame)
            .context("send an advert of priority 0")
    }

    fn frame(&self) -> Result<Vec<u8>> {
        let message = self.message()?;
        let length = u16::try_from(message.len()).context("list the addresses")?;
        let mut frame;
        match self.source {
            IpAddr::V4(source) => {
                let [_, b, c, d] = GROUP_V4.octets();
                frame = ethernet([1, 0, 0x5e, b & 0x7f, c, d], self.mac, IPV4);
                let mut header = vec![0x45, PRECEDENCE];
                header.extend((20 + length).to_be_bytes());
                header.extend([0, 0, 0, 0, HOP_LIMIT, VRRP, 0, 0]);
                header.extend(source.octets());
                header.extend(GROUP_V4.octets());
                put_checksum(&mut header, 10, 0);
                frame.extend(header);
            }
            IpAddr::V6(source) => {
                let [.., w, x, y, z] = GROUP_V6.octets();
                frame = ethernet([0x33, 0x33, w, x, y, z], self.mac, IPV6);
                frame.extend([0x6c, 0, 0, 0]);
                frame.extend(length.to_be_bytes());
                frame.extend([VRRP, HOP_LIMIT]);
                frame.extend(source.octets());
                frame.extend(GROUP_V6.octets());
            }
        }
        frame.extend(message);
        Ok(frame)
    }

    fn message(&self) -> Result<Vec<u8>> {
        let count = u8::try_from(self.addresses.len()).context("list the addresses")?;
        let mut message = vec![self.version << 4 | 1, self.vrid, 0, count];
        if self.version == 2 {
            let seconds = u8::try_from(self.interval_cs / 100).context("tell the interval")?;
            let kind = if self.password.is_some() { PASSWORD } else { 0 };
            message.extend([kind, seconds]);
        } else {
            message.extend((self.interval_cs & 0x0fff).to_be_bytes());
        }
        message.extend([0, 0]);
        for address in &self.addresses {
            ensure!(
                address.is_ipv4() == self.source.is_ipv4(),
                "{address} cannot be advertised from {}",
                self.source
            );
            match address {
                IpAddr::V4(address) => message.extend(address.octets()),
                IpAddr::V6(address) => message.extend(address.octets()),
            }
        }
        if self.version == 2 {
            let mut password = self.password.unwrap_or_default().as_bytes().to_vec();
            password.resize(8, 0);
            message.extend(password);
            put_checksum(&mut message, 6, 0);
        } else {
            let (source, group) = match self.source {
                IpAddr::V4(source) => (widen(source.octets()), widen(GROUP_V4.octets())),
                IpAddr::V6(source) => (source.octets(), GROUP_V6.octets()),
            };
            let pseudo = pseudo_header(&source, &group, message.len());
            put_checksum(&mut message, 6, pseudo);
        }
        Ok(message)
    }
}

fn pseudo_header(source: &Address, group: &Address, length: usize) -> u64 {
    checksum::add_pseudo_header(source, group, VRRP, length, 0)
}

/// Fills in the checksum of `bytes`, whole words of 32 bits, at `at`, where there are
/// zeros; `sum` is added.
fn put_checksum(bytes: &mut [u8], at: usize, sum: u64) {
    let words = checksum::words::<[u8]>(bytes, 0, bytes.len()).unwrap_or(0);
    let sum = (!checksum::fold(words + sum)).to_be_bytes();
    if let Some(place) = bytes.get_mut(at..at + 2) {
        place.copy_from_slice(&sum);
    }
}

#[cfg(test)]
mod tests {
    use keepfast_common::wire::{Packet, Reject, Subject, classify};

    use super::*;

    fn check(version: u8, source: &str, address: &str, password: Option<&str>) {
        let resignation = Resignation {
            index: 1,
            mac: [2, 0x4b, 0x46, 0, 0, 1],
            source: source.parse().unwrap(),
            vrid: 51,
            version,
            interval_cs: 200,
            addresses: vec![address.parse().unwrap()],
            password,
        };
        let frame = resignation.frame().unwrap();
        let mut packet = Packet::UNREAD;
        classify::<[u8]>(&frame, &mut packet);
        assert_eq!(packet.subject, Subject::Advert, "{frame:02x?}");
        assert_eq!(packet.reject, Reject::Nothing, "{frame:02x?}");
        let advert = packet.advert;
        assert_eq!(
            (advert.vrid, advert.priority, advert.version),
            (51, 0, version)
        );
        assert_eq!((advert.interval_cs, advert.addresses), (200, 1));
    }

    #[test]
    fn every_kind_is_an_advert_of_priority_0() {
        check(2, "169.254.192.1", "169.254.0.51", None);
        check(2, "169.254.192.1", "169.254.0.51", Some("secret"));
        check(3, "169.254.192.1", "169.254.0.51", None);
        check(3, "fe80::1", "fe80::51", None);
    }

    #[test]
    fn the_password_is_where_keepalived_looks_for_it() {
        let resignation = Resignation {
            index: 1,
            mac: [0; 6],
            source: [192, 0, 2, 1].into(),
            vrid: 1,
            version: 2,
            interval_cs: 100,
            addresses: vec![[192, 0, 2, 9].into()],
            password: Some("secret"),
        };
        let message = resignation.message().unwrap();
        assert_eq!(message[4], PASSWORD);
        assert!(message.ends_with(b"secret\0\0"));
    }

    #[test]
    fn families_are_not_mixed() {
        let resignation = Resignation {
            index: 1,
            mac: [0; 6],
            source: [192, 0, 2, 1].into(),
            vrid: 1,
            version: 3,
            interval_cs: 100,
            addresses: vec!["fe80::1".parse().unwrap()],
            password: None,
        };
        assert!(resignation.frame().is_err());
    }
}
