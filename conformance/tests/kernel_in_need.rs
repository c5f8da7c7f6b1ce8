//! What io_uring_enter may say beside "done": that there is no memory or no room now, that a signal came, that completions were
//! lost, that it is forbidden, or that io_uring_register is. Nothing is lost by it, nothing is done twice, and nobody is kept busy.
//!
//! Method: another thread answers the call instead of the kernel, or has the kernel do its part first (`supervised`).
#![cfg(target_os = "linux")]

use std::{
    io::{self, Read, Write},
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    task::Poll,
    time::{Duration, Instant},
};

use futures_lite::future;
use pike::{Backend, Closed, Notifier};
use pike_conformance::{
    Cx, Task,
    harness::note_skip,
    supervised::{self, Answer, Call},
};

const LIMIT: Duration = Duration::from_secs(30);
const ENTER: &[libc::c_long] = &[libc::SYS_io_uring_enter];

fn supervised(
    what: &str,
    answer: impl FnMut(Call) -> Answer,
    body: impl FnOnce(&Cx) -> io::Result<()> + Send + 'static,
) {
    let cx = Cx::new(what.to_owned(), Backend::IoUring, LIMIT);
    drop(cx.notifier()); // the self-test of rings is over
    match supervised::supervised(LIMIT, ENTER, answer, move || body(&cx)) {
        Ok(done) => done.unwrap_or_else(|error| panic!("{what}: {error}")),
        Err(skip) => note_skip(what.to_owned(), skip),
    }
}

fn notifier(cx: &Cx, bound: bool) -> Notifier {
    if bound { cx.builder().bound() } else { cx.builder() }.build().unwrap()
}

/// An owned send and an owned receive under way at once. `turn`: what became of each turn.
fn exchange(cx: &Cx, notifier: &Notifier, mut turn: impl FnMut(io::Result<usize>)) {
    let (stream, mut peer) = cx.stream(notifier);
    let mut reading = Task::pending(stream.read_owned(Vec::with_capacity(8)));
    let mut writing = Task::pending(stream.write_all_owned(b"ping".to_vec()));
    let mut turn_until = |what, task: &dyn Fn() -> bool| {
        while !task() {
            cx.check_time(what);
            turn(notifier.poll(Some(Duration::from_millis(20))));
        }
    };
    turn_until("the send", &|| writing.is_woken());
    writing.ready().0.unwrap();
    let mut bytes = [0; 4];
    peer.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"ping");
    peer.write_all(b"pong").unwrap();
    turn_until("the receive", &|| reading.is_woken());
    let (count, bytes) = reading.ready();
    assert_eq!((count.unwrap(), &bytes[..]), (4, &b"pong"[..]));
    drop((reading, writing));
    drop(stream);
    assert_eq!(peer.read(&mut [0]).unwrap(), 0, "it was sent twice");
}

/// The kernel takes nothing at first, for some reason that passes: it is offered the same again.
#[test]
fn what_is_not_taken_is_offered_again() {
    for code in [libc::EAGAIN, libc::EBUSY, libc::ENOMEM, libc::EINTR] {
        for bound in [false, true] {
            let mut refused = 0;
            let answer = |call: Call| match call.submits() > 0 && refused < 6 {
                true => {
                    refused += 1;
                    Answer::Fails(code)
                }
                false => Answer::Goes,
            };
            supervised(&format!("{code}, bound: {bound}"), answer, move |cx| {
                exchange(cx, &notifier(cx, bound), |turned| _ = turned.expect("no error"));
                Ok(())
            });
            assert_eq!(refused, 6, "{code}, bound: {bound}");
        }
    }
}

/// Has the kernel take only so many of the entries, as when its memory ends between two of them: it says how many, and does not wait.
fn takes(call: Call, count: u64) -> Answer {
    let mut part = call;
    part.args[1] = count;
    supervised::submit(&part).expect("the kernel takes it");
    Answer::Says(count as i64)
}

/// The kernel takes what is queued one by one: nothing is lost, and nothing begun twice.
#[test]
fn what_is_taken_in_part_is_offered_again() {
    let mut parts = 0;
    let answer = |call: Call| match call.submits() > 1 {
        true => {
            parts += 1;
            takes(call, 1)
        }
        false => Answer::Goes,
    };
    supervised("in parts", answer, move |cx| {
        exchange(cx, &notifier(cx, false), |turned| _ = turned.expect("no error"));
        Ok(())
    });
    assert!(parts > 0);
}

