//! Ways that outlive the line by which they were found.

use super::*;
use crate::{ClientError, tunnel::Tunnel};
use hypersend_protocol::{
    id::RelayId,
    refusal::{ErrorCode, Refusal},
    signal::RelaySeat,
};
use uuid::Uuid;

/// A line to the other side of this process, which the server may end.
struct Wire {
    to: mpsc::UnboundedSender<Result<Vec<u8>, DirectError>>,
    from: mpsc::UnboundedReceiver<Result<Vec<u8>, DirectError>>,
}

impl Line for Wire {
    const IS_SEALED: bool = true;

    fn is_outlived(error: &DirectError) -> bool {
        matches!(error, DirectError::Client(_))
    }

    fn relays(&self) -> Vec<RelaySeat> {
        Vec::new()
    }

    fn tunnel(&self, _: RelayId, _: mpsc::Sender<RelayId>) -> std::io::Result<Tunnel> {
        unreachable!("there are no relays")
    }

    fn set(&mut self, state: Vec<u8>) {
        // The other side may have gone.
        let _ = self.to.send(Ok(state));
    }

    async fn next(&mut self) -> Result<Option<Vec<u8>>, DirectError> {
        match self.from.recv().await {
            Some(heard) => heard.map(Some),
            None => std::future::pending().await,
        }
    }

    async fn settle(&mut self) {}
}

fn open(role: Role, line: &mut Wire) -> Meeting<'_, Wire> {
    let terms = Terms { relay_only: false, seek: None, wait: None, is_never_stored: true };
    Meeting::open(role, P2pId(Uuid::from_u128(5)), line, "localhost", terms).unwrap()
}

async fn up(meeting: &mut Meeting<'_, Wire>, told: &Told) {
    while !matches!(meeting.next(told).await.unwrap(), Happening::Up(..)) {}
}

#[tokio::test]
async fn a_way_outlives_the_line_and_with_the_last_way_goes_what_ended_it() {
    let (to_sender, from_receiver) = mpsc::unbounded_channel();
    let (to_receiver, from_sender) = mpsc::unbounded_channel();
    let end = to_sender.clone();
    let mut hers = Wire { to: to_receiver, from: from_receiver };
    let mut his = Wire { to: to_sender, from: from_sender };
    let (told, _seen) = Told::new(Whereabouts::Waiting);
    let (told_him, _seen) = Told::new(Whereabouts::Waiting);
    let (mut sender, mut receiver) = (open(Role::Sender, &mut hers), open(Role::Receiver, &mut his));
    let both = async { tokio::join!(up(&mut sender, &told), up(&mut receiver, &told_him)) };
    timeout(Duration::from_secs(30), both).await.expect("a way within one computer");

    end.send(Err(ClientError::from(Refusal::new(ErrorCode::Forbidden, "no codes any more")).into())).unwrap();
    let quiet = timeout(Duration::from_millis(500), async {
        loop {
            if let Err(error) = sender.next(&told).await {
                return error;
            }
        }
    });
    assert!(quiet.await.is_err(), "there is a way still");
    assert!(sender.broken.is_some());
    receiver.close(&told_him).await;
    let ended = timeout(Duration::from_secs(30), async {
        loop {
            if let Err(error) = sender.next(&told).await {
                return error;
            }
        }
    });
    assert!(matches!(ended.await.unwrap(), DirectError::Client(_)));
}
