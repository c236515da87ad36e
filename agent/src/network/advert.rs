//! VRRP adverts as frames: those that resign in the place of a keepalived that is
//! dead, those that ask a master whether it lives, and those that have our own
//! keepalived take over.
//!
//! Resigning is an advert of priority 0 to the group (RFC 9568 section 6.4.3): a
//! backup need not wait until it would have missed three. The same to the hardware
//! address of a master asks it: a living keepalived answers with an advert at once.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context as _, Result, bail, ensure};
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
/// The longest interval of version 3, in hundredths of a second: 12 bits.
const LONGEST_INTERVAL: u16 = 0x0fff;

const GROUP_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);
const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12);

/// What an advert says, and to whom. Not to be shown: it may hold a password.
pub struct Advert<'a> {
    /// The hardware address that it comes from.
    pub mac: [u8; 6],
    /// The hardware address that it goes to; `None`: that of the group. It has
    /// nothing to do with the IP destination: see [`Self::peer`].
    pub destination: Option<[u8; 6]>,
    /// The address that it comes from.
    pub source: IpAddr,
    /// The IP destination where keepalived has `unicast_peer`; `None`: the group.
    pub peer: Option<IpAddr>,
    /// The virtual router identifier.
    pub vrid: u8,
    /// 2 or 3.
    pub version: u8,
    /// 0 resigns, 255 owns the addresses.
    pub priority: u8,
    /// Hundredths of a second between two adverts: whole seconds up to 255 in
    /// version 2; up to 4095 in version 3, and 0 is let pass, for keepalived takes it.
    pub interval_cs: u16,
    /// What is advertised, of the same family as the source: at least one.
    pub addresses: Vec<IpAddr>,
    /// The password of version 2, of which eight bytes count.
    pub password: Option<&'a str>,
}

