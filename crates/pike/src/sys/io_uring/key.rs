//! The 64 bits that a request carries to its completion: what kind of request it is, and whose.
//!
//! ```text
//!   63                                    4 3    0
//!  +---------------------------------------+------+
//!  | address of a block, aligned to 16     | kind |
//!  +---------------------------------------+------+
//! ```

use std::ptr::NonNull;

use crate::op::block::Block;

/// What a request was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(super) enum Kind {
    /// An operation that owns its buffer. Zero, so that nothing needs to be masked for what is nearly all.
    Block = 0,
    /// The poll of the set of descriptors.
    Watch = 1,
    /// A cancellation: what it cancels has a completion of its own.
    Cancel = 2,
    /// What takes a buffer out of the ring of those that the kernel was lent.
    TakeBack = 3,
}

const KINDS: u64 = 0b1111;

/// The key of an operation.
#[inline]
pub(super) fn of_block(block: NonNull<Block>) -> u64 {
    const _: () = assert!(align_of::<Block>() > KINDS as usize);
    block.as_ptr().expose_provenance() as u64
}

/// Whose operation it was. Means something only where [`of_block`] made the key.
#[inline]
pub(super) fn block(key: u64) -> Option<NonNull<Block>> {
    NonNull::new(std::ptr::with_exposed_provenance_mut(key as usize))
}

/// The key of a request that is nobody's.
pub(super) const fn of_driver(kind: Kind) -> u64 {
    kind as u64
}

#[inline]
pub(super) fn kind(key: u64) -> Kind {
    match key & KINDS {
        0 => Kind::Block,
        1 => Kind::Watch,
        2 => Kind::Cancel,
        _ => Kind::TakeBack,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_gives_back_what_it_was_made_of() {
        for of in [Kind::Watch, Kind::Cancel, Kind::TakeBack] {
            assert_eq!(kind(of_driver(of)), of);
        }
        let at = std::ptr::without_provenance_mut(0x7fff_1234_5670);
        let at = NonNull::new(at).unwrap();
        assert_eq!((kind(of_block(at)), block(of_block(at))), (Kind::Block, Some(at)));
    }
}
