//! The programs that run in the kernel: they read frames, let
//! `keepfast_common` decide what they mean, keep its state in maps, and report
//! transitions through a ring buffer.
//!
//! Every program passes every frame on, but for probes, which are for it alone, what a
//! router that was taken over from would say of its addresses, and adverts that cannot be
//! legitimate, where they are to be dropped. Start reading at [`hooks`].
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]
#![feature(stmt_expr_attributes)]

/// The entry points, one for each place in the kernel.
mod hooks;

/// Reading a frame and the place where it was seen.
mod frame;

/// What a frame means for the state in the maps.
mod observe;

/// Virtual routers: adverts and their timer.
mod routers;

/// Probes of liveness, and their timer.
mod probes;

/// Writing into frames, and turning them round.
mod turn;

/// Gateways and addresses: ARP, neighbour discovery and their timer.
mod holdings;

/// Which received adverts may go on.
mod protect;

/// What strangers may have.
mod share;

/// Arming the timer of a map element.
mod timer;

/// What happened last, for when the agent is not there.
mod blackbox;

/// Events into the ring buffer.
mod emit;

/// Counting per interface.
mod count;

/// The maps.
mod maps;

/// GPL-compatible, as the timer helpers demand.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// A panic must not be reachable. The loop makes the verifier refuse the program
/// if one is; anything "unreachable" would let it load and run on.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
