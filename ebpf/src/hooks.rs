use aya_ebpf::bindings::{TC_ACT_UNSPEC, xdp_action::XDP_PASS};
use aya_ebpf::macros::{classifier, xdp};
use aya_ebpf::programs::{TcContext, XdpContext};
use keepfast_common::digest::digest;

use crate::frame::{TcFrame, XdpFrame};
use crate::maps::scratch;
use crate::observe::observe;
use crate::routers::rearm;

/// What an interface receives.
#[xdp]
pub(crate) fn xdp_ingress(ctx: XdpContext) -> u32 {
    observe(&XdpFrame(&ctx), false);
    XDP_PASS
}

/// What an interface receives, where XDP cannot be attached.
#[classifier]
pub(crate) fn tc_ingress(ctx: TcContext) -> i32 {
    observe(&TcFrame::new(&ctx), false);
    TC_ACT_UNSPEC
}

/// What an interface sends.
#[classifier]
pub(crate) fn tc_egress(ctx: TcContext) -> i32 {
    observe(&TcFrame::new(&ctx), true);
    TC_ACT_UNSPEC
}

/// Stands in for a timer that the kernel refused; run by the agent, never attached.
#[xdp]
pub(crate) fn xdp_rearm(ctx: XdpContext) -> u32 {
    rearm(&XdpFrame(&ctx));
    XDP_PASS
}

/// What XDP costs by itself: the benchmark's yardstick.
#[xdp]
pub(crate) fn xdp_empty(_ctx: XdpContext) -> u32 {
    XDP_PASS
}

/// A frame's classification as a number, for test runs; never attached.
#[xdp]
pub(crate) fn xdp_digest(ctx: XdpContext) -> u32 {
    scratch().map_or(0, |scratch| digest(&XdpFrame(&ctx), &mut scratch.packet))
}

/// A frame's classification as a number, for test runs; never attached.
#[classifier]
pub(crate) fn tc_digest(ctx: TcContext) -> i32 {
    scratch().map_or(0, |scratch| {
        digest(&TcFrame::new(&ctx), &mut scratch.packet)
    }) as i32
}
