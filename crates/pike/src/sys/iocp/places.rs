//! Which port each socket of the process is with.
//!
//! A socket stays with its first port, and the system answers a second attachment with ERROR_INVALID_PARAMETER, whether that is
//! the same port, another one, or the socket can be with none. So who gave a socket back (`into_std`) and takes it again is
//! known by this table, which has four bytes a number. It is the process's, not a Notifier's: a number that was closed and given
//! out again may be with another Notifier now.
//!
//! The table goes by numbers, and may be wrong: the number that it knows was closed meanwhile, and is a duplicate now of a
//! socket that is with another port. What is started on that would end there. So a socket that is attached by the word of the
//! table alone is served by polls of AFD, whose packets come to the helper's port; nothing is started on it itself.

use std::{
    error::Error,
    fmt, io,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use windows_sys::Win32::Foundation::{ERROR_ALREADY_EXISTS, ERROR_INVALID_PARAMETER};

use super::{port::Port, socket};
use crate::sys::Raw;

static PLACES: Mutex<Vec<u32>> = Mutex::new(Vec::new());
/// A Handle has it now.
const ATTACHED: u32 = 1;
/// What succeeds on it at once posts no packet.
const SKIPS: u32 = 2;
/// It may be with another port.
const DOUBTFUL: u32 = 4;
/// The rest is the port's name.
const NAME: u32 = !(ATTACHED | SKIPS | DOUBTFUL);
/// Numbers are multiples of 4, and dense. What is beyond is not remembered.
const INDEX_MAX: usize = 1 << 24;

/// Why a socket cannot be attached: it is with another Notifier, or another completion port, and stays there.
///
/// It is the cause of an error of the kind [`io::ErrorKind::ResourceBusy`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OtherNotifier;

impl OtherNotifier {
    /// Whether `error` was made by this cause.
    pub fn is(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|cause| cause.is::<Self>())
    }
}

impl fmt::Display for OtherNotifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the socket belongs to another Notifier or completion port, for good")
    }
}

impl Error for OtherNotifier {}

/// A port's name in the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Name(u32);

impl Name {
    pub(super) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed) << 3)
    }
}

/// How a request on a socket ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ends {
    /// With a packet.
    Posts,
    /// The same, unless it succeeds at once.
    Skips,
    /// At some port: none is to be started.
    Elsewhere,
}

/// Attaches a socket to the port, and sees to how its requests end.
pub(super) fn attach(name: Name, port: &Port, number: Raw, is_stream: bool) -> io::Result<Ends> {
    let mut places = PLACES.lock().unwrap_or_else(PoisonError::into_inner);
    let index = index(number);
    if index < INDEX_MAX && places.len() <= index {
        places.resize(index + 1, 0);
    }
    let known = places.get(index).copied().unwrap_or(0);
    if known & (NAME | ATTACHED) == name.0 | ATTACHED {
        return Err(io::Error::from_raw_os_error(ERROR_ALREADY_EXISTS as i32));
    }
    let is_doubtful = match port.attach(socket::handle(number)) {
        Ok(()) => false,
        Err(error) if error.raw_os_error() == Some(ERROR_INVALID_PARAMETER as i32) => {
            if socket::is_synchronous(number) {
                let message =
                    "the socket was made without WSA_FLAG_OVERLAPPED, which a completion port needs";
                return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
            }
            if known & NAME != name.0 {
                return Err(io::Error::new(io::ErrorKind::ResourceBusy, OtherNotifier));
            }
            true
        }
        Err(error) => return Err(error),
    };
    let Some(place) = places.get_mut(index) else { return Ok(Ends::Posts) };
    let (ends, bit) = match is_doubtful {
        true => (Ends::Elsewhere, DOUBTFUL),
        false if socket::skip(number, is_stream) => (Ends::Skips, SKIPS),
        false => (Ends::Posts, 0),
    };
    *place = name.0 | ATTACHED | bit;
    Ok(ends)
}

/// How requests on an attached socket end.
pub(super) fn ends(number: Raw) -> Ends {
    let places = PLACES.lock().unwrap_or_else(PoisonError::into_inner);
    match places.get(index(number)) {
        Some(place) if place & DOUBTFUL != 0 => Ends::Elsewhere,
        Some(place) if place & SKIPS != 0 => Ends::Skips,
        _ => Ends::Posts,
    }
}

/// No Handle has the socket any more. It is with the port still.
pub(super) fn detach(name: Name, number: Raw) {
    let mut places = PLACES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(place) = places.get_mut(index(number)) {
        // Unless it was closed behind the Handle's back, and is another's now.
        if *place & (NAME | ATTACHED) == name.0 | ATTACHED {
            *place &= !ATTACHED;
        }
    }
}

fn index(number: Raw) -> usize {
    usize::try_from(number / 4).unwrap_or(usize::MAX)
}
