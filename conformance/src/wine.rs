//! Where Wine 10 differs from Windows: the cases that cannot hold there, each with the reason. Nothing in the cases knows of
//! Wine, and on Windows all of them run.
#![allow(unsafe_code)]

use windows_sys::Win32::System::LibraryLoader::{GetModuleHandleA, GetProcAddress};

use crate::Skip;

/// A case, and what Wine does otherwise.
const DIFFERENCES: &[(&str, &str)] = &[
    ("closed_while_lingering", "closesocket never waits for a linger"),
    ("listen_on_bare_sockets", "a send without a connection is WSAECONNRESET rather than WSAENOTCONN"),
    ("message_from_asked_address", "WSASendMsg ignores control data"),
    ("message_traffic_class_hops_time", "WSASendMsg ignores control data"),
    ("multicast_leave_without_join", "it is WSAEINVAL, not WSAEADDRNOTAVAIL"),
    ("multicast_one_source", "source and interface change places on their way to the kernel"),
    ("option_dont_route", "SO_DONTROUTE is always set when it is read"),
    ("option_of_wrong_level", "IPV6_V6ONLY of an IPv4 socket is taken"),
    ("pooled_datagrams_refused_once", "not every receive of a connected UDP socket is told of a refusal"),
    ("udp_refused_once", "not every receive of a connected UDP socket is told of a refusal"),
    ("udp_refused_unread_is_quiet", "not every receive of a connected UDP socket is told of a refusal"),
];

/// Why a case cannot run here. None on Windows, and for what Wine does as Windows.
pub(crate) fn difference(case: &str) -> Option<Skip> {
    let (_, reason) = DIFFERENCES.iter().find(|(name, _)| *name == case)?;
    is_wine().then(|| Skip::because(format!("Wine: {reason}")))
}

/// Whether this program runs under Wine, which has one function more.
fn is_wine() -> bool {
    // SAFETY: reads a string that ends with zero; the library is loaded as long as any program runs.
    let library = unsafe { GetModuleHandleA(c"ntdll.dll".as_ptr().cast()) };
    // SAFETY: a library, and a string as above.
    !library.is_null() && unsafe { GetProcAddress(library, c"wine_get_version".as_ptr().cast()) }.is_some()
}

/// The table forgets no case that was renamed.
#[test]
fn differences_are_of_cases() {
    for (case, reason) in DIFFERENCES {
        assert!(crate::table::NAMES.iter().any(|(_, name)| name == case), "no such case: {case}");
        assert!(!reason.is_empty());
    }
}
