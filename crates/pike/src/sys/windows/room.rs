//! Receiving into memory that may not be initialised, and the vectors of one call.
#![allow(unsafe_code)]

use std::{io, marker::PhantomData, mem::MaybeUninit};

use windows_sys::Win32::Networking::WinSock::WSABUF;

use super::{
    Borrowed,
    transfer::{Received, recv_buffers, recv_uninit, recv_uninit_from, send, send_buffers},
};
use crate::socket::{Address, RecvFlags, SendFlags};

/// Vectors that stand on the stack; of more, a stream takes part of them, and a message allocates.
const INLINE_MAX: usize = 64;

/// As `recv_from`.
pub(crate) fn recv_room_from(io: Borrowed<'_>, room: &mut [MaybeUninit<u8>]) -> io::Result<(usize, Address)> {
    recv_uninit_from(io, room, RecvFlags::NONE)
}

/// What reading is of any descriptor: all are sockets.
#[inline]
pub(crate) fn read_room(io: Borrowed<'_>, room: &mut [MaybeUninit<u8>]) -> io::Result<usize> {
    recv_uninit(io, room, RecvFlags::NONE)
}

/// What writing is of any descriptor.
#[inline]
pub(crate) fn write(io: Borrowed<'_>, bytes: &[u8]) -> io::Result<usize> {
    send(io, bytes, SendFlags::NONE)
}

/// Vectors for one call, without a lifetime: they are made and used within one.
pub(crate) struct Vectors<'a> {
    inline: [MaybeUninit<WSABUF>; INLINE_MAX],
    len: usize,
    more: Vec<WSABUF>,
    _of: PhantomData<&'a mut [u8]>,
}

impl<'a> Vectors<'a> {
    #[inline]
    pub(crate) fn new() -> Self {
        let inline = [const { MaybeUninit::uninit() }; INLINE_MAX];
        Self { inline, len: 0, more: Vec::new(), _of: PhantomData }
    }

    /// Whether one more would have to allocate.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.len >= INLINE_MAX
    }

    pub(crate) fn push_room(&mut self, room: &'a mut [MaybeUninit<u8>]) {
        self.push(room.as_mut_ptr().cast(), room.len());
    }

    pub(crate) fn push_bytes(&mut self, bytes: &'a [u8]) {
        self.push(bytes.as_ptr().cast_mut(), bytes.len());
    }

    /// Of what is longer than a length here can say, the beginning.
    fn push(&mut self, buf: *mut u8, len: usize) {
        let vector = WSABUF { len: len.try_into().unwrap_or(u32::MAX), buf };
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

    fn all(&self) -> &[WSABUF] {
        match self.more.is_empty() {
            // SAFETY: the first `len` were written, and MaybeUninit has the layout of what it holds.
            true => unsafe { std::slice::from_raw_parts(self.inline.as_ptr().cast(), self.len) },
            false => &self.more,
        }
    }

    /// The length of each.
    pub(crate) fn lens(&self) -> impl Iterator<Item = usize> + '_ {
        self.all().iter().map(|vector| vector.len as usize)
    }

    /// The bytes of all; a sum that no memory has means that there is more than any call moves.
    pub(crate) fn total(&self) -> usize {
        self.lens().fold(0, usize::saturating_add)
    }

    /// The lengths only, which need no borrow.
    pub(crate) fn into_lens(self) -> Lens {
        Lens(Vectors { inline: self.inline, len: self.len, more: self.more, _of: PhantomData })
    }

    /// As `recv_vectored`; all were pushed as room.
    pub(crate) fn recv(&mut self, io: Borrowed<'_>) -> io::Result<Received> {
        let all = self.all();
        // SAFETY: the vectors are of room that is borrowed exclusively as long as `self`.
        unsafe { recv_buffers(io, all.as_ptr().cast_mut(), all.len()) }
    }

    /// As `send_vectored`.
    pub(crate) fn send(&mut self, io: Borrowed<'_>) -> io::Result<usize> {
        let all = self.all();
        // SAFETY: the system reads what is borrowed as long as `self`.
        unsafe { send_buffers(io, all.as_ptr(), all.len(), 0) }
    }
}

/// The lengths of vectors whose memory may be borrowed again.
pub(crate) struct Lens(Vectors<'static>);

impl Lens {
    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.lens()
    }
}
