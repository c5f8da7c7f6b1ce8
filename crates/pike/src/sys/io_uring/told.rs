//! What one wait has reported already: one report a source and wait, as from epoll, and not one an arrival.
//!
//! A free ring has a completion for each arrival, and five connections that come together would wake five tasks of a
//! listener at once, instead of the first, which wakes the next. (The work of a bound ring is done inside of the
//! wait, where the kernel itself makes one completion of them.)

use crate::token::Token;

/// By slot: for which use of it, in which wait, which bits. Eight bytes, since every source has one.
#[derive(Clone, Copy, Debug, Default)]
struct Last {
    generation: u32,
    /// The number of the wait above the bits, of which there is room for the lowest eight.
    wait_and_bits: u32,
}

const BITS: u32 = 0xff;
const ONE_WAIT: u32 = BITS + 1;

#[derive(Debug, Default)]
pub(super) struct Told {
    /// The number of this wait, shifted above the bits.
    wait: u32,
    slots: Vec<Last>,
}

impl Told {
    /// A wait begins: nothing has been told in it.
    #[inline]
    pub(super) fn begin(&mut self) {
        self.wait = self.wait.wrapping_add(ONE_WAIT);
        if self.wait == 0 {
            self.begin_again();
        }
    }

    /// The numbers are used up, after 16 million waits: an old one must not look like one to come.
    #[cold]
    fn begin_again(&mut self) {
        self.slots.fill(Last::default());
        self.wait = ONE_WAIT;
    }

    /// Those of `bits` that this wait has not told of the source yet; from now on it has.
    #[inline]
    pub(super) fn news(&mut self, token: Token, bits: u64) -> u64 {
        if bits > BITS.into() {
            return bits; // an error, which is rare
        }
        let slot = token.slot() as usize;
        if slot >= self.slots.len() {
            self.grow(slot);
        }
        let (last, bits) = (&mut self.slots[slot], bits as u32);
        // The same slot may have changed hands in the middle of a wait.
        if last.wait_and_bits & !BITS != self.wait || last.generation != token.generation() {
            *last = Last { generation: token.generation(), wait_and_bits: self.wait | bits };
            return bits.into();
        }
        let news = bits & !last.wait_and_bits;
        last.wait_and_bits |= bits;
        news.into()
    }

    /// By an eighth, and not to twice the size: it stays.
    #[cold]
    fn grow(&mut self, slot: usize) {
        let len = slot + 1 + slot / 8;
        self.slots.reserve_exact(len - self.slots.len());
        self.slots.resize(len, Last::default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bit_of_a_source_is_told_once_a_wait() {
        let mut told = Told::default();
        let [one, other, again] = [(7, 0), (900, 0), (7, 1)].map(|(slot, use_)| Token::new(slot, use_));
        for _ in 0..3 {
            told.begin();
            assert_eq!(told.news(one, 1), 1);
            assert_eq!(told.news(one, 1), 0);
            assert_eq!(told.news(other, 1), 1);
            assert_eq!(told.news(one, 5), 4);
            assert_eq!(told.news(one, 4), 0);
            assert_eq!(told.news(again, 1), 1, "another source in the same slot");
        }
    }

    #[test]
    fn a_wait_is_not_taken_for_one_long_ago() {
        let (mut told, token) = (Told::default(), Token::new(0, 0));
        told.begin();
        assert_eq!(told.news(token, 1), 1);
        told.wait = 0_u32.wrapping_sub(ONE_WAIT);
        told.begin();
        assert_eq!(told.news(token, 1), 1);
    }
}
