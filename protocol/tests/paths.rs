//! States and probes: their golden bytes, and bytes made to hurt.
//!
//! The golden bytes were written by a program that shares no code with this crate.

use crate::spec::read;
use data_encoding::HEXLOWER;
use hypersend_protocol::{
    fingerprint::Fingerprint,
    id::{P2pId, RelayId},
    paths::{
        Candidate, CandidateKind, Incarnation, MAX_CANDIDATES, MAX_STATE_BYTES, MAX_STATE_RELAYS, Mapping, NotAState,
        PEER_ALPN, PROBE_BYTES, PROBE_MARK, Probe, ProbeKind, ProbeSecret, STATE_VERSION, Seen, State,
        probe_key_message,
    },
    relay::{Nonce, may_be_quic, ticket::Side},
};
use proptest::{collection::vec, prelude::*, sample::Index};
use std::net::SocketAddr;
use uuid::Uuid;

const BARE: &str = "01aa6b696e6361726e6174696f6e016776657273696f6e01647365656ef66b66696e6765727072696e74582000000000000000000000000000000000000000000000000000000000000000006673656372657450000000000000000000000000000000006a63616e6469646174657380676d617070696e6767756e6b6e6f776e6672656c61797380686775657373696e6700676c656176696e67f4";
const FULL: &str = "01aa6b696e6361726e6174696f6e1b11223344556677886776657273696f6e07647365656ea26b696e6361726e6174696f6e096776657273696f6e036b66696e6765727072696e745820000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f6673656372657450555555555555555555555555555555556a63616e6469646174657383a267616464726573735200000000000000000000ffffcb0071079c40646b696e64686f62736572766564a267616464726573735220010db80000000000000000000000071092646b696e6464686f7374a267616464726573735200000000000000000000ffffcb00710701bb646b696e64666d6170706564676d617070696e6769646570656e64656e746672656c6179738150019a0000000070008000000000000003686775657373696e6702676c656176696e67f5";
const KEY_MESSAGE: &str =
    "687970657273656e642070726f6265206b6579203100019a000000007000800000000000000111223344556677880000000000000009";

fn uuid(number: u128) -> Uuid {
    Uuid::from_u128(0x019a_0000_0000_7000_8000_0000_0000_0000 | number)
}

fn bare() -> State {
    State {
        incarnation: Incarnation(1),
        version: 1,
        seen: None,
        fingerprint: Fingerprint([0; 32]),
        secret: ProbeSecret([0; 16]),
        candidates: Vec::new(),
        mapping: Mapping::Unknown,
        relays: Vec::new(),
        guessing: 0,
        leaving: false,
    }
}

fn full() -> State {
    let candidate = |address: &str, kind| Candidate { address: address.parse().unwrap(), kind };
    State {
        incarnation: Incarnation(0x1122_3344_5566_7788),
        version: 7,
        seen: Some(Seen { incarnation: Incarnation(9), version: 3 }),
        fingerprint: Fingerprint(std::array::from_fn(|at| u8::try_from(at).unwrap())),
        secret: ProbeSecret([0x55; 16]),
        candidates: vec![
            candidate("203.0.113.7:40000", CandidateKind::Observed),
            candidate("[2001:db8::7]:4242", CandidateKind::Host),
            candidate("203.0.113.7:443", CandidateKind::Mapped),
        ],
        mapping: Mapping::Dependent,
        relays: vec![RelayId(uuid(3))],
        guessing: 2,
        leaving: true,
    }
}

/// As large as the limits allow.
fn largest() -> State {
    let address = "[2001:db8:ffff:ffff:ffff:ffff:ffff:ffff]:65535".parse().unwrap();
    let most = Seen { incarnation: Incarnation(u64::MAX), version: u64::MAX };
    State {
        incarnation: most.incarnation,
        version: most.version,
        seen: Some(most),
        candidates: vec![Candidate { address, kind: CandidateKind::Observed }; MAX_CANDIDATES],
        mapping: Mapping::Independent,
        relays: vec![RelayId(uuid(3)); MAX_STATE_RELAYS],
        guessing: u32::MAX,
        ..full()
    }
}

