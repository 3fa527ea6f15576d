//! Words and values of codes: their golden bytes, and bytes made to hurt.

use crate::spec::read;
use data_encoding::HEXLOWER;
use hypersend_protocol::{
    code::{CODE_VERSION, CodeValue, MAX_WORD_BYTES, NotAWord, OfferSummary, PAKE_BYTES, SEAL_BYTES, SealedWord, Word},
    limit::{MAX_FILE_NAME_BYTES, MAX_OFFERED_FILES, MAX_SIGNAL_BYTES},
    name::FileName,
    p2p::OfferedFile,
    paths::MAX_STATE_BYTES,
    signal::SignalValue,
};
use proptest::{collection::vec, prelude::*};
use serde_bytes::ByteBuf;

/// As in the document.
const OFFER: &str = "a1656f66666572a2667468696e677382a3646e616d65676d65652e6a70676473697a651903e866666f6c646572f4a3646e616d6564747269706473697a651b0000000a0000000066666f6c646572f46566696c6573182a";

fn thing(name: &str, size: u64) -> OfferedFile {
    OfferedFile { name: FileName::parse(name).unwrap(), size, folder: false }
}

fn offer() -> Word {
    Word::Offer(OfferSummary { things: vec![thing("mee.jpg", 1_000), thing("trip", 40 << 30)], files: 42 })
}

fn value() -> CodeValue {
    CodeValue { pake: [b'A'; PAKE_BYTES], sealed: Some(SealedWord { number: 2, bytes: vec![7; SEAL_BYTES + 1] }) }
}

#[test]
fn words_have_their_golden_bytes_and_read_back() {
    for (word, golden) in [
        (Word::Here, "6468657265"),
        (offer(), OFFER),
        (Word::State(ByteBuf::from([1, 2])), "a1657374617465420102"),
        (Word::Declined, "686465636c696e6564"),
        (Word::Finished, "6866696e6973686564"),
        (Word::Cancelled, "6963616e63656c6c6564"),
        (Word::Failed, "666661696c6564"),
        (Word::NoWay, "666e6f5f776179"),
    ] {
        let bytes = word.encode().unwrap();
        assert_eq!(HEXLOWER.encode(&bytes), golden, "{word:?}");
        assert_eq!(Word::decode(&bytes), Ok(word));
    }
}

#[test]
fn a_value_has_its_golden_bytes_and_reads_back() {
    let bytes = value().encode();
    let golden = format!("01{}0000000000000002{}", "41".repeat(PAKE_BYTES), "07".repeat(SEAL_BYTES + 1));
    assert_eq!(HEXLOWER.encode(&bytes), golden);
    assert_eq!(CodeValue::decode(&bytes), Ok(value()));
    let bare = CodeValue { sealed: None, ..value() };
    assert_eq!(CodeValue::decode(&bare.encode()), Ok(bare));
}

#[test]
fn the_longest_word_fills_a_signal_and_the_longest_state_fits() {
    let sealed = SealedWord { number: u64::MAX, bytes: vec![0; MAX_WORD_BYTES + SEAL_BYTES] };
    let longest = CodeValue { sealed: Some(sealed), ..value() }.encode();
    assert_eq!(longest.len(), MAX_SIGNAL_BYTES);
    assert!(CodeValue::decode(SignalValue::new(longest).unwrap().as_bytes()).is_ok());
    assert!(Word::State(ByteBuf::from(vec![0; MAX_STATE_BYTES])).encode().is_ok());
    assert!(Word::State(ByteBuf::from(vec![0; MAX_STATE_BYTES + 1])).encode().is_err());
}

#[test]
fn as_many_names_as_allowed_fit_unless_all_are_very_long() {
    let offer = |count: usize, length: usize| {
        let things = (0..count).map(|_| thing(&"x".repeat(length), u64::MAX)).collect();
        Word::Offer(OfferSummary { things, files: u64::MAX })
    };
    assert!(offer(MAX_OFFERED_FILES, 90).encode().is_ok());
    assert!(offer(28, MAX_FILE_NAME_BYTES).encode().is_ok());
    assert!(matches!(offer(MAX_OFFERED_FILES, MAX_FILE_NAME_BYTES).encode(), Err(NotAWord::TooLong(_))));
    for count in [0, MAX_OFFERED_FILES + 1] {
        assert!(matches!(offer(count, 9).encode(), Err(NotAWord::Malformed(_))), "{count} names");
    }
}

#[test]
fn bytes_made_to_hurt_are_refused() {
    let bytes = value().encode();
    for cut in (0..=PAKE_BYTES).chain(PAKE_BYTES + 2..=PAKE_BYTES + 9 + SEAL_BYTES) {
        assert!(CodeValue::decode(&bytes[..cut]).is_err(), "cut at {cut}");
    }
    let mut later = bytes;
    later[0] += 1;
    assert_eq!(CodeValue::decode(&later), Err(NotAWord::Version(CODE_VERSION + 1)));
    let word = offer().encode().unwrap();
    for cut in 0..word.len() {
        assert!(Word::decode(&word[..cut]).is_err(), "cut at {cut}");
    }
    assert!(Word::decode(&[&word[..], b"\0"].concat()).is_err(), "a byte too many");
    assert!(matches!(Word::decode(&vec![0; MAX_WORD_BYTES + 1]), Err(NotAWord::TooLong(_))));
    let evil = b"\xa1eoffer\xa2fthings\x81\xa3dnamed../xdsize\x01ffolder\xf4efiles\x01";
    assert!(matches!(Word::decode(evil), Err(NotAWord::Malformed(_))), "a name that leads elsewhere");
}

#[test]
fn the_document_says_what_the_code_does() {
    let document = read("docs/protocol.md");
    assert!(document.contains(&format!("\n{OFFER}\n")), "the bytes of an offer");
    assert!(document.contains(&format!("{MAX_WORD_BYTES} bytes")));
}

proptest! {
    #[test]
    fn any_bytes_are_judged_without_a_panic(bytes in vec(any::<u8>(), 0..200)) {
        if let Ok(value) = CodeValue::decode(&[&[CODE_VERSION], &bytes[..]].concat()) {
            prop_assert_eq!(CodeValue::decode(&value.encode()), Ok(value));
        }
        let _ = Word::decode(&bytes);
    }
}
