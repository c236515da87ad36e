//! The only file that reads packets and kernel structures.

use core::arch::asm;
use core::cell::UnsafeCell;
use core::ffi::c_void;

use aya_ebpf::bindings::{__sk_buff, xdp_md};
use aya_ebpf::helpers::bpf_probe_read_kernel;
use aya_ebpf::helpers::generated::bpf_skb_load_bytes;
use aya_ebpf::programs::{TcContext, XdpContext};
use aya_ebpf::{EbpfContext, Global};
use keepfast_common::maps::NetnsOffsets;
use keepfast_common::wire::{Frame, checksum};

/// Set by the agent when it loads the programs.
#[unsafe(no_mangle)]
static NETNS_OFFSETS: Global<NetnsOffsets> = Global::new(NetnsOffsets {
    known: 0,
    xdp_buff_rxq: 0,
    xdp_rxq_info_dev: 0,
    sk_buff_dev: 0,
    net_device_net: 0,
    net_inum: 0,
});

/// A frame where it was seen.
pub(crate) trait Sighting: Frame {
    /// What the helpers know the frame by.
    type Context: EbpfContext;
    /// What the helpers know the frame by.
    fn context(&self) -> &Self::Context;
    /// Index of the interface in its namespace.
    fn ifindex(&self) -> u32;
    /// Inode number of the network namespace, 0 where the kernel does not tell.
    fn netns(&self) -> u32;
}

/// A frame that XDP sees.
pub(crate) struct XdpFrame<'a>(pub(crate) &'a XdpContext);

impl Frame for XdpFrame<'_> {
    #[inline(always)]
    fn read<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        // SAFETY: the bounds are the context's own.
        unsafe { read_direct(self.0.data(), self.0.data_end(), offset) }
    }

    #[inline(always)]
    fn words(&self, at: usize, length: usize) -> Option<u64> {
        some(xdp_words(self.0.ctx, at as u32, length as u32))
    }
}

impl Sighting for XdpFrame<'_> {
    type Context = XdpContext;

    #[inline(always)]
    fn context(&self) -> &XdpContext {
        self.0
    }

    #[inline(always)]
    fn ifindex(&self) -> u32 {
        self.0.ingress_ifindex() as u32
    }

    #[inline(always)]
    fn netns(&self) -> u32 {
        let offsets = NETNS_OFFSETS.load();
        if offsets.known == 0 {
            return 0;
        }
        let Some(rxq) = follow(self.0.as_ptr(), offsets.xdp_buff_rxq) else {
            return 0;
        };
        let Some(device) = follow(rxq, offsets.xdp_rxq_info_dev) else {
            return 0;
        };
        netns_of(device, &offsets)
    }
}

/// A frame that tc sees.
///
/// Read by the helper, for its bytes may lie in fragments of the skb; by way of
/// one buffer, for one for each place that reads would not fit on the stack.
pub(crate) struct TcFrame<'a> {
    context: &'a TcContext,
    buffer: UnsafeCell<[u8; LONGEST_READ]>,
}

/// The most that is read at once: an IPv4 header.
const LONGEST_READ: usize = 20;

impl<'a> TcFrame<'a> {
    #[inline(always)]
    pub(crate) const fn new(context: &'a TcContext) -> Self {
        Self {
            context,
            buffer: UnsafeCell::new([0; LONGEST_READ]),
        }
    }
}

impl Frame for TcFrame<'_> {
    #[inline(always)]
    fn read<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        const { assert!(N <= LONGEST_READ) };
        let buffer = self.buffer.get();
        // SAFETY: the helper checks the offset against the skb's length and
        // writes N bytes or none; no reference to the buffer outlives this call.
        unsafe {
            let result = bpf_skb_load_bytes(
                self.context.as_ptr(),
                offset as u32,
                buffer.cast::<c_void>(),
                N as u32,
            );
            if result == 0 {
                Some(*buffer.cast::<[u8; N]>())
            } else {
                None
            }
        }
    }

    #[inline(always)]
    fn words(&self, at: usize, length: usize) -> Option<u64> {
        some(tc_words(self.context.skb.skb, at as u32, length as u32))
    }

    #[inline(always)]
    fn stripped_tag(&self) -> Option<u16> {
        // SAFETY: fields of the program's own context.
        let (present, tci) = unsafe {
            (
                (*self.context.skb.skb).vlan_present,
                (*self.context.skb.skb).vlan_tci,
            )
        };
        if present == 0 { None } else { Some(tci as u16) }
    }
}

