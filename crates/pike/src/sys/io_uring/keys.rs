//! Whose the entries are that the kernel has not taken: there is no way to look at what is in the submission queue.
//!
//! One store an entry, for the day on which the kernel refuses to be entered for good: those that it never saw are ended then,
//! and all others are in flight (I9).

use super::ring::SUBMISSIONS;

/// The keys of the entries that were pushed last, as many as the queue holds.
pub(super) struct Keys {
    all: Box<[u64; SUBMISSIONS as usize]>,
    /// Where the next goes. It wraps as the queue does.
    next: u8,
}

const _: () = assert!(SUBMISSIONS == 1 << u8::BITS);

impl Default for Keys {
    fn default() -> Self {
        Self { all: Box::new([0; SUBMISSIONS as usize]), next: 0 }
    }
}

impl Keys {
    #[inline(always)]
    pub(super) fn note(&mut self, key: u64) {
        self.all[usize::from(self.next)] = key;
        self.next = self.next.wrapping_add(1);
    }

    /// The last so many, in order.
    pub(super) fn last(&self, count: usize) -> impl Iterator<Item = u64> {
        let first = usize::from(self.next) + self.all.len() - count;
        (first..first + count).map(|at| self.all[at % self.all.len()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_keys_are_known() {
        let mut keys = Keys::default();
        (0..600).for_each(|key| keys.note(key));
        for count in [0, 1, 88, 89, 256] {
            assert!(keys.last(count).eq(600 - count as u64..600), "{count}");
        }
    }
}
