//! What a proxy between two connections must get across, for the tests of the poll traits.

use std::{future::Future, net::Shutdown};

use futures_lite::future;
use pike::{Notifier, net::TcpStream};

use crate::{
    Cx,
    net::{self, assert_bytes_at, bytes_at},
};

/// More than the buffers of a connection hold.
const LEN: usize = 3 << 20;

/// The two ends that a proxy copies between, and what must come of it: all bytes both ways, and the end of each way
/// while the other goes on.
pub fn relayed(
    cx: &Cx,
    notifier: &Notifier,
) -> (TcpStream, TcpStream, impl Future<Output = ()> + Send + use<>) {
    let (client, one) = net::pair(cx, notifier);
    let (other, server) = net::pair(cx, notifier);
    let exchanged = async move {
        future::zip(send(&client), expect(&server)).await;
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(server.read(&mut [0]).await.unwrap(), 0, "end of file");
        future::zip(send(&server), expect(&client)).await;
        drop(server);
        assert_eq!(client.read(&mut [0]).await.unwrap(), 0, "end of file");
    };
    (one, other, exchanged)
}

async fn send(stream: &TcpStream) {
    stream.write_all(&bytes_at(0, LEN)).await.unwrap();
}

async fn expect(stream: &TcpStream) {
    let (mut buf, mut place) = (vec![0; 100_000], 0);
    while place < LEN {
        let count = stream.read(&mut buf).await.unwrap();
        assert_ne!(count, 0, "end of file after {place} bytes");
        assert_bytes_at(place, &buf[..count]);
        place += count;
    }
}