impl TcFrame<'_> {
    /// Whether the frame came in by an interface, and is passed on.
    #[inline(always)]
    pub(crate) fn is_forwarded(&self) -> bool {
        // SAFETY: a field of the program's own context.
        unsafe { (*self.context.skb.skb).ingress_ifindex != 0 }
    }

    /// The type of what is in the frame, as Ethernet numbers it.
    #[inline(always)]
    pub(crate) fn protocol(&self) -> u16 {
        // SAFETY: as above. It is in network byte order.
        u16::from_be(unsafe { (*self.context.skb.skb).protocol } as u16)
    }
}

impl Sighting for TcFrame<'_> {
    type Context = TcContext;

    #[inline(always)]
    fn context(&self) -> &TcContext {
        self.context
    }

    #[inline(always)]
    fn ifindex(&self) -> u32 {
        // SAFETY: a field of the program's own context.
        unsafe { (*self.context.skb.skb).ifindex }
    }

    #[inline(always)]
    fn netns(&self) -> u32 {
        let offsets = NETNS_OFFSETS.load();
        if offsets.known == 0 {
            return 0;
        }
        match follow(self.context.as_ptr(), offsets.sk_buff_dev) {
            Some(device) => netns_of(device, &offsets),
            None => 0,
        }
    }
}

/// What the functions below say for "the frame ends before": no sum comes to that.
const NO_SUM: u64 = u64::MAX;

/// [`checksum::words`] over a frame that XDP sees. Exported, for such functions
/// are verified apart, whatever is known of their arguments where they are called.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn xdp_words(ctx: *mut xdp_md, at: u32, length: u32) -> u64 {
    let context = XdpContext::new(ctx);
    checksum::words(&XdpFrame(&context), at as usize, length as usize).unwrap_or(NO_SUM)
}

/// [`checksum::words`] over a frame that tc sees; see [`xdp_words`].
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn tc_words(skb: *mut __sk_buff, at: u32, length: u32) -> u64 {
    let context = TcContext::new(skb);
    checksum::words(&TcFrame::new(&context), at as usize, length as usize).unwrap_or(NO_SUM)
}

#[inline(always)]
const fn some(sum: u64) -> Option<u64> {
    if sum == NO_SUM { None } else { Some(sum) }
}

/// Reads a frame whose bytes lie between `data` and `end`.
///
/// # Safety
///
/// `data` and `end` must be those of the running program's context.
#[inline(always)]
unsafe fn read_direct<const N: usize>(data: usize, end: usize, offset: usize) -> Option<[u8; N]> {
    // Verifier: bounds the offset, which is added to a packet pointer.
    if offset > 0x7fff {
        return None;
    }
    // Verifier: it believes that bytes are there only if the very register that
    // they are read through was compared, moved by a constant, with the end.
    let start = as_it_stands(data + offset);
    if as_it_stands(start + N) > end {
        return None;
    }
    // SAFETY: the N bytes from `start` on lie within the packet, as just checked;
    // an array of bytes needs no alignment.
    Some(unsafe { *(start as *const [u8; N]) })
}

/// Hides where a value comes from, so that the compiler does not rewrite the
/// arithmetic and comparisons around it into forms that the verifier refuses.
#[inline(always)]
fn as_it_stands(value: usize) -> usize {
    let mut value = value;
    // SAFETY: copies a register onto itself. Not nothing at all: each statement
    // needs an instruction that its line information can point at.
    unsafe { asm!("{0} = {0}", inout(reg) value, options(pure, nomem, nostack, preserves_flags)) };
    value
}

/// The pointer that the kernel keeps `offset` bytes behind `base`.
#[inline(always)]
fn follow(base: *mut c_void, offset: u32) -> Option<*mut c_void> {
    // SAFETY: the helper reads any kernel address and fails on a bad one; the
    // offsets come from this kernel's own BTF.
    match unsafe { bpf_probe_read_kernel(base.byte_add(offset as usize).cast::<*mut c_void>()) } {
        Ok(pointer) if !pointer.is_null() => Some(pointer),
        _ => None,
    }
}

#[inline(always)]
fn netns_of(device: *mut c_void, offsets: &NetnsOffsets) -> u32 {
    let Some(net) = follow(device, offsets.net_device_net) else {
        return 0;
    };
    // SAFETY: as in `follow`.
    unsafe { bpf_probe_read_kernel(net.byte_add(offsets.net_inum as usize).cast::<u32>()) }
        .unwrap_or_default()
}
