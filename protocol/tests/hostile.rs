//! Bytes made to hurt: deep, long, doubled, flipped. All are refused without a panic and without much memory.

use crate::examples::{self, Example};
use hypersend_protocol::{
    account::{FindUser, GetMe},
    chat::{CreateGroup, MessagePage},
    file::Values,
    frame::{Body, Frame, FrameError, FrameSet, Header, Kind, encode},
    name::Email,
    refusal::{ErrorCode, Refusal},
    session::Hello,
    stream::Opening,
};
use proptest::{collection::vec, prelude::*, sample::Index};
use std::{fs, thread};

/// The deepest nesting a body of 100,000 bytes can have, and more than any stack can recurse.
const LEVELS: usize = 100_000;

/// `body` with one more field in its map.
fn with_field(body: &[u8], name: &str, value: &[u8]) -> Vec<u8> {
    let (map, fields) = body.split_first().expect("a body is a map");
    let length = u8::try_from(name.len()).expect("a short name");
    [&[map + 1, 0x60 + length], name.as_bytes(), value, fields].concat()
}

fn is_malformed<T>(result: &Result<T, FrameError>) -> bool {
    matches!(result, Err(FrameError::Malformed { .. }))
}

#[test]
fn nesting_ends_in_an_error_before_the_stack_does() {
    // Arrays, maps, tags and arrays of no declared length, each holding the next.
    let openers: [&[u8]; 4] = [&[0x81], &[0xa1, 0x00], &[0xc6], &[0x9f]];
    let deep = openers.map(|opener| opener.repeat(LEVELS));
    let small_stack = thread::Builder::new().stack_size(256 << 10);
    let decoder = small_stack.spawn(move || {
        for example in examples::all() {
            for value in &deep {
                let body = with_field(example.body(), "extra", value);
                assert!(is_malformed(&(example.is_read_from)(&body)), "{}", example.label);
                assert!(is_malformed(&(example.is_read_from)(value)), "{}", example.label);
            }
        }
    });
    decoder.expect("start a thread").join().expect("no overflow and no failed assertion");
}

#[test]
fn a_claimed_length_allocates_nothing() {
    let before = peak_memory();
    // Byte strings, texts, arrays and maps of 2^31 to 2^64 - 1 items, none of which follow.
    for major in [0x5b, 0x7b, 0x9b, 0xbb] {
        for claim in [1 << 31, 1 << 40, 1 << 60, u64::MAX] {
            let claimed = [&[major][..], &u64::to_be_bytes(claim)].concat();
            for example in examples::all() {
                assert!(is_malformed(&(example.is_read_from)(&claimed)), "{}", example.label);
                let unknown = with_field(example.body(), "extra", &claimed);
                assert!(is_malformed(&(example.is_read_from)(&unknown)), "{}", example.label);
            }
            let field =
                |name: &str| [&[0xa1, 0x60 + u8::try_from(name.len()).unwrap()], name.as_bytes(), &claimed].concat();
            assert!(is_malformed(&MessagePage::decode(MessagePage::KIND, &field("messages"))));
            assert!(is_malformed(&Values::decode(Values::KIND, &field("values"))));
            assert!(is_malformed(&CreateGroup::decode(CreateGroup::KIND, &field("members"))));
        }
    }
    if let (Some(before), Some(after)) = (before, peak_memory()) {
        // Half of what the smallest claim would take; a new thread's heap counts for an eighth.
        assert!(after - before < 1 << 20, "the peak rose from {before} to {after} KiB");
    }
}

/// The most memory this process ever asked for, in KiB; other tests run beside this one.
fn peak_memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmPeak:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

#[test]
fn a_field_given_twice_is_an_error_and_an_unknown_one_is_not() {
    for example in examples::all() {
        let extra = |body: &[u8]| with_field(body, "extra", &[0xf6]);
        assert_eq!((example.is_read_from)(&extra(&extra(example.body()))), Ok(true), "{}", example.label);
    }
    let doubled = b"\xa2\x65email\x63a@b\x65email\x63a@b";
    assert!(is_malformed(&Opening::decode(FindUser::KIND, doubled)));
}

