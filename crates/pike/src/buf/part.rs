//! A buffer of which only a range takes part.

use std::{
    mem::MaybeUninit,
    ops::{Bound, Deref, RangeBounds},
};

use super::{IoBuf, IoBufMut};

/// A buffer of which only a range takes part in the operation. Made by [`IoBuf::part`].
///
/// # Examples
///
/// ```
/// use pike::buf::IoBuf;
///
/// let part = b"a line\nand more".to_vec().part(..7);
/// assert_eq!(part.bytes(), b"a line\n");
/// assert_eq!(part.into_inner().len(), 15);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part<B> {
    whole: B,
    start: usize,
    end: usize,
}

impl<B: IoBuf> Part<B> {
    #[track_caller]
    pub(super) fn new(whole: B, range: impl RangeBounds<usize>) -> Self {
        let start = match range.start_bound() {
            Bound::Included(&start) => start,
            Bound::Excluded(&before) => before.checked_add(1).expect("a range of a buffer"),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(&last) => last.checked_add(1).expect("a range of a buffer"),
            Bound::Excluded(&end) => end,
            Bound::Unbounded => usize::MAX,
        };
        assert!(start <= end, "a part of a buffer ends before it begins: {start}..{end}");
        let len = whole.bytes().len();
        assert!(start <= len, "a part begins at {start}, where the buffer has {len} bytes");
        Self { whole, start, end }
    }
}

impl<B> Part<B> {
    /// The whole buffer.
    pub fn get_ref(&self) -> &B {
        &self.whole
    }

    /// The whole buffer, given back.
    pub fn into_inner(self) -> B {
        self.whole
    }
}

impl<B: IoBuf> IoBuf for Part<B> {
    fn bytes(&self) -> &[u8] {
        let bytes = self.whole.bytes();
        let end = self.end.min(bytes.len());
        bytes.get(self.start..end).unwrap_or_default()
    }
}

impl<B: IoBufMut> IoBufMut for Part<B> {
    fn room(&mut self) -> &mut [MaybeUninit<u8>] {
        // A buffer that is shorter now has no room behind what it does not have.
        let content = self.whole.bytes().len();
        let room = self.whole.room();
        self.start = self.start.min(content).min(room.len());
        let end = self.end.min(room.len());
        &mut room[self.start..end]
    }

    #[allow(unsafe_code)]
    unsafe fn filled(&mut self, count: usize) {
        // SAFETY: what stands before the part was among the whole's bytes before the last call of its `room`, which ours
        // made; and the part itself is initialised, by the caller's promise.
        unsafe { self.whole.filled(self.start + count) };
    }
}

impl<B: IoBuf> Deref for Part<B> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_what_the_range_says() {
        let whole: Vec<u8> = (0..10).collect();
        assert_eq!(whole.clone().part(..3).bytes(), [0, 1, 2]);
        assert_eq!(whole.clone().part(8..).bytes(), [8, 9]);
        assert_eq!(whole.clone().part(8..=20).bytes(), [8, 9]);
        assert_eq!(whole.clone().part(10..).bytes(), []);
        assert_eq!(whole.clone().part(2..8).part(1..3).bytes(), [3, 4]);
        assert_eq!(whole.part(..).into_inner().len(), 10);
    }

    #[test]
    #[allow(unsafe_code)]
    fn what_is_received_behind_the_content_leaves_it() {
        let mut whole = Vec::with_capacity(10);
        whole.extend_from_slice(b"head");
        let mut part = whole.part(4..8);
        let room = part.room();
        assert_eq!(room.len(), 4);
        room[..2].iter_mut().zip(b"er").for_each(|(to, from)| _ = to.write(*from));
        // SAFETY: two bytes were written.
        unsafe { part.filled(2) };
        assert_eq!(part.bytes(), b"er");
        assert_eq!(part.into_inner(), b"header");
    }

    #[test]
    #[should_panic(expected = "a part begins at 5")]
    fn a_part_begins_within_the_content() {
        let _ = Vec::<u8>::with_capacity(10).part(5..);
    }
}
