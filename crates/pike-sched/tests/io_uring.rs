//! A pool on io_uring, if it is asked for and the machine has it: a ring for each worker.

#![cfg(all(target_os = "linux", not(miri)))]

mod common;

use std::{
    env,
    io::{self, Read, Write},
    net, thread,
    time::Duration,
};

use common::{note_skip, within};
use pike::{Backend, Notifier, net::TcpStream, time::sleep};
use pike_sched::{Pool, Sharding, spawn, yield_now};

#[test]
fn epoll_unless_asked() -> io::Result<()> {
    if env::var_os("PIKE_BACKEND").is_none() {
        for workers in [1, 3] {
            let pool = Pool::builder().workers(workers).build()?;
            assert!(pool.notifiers().iter().all(|notifier| notifier.backend() == Backend::Epoll));
        }
    }
    Ok(())
}

async fn echo(stream: TcpStream) -> io::Result<()> {
    let mut buf = [0; 64];
    loop {
        let len = match stream.read(&mut buf).await? {
            0 => return Ok(()),
            len => len,
        };
        // So that another worker may go on with it.
        yield_now().await;
        let doubled = spawn(async move {
            yield_now().await;
            len
        });
        assert_eq!(doubled.await?, len);
        stream.write_all(&buf[..len]).await?;
    }
}

#[test]
fn connections_on_rings() -> io::Result<()> {
    const CLIENTS: usize = 12;
    if let Err(error) = Notifier::builder().backend(Backend::IoUring).build() {
        note_skip("connections_on_rings", &format!("no io_uring here: {error}"));
        return Ok(());
    }
    within(60, || {
        for (workers, sharding) in [
            (1, Sharding::NATIVE),
            (2, Sharding::PerWorker),
            (3, Sharding::PerWorker),
            (3, Sharding::OneAcceptor),
        ] {
            let pool = Pool::builder().workers(workers).backend(Backend::IoUring).build()?;
            assert!(pool.notifiers().iter().all(|notifier| notifier.backend() == Backend::IoUring));
            let listener = pool.listen_by("127.0.0.1:0".parse().unwrap(), sharding)?;
            let address = listener.local_addr();
            let tasks = listener.serve(|stream, _| async { echo(stream).await.unwrap() });
            let clients: Vec<_> = (0..CLIENTS)
                .map(|client| {
                    thread::spawn(move || {
                        let mut stream = net::TcpStream::connect(address).unwrap();
                        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
                        for round in 0..50 {
                            let (sent, mut got) = ([client as u8, round, 1, 2], [0; 4]);
                            stream.write_all(&sent).unwrap();
                            stream.read_exact(&mut got).unwrap();
                            assert_eq!(got, sent);
                        }
                    })
                })
                .collect();
            pool.block_on(async {
                while !clients.iter().all(|client| client.is_finished()) {
                    sleep(Duration::from_millis(2)).await;
                }
            });
            for client in clients {
                client.join().unwrap();
            }
            assert!(pool.counters().iter().map(|worker| worker.runs).sum::<u64>() > 50 * CLIENTS as u64);
            assert!(pool.failures().is_empty());
            pool.shutdown();
            assert!(tasks.iter().all(|task| task.is_finished()));
        }
        Ok(())
    })
}
