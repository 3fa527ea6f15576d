//! `golden.txt` holds the bytes of every frame, one line each: label, hex. They change only with the protocol:
//! `HYPERSEND_BLESS=1 cargo test -p hypersend-protocol` writes the file anew, and the diff is the review.

use crate::examples::{self, Example};
use data_encoding::HEXLOWER;
use hypersend_protocol::{
    chat::{ChatIntent, ChatUpdate},
    event::EventUpdate,
    frame::{FrameError, FrameSet, Header, Kind},
    peer::PeerRequest,
    session::SessionNotice,
    stream::{Greeting, Opening},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::Path,
};

const HEAD: &str = "# Label and bytes (header and CBOR body) of every frame. Checked, and written, by golden.rs.\n";

#[test]
fn every_frame_has_its_golden_bytes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden.txt");
    let lines = examples::all().into_iter().map(|e| format!("{} {}\n", e.label, HEXLOWER.encode(&e.bytes)));
    let written: String = [HEAD.to_owned()].into_iter().chain(lines).collect();
    if env::var_os("HYPERSEND_BLESS").is_some_and(|value| value == "1") {
        fs::write(&path, &written).expect("write golden.txt");
    }
    let golden = fs::read_to_string(&path).expect("read golden.txt");
    for (golden, written) in golden.lines().zip(written.lines()) {
        assert_eq!(golden, written);
    }
    assert_eq!(golden.lines().count(), written.lines().count(), "a frame without golden bytes, or bytes without frame");
}

#[test]
fn no_frame_of_the_source_is_without_an_example() {
    let examples: BTreeMap<_, _> = examples::all().iter().map(|e| (e.kind.0, e.name().to_owned())).collect();
    assert_eq!(declared(), examples);
}

#[test]
fn every_kind_that_a_stream_may_bring_is_an_example() {
    let known: BTreeMap<_, _> = examples::all().iter().map(|e| (e.kind.0, e.ceiling)).collect();
    for kind in 0..0x400 {
        let sets =
            [Greeting::ceiling, Opening::ceiling, ChatIntent::ceiling, ChatUpdate::ceiling, EventUpdate::ceiling];
        let more = [SessionNotice::ceiling as fn(Kind) -> Option<u32>, PeerRequest::ceiling];
        for ceiling in sets.into_iter().chain(more) {
            if let Some(ceiling) = ceiling(Kind(kind)) {
                assert_eq!(known.get(&kind), Some(&ceiling), "kind {kind:#x}");
            }
        }
    }
}

#[test]
fn a_golden_frame_reads_back_as_its_value() {
    for example in examples::all() {
        assert_eq!((example.is_read_from)(example.body()), Ok(true), "{}", example.label);
        assert_eq!((example.rewrite)(example.body()).as_ref(), Ok(&example.bytes), "{}", example.label);
    }
}

#[test]
fn unknown_fields_are_overlooked() {
    // {"extra": [1, {"a": h'00'}, "x", -1.5]}, once before and once after the fields that are known.
    let extra = b"\x65extra\x84\x01\xa1\x61\x61\x41\x00\x61x\xfb\xbf\xf8\x00\x00\x00\x00\x00\x00";
    for example in examples::all() {
        let (map, fields) = example.body().split_first().expect("a body is a map");
        assert!((0xa0..0xb7).contains(map), "{} is no short map", example.label);
        for (before, after) in [(&extra[..], &[][..]), (&[], extra)] {
            let body = [&[map + 1], before, fields, after].concat();
            assert_eq!((example.is_read_from)(&body), Ok(true), "{}", example.label);
        }
    }
}

#[test]
fn a_cut_frame_is_an_error_at_every_length() {
    for example in examples::all() {
        for cut in 0..example.bytes.len() {
            match Header::parse(&example.bytes[..cut]) {
                None => assert!(cut < example.bytes.len() - example.body().len(), "{} at {cut}", example.label),
                Some((header, start)) => {
                    assert!(header.length > (cut - start) as u64);
                    let cut_body = (example.is_read_from)(&example.bytes[start..cut]);
                    assert!(matches!(cut_body, Err(FrameError::Malformed { .. })), "{} at {cut}", example.label);
                }
            }
        }
    }
}

#[test]
fn kinds_are_distinct_and_only_what_may_be_overlooked_is_odd() {
    let all = examples::all();
    let names: BTreeSet<_> = all.iter().map(Example::name).collect();
    let kinds: BTreeSet<_> = all.iter().map(|e| e.kind.0).collect();
    let labels: BTreeSet<_> = all.iter().map(|e| &e.label).collect();
    assert_eq!((names.len(), labels.len()), (kinds.len(), all.len()));
    let odd: BTreeSet<_> = all.iter().filter(|e| e.kind.is_optional()).map(Example::name).collect();
    assert_eq!(odd, BTreeSet::from(["PresenceBy", "Present", "Typing", "TypingBy"]));
}

/// Kind and name of every `frame!(Name, Kind(0x…), …)` in the source: the one place that no frame can do without.
fn declared() -> BTreeMap<u64, String> {
    let sources = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).expect("list src");
    let mut declared = BTreeMap::new();
    // No folder holds frames: `relay` has datagrams, which are held to their bytes by `relay.rs`.
    for source in sources.map(|source| source.expect("list src").path()).filter(|path| path.is_file()) {
        let text = fs::read_to_string(source).expect("read a source file");
        for call in text.lines().filter_map(|line| line.strip_prefix("frame!(")) {
            let (name, rest) = call.split_once(", Kind(0x").expect("frame!(Name, Kind(0x…), …)");
            let (hex, _) = rest.split_once(')').expect("Kind(0x…)");
            let kind = u64::from_str_radix(hex, 16).expect("hexadecimal digits");
            assert_eq!(declared.insert(kind, name.to_owned()), None, "kind {hex} is used twice");
        }
    }
    declared
}
