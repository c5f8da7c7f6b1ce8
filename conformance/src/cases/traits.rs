//! The poll traits of futures-io and tokio, on streams and their halves.

use std::{
    io::{IoSlice, IoSliceMut},
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use futures_lite::{AsyncRead as _, AsyncWrite as _, future};
use pike::{Notifier, net::TcpStream};
use tokio::io::ReadBuf;

use crate::{
    Cx, Outcome,
    net::{self, soon},
    relay::relayed,
    task::Wakes,
};

/// A proxy by tokio's `copy_bidirectional`, with no runtime of tokio.
pub fn tokio_traits_relay(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let (mut one, mut other, exchanged) = relayed(cx, &notifier);
    let proxy = async {
        let counts = tokio::io::copy_bidirectional(&mut one, &mut other).await.unwrap();
        assert_eq!(counts.0, counts.1);
        drop((one, other));
    };
    soon(&notifier, "a proxy", future::zip(proxy, exchanged));
    Ok(())
}

/// The same by futures-io's `copy`, both ways, over halves of each kind.
pub fn futures_traits_relay(cx: &Cx) -> Outcome {
    use futures_lite::AsyncWriteExt;
    let notifier = cx.notifier();
    let (one, mut other, exchanged) = relayed(cx, &notifier);
    let proxy = async move {
        let (mut one_reads, mut one_writes) = one.into_split();
        let (mut other_reads, mut other_writes) = other.split();
        let there = async {
            let count = futures_lite::io::copy(&mut one_reads, &mut other_writes).await.unwrap();
            other_writes.close().await.unwrap();
            count
        };
        let back = async {
            let count = futures_lite::io::copy(&mut other_reads, &mut one_writes).await.unwrap();
            one_writes.close().await.unwrap();
            count
        };
        let counts = future::zip(there, back).await;
        assert_eq!(counts.0, counts.1);
    };
    soon(&notifier, "a proxy", future::zip(proxy, exchanged));
    Ok(())
}

/// futures-io: vectored forms, empty buffers, ends.
pub fn futures_trait_forms(cx: &Cx) -> Outcome {
    use futures_lite::{AsyncReadExt, AsyncWriteExt};
    let notifier = cx.notifier();
    let (mut one, mut other) = net::pair(cx, &notifier);
    soon(&notifier, "the forms of futures-io", async {
        let slices = [IoSlice::new(b"ab"), IoSlice::new(b""), IoSlice::new(b"cde")];
        assert_eq!(AsyncWriteExt::write_vectored(&mut one, &slices).await.unwrap(), 5);
        AsyncWriteExt::flush(&mut one).await.unwrap();
        assert_eq!(AsyncReadExt::read(&mut other, &mut []).await.unwrap(), 0, "an empty buffer");
        other.readable().await.unwrap();
        let (mut start, mut rest) = ([0; 1], [0; 9]);
        let mut slices = [IoSliceMut::new(&mut start), IoSliceMut::new(&mut rest)];
        assert_eq!(AsyncReadExt::read_vectored(&mut other, &mut slices).await.unwrap(), 5);
        assert_eq!((&start[..], &rest[..4]), (&b"a"[..], &b"bcde"[..]));

        // Closing ends writing only, twice is no error, and the other way goes on.
        one.close().await.unwrap();
        one.close().await.unwrap();
        assert_eq!(other.read_to_end(&mut Vec::new()).await.unwrap(), 0);
        AsyncWriteExt::write_all(&mut other, b"still").await.unwrap();
        drop(other);
        let mut all = Vec::new();
        one.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, b"still");
    });
    let mut gone = reset(cx, &notifier);
    soon(&notifier, "closing what was reset", gone.close()).unwrap();
    Ok(())
}

/// tokio: the same, and into memory that nobody has written.
pub fn tokio_trait_forms(cx: &Cx) -> Outcome {
    use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
    let notifier = cx.notifier();
    let (mut one, mut other) = net::pair(cx, &notifier);
    soon(&notifier, "the forms of tokio", async {
        assert!(one.is_write_vectored());
        let slices = [IoSlice::new(b"ab"), IoSlice::new(b"cde")];
        assert_eq!(AsyncWriteExt::write_vectored(&mut one, &slices).await.unwrap(), 5);
        one.flush().await.unwrap();
        other.readable().await.unwrap();

        // Behind what is filled, and no further than there is room.
        let mut memory = [MaybeUninit::uninit(); 5];
        let mut buf = ReadBuf::uninit(&mut memory);
        buf.put_slice(b"x");
        future::poll_fn(|cx| poll_read(&mut other, cx, &mut buf)).await.unwrap();
        assert_eq!((buf.filled(), buf.remaining()), (&b"xabcd"[..], 0));
        future::poll_fn(|cx| poll_read(&mut other, cx, &mut buf)).await.unwrap();
        assert_eq!(buf.filled(), b"xabcd", "a full buffer");
        let mut memory = Vec::with_capacity(64);
        assert_eq!(other.read_buf(&mut memory).await.unwrap(), 1);
        assert_eq!(memory, b"e");

        AsyncWriteExt::shutdown(&mut one).await.unwrap();
        AsyncWriteExt::shutdown(&mut one).await.unwrap();
        assert_eq!(other.read_to_end(&mut memory).await.unwrap(), 0);
        AsyncWriteExt::write_all(&mut other, b"still").await.unwrap();
        drop(other);
        let mut all = Vec::new();
        one.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, b"still");
    });
    let mut gone = reset(cx, &notifier);
    soon(&notifier, "closing what was reset", AsyncWriteExt::shutdown(&mut gone)).unwrap();
    Ok(())
}

fn poll_read(
    stream: &mut TcpStream,
    cx: &mut Context<'_>,
    buf: &mut ReadBuf<'_>,
) -> Poll<std::io::Result<()>> {
    tokio::io::AsyncRead::poll_read(Pin::new(stream), cx, buf)
}

/// A stream whose connection was reset, and which knows it.
fn reset(cx: &Cx, notifier: &Notifier) -> TcpStream {
    let (stream, peer) = net::pair(cx, notifier);
    peer.set_linger(Some(Duration::ZERO)).unwrap();
    drop(peer);
    // Of a reset that comes while somebody waits for bytes, Wine tells the request that waits, and the read that follows the end.
    cx.settle(notifier);
    assert!(net::is_gone(&soon(notifier, "a reset", stream.read(&mut [0])).unwrap_err()));
    stream
}

/// Of several tasks that poll one way the last is woken; the two ways do not disturb each other.
pub fn traits_wake_the_last(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let (mut one, peer) = net::with_peer(cx, &notifier);
    let full = cx.fill_up(&notifier, &one);
    let [first, last, writer] = [(); 3].map(|()| Wakes::new());
    for reader in [&first, &last] {
        let waker = Waker::from(reader.clone());
        let polled = Pin::new(&mut one).poll_read(&mut Context::from_waker(&waker), &mut [0; 8]);
        assert!(polled.is_pending());
    }
    let waker = Waker::from(writer.clone());
    assert!(Pin::new(&mut one).poll_write(&mut Context::from_waker(&waker), b"no room").is_pending());

    std::io::Write::write_all(&mut &peer, b"x").unwrap();
    cx.turn_until(&notifier, "the last reader's wake", || last.count() == 1);
    assert_eq!((first.count(), writer.count()), (0, 0));
    cx.drain(&peer, full);
    cx.turn_until(&notifier, "the writer's wake", || writer.count() == 1);
    assert_eq!((first.count(), last.count()), (0, 1));
    Ok(())
}
