//! The life of waits, from first poll to every kind of end, on a real Notifier. `ci/miri` runs it: it is the one way to
//! have Miri look at the nodes inside of futures with a kernel behind them. No timer, which Miri's epoll does not know.

use std::{mem, sync::Arc, thread};

use futures_lite::future::{block_on, or, poll_once, zip};
use pike::{Closed, Event, Notifier};

#[test]
fn waits_end_in_every_way() {
    let notifier = Notifier::new().unwrap();
    let event = {
        let _here = notifier.enter();
        Arc::new(Event::counting().unwrap())
    };
    notifier.block_on(async {
        for _ in 0..3 {
            let [mut first, mut second, mut third] = [(); 3].map(|()| Box::pin(event.wait()));
            for wait in [&mut first, &mut second, &mut third] {
                assert!(poll_once(wait.as_mut()).await.is_none());
            }
            // Polled again; dropped while it waits; dropped with a wake, which goes to the third.
            assert!(poll_once(first.as_mut()).await.is_none());
            drop(second);
            event.notify();
            event.post().await.unwrap();
            drop(first);
            assert_eq!(third.await.unwrap(), 1);

            // Leaked while it waits: its node stays where it is for ever.
            let mut leaked = Box::pin(event.wait());
            assert!(poll_once(leaked.as_mut()).await.is_none());
            mem::forget(leaked);

            let (one, other) = zip(event.post(), event.post()).await;
            one.and(other).unwrap();
            event.notify();
            assert_eq!(or(event.wait(), event.wait()).await.unwrap(), 1);
        }
    });

    let remote = event.clone();
    let notifying = thread::spawn(move || (0..20).for_each(|_| remote.notify()));
    let mut waited = 0;
    notifier.block_on(async {
        while waited < 20 {
            waited += event.wait().await.unwrap();
        }
    });
    notifying.join().unwrap();

    let mut waiting = Box::pin(event.wait());
    assert!(block_on(poll_once(waiting.as_mut())).is_none());
    drop(notifier);
    assert!(Closed::is(&block_on(waiting).unwrap_err()));
    assert!(Closed::is(&block_on(event.wait()).unwrap_err()));
}
