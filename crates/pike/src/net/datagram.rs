//! What sockets for datagrams have in common, whatever their addresses are.

use std::io;

use crate::socket::Address;

/// What was received, with an address of the socket's own kind.
pub(super) fn with_sender<T, A>(received: io::Result<(T, Address)>) -> io::Result<(T, A)>
where
    A: TryFrom<Address, Error = io::Error>,
{
    let (received, address) = received?;
    Ok((received, address.try_into()?))
}

/// The one peer, and receiving from anyone.
macro_rules! of_datagrams {
    ($address:ty) => {
        /// The address of the one peer.
        ///
        /// # Errors
        ///
        /// The system's: `ENOTCONN`.
        pub fn peer_addr(&self) -> std::io::Result<$address> {
            self.socket.peer_addr()?.try_into()
        }

        /// Sends a datagram to the one peer. Returns its length.
        ///
        /// # Errors
        ///
        /// The system's: `EDESTADDRREQ` without a peer, `EMSGSIZE` if it is too long, `ECONNREFUSED` for an earlier one
        /// that nobody received; [`Closed`](crate::Closed). Nothing was sent then.
        ///
        /// # Cancel safety
        ///
        /// Dropped before it is ready, it has sent nothing.
        pub fn send<'a>(
            &'a self,
            buf: &'a [u8],
        ) -> impl std::future::Future<Output = std::io::Result<usize>> + Send + use<'a> {
            self.socket.write(buf)
        }

        /// Receives a datagram from the one peer, or from anyone if there is none. Returns how much of it is in `buf`.
        ///
        /// # Errors
        ///
        /// The system's: `ECONNREFUSED` for a datagram that the one peer did not receive; [`Closed`](crate::Closed).
        /// Nothing was received then.
        ///
        /// # Cancel safety
        ///
        /// Nothing is lost.
        pub fn recv<'a>(
            &'a self,
            buf: &'a mut [u8],
        ) -> impl std::future::Future<Output = std::io::Result<usize>> + Send + use<'a> {
            self.socket.read(buf)
        }

        /// Receives a datagram, and says who sent it. Otherwise as [`recv`](Self::recv).
        ///
        /// # Errors
        ///
        /// As [`recv`](Self::recv).
        pub async fn recv_from(&self, buf: &mut [u8]) -> std::io::Result<(usize, $address)> {
            crate::net::datagram::with_sender(self.socket.recv_from(buf).await)
        }

        crate::net::owned::owned_datagrams!($address);

        /// Receives a datagram, and lends it to `f` at once. Otherwise as [`recv`](Self::recv); see
        /// [`Socket::recv_with`](crate::socket::Socket::recv_with).
        ///
        /// # Errors
        ///
        /// As [`recv`](Self::recv); `f` has not run then.
        ///
        /// # Panics
        ///
        /// If `f` does: the datagram counts as received.
        pub fn recv_with<'a, R, F>(
            &'a self,
            f: F,
        ) -> impl std::future::Future<Output = std::io::Result<R>> + use<'a, R, F>
        where
            F: FnOnce(&[u8]) -> R,
        {
            self.socket.recv_with(f)
        }

        /// Receives a datagram and leaves it in the queue. Otherwise as [`recv`](Self::recv).
        ///
        /// # Errors
        ///
        /// As [`recv`](Self::recv).
        pub fn peek<'a>(
            &'a self,
            buf: &'a mut [u8],
        ) -> impl std::future::Future<Output = std::io::Result<usize>> + Send + use<'a> {
            self.socket.peek(buf)
        }

        /// Receives a datagram and leaves it in the queue. Otherwise as [`recv_from`](Self::recv_from).
        ///
        /// # Errors
        ///
        /// As [`recv`](Self::recv).
        pub async fn peek_from(&self, buf: &mut [u8]) -> std::io::Result<(usize, $address)> {
            crate::net::datagram::with_sender(self.socket.peek_from(buf).await)
        }

        /// Waits for a datagram, says who sent it, and leaves it in the queue. Otherwise as [`recv`](Self::recv).
        ///
        /// # Errors
        ///
        /// As [`recv`](Self::recv).
        pub async fn peek_sender(&self) -> std::io::Result<$address> {
            self.socket.peek_sender().await?.try_into()
        }

        /// As [`send`](Self::send), if that does not have to wait.
        ///
        /// # Errors
        ///
        /// As [`send`](Self::send); [`std::io::ErrorKind::WouldBlock`] if there is no room.
        pub fn try_send(&self, buf: &[u8]) -> std::io::Result<usize> {
            self.socket.try_write(buf)
        }

        /// As [`recv`](Self::recv), if that does not have to wait.
        ///
        /// # Errors
        ///
        /// As [`recv`](Self::recv); [`std::io::ErrorKind::WouldBlock`] if there is nothing.
        pub fn try_recv(&self, buf: &mut [u8]) -> std::io::Result<usize> {
            self.socket.try_read(buf)
        }

        /// As [`recv_from`](Self::recv_from), if that does not have to wait.
        ///
        /// # Errors
        ///
        /// As [`try_recv`](Self::try_recv).
        pub fn try_recv_from(&self, buf: &mut [u8]) -> std::io::Result<(usize, $address)> {
            crate::net::datagram::with_sender(self.socket.try_recv_from(buf))
        }

        /// As [`peek`](Self::peek), if that does not have to wait.
        ///
        /// # Errors
        ///
        /// As [`try_recv`](Self::try_recv).
        pub fn try_peek(&self, buf: &mut [u8]) -> std::io::Result<usize> {
            self.socket.try_peek(buf)
        }

        /// As [`peek_from`](Self::peek_from), if that does not have to wait.
        ///
        /// # Errors
        ///
        /// As [`try_recv`](Self::try_recv).
        pub fn try_peek_from(&self, buf: &mut [u8]) -> std::io::Result<(usize, $address)> {
            crate::net::datagram::with_sender(
                self.socket.try_recv_from_with(buf, crate::socket::RecvFlags::PEEK),
            )
        }

        /// As [`peek_sender`](Self::peek_sender), if that does not have to wait.
        ///
        /// # Errors
        ///
        /// As [`try_recv`](Self::try_recv).
        pub fn try_peek_sender(&self) -> std::io::Result<$address> {
            self.socket.try_peek_sender()?.try_into()
        }

        /// As [`send`](Self::send), for hand-written futures. One waker: the last task that polls for sending is woken.
        ///
        /// # Errors
        ///
        /// As [`send`](Self::send).
        pub fn poll_send(
            &self,
            cx: &mut std::task::Context<'_>,
            buf: &[u8],
        ) -> std::task::Poll<std::io::Result<usize>> {
            self.socket.poll_write(cx, buf)
        }

        /// As [`recv`](Self::recv), for hand-written futures. One waker: the last task that polls for receiving is
        /// woken.
        ///
        /// # Errors
        ///
        /// As [`recv`](Self::recv).
        pub fn poll_recv(
            &self,
            cx: &mut std::task::Context<'_>,
            buf: &mut [u8],
        ) -> std::task::Poll<std::io::Result<usize>> {
            self.socket.poll_read(cx, buf)
        }

        /// As [`recv_from`](Self::recv_from), for hand-written futures. Otherwise as [`poll_recv`](Self::poll_recv).
        ///
        /// # Errors
        ///
        /// As [`recv`](Self::recv).
        pub fn poll_recv_from(
            &self,
            cx: &mut std::task::Context<'_>,
            buf: &mut [u8],
        ) -> std::task::Poll<std::io::Result<(usize, $address)>> {
            self.socket
                .poll_recv_from(cx, buf, crate::socket::RecvFlags::NONE)
                .map(crate::net::datagram::with_sender)
        }

        /// As [`peek`](Self::peek), for hand-written futures. Otherwise as [`poll_recv`](Self::poll_recv).
        ///
        /// # Errors
        ///
        /// As [`recv`](Self::recv).
        pub fn poll_peek(
            &self,
            cx: &mut std::task::Context<'_>,
            buf: &mut [u8],
        ) -> std::task::Poll<std::io::Result<usize>> {
            self.socket.poll_peek(cx, buf)
        }

        /// As [`peek_from`](Self::peek_from), for hand-written futures. Otherwise as [`poll_recv`](Self::poll_recv).
        ///
        /// # Errors
        ///
        /// As [`recv`](Self::recv).
        pub fn poll_peek_from(
            &self,
            cx: &mut std::task::Context<'_>,
            buf: &mut [u8],
        ) -> std::task::Poll<std::io::Result<(usize, $address)>> {
            self.socket
                .poll_recv_from(cx, buf, crate::socket::RecvFlags::PEEK)
                .map(crate::net::datagram::with_sender)
        }

        /// As [`peek_sender`](Self::peek_sender), for hand-written futures. Otherwise as [`poll_recv`](Self::poll_recv).
        ///
        /// # Errors
        ///
        /// As [`recv`](Self::recv).
        pub fn poll_peek_sender(
            &self,
            cx: &mut std::task::Context<'_>,
        ) -> std::task::Poll<std::io::Result<$address>> {
            self.socket.poll_peek_sender(cx).map(|sender| sender?.try_into())
        }
    };
}

pub(super) use of_datagrams;
