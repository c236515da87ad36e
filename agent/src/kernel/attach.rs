//! Attaching the programs to one interface, by the best way that it allows.
//!
//! Ingress: native XDP, else generic XDP, else tc. XDP is not tried where
//! somebody else's program is: it would be in the way, or replaced. Egress: tc.
//! tc by TCX (Linux 6.6), else by a filter of the clsact qdisc. Links are pinned, so that
//! bpftool shows whose they are, and an agent to come finds them: it replaces the program
//! of a link, or of a filter, at once, and no frame meets none.

use std::fmt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use aya::programs::Link as _;
use aya::programs::links::{FdLink, LinkOrder};
use aya::programs::tc::{
    NlOptions, SchedClassifierLink, TcAttachOptions, TcAttachType, TcHandle, qdisc_add_clsact,
};
use aya::programs::xdp::XdpLink;
use aya::programs::{XdpMode, links::PinnedLink};
use keepfast_common::maps::{self as names, BOUNCE_TC, BOUNCE_XDP, LinkKey};
use tracing::{debug, info, warn};

use super::{Kernel, PinDirectory};
use crate::netlink::Interface;
use crate::netns::Namespace;
use crate::network::monitor::Link;

/// Where a program sits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// XDP in the driver.
    NativeXdp,
    /// XDP in the stack.
    GenericXdp,
    /// tc, by a BPF link of its own.
    Tcx,
    /// tc, by a filter of the clsact qdisc.
    Clsact,
}

impl fmt::Display for Hook {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::NativeXdp => "native XDP",
            Self::GenericXdp => "generic XDP",
            Self::Tcx => "tc (TCX)",
            Self::Clsact => "tc (clsact)",
        })
    }
}

/// The programs of one interface; detached when dropped.
#[derive(Debug)]
pub struct Attachment {
    /// Where received frames are seen.
    pub ingress: Hook,
    /// Where sent frames are seen.
    pub egress: Hook,
    /// Why received frames are not seen by native XDP, in words; empty if they are.
    pub fallbacks: Vec<String>,
    /// How probes of others are sent back; `None`: they are not.
    pub answers: Option<Hook>,
    links: Vec<Held>,
}

impl Attachment {
    /// By which hooks the interface is watched, in words.
    #[must_use]
    pub fn hooks(&self) -> String {
        format!("{} in, {} out", self.ingress, self.egress)
    }

    /// Where its links are pinned.
    pub fn pins(&self) -> impl Iterator<Item = &Path> {
        self.links.iter().filter_map(|held| match held {
            Held::Pinned { path, .. }
            | Held::Filter {
                note: Some(path), ..
            } => Some(path.as_path()),
            _ => None,
        })
    }

    /// Logs how the interface `name` of the namespace `label` is watched, and what
    /// stays of it.
    pub fn tell(&self, name: &str, label: &str) {
        let hooks = self.hooks();
        if self.fallbacks.is_empty() {
            info!("watching {name} in {label}: {hooks}");
        } else {
            let why = self.fallbacks.join("; ");
            warn!("watching {name} in {label} by a fallback: {hooks} ({why})");
        }
        if self.ingress == Hook::Clsact || self.egress == Hook::Clsact {
            info!("the clsact qdisc stays on {name}: others may use it by then");
        }
    }
}

/// A link that is held.
#[derive(Debug)]
enum Held {
    /// A BPF link with its pin.
    Pinned { _link: FdLink, path: PathBuf },
    /// A BPF link without a pin.
    Link { _link: FdLink },
    /// A filter, with a note of which it is where links are pinned.
    Filter {
        _filter: Filter,
        note: Option<PathBuf>,
    },
}

/// A filter of the clsact qdisc; removed when dropped.
#[derive(Debug)]
struct Filter {
    /// `None` only while it is dropped.
    link: Option<SchedClassifierLink>,
    /// Where its interface's number means that interface.
    namespace: Namespace,
}

impl Drop for Filter {
    fn drop(&mut self) {
        let link = self.link.take();
        let removed = self
            .namespace
            .enter(|| link.map_or(Ok(()), |it| Ok(it.detach()?)));
        if let Err(error) = removed {
            debug!("remove a tc filter: {error:#}");
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Self::Pinned { path, .. }
        | Self::Filter {
            note: Some(path), ..
        } = self
            && let Err(error) = std::fs::remove_file(&*path)
        {
            debug!("remove {}: {error}", path.display());
        }
    }
}

impl Kernel {
    /// Attaches the programs to `interface` of `namespace`.
    ///
    /// # Errors
    ///
    /// The interface is gone, or no way works; then nothing stays attached.
    pub fn attach(
        &mut self,
        namespace: &Namespace,
        interface: &Interface,
        pins: Option<&PinDirectory>,
    ) -> Result<Attachment> {
        let pin = |direction: &str| {
            pins.map(|pins| {
                let name = format!("{}-{}-{direction}", namespace.inode(), interface.index);
                pins.path().join(name)
            })
        };
        namespace.enter(|| {
            let mut fallbacks = Vec::new();
            let (ingress, ingress_link) =
                self.attach_ingress(namespace, interface, pin("ingress"), &mut fallbacks)?;
            let (egress, egress_link) = self
                .attach_tc(
                    namespace,
                    interface,
                    names::TC_EGRESS,
                    pin("egress"),
                    &mut fallbacks,
                )
                .with_context(|| format!("attach to what {} sends", interface.name))?;
            Ok(Attachment {
                ingress,
                egress,
                fallbacks,
                answers: None,
                links: vec![ingress_link, egress_link],
            })
        })
    }

