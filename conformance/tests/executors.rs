//! The poll traits under executors of others, which know nothing of pike: a proxy between connections of each backend of
//! this build, whose Notifier a thread of its own turns, and of the background Notifier.

use std::{future::Future, thread, time::Duration};

use futures_lite::future;
use pike::{Backend, Event, Notifier, net::TcpStream, time::timeout};
use pike_conformance::{Cx, relay::relayed};

const LIMIT: Duration = Duration::from_secs(60);

/// tokio's `copy_bidirectional` on its threads.
#[test]
fn tokio_relays() {
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    on_each_notifier("tokio_relays", |mut one, mut other, exchanged| {
        let proxy = tokio.spawn(async move { tokio::io::copy_bidirectional(&mut one, &mut other).await });
        tokio.block_on(async {
            timeout(LIMIT, exchanged).await.expect("in time");
            proxy.await.unwrap().unwrap();
        });
    });
}

/// futures-io's `copy` both ways, as smol's programs do.
#[test]
fn smol_relays() {
    on_each_notifier("smol_relays", |one, other, exchanged| {
        let (one_reads, one_writes) = one.into_split();
        let (other_reads, other_writes) = other.into_split();
        let there = smol::spawn(smol::io::copy(one_reads, other_writes));
        let back = smol::spawn(smol::io::copy(other_reads, one_writes));
        smol::block_on(async {
            timeout(LIMIT, exchanged).await.expect("in time");
            future::try_zip(there, back).await.unwrap();
        });
    });
}

fn on_each_notifier(
    title: &str,
    relay: impl Fn(TcpStream, TcpStream, std::pin::Pin<Box<dyn Future<Output = ()> + Send>>),
) {
    for &backend in Backend::BUILT {
        let cx = Cx::new(format!("{title} on {backend}"), backend, LIMIT);
        let notifier = cx.notifier();
        let (one, other, exchanged) = relayed(&cx, &notifier);
        let stop = {
            let _here = notifier.enter();
            Event::latch().unwrap()
        };
        thread::scope(|scope| {
            scope.spawn(|| notifier.block_on(stop.wait()).unwrap());
            relay(one, other, Box::pin(exchanged));
            stop.notify();
        });
    }
    let background = Notifier::background().unwrap();
    let cx = Cx::new(format!("{title} in the background"), background.backend(), LIMIT);
    let (one, other, exchanged) = relayed(&cx, &background);
    relay(one, other, Box::pin(exchanged));
}
