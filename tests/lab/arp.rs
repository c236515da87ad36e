//! ARP messages made by hand.

/// ARP: `operation` 1 asks for `target`, 2 says where `sender` is.
#[must_use]
pub fn arp(operation: u8, from: [u8; 6], sender: [u8; 4], target: [u8; 4]) -> Vec<u8> {
    let mut frame = [[0xff; 6], from].concat();
    frame.extend([0x08, 0x06, 0, 1, 0x08, 0x00, 6, 4, 0, operation]);
    frame.extend(from);
    frame.extend(sender);
    frame.extend([0; 6]);
    frame.extend(target);
    frame.resize(60, 0);
    frame
}
