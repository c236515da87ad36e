//! Two hosts on one cable, with the programs on both ends.

use keepfast::kernel::{Attachment, FastKernel, Hook, Kernel, LoadOptions};
use keepfast::netlink::Interface;
use keepfast::netns;
use keepfast::network::monitor::Link;
use keepfast_common::counter::Counter;
use keepfast_common::event::{Event, EventKind};
use keepfast_common::maps::{
    self, Agent, BOUNCE_XDP, Guarded, KEEPALIVED_RUNS, LinkKey, RouterKey,
};
use lab::clock::monotonic_ns;
use lab::link;
use lab::netns::Namespace;
use lab::sender::{Advert, Sender};
use lab::wait;
use std::time::Duration;

use crate::frames::VRID;

pub(crate) const LIMIT: Duration = Duration::from_secs(20);
pub(crate) const PEER_MAC: [u8; 6] = [0x02, 0x4b, 0x46, 0, 0, 1];
pub(crate) const ASKER_MAC: [u8; 6] = [0x02, 0x4b, 0x46, 0, 0, 2];
pub(crate) const HOST: u64 = 0x1122_3344_5566_7788;
const MARK: u32 = 0x4b46;

/// How the peer answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    /// Where XDP only watches.
    Tc,
    /// Where it sees what XDP would.
    TcAlone,
    Xdp,
    /// It only watches.
    Nothing,
}

/// One end of the cable.
pub(crate) struct End {
    pub(crate) namespace: Namespace,
    pub(crate) inode: u32,
    pub(crate) index: u32,
    /// What this end sends.
    pub(crate) sender: Sender,
    attachment: Attachment,
}

impl End {
    fn new(kernel: &mut Kernel, namespace: Namespace, by: By) -> Self {
        let entered = netns::Namespace::named(namespace.name()).unwrap();
        let index = entered
            .enter(|| Ok(nix::net::if_::if_nametoindex("eth0")?))
            .unwrap();
        let interface = Interface {
            index,
            name: "eth0".into(),
            ethernet: true,
            // Somebody's, which is not to be replaced.
            xdp_program: (by == By::TcAlone).then_some(1),
        };
        let attachment = kernel.attach(&entered, &interface, None).unwrap();
        let xdp = attachment.ingress == Hook::NativeXdp;
        assert_eq!(xdp, by != By::TcAlone, "{attachment:?}");
        Self {
            inode: entered.inode(),
            index,
            sender: Sender::new(&namespace, "eth0").unwrap(),
            attachment,
            namespace,
        }
    }

    pub(crate) const fn link(&self) -> LinkKey {
        LinkKey {
            netns: self.inode,
            ifindex: self.index,
        }
    }
}

pub(crate) struct Pair {
    pub(crate) peer: End,
    pub(crate) asker: End,
    /// As the agent's thread, which the asker's programs know by its mark.
    pub(crate) marked: Sender,
    pub(crate) fast: FastKernel,
    pub(crate) kernel: Kernel,
}

impl Pair {
    pub(crate) fn new(by: By) -> Self {
        let [peer, asker] = ["peer", "asker"].map(|role| Namespace::new(role).unwrap());
        let lines = format!(
            "link add eth0 address 02:4b:46:00:00:01 type veth \
             peer name eth0 address 02:4b:46:00:00:02 netns {}\nlink set eth0 up\n\
             address add 10.99.0.1/24 dev eth0\n",
            asker.name()
        );
        link::ip(&peer, &lines).unwrap();
        link::ip(
            &asker,
            "link set eth0 up\naddress add 10.99.0.2/24 dev eth0\n",
        )
        .unwrap();
        let mut kernel = Kernel::load(&LoadOptions::default(), None).unwrap();
        let fast = kernel.take_fast().unwrap();
        let peer = End::new(&mut kernel, peer, by);
        let asker = End::new(&mut kernel, asker, By::Nothing);
        let marked = Sender::new(&asker.namespace, "eth0").unwrap();
        marked.mark(MARK).unwrap();
        let mut pair = Self {
            peer,
            asker,
            marked,
            fast,
            kernel,
        };
        pair.introduce(false);
        pair.answer(by);
        pair
    }

