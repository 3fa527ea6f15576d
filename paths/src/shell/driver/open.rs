//! How a session begins: its socket, its core, and what watches the machine.

use super::{Command, Driver};
use crate::{
    config::{Config, OpenError, Signals},
    core::{Core, Moment, Setup, Via},
    event::Event,
    identity::Identity,
    report::Report,
    shell::{
        connections::Connections,
        guesses::Guesses,
        interfaces,
        mapped::Mapped,
        post::{self, Asked, MAX_INCOMING, Post},
        tap::MAX_CAUGHT,
    },
};
use hypersend_protocol::{fingerprint::Fingerprint, relay::ticket::Side};
use quinn::ServerConfig;
use std::{
    collections::{BTreeMap, VecDeque},
    net::IpAddr,
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::Instant,
};
use tokio_util::sync::CancellationToken;

impl Driver {
    #[expect(clippy::type_complexity, reason = "the two things that the owner watches")]
    pub(crate) fn new(
        config: Config,
        signals: Signals,
        events: mpsc::Sender<Event>,
        commands: mpsc::Receiver<Command>,
        stop: CancellationToken,
    ) -> Result<(Self, watch::Receiver<Report>, watch::Receiver<Option<Fingerprint>>), OpenError> {
        let Config { role: side, session, identity, relays, candidates, guess, map, direct } = config;
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(OpenError::Random)?;
        let fingerprint = identity.fingerprint();
        let mut core = Core::new(Setup { session, side, fingerprint, mapped: candidates, direct, guess, seed });

        let caught = mpsc::channel(MAX_CAUGHT);
        let (ask, asked) = mpsc::channel(MAX_INCOMING);
        let takes = takes(side, &identity, &ask);
        let socket = post::bind().map_err(OpenError::Socket)?;
        let main = Post::new(Via::MAIN, socket, caught.0.clone(), takes).map_err(OpenError::Socket)?;
        let port = main.local_addr().map_err(OpenError::Socket)?.port();

        let mut mapped = Mapped::new(map && direct);
        mapped.ask(port);

        let hosts = interfaces::addresses();
        let (told, interfaces) = watch::channel(hosts.clone());
        let mut watching = JoinSet::new();
        watching.spawn(interfaces::watch(told));

        let named: Vec<IpAddr> = hosts.iter().copied().collect();
        core.placed(Moment::ZERO, &named, port, true);
        core.add_relays(Moment::ZERO, relays);
        let (report, reported) = watch::channel(core.report());
        let (fingerprint, fingerprints) = watch::channel(None);
        let driver = Self {
            core,
            began: Instant::now(),
            identity,
            side,
            peer: None,
            signals,
            is_signalled: true,
            state: None,
            posts: BTreeMap::from([(Via::MAIN, main)]),
            guesses: Guesses::default(),
            mapped,
            caught,
            ask,
            asked,
            connections: Connections::default(),
            events,
            queue: VecDeque::new(),
            commands,
            hosts,
            interfaces,
            _watching: watching,
            report,
            fingerprint,
            stop,
        };
        Ok((driver, reported, fingerprints))
    }
}

/// What a receiver's endpoint takes connections with: settings by which it believes nobody, until it knows whom to believe.
pub(super) fn takes(
    side: Side,
    identity: &Identity,
    ask: &mpsc::Sender<Asked>,
) -> Option<(ServerConfig, mpsc::Sender<Asked>)> {
    (side == Side::Receiver).then(|| (identity.server_config(Fingerprint([0; 32])), ask.clone()))
}
