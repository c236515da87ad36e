//! The Internet checksum (RFC 1071) over a part of a frame.

use super::{Address, Frame};

/// The longest message that is summed, in bytes: what an Ethernet frame of 1,500
/// bytes carries behind an IPv4 header. It bounds the loop for the verifier.
pub const LONGEST: usize = 1480;

/// What a message with a right checksum [`fold`]s to.
pub const RIGHT: u16 = 0xffff;

/// Adds the `length` bytes from `at` on to `sum`; an odd last byte counts as the
/// high one. Bytes past [`LONGEST`] are not added. `None` where the frame ends
/// before.
#[inline(always)]
pub fn add_bytes<F: Frame + ?Sized>(
    frame: &F,
    at: usize,
    length: usize,
    sum: u32,
) -> Option<u32> {
    let mut sum = sum;
    let mut done = 0;
    while done < LONGEST {
        if length < done + 2 {
            if length > done {
                let [last] = frame.read::<1>(at + done)?;
                sum = sum.wrapping_add(u32::from(last) << 8);
            }
            break;
        }
        let word = frame.read::<2>(at + done)?;
        // 740 words of 16 bits cannot overflow 32.
        sum = sum.wrapping_add(u32::from(u16::from_be_bytes(word)));
        done += 2;
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
    sum: u32,
) -> u32 {
    // IPv4 takes the first four bytes; the others are zero and add nothing.
    sum.wrapping_add(add_address(source))
        .wrapping_add(add_address(destination))
        .wrapping_add(u32::from(protocol))
        .wrapping_add(length as u32)
}

#[inline(always)]
fn add_address(address: &Address) -> u32 {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = *address;
    u32::from(u16::from_be_bytes([a, b]))
        + u32::from(u16::from_be_bytes([c, d]))
        + u32::from(u16::from_be_bytes([e, f]))
        + u32::from(u16::from_be_bytes([g, h]))
        + u32::from(u16::from_be_bytes([i, j]))
        + u32::from(u16::from_be_bytes([k, l]))
        + u32::from(u16::from_be_bytes([m, n]))
        + u32::from(u16::from_be_bytes([o, p]))
}

/// Folds the carries in; [`RIGHT`] where the message's checksum is right.
#[inline(always)]
pub const fn fold(sum: u32) -> u16 {
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    (sum & 0xffff) as u16
}