/// The kernel has taken three of some receives, and takes no more, as all ends: each ends once, the one that is in the kernel still
/// as those that never came there.
#[test]
fn a_shutdown_tells_the_taken_from_the_rest() {
    let (stuck, mut taken) = (Arc::new(AtomicBool::new(false)), 0);
    let its_stuck = Arc::clone(&stuck);
    let answer = |call: Call| match (stuck.load(SeqCst), call.submits()) {
        (false, _) | (true, 0) => Answer::Goes,
        (true, 4..) if taken == 0 => {
            taken = 3;
            takes(call, taken)
        }
        (true, _) => Answer::Fails(libc::ENOMEM),
    };
    supervised("a part, at the end", answer, move |cx| {
        let notifier = cx.notifier();
        let pairs: Vec<_> = (0..8).map(|_| cx.stream(&notifier)).collect();
        its_stuck.store(true, SeqCst);
        let mut reading: Vec<_> =
            pairs.iter().map(|(stream, _)| Task::pending(stream.read_owned(vec![7; 1]))).collect();
        (0..3).for_each(|_| _ = notifier.poll(Some(Duration::ZERO)).expect("no error"));
        for (at, (_, peer)) in pairs.iter().enumerate().filter(|(at, _)| *at != 2) {
            { peer }.write_all(&[at as u8])?;
        }
        cx.turn_until(&notifier, "what the kernel has", || reading[0].is_woken() && reading[1].is_woken());
        cx.settle(&notifier);
        let done: Vec<_> = (0..8).filter(|&at| reading[at].is_woken()).collect();
        assert_eq!(done, [0, 1]);
        assert_eq!(notifier.shutdown(Duration::from_secs(10)), 0);
        for (at, reading) in reading.iter_mut().enumerate() {
            match (reading.ready(), at) {
                ((Ok(1), bytes), 0..2) => assert_eq!(bytes, [at as u8]),
                ((Err(error), bytes), 2..) => assert!(Closed::is(&error) && bytes == [7]),
                other => panic!("{other:?}"),
            }
        }
        Ok(())
    });
    assert_eq!(taken, 3);
}

/// A kernel that has no memory has none a microsecond later. Until it has, readiness and notifies are heard, and the thread sleeps.
#[test]
fn a_kernel_in_need_is_not_asked_all_the_time() {
    const NEED: Duration = Duration::from_millis(300);
    for code in [libc::EAGAIN, libc::EBUSY, libc::ENOMEM] {
        for bound in [false, true] {
            let (heard, began) = (Arc::new(AtomicBool::new(false)), Instant::now());
            let (its_heard, mut refused) = (Arc::clone(&heard), 0);
            let answer = |_| match began.elapsed() < NEED || !heard.load(SeqCst) {
                true => {
                    refused += 1;
                    Answer::Fails(code)
                }
                false => Answer::Goes,
            };
            supervised(&format!("{code}, bound: {bound}"), answer, move |cx| {
                let notifier = notifier(cx, bound);
                let (owned, mut peer) = cx.stream(&notifier);
                let (borrowed, mut other) = cx.stream(&notifier);
                notifier.block_on(future::zip(
                    async {
                        let mut reading = pin!(owned.read_exact_owned(vec![0; 1]));
                        assert!(future::poll_once(reading.as_mut()).await.is_none());
                        peer.write_all(b"a").unwrap();
                        assert_eq!(reading.await.1, b"a");
                    },
                    async {
                        assert!(future::poll_once(borrowed.readable()).await.is_none());
                        let writes = std::thread::spawn(move || {
                            std::thread::sleep(Duration::from_millis(50));
                            other.write_all(b"b").unwrap();
                            other
                        });
                        let mut byte = [0];
                        assert_eq!(borrowed.read(&mut byte).await.unwrap(), 1);
                        its_heard.store(true, SeqCst);
                        writes.join().unwrap();
                    },
                ));
                Ok(())
            });
            // Each refusal is followed by some milliseconds of sleep. Without, these would be ten thousands.
            assert!((1..500).contains(&refused), "{code}, bound: {bound}: asked {refused} times");
        }
    }
}

