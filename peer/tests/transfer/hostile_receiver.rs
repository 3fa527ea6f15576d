//! A receiver that does not keep to the protocol.

use crate::support::{Link, MIB, World, arrives};
use bytes::Bytes;
use hypersend_lab::within;
use hypersend_net::{
    connection::Connection,
    frames::{FrameReader, RecvError, send},
};
use hypersend_peer::{PathId, Rank, Sending};
use hypersend_protocol::{
    frame::{Frame, FrameSet},
    hash::ListingId,
    peer::{Confirm, GetListing, GetPiece, GetSmall, ListingPage, PieceFollows, ReceiverState, Report, SmallFollows},
    refusal::ErrorCode,
};

async fn ask<S: FrameSet>(connection: &Connection, question: &impl Frame) -> Result<S, RecvError> {
    let (mut out, recv) = connection.open_bi().await.unwrap();
    send(&mut out, question).await.unwrap();
    out.finish();
    within("an answer comes", FrameReader::new(recv).expect()).await
}

fn code<T: std::fmt::Debug>(answer: Result<T, RecvError>) -> ErrorCode {
    match answer {
        Err(RecvError::Refused(refusal)) => refusal.code,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_that_make_no_sense_are_refused() {
    let world = World::new();
    world.file("trip/a", 10);
    world.file("trip/film.mkv", 3 * MIB);
    let link = Link::make().await;
    let sending = Sending::start(world.offer(&["trip"]).await);
    sending.add_path(PathId(0), Rank::Direct, link.sender.clone());
    let connection = Connection::from(link.receiver.clone());
    let page: ListingPage = ask(&connection, &GetListing { first: 0, count: u32::MAX }).await.unwrap();
    let listing = page.listing;
    assert_eq!(page.entries.len(), 3);

    let get = |first, count| GetListing { first, count };
    assert_eq!(code(ask::<ListingPage>(&connection, &get(3, 1)).await), ErrorCode::Invalid);
    assert_eq!(code(ask::<ListingPage>(&connection, &get(0, 0)).await), ErrorCode::Invalid);
    assert_eq!(code(ask::<ListingPage>(&connection, &get(u32::MAX, u32::MAX)).await), ErrorCode::Invalid);

    let piece = GetPiece { listing, entry: 2, offset: MIB as u64, length: 1 << 20 };
    ask::<PieceFollows>(&connection, &piece).await.unwrap();
    let other_list = GetPiece { listing: ListingId([0; 32]), ..piece };
    assert_eq!(code(ask::<PieceFollows>(&connection, &other_list).await), ErrorCode::Conflict);
    let bad = [
        GetPiece { entry: 0, ..piece },
        GetPiece { entry: 3, ..piece },
        GetPiece { entry: u32::MAX, ..piece },
        GetPiece { offset: 1, ..piece },
        GetPiece { offset: 3 * MIB as u64, ..piece },
        GetPiece { offset: u64::MAX, ..piece },
        GetPiece { length: u32::MAX, ..piece },
        GetPiece { length: 0, ..piece },
    ];
    for bad in bad {
        assert_eq!(code(ask::<PieceFollows>(&connection, &bad).await), ErrorCode::Invalid, "{bad:?}");
    }
    for entries in [vec![], vec![0], vec![2], vec![7], vec![1; 257]] {
        let bad = GetSmall { listing, entries };
        assert_eq!(code(ask::<SmallFollows>(&connection, &bad).await), ErrorCode::Invalid, "{bad:?}");
    }
    let confirm = Confirm { listing, entry: 0 };
    assert_eq!(code(ask::<hypersend_protocol::account::Done>(&connection, &confirm).await), ErrorCode::Invalid);

    let (mut out, recv) = connection.open_bi().await.unwrap();
    out.write(Bytes::from_static(&[0x02, 0x01, 0xa0])).await.unwrap();
    let answer = within("an answer comes", FrameReader::new(recv).expect::<ListingPage>()).await;
    assert_eq!(code(answer), ErrorCode::UnexpectedFrame);
    assert!(sending.progress().borrow().is_none());

    let report = Report { stored: u64::MAX, total: 0, state: ReceiverState::Receiving };
    ask::<hypersend_protocol::account::Done>(&connection, &report).await.unwrap();
    let progress = sending.progress().borrow().unwrap();
    assert_eq!((progress.stored_bytes, progress.total_bytes), (3 * MIB as u64 + 10, 3 * MIB as u64 + 10));
}

/// As many questions as a connection allows, and no answer read: memory stays what is named, and other paths go on.
#[tokio::test(flavor = "multi_thread")]
async fn a_path_on_which_nothing_is_read_holds_up_no_other() {
    let world = World::new();
    world.file("film.mkv", 300 * MIB);
    let (stuck, free) = (Link::make().await, Link::make().await);
    let sending = Sending::start(world.offer(&["film.mkv"]).await);
    sending.add_path(PathId(0), Rank::Direct, stuck.sender.clone());
    let connection = Connection::from(stuck.receiver.clone());
    let page: ListingPage = ask(&connection, &GetListing { first: 0, count: 1 }).await.unwrap();
    let before = memory();
    let mut unread = Vec::new();
    for number in 0..200 {
        let piece = GetPiece { listing: page.listing, entry: 0, offset: number * MIB as u64, length: 1 << 20 };
        let (mut out, recv) = connection.open_bi().await.unwrap();
        send(&mut out, &piece).await.unwrap();
        out.finish();
        unread.push(recv);
    }
    let mut receiving = world.receive();
    free.join(1, Rank::Direct, &sending, &receiving);
    arrives(&sending, &mut receiving).await;
    // 48 MiB unacknowledged and 16 pieces for the one, as much again for the other, and what both ends have received.
    let grown = memory().saturating_sub(before);
    assert!(grown < 400 * MIB, "{grown}");
    drop(unread);
}

/// Resident memory of this process, in bytes.
fn memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
}
