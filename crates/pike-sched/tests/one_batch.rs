//! What one turn made ready is one batch, and is run before the next turn; and busy tasks do not keep turns
//! away.

mod common;

use std::{
    io::{self, Read, Write},
    net,
    sync::{Arc, Mutex, mpsc},
    thread,
    time::Duration,
};

use common::within;
use pike::{
    Batch, Notifier,
    net::{TcpListener, TcpStream},
    time,
};
use pike_sched::{Pool, spawn, yield_now};

const CONNECTIONS: usize = 64;

/// All clients write while the worker is kept from turning, and nobody reads an answer until all were written. The batches.
fn batches() -> io::Result<Vec<usize>> {
    let batches = Arc::new(Mutex::new(Vec::new()));
    let notifier = {
        let batches = Arc::clone(&batches);
        Notifier::builder().dispatch(move |batch: &mut Batch| {
            batches.lock().unwrap().push(batch.len());
            batch.for_each(|waker| waker.wake());
        })
    }
    .build()?;
    let (connected, connect) = mpsc::channel();
    let (go, gone) = (mpsc::channel::<()>(), mpsc::channel());
    let client = thread::spawn(move || {
        let address: net::SocketAddr = connect.recv().unwrap();
        let mut streams: Vec<_> =
            (0..CONNECTIONS).map(|_| net::TcpStream::connect(address).unwrap()).collect();
        go.1.recv().unwrap();
        for stream in &mut streams {
            stream.write_all(b"ping").unwrap();
        }
        gone.0.send(()).unwrap();
        for mut stream in streams {
            let mut buf = [0; 4];
            stream.read_exact(&mut buf).unwrap();
            assert_eq!(&buf, b"ping");
        }
    });
    Pool::builder().notifier(notifier).build()?.run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        connected.send(listener.local_addr()?).unwrap();
        let mut tasks = Vec::new();
        for _ in 0..CONNECTIONS {
            let (stream, _) = listener.accept().await?;
            tasks.push(spawn(async move {
                let mut buf = [0; 64];
                let n = stream.read(&mut buf).await?;
                stream.write_all(&buf[..n]).await
            }));
        }
        // All of them read, and wait.
        for _ in 0..40 {
            yield_now().await;
        }
        batches.lock().unwrap().clear();
        go.0.send(()).unwrap();
        gone.1.recv().unwrap();
        for task in tasks {
            task.await??;
        }
        io::Result::Ok(())
    })?;
    client.join().unwrap();
    let batches = batches.lock().unwrap().clone();
    Ok(batches)
}

/// What is there when the worker turns is one batch, and it is answered whole. That is all, unless the system delivers some of
/// it after the writer's call has returned, as a loaded one does now and then.
#[test]
#[cfg_attr(miri, ignore = "a test of sockets, not of memory")]
fn all_that_is_ready() -> io::Result<()> {
    within(60, || {
        let mut seen = Vec::new();
        while seen.last().is_none_or(|last: &Vec<usize>| last.len() > 1) {
            assert!(seen.len() < 10, "never one batch: {seen:?}");
            seen.push(batches()?);
            assert_eq!(seen.last().unwrap().iter().sum::<usize>(), CONNECTIONS, "{seen:?}");
        }
        Ok(())
    })
}

/// A task, and a main future, that are always ready.
#[test]
#[cfg_attr(miri, ignore = "it waits in real time")]
fn turns_happen_beside_busy_tasks() -> io::Result<()> {
    within(20, || {
        Pool::new()?.run(async {
            let busy = spawn(async {
                loop {
                    yield_now().await;
                }
            });
            let sleeper = spawn(time::sleep(Duration::from_millis(5)));
            while !sleeper.is_finished() {
                yield_now().await;
            }
            busy.abort();
            sleeper.await?;

            let sleeper = spawn(time::sleep(Duration::from_millis(5)));
            while !sleeper.is_finished() {
                yield_now().await;
            }
            io::Result::Ok(())
        })
    })
}

/// A connection that another worker or runtime accepted belongs to the pool that runs its task.
#[test]
#[cfg_attr(miri, ignore = "a test of sockets, not of memory")]
fn sockets_belong_to_the_worker() -> io::Result<()> {
    within(20, || {
        let listener = net::TcpListener::bind("127.0.0.1:0")?;
        let mut client = net::TcpStream::connect(listener.local_addr()?)?;
        let (stream, _) = listener.accept()?;
        Pool::new()?.run(async {
            let task = spawn(async move {
                let stream = TcpStream::from_std(stream)?;
                let mut buf = [0; 4];
                stream.read_exact(&mut buf).await?;
                io::Result::Ok(buf)
            });
            yield_now().await;
            client.write_all(b"pike")?;
            assert_eq!(&task.await??, b"pike");
            Ok(())
        })
    })
}
