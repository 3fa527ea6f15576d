//! Whatever bytes arrive at whatever point of a stream: they are refused or read, and what was read can be written and
//! read again.

#![no_main]

use hypersend_protocol::{
    account::{Done, Profile, SessionPage},
    chat::{Chat, ChatIntent, ChatOpened, ChatPage, ChatUpdate, MessagePage, Posted},
    code::{CodeValue, Word},
    event::EventUpdate,
    file::{FileInfo, FilePage, RangeFollows, RangeStored, UploadState, Values},
    frame::{Body, Frame, FrameSet, Header, encode},
    mailbox::{ClaimMailbox, MailboxOpen, OpenMailbox, ResumeMailbox},
    p2p::RelayList,
    paths::{Probe, State},
    refusal::Refusal,
    relay::{FromRelay, ToRelay},
    session::{Hello, SessionNotice, Tokens, Welcome},
    signal::{Signal, SignalsOpen},
    stream::{Greeting, Opening},
};
use libfuzzer_sys::fuzz_target;
use std::fmt::Debug;

/// What a reader does at a point where one of a set may arrive.
fn read<S: FrameSet>(header: Header, bytes: &[u8]) -> Option<S> {
    match header.admit::<S>() {
        Ok(Body::Read(length)) => S::decode(header.kind, bytes.get(..length)?).ok(),
        Ok(Body::Skip(_)) | Err(_) => None,
    }
}

fn read_and_write<F: Frame + PartialEq + Debug>(header: Header, bytes: &[u8]) {
    let Some(frame) = read::<F>(header, bytes) else { return };
    // A body that left optional fields out may grow past the ceiling when they are written as null.
    let Ok(written) = encode(&frame) else { return };
    let (header, start) = Header::parse(&written).expect("encode writes a header");
    assert_eq!(read::<F>(header, &written[start..]), Some(frame));
}

/// The datagrams of the relay: what is read is written in as many bytes, and reads as the same.
fn relay(bytes: &[u8]) {
    if let Ok(value) = ToRelay::read(bytes) {
        assert_eq!((ToRelay::read(&value.encode()), value.encode().len()), (Ok(value), bytes.len()));
    }
    if let Ok(value) = FromRelay::read(bytes) {
        assert_eq!((FromRelay::read(&value.encode()), value.encode().len()), (Ok(value), bytes.len()));
    }
}

/// What two clients say to each other to find ways.
fn paths(bytes: &[u8]) {
    if let Ok(state) = State::decode(bytes) {
        assert_eq!(state.encode().and_then(|bytes| State::decode(&bytes)), Ok(state));
    }
    if let Some((probe, mac)) = Probe::read(bytes) {
        assert_eq!(probe.sealed(mac), bytes);
    }
}

/// What two clients say to each other that have a code in common.
fn code(bytes: &[u8]) {
    if let Ok(value) = CodeValue::decode(bytes) {
        assert_eq!(value.encode(), bytes);
    }
    if let Ok(word) = Word::decode(bytes) {
        // It may have been written in other lengths, and not fit in ours.
        let Ok(written) = word.encode() else { return };
        assert_eq!(Word::decode(&written), Ok(word));
    }
}

fuzz_target!(|bytes: &[u8]| {
    relay(bytes);
    paths(bytes);
    code(bytes);
    let Some((header, start)) = Header::parse(bytes) else { return };
    let rest = &bytes[start..];
    read::<Greeting>(header, rest);
    read::<Opening>(header, rest);
    read::<ChatIntent>(header, rest);
    read::<ChatUpdate>(header, rest);
    read::<EventUpdate>(header, rest);
    read::<SessionNotice>(header, rest);
    read_and_write::<Hello>(header, rest);
    read_and_write::<Welcome>(header, rest);
    read_and_write::<Refusal>(header, rest);
    read_and_write::<Tokens>(header, rest);
    read_and_write::<Profile>(header, rest);
    read_and_write::<Done>(header, rest);
    read_and_write::<SessionPage>(header, rest);
    read_and_write::<Chat>(header, rest);
    read_and_write::<ChatPage>(header, rest);
    read_and_write::<MessagePage>(header, rest);
    read_and_write::<Posted>(header, rest);
    read_and_write::<ChatOpened>(header, rest);
    read_and_write::<RelayList>(header, rest);
    read_and_write::<SignalsOpen>(header, rest);
    read_and_write::<Signal>(header, rest);
    read_and_write::<OpenMailbox>(header, rest);
    read_and_write::<ClaimMailbox>(header, rest);
    read_and_write::<ResumeMailbox>(header, rest);
    read_and_write::<MailboxOpen>(header, rest);
    read_and_write::<FileInfo>(header, rest);
    read_and_write::<FilePage>(header, rest);
    read_and_write::<UploadState>(header, rest);
    read_and_write::<Values>(header, rest);
    read_and_write::<RangeStored>(header, rest);
    read_and_write::<RangeFollows>(header, rest);
});
