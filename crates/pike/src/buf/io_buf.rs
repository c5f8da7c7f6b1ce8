//! What a buffer must have to be owned by an operation. The module's docs say why these traits are safe.

use std::{mem::MaybeUninit, ops::RangeBounds};

use super::Part;

/// A buffer to send from, owned by the operation until that has ended.
///
/// The compiler names this trait where a borrowed buffer was given: `&[u8]` and `&mut Vec<u8>` end before the operation
/// may. Give the buffer away, and get it back with the result; or use the call without `_owned`. An array is given in a `Box`,
/// since it would move with the future.
///
/// It is `Send` because the operation may end on another thread, which drops the buffer if its future is gone.
///
/// # Examples
///
/// ```
/// use pike::buf::IoBuf;
///
/// struct Line(String);
///
/// impl IoBuf for Line {
///     fn bytes(&self) -> &[u8] {
///         self.0.as_bytes()
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no buffer that an operation can own and send from",
    label = "not a buffer to give away",
    note = "give away a `Vec<u8>`, a `Box<[u8; N]>`, an `Arc<[u8]>`, what is `'static`, or what else `pike::buf` names: it comes back with the result",
    note = "a borrowed buffer is for the call without `_owned`"
)]
pub trait IoBuf: Send + 'static {
    /// The bytes to send.
    fn bytes(&self) -> &[u8];

    /// This buffer, of which only the bytes of `range` take part.
    ///
    /// # Panics
    ///
    /// If the range begins behind the bytes that there are, or ends before it begins.
    fn part(self, range: impl RangeBounds<usize>) -> Part<Self>
    where
        Self: Sized,
    {
        Part::new(self, range)
    }
}

/// A buffer to receive into, owned by the operation until that has ended.
///
/// # Examples
///
/// A type of one's own, by way of one that has it:
///
/// ```
/// use pike::buf::{IoBuf, IoBufMut};
/// use std::mem::MaybeUninit;
///
/// struct Record(Vec<u8>);
///
/// impl IoBuf for Record {
///     fn bytes(&self) -> &[u8] {
///         self.0.bytes()
///     }
/// }
///
/// impl IoBufMut for Record {
///     fn room(&mut self) -> &mut [MaybeUninit<u8>] {
///         self.0.room()
///     }
///
///     unsafe fn filled(&mut self, count: usize) {
///         // SAFETY: passed on to the caller, for the same room.
///         unsafe { self.0.filled(count) };
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no buffer that an operation can own and receive into",
    label = "not a buffer to give away",
    note = "give away a `Vec<u8>`, a `Box<[u8; N]>`, or what else `pike::buf` names: it comes back with the result",
    note = "a borrowed buffer is for the call without `_owned`"
)]
pub trait IoBufMut: IoBuf {
    /// Where bytes may go. What is in [`bytes`](IoBuf::bytes) stands at its beginning, and may be overwritten.
    fn room(&mut self) -> &mut [MaybeUninit<u8>];

    /// Notes that the first `count` bytes of the room are what was received, and the content from now on. A buffer of
    /// fixed length has nothing to note.
    ///
    /// # Safety
    ///
    /// Of the slice that the last call of [`room`](Self::room) returned, the first `count` bytes are there and
    /// initialised: either written since that call, or among the first of [`bytes`](IoBuf::bytes) before it.
    #[allow(unsafe_code)]
    unsafe fn filled(&mut self, count: usize);
}