/// The kernel has taken what was queued, and the call fails all the same (I9): it is in flight, and not begun again. An error
/// that no waiting helps against is told by the turn, with its code, and the next goes on.
#[test]
fn what_the_kernel_has_seen_is_in_flight() {
    for code in [libc::EINTR, libc::EAGAIN, libc::EBUSY, libc::EBADR, libc::EPERM, libc::EINVAL] {
        let mut failed = 0;
        let answer = |call: Call| match call.submits() > 0 && failed < 2 {
            true => {
                failed += 1;
                supervised::submit(&call).expect("the kernel takes it");
                Answer::Fails(code)
            }
            false => Answer::Goes,
        };
        let is_told = ![libc::EINTR, libc::EAGAIN, libc::EBUSY].contains(&code);
        supervised(&format!("seen, and {code}"), answer, move |cx| {
            let mut errors = 0;
            exchange(cx, &notifier(cx, false), |turned| {
                if let Err(error) = turned {
                    assert_eq!(error.raw_os_error(), Some(code));
                    errors += 1;
                }
            });
            assert!(if is_told { (1..=2).contains(&errors) } else { errors == 0 }, "{errors} errors");
            Ok(())
        });
        assert!(failed > 0);
    }
}

/// The completion of the ring's poll of the epoll set is among those that were lost: readiness is told of all the same.
#[test]
fn a_loss_of_completions_makes_nobody_deaf() {
    const POLL_ADD: u8 = 6;
    const SKIP_COMPLETION: u8 = 1 << 6;
    let lost = Arc::new(AtomicBool::new(false));
    let (its_lost, mut watched) = (Arc::clone(&lost), false);
    let answer = |call: Call| {
        if lost.swap(false, SeqCst) {
            return Answer::Fails(libc::EBADR);
        }
        supervised::each_entry(call.ring(), 256, |entry| {
            if entry.opcode == POLL_ADD && !watched {
                entry.flags |= SKIP_COMPLETION;
                watched = true;
            }
        })
        .expect("the entries");
        Answer::Goes
    };
    supervised("a loss", answer, move |cx| {
        let notifier = cx.notifier();
        let (owned, mut peer) = cx.stream(&notifier);
        let (borrowed, mut other) = cx.stream(&notifier);
        let mut reading = Task::pending(owned.read_owned(Vec::with_capacity(8)));
        let mut waiting = Task::pending(borrowed.readable());
        // Until the set itself has nothing to report: the socket can be written to.
        cx.settle(&notifier);
        notifier.poll(Some(Duration::from_millis(50)))?; // the poll entry is in the kernel
        other.write_all(b"b")?;
        while waiting.is_woken() {
            assert!(waiting.poll().is_pending());
            notifier.poll(Some(Duration::from_millis(50)))?;
        }
        its_lost.store(true, SeqCst);
        let told = loop {
            cx.check_time("the loss is told");
            match notifier.poll(Some(Duration::from_millis(50))) {
                Ok(_) if waiting.is_woken() => break None,
                Ok(_) => {}
                Err(error) => break error.raw_os_error(),
            }
        };
        assert_eq!(told, Some(libc::EBADR));
        let before = Instant::now();
        while !waiting.is_woken() {
            notifier.poll(Some(Duration::from_secs(5)))?;
            assert!(before.elapsed() < Duration::from_secs(4), "nobody hears of what comes");
        }
        waiting.ready()?;
        peer.write_all(b"a")?;
        cx.turn_until(&notifier, "the operation that was not lost", || reading.is_woken());
        assert_eq!(reading.ready().1, b"a");
        Ok(())
    });
    assert!(watched);
}

/// What takes a lent buffer back for somebody who waits is among those that were lost: another is asked for.
#[test]
fn a_loss_of_completions_strands_nobody_who_waits_for_a_buffer() {
    const READ: u8 = 22;
    const SKIP_COMPLETION: u8 = 1 << 6;
    const COUNT: u8 = 16;
    let (mut is_lost, mut is_told) = (false, false);
    let answer = |call: Call| {
        if is_lost && !is_told {
            is_told = true;
            return Answer::Fails(libc::EBADR);
        }
        supervised::each_entry(call.ring(), 256, |entry| {
            if entry.opcode == READ && !is_lost {
                entry.flags |= SKIP_COMPLETION;
                is_lost = true;
            }
        })
        .expect("the entries");
        Answer::Goes
    };
    supervised("a loss of a buffer", answer, move |cx| {
        let notifier = cx.builder().buffers(COUNT.into(), 64).build()?;
        let (lent, _peer) = cx.stream(&notifier);
        let _here = notifier.enter();
        let (ours, mut sender) = std::os::unix::net::UnixStream::pair()?;
        let ours = pike::net::UnixStream::from_std(ours)?;
        let _waiting = Task::pending(lent.recv_pooled());
        cx.settle(&notifier); // the kernel has its part of the pool
        let (mut held, mut losses, began) = (Vec::new(), 0, Instant::now());
        // One is gone with the completion that was lost.
        for byte in 1..COUNT {
            sender.write_all(&[byte])?;
            let mut receiving = Task::new(ours.recv_pooled());
            loop {
                if let Poll::Ready(received) = receiving.poll() {
                    held.push(received?);
                    break;
                }
                while !receiving.is_woken() {
                    assert!(began.elapsed() < Duration::from_secs(10), "buffer {byte} never comes");
                    losses += usize::from(notifier.poll(Some(Duration::from_millis(20))).is_err());
                }
            }
        }
        assert_eq!((held.len(), losses), (15, 1));
        Ok(())
    });
    assert!(is_told);
}