    /// Says what the programs are to know of the agent.
    pub(crate) fn introduce(&mut self, leaving: bool) {
        let agent = Agent {
            alive_ns: monotonic_ns().unwrap(),
            host: HOST,
            mark: MARK,
            leaving: leaving.into(),
            reserved: 0,
            ghost: [2, 1, 2, 3, 4, 5],
            padding: [0; 4],
        };
        self.kernel.maps().introduce(agent).unwrap();
    }

    fn answer(&mut self, by: By) {
        match by {
            By::Nothing => {}
            By::Tc | By::TcAlone => {
                let namespace = netns::Namespace::named(self.peer.namespace.name()).unwrap();
                let link = Link {
                    index: self.peer.index,
                    name: "eth0".into(),
                    mac: Some(PEER_MAC),
                    up: true,
                    ethernet: true,
                    xdp_program: None,
                    software: true,
                };
                let attachment = &mut self.peer.attachment;
                self.kernel
                    .answer_probes(&namespace, &link, attachment, None)
                    .unwrap();
                assert!(matches!(attachment.answers, Some(Hook::Tcx | Hook::Clsact)));
            }
            // The far end of a veth takes what XDP sends if it has a program of its own.
            By::Xdp => self.answer_again(BOUNCE_XDP),
        }
    }

    /// The peer answers (again), by programs that are there.
    pub(crate) fn answer_again(&mut self, bounce: u8) {
        let link = maps::Link {
            mac: PEER_MAC,
            bounce,
            reserved: 0,
        };
        let key = self.peer.link();
        self.kernel.maps().answer_probes(key, link).unwrap();
    }

    /// It answers no longer.
    pub(crate) fn fall_silent(&mut self) {
        let key = self.peer.link();
        self.kernel.maps().ignore_probes(key).unwrap();
    }

    /// The virtual router on the peer's side.
    pub(crate) const fn router(&self) -> RouterKey {
        RouterKey {
            netns: self.peer.inode,
            ifindex: self.peer.index,
            vlan: 0,
            inner_vlan: 0,
            family: 4,
            vrid: VRID,
            reserved: 0,
        }
    }

    /// The peer's router has a fast path.
    pub(crate) fn guard(&mut self) {
        let guarded = Guarded {
            keepalived: KEEPALIVED_RUNS,
            reason: 0,
            reserved: [0; 6],
        };
        let key = self.router();
        self.kernel.maps().guard(key, guarded).unwrap();
    }

    /// The peer advertises with this priority, as its keepalived would.
    pub(crate) fn reign(&mut self, priority: u8) {
        let advert = Advert {
            vrid: VRID,
            priority,
            ..Advert::default()
        };
        self.peer.sender.send(&advert).unwrap();
        let key = self.router();
        let known = self.fast.router(&key).unwrap().unwrap();
        assert_eq!(known.own_active, 1);
    }

    /// How often something was counted on an end.
    pub(crate) fn counted(&mut self, at: LinkKey, counter: Counter) -> u64 {
        let counters = self.kernel.maps().counters().unwrap();
        let found = counters.iter().find(|(netns, index, kind, _)| {
            (*netns, *index, *kind) == (at.netns, at.ifindex, counter)
        });
        found.map_or(0, |(.., count)| *count)
    }

    /// The next urgent event.
    pub(crate) fn event(&mut self) -> Option<(EventKind, Event)> {
        let event = self.fast.next_event().unwrap()?;
        Some((EventKind::from_number(event.kind).unwrap(), event))
    }

    /// The urgent event of this kind, with all before it thrown away.
    pub(crate) fn wait_for(&mut self, kind: EventKind) -> Event {
        let mut others = Vec::new();
        let found = wait::until("an urgent event", LIMIT, || {
            while let Some((found, event)) = self.event() {
                if found == kind {
                    return Ok(event);
                }
                others.push(found);
            }
            Err(format!("{kind:?} not among {others:?}"))
        });
        found.unwrap()
    }
}
