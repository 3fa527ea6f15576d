//! The datagrams of the relay: their golden bytes, their tables in `docs/protocol.md`, and bytes made to hurt.
//!
//! The golden bytes were written by a program that shares no code with this crate.

use crate::spec::{fields, read, section};
use data_encoding::HEXLOWER;
use hypersend_protocol::{
    id::{P2pId, RelayId, UserId},
    relay::{
        Cookie, FromRelay, MARK, MAX_ANSWER_BYTES, MAX_CONTROL_BYTES, Nonce, NotControl, RELAY_VERSION, RelayRefusal,
        ToRelay, may_be_quic,
        ticket::{NotATicket, SIGNED_TICKET_BYTES, Side, SignedTicket, Ticket},
    },
    time::UnixMillis,
};
use proptest::{collection::vec, prelude::*, sample::Index};
use std::{collections::BTreeSet, net::SocketAddr};
use uuid::Uuid;

/// One datagram, and what it must look like.
struct Example {
    name: &'static str,
    bytes: Vec<u8>,
    golden: &'static str,
}

const NONCE: Nonce = Nonce([0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7]);

/// The ticket's own bytes behind what stands in front of them when they are signed.
const MESSAGE: &str = "687970657273656e642072656c6179207469636b6574203100019a0000000070008000000000000003019a0000000070008000000000000001019a0000000070008000000000000002000001a202a0a5b901";

fn uuid(number: u128) -> Uuid {
    Uuid::from_u128(0x019a_0000_0000_7000_8000_0000_0000_0000 | number)
}

fn session() -> P2pId {
    P2pId(uuid(1))
}

fn cookie() -> Cookie {
    Cookie(std::array::from_fn(|at| 0x20 + u8::try_from(at).unwrap()))
}

fn ticket() -> SignedTicket {
    let mut signature = [0x55; 64];
    signature[32..].fill(0x66);
    let (relay, user, expires) = (RelayId(uuid(3)), UserId(uuid(2)), UnixMillis(1_795_340_412_345));
    Ticket { relay, session: session(), user, expires, side: Side::Receiver }.signed(signature)
}

fn to_relay() -> Vec<(ToRelay, Example)> {
    let session = session();
    let example = |name, value: ToRelay, golden| (value, Example { name, bytes: value.encode().to_vec(), golden });
    vec![
        example(
            "Hello",
            ToRelay::Hello { session, nonce: NONCE },
            "0b010100019a0000000070008000000000000001a0a1a2a3a4a5a6a700000000000000000000000000000000",
        ),
        example(
            "Bind",
            ToRelay::Bind { nonce: NONCE, cookie: cookie(), ticket: ticket() },
            "0b010300a0a1a2a3a4a5a6a7202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f019a0000000070008000000000000003019a0000000070008000000000000001019a0000000070008000000000000002000001a202a0a5b90155555555555555555555555555555555555555555555555555555555555555556666666666666666666666666666666666666666666666666666666666666666",
        ),
        example(
            "Keepalive",
            ToRelay::Keepalive { session, nonce: NONCE },
            "0b010600019a0000000070008000000000000001a0a1a2a3a4a5a6a7000000",
        ),
        example("Unbind", ToRelay::Unbind { session }, "0b010800019a0000000070008000000000000001"),
        example(
            "Observe",
            ToRelay::Observe { nonce: NONCE },
            "0b010a00a0a1a2a3a4a5a6a7000000000000000000000000000000000000",
        ),
    ]
}

fn from_relay() -> Vec<(FromRelay, Example)> {
    let address = |text: &str| text.parse::<SocketAddr>().unwrap();
    let example = |name, value: FromRelay, golden| (value, Example { name, bytes: value.encode().to_vec(), golden });
    vec![
        example(
            "Challenge",
            FromRelay::Challenge { nonce: NONCE, cookie: cookie() },
            "0b010200a0a1a2a3a4a5a6a7202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f",
        ),
        example(
            "Bound",
            FromRelay::Bound {
                nonce: NONCE,
                observed: address("203.0.113.7:40000"),
                lasts_ms: 3_600_000,
                keepalive_ms: 15_000,
                peer: true,
            },
            "0b010400a0a1a2a3a4a5a6a700000000000000000000ffffcb0071079c400036ee8000003a9801",
        ),
        example(
            "Refused",
            FromRelay::Refused { nonce: NONCE, reason: RelayRefusal::BadSignature },
            "0b010500a0a1a2a3a4a5a6a703",
        ),
        example(
            "Alive",
            FromRelay::Alive { nonce: NONCE, observed: address("[2001:db8::7]:40000"), peer: false },
            "0b010700a0a1a2a3a4a5a6a720010db80000000000000000000000079c4000",
        ),
        example(
            "PeerPresent",
            FromRelay::PeerPresent { session: session() },
            "0b010900019a0000000070008000000000000001",
        ),
        example(
            "Observed",
            FromRelay::Observed { nonce: NONCE, observed: address("203.0.113.7:40000") },
            "0b010b00a0a1a2a3a4a5a6a700000000000000000000ffffcb0071079c40",
        ),
    ]
}

