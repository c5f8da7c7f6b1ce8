//! Receiving into memory that may not be initialised, and moving bytes of descriptors that are no sockets: one system call
//! each, that never blocks.
#![allow(unsafe_code)]

use std::{
    io,
    mem::{self, MaybeUninit},
    os::fd::{AsRawFd, BorrowedFd},
};

use socket2::SockAddr;

use super::{
    address::from_raw_address,
    transfer::{NO_SIGNAL, Received, recv_message, retry, transfer},
};
use crate::socket::Address;

/// Vectors that stand on the stack; of more, a stream takes part of them, and a message allocates.
const INLINE_MAX: usize = 64;

/// As `recv_from`.
pub(crate) fn recv_room_from(
    fd: BorrowedFd<'_>,
    room: &mut [MaybeUninit<u8>],
) -> io::Result<(usize, Address)> {
    // SAFETY: storage and length are those of an address that `try_init` made for this call.
    let (count, address) = unsafe {
        SockAddr::try_init(|storage, len| {
            transfer(|| {
                // The same pointers again if interrupted: nothing was written then.
                libc::recvfrom(fd.as_raw_fd(), room.as_mut_ptr().cast(), room.len(), 0, storage.cast(), len)
            })
        })
    }?;
    Ok((count, from_raw_address(&address)?))
}

/// As read(2).
#[inline]
pub(crate) fn read_room(fd: BorrowedFd<'_>, room: &mut [MaybeUninit<u8>]) -> io::Result<usize> {
    retry(|| rustix::io::read(fd, &mut *room).map(|(filled, _)| filled.len()))
}

/// As write(2): raises SIGPIPE where that does.
#[inline]
pub(crate) fn write(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    retry(|| rustix::io::write(fd, bytes))
}

/// Vectors for one call, without a lifetime: they are made and used within one.
pub(crate) struct Vectors<'a> {
    inline: [MaybeUninit<libc::iovec>; INLINE_MAX],
    len: usize,
    more: Vec<libc::iovec>,
    _of: std::marker::PhantomData<&'a mut [u8]>,
}

impl<'a> Vectors<'a> {
    #[inline]
    pub(crate) fn new() -> Self {
        let inline = [const { MaybeUninit::uninit() }; INLINE_MAX];
        Self { inline, len: 0, more: Vec::new(), _of: std::marker::PhantomData }
    }

    /// Whether one more would have to allocate.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.len >= INLINE_MAX
    }

    pub(crate) fn push_room(&mut self, room: &'a mut [MaybeUninit<u8>]) {
        self.push(libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() });
    }

    pub(crate) fn push_bytes(&mut self, bytes: &'a [u8]) {
        self.push(libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() });
    }

    fn push(&mut self, vector: libc::iovec) {
        match self.len {
            len if len < INLINE_MAX => _ = self.inline[len].write(vector),
            INLINE_MAX => {
                let inline = self.inline.iter();
                // SAFETY: all of them were written.
                self.more.extend(inline.map(|vector| unsafe { vector.assume_init() }));
                self.more.push(vector);
            }
            _ => self.more.push(vector),
        }
        self.len += 1;
    }

    fn all(&self) -> &[libc::iovec] {
        match self.more.is_empty() {
            // SAFETY: the first `len` were written, and MaybeUninit has the layout of what it holds.
            true => unsafe { std::slice::from_raw_parts(self.inline.as_ptr().cast(), self.len) },
            false => &self.more,
        }
    }

    /// The length of each.
    pub(crate) fn lens(&self) -> impl Iterator<Item = usize> + '_ {
        self.all().iter().map(|vector| vector.iov_len)
    }

    /// The bytes of all; a sum that no memory has means that there is more than any call moves.
    pub(crate) fn total(&self) -> usize {
        self.lens().fold(0, usize::saturating_add)
    }

    /// The lengths only, which need no borrow.
    pub(crate) fn into_lens(self) -> Lens {
        Lens(Vectors { inline: self.inline, len: self.len, more: self.more, _of: std::marker::PhantomData })
    }

    /// As `recv_vectored`; all were pushed as room.
    pub(crate) fn recv(&mut self, fd: BorrowedFd<'_>) -> io::Result<Received> {
        let all = self.all();
        // SAFETY: the vectors are of room that is borrowed exclusively as long as `self`.
        unsafe { recv_message(fd, all.as_ptr().cast_mut(), all.len()) }
    }

    /// As `send_vectored`.
    pub(crate) fn send(&mut self, fd: BorrowedFd<'_>) -> io::Result<usize> {
        // SAFETY: all zeros is an empty message.
        let mut message: libc::msghdr = unsafe { mem::zeroed() };
        let all = self.all();
        message.msg_iov = all.as_ptr().cast_mut();
        message.msg_iovlen = all.len() as _;
        // SAFETY: the kernel reads what is borrowed as long as `self`, and keeps nothing (I1).
        transfer(|| unsafe { libc::sendmsg(fd.as_raw_fd(), &message, NO_SIGNAL) })
    }
}

/// The lengths of vectors whose memory may be borrowed again.
pub(crate) struct Lens(Vectors<'static>);

impl Lens {
    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.lens()
    }
}
