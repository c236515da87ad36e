//! The Internet checksum (RFC 1071) over a part of a frame.

use super::{Address, Frame};

/// The longest message that is summed, in bytes: what an Ethernet frame of 1,500
/// bytes carries behind an IPv4 header. It bounds the loop for the verifier.
pub const LONGEST: usize = 1480;

/// What a message with a right checksum [`fold`]s to.
pub const RIGHT: u16 = 0xffff;

/// The sum of the `length` bytes from `at` on as 32-bit words; `None` where the
/// frame ends before. A last word that is not whole, and what lies past
/// [`LONGEST`], are left out.
#[inline(always)]
pub fn words<F: Frame + ?Sized>(frame: &F, at: usize, length: usize) -> Option<u64> {
    let mut sum = 0;
    let mut done = 0;
    while done < LONGEST {
        if length < done + 4 {
            break;
        }
        // 370 words of 32 bits cannot overflow 64.
        sum += u64::from(u32::from_be_bytes(frame.read::<4>(at + done)?));
        done += 4;
    }
    Some(sum)
}

/// Adds the pseudo-header: of IPv6 as in RFC 8200 section 8.1; of IPv4 the same
/// fields, as RFC 5798 has it for VRRPv3.
#[inline(always)]
pub fn add_pseudo_header(
    source: &Address,
    destination: &Address,
    protocol: u8,
    length: usize,
    sum: u64,
) -> u64 {
    // IPv4 takes the first four bytes; the others are zero and add nothing.
    sum + add_address(source) + add_address(destination) + u64::from(protocol) + length as u64
}

#[inline(always)]
const fn add_address(address: &Address) -> u64 {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = *address;
    u32::from_be_bytes([a, b, c, d]) as u64
        + u32::from_be_bytes([e, f, g, h]) as u64
        + u32::from_be_bytes([i, j, k, l]) as u64
        + u32::from_be_bytes([m, n, o, p]) as u64
}

/// Folds a sum of 32-bit words to 16 bits; [`RIGHT`] where the message's checksum
/// is right.
#[inline(always)]
pub const fn fold(sum: u64) -> u16 {
    let sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    (sum & 0xffff) as u16
}
