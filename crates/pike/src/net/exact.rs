//! Reading and writing until all is done.

use std::io;

use crate::socket::Socket;

/// Reads until `buf` is full, and returns its length.
pub(super) async fn read(socket: &Socket, buf: &mut [u8]) -> io::Result<usize> {
    let mut done = 0;
    while done < buf.len() {
        match socket.read(&mut buf[done..]).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => done += count,
        }
    }
    Ok(done)
}

/// Writes all of `buf`.
pub(super) async fn write(socket: &Socket, mut buf: &[u8]) -> io::Result<()> {
    while !buf.is_empty() {
        match socket.write(buf).await? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            count => buf = &buf[count..],
        }
    }
    Ok(())
}
