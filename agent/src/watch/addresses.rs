//! Which addresses are watched, and why: gateways, this host's own, and those
//! that the adverts list.

use std::collections::BTreeMap;
use std::net::IpAddr;

use anyhow::Result;
use keepfast_common::maps::{AddressKey, RouterKey};
use keepfast_common::neighbour::{ROLE_GATEWAY, ROLE_LOCAL, ROLE_VIRTUAL, Watched};
use keepfast_common::track::{KEPT_ADDRESSES, VirtualRouter};
use keepfast_common::wire::Address;

use crate::kernel::{self, Maps};
use crate::netlink::Snapshot;
use crate::tracker::GATEWAY_SILENCE_NS;

/// The watched addresses of one namespace.
pub(super) struct Addresses {
    netns: u32,
    /// Roles from the configuration.
    configured: BTreeMap<AddressKey, u8>,
    /// Addresses of each virtual router.
    learnt: BTreeMap<RouterKey, Vec<Address>>,
    /// What the kernel was told.
    applied: BTreeMap<AddressKey, Watched>,
}

impl Addresses {
    pub(super) const fn new(netns: u32) -> Self {
        Self {
            netns,
            configured: BTreeMap::new(),
            learnt: BTreeMap::new(),
            applied: BTreeMap::new(),
        }
    }

    /// Takes gateways and own addresses of the watched `interfaces`; the `named`
    /// gateways may be on any of them.
    pub(super) fn configure(&mut self, snapshot: &Snapshot, interfaces: &[u32], named: &[IpAddr]) {
        self.configured.clear();
        let named = interfaces
            .iter()
            .flat_map(|index| named.iter().map(|it| (*index, *it)));
        let gateways = snapshot.gateways.iter().copied().chain(named);
        let roles = gateways
            .map(|place| (place, ROLE_GATEWAY))
            .chain(snapshot.addresses.iter().map(|place| (*place, ROLE_LOCAL)));
        for ((index, address), role) in roles {
            if interfaces.contains(&index) {
                *self.configured.entry(self.key(index, address)).or_default() |= role;
            }
        }
    }

    /// Takes the addresses that a virtual router's adverts list; whether they are
    /// others than before.
    pub(super) fn learn(&mut self, key: &RouterKey, router: &VirtualRouter) -> bool {
        // Of tagged frames, ARP is not looked at.
        if key.vlan != 0 {
            return false;
        }
        let count = usize::from(router.address_count).min(KEPT_ADDRESSES);
        let listed: Vec<Address> = router.addresses.iter().take(count).copied().collect();
        if self.learnt.get(key) == Some(&listed) {
            return false;
        }
        self.learnt.insert(*key, listed);
        true
    }

    /// Forgets all that is on an interface.
    pub(super) fn forget_interface(&mut self, index: u32) {
        self.configured.retain(|key, _| key.ifindex != index);
        self.learnt.retain(|key, _| key.ifindex != index);
    }

    /// Tells the kernel what has changed.
    pub(super) fn apply(&mut self, maps: &mut Maps) -> Result<()> {
        let wanted = self.wanted();
        let gone: Vec<AddressKey> = self
            .applied
            .keys()
            .copied()
            .filter(|key| !wanted.contains_key(key))
            .collect();
        for key in gone {
            maps.unwatch(key)?;
            self.applied.remove(&key);
        }
        for (key, watched) in wanted {
            if self.applied.get(&key) != Some(&watched) {
                maps.watch(key, watched)?;
                self.applied.insert(key, watched);
            }
        }
        Ok(())
    }

    fn wanted(&self) -> BTreeMap<AddressKey, Watched> {
        let watched = |roles, vrid| Watched {
            silence_ns: GATEWAY_SILENCE_NS,
            roles,
            vrid,
            family: 0,
            reserved: 0,
            router_ifindex: 0,
        };
        let mut wanted: BTreeMap<AddressKey, Watched> = self
            .configured
            .iter()
            .map(|(key, roles)| (*key, watched(*roles, 0)))
            .collect();
        for (router, addresses) in &self.learnt {
            for address in addresses {
                let key = AddressKey {
                    netns: router.netns,
                    ifindex: router.ifindex,
                    family: u32::from(router.family),
                    address: *address,
                };
                let entry = wanted.entry(key).or_insert_with(|| watched(0, router.vrid));
                entry.roles |= ROLE_VIRTUAL;
                entry.vrid = router.vrid;
            }
        }
        wanted
    }

    fn key(&self, ifindex: u32, address: IpAddr) -> AddressKey {
        let (family, address) = kernel::address(address);
        AddressKey {
            netns: self.netns,
            ifindex,
            family: u32::from(family),
            address,
        }
    }
}
