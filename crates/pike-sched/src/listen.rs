//! Connections for all workers.
//!
//! Where the system shares connections out among sockets that listen at one address, each worker has such a socket, accepts
//! from it, and no connection ever crosses from one worker to another: Linux (`SO_REUSEPORT`, 3.9) and FreeBSD
//! (`SO_REUSEPORT_LB`, 12.0).
//! Elsewhere `SO_REUSEPORT` gives all connections to the socket that came last, or is missing. There
//! one acceptor hands unregistered sockets to the workers by turns, and each registers its own.

use std::{
    fmt,
    future::Future,
    io,
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, atomic::Ordering::Relaxed},
};

use pike::{
    net::{TcpListener, TcpStream},
    socket::{Domain, Socket, Type, option},
};

use crate::{
    JoinHandle, Pool, crew::Crew, home::Home, patience::Patience, spawn, spawn::spawn_to, task::discard,
};

const BACKLOG: u32 = 1024;

/// How connections come to the workers of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Sharding {
    /// Each worker has a listening socket of its own, and the system shares the connections out.
    PerWorker,
    /// One task accepts, and hands the connections to the workers by turns.
    OneAcceptor,
}

impl Sharding {
    /// What this system is best served with.
    pub const NATIVE: Self =
        match cfg!(any(target_os = "linux", target_os = "android", target_os = "freebsd")) {
            true => Self::PerWorker,
            false => Self::OneAcceptor,
        };
}

/// Listens for TCP connections, which are shared out among the workers of a pool. Made by [`Pool::listen`].
///
/// # Examples
///
/// ```
/// use pike::net::TcpStream;
/// use pike_sched::Pool;
/// use std::io;
///
/// async fn echo(stream: TcpStream) -> io::Result<()> {
///     let mut buf = [0; 512];
///     loop {
///         match stream.read(&mut buf).await? {
///             0 => return Ok(()),
///             n => stream.write_all(&buf[..n]).await?,
///         }
///     }
/// }
///
/// # fn main() -> io::Result<()> {
/// let pool = Pool::builder().workers(2).build()?;
/// let listener = pool.listen("127.0.0.1:0".parse().unwrap())?;
/// let address = listener.local_addr();
/// println!("listening at {address}: {:?}", listener.sharding());
/// listener.serve(|stream, _peer| async { drop(echo(stream).await) });
/// pool.run(async {
///     let stream = TcpStream::connect(address).await?;
///     stream.write_all(b"pike").await?;
///     let mut buf = [0; 4];
///     stream.read_exact(&mut buf).await?;
///     assert_eq!(&buf, b"pike");
///     Ok(())
/// })
/// # }
/// ```
#[must_use = "a listener accepts nothing before serve()"]
pub struct Listener {
    /// Of the pool, whose Notifiers it does not keep.
    home: Arc<Home>,
    crew: Arc<Crew>,
    /// Whether its Notifiers are, so that a connection's task has to stay where the connection came to.
    bound: bool,
    sharding: Sharding,
    address: SocketAddr,
    /// One a worker, or one.
    shards: Vec<TcpListener>,
}

impl Pool {
    /// Listens at an address, in the way that suits the system best ([`Sharding::NATIVE`]).
    ///
    /// # Errors
    ///
    /// The system's, as that the address is in use. Nothing listens then.
    ///
    /// # Platform
    ///
    /// - Linux: with `SO_REUSEPORT` if there are several workers, so that another process of the same user may listen at the
    ///   same address.
    /// - FreeBSD: the same with `SO_REUSEPORT_LB`.
    pub fn listen(&self, address: SocketAddr) -> io::Result<Listener> {
        self.listen_by(address, Sharding::NATIVE)
    }

    /// Listens at an address, in a way of the caller's choice.
    ///
    /// # Errors
    ///
    /// As [`listen`](Self::listen).
    pub fn listen_by(&self, address: SocketAddr, sharding: Sharding) -> io::Result<Listener> {
        let count = if sharding == Sharding::PerWorker { self.workers() } else { 1 };
        let (home, crew) = (Arc::clone(&self.shared().home), Arc::clone(&self.shared().crew));
        let (bound, shards) = (self.shared().bound, Vec::with_capacity(count));
        let mut listener = Listener { home, crew, bound, sharding, address, shards };
        for notifier in &self.notifiers()[..count] {
            let domain = if address.is_ipv4() { Domain::V4 } else { Domain::V6 };
            let socket = Socket::new_on(notifier, domain, Type::Stream, None)?;
            if cfg!(unix) {
                // Elsewhere it would let others take the address away.
                socket.set(option::ReuseAddress, true)?;
            }
            if count > 1 {
                share_address(&socket)?;
            }
            socket.bind(listener.address)?;
            socket.listen(BACKLOG)?;
            let shard = TcpListener::try_from(socket)?;
            // The port, if the system was to choose one: the same for the others.
            listener.address = shard.local_addr()?;
            listener.shards.push(shard);
        }
        Ok(listener)
    }
}

