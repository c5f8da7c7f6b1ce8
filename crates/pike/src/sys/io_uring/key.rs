//! The 64 bits that a request carries to its completion: what kind of request it is, and whose.
//!
//! ```text
//!   63                    32 31             3 2    0
//!  +------------------------+----------------+------+
//!  | generation of the slot | slot, 29 bits  | kind |     a request of a source
//!  +------------------------+----------------+------+
//!  | address of a block, aligned to 16       | kind |     an operation that owns its buffer
//!  +-----------------------------------------+------+
//! ```

use std::ptr::NonNull;

use crate::{op::block::Block, token::Token};

/// What a request was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(super) enum Kind {
    /// The poll of a source for both directions. Zero, so that nothing needs to be masked for what is nearly all.
    Poll = 0,
    /// The poll of a source for priority conditions.
    Priority = 1,
    /// The poll of the descriptor by which a notify ends a wait.
    Notify = 2,
    /// A cancellation: what it cancels has a completion of its own.
    Cancel = 3,
    /// An operation that owns its buffer.
    Block = 4,
}

const KINDS: u64 = 0b111;
const GENERATION: u64 = 0xffff_ffff_0000_0000;

/// The key of a request for a source.
#[inline]
pub(super) fn of_source(kind: Kind, token: Token) -> u64 {
    // The three bits that a token leaves free are moved from above the slot to below it.
    (token.bits() & GENERATION) | u64::from(token.slot()) << 3 | kind as u64
}

/// The key of an operation.
#[inline]
pub(super) fn of_block(block: NonNull<Block>) -> u64 {
    const _: () = assert!(align_of::<Block>() > KINDS as usize);
    block.as_ptr().expose_provenance() as u64 | Kind::Block as u64
}

/// Whose operation it was. Means something only where [`of_block`] made the key.
#[inline]
pub(super) fn block(key: u64) -> Option<NonNull<Block>> {
    NonNull::new(std::ptr::with_exposed_provenance_mut((key & !KINDS) as usize))
}

/// The key of a request that is nobody's.
pub(super) const fn of_driver(kind: Kind) -> u64 {
    kind as u64
}

/// Whose request it was. Means something only where [`of_source`] made the key.
#[inline]
pub(super) fn token(key: u64) -> Token {
    Token::from_bits((key & GENERATION) | (key & !GENERATION) >> 3)
}

#[inline]
pub(super) fn kind(key: u64) -> Kind {
    match key & KINDS {
        0 => Kind::Poll,
        1 => Kind::Priority,
        2 => Kind::Notify,
        4 => Kind::Block,
        _ => Kind::Cancel,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::SLOT_MAX;

    #[test]
    fn a_key_gives_back_what_it_was_made_of() {
        for of in [Kind::Poll, Kind::Priority] {
            for (slot, generation) in [(0, 0), (1, u32::MAX), (SLOT_MAX - 1, 7), (12345, 1 << 31)] {
                let whose = Token::new(slot, generation);
                let key = of_source(of, whose);
                assert_eq!((kind(key), token(key)), (of, whose));
            }
        }
        assert_eq!(kind(of_driver(Kind::Notify)), Kind::Notify);
        assert_eq!(kind(of_driver(Kind::Cancel)), Kind::Cancel);
    }
}
