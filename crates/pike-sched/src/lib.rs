//! The scheduler of [pike]: tasks, and the workers that run them.
//!
//! A [`Pool`] has workers, each with a [`pike::Notifier`] of its own. A worker runs tasks while there are any and otherwise
//! sleeps inside its Notifier: everything that a turn made ready is taken over as one batch.
//! Sockets, events and timers made in a task belong to the Notifier of the worker that runs it, with nothing to set up.
//!
//! ```no_run
//! use pike::net::{TcpListener, TcpStream};
//! use std::io;
//!
//! async fn echo(stream: TcpStream) -> io::Result<()> {
//!     let mut buf = [0; 4096];
//!     loop {
//!         match stream.read(&mut buf).await? {
//!             0 => return Ok(()),
//!             n => stream.write_all(&buf[..n]).await?,
//!         }
//!     }
//! }
//!
//! fn main() -> io::Result<()> {
//!     pike_sched::Pool::new()?.run(async {
//!         let listener = TcpListener::bind("127.0.0.1:7000").await?;
//!         loop {
//!             let (stream, _) = listener.accept_std().await?;
//!             pike_sched::spawn(async move {
//!                 let served = async { echo(TcpStream::from_std(stream)?).await };
//!                 if let Err(error) = served.await {
//!                     eprintln!("a connection has failed: {error}");
//!                 }
//!             });
//!         }
//!     })
//! }
//! ```
//!
//! # What is here
//!
//! - [`Pool`] and its [`Builder`]: where tasks run. [`Pool::run`] lends it the calling thread and ends it
//!   with a future; [`Pool::block_on`] drives one future and leaves the pool as it is. [`Pool::new`] makes the
//!   current-thread form, one worker and no thread; [`Builder::workers`] the multi-thread form.
//! - [`spawn`], [`spawn_local`], [`yield_now`]: for code that runs in a pool already.
//! - [`JoinHandle`]: a task's result, or the [`JoinError`] that tells why there is none.
//! - [`Group`]: tasks that are waited for or aborted together, as a server does when it stops.
//! - [`Pool::listen`] and [`Listener`]: connections for all workers.
//! - `spawn_blocking`, with the feature `blocking`: work that blocks, on threads of its own.
//!
//! # Several workers
//!
//! - Tasks move to a worker that has nothing to do; registrations do not: a socket stays with the Notifier it was made on,
//!   and wakes its task wherever that runs. A task of [`Pool::spawn_each`] stays with its worker, one of [`spawn_local`]
//!   with its thread.
//! - What a worker does not come to since it is stuck in a task's code, a sleeping one does: it takes the seat of its Notifier,
//!   and its tasks, 200 microseconds later, or a millisecond if nothing waited there before. While no worker sleeps, one that
//!   runs short tasks turns the stuck one's Notifier every millisecond or two. What stays with that waits for it: its main future,
//!   tasks of [`spawn_local`] and [`Pool::spawn_each`], and with bound Notifiers all that has run there.
//! - What a task has spawned and woken is shared with the others when it gives way: so many small tasks cost one wake. If it
//!   does not give way, they find that as well, within the same millisecond. (Not with bound Notifiers, where sleepers do not
//!   look after others. There one is woken at once, for all but what comes next on that worker.)
//! - At most one sleeping worker is waking at a time, and it wakes the next if there is more to do. An idle pool uses no CPU,
//!   with one exception: while no thread is in `run` or `block_on` and something waits at the first worker's Notifier, such as
//!   a socket or a timer, another one looks at that up to 5,000 times a second.
//! - [`Pool::counters`] tells what each worker did.
//!
//! # What it costs
//!
//! A spawn is one allocation, the task (two if its future is 2 KiB or more); a wake, a run or a yield is
//! none. A wake on a worker's own thread takes no lock, and makes a system call only if it is one that another worker is
//! woken for. From another thread it takes two locks, and a system call only if a worker has to be woken.
//!
//! # What holds everywhere
//!
//! - A panic in a task stays in that task, and is reported through its [`JoinHandle`]. It is also contained
//!   in the destructor of a task's future and of an output that nobody took.
//! - A task's future is polled and dropped on a worker's thread. When [`Pool::run`] returns, none is left.
//! - Any executor may await a [`JoinHandle`], and any thread may wake a task: while the pool runs, asleep,
//!   and after it is gone.
//! - Wakers that are not pike's, of other executors whose tasks await this pool's or use its Notifiers, are woken by its workers,
//!   in a turn or at the end of a task. They must not block: until they return nobody may be woken for new tasks. A panic of
//!   one in a turn comes out of `run` or `block_on`, once the others of that turn are woken; a worker with a thread of the pool's
//!   own goes on. It is contained in [`Group::wait`], and aborts the process in a [`JoinHandle`].

mod bell;
#[cfg(feature = "blocking")]
mod blocking;
mod builder;
mod counters;
mod crew;
mod current;
mod duty;
mod ending;
mod error;
mod failures;
mod group;
mod home;
mod idle;
mod inbox;
mod join;
mod listen;
#[cfg(all(test, loom))]
mod models;
mod patience;
mod pool;
mod queue;
mod ring;
mod schedule;
mod seat;
mod share;
mod spawn;
mod sync;
mod task;
mod threads;
mod wakers;
mod watch;
mod worker;
mod yield_now;

#[cfg(feature = "blocking")]
pub use blocking::spawn_blocking;
pub use builder::Builder;
pub use counters::Counters;
pub use error::JoinError;
pub use group::{Group, Wait};
pub use join::JoinHandle;
pub use listen::{Listener, Sharding};
pub use pool::Pool;
pub use spawn::{spawn, spawn_local};
pub use yield_now::{YieldNow, yield_now};

/// The examples of the README, compiled by the tests.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
