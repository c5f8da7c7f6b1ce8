//! Random numbers with a seed that can be repeated.

use std::{
    collections::hash_map::RandomState,
    env,
    hash::{BuildHasher, Hasher},
    thread,
};

/// SplitMix64 (Steele, Lea, Flood, 2014). Prints its seed if it is dropped by a panic.
#[derive(Debug)]
pub struct Rng {
    seed: u64,
    state: u64,
}

impl Rng {
    /// With the seed in `PIKE_SEED`, or a new one.
    #[expect(clippy::new_without_default, reason = "no two are equal")]
    pub fn new() -> Self {
        let given = env::var("PIKE_SEED").ok().and_then(|text| text.parse().ok());
        Self::with_seed(given.unwrap_or_else(|| RandomState::new().build_hasher().finish()))
    }

    /// With a seed that the case has chosen.
    pub fn with_seed(seed: u64) -> Self {
        Self { seed, state: seed }
    }

    /// Any number.
    #[expect(
        clippy::should_implement_trait,
        reason = "not an iterator: it never ends and is passed by reference"
    )]
    pub fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, which is not zero.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// True once in `n` calls on average.
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// Fills `bytes`.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        bytes
            .chunks_mut(8)
            .for_each(|chunk| chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]));
    }

    /// Shuffles `items` (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        (1..items.len()).rev().for_each(|at| items.swap(at, self.below(at + 1)));
    }
}

impl Drop for Rng {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("repeat with PIKE_SEED={}", self.seed);
        }
    }
}