impl Advert<'_> {
    /// Sends it in `namespace` on the interface with index `index`.
    ///
    /// # Errors
    ///
    /// As [`Self::frame`]; and the namespace cannot be entered, a privilege is
    /// missing, or the interface is down.
    pub fn send(&self, namespace: &Namespace, index: u32) -> Result<()> {
        let frame = self.frame()?;
        let frames = namespace.enter(Frames::open)?;
        frames
            .send(index, &frame)
            .with_context(|| format!("send an advert of priority {}", self.priority))
    }

    /// The whole Ethernet frame.
    ///
    /// # Errors
    ///
    /// A field does not fit the version or the family of the source, or a peer has no
    /// hardware address.
    pub fn frame(&self) -> Result<Vec<u8>> {
        let mut frame;
        match (self.source, self.peer) {
            (IpAddr::V4(source), None | Some(IpAddr::V4(_))) => {
                let to = match self.peer {
                    Some(IpAddr::V4(peer)) => peer,
                    _ => GROUP_V4,
                };
                let message = self.message(widen(source.octets()), widen(to.octets()))?;
                let length = u16::try_from(message.len()).context("list the addresses")?;
                let [_, b, c, d] = to.octets();
                let group = [1, 0, 0x5e, b & 0x7f, c, d];
                frame = ethernet(self.destination_or(group)?, self.mac, IPV4);
                let mut header = vec![0x45, PRECEDENCE];
                header.extend((20 + length).to_be_bytes());
                header.extend([0, 0, 0, 0, HOP_LIMIT, VRRP, 0, 0]);
                header.extend(source.octets());
                header.extend(to.octets());
                put_checksum(&mut header, 10, 0);
                frame.extend(header);
                frame.extend(message);
            }
            (IpAddr::V6(source), None | Some(IpAddr::V6(_))) => {
                let to = match self.peer {
                    Some(IpAddr::V6(peer)) => peer,
                    _ => GROUP_V6,
                };
                let message = self.message(source.octets(), to.octets())?;
                let length = u16::try_from(message.len()).context("list the addresses")?;
                let [.., w, x, y, z] = to.octets();
                let group = [0x33, 0x33, w, x, y, z];
                frame = ethernet(self.destination_or(group)?, self.mac, IPV6);
                frame.extend([0x6c, 0, 0, 0]);
                frame.extend(length.to_be_bytes());
                frame.extend([VRRP, HOP_LIMIT]);
                frame.extend(source.octets());
                frame.extend(to.octets());
                frame.extend(message);
            }
            (source, Some(peer)) => bail!("{peer} cannot be reached from {source}"),
        }
        Ok(frame)
    }

    fn destination_or(&self, group: [u8; 6]) -> Result<[u8; 6]> {
        match (self.destination, self.peer) {
            (Some(destination), _) => Ok(destination),
            (None, None) => Ok(group),
            (None, Some(peer)) => bail!("an advert to {peer} needs its hardware address"),
        }
    }

    fn message(&self, source: Address, to: Address) -> Result<Vec<u8>> {
        let count = u8::try_from(self.addresses.len()).context("list the addresses")?;
        ensure!(count > 0, "an advert lists at least one address");
        let mut message = vec![self.version << 4 | 1, self.vrid, self.priority, count];
        message.extend(self.interval()?);
        message.extend([0, 0]);
        for address in &self.addresses {
            match (address, self.source) {
                (IpAddr::V4(address), IpAddr::V4(_)) => message.extend(address.octets()),
                (IpAddr::V6(address), IpAddr::V6(_)) => message.extend(address.octets()),
                (_, source) => bail!("{address} cannot be advertised from {source}"),
            }
        }
        let mut pseudo = 0;
        if self.version == 2 {
            let mut password = self.password.unwrap_or_default().as_bytes().to_vec();
            password.resize(8, 0);
            message.extend(password);
        } else {
            pseudo = checksum::add_pseudo_header(&source, &to, VRRP, message.len(), 0);
        }
        put_checksum(&mut message, 6, pseudo);
        Ok(message)
    }

    /// The two bytes with the interval, and how version 2 authenticates.
    fn interval(&self) -> Result<[u8; 2]> {
        let interval_cs = self.interval_cs;
        match self.version {
            2 => {
                ensure!(self.source.is_ipv4(), "version 2 is for IPv4 only");
                let seconds = u8::try_from(interval_cs / 100).ok();
                let seconds = seconds.filter(|_| interval_cs.is_multiple_of(100));
                let seconds = seconds.with_context(|| {
                    format!("an interval of {interval_cs} cs: expected whole seconds up to 255")
                })?;
                Ok([u8::from(self.password.is_some()) * PASSWORD, seconds])
            }
            3 => {
                ensure!(
                    interval_cs <= LONGEST_INTERVAL,
                    "an interval of {interval_cs} cs: expected {LONGEST_INTERVAL} at the most"
                );
                Ok(interval_cs.to_be_bytes())
            }
            version => bail!("adverts of version {version}: expected 2 or 3"),
        }
    }
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
    use keepfast_common::wire::vrrp::{MARK_PASSWORD, MARK_UNICAST};
    use keepfast_common::wire::{Packet, Reject, Subject, classify};

    use super::*;

    const MAC: [u8; 6] = [2, 0x4b, 0x46, 0, 0, 1];
    const MASTER: [u8; 6] = [2, 0x4b, 0x46, 0, 0, 2];

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// One that resigns.
    fn advert(version: u8, source: &str, address: &str) -> Advert<'static> {
        Advert {
            mac: MAC,
            destination: None,
            source: ip(source),
            peer: None,
            vrid: 51,
            version,
            priority: 0,
            interval_cs: 200,
            addresses: vec![ip(address)],
            password: None,
        }
    }

    /// All four that there are.
    fn all() -> [Advert<'static>; 4] {
        let secret = Advert {
            password: Some("secret"),
            ..advert(2, "169.254.192.1", "169.254.0.51")
        };
        [
            advert(2, "169.254.192.1", "169.254.0.51"),
            secret,
            advert(3, "169.254.192.1", "169.254.0.51"),
            advert(3, "fe80::1", "fe80::51"),
        ]
    }

    /// Reads it, and checks that it says what it is to say; with these marks.
    fn check(advert: &Advert<'_>, marks: u8) {
        let frame = advert.frame().unwrap();
        let mut packet = Packet::UNREAD;
        classify::<[u8]>(&frame, &mut packet);
        assert_eq!(packet.subject, Subject::Advert, "{frame:02x?}");
        // The interval is the last thing that is looked at.
        let reject = match advert.interval_cs {
            0 => Reject::Interval,
            _ => Reject::Nothing,
        };
        assert_eq!(packet.reject, reject, "{frame:02x?}");
        let read = packet.advert;
        assert_eq!(read.vrid, advert.vrid);
        assert_eq!(read.version, advert.version);
        assert_eq!(read.priority, advert.priority);
        assert_eq!(read.interval_cs, advert.interval_cs);
        assert_eq!(usize::from(read.addresses), advert.addresses.len());
        assert_eq!(read.mac, advert.mac);
        let source = match advert.source {
            IpAddr::V4(source) => widen(source.octets()),
            IpAddr::V6(source) => source.octets(),
        };
        assert_eq!(read.source, source);
        let password = u8::from(advert.password.is_some()) * MARK_PASSWORD;
        assert_eq!(read.marks, marks | password, "{frame:02x?}");
    }

    #[test]
    fn all_that_resign_are_right() {
        for advert in all() {
            check(&advert, 0);
            let frame = advert.frame().unwrap();
            let group = if advert.source.is_ipv4() {
                [1, 0, 0x5e, 0, 0, 18]
            } else {
                [0x33, 0x33, 0, 0, 0, 18]
            };
            assert_eq!(frame[..6], group);
        }
    }

    #[test]
    fn one_that_asks_a_master_is_for_the_group_but_at_its_hardware_address() {
        for mut advert in all() {
            let to_group = advert.frame().unwrap();
            advert.destination = Some(MASTER);
            check(&advert, 0);
            let frame = advert.frame().unwrap();
            assert_eq!(frame[..6], MASTER);
            assert_eq!(frame[6..], to_group[6..]);
        }
    }

    #[test]
    fn all_that_are_taken_for_a_dead_master_s_are_right() {
        for mut advert in all() {
            advert.priority = 255;
            // Whole seconds are all that version 2 has.
            let intervals = if advert.version == 2 {
                [0, 100]
            } else {
                [0, 1]
            };
            for interval_cs in intervals {
                advert.interval_cs = interval_cs;
                check(&advert, 0);
            }
        }
    }

    #[test]
    fn a_peer_is_the_ip_destination() {
        for mut advert in all() {
            advert.peer = Some(match advert.source {
                IpAddr::V4(_) => ip("169.254.192.2"),
                IpAddr::V6(_) => ip("fe80::2"),
            });
            assert!(advert.frame().is_err(), "at which hardware address?");
            advert.destination = Some(MASTER);
            check(&advert, MARK_UNICAST);
        }
    }

    #[test]
    fn the_password_is_where_keepalived_looks_for_it() {
        let [_, advert, ..] = all();
        let frame = advert.frame().unwrap();
        assert_eq!(frame[14 + 20 + 4], PASSWORD);
        assert!(frame.ends_with(b"secret\0\0"));
    }

    #[test]
    fn what_no_advert_can_say_is_refused() {
        type Change = fn(&mut Advert<'_>);
        let v4 = || advert(3, "192.0.2.1", "192.0.2.9");
        let changes: [(&str, Change); 8] = [
            ("an address of another family", |it| {
                it.addresses = vec![ip("fe80::1")];
            }),
            ("no address", |it| it.addresses = Vec::new()),
            ("a peer of another family", |it| {
                (it.peer, it.destination) = (Some(ip("fe80::2")), Some(MASTER));
            }),
            ("version 4", |it| it.version = 4),
            ("an interval of 13 bits", |it| it.interval_cs = 4096),
            ("half a second in version 2", |it| {
                (it.version, it.interval_cs) = (2, 50);
            }),
            ("256 s in version 2", |it| {
                (it.version, it.interval_cs) = (2, 25_600);
            }),
            ("version 2 over IPv6", |it| {
                (it.version, it.source) = (2, ip("fe80::1"));
                it.addresses = vec![ip("fe80::9")];
            }),
        ];
        assert!(v4().frame().is_ok());
        for (what, change) in changes {
            let mut advert = v4();
            change(&mut advert);
            assert!(advert.frame().is_err(), "{what}");
        }
    }
}
