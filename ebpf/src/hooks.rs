use aya_ebpf::bindings::xdp_action::{XDP_DROP, XDP_PASS};
use aya_ebpf::bindings::{TC_ACT_SHOT, TC_ACT_UNSPEC};
use aya_ebpf::macros::{classifier, xdp};
use aya_ebpf::programs::{TcContext, XdpContext};
use keepfast_common::digest::digest;
use keepfast_common::maps::{BOUNCE_TC, BOUNCE_XDP, REARM_HOLDING, REARM_ROUTER, Rearm};
use keepfast_common::wire::{Frame as _, Subject};

use crate::blackbox;
use crate::frame::{TcFrame, XdpFrame};
use crate::maps::scratch;
use crate::observe::{leaving, received, received_probe};
use crate::probes::Fate;
use crate::{holdings, routers, turn};

/// What an interface receives.
#[xdp]
pub(crate) fn xdp_ingress(ctx: XdpContext) -> u32 {
    let Some(scratch) = scratch() else {
        return XDP_PASS;
    };
    match received(&XdpFrame(&ctx), scratch, BOUNCE_XDP) {
        Fate::Pass => XDP_PASS,
        Fate::Drop => XDP_DROP,
        Fate::Bounce => turn::bounce_xdp(&ctx, &scratch.packet.probe, &scratch.stamps),
    }
}

/// What an interface receives, where XDP cannot be attached.
#[classifier]
pub(crate) fn tc_ingress(ctx: TcContext) -> i32 {
    let Some(scratch) = scratch() else {
        return TC_ACT_UNSPEC;
    };
    match received(&TcFrame::new(&ctx), scratch, BOUNCE_TC) {
        Fate::Pass => TC_ACT_UNSPEC,
        Fate::Drop => TC_ACT_SHOT,
        Fate::Bounce => turn::bounce_tc(&ctx, &scratch.packet.probe, &scratch.stamps),
    }
}

/// Probes that XDP cannot send back on this interface, and leaves for tc to do.
#[classifier]
pub(crate) fn tc_bounce(ctx: TcContext) -> i32 {
    let Some(scratch) = scratch() else {
        return TC_ACT_UNSPEC;
    };
    match received_probe(&TcFrame::new(&ctx), scratch, BOUNCE_TC) {
        Fate::Bounce => turn::bounce_tc(&ctx, &scratch.packet.probe, &scratch.stamps),
        _ => TC_ACT_UNSPEC,
    }
}

/// What an interface sends.
#[classifier]
pub(crate) fn tc_egress(ctx: TcContext) -> i32 {
    let Some(scratch) = scratch() else {
        return TC_ACT_UNSPEC;
    };
    // SAFETY: a field of the program's own context.
    let mark = unsafe { (*ctx.skb.skb).mark };
    let frame = TcFrame::new(&ctx);
    let fate = leaving(&frame, scratch, mark);
    if blackbox::is_awaited() && scratch.packet.subject as u8 == Subject::Other as u8 {
        blackbox::left(&frame);
    }
    match fate {
        (Fate::Drop, _) => TC_ACT_SHOT,
        (_, 0) => TC_ACT_UNSPEC,
        (_, sent_ns) => {
            turn::stamp_sent(&ctx, sent_ns);
            TC_ACT_UNSPEC
        }
    }
}

/// Turns a frame round into the receive path; run by the agent, never attached.
#[classifier]
pub(crate) fn tc_inject(ctx: TcContext) -> i32 {
    turn::inject(&ctx)
}

/// Stands in for a timer that the kernel refused, or takes one over from an older program;
/// run by the agent, never attached.
#[xdp]
pub(crate) fn xdp_rearm(ctx: XdpContext) -> u32 {
    let frame = XdpFrame(&ctx);
    if let Some(wish) = frame.read::<{ size_of::<Rearm>() }>(0) {
        let wish: Rearm = bytemuck::cast(wish);
        match wish.what {
            REARM_ROUTER => routers::renew(&wish.router),
            REARM_HOLDING => holdings::renew(&wish.address),
            _ => routers::rearm(&wish.router),
        }
    }
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
