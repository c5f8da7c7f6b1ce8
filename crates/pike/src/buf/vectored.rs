//! Several buffers for one operation.

use super::{IoBuf, IoBufMut};

/// Several buffers of a kind, for one vectored operation: `[B; N]`, `Vec<B>` and `Box<[B]>`.
///
/// Sealed: the buffers of a collection stay where they are, and are the same ones at the end. Buffers of different kinds, such
/// as a header before a [`Lease`](super::Lease), are of one kind as an enum of yours that is an [`IoBuf`].
///
/// # Examples
///
/// ```
/// use pike::{Notifier, net::{TcpListener, TcpStream}};
///
/// # fn main() -> std::io::Result<()> {
/// Notifier::new()?.block_on(async {
///     let listener = TcpListener::bind("127.0.0.1:0").await?;
///     let client = TcpStream::connect(listener.local_addr()?).await?;
///     let (sent, [head, body]) = client.write_vectored_owned([b"head, ".to_vec(), b"body".to_vec()]).await;
///     assert_eq!(sent?, head.len() + body.len());
///     Ok(())
/// })
/// # }
/// ```
pub trait IoBufs: Send + 'static + sealed::Sealed {
    /// One of them.
    type Buf: IoBuf;

    /// All of them.
    fn bufs(&self) -> &[Self::Buf];

    /// All of them.
    fn bufs_mut(&mut self) -> &mut [Self::Buf];
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! bufs {
    ($($type:ty $(, const $n:ident)?;)*) => {
        $(
            impl<B: IoBuf $(, const $n: usize)?> sealed::Sealed for $type {}

            impl<B: IoBuf $(, const $n: usize)?> IoBufs for $type {
                type Buf = B;

                #[inline]
                fn bufs(&self) -> &[B] {
                    self
                }

                #[inline]
                fn bufs_mut(&mut self) -> &mut [B] {
                    self
                }
            }
        )*
    };
}

bufs! {
    [B; N], const N;
    Vec<B>;
    Box<[B]>;
}

/// Notes that `count` bytes were received into `bufs`, each filled before the next. `lens` says how much room each of the
/// first ones had; the others took no part.
///
/// # Safety
///
/// `lens` are the lengths of the slices that the last calls of `room` returned, and as many of the bytes there, in order,
/// are initialised.
#[allow(unsafe_code)]
pub(crate) unsafe fn filled<B: IoBufMut>(
    bufs: &mut [B],
    lens: impl Iterator<Item = usize>,
    mut count: usize,
) {
    for (buf, len) in bufs.iter_mut().zip(lens.chain(std::iter::repeat(0))) {
        let here = count.min(len);
        // SAFETY: within the room that this one had, by the caller's promise.
        unsafe { buf.filled(here) };
        count -= here;
    }
}
