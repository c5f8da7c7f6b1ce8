//! The pool and its Notifier: whose it is, who else turns it, and what if it fails.

mod common;

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use common::{Gate, message_of, within};
use pike::{Backend, Closed, Event, Notifier, net::UdpSocket};
use pike_sched::{Pool, spawn, spawn_local, yield_now};

#[test]
fn the_builder_takes_one_or_makes_one() -> io::Result<()> {
    let notifier = Notifier::new()?;
    let backend = notifier.backend();
    let pool = Pool::builder().notifier(notifier.clone()).build()?;
    assert_eq!(pool.notifier().backend(), backend);
    Pool::builder().notifier(notifier.clone()).backend(backend).build()?.run(async {});
    Pool::builder().backend(backend).build()?.run(async {});
    let other = if backend == Backend::IoUring { Backend::Epoll } else { Backend::IoUring };
    let error = Pool::builder().notifier(notifier).backend(other).build().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    Ok(())
}

/// Goal: each worker has a pool of the buffers that were asked for, and not only the first.
#[test]
fn each_worker_has_buffers_of_the_length_asked_for() -> io::Result<()> {
    const LEN: usize = 48;
    within(20, || {
        let pool = Pool::builder().workers(2).buffers(4, LEN).build()?;
        let received = pool.spawn_each(|_| async {
            let socket = UdpSocket::bind("127.0.0.1:0").await?;
            socket.send_to(&[7; 2 * LEN], socket.local_addr()?).await?;
            io::Result::Ok(socket.recv_pooled().await?.len())
        });
        for receiving in received {
            assert_eq!(pool.block_on(receiving)??, LEN);
        }
        for (count, len) in [(0, LEN), (4, 0), (1 << 16, LEN)] {
            let refused = Pool::builder().workers(2).buffers(count, len).build().unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
        }
        Ok(())
    })
}

/// Two threads turn it by turns: a notify may be taken back by either of them, and the worker's wakes must
/// not be lost with it. (They were, when it turned with `poll`.)
#[test]
fn another_thread_turns_it() -> io::Result<()> {
    within(60, || {
        let rounds = if cfg!(miri) { 10 } else { 2_000 };
        let notifier = Notifier::new()?;
        let stop = Arc::new(AtomicBool::new(false));
        let turner = thread::spawn({
            let (notifier, stop) = (notifier.clone(), Arc::clone(&stop));
            move || {
                while !stop.load(SeqCst) {
                    if let Err(error) = notifier.poll(None) {
                        assert_eq!(error.kind(), io::ErrorKind::ResourceBusy);
                    }
                    thread::yield_now();
                }
            }
        });
        let (task_gate, local_gate, main_gate) = (Gate::new(), Gate::new(), Gate::new());
        let (back, wait) = std::sync::mpsc::channel();
        let waker = thread::spawn({
            let gates = [&task_gate, &local_gate, &main_gate].map(Arc::clone);
            let notifier = notifier.clone();
            move || {
                for round in 0..rounds {
                    for gate in &gates {
                        notifier.notify(); // whoever turns comes out, and the other may get in
                        gate.open();
                        assert_eq!(wait.recv().unwrap(), round);
                    }
                }
            }
        });
        Pool::builder().notifier(notifier.clone()).build()?.run(async {
            let pass_all = |gate: &Arc<Gate>| {
                let (gate, back) = (Arc::clone(gate), back.clone());
                async move {
                    for round in 0..rounds {
                        gate.pass().await;
                        back.send(round).unwrap();
                    }
                }
            };
            let (task, local) = (spawn(pass_all(&task_gate)), spawn_local(pass_all(&local_gate)));
            pass_all(&main_gate).await;
            task.await.unwrap();
            local.await.unwrap();
        });
        waker.join().unwrap();
        stop.store(true, SeqCst);
        notifier.notify();
        turner.join().unwrap();
        Ok(())
    })
}

/// Who waits for the Notifier is told; what needs no I/O goes on.
#[test]
fn it_is_shut_down() -> io::Result<()> {
    within(20, || {
        let pool = Pool::new()?;
        let notifier = pool.notifier().clone();
        let event = {
            let _here = notifier.enter();
            Arc::new(Event::new()?)
        };
        let gate = Gate::new();
        pool.run(async {
            let waits =
                [Arc::clone(&event), Arc::clone(&event)].map(|event| async move { event.wait().await });
            let waiting = waits.map(spawn);
            yield_now().await;
            notifier.shutdown(Duration::ZERO);
            for task in waiting {
                assert!(Closed::is(&task.await?.unwrap_err()));
            }
            for _ in 0..100 {
                yield_now().await; // and turns in vain
            }
            let other = gate.open_once_awaited();
            spawn(async move { gate.pass().await }).await?;
            other.join().unwrap();
            Ok(())
        })
    })
}

/// Both ways round: the thread would never come back to what it drives already.
#[test]
fn no_pool_in_its_block_on_and_none_of_it_in_a_pool() -> io::Result<()> {
    let notifier = Notifier::new()?;
    let message = message_of(|| notifier.block_on(async { Pool::new().unwrap().run(async {}) }));
    assert!(message.starts_with("block_on inside a block_on"), "{message}");
    let pool = Pool::new()?;
    let error = pool.block_on(pool.spawn(async move { notifier.block_on(async {}) })).unwrap_err();
    assert!(error.to_string().starts_with("the task panicked: block_on inside a block_on"), "{error}");
    Ok(())
}