fn all() -> Vec<Example> {
    let (to, from) = (to_relay(), from_relay());
    to.into_iter().map(|(_, example)| example).chain(from.into_iter().map(|(_, example)| example)).collect()
}

#[test]
fn every_datagram_has_its_golden_bytes_and_reads_back() {
    for example in all() {
        assert_eq!(HEXLOWER.encode(&example.bytes), example.golden, "{}", example.name);
    }
    for (value, example) in to_relay() {
        assert_eq!(ToRelay::read(&example.bytes), Ok(value));
        assert_eq!(FromRelay::read(&example.bytes), Err(NotControl::Malformed), "{} came to a client", example.name);
    }
    for (value, example) in from_relay() {
        assert_eq!(FromRelay::read(&example.bytes), Ok(value));
        assert_eq!(ToRelay::read(&example.bytes), Err(NotControl::Malformed), "{} came to a relay", example.name);
    }
    assert_eq!(HEXLOWER.encode(&ticket().ticket.message()), MESSAGE);
    assert_eq!(to_relay().iter().map(|(_, example)| example.bytes.len()).max(), Some(MAX_CONTROL_BYTES));
    assert_eq!(from_relay().iter().map(|(_, example)| example.bytes.len()).max(), Some(MAX_ANSWER_BYTES));
}

#[test]
fn the_document_has_every_datagram_and_its_length_is_that_of_its_fields() {
    let rows = section("Relay datagrams");
    let written: BTreeSet<_> = rows.iter().map(|row| [&row[..3], &row[4..5]].concat()).collect();
    let row = |from: &str, example: &Example| {
        let kind = format!("`{}`", example.bytes[2]);
        vec![kind, format!("`{}`", example.name), from.to_owned(), example.bytes.len().to_string()]
    };
    let to = to_relay().into_iter().map(|(_, example)| row("client", &example));
    let from = from_relay().into_iter().map(|(_, example)| row("relay", &example));
    assert_eq!(written, to.chain(from).collect());
    for row in rows {
        let widths: usize = fields(&row[3]).iter().map(|(_, width)| width.parse::<usize>().unwrap()).sum();
        assert_eq!((4 + widths).to_string(), row[4], "the fields of {}", row[1]);
    }
    let ticket: usize = section("Relay ticket").iter().map(|row| row[1].parse::<usize>().unwrap()).sum();
    assert_eq!(ticket, SIGNED_TICKET_BYTES);
    let document = read("docs/protocol.md");
    assert!(document.contains(&format!("`{MARK:#04x}`, the version, {RELAY_VERSION}, ")));
}

#[test]
fn the_document_has_every_reason_of_a_refusal() {
    let written: BTreeSet<_> = section("Relay refusals").into_iter().map(|row| row[..2].to_vec()).collect();
    let reason = |&reason: &RelayRefusal| vec![u8::from(reason).to_string(), format!("`{}`", reason.slug())];
    assert_eq!(written, RelayRefusal::ALL.iter().map(reason).collect());
    for number in 0..=u8::MAX {
        assert_eq!(u8::from(RelayRefusal::from(number)), number);
    }
}

#[test]
fn no_answer_is_longer_than_its_question() {
    let length = |name: &str| all().into_iter().find(|example| example.name == name).unwrap().bytes.len();
    for (question, answers) in [
        ("Hello", &["Challenge"][..]),
        ("Keepalive", &["Alive"]),
        ("Bind", &["Refused"]),
        ("Bind", &["Bound", "PeerPresent"]),
        ("Observe", &["Observed"]),
    ] {
        assert!(answers.iter().map(|name| length(name)).sum::<usize>() <= length(question), "{question}");
    }
}

#[test]
fn no_datagram_begins_like_quic_and_none_that_may_be_quic_is_read() {
    assert!(!may_be_quic(MARK));
    for first in 0..=u8::MAX {
        let quic = first & 0x80 != 0 || first & 0x40 != 0;
        assert_eq!(may_be_quic(first), quic);
        for example in all() {
            let bytes = [&[first], &example.bytes[1..]].concat();
            if first != MARK {
                assert_eq!(ToRelay::read(&bytes), Err(NotControl::Foreign));
                assert_eq!(FromRelay::read(&bytes), Err(NotControl::Foreign));
            }
        }
    }
}

