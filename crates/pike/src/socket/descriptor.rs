//! A socket's descriptor, which closes without blocking.
//!
//! close(2) of a socket that lingers waits for its peer, non-blocking or not (on Linux; the BSDs and macOS wait only for
//! blocking ones). That it may linger is known: pike set it, or asked when it took the socket over.
//!
//! - `close` has a helper thread wait, since it reports when the linger is over.
//! - A drop reports nothing, so it switches lingering off and closes at once. Linux sends and resets the same either way,
//!   before it waits: "the actually closing is done the same either way" (`inet_release`, then `tcp_close`). So no number
//!   of peers that do not read can hold up the end of another connection.
//! - A child of a fork shares the socket with its parent, and its drops only close (I14): there a helper closes.

use std::{
    io,
    mem::ManuallyDrop,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use crate::{blocking, op::lane::Lane, sys::platform};

#[derive(Debug)]
pub(crate) struct Descriptor {
    owned: ManuallyDrop<platform::Owned>,
    /// 0 if it does not linger; else 1 more than the forks that the process had behind it when that was found out.
    lingers: AtomicU32,
    /// What the kernel does for the socket, once it does something.
    lane: OnceLock<Arc<Lane>>,
}

impl Descriptor {
    pub(crate) fn new(owned: platform::Owned, lingers: bool) -> Self {
        let lingers = AtomicU32::new(mark(lingers));
        Self { owned: ManuallyDrop::new(owned), lingers, lane: OnceLock::new() }
    }

    /// One that somebody else may have made linger.
    pub(crate) fn foreign(owned: platform::Owned) -> Self {
        let lingers = platform::lingers(&owned);
        Self::new(owned, lingers)
    }

    #[inline]
    pub(crate) fn lane(&self) -> Option<&Arc<Lane>> {
        self.lane.get()
    }

    pub(crate) fn lane_or(&self, make: impl FnOnce() -> Arc<Lane>) -> &Arc<Lane> {
        self.lane.get_or_init(make)
    }

    /// If the kernel has nothing to do with the socket, what is needed for that is left to others until it has.
    pub(crate) fn give_up_lane(&mut self) {
        if let Some(Err(lane)) = self.lane.take().map(Lane::give_up) {
            self.lane = lane.into();
        }
    }

    pub(crate) fn owned(&self) -> &platform::Owned {
        &self.owned
    }

    #[inline]
    pub(crate) fn borrowed(&self) -> platform::Borrowed<'_> {
        platform::borrowed(self.owned())
    }

    pub(crate) fn lingers(&self) -> bool {
        self.lingers.load(Ordering::Relaxed) != 0
    }

    pub(crate) fn set_lingers(&self, lingers: bool) {
        self.lingers.store(mark(lingers), Ordering::Relaxed);
    }

    pub(crate) fn into_owned(self) -> platform::Owned {
        self.into_parts().0
    }

    fn into_parts(self) -> (platform::Owned, Option<Arc<Lane>>) {
        let mut this = ManuallyDrop::new(self);
        let lane = this.lane.take();
        // SAFETY: `this` is not dropped, so it is taken once.
        #[allow(unsafe_code)]
        let owned = unsafe { ManuallyDrop::take(&mut this.owned) };
        (owned, lane)
    }

    /// Closes a duplicate while the other is open. The socket does not end by that: nothing is waited for, and it lingers as
    /// before. If the kernel still does something for it, it is closed after that, perhaps as the last, which waits for nobody.
    pub(crate) fn close_duplicate(self) {
        let lingers = platform::lingers(self.owned());
        let (owned, lane) = self.into_parts();
        drop(let_go(owned, lane, lingers));
    }

    /// Closes it, and says what the system said. If the kernel still does something for the socket it is closed after
    /// that, and nobody is told.
    pub(crate) async fn close(self) -> io::Result<()> {
        let lingers = self.lingers();
        let (owned, lane) = self.into_parts();
        let Some(owned) = let_go(owned, lane, lingers) else { return Ok(()) };
        if lingers { Closing(Some(owned)).on_a_helper().await? } else { platform::close(owned) }
    }
}

/// Gives the descriptor back once the kernel does nothing for it; else it is closed after that.
fn let_go(owned: platform::Owned, lane: Option<Arc<Lane>>, lingers: bool) -> Option<platform::Owned> {
    let Some(lane) = lane else { return Some(owned) };
    let owned = lane.close(owned, lingers)?;
    drop(lane.give_up());
    Some(owned)
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        // SAFETY: taken once, here, since `into_parts` forgets the rest.
        #[allow(unsafe_code)]
        let owned = unsafe { ManuallyDrop::take(&mut self.owned) };
        let lingers = *self.lingers.get_mut();
        let Some(owned) = let_go(owned, self.lane.take(), lingers != 0) else { return };
        if lingers == 0 || (lingers == mark(true) && platform::stop_lingering(&owned).is_ok()) {
            drop(owned);
        } else {
            // Where a helper is not to be had this closes, and may wait: losing the descriptor would be worse.
            drop(Closing(Some(owned)).on_a_helper());
        }
    }
}

/// A descriptor on its way to a helper, which may drop it instead of calling what closes it: closed as `platform` does, since
/// Windows does not close one at all that lingers and is non-blocking.
struct Closing(Option<platform::Owned>);

impl Closing {
    fn on_a_helper(self) -> blocking::Running<io::Result<()>> {
        blocking::CLOSES.run(move || self.close())
    }

    fn close(mut self) -> io::Result<()> {
        self.0.take().map_or(Ok(()), platform::close)
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        // Nobody is told.
        let _ = self.0.take().map(platform::close);
    }
}

/// What stands for it in [`Descriptor::lingers`], in this process.
fn mark(lingers: bool) -> u32 {
    if lingers { platform::forks() + 1 } else { 0 }
}

#[cfg(test)]
mod tests {
    use std::{
        net::{TcpListener, TcpStream},
        time::Duration,
    };

    use super::*;

    fn lingering() -> (Descriptor, platform::Owned) {
        platform::watch_forks().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let copy = stream.try_clone().unwrap();
        socket2::SockRef::from(&stream).set_linger(Some(Duration::from_secs(5))).unwrap();
        (Descriptor::foreign(stream.into()), copy.into())
    }

    #[test]
    fn a_drop_stops_the_linger() {
        let (descriptor, copy) = lingering();
        assert!(descriptor.lingers() && platform::lingers(&copy));
        drop(descriptor);
        assert!(!platform::lingers(&copy));
    }

    /// Goal: what a child of a fork drops is only closed: the socket is its parent's too (I14).
    #[cfg(unix)]
    #[test]
    #[allow(unsafe_code)]
    fn a_drop_in_a_child_changes_nothing() {
        let (descriptor, copy) = lingering();
        // SAFETY: what the child uses is made for that, and it ends below without running another destructor.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: takes no pointer.
            unsafe { libc::alarm(10) };
            drop(descriptor);
            // SAFETY: ends the process at once.
            unsafe { libc::_exit(0) };
        }
        let mut status = 0;
        // SAFETY: a child of ours, and a place for its status.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        assert_eq!(status, 0);
        assert!(platform::lingers(&copy), "the child's drop changed its parent's socket");
        drop(descriptor);
        assert!(!platform::lingers(&copy));
    }
}
