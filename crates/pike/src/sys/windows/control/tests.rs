use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use windows_sys::Win32::Networking::WinSock::{
    IP_ECN, IP_PKTINFO, IP_RECVTOS, IP_TTL, IPPROTO_IP, IPPROTO_IPV6, IPV6_HOPLIMIT, IPV6_PKTINFO,
};

use super::*;
use crate::socket::control::{Incoming, Outgoing, Source};

fn written(control: &[Outgoing<'_>], v4: bool) -> Vec<u8> {
    let mut room = Room::new();
    encode(&mut room, control, || Ok(v4)).unwrap();
    let (at, len) = room.written();
    // SAFETY: that much was written.
    unsafe { std::slice::from_raw_parts(at, len) }.to_vec()
}

fn entry(level: i32, kind: i32, payload: &[u8]) -> Vec<u8> {
    let mut room = [std::mem::MaybeUninit::new(0); 128];
    let len = layout::put(&mut room, level, kind, payload).unwrap();
    // SAFETY: filled above.
    room[..len].iter().map(|byte| unsafe { byte.assume_init() }).collect()
}

/// Goal: what is sent as a source is what is received as a destination: both are the same structure.
#[test]
fn packet_info_there_and_back() {
    for (address, v4) in
        [(IpAddr::from(Ipv4Addr::new(127, 1, 2, 3)), true), (Ipv6Addr::LOCALHOST.into(), false)]
    {
        let bytes = written(&[Outgoing::Source(Source { address, interface: 7 })], v4);
        assert_eq!(bytes.len(), layout::space(if v4 { 8 } else { 20 }));
        let entries: Vec<_> = each(&bytes).collect();
        let [Incoming::PacketInfo(info)] = entries[..] else { panic!("{entries:?}") };
        assert_eq!((info.destination, info.interface, info.local), (Some(address), Some(7), None));
    }
}

#[test]
fn numbers_mean_what_they_are() {
    let four = |number: i32| number.to_ne_bytes();
    let class = |level, kind, number| {
        let bytes = entry(level, kind, &four(number));
        each(&bytes).find_map(|entry| match entry {
            Incoming::TrafficClass(class) => Some(class),
            _ => None,
        })
    };
    assert_eq!(class(IPPROTO_IP, IP_RECVTOS, 0xb9), Some(0xb9));
    assert_eq!(class(IPPROTO_IP, IP_ECN, 3), Some(3));
    assert_eq!(class(IPPROTO_IP, IP_ECN, 4), None, "it has two bits");
    assert_eq!(class(IPPROTO_IP, IP_RECVTOS, 256), None);
    for (level, kind) in [(IPPROTO_IP, IP_TTL), (IPPROTO_IPV6, IPV6_HOPLIMIT)] {
        let bytes = entry(level, kind, &four(64));
        assert!(matches!(each(&bytes).collect::<Vec<_>>()[..], [Incoming::HopLimit(64)]));
    }
    // Sent as received.
    assert!(matches!(
        each(&written(&[Outgoing::TrafficClass(2), Outgoing::HopLimit(9)], false)).collect::<Vec<_>>()[..],
        [Incoming::TrafficClass(2), Incoming::HopLimit(9)]
    ));
}

#[test]
fn what_is_cut_or_unknown_is_said_as_it_is() {
    let mut bytes = entry(IPPROTO_IP, IP_PKTINFO, &[1; 4]);
    bytes.extend(entry(7, 8, b"x"));
    assert_eq!(each(&bytes).count(), 0);
    let mut rest = &mut bytes[..];
    let mut seen = Vec::new();
    // SAFETY: nothing is asked for here.
    while let Some(entry) = unsafe { next(&mut rest) } {
        let Incoming::Unknown(unknown) = entry else { panic!("{entry:?}") };
        seen.push((unknown.level, unknown.kind, unknown.bytes.len()));
    }
    assert_eq!(seen, [(IPPROTO_IP, IP_PKTINFO, 4), (7, 8, 1)]);
}

#[test]
fn what_fits_is_whole() {
    let mut all = entry(IPPROTO_IP, IP_RECVTOS, &4_i32.to_ne_bytes());
    let first = all.len();
    all.extend(entry(IPPROTO_IP, IP_PKTINFO, &[0; 8]));
    for (room, fits) in
        [(0, 0), (first - 1, 0), (first, first), (all.len() - 1, first), (all.len() + 9, all.len())]
    {
        let mut room = vec![0xee; room];
        assert_eq!(whole_entries(&all, &mut room), fits);
        assert_eq!(room[..fits], all[..fits]);
        assert!(room[fits..].iter().all(|byte| *byte == 0xee));
    }
    assert_eq!(whole_entries(&[], &mut [0; 8]), 0);
}

#[test]
fn too_much_is_refused() {
    let many = [Outgoing::TrafficClass(1); 40];
    let error = encode(&mut Room::new(), &many, || Ok(true)).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    let error = encode(&mut Room::new(), &[Outgoing::HopLimit(1)], || Ok(true)).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::Unsupported);
    assert_eq!(
        sizes::PACKET_INFO,
        entry(IPPROTO_IP, IP_PKTINFO, &[0; 8]).len() + entry(IPPROTO_IPV6, IPV6_PKTINFO, &[0; 20]).len()
    );
}