#[test]
fn another_version_another_length_and_another_side_are_refused() {
    for example in all() {
        let mut later = example.bytes.clone();
        later[1] = RELAY_VERSION + 1;
        assert_eq!(ToRelay::read(&later), Err(NotControl::Version(RELAY_VERSION + 1)));
        assert_eq!(FromRelay::read(&later), Err(NotControl::Version(RELAY_VERSION + 1)));
        for bytes in
            (0..example.bytes.len())
                .map(|cut| example.bytes[..cut].to_vec())
                .chain([[&example.bytes[..], &[0]].concat()])
        {
            assert!(ToRelay::read(&bytes).is_err(), "{} with {} bytes", example.name, bytes.len());
            assert!(FromRelay::read(&bytes).is_err(), "{} with {} bytes", example.name, bytes.len());
        }
    }
    let mut bytes = ticket().to_bytes();
    assert_eq!(SignedTicket::read(&bytes), Ok(ticket()));
    bytes[56] = 2;
    assert_eq!(SignedTicket::read(&bytes), Err(NotATicket));
}

#[test]
fn padding_may_be_anything() {
    for (value, example) in to_relay() {
        let padding = match example.name {
            "Hello" => 16,
            "Keepalive" => 3,
            "Observe" => 18,
            _ => 0,
        };
        let mut bytes = example.bytes.clone();
        let end = bytes.len();
        bytes[end - padding..].fill(0xff);
        assert_eq!(ToRelay::read(&bytes), Ok(value));
    }
}

proptest! {
    #[test]
    fn tickets_and_binds_read_back(
        ids: [[u8; 16]; 3], expires: u64, receiver: bool, halves: [[u8; 32]; 2], nonce: [u8; 8], cookie: [u8; 32],
    ) {
        let [relay, session, user] = ids.map(Uuid::from_bytes);
        let (relay, session, user) = (RelayId(relay), P2pId(session), UserId(user));
        let side = if receiver { Side::Receiver } else { Side::Sender };
        let ticket = Ticket { relay, session, user, expires: UnixMillis(expires), side };
        let ticket = ticket.signed(halves.concat().try_into().unwrap());
        prop_assert_eq!(SignedTicket::read(&ticket.to_bytes()), Ok(ticket));
        let bind = ToRelay::Bind { nonce: Nonce(nonce), cookie: Cookie(cookie), ticket };
        prop_assert_eq!(ToRelay::read(&bind.encode()), Ok(bind));
    }

    #[test]
    fn answers_read_back(
        nonce: [u8; 8], ip: std::net::IpAddr, port: u16, lasts_ms: u32, keepalive_ms: u32, peer: bool, reason: u8,
    ) {
        // An IPv4 address has one form, and comes back in it.
        let (nonce, observed) = (Nonce(nonce), SocketAddr::new(ip.to_canonical(), port));
        for answer in [
            FromRelay::Bound { nonce, observed, lasts_ms, keepalive_ms, peer },
            FromRelay::Alive { nonce, observed, peer },
            FromRelay::Refused { nonce, reason: reason.into() },
            FromRelay::Observed { nonce, observed },
        ] {
            prop_assert_eq!(FromRelay::read(&answer.encode()), Ok(answer));
        }
    }

    #[test]
    fn flipped_datagrams_are_refused_or_are_another_value(
        which: Index, flips in vec((any::<Index>(), 1..=u8::MAX), 1..6), cut in prop::option::of(any::<Index>()),
    ) {
        let mut bytes = which.get(&all()).bytes.clone();
        for (at, mask) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= mask;
        }
        bytes.truncate(cut.map_or(usize::MAX, |cut| cut.index(bytes.len())));
        judge(&bytes)?;
    }

    #[test]
    fn any_datagrams_are_judged_without_a_panic(kind: u8, rest in vec(any::<u8>(), 0..200)) {
        judge(&rest)?;
        judge(&[&[MARK, RELAY_VERSION, kind, 0], &rest[..]].concat())?;
    }
}

/// What is read is written again in as many bytes, and reads as the same.
fn judge(bytes: &[u8]) -> Result<(), TestCaseError> {
    if let Ok(value) = ToRelay::read(bytes) {
        prop_assert_eq!(value.encode().len(), bytes.len());
        prop_assert_eq!(ToRelay::read(&value.encode()), Ok(value));
    }
    if let Ok(value) = FromRelay::read(bytes) {
        prop_assert_eq!(value.encode().len(), bytes.len());
        prop_assert_eq!(FromRelay::read(&value.encode()), Ok(value));
    }
    Ok(())
}
