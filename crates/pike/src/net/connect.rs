//! Connecting to one of several addresses: one after the other, or the next before the one before has failed.
//!
//! The second is what RFC 8305 ("happy eyeballs") asks for: that a host with two kinds of addresses, one of which leads
//! nowhere, does not cost its users a timeout. Of its parts, the order of addresses is the resolver's (RFC 6724, by
//! getaddrinfo) and both families come from one look-up; what is here are its sections 4, families in turn, and 5, the
//! staggered starts.

use std::{
    future::{Future, poll_fn},
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::Duration,
};

use super::resolve::{Addrs, no_address};
use crate::{
    notifier::core::Core,
    socket::{Domain, Socket, Type},
    time::{Sleep, after},
};

/// RFC 8305, section 5: "MUST NOT use a value less than 10 milliseconds".
const DELAY_MIN: Duration = Duration::from_millis(10);

/// Tries each address once the one before has failed.
pub(super) async fn in_order(core: &Arc<Core>, addrs: &mut Addrs) -> io::Result<Socket> {
    let mut last = None;
    // By reference, and the await keeps as little as it can: the future is this large.
    for addr in addrs {
        let socket = match socket(core.clone(), addr) {
            Ok(socket) => socket,
            Err(error) => {
                last = Some(error);
                continue;
            }
        };
        match socket.connect_to(|| addr.into()).await {
            Ok(()) => return Ok(socket.connected()),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(no_address))
}

/// Tries each address once the one before has failed, or `delay` after that was begun. The first that answers wins, and
/// the others are closed.
pub(super) async fn staggered(core: Arc<Core>, addrs: Addrs, delay: Duration) -> io::Result<Socket> {
    let delay = delay.max(DELAY_MIN);
    let mut addrs = alternate(addrs).into_iter();
    let mut under_way: Vec<Attempt> = Vec::new();
    let mut last = None;
    let mut pause = pin!(Sleep::on(core.clone(), delay));
    poll_fn(|cx| {
        loop {
            let (before, mut won) = (under_way.len(), None);
            under_way.retain_mut(|attempt| match attempt.as_mut().poll(cx) {
                Poll::Pending => true,
                // The older one, if two answer at once.
                Poll::Ready(Ok(socket)) => {
                    won.get_or_insert(socket);
                    false
                }
                Poll::Ready(Err(error)) => {
                    last = Some(error);
                    false
                }
            });
            if let Some(socket) = won {
                return Poll::Ready(Ok(socket));
            }
            let failed = under_way.len() < before;
            match addrs.as_slice() {
                [] if under_way.is_empty() => {
                    return Poll::Ready(Err(last.take().unwrap_or_else(no_address)));
                }
                [] => return Poll::Pending,
                _ if under_way.is_empty() || failed || pause.as_mut().poll(cx).is_ready() => {
                    under_way.extend(
                        addrs.next().map(|addr| -> Attempt { Box::pin(connect(core.clone(), addr)) }),
                    );
                    pause.as_mut().reset(after(delay));
                }
                _ => return Poll::Pending,
            }
        }
    })
    .await
}

async fn connect(core: Arc<Core>, addr: SocketAddr) -> io::Result<Socket> {
    let socket = socket(core, addr)?;
    socket.connect_to(|| addr.into()).await?;
    Ok(socket.connected())
}

fn socket(core: Arc<Core>, addr: SocketAddr) -> io::Result<Socket> {
    Socket::new_in(core, Domain::of(addr.into()), Type::Stream, None)
}

/// A connection under way.
type Attempt = Pin<Box<dyn Future<Output = io::Result<Socket>> + Send>>;

/// The families in turn, each in its order, that of the first address first.
fn alternate(addrs: Addrs) -> Vec<SocketAddr> {
    let addrs: Vec<_> = addrs.collect();
    let Some(first) = addrs.first() else { return addrs };
    let (one, other): (Vec<_>, Vec<_>) =
        addrs.iter().copied().partition(|addr| addr.is_ipv4() == first.is_ipv4());
    let pairs = one.len().min(other.len());
    let (one_rest, other_rest) = (one[pairs..].iter(), other[pairs..].iter());
    let in_turn = one.iter().zip(&other).flat_map(|(one, other)| [one, other]);
    in_turn.chain(one_rest).chain(other_rest).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alternated(addrs: &[&str]) -> Vec<String> {
        let addrs: Vec<SocketAddr> = addrs.iter().map(|addr| addr.parse().unwrap()).collect();
        alternate(Addrs::Many(addrs.into_iter())).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn families_take_turns() {
        let (a, b, c) = ("[::1]:1", "[::2]:1", "[::3]:1");
        let (d, e) = ("127.0.0.1:1", "127.0.0.2:1");
        assert_eq!(alternated(&[a, b, c, d, e]), [a, d, b, e, c]);
        assert_eq!(alternated(&[d, a, b, c]), [d, a, b, c]);
        assert_eq!(alternated(&[d, e]), [d, e]);
        assert_eq!(alternated(&[a]), [a]);
        assert!(alternated(&[]).is_empty());
    }
}
