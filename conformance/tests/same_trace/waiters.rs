//! Who is woken, and in which order.

use std::{io::Write, sync::Mutex, time::Duration};

use pike::{Event, Interest, net::TcpStream, time};
use pike_conformance::{Boxed, Task, join_all};

use crate::stage::Stage;

pub fn scene(stage: &mut Stage) {
    let (stream, mut peer) = stage.stream();
    let mut readers: Vec<_> = (0..4).map(|_| Task::pending(read_byte(&stream))).collect();
    let mut watcher = stage.waiting(stream.ready(Interest::READABLE));
    peer.write_all(b"a").unwrap();
    stage.cx.turn_until(stage.notifier(), "the first", || readers[0].is_woken() && watcher.is_woken());
    stage.note("woken", readers.iter().map(Task::is_woken).collect::<Vec<_>>());
    stage.note("watcher", watcher.ready().map(|ready| ready.is_readable()).unwrap());
    stage.note("first", readers.remove(0).ready());
    drop(readers.remove(0)); // loses nothing
    peer.write_all(b"bc").unwrap();
    for reader in &mut readers {
        let got = stage.finish(reader);
        stage.note("another", got);
    }
    stage.result("nothing left", stream.try_read(&mut [0; 8]));
    drop(readers);

    // Those that own their buffer, in the order in which they asked; one that is dropped is passed over.
    let mut owned: Vec<_> = (0..4).map(|_| Task::pending(stream.read_owned(Vec::with_capacity(1)))).collect();
    stage.settle();
    drop(owned.remove(1));
    stage.settle();
    for bytes in [b"a", b"b", b"c"] {
        peer.write_all(bytes).unwrap();
        let got = stage.finish(&mut owned[0]);
        stage.owned("owned", got);
        drop(owned.remove(0));
        stage.note("the others wait", owned.iter_mut().all(|task| task.poll().is_pending()));
    }

    // A lease each.
    let mut pooled: Vec<_> = (0..3).map(|_| Task::pending(stream.recv_pooled())).collect();
    stage.settle();
    drop(pooled.remove(0));
    for bytes in [b"first", b"other"] {
        peer.write_all(bytes).unwrap();
        let got = stage.finish(&mut pooled[0]);
        stage.received("pooled", got);
        drop(pooled.remove(0));
    }
}

async fn read_byte(stream: &TcpStream) -> char {
    let mut byte = [0];
    stream.read_exact(&mut byte).await.unwrap();
    byte[0].into()
}

/// Deadlines in their order, and events.
pub fn timers(stage: &mut Stage) {
    let order = stage.run(async {
        let (fast, slow) = (time::sleep(Duration::from_millis(2)), time::sleep(Duration::from_millis(30)));
        let order = Mutex::new(Vec::new());
        join_all([
            Box::pin(async {
                slow.await;
                order.lock().unwrap().push("slow");
            }) as Boxed<'_, ()>,
            Box::pin(async {
                fast.await;
                order.lock().unwrap().push("fast");
            }),
        ])
        .await;
        order.into_inner().unwrap()
    });
    stage.note("woken", order);
    let event = stage.run(async { Event::counting() }).unwrap();
    (0..3).for_each(|_| event.notify());
    let count = stage.run(event.wait());
    stage.result("an event", count);
    event.notify();
    let count = stage.run(event.wait());
    stage.result("and again", count);
}
