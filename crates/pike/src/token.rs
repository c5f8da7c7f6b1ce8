//! The number the kernel hands back for a source: which slot, and which use of that slot.
//!
//! Slots are recycled, so a report that the kernel made for one descriptor may be read after the slot has gone to
//! another. The generation tells them apart (I4): it counts the uses of a slot in full width, and a slot whose
//! generations are used up is retired instead of starting over.

/// A slot number (29 bits) and the generation of its use (32 bits), packed in the 64 bits that kernels carry for us.
/// Three bits stay zero: a backend that has requests of its own beside a source's marks them there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token(u64);

/// The first slot number that no source has: the numbers from here on are the backends' own.
pub(crate) const SLOT_MAX: u32 = (1 << 29) - 16;

impl Token {
    #[inline]
    pub(crate) const fn new(slot: u32, generation: u32) -> Self {
        Self((generation as u64) << 32 | slot as u64)
    }

    /// A token of the backend itself (its notify descriptor, its timer): `n` below 15, never a source's.
    pub(crate) const fn internal(n: u32) -> Self {
        assert!(n < 15);
        Self::new(SLOT_MAX + n, 0)
    }

    #[cfg_attr(windows, allow(dead_code, reason = "a port hands back addresses"))]
    #[inline]
    pub(crate) const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    #[cfg_attr(windows, allow(dead_code, reason = "as above"))]
    #[inline]
    pub(crate) const fn bits(self) -> u64 {
        self.0
    }

    #[inline]
    pub(crate) const fn slot(self) -> u32 {
        self.0 as u32
    }

    #[inline]
    pub(crate) const fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn both_halves_survive_in_full_width() {
        for (slot, generation) in [(0, 0), (1, u32::MAX), (SLOT_MAX - 1, 7), (12345, 1 << 31)] {
            let token = Token::from_bits(Token::new(slot, generation).bits());
            assert_eq!((token.slot(), token.generation()), (slot, generation));
        }
    }

    #[test]
    fn internal_tokens_are_no_slot() {
        assert!(Token::internal(0).slot() >= SLOT_MAX);
        assert_ne!(Token::internal(0), Token::internal(1));
    }
}