/// Lets other sockets listen at the address of this one, which is not bound yet.
fn share_address(socket: &Socket) -> io::Result<()> {
    #[cfg(not(target_os = "freebsd"))]
    let shared = option::ReusePort;
    #[cfg(target_os = "freebsd")]
    let shared = pike::os::freebsd::option::ReusePortBalanced;
    socket.set(shared, true)
}

impl Listener {
    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// How connections come to the workers.
    pub fn sharding(&self) -> Sharding {
        self.sharding
    }

    /// Spawns tasks that accept, and for each connection one of what `task` makes. The stream belongs to the Notifier of the
    /// worker that the connection came to. There `task` is called; what it makes may be run by any worker, or with bound
    /// Notifiers by that one alone.
    ///
    /// The handles are those of the accepting tasks. They end when they are aborted, with the pool, or with
    /// [`Closed`](pike::Closed) if the Notifier that they accept on has failed; the connections go on. A panic of `task`, or in
    /// what it makes, ends its connection alone.
    ///
    /// No other error ends them. While there are no descriptors or memory for more connections, those that come wait in the
    /// system's queue: the tasks pause, for 5 milliseconds and twice as long after each further failure, up to a second at most,
    /// and go on. A connection that cannot be registered is closed.
    ///
    /// With [`Sharding::PerWorker`] the first worker's share waits until a thread is in `run` or `block_on`.
    pub fn serve<F, Fut>(self, task: F) -> Vec<JoinHandle<io::Result<()>>>
    where
        F: Fn(TcpStream, SocketAddr) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let (crew, bound, task) = (self.crew, self.bound, Arc::new(task));
        let shards = self.shards.into_iter();
        match self.sharding {
            Sharding::PerWorker => shards
                .enumerate()
                .map(|(worker, shard)| {
                    let home = Arc::clone(&crew.slots[worker].home);
                    let stays = bound.then(|| Arc::clone(&home));
                    spawn_to(home, accept_here(shard, stays, Arc::clone(&task)))
                })
                .collect(),
            Sharding::OneAcceptor => shards
                .map(|shard| {
                    let accept = hand_out(shard, Arc::clone(&crew), bound, Arc::clone(&task));
                    spawn_to(Arc::clone(&self.home), accept)
                })
                .collect(),
        }
    }
}

/// Spawns a connection's task: to this home if it has to stay there, else for all workers of the pool.
fn spawn_connection(stays: Option<&Arc<Home>>, task: impl Future<Output = ()> + Send + 'static) {
    drop(match stays {
        Some(home) => spawn_to(Arc::clone(home), task),
        None => spawn(task),
    });
}

/// Accepts, and spawns the connections where it runs.
async fn accept_here<F, Fut>(listener: TcpListener, stays: Option<Arc<Home>>, task: Arc<F>) -> io::Result<()>
where
    F: Fn(TcpStream, SocketAddr) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let mut patience = Patience::new();
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                patience.restore();
                // Called here, where the connection came to; which a panic must not end.
                match catch_unwind(AssertUnwindSafe(|| task(stream, peer))) {
                    Ok(future) => spawn_connection(stays.as_ref(), future),
                    Err(payload) => discard(payload),
                }
            }
            Err(error) => patience.wait_after(error).await?,
        }
    }
}

/// Accepts, and has the workers register the connections by turns.
async fn hand_out<F, Fut>(listener: TcpListener, crew: Arc<Crew>, bound: bool, task: Arc<F>) -> io::Result<()>
where
    F: Fn(TcpStream, SocketAddr) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let (mut turn, mut patience) = (0, Patience::new());
    loop {
        let (stream, peer) = match listener.accept_std().await {
            Ok(accepted) => accepted,
            Err(error) => {
                patience.wait_after(error).await?;
                continue;
            }
        };
        patience.restore();
        let (home, task) = (next_home(&crew, &mut turn), Arc::clone(&task));
        let stays = bound.then(|| Arc::clone(&home));
        // A task that stays with the worker registers it; the one that it spawns may move.
        drop(spawn_to(home, async move {
            if let Ok(stream) = TcpStream::from_std(stream) {
                spawn_connection(stays.as_ref(), task(stream, peer));
            }
        }));
    }
}

/// The home of the worker whose turn it is. The first has none while no thread drives it.
fn next_home(crew: &Crew, turn: &mut usize) -> Arc<Home> {
    let slots = &crew.slots;
    *turn = (*turn + 1) % slots.len();
    if *turn == 0 && slots.len() > 1 && !crew.first_is_driven.load(Relaxed) {
        *turn = 1;
    }
    Arc::clone(&slots[*turn].home)
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener")
            .field("address", &self.address)
            .field("sharding", &self.sharding)
            .finish_non_exhaustive()
    }
}