    /// Has probes of others sent back on an interface that the programs are attached
    /// to: by XDP in the driver of a device, else by tc.
    ///
    /// Of interfaces that are software, XDP may only seem to send: a veth drops what it
    /// is given this way unless the far end is prepared for it.
    ///
    /// # Errors
    ///
    /// The interface is gone, the kernel refuses, or it has no hardware address.
    pub fn answer_probes(
        &mut self,
        namespace: &Namespace,
        link: &Link,
        attachment: &mut Attachment,
        pins: Option<&PinDirectory>,
    ) -> Result<()> {
        let mac = link.mac.context("the interface has no hardware address")?;
        let bounce = match attachment.ingress {
            Hook::NativeXdp if !link.software => BOUNCE_XDP,
            _ => BOUNCE_TC,
        };
        let by_xdp = matches!(attachment.ingress, Hook::NativeXdp | Hook::GenericXdp);
        attachment.answers = Some(attachment.ingress);
        if by_xdp && bounce == BOUNCE_TC {
            let pin = pins.map(|pins| {
                let name = format!("{}-{}-bounce", namespace.inode(), link.index);
                pins.path().join(name)
            });
            let interface = Interface {
                index: link.index,
                name: link.name.clone(),
                ethernet: link.ethernet,
                xdp_program: None,
            };
            let (hook, held) = namespace.enter(|| {
                self.attach_tc(
                    namespace,
                    &interface,
                    names::TC_BOUNCE,
                    pin,
                    &mut attachment.fallbacks,
                )
            })?;
            attachment.answers = Some(hook);
            attachment.links.push(held);
        }
        let key = LinkKey {
            netns: namespace.inode(),
            ifindex: link.index,
        };
        let link = names::Link {
            mac,
            bounce,
            reserved: 0,
        };
        self.maps().answer_probes(key, link)
    }

    fn attach_ingress(
        &mut self,
        namespace: &Namespace,
        interface: &Interface,
        pin: Option<PathBuf>,
        fallbacks: &mut Vec<String>,
    ) -> Result<(Hook, Held)> {
        let modes = [
            (Hook::NativeXdp, XdpMode::Driver, pin.clone()),
            (Hook::GenericXdp, XdpMode::Skb, beside(&pin, "generic")),
        ];
        for (hook, _, pin) in &modes {
            if let Some(held) = self.take_over_xdp(pin.as_deref()) {
                return Ok((*hook, held));
            }
        }
        if let Some(id) = interface.xdp_program {
            fallbacks.push(format!("XDP is taken by another program (id {id})"));
        } else {
            for (hook, mode, pin) in modes {
                match self.attach_xdp(interface, mode, pin) {
                    Ok(held) => return Ok((hook, held)),
                    Err(error) => fallbacks.push(format!("{hook}: {error:#}")),
                }
            }
        }
        self.attach_tc(
            namespace,
            interface,
            names::TC_INGRESS,
            beside(&pin, "tc"),
            fallbacks,
        )
        .with_context(|| format!("attach to what {} receives", interface.name))
    }

    fn attach_xdp(
        &mut self,
        interface: &Interface,
        mode: XdpMode,
        pin: Option<PathBuf>,
    ) -> Result<Held> {
        let program = self.xdp()?;
        let id = program
            .attach_to_if_index(interface.index, mode)
            .map_err(reason)?;
        let link: XdpLink = program.take_link(id)?;
        // A netlink attachment instead of a link would outlive a killed agent;
        // dropping it here detaches it.
        hold(
            FdLink::try_from(link).context("need a BPF link (Linux 5.9)")?,
            pin,
        )
    }

    /// Has a link that an agent before this one has left run this one's program; `None`
    /// where there is none that still is on an interface.
    fn take_over_xdp(&mut self, pin: Option<&Path>) -> Option<Held> {
        take_over(pin, |link| {
            let link = XdpLink::try_from(link)?;
            let program = self.xdp()?;
            let id = program.attach_to_link(link)?;
            Ok(FdLink::try_from(program.take_link(id)?)?)
        })
    }

    fn take_over_tcx(&mut self, name: &str, pin: Option<&Path>) -> Option<Held> {
        take_over(pin, |link| {
            let link = SchedClassifierLink::try_from(link)?;
            let program = self.tc(name)?;
            let id = program.attach_to_link(link)?;
            Ok(FdLink::try_from(program.take_link(id)?)?)
        })
    }

