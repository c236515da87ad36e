//! The segment between the hosts and their gateway.

use crate::US;
use crate::dice::Dice;

/// One direction between two.
#[derive(Debug, Clone, Copy, Default)]
pub struct Path {
    /// Nothing gets through until then.
    pub cut_until: u64,
    /// Lost frames of a thousand.
    pub loss: u64,
}

/// All paths; the gateway is the last station.
#[derive(Debug)]
pub struct Network {
    paths: Vec<Vec<Path>>,
    /// Frames that come twice, of a thousand.
    pub doubled: u64,
    /// Frames that take longer than others that are sent later, of a thousand.
    pub slow: u64,
}

/// The longest that a frame may be on its way.
pub const TRAVEL_NS: u64 = 600 * US;

impl Network {
    /// One on which all is well.
    #[must_use]
    pub fn new(stations: usize) -> Self {
        Self {
            paths: vec![vec![Path::default(); stations]; stations],
            doubled: 0,
            slow: 0,
        }
    }

    /// The path from one to another.
    pub fn path(&mut self, from: usize, to: usize) -> &mut Path {
        &mut self.paths[from][to]
    }

    /// Whether what is sent now arrives for certain.
    #[must_use]
    pub fn is_whole(&self, from: usize, to: usize, now: u64) -> bool {
        let path = &self.paths[from][to];
        now >= path.cut_until && path.loss == 0
    }

    /// How long the copies of a frame take that is sent now; none: it is lost.
    pub fn travel(&self, from: usize, to: usize, now: u64, dice: &mut Dice) -> [Option<u64>; 2] {
        let path = &self.paths[from][to];
        if now < path.cut_until || dice.per_mille(path.loss) {
            return [None, None];
        }
        let high = if dice.per_mille(self.slow) {
            TRAVEL_NS
        } else {
            60 * US
        };
        let first = dice.between(5 * US, high);
        let second = dice
            .per_mille(self.doubled)
            .then(|| first + dice.between(US, 40 * US));
        [Some(first), second]
    }
}
