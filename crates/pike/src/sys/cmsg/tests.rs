use std::mem::{MaybeUninit, offset_of};

use super::*;

#[test]
fn a_payload_comes_behind_the_header() {
    assert_eq!(offset_of!(Header, cmsg_len), 0);
    assert_eq!(offset_of!(Header, cmsg_type), offset_of!(Header, cmsg_level) + 4);
    assert_eq!(offset_of!(Header, cmsg_type) + 4, HEADER);
    assert!(DATA >= HEADER && DATA % align_of::<Header>() == 0);
    for len in 0..64 {
        assert!(space(len) >= DATA + len && space(len) < DATA + len + 16);
    }
}

/// Entries as [`put`] writes them.
fn written(entries: &[(c_int, c_int, &[u8])]) -> Vec<u8> {
    let mut room = [MaybeUninit::new(0xff); 512];
    let mut len = 0;
    for (level, kind, payload) in entries {
        len += put(&mut room[len..], *level, *kind, payload).unwrap();
    }
    // SAFETY: written from the beginning.
    room[..len].iter().map(|byte| unsafe { byte.assume_init() }).collect()
}

fn walk(mut bytes: &[u8]) -> Vec<(c_int, c_int, Vec<u8>)> {
    let mut entries = Vec::new();
    while let Some(entry) = first(bytes) {
        assert!(entry.end > 0 && entry.end <= bytes.len() && entry.payload.end <= entry.end);
        entries.push((entry.level, entry.kind, bytes[entry.payload].to_vec()));
        bytes = &bytes[entry.end..];
    }
    entries
}

#[test]
fn what_is_put_is_found_again() {
    let entries: [(c_int, c_int, &[u8]); 4] =
        [(1, 2, b""), (3, 4, b"x"), (-1, 5, &[7; 33]), (6, 7, b"12345678")];
    let bytes = written(&entries);
    let found = walk(&bytes);
    assert_eq!(found.len(), 4);
    for ((level, kind, payload), found) in entries.iter().zip(found) {
        assert_eq!((*level, *kind, payload.to_vec()), found);
    }
    // Nothing of what was in the room before is among it.
    assert!(!bytes.windows(8).any(|bytes| bytes == [0xff; 8]));
}

#[test]
fn there_is_room_or_nothing_is_written() {
    for len in 0..space(9) {
        let mut room = vec![MaybeUninit::new(0xaa_u8); len];
        assert_eq!(put(&mut room, 1, 2, &[0; 9]), None, "{len} bytes");
        // SAFETY: filled above.
        assert!(room.iter().all(|byte| unsafe { byte.assume_init() } == 0xaa));
    }
    let mut room = vec![MaybeUninit::uninit(); space(9)];
    assert_eq!(put(&mut room, 1, 2, &[0; 9]), Some(space(9)));
}

/// Cut anywhere, what is left is read as far as it goes: whole entries, then what there is of one.
#[test]
fn truncated_data_is_read_as_far_as_it_goes() {
    let entries: [(c_int, c_int, &[u8]); 2] = [(1, 1, b"abcdef"), (2, 2, b"ghi")];
    let bytes = written(&entries);
    for len in 0..bytes.len() {
        let found = walk(&bytes[..len]);
        for (found, (level, kind, payload)) in found.iter().zip(entries) {
            assert_eq!((found.0, found.1), (level, kind));
            assert!(payload.starts_with(&found.2), "{len} bytes");
        }
        assert_eq!(
            found.len(),
            usize::from(len >= HEADER) + usize::from(len >= space(6) + HEADER),
            "{len} bytes"
        );
    }
}

/// No length makes the walk leave the bytes or go on for ever.
#[test]
fn malformed_lengths_end_the_walk() {
    let good = written(&[(1, 1, b"abcd"), (2, 2, b"efgh")]);
    let wide = size_of_val(&no_header().cmsg_len);
    for claimed in
        [0, 1, HEADER as u64 - 1, DATA as u64, DATA as u64 + 1, 1 << 20, u32::MAX.into(), u64::MAX, 1 << 63]
    {
        let mut bytes = good.clone();
        bytes[..wide].copy_from_slice(
            &claimed.to_ne_bytes()[if cfg!(target_endian = "big") { 8 - wide..8 } else { 0..wide }],
        );
        let found = walk(&bytes);
        assert!(found.len() <= 2 + bytes.len() / DATA);
        if (claimed as usize) < DATA && claimed <= u32::MAX.into() {
            assert_eq!(found, [], "{claimed}");
        }
    }
}

fn no_header() -> Header {
    // SAFETY: all zeros is a header.
    unsafe { std::mem::zeroed() }
}

#[test]
fn random_bytes_are_walked() {
    let mut random = crate::testing::Random::new(7);
    for _ in 0..crate::testing::rounds(20_000, 200) {
        let mut bytes: Vec<u8> = (0..random.below(96)).map(|_| random.below(256) as u8).collect();
        // Often a length that might be one.
        if bytes.len() >= 8 && random.below(2) == 0 {
            bytes[..8].copy_from_slice(&(random.below(128) as u64).to_ne_bytes());
        }
        walk(&bytes);
        super::super::platform::control::each(&bytes).for_each(drop);
    }
}