#[test]
fn a_state_has_its_golden_bytes_and_reads_back() {
    for (state, golden) in [(bare(), BARE), (full(), FULL)] {
        let bytes = state.encode().unwrap();
        assert_eq!(HEXLOWER.encode(&bytes), golden);
        assert_eq!(State::decode(&bytes), Ok(state));
    }
    assert!(format!("{:?}", full()).contains("ProbeSecret(***)"), "a secret is written out");
}

#[test]
fn the_largest_state_fits_twice() {
    let length = largest().encode().unwrap().len();
    assert!(2 * length <= MAX_STATE_BYTES, "{length} bytes");
    for too_many in [
        State { candidates: vec![largest().candidates[0]; MAX_CANDIDATES + 1], ..bare() },
        State { relays: vec![RelayId(uuid(3)); MAX_STATE_RELAYS + 1], ..bare() },
    ] {
        assert_eq!(too_many.encode(), Err(NotAState::TooMany));
    }
}

#[test]
fn what_a_later_version_adds_is_overlooked_and_another_version_refused() {
    let bytes = bare().encode().unwrap();
    // One more field in the map, and words that are not known.
    let mut more = bytes.clone();
    more[1] += 1;
    more.extend(b"\x65extra\x82\x01\xa1\x61a\x41\x00");
    assert_eq!(State::decode(&more), Ok(bare()));
    let text = |state: &State| state.encode().unwrap();
    let unknown = replaced(&text(&bare()), b"gunknown", b"gunheard");
    assert_eq!(State::decode(&unknown).unwrap().mapping, Mapping::Other);
    let unknown = replaced(&text(&full()), b"fmapped", b"fwormed");
    assert_eq!(State::decode(&unknown).unwrap().candidates[2].kind, CandidateKind::Other);
    let mut later = bytes;
    later[0] = STATE_VERSION + 1;
    assert_eq!(State::decode(&later), Err(NotAState::Version(STATE_VERSION + 1)));
}

fn replaced(bytes: &[u8], what: &[u8], by: &[u8]) -> Vec<u8> {
    let at = bytes.windows(what.len()).position(|window| window == what).unwrap();
    [&bytes[..at], by, &bytes[at + what.len()..]].concat()
}

#[test]
fn bytes_made_to_hurt_are_no_state() {
    let bytes = full().encode().unwrap();
    for cut in 0..bytes.len() {
        assert!(State::decode(&bytes[..cut]).is_err(), "cut at {cut}");
    }
    assert!(State::decode(&[&bytes[..], b"\0"].concat()).is_err(), "a byte too many");
    assert_eq!(State::decode(&vec![1; MAX_STATE_BYTES + 1]), Err(NotAState::TooLong(MAX_STATE_BYTES + 1)));
    let deep = [&[STATE_VERSION][..], &[0x81].repeat(MAX_STATE_BYTES - 1)].concat();
    assert!(matches!(State::decode(&deep), Err(NotAState::Malformed(_))));
    // Lists that claim to be long, of which little follows.
    let list =
        replaced(&bare().encode().unwrap(), b"jcandidates\x80", b"jcandidates\x9b\xff\xff\xff\xff\xff\xff\xff\xff");
    assert!(matches!(State::decode(&list), Err(NotAState::Malformed(_))));
    // A peer does not decide how long the reason is.
    let name = [&[STATE_VERSION, 0xa1, 0x79, 0x0f, 0x00][..], &[b'x'; 0xf00]].concat();
    let Err(NotAState::Malformed(reason)) = State::decode(&name) else { panic!("read") };
    assert!(reason.len() <= 1_000);
}

