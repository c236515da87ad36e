//! Probes and what answers them, made here byte by byte, without a line of the code under test.

/// Offsets that decide whether a frame is a probe, and values that each of them may have there.
pub(crate) const DECISIVE: [(usize, &[u8]); 17] = [
    (6, &[0x00, 0x01, 0x02, 0xff]),
    (14, &[0x44, 0x45, 0x46, 0x65]),
    (15, &[0x00, 0xff]),
    (16, &[0, 1]),
    (17, &[107, 108, 109]),
    (20, &[0x00, 0x1f, 0x20, 0x40, 0x80]),
    (21, &[0, 1]),
    (22, &[0, 1, 64, 253, 254, 255]),
    (23, &[6, 17, 112]),
    (29, &[8, 9]),
    (33, &[8, 9]),
    (36, &[0x0e, 0x0f]),
    (37, &[0xc8, 0xc9]),
    (39, &[0, 87, 88, 89]),
    (42, &[0x4b, 0x4c]),
    (46, &[0, 1, 2]),
    (47, &[0, 1, 2, 3, 4, 255]),
];

/// One of each kind, and one that was forwarded; each byte of what they say another one.
pub(crate) fn probes() -> [Vec<u8>; 4] {
    [(1, 255), (2, 255), (3, 255), (1, 254)].map(|(kind, ttl)| {
        let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x08, 0x00];
        frame.extend([0x45, 0xc0, 0, 108, 0, 0, 0, 0, ttl, 17, 0, 0]);
        frame.extend([10, 99, 0, 9, 10, 99, 0, 9]);
        frame.extend([0x0e, 0xc9, 0x0e, 0xc9, 0, 88, 0, 0]);
        frame.extend(b"KFLB");
        frame.extend([1, kind]);
        frame.extend((frame.len() as u8..122).map(|at| at | 0x80));
        frame
    })
}