    /// As [`Self::take_over_tcx`], of a filter that is noted at `note`.
    fn take_over_filter(
        &mut self,
        namespace: &Namespace,
        interface: &Interface,
        name: &str,
        note: Option<PathBuf>,
    ) -> Option<Held> {
        let path = note.clone()?;
        let which = std::fs::read_link(&path).ok()?;
        let replaced = which
            .to_str()
            .and_then(|which| which.split_once(':'))
            .context("it is not a filter's number")
            .and_then(|(priority, handle)| {
                let handle = TcHandle::from(handle.parse::<u32>()?);
                let direction = direction(name);
                let old = SchedClassifierLink::attached(
                    &interface.name,
                    direction,
                    priority.parse()?,
                    handle,
                    None,
                )?;
                let namespace = Namespace::clone_of(namespace)?;
                let program = self.tc(name)?;
                let id = program.attach_to_link(old)?;
                Ok(Filter {
                    link: Some(program.take_link(id)?),
                    namespace,
                })
            });
        match replaced {
            Ok(filter) => Some(Held::Filter {
                _filter: filter,
                note,
            }),
            Err(error) => {
                debug!("take over {}: {error:#}", path.display());
                _ = std::fs::remove_file(&path);
                None
            }
        }
    }

    fn attach_tc(
        &mut self,
        namespace: &Namespace,
        interface: &Interface,
        name: &str,
        pin: Option<PathBuf>,
        fallbacks: &mut Vec<String>,
    ) -> Result<(Hook, Held)> {
        let note = beside(&pin, "filter");
        if let Some(held) = self.take_over_tcx(name, pin.as_deref()) {
            return Ok((Hook::Tcx, held));
        }
        if let Some(held) = self.take_over_filter(namespace, interface, name, note.clone()) {
            return Ok((Hook::Clsact, held));
        }
        let direction = direction(name);
        let program = self.tc(name)?;
        let order = TcAttachOptions::TcxOrder(LinkOrder::default());
        match program.attach_with_options(&interface.name, direction, order) {
            Ok(id) => {
                let link = FdLink::try_from(program.take_link(id)?)?;
                return Ok((Hook::Tcx, hold(link, pin)?));
            }
            Err(error) => fallbacks.push(format!("TCX: {:#}", reason(error))),
        }
        // Fails where it is there already, too, and then the filter can be added.
        let qdisc = qdisc_add_clsact(&interface.name);
        let options = TcAttachOptions::Netlink(NlOptions::default());
        let namespace = Namespace::clone_of(namespace)?;
        let id = program
            .attach_with_options(&interface.name, direction, options)
            .map_err(|error| {
                let error = reason(error).context("add a tc filter");
                match qdisc {
                    Ok(()) => error,
                    Err(qdisc) => error.context(format!("add the clsact qdisc: {qdisc}")),
                }
            })?;
        let link = program.take_link(id)?;
        if let Some(note) = &note {
            let which = format!("{}:{}", link.priority()?, u32::from(link.handle()?));
            symlink(which, note).with_context(|| format!("note {}", note.display()))?;
        }
        let filter = Filter {
            link: Some(link),
            namespace,
        };
        Ok((
            Hook::Clsact,
            Held::Filter {
                _filter: filter,
                note,
            },
        ))
    }
}

fn direction(name: &str) -> TcAttachType {
    if name == names::TC_EGRESS {
        TcAttachType::Egress
    } else {
        TcAttachType::Ingress
    }
}

/// A pin beside another one.
fn beside(pin: &Option<PathBuf>, what: &str) -> Option<PathBuf> {
    let pin = pin.as_ref()?;
    let name = pin.file_name()?.to_str()?;
    Some(pin.with_file_name(format!("{name}-{what}")))
}

/// Takes over the link that is pinned at `pin` by `replace`; what cannot be is let go.
fn take_over(pin: Option<&Path>, replace: impl FnOnce(FdLink) -> Result<FdLink>) -> Option<Held> {
    let path = pin.filter(|path| path.exists())?;
    let replaced = PinnedLink::from_pin(path)
        .map_err(anyhow::Error::new)
        .and_then(|pinned| replace(pinned.into()));
    match replaced {
        Ok(link) => Some(Held::Pinned {
            _link: link,
            path: path.to_owned(),
        }),
        Err(error) => {
            // Of an interface that is gone, say, whose index another one has now.
            debug!("take over {}: {error:#}", path.display());
            _ = std::fs::remove_file(path);
            None
        }
    }
}

fn hold(link: FdLink, pin: Option<PathBuf>) -> Result<Held> {
    Ok(match pin {
        None => Held::Link { _link: link },
        Some(path) => {
            let pinned = link
                .pin(&path)
                .with_context(|| format!("pin {}", path.display()))?;
            Held::Pinned {
                _link: pinned.into(),
                path,
            }
        }
    })
}

/// The system's own words: the library's say only which call failed.
fn reason(error: aya::programs::ProgramError) -> anyhow::Error {
    let error = anyhow::Error::new(error);
    let last = error.root_cause().to_string();
    anyhow::Error::msg(last)
}
