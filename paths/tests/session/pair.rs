//! The two sides of a session, the registers between them, and a relay.

use hypersend_paths::{Config, Event, Identity, PathId, Paths, RelayPlace, Role, Signals, Way, Why};
use hypersend_protocol::{
    id::{P2pId, RelayId, UserId},
    relay::ticket::{Side, Ticket},
    time::UnixMillis,
};
use hypersend_relay::{Observer, Settings, Switch};
use quinn::Connection;
use ring::signature::{Ed25519KeyPair, KeyPair};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// How long anything may take before the test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const SESSION: P2pId = P2pId(Uuid::from_u128(1));

/// What a server keeps for the two sides.
#[derive(Clone)]
pub(crate) struct Registers {
    held: [watch::Sender<Vec<u8>>; 2],
    /// So many of the next values are lost.
    pub(crate) lost: Arc<AtomicUsize>,
}

impl Registers {
    pub(crate) fn new() -> Self {
        Self { held: [(); 2].map(|()| watch::channel(Vec::new()).0), lost: Arc::default() }
    }

    /// For one side; what it sets is there until it is replaced, also when the side has ended.
    pub(crate) fn signals(&self, role: Role) -> Signals {
        let (set, mut to_set) = mpsc::channel(1);
        let (tell, heard) = mpsc::channel(1);
        let (own, lost) = (self.held[role.index()].clone(), self.lost.clone());
        tokio::spawn(async move {
            while let Some(value) = to_set.recv().await {
                if lost.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_err() {
                    own.send_replace(value);
                }
            }
        });
        let mut other = self.held[role.other().index()].subscribe();
        tokio::spawn(async move {
            loop {
                let value = other.borrow_and_update().clone();
                if !value.is_empty() && tell.send(value).await.is_err() {
                    return;
                }
                tokio::select! {
                    changed = other.changed() => if changed.is_err() { return },
                    () = tell.closed() => return,
                }
            }
        });
        Signals { set, heard }
    }
}

/// One side.
pub(crate) struct End {
    pub(crate) paths: Paths,
}

/// A way that has opened.
pub(crate) struct Open {
    pub(crate) path: PathId,
    pub(crate) way: Way,
    pub(crate) connection: Connection,
}

impl End {
    pub(crate) fn open(role: Role, registers: &Registers, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::new(role, SESSION, Identity::new().unwrap());
        change(&mut config);
        Self { paths: Paths::open(config, registers.signals(role)).unwrap() }
    }

    pub(crate) async fn event(&mut self) -> Event {
        timeout(PATIENCE, self.paths.next()).await.expect("an event in time").expect("an event before the end")
    }

    /// The next way that opens and is of this kind.
    pub(crate) async fn up(&mut self, wanted: impl Fn(&Way) -> bool) -> Open {
        loop {
            if let Event::Up { path, way, connection } = self.event().await
                && wanted(&way)
            {
                return Open { path, way, connection };
            }
        }
    }

    /// Until this path is gone.
    pub(crate) async fn down(&mut self, wanted: PathId) -> Why {
        loop {
            match self.event().await {
                Event::Down { path, why } if path == wanted => return why,
                _ => {}
            }
        }
    }
}

pub(crate) fn both(registers: &Registers, change: impl Fn(&mut Config)) -> [End; 2] {
    [Role::Sender, Role::Receiver].map(|role| End::open(role, registers, &change))
}

/// Opens a stream on one end's connection, which the other end's hears.
pub(crate) async fn talk(from: &Connection, to: &Connection) {
    let said = async {
        let (mut send, _) = from.open_bi().await.unwrap();
        send.write_all(b"hello").await.unwrap();
        send.finish().unwrap();
        let (_, mut heard) = to.accept_bi().await.unwrap();
        assert_eq!(heard.read_to_end(64).await.unwrap(), b"hello");
    };
    timeout(PATIENCE, said).await.expect("what is said is heard in time");
}

/// A relay that runs until it is stopped or dropped.
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    pub(crate) observer: Observer,
    task: JoinHandle<()>,
}

const RELAY: RelayId = RelayId(Uuid::from_u128(7));

impl Relay {
    pub(crate) fn start() -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap())
    }

    pub(crate) fn start_at(address: SocketAddr) -> Self {
        let server_key = server_key().public_key().as_ref().try_into().unwrap();
        let switch = Switch::bind(&Settings::new(RELAY, server_key, [9; 32]), &[address], 1).unwrap();
        let (address, observer) = (switch.local_addrs().unwrap()[0], switch.observer());
        let task = tokio::spawn(async move { switch.run(CancellationToken::new(), Duration::ZERO).await.unwrap() });
        Self { address, observer, task }
    }

    /// Its end, without a word to anybody.
    pub(crate) async fn kill(self) -> SocketAddr {
        self.task.abort();
        let _ = self.task.await;
        self.address
    }

    pub(crate) fn place(&self, side: Side) -> RelayPlace {
        let user = UserId(Uuid::from_u128(10 + side.index() as u128));
        let expires = UnixMillis(u64::MAX / 2);
        let ticket = Ticket { relay: RELAY, session: SESSION, user, expires, side };
        let signature = server_key().sign(&ticket.message()).as_ref().try_into().unwrap();
        let addresses = vec![self.address];
        let ticket = ticket.signed(signature);
        RelayPlace { id: RELAY, name: "fra1".to_owned(), addresses, tunnel: None, observe: Vec::new(), ticket }
    }
}

fn server_key() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap()
}
