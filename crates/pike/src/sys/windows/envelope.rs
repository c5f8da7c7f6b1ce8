//! What a request for a message names beside its buffers: the system's vectors, an address, and the header that binds
//! them. It is used again and again, and stays where it is while the system has it.
#![allow(unsafe_code)]

use std::io;

use socket2::SockAddr;
use windows_sys::Win32::Networking::WinSock::{SOCKADDR, SOCKADDR_STORAGE, WSABUF, WSAMSG};

use super::{
    address::{from_raw_address, raw_address},
    socket::meant_by,
};
use crate::socket::Address;

/// Vectors that a stream's request takes at most: more cost memory for as long as the socket lives.
const VECTORS_FEW: usize = 64;

/// A header, and what it points to. [`Envelope::seal`] sets the pointers, once nothing is added or moved any more.
///
/// The calls that take vectors and an address one by one (WSARecvFrom) are given the fields of the header, the length of the
/// name included: they write to it as late as the request ends.
pub(crate) struct Envelope {
    header: WSAMSG,
    address: SOCKADDR_STORAGE,
    vectors: Vec<WSABUF>,
}

impl Envelope {
    pub(crate) fn new() -> Self {
        Self { header: WSAMSG::default(), address: SOCKADDR_STORAGE::default(), vectors: Vec::new() }
    }

    /// Empties it, but keeps its memory.
    pub(crate) fn clear(&mut self) {
        self.header = WSAMSG::default();
        self.vectors.clear();
    }

    /// Whether a stream's request has enough.
    pub(crate) fn is_full(&self) -> bool {
        self.vectors.len() >= VECTORS_FEW
    }

    /// Adds memory, which is only written to or read from if the header goes to the system. Of what is longer than a length
    /// here can say, the beginning.
    pub(crate) fn push(&mut self, at: *mut u8, len: usize) {
        self.vectors.push(WSABUF { len: len.try_into().unwrap_or(u32::MAX), buf: at });
    }

    /// Where it goes.
    pub(crate) fn address_to(&mut self, to: Address) {
        let raw = raw_address(to);
        let len = (raw.len() as usize).min(size_of_val(&self.address));
        // SAFETY: both are so large, and no address is larger than the storage for all of them.
        unsafe {
            raw.as_ptr().cast::<u8>().copy_to_nonoverlapping((&raw mut self.address).cast(), len);
        };
        self.header.namelen = len as i32;
    }

    /// Whom a connect is for: nothing else is in it.
    pub(crate) fn connect_to(&mut self, peer: Address) {
        self.clear();
        self.address_to(meant_by(peer));
    }

    /// The address in it, which stays where it is until the system is done.
    pub(crate) fn name(&self) -> (*const SOCKADDR, i32) {
        ((&raw const self.address).cast(), self.header.namelen)
    }

    /// Has the system write down who sent it.
    pub(crate) fn ask_sender(&mut self) {
        self.address = SOCKADDR_STORAGE::default();
        self.header.namelen = size_of_val(&self.address) as i32;
    }

    /// Points the header to the rest, which stays as it is from here on until the system is done. What it is handed.
    pub(crate) fn seal(&mut self) -> *mut WSAMSG {
        if self.header.namelen > 0 {
            self.header.name = (&raw mut self.address).cast();
        }
        self.header.lpBuffers = self.vectors.as_mut_ptr();
        self.header.dwBufferCount = self.vectors.len() as u32;
        &raw mut self.header
    }

    /// Who sent what was received.
    pub(crate) fn sender(&self) -> io::Result<Address> {
        let len = usize::try_from(self.header.namelen).unwrap_or(0);
        // SAFETY: the storage of an address; the length is what the system has written, as far as there is room.
        let made = unsafe {
            SockAddr::try_init(|storage, written| {
                let at = (&raw const self.address).cast::<u8>();
                at.copy_to_nonoverlapping(storage.cast::<u8>(), size_of_val(&self.address));
                *written = len.min(size_of_val(&self.address)) as i32;
                Ok(())
            })
        };
        from_raw_address(&made?.1)
    }

    /// The first `count` bytes of its buffers.
    ///
    /// # Safety
    ///
    /// Its buffers have as many, which were written to.
    pub(crate) unsafe fn copy(&self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(count);
        for vector in &self.vectors {
            let here = (vector.len as usize).min(count - bytes.len());
            // SAFETY: within the buffer and what was written of it, by the caller's promise.
            bytes.extend_from_slice(unsafe { std::slice::from_raw_parts(vector.buf, here) });
        }
        bytes
    }

    /// The length of each of its buffers, in order.
    pub(crate) fn lens(&self) -> impl Iterator<Item = usize> + '_ {
        self.vectors.iter().map(|vector| vector.len as usize)
    }

    /// The bytes of all; a sum that no memory has means that there is more than any call moves.
    pub(crate) fn total(&self) -> usize {
        self.lens().fold(0, usize::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    /// Goal: an address survives the way through the header, and nothing of the last message is in the next.
    #[test]
    fn what_is_put_in_is_what_the_header_shows() {
        let mut envelope = Envelope::new();
        let mut bytes = [[1_u8; 3], [2; 3]];
        for address in ["127.0.0.1:7", "[::1]:9"] {
            let address = Address::from(address.parse::<SocketAddr>().unwrap());
            envelope.clear();
            bytes.iter_mut().for_each(|part| envelope.push(part.as_mut_ptr(), part.len()));
            envelope.address_to(address);
            let header = envelope.seal();
            // SAFETY: sealed, and nothing was changed since.
            let (count, name_len) = unsafe { ((*header).dwBufferCount, (*header).namelen) };
            assert!(count == 2 && envelope.total() == 6);
            assert_eq!(name_len, raw_address(address).len());
            assert_eq!(envelope.sender().unwrap(), address);
        }
        let peer = Address::from("127.0.0.1:7".parse::<SocketAddr>().unwrap());
        envelope.connect_to(peer);
        assert_eq!((envelope.name().1, envelope.sender().unwrap()), (raw_address(peer).len(), peer));
        assert_eq!(envelope.total(), 0);
        envelope.clear();
        let header = envelope.seal();
        // SAFETY: as above.
        unsafe { assert!((*header).name.is_null() && (*header).dwBufferCount == 0) };
    }
}