#[test]
fn a_probe_has_its_golden_bytes() {
    let nonce = Nonce([0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7]);
    let mac = [0x33; 16];
    for (kind, side, golden) in [
        (ProbeKind::Ping, Side::Sender, "0d010100a0a1a2a3a4a5a6a733333333333333333333333333333333"),
        (ProbeKind::Pong, Side::Receiver, "0d010201a0a1a2a3a4a5a6a733333333333333333333333333333333"),
    ] {
        let probe = Probe { kind, side, nonce };
        let bytes = probe.sealed(mac);
        assert_eq!(HEXLOWER.encode(&bytes), golden);
        assert_eq!(Probe::read(&bytes), Some((probe, mac)));
        assert_eq!(probe.message(), bytes[..12]);
        for at in 0..4 {
            let mut other = bytes;
            other[at] ^= 0x40;
            assert_eq!(Probe::read(&other), None);
        }
        for length in 0..PROBE_BYTES {
            assert_eq!(Probe::read(&bytes[..length]), None);
        }
        assert_eq!(Probe::read(&[&bytes[..], &[0]].concat()), None);
    }
    let message = probe_key_message(P2pId(uuid(1)), Incarnation(0x1122_3344_5566_7788), Incarnation(9));
    assert_eq!(HEXLOWER.encode(&message), KEY_MESSAGE);
    assert!(!may_be_quic(PROBE_MARK), "a relay would pass it on");
}

#[test]
fn the_document_says_what_the_code_does() {
    let document = read("docs/protocol.md");
    assert!(document.contains(&format!("`{}`", std::str::from_utf8(PEER_ALPN).unwrap())));
    assert!(document.contains(&format!("\n{FULL}\n")), "the bytes of a state");
    for text in
        [format!("{MAX_CANDIDATES} candidates"), format!("{MAX_STATE_BYTES} bytes"), format!("{PROBE_BYTES} bytes")]
    {
        assert!(document.contains(&text), "{text}");
    }
}

proptest! {
    #[test]
    fn states_read_back(
        numbers: [u64; 4], seen: bool, halves: [[u8; 16]; 3], ips in vec(any::<std::net::IpAddr>(), 0..=MAX_CANDIDATES),
        port: u16, relays in vec(any::<u128>(), 0..=MAX_STATE_RELAYS), guessing: u32, leaving: bool,
    ) {
        let candidates = ips.iter().map(|ip| {
            Candidate { address: SocketAddr::new(ip.to_canonical(), port), kind: CandidateKind::Host }
        });
        let state = State {
            incarnation: Incarnation(numbers[0]),
            version: numbers[1],
            seen: seen.then_some(Seen { incarnation: Incarnation(numbers[2]), version: numbers[3] }),
            fingerprint: Fingerprint([halves[0], halves[1]].concat().try_into().unwrap()),
            secret: ProbeSecret(halves[2]),
            candidates: candidates.collect(),
            relays: relays.into_iter().map(|id| RelayId(Uuid::from_u128(id))).collect(),
            guessing,
            leaving,
            mapping: Mapping::Blocked,
        };
        prop_assert_eq!(State::decode(&state.encode().unwrap()), Ok(state));
    }

    #[test]
    fn flipped_states_are_refused_or_are_another_value(flips in vec((any::<Index>(), 1..=u8::MAX), 1..6)) {
        let mut bytes = full().encode().unwrap();
        for (at, mask) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= mask;
        }
        if let Ok(state) = State::decode(&bytes) {
            prop_assert_eq!(State::decode(&state.encode().unwrap()), Ok(state));
        }
    }

    #[test]
    fn any_bytes_are_judged_without_a_panic(bytes in vec(any::<u8>(), 0..200)) {
        let _ = State::decode(&[&[STATE_VERSION], &bytes[..]].concat());
        let _ = State::decode(&bytes);
        let _ = Probe::read(&bytes);
    }
}
