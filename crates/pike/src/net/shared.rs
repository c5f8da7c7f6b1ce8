//! What the types of this module have in common: each is a [`Socket`](crate::socket::Socket) in a field of that name.

/// What the types of this module take over from their `socket`: readiness, and the calls of every socket.
macro_rules! of_socket {
    ($address:ty) => {
        /// The socket below, for options and for calls that this type does not have.
        pub fn socket(&self) -> &crate::socket::Socket {
            &self.socket
        }

        /// Waits until something can be read or reading has ended. A hint: the call may still say otherwise.
        ///
        /// # Errors
        ///
        /// [`Closed`](crate::Closed).
        ///
        /// # Cancel safety
        ///
        /// Nothing is lost.
        pub async fn readable(&self) -> std::io::Result<()> {
            self.socket.handle().readable().await
        }

        /// Waits until something can be written or writing has ended. Otherwise as [`readable`](Self::readable).
        ///
        /// # Errors
        ///
        /// [`Closed`](crate::Closed).
        pub async fn writable(&self) -> std::io::Result<()> {
            self.socket.handle().writable().await
        }

        /// Waits until any of `interest` is ready, and says what is. Otherwise as [`readable`](Self::readable).
        ///
        /// # Errors
        ///
        /// [`Closed`](crate::Closed).
        pub fn ready(
            &self,
            interest: crate::Interest,
        ) -> impl std::future::Future<Output = std::io::Result<crate::Ready>> + Send + '_ {
            self.socket.handle().ready(interest)
        }

        /// Does `attempt` once if the socket was not found unready. Otherwise as
        /// [`Handle::try_io`](crate::Handle::try_io).
        ///
        /// # Errors
        ///
        /// As there; [`ResourceBusy`](std::io::ErrorKind::ResourceBusy), without calling it, if the kernel has received or
        /// accepted something for an operation that was dropped: that comes first, and the type's own calls take it.
        /// Only io_uring does that.
        pub fn try_io<R>(
            &self,
            interest: crate::Interest,
            attempt: impl FnOnce() -> std::io::Result<R>,
        ) -> std::io::Result<R> {
            self.socket.try_io(interest, attempt)
        }

        /// Does `attempt` as soon as it succeeds. Otherwise as [`Handle::async_io`](crate::Handle::async_io).
        ///
        /// # Errors
        ///
        /// As there, and as [`try_io`](Self::try_io).
        pub async fn async_io<R>(
            &self,
            interest: crate::Interest,
            attempt: impl FnMut() -> std::io::Result<R>,
        ) -> std::io::Result<R> {
            self.socket.async_io(interest, attempt).await
        }

        /// Its own address.
        ///
        /// # Errors
        ///
        /// The system's.
        pub fn local_addr(&self) -> std::io::Result<$address> {
            self.socket.local_addr()?.try_into()
        }

        /// What went wrong since it was last asked for, which clears it.
        ///
        /// # Errors
        ///
        /// The system's.
        pub fn take_error(&self) -> std::io::Result<Option<std::io::Error>> {
            self.socket.get(crate::socket::option::Error)
        }
    };
}

/// What only those of an internet protocol have.
macro_rules! of_internet {
    () => {
        /// How many hops a packet may take.
        ///
        /// # Errors
        ///
        /// The system's.
        pub fn ttl(&self) -> std::io::Result<u32> {
            self.socket.get(crate::socket::option::Ttl)
        }

        /// Sets how many hops a packet may take, from 1 to 255.
        ///
        /// # Errors
        ///
        /// The system's.
        pub fn set_ttl(&self, ttl: u32) -> std::io::Result<()> {
            self.socket.set(crate::socket::option::Ttl, ttl)
        }
    };
}

/// The poll forms of readiness, under the names that tokio has for the kind of socket.
macro_rules! poll_ready {
    ($read:ident, $write:ident) => {
        /// As [`readable`](Self::readable), for hand-written futures. One waker: the last task that called it, or
        /// another poll form of reading, is woken.
        ///
        /// # Errors
        ///
        /// [`Closed`](crate::Closed).
        pub fn $read(
            &self,
            cx: &mut std::task::Context<'_>,
        ) -> std::task::Poll<std::io::Result<()>> {
            self.socket.handle().poll_readable(cx)
        }

        #[doc = concat!("As [`writable`](Self::writable), for hand-written futures. Otherwise as [`", stringify!($read), "`](Self::", stringify!($read), "), for writing.")]
        ///
        /// # Errors
        ///
        /// [`Closed`](crate::Closed).
        pub fn $write(
            &self,
            cx: &mut std::task::Context<'_>,
        ) -> std::task::Poll<std::io::Result<()>> {
            self.socket.handle().poll_writable(cx)
        }
    };
}

/// What each type has of std's.
macro_rules! conversions {
    ($type:ident, $std:ty) => {
        impl $type {
            /// Takes over one of std, on the current Notifier, and makes it non-blocking. On Windows one that was of another
            /// Notifier before is refused: see [`Handle`](crate::Handle).
            ///
            /// # Errors
            ///
            /// As [`Handle::new`](crate::Handle::new); [`InvalidInput`](std::io::ErrorKind::InvalidInput) if what it
            /// wraps is no such socket.
            pub fn from_std(socket: $std) -> std::io::Result<Self> {
                let core = crate::notifier::current::current_or_background()?;
                Self::try_from(crate::socket::Socket::from_owned(core, socket.into())?)
            }

            /// Detaches it, for std. It stays non-blocking.
            ///
            /// # Errors
            ///
            /// [`Residue`](crate::buf::Residue), which has the socket, if something was received or accepted for an
            /// operation that nobody waits for any more, or an error was told to it that is told once (a reset); only
            /// backends that complete do that. [`ResourceBusy`](std::io::ErrorKind::ResourceBusy)
            /// if what the kernel does for the socket did not end within a second, because nobody turns the Notifier and
            /// this thread must not; the socket is closed then.
            pub fn into_std(self) -> std::io::Result<$std> {
                Ok(self.socket.into_owned()?.into())
            }
        }

        impl TryFrom<$std> for $type {
            type Error = std::io::Error;

            /// As `from_std`.
            fn try_from(socket: $std) -> std::io::Result<Self> {
                Self::from_std(socket)
            }
        }
    };
}

/// What each type is made from, and how it shows itself.
macro_rules! from_socket {
    ($type:ident, $expect:ident) => {
        impl TryFrom<crate::socket::Socket> for $type {
            type Error = std::io::Error;

            /// Takes over a socket, whatever its state.
            ///
            /// # Errors
            ///
            /// [`InvalidInput`](std::io::ErrorKind::InvalidInput) if it is of another protocol.
            fn try_from(socket: crate::socket::Socket) -> std::io::Result<Self> {
                socket.$expect()?;
                Ok(Self { socket })
            }
        }

        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let mut debug = f.debug_struct(stringify!($type));
                if let Ok(address) = self.socket.local_addr() {
                    debug.field("local", &format_args!("{address}"));
                }
                if let Ok(address) = self.socket.peer_addr() {
                    debug.field("peer", &format_args!("{address}"));
                }
                debug.finish_non_exhaustive()
            }
        }
    };
}

pub(super) use {conversions, from_socket, of_internet, of_socket, poll_ready};
