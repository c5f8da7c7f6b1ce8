//! What belongs to [`TcpStream`](super::TcpStream), under the names of tokio.

pub use super::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, ReuniteError, WriteHalf};
