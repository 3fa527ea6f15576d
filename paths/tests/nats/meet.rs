//! One side that meets the other, and a relay: each a process of its own, in a network of its own.
//!
//! The words after the program's name: `relay ADDRESS NUMBER`, or `sender|receiver FOLDER direct|mapped|relayed|relay-only
//! ADDRESS…`. The folder stands for the server, the addresses are relays 1, 2, …

use hypersend_paths::{Config, Event, Identity, Paths, RelayPlace, Role, Signals};
use hypersend_protocol::{
    id::{P2pId, RelayId, UserId},
    relay::ticket::Ticket,
    time::UnixMillis,
};
use hypersend_relay::{Settings, Switch};
use quinn::Connection;
use ring::signature::{Ed25519KeyPair, KeyPair};
use std::{
    error::Error,
    fs,
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};
use tokio::{
    sync::mpsc,
    time::{interval, timeout},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub(crate) type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const SESSION: P2pId = P2pId(Uuid::from_u128(1));

/// How long a side tries: three rounds of guessing, and some more.
const PATIENCE: Duration = Duration::from_secs(45);

/// What the words say.
#[tokio::main]
pub(crate) async fn be(words: &[&str]) -> Outcome<()> {
    match words {
        ["relay", address, number] => relay(address.parse()?, number.parse()?).await,
        ["sender", folder, wanted, relays @ ..] => side(Role::Sender, folder, wanted, relays).await,
        ["receiver", folder, wanted, relays @ ..] => side(Role::Receiver, folder, wanted, relays).await,
        _ => Err("these words say nothing".into()),
    }
}

async fn relay(address: SocketAddr, number: u128) -> Outcome<()> {
    let key = server_key()?.public_key().as_ref().try_into()?;
    let switch = Switch::bind(&Settings::new(RelayId(Uuid::from_u128(number)), key, [9; 32]), &[address], 1)?;
    Ok(switch.run(CancellationToken::new(), Duration::ZERO).await?)
}

/// Ends when the wanted way is open, and something has been said and heard over it.
async fn side(role: Role, folder: &str, wanted: &str, relays: &[&str]) -> Outcome<()> {
    let began = Instant::now();
    let mut config = Config::new(role, SESSION, Identity::new()?);
    config.direct = wanted != "relay-only";
    for (number, address) in (1..).zip(relays) {
        config.relays.push(place(role, number, address.parse()?)?);
    }
    let mut paths = Paths::open(config, signals(role, Path::new(folder)))?;
    let meet = async {
        while let Some(event) = paths.next().await {
            let at = began.elapsed().as_secs_f64();
            match event {
                Event::Up { way, connection, .. } => {
                    println!("{at:.3} {role:?} up {way}");
                    if way.is_direct() == matches!(wanted, "direct" | "mapped") {
                        talk(role, &connection).await?;
                        println!("{:.3} {role:?} said and heard", began.elapsed().as_secs_f64());
                        return Ok(());
                    }
                }
                Event::Down { why, .. } => println!("{at:.3} {role:?} down: {why}"),
                event => println!("{at:.3} {role:?} {event:?}"),
            }
        }
        Err("it has ended".into())
    };
    let met: Outcome<()> = timeout(PATIENCE, meet).await.unwrap_or_else(|late| Err(late.into()));
    let report = paths.report().borrow().clone();
    let peer = report.peer.map(|peer| peer.mapping);
    println!("{role:?} mapping {:?}, the other side's {peer:?}, rounds {}", report.own.mapping, report.own.guessing);
    paths.close().await;
    met
}

/// Both say something and hear the other, and then that they have heard: who closes first takes nothing from the other.
async fn talk(role: Role, connection: &Connection) -> Outcome<()> {
    let (mut send, mut receive) =
        if role == Role::Sender { connection.open_bi().await? } else { connection.accept_bi().await? };
    for word in [b"hello", b"heard"] {
        let mut heard = [0; 5];
        send.write_all(word).await?;
        receive.read_exact(&mut heard).await?;
        if heard != *word {
            return Err("something else was said".into());
        }
    }
    send.finish()?;
    // Until the other side has all of it, or is content and gone.
    let _ = send.stopped().await;
    Ok(())
}

/// The registers are files.
fn signals(role: Role, folder: &Path) -> Signals {
    let (set, mut to_set) = mpsc::channel::<Vec<u8>>(1);
    let (tell, heard) = mpsc::channel(1);
    let [own, other] = [role, role.other()].map(|role| folder.join(format!("{role:?}")));
    tokio::spawn(async move {
        while let Some(state) = to_set.recv().await {
            let new = own.with_extension("new");
            if fs::write(&new, state).and_then(|()| fs::rename(&new, &own)).is_err() {
                return;
            }
        }
    });
    tokio::spawn(async move {
        let mut known = Vec::new();
        let mut ticks = interval(Duration::from_millis(30));
        loop {
            ticks.tick().await;
            let state = fs::read(&other).unwrap_or_default();
            if state != known {
                known.clone_from(&state);
                if tell.send(state).await.is_err() {
                    return;
                }
            }
        }
    });
    Signals { set, heard }
}

fn place(side: Role, number: u128, address: SocketAddr) -> Outcome<RelayPlace> {
    let id = RelayId(Uuid::from_u128(number));
    let user = UserId(Uuid::from_u128(10 + side.index() as u128));
    let ticket = Ticket { relay: id, session: SESSION, user, expires: UnixMillis(u64::MAX / 2), side };
    let ticket = ticket.signed(server_key()?.sign(&ticket.message()).as_ref().try_into()?);
    Ok(RelayPlace {
        id,
        name: format!("relay{number}"),
        addresses: vec![address],
        tunnel: None,
        observe: Vec::new(),
        ticket,
    })
}

fn server_key() -> Outcome<Ed25519KeyPair> {
    Ok(Ed25519KeyPair::from_seed_unchecked(&[7; 32]).map_err(|e| e.to_string())?)
}
