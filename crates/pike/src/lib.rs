//! Async I/O without buying a runtime.
//!
//! Sockets, events and timers on the kernel's own interfaces, behind one small API, driven by one object, the
//! [`Notifier`], under any executor or under the scheduler of the crate `pike-sched`. Plain borrowed buffers are sound
//! and cancel-safe; dropping a future that receives, accepts or waits loses nothing; nothing is allocated per operation.
//!
//! ```
//! use pike::{Notifier, net::{TcpListener, TcpStream}};
//!
//! fn main() -> std::io::Result<()> {
//!     Notifier::new()?.block_on(async {
//!         let listener = TcpListener::bind("127.0.0.1:0").await?;
//!         let client = TcpStream::connect(listener.local_addr()?).await?;
//!         client.write_all(b"ping").await?;
//!
//!         let (server, _peer) = listener.accept().await?;
//!         let mut buf = [0; 16];
//!         let n = server.read(&mut buf).await?;
//!         assert_eq!(&buf[..n], b"ping");
//!         Ok(())
//!     })
//! }
//! ```
//!
//! # Where things are
//!
//! - [`Notifier`] waits in the kernel and dispatches what became runnable, a [`Batch`] a turn, to a [`Dispatch`].
//! - [`Handle`] attaches any descriptor; [`socket`] has every call and option; [`net`] the names of std and tokio.
//! - [`buf`] has what the owned and pooled calls take and give.
//! - [`Event`] wakes a task from any thread or signal handler; [`Signal`] receives signals; [`time`] has timers and
//!   deadlines.
//! - [`budget`] keeps a busy task from starving others. `os` has what only some systems have.
//!
//! Under an executor that knows nothing of pike there is nothing to set up: a shared Notifier with a thread of its own
//! starts at first need.
//!
//! # Four forms of a call
//!
//! | | who has the memory | dropped before it is ready |
//! | --- | --- | --- |
//! | [`read`](net::TcpStream::read), [`write`](net::TcpStream::write) | the caller | has done nothing |
//! | [`recv_with`](net::TcpStream::recv_with) | a closure is lent it, once | has done nothing |
//! | [`read_owned`](net::TcpStream::read_owned), [`write_owned`](net::TcpStream::write_owned) | the operation, which always gives it back with its result | a read gives up its buffer and no byte; a write may have sent a part |
//! | [`recv_pooled`](net::TcpStream::recv_pooled) | the Notifier's pool, out of which it is a [`Lease`](buf::Lease) | has done nothing |
//!
//! All are on the same types, on every backend, and may be mixed. `read_exact` and `write_all`, and their owned forms, forget
//! how far they have come if they are dropped. On a backend where the kernel works by itself (io_uring, completion ports) the
//! last two are its own requests where PLATFORM.md says so, and otherwise the same loop as the first. [`buf`] has an example.
//!
//! # Which backend
//!
//! On Linux [`Notifier::new`] takes io_uring if a self-test of it passes, and else epoll; other systems have one backend. What is
//! asked for by [`Builder::backend`], or else by the environment variable `PIKE_BACKEND` (`epoll`, `io_uring`, `kqueue`, `iocp`),
//! is never replaced by another. The Notifier in the background always has epoll; those of a `pike_sched::Pool` have it unless
//! another is asked for. [`Notifier::backend`] says which it is, [`Notifier::probe`] why:
//!
//! ```
//! # fn main() -> std::io::Result<()> {
//! let notifier = pike::Notifier::new()?;
//! if let Some(refused) = &notifier.probe().refused {
//!     eprintln!("{}, since {refused}", notifier.backend()); // epoll, since io_uring is forbidden here: ...
//! }
//! # Ok(()) }
//! ```
//!
//! # Platforms
//!
//! Linux (io_uring from 6.0 on, where the system grants it; else epoll); macOS, FreeBSD, NetBSD, OpenBSD and DragonFly (kqueue);
//! Windows (I/O completion ports; run under Wine so far). A target without a backend does not compile, and says so.
//!
//! # Features
//!
//! - `futures-io` (default), `tokio`: their `AsyncRead` and `AsyncWrite` on the streams of [`net`] and their halves.
//! - `bytes`: its `Bytes` and `BytesMut` as owned buffers (see [`buf`]).

cfg_if::cfg_if! {
    if #[cfg(any(target_os = "linux", kqueue, windows))] {
        mod batch;
        mod blocking;
        pub mod buf;
        pub mod budget;
        mod error;
        mod event;
        mod front;
        mod handle;
        mod interest;
        #[cfg(all(test, loom))]
        mod models;
        pub mod net;
        mod notifier;
        mod op;
        pub mod os;
        mod parker;
        mod posted;
        mod registry;
        mod seat;
        pub mod signal;
        pub mod socket;
        mod source;
        mod sync;
        mod sys;
        #[cfg(all(test, not(loom)))]
        mod testing;
        pub mod time;
        mod token;
        mod waiter;
        mod word;

        pub use batch::{Batch, Dispatch};
        pub use error::Closed;
        pub use event::Event;
        pub use handle::Handle;
        pub use interest::{Interest, Ready};
        pub use notifier::{Backend, Builder, Cause, ChosenBy, Enter, Notifier, Probe, Refused};
        pub use signal::Signal;
    } else {
        compile_error!("pike has no backend for this target: it supports Linux, macOS, the BSDs and Windows");
    }
}
