//! The only file that writes into frames, and that sends one another way than it was
//! going.

use core::ffi::c_void;

use aya_ebpf::EbpfContext;
use aya_ebpf::bindings::xdp_action::{XDP_PASS, XDP_TX};
use aya_ebpf::bindings::{BPF_F_INGRESS, TC_ACT_REDIRECT, TC_ACT_SHOT, TC_ACT_UNSPEC};
use aya_ebpf::helpers::generated::{bpf_clone_redirect, bpf_redirect, bpf_skb_store_bytes};
use aya_ebpf::programs::{TcContext, XdpContext};
use keepfast_common::wire::probe::{
    FRAME, KIND_ANSWER, KIND_AT, PAYLOAD, Probe, SENT_AT, STAMPS_AT, Stamps,
};

/// Sends a probe back with what is to be stamped into it.
#[inline(always)]
pub(crate) fn bounce_xdp(ctx: &XdpContext, probe: &Probe, stamps: &Stamps) -> u32 {
    let start = ctx.data();
    if start + FRAME > ctx.data_end() {
        return XDP_PASS;
    }
    let frame = start as *mut u8;
    // SAFETY: the frame has at least this many bytes, as just checked; bytes need no
    // alignment.
    unsafe {
        frame.cast::<[u8; 6]>().write(probe.source);
        frame.add(6).cast::<[u8; 6]>().write(probe.destination);
        frame.add(PAYLOAD + KIND_AT).write(KIND_ANSWER);
        frame
            .add(PAYLOAD + STAMPS_AT)
            .cast::<[u8; 28]>()
            .write(stamps.to_bytes());
    }
    XDP_TX
}

/// As [`bounce_xdp`], for tc.
#[inline(always)]
pub(crate) fn bounce_tc(ctx: &TcContext, probe: &Probe, stamps: &Stamps) -> i32 {
    let written = store(ctx, 0, &probe.source)
        && store(ctx, 6, &probe.destination)
        && store(ctx, PAYLOAD + KIND_AT, &[KIND_ANSWER])
        && store(ctx, PAYLOAD + STAMPS_AT, &stamps.to_bytes());
    if !written {
        return TC_ACT_SHOT;
    }
    // SAFETY: a field of the program's own context; the helper has no preconditions.
    unsafe { bpf_redirect((*ctx.skb.skb).ifindex, 0) as i32 }
}

/// Writes into a probe of this host when it left.
#[inline(always)]
pub(crate) fn stamp_sent(ctx: &TcContext, now: u64) {
    store(ctx, PAYLOAD + SENT_AT, &now.to_be_bytes());
}

/// Gives a copy of the frame to the interface that the program is run for, as if it
/// had received it. The frame itself goes nowhere.
///
/// The agent runs this by the system call for test runs, so that it is the only one
/// who can: it takes a descriptor of this program. Such a frame is never handed to a
/// device to send, so there is no way for it to reach the wire.
#[inline(always)]
pub(crate) fn inject(ctx: &TcContext) -> i32 {
    // SAFETY: a field of the program's own context; the helper checks the interface.
    let outcome = unsafe {
        bpf_clone_redirect(
            ctx.skb.skb,
            (*ctx.skb.skb).ifindex,
            u64::from(BPF_F_INGRESS),
        )
    };
    if outcome == 0 {
        TC_ACT_UNSPEC
    } else {
        TC_ACT_SHOT
    }
}

#[inline(always)]
fn store<const N: usize>(ctx: &TcContext, at: usize, bytes: &[u8; N]) -> bool {
    // SAFETY: the helper checks the offset against the skb's length, and reads N bytes
    // that are there.
    unsafe {
        bpf_skb_store_bytes(
            ctx.as_ptr().cast(),
            at as u32,
            bytes.as_ptr().cast::<c_void>(),
            N as u32,
            0,
        ) == 0
    }
}

const _: () = assert!(TC_ACT_REDIRECT == 7);
