//! Control messages as bytes: odd lengths, and every kind in every length. See `fuzz_replay.rs` for mutations of what
//! sockets brought.

#[path = "common/descriptors.rs"]
mod descriptors;

use becket_sys::cmsg::{Message, Record, parse, space};
use std::time::{Duration, SystemTime};

/// A message with a head that says `len`.
fn raw(len: usize, level: i32, kind: i32, data: &[u8]) -> Vec<u8> {
    let mut bytes = len.to_ne_bytes().to_vec();
    bytes.extend(level.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(data);
    bytes
}

/// A message as the kernel writes it.
fn padded(level: i32, kind: i32, data: &[u8]) -> Vec<u8> {
    let mut bytes = raw(space(0) + data.len(), level, kind, data);
    bytes.resize(space(data.len()), 0xee);
    bytes
}

#[test]
fn lengths_that_cannot_be_end_the_parse_and_are_kept() {
    let good = padded(1, 2, &[0; 12]);
    for len in [0, 1, space(0) - 1, space(0) + 9, usize::MAX, usize::MAX - 7, usize::MAX / 2, isize::MAX as usize + 1] {
        let bad = raw(len, 1, 1, &[0; 8]);
        let bytes = [&good[..], &bad].concat();
        let mut records = parse(&bytes);
        assert_eq!(records.next().unwrap().data.len(), 12);
        assert!(records.next().is_none());
        assert!(records.next().is_none());
        assert_eq!(records.remainder(), bad, "{len}");
    }
    for cut in 0..space(0) {
        let mut records = parse(&good[..cut]);
        assert!(records.next().is_none());
        assert_eq!(records.remainder().len(), cut);
    }
}

#[test]
fn the_last_message_needs_no_padding() {
    let bytes = [padded(1, 1, &[1; 4]), raw(space(0) + 5, 1, 1, &[2; 5])].concat();
    let lengths: Vec<_> = parse(&bytes).map(|record| record.data.len()).collect();
    assert_eq!(lengths, [4, 5]);
    let bytes = [padded(1, 1, &[]), padded(7, 7, &[])].concat();
    let kinds: Vec<_> = parse(&bytes).map(|record| (record.level, record.kind, record.data.len())).collect();
    assert_eq!(kinds, [(1, 1, 0), (7, 7, 0)]);
}

#[test]
fn every_kind_bears_every_length() {
    let mut known = 0;
    for fill in [0x00, 0x01, 0x7f, 0x80, 0xff] {
        let data = [fill; 64];
        for level in [0, 1, 6, 17, 41, 276, -1] {
            for kind in -1..128 {
                for len in 0..data.len() {
                    let record = Record { level, kind, data: &data[..len] };
                    match record.decode() {
                        Message::Unknown(same) => assert_eq!(same, record),
                        Message::Rights(numbers) => assert_eq!(numbers.count(), len / 4),
                        message => {
                            let _ = format!("{message:?}");
                            known += 1;
                        }
                    }
                }
            }
        }
    }
    assert!(known > 1000);
}

#[test]
fn times_that_are_none_are_kept_as_bytes() {
    let time = |seconds: i64, part: i64| [seconds.to_ne_bytes(), part.to_ne_bytes()].concat();
    let decode = |kind, data: &[u8]| match (Record { level: 1, kind, data }).decode() {
        Message::Timestamp(time) => Some(time),
        Message::Unknown(_) => None,
        other => panic!("{other:?}"),
    };
    let at = |nanos| Some(SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos));
    assert_eq!(decode(64, &time(1, 2)), at(1_000_000_002)); // SO_TIMESTAMPNS_NEW
    assert_eq!(decode(63, &time(1, 2)), at(1_000_002_000)); // SO_TIMESTAMP_NEW
    for (seconds, part) in [(-1, 0), (0, -1), (0, 1_000_000_000), (i64::MIN, i64::MIN), (i64::MAX, i64::MAX)] {
        assert_eq!(decode(64, &time(seconds, part)), None);
        assert_eq!(decode(63, &time(seconds, part)), None);
    }
    let three = [time(0, 0), time(9, 9), time(5, 6)].concat();
    let Message::Timestamps { software, hardware } = (Record { level: 1, kind: 65, data: &three }).decode() else {
        panic!()
    };
    assert_eq!((software, hardware), (None, Some(Duration::new(5, 6))));
    assert!(matches!((Record { level: 1, kind: 65, data: &three[..47] }).decode(), Message::Unknown(_)));
}

#[test]
fn labels_lose_their_nul_only() {
    for (data, label) in [(&b"label\0"[..], &b"label"[..]), (b"label", b"label"), (b"", b""), (b"a\0\0", b"a\0")] {
        assert_eq!((Record { level: 1, kind: 3, data }).decode(), Message::Security(label));
    }
}

#[test]
fn multicast_is_no_address_to_answer_from() {
    let decode = |data: &[u8]| match (Record { level: 41, kind: 50, data }).decode() {
        Message::PacketInfo(info) => info,
        other => panic!("{other:?}"),
    };
    let bytes = |ip: &str| [&ip.parse::<std::net::Ipv6Addr>().unwrap().octets()[..], &3u32.to_ne_bytes()].concat();
    for (ip, answer) in [("::1", true), ("ff02::1", false), ("::ffff:224.0.0.1", false), ("::ffff:192.0.2.1", true)] {
        let info = decode(&bytes(ip));
        assert_eq!((info.interface, info.reply_from.is_some()), (3, answer), "{ip}");
    }
}