#[test]
fn maps_and_texts_of_no_declared_length_are_read() {
    for example in examples::all() {
        let fields = &example.body()[1..];
        let open_ended = [&[0xbf], fields, &[0xff]].concat();
        assert_eq!((example.is_read_from)(&open_ended), Ok(true), "{}", example.label);
        let unended = [&[0xbf], fields].concat();
        assert!(is_malformed(&(example.is_read_from)(&unended)), "{}", example.label);
    }
    let find = FindUser { email: Email::parse("ann@example.org").unwrap() };
    let pieces = b"\xa1\x65email\x7f\x64ann@\x6bexample.org\xff";
    assert_eq!(FrameSet::decode(Kind(0x106), pieces), Ok(find));
    // A piece has a length of its own (RFC 8949, 3.2.3).
    assert!(is_malformed(&Opening::decode(Kind(0x106), b"\xa1\x65email\x7f\x7f\x64ann@\xff\xff")));
}

#[test]
fn bytes_behind_the_body_are_an_error() {
    for example in examples::all() {
        let longer = [example.body(), &[0xf6]].concat();
        assert!(is_malformed(&(example.is_read_from)(&longer)), "{}", example.label);
    }
}

#[test]
fn what_is_no_map_of_texts_is_an_error() {
    for body in [&b""[..], b"\x00", b"\x80", b"\x60", b"\xf6", b"\xa1\x00\x00", b"\xff", b"\xa1\x61\xff\x00", b"\x1f"] {
        for example in examples::all() {
            assert!(is_malformed(&(example.is_read_from)(body)), "{} from {body:x?}", example.label);
        }
    }
}

#[test]
fn a_refusal_of_hostile_bytes_fits_into_its_frame() {
    let arm = "x".repeat(60_000);
    let mut auth = vec![0xa4];
    for (name, value) in [("version", &b"\x01"[..]), ("features", b"\x80"), ("agent", b"\x60")] {
        auth.extend([0x60 + u8::try_from(name.len()).unwrap()]);
        auth.extend([name.as_bytes(), value].concat());
    }
    auth.extend([b"\x64auth\xa1\x79\xea\x60", arm.as_bytes(), b"\xa0"].concat());
    let error = Hello::decode(Hello::KIND, &auth).unwrap_err();
    assert!(error.to_string().contains("unknown variant `xxx"), "{error}");
    let refusal = Refusal::from(error);
    assert_eq!(refusal.code, ErrorCode::BadFrame);
    assert!(encode(&refusal).is_ok());
}

#[test]
fn a_header_is_judged_before_its_body_comes() {
    let open = |bytes: &[u8]| Header::parse(bytes).map(|(header, _)| header.admit::<Opening>());
    assert_eq!(open(&[0x41, 0x00, 0x10]), Some(Ok(Body::Read(16))));
    let too_long = FrameError::TooLong { kind: GetMe::KIND, length: 17, ceiling: 16 };
    assert_eq!(open(&[0x41, 0x00, 0x11]), Some(Err(too_long)));
    let longest = [&[0x41, 0x00][..], &[0xff; 8]].concat();
    assert!(matches!(open(&longest), Some(Err(FrameError::TooLong { length: 0x3fff_ffff_ffff_ffff, .. }))));
    // The same kind in eight bytes, as a writer should not but may.
    let wordy = [&0xc000_0000_0000_0100_u64.to_be_bytes()[..], &[0x00]].concat();
    assert_eq!(open(&wordy), Some(Ok(Body::Read(0))));
}

proptest! {
    #[test]
    fn flipped_bytes_never_panic(
        which: Index, flips in vec((any::<Index>(), 1..=u8::MAX), 1..6), cut in prop::option::of(any::<Index>()),
    ) {
        let all = examples::all();
        let example: &Example = which.get(&all);
        let mut body = example.body().to_vec();
        for (at, mask) in flips {
            body[at.index(example.body().len())] ^= mask;
        }
        body.truncate(cut.map_or(usize::MAX, |cut| cut.index(example.body().len())));
        if let Ok(rewritten) = (example.rewrite)(&body) {
            let (_, start) = Header::parse(&rewritten).expect("a whole frame");
            prop_assert_eq!((example.rewrite)(&rewritten[start..]), Ok(rewritten));
        }
    }

    #[test]
    fn any_bytes_are_judged_without_a_panic(bytes in vec(any::<u8>(), 0..200)) {
        if let Some((header, length)) = Header::parse(&bytes) {
            let _ = header.admit::<Opening>();
            let _ = Opening::decode(header.kind, &bytes[length..]);
        }
        for example in examples::all() {
            let _ = (example.is_read_from)(&bytes);
        }
    }
}
