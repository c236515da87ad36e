//! What can be broken, and for how long it stays so.

use std::time::Duration;

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Kind {
    AgentKilled,
    AgentStopped,
    KeepalivedKilled,
    KeepalivedStopped,
    NodeCut,
    RouterCut,
    RouterDeaf,
    RouterMute,
    SwitchDown,
    AddressDeleted,
    InterfaceDeleted,
    NamespaceDeleted,
    DiskFull,
    DiskReadOnly,
    Descriptors,
    Memory,
    Overrun,
}

pub(crate) const KINDS: [Kind; 17] = [
    Kind::AgentKilled,
    Kind::AgentStopped,
    Kind::KeepalivedKilled,
    Kind::KeepalivedStopped,
    Kind::NodeCut,
    Kind::RouterCut,
    Kind::RouterDeaf,
    Kind::RouterMute,
    Kind::SwitchDown,
    Kind::AddressDeleted,
    Kind::InterfaceDeleted,
    Kind::NamespaceDeleted,
    Kind::DiskFull,
    Kind::DiskReadOnly,
    Kind::Descriptors,
    Kind::Memory,
    Kind::Overrun,
];

impl Kind {
    /// For people.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::AgentKilled => "agent killed",
            Self::AgentStopped => "agent stopped",
            Self::KeepalivedKilled => "keepalived killed",
            Self::KeepalivedStopped => "keepalived stopped",
            Self::NodeCut => "host cut off",
            Self::RouterCut => "router cut off",
            Self::RouterDeaf => "router hears nothing",
            Self::RouterMute => "router is not heard",
            Self::SwitchDown => "switch down",
            Self::AddressDeleted => "address deleted",
            Self::InterfaceDeleted => "interface deleted",
            Self::NamespaceDeleted => "namespace deleted",
            Self::DiskFull => "disk full",
            Self::DiskReadOnly => "disk read-only",
            Self::Descriptors => "no descriptors",
            Self::Memory => "no memory",
            Self::Overrun => "ring overrun",
        }
    }

    /// From its begin to its end.
    pub(crate) const fn lasts(self) -> Duration {
        Duration::from_millis(match self {
            Self::AgentKilled
            | Self::SwitchDown
            | Self::InterfaceDeleted
            | Self::NamespaceDeleted => 1_000,
            Self::KeepalivedKilled | Self::AddressDeleted => 0,
            _ => 2_000,
        })
    }

    /// Whether it strikes all of a host's routers, or everybody's.
    pub(crate) const fn of_host(self) -> bool {
        !matches!(
            self,
            Self::KeepalivedKilled
                | Self::KeepalivedStopped
                | Self::RouterCut
                | Self::RouterDeaf
                | Self::RouterMute
                | Self::AddressDeleted
                | Self::InterfaceDeleted
                | Self::NamespaceDeleted
        )
    }
}