/// Completions are lost as all ends: the rest is waited for.
#[test]
fn a_shutdown_goes_on_after_a_loss() {
    let lost = Arc::new(AtomicUsize::new(0));
    let its_lost = Arc::clone(&lost);
    let answer = |_| match lost.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)) {
        Ok(_) => Answer::Fails(libc::EBADR),
        Err(_) => Answer::Goes,
    };
    supervised("a loss at the end", answer, move |cx| {
        for bound in [false, true] {
            let notifier = notifier(cx, bound);
            let (stream, _peer) = cx.stream(&notifier);
            let mut reading = Task::pending(stream.read_owned(Vec::with_capacity(8)));
            cx.settle(&notifier);
            its_lost.store(2, SeqCst); // the first look, and the first wait
            assert_eq!(notifier.shutdown(Duration::from_secs(10)), 0, "bound: {bound}");
            its_lost.store(0, SeqCst);
            assert!(Closed::is(&reading.ready().0.unwrap_err()));
        }
        Ok(())
    });
}

/// A filter that came after the start forbids io_uring_register, and no more: a shutdown ends all the same. So does a drop.
#[test]
fn a_shutdown_ends_all_where_registering_is_forbidden() {
    for (bound, drops) in [(false, false), (false, true), (true, false), (true, true)] {
        let what = format!("bound: {bound}, drops: {drops}");
        supervised(
            &what.clone(),
            |_| Answer::Goes,
            move |cx| {
                let notifier = notifier(cx, bound);
                let (stream, _peer) = cx.stream(&notifier);
                let (other, mut writes) = cx.stream(&notifier);
                let mut reading = Task::pending(stream.read_owned(Vec::with_capacity(8)));
                let mut pooled = Task::pending(other.recv_pooled());
                cx.settle(&notifier);
                supervised::refuse(libc::SYS_io_uring_register, libc::EPERM).map_err(io::Error::other)?;
                writes.write_all(b"on")?;
                cx.turn_until(&notifier, "what was begun goes on", || pooled.is_woken());
                assert_eq!(&pooled.ready()?[..], b"on");
                if drops {
                    drop(notifier);
                } else {
                    assert_eq!(notifier.shutdown(Duration::from_secs(2)), 0, "{what}");
                }
                assert!(reading.is_woken(), "{what}");
                assert!(Closed::is(&reading.ready().0.unwrap_err()));
                Ok(())
            },
        );
    }
}

/// The same, with something in the queue that the kernel has not taken: it is not begun on that occasion (I12), and what the kernel
/// has is counted.
#[test]
fn a_shutdown_that_cannot_cancel_begins_nothing() {
    for bound in [false, true] {
        let (refuses, submits) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (its_refuses, its_submits) = (Arc::clone(&refuses), Arc::clone(&submits));
        let answer = move |call: Call| match refuses.load(SeqCst) && call.submits() > 0 {
            true => Answer::Fails(libc::EAGAIN),
            false => {
                submits.fetch_add(call.submits() as usize, SeqCst);
                Answer::Goes
            }
        };
        supervised(&format!("bound: {bound}"), answer, move |cx| {
            let notifier = notifier(cx, bound);
            let (stream, _peer) = cx.stream(&notifier);
            let (other, _other) = cx.stream(&notifier);
            let reading = Task::pending(stream.read_owned(Vec::with_capacity(8)));
            cx.settle(&notifier);
            supervised::refuse(libc::SYS_io_uring_register, libc::EPERM).map_err(io::Error::other)?;
            its_refuses.store(true, SeqCst);
            let mut queued = Task::pending(other.read_owned(Vec::with_capacity(8)));
            notifier.poll(Some(Duration::ZERO))?;
            assert_eq!(notifier.shutdown(Duration::from_millis(50)), 1, "bound: {bound}");
            assert!(Closed::is(&queued.ready().0.unwrap_err()));
            its_refuses.store(false, SeqCst);
            let before = its_submits.load(SeqCst);
            assert_eq!(notifier.shutdown(Duration::from_millis(50)), 1, "bound: {bound}");
            assert_eq!(its_submits.load(SeqCst), before, "it was begun after the end");
            assert!(!reading.is_woken());
            Ok(())
        });
    }
}

