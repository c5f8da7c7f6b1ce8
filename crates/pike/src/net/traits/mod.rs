//! The poll traits of other libraries on the streams and their halves, a feature each.
//!
//! They wait in the one reserved slot of a direction (see [`Handle::poll_readable`](crate::Handle::poll_readable)), so
//! they are on the values, which have one user at a time, and not on references to them. Flushing does nothing: there
//! is no buffer. Closing ends writing, and says nothing of a connection that is gone.

#[cfg(feature = "futures-io")]
mod futures_io;
#[cfg(feature = "tokio")]
mod tokio;

/// Calls a macro for each type that reads, `reads`, or writes, `writes`.
#[cfg(any(feature = "futures-io", feature = "tokio"))]
macro_rules! for_each_stream {
    ($reads:ident, $writes:ident) => {
        $reads! { [] TcpStream, [] UnixStream, [S: Stream] ReadHalf<'_, S>, [S: Stream] OwnedReadHalf<S> }
        $writes! { [] TcpStream, [] UnixStream, [S: Stream] WriteHalf<'_, S>, [S: Stream] OwnedWriteHalf<S> }
    };
}

#[cfg(any(feature = "futures-io", feature = "tokio"))]
use for_each_stream;
