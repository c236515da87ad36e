//! Reading block by block into one buffer.

use std::io::{ErrorKind, Read};
use std::ops::Range;

use anyhow::{Context, Result};

/// What is read, and the block that was read last.
pub(super) struct Input<R> {
    reader: R,
    block: Vec<u8>,
}

impl<R: Read> Input<R> {
    pub(super) const fn new(reader: R) -> Self {
        Self {
            reader,
            block: Vec::new(),
        }
    }

    /// Keeps the first `kept` bytes of the block and reads `more` behind them;
    /// the block, which is shorter than that where the input ends.
    ///
    /// The caller bounds `more`; the buffer grows with what is read, so that a
    /// length that promises too much costs nothing.
    pub(super) fn block(&mut self, kept: usize, more: u64) -> Result<&[u8]> {
        self.block.truncate(kept);
        let reader = &mut self.reader;
        reader
            .take(more)
            .read_to_end(&mut self.block)
            .context("read the file")?;
        Ok(&self.block)
    }

    /// Reads `length` bytes and forgets them; how many there were.
    pub(super) fn skip(&mut self, length: u64) -> Result<u64> {
        let mut skipped = 0;
        let mut buffer = [0; 4_096];
        let mut rest = (&mut self.reader).take(length);
        loop {
            match rest.read(&mut buffer) {
                Ok(0) => return Ok(skipped),
                Ok(read) => skipped += read as u64,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("read the file"),
            }
        }
    }

    /// A part of the block; empty where the block does not have it.
    pub(super) fn get(&self, range: Range<usize>) -> &[u8] {
        self.block.get(range).unwrap_or_default()
    }
}

/// The byte order of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Big,
    Little,
}

impl Order {
    /// The number at `at`; 0 where `bytes` end before, so the caller checks the length.
    pub(super) fn u32(self, bytes: &[u8], at: usize) -> u32 {
        let bytes = bytes
            .get(at..)
            .and_then(|rest| rest.first_chunk())
            .copied()
            .unwrap_or_default();
        if self == Self::Big {
            u32::from_be_bytes(bytes)
        } else {
            u32::from_le_bytes(bytes)
        }
    }

    /// As [`Self::u32`].
    pub(super) fn u16(self, bytes: &[u8], at: usize) -> u16 {
        let bytes = bytes
            .get(at..)
            .and_then(|rest| rest.first_chunk())
            .copied()
            .unwrap_or_default();
        if self == Self::Big {
            u16::from_be_bytes(bytes)
        } else {
            u16::from_le_bytes(bytes)
        }
    }
}