/// The system refuses for good, after the start: the turn says so with its code; `block_on` shuts down, and neither spins nor
/// sleeps for ever; what the kernel never took ends and gives its buffer back, and the rest is cancelled, or counted.
#[test]
fn a_kernel_that_refuses_for_good_is_told_of() {
    for code in [libc::EPERM, libc::EINVAL, libc::EBADF, libc::ENOSYS] {
        for bound in [false, true] {
            let refuses = Arc::new(AtomicBool::new(false));
            let (its_refuses, asked) = (Arc::clone(&refuses), AtomicUsize::new(0));
            let answer = |_| match refuses.load(SeqCst) {
                true => {
                    asked.fetch_add(1, SeqCst);
                    Answer::Fails(code)
                }
                false => Answer::Goes,
            };
            supervised(&format!("{code}, bound: {bound}"), answer, move |cx| {
                let notifier = notifier(cx, bound);
                let [(first, _one), (second, mut other), (third, _two), (last, mut writes)] =
                    [(); 4].map(|()| cx.stream(&notifier));
                let in_kernel = Task::pending(first.read_owned(Vec::with_capacity(8)));
                let mut completes = (!bound).then(|| Task::pending(last.read_owned(Vec::with_capacity(8))));
                cx.settle(&notifier);
                its_refuses.store(true, SeqCst);
                // Of these the kernel takes none.
                let queued = Task::pending(second.read_owned(Vec::with_capacity(8)));
                for _ in 0..3 {
                    let error = notifier.poll(Some(Duration::from_secs(1))).unwrap_err();
                    assert_eq!(error.raw_os_error(), Some(code));
                }
                // What a free ring's kernel completes all the same is told.
                writes.write_all(b"done")?;
                while completes.as_ref().is_some_and(|task| !task.is_woken()) {
                    cx.check_time("what is done");
                    assert!(notifier.poll(Some(Duration::from_secs(1))).is_err());
                }
                if let Some(mut task) = completes.take() {
                    assert_eq!(task.ready().1, b"done");
                }
                let mailed = Task::pending(third.write_all_owned(b"mailed".to_vec()));
                assert!(!in_kernel.is_woken() && !queued.is_woken() && !mailed.is_woken());
                // The future looks at the reason once more, and waits for the operations.
                let seen = Mutex::new(None);
                let tasks = Mutex::new((queued, mailed));
                notifier.block_on(future::poll_fn(|_| {
                    let Some(error) = notifier.failure() else { return Poll::Pending };
                    *seen.lock().unwrap() = error.raw_os_error();
                    let (queued, mailed) = &*tasks.lock().unwrap();
                    assert!(queued.is_woken() && mailed.is_woken());
                    Poll::Ready(())
                }));
                assert_eq!(*seen.lock().unwrap(), Some(code));
                let (mut queued, mut mailed) = tasks.into_inner().unwrap();
                let (result, buffer) = queued.ready();
                assert!(Closed::is(&result.unwrap_err()) && buffer.capacity() >= 8);
                let (result, buffer) = mailed.ready();
                assert!(Closed::is(&result.unwrap_err()) && buffer == b"mailed");
                assert!(Closed::is(&notifier.poll(None).unwrap_err()));
                // What the kernel has is counted, where it ends by an enter only.
                assert_eq!(notifier.shutdown(Duration::from_millis(300)), usize::from(bound));
                assert_eq!(in_kernel.is_woken(), !bound);
                drop((queued, mailed, in_kernel, completes));
                drop((first, second, third, last));
                other.set_read_timeout(Some(LIMIT))?;
                assert_eq!(other.read(&mut [0])?, 0, "a socket of which the kernel has nothing ends at once");
                Ok(())
            });
            let asked = asked.into_inner();
            assert!(asked < 200, "{code}: the kernel was asked {asked} times");
        }
    }
}
