//! One side of a transfer: a quinn endpoint on a socket by which it also talks with the relay.

use crate::tickets;
use hypersend_protocol::relay::{
    FromRelay, MARK, Nonce, ToRelay,
    ticket::{Side, SignedTicket},
};
use quinn::{
    AsyncUdpSocket, ClientConfig, Connection, Endpoint, EndpointConfig, Runtime, ServerConfig, TokioRuntime, UdpPoller,
    udp::{RecvMeta, Transmit},
};
use rustls::{RootCertStore, pki_types::PrivatePkcs8KeyDer};
use std::{
    io::{self, IoSliceMut},
    net::{SocketAddr, UdpSocket},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::timeout,
};

/// After how long a question is asked again: datagrams may be lost, and a relay may not be there yet.
const PATIENCE: Duration = Duration::from_millis(300);

/// How often a question is asked before the test fails.
const ATTEMPTS: usize = 60;

pub(crate) struct Client {
    pub(crate) endpoint: Endpoint,
    relay: SocketAddr,
    socket: Arc<Tap>,
    heard: UnboundedReceiver<FromRelay>,
    questions: u64,
}

impl Client {
    /// Must be called in a runtime. Who has a certificate takes connections.
    pub(crate) fn new(relay: SocketAddr, certified: Option<&Certified>) -> Self {
        let ip = if relay.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
        let inner = TokioRuntime.wrap_udp_socket(UdpSocket::bind(ip).unwrap()).unwrap();
        let (said, heard) = unbounded_channel();
        let socket = Arc::new(Tap { inner, said });
        let mut config = EndpointConfig::default();
        config.grease_quic_bit(false);
        let server = certified.map(Certified::server);
        let endpoint = Endpoint::new_with_abstract_socket(config, server, socket.clone(), Arc::new(TokioRuntime));
        Self { endpoint: endpoint.unwrap(), relay, socket, heard, questions: 0 }
    }

    /// Hello, and Bind with the cookie that comes.
    pub(crate) async fn bind(&mut self, ticket: SignedTicket) -> FromRelay {
        for _ in 0..ATTEMPTS {
            let (session, nonce) = (ticket.ticket.session, self.nonce());
            let Some(FromRelay::Challenge { cookie, .. }) = self.ask(&ToRelay::Hello { session, nonce }, nonce).await
            else {
                continue;
            };
            let nonce = self.nonce();
            if let Some(answer) = self.ask(&ToRelay::Bind { nonce, cookie, ticket }, nonce).await {
                return answer;
            }
        }
        panic!("the relay does not answer");
    }

    /// Binds as one side of a session, which must succeed.
    pub(crate) async fn join(&mut self, number: u16, side: Side) {
        let answer = self.bind(tickets::ticket(number, side)).await;
        let FromRelay::Bound { observed, .. } = answer else { panic!("not bound: {answer:?}") };
        assert_eq!(observed, self.endpoint.local_addr().unwrap());
    }

    pub(crate) fn leave(&self, number: u16) {
        self.send(&ToRelay::Unbind { session: tickets::session(number) });
    }

    /// Connects to whoever is behind the relay.
    pub(crate) async fn connect(&self, to: &Certified) -> Connection {
        self.endpoint.connect_with(to.client(), self.relay, "peer").unwrap().await.unwrap()
    }

    fn nonce(&mut self) -> Nonce {
        self.questions += 1;
        Nonce(self.questions.to_be_bytes())
    }

    async fn ask(&mut self, question: &ToRelay, asked: Nonce) -> Option<FromRelay> {
        self.send(question);
        let answer = async {
            loop {
                let heard = self.heard.recv().await.unwrap();
                if nonce(&heard) == Some(asked) {
                    return heard;
                }
            }
        };
        timeout(PATIENCE, answer).await.ok()
    }

    fn send(&self, question: &ToRelay) {
        let bytes = question.encode();
        let transmit =
            Transmit { destination: self.relay, ecn: None, contents: &bytes, segment_size: None, src_ip: None };
        // Whoever asks, asks again.
        let _ = self.socket.inner.try_send(&transmit);
    }
}

fn nonce(of: &FromRelay) -> Option<Nonce> {
    match of {
        FromRelay::Challenge { nonce, .. }
        | FromRelay::Bound { nonce, .. }
        | FromRelay::Refused { nonce, .. }
        | FromRelay::Alive { nonce, .. }
        | FromRelay::Observed { nonce, .. } => Some(*nonce),
        FromRelay::PeerPresent { .. } => None,
    }
}

/// A socket that keeps from quinn what the relay itself says.
#[derive(Debug)]
struct Tap {
    inner: Arc<dyn AsyncUdpSocket>,
    said: UnboundedSender<FromRelay>,
}

impl AsyncUdpSocket for Tap {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        self.inner.clone().create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.inner.try_send(transmit)
    }

    fn poll_recv(
        &self,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let messages = ready!(self.inner.poll_recv(context, buffers, meta))?;
        for (buffer, meta) in buffers.iter().zip(meta).take(messages) {
            let mut segments = buffer[..meta.len].chunks(meta.stride.max(1)).filter(|one| one[0] == MARK).peekable();
            if segments.peek().is_some() {
                // A packet among them is as good as lost, and comes again.
                for said in segments.filter_map(|one| FromRelay::read(one).ok()) {
                    let _ = self.said.send(said);
                }
                meta.len = 0;
            }
        }
        Poll::Ready(Ok(messages))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.inner.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.inner.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.inner.may_fragment()
    }
}

/// Who a side is to the other.
pub(crate) struct Certified(rcgen::CertifiedKey<rcgen::KeyPair>);

impl Certified {
    pub(crate) fn new() -> Self {
        Self(rcgen::generate_simple_self_signed(["peer".to_owned()]).unwrap())
    }

    fn server(&self) -> ServerConfig {
        let key = PrivatePkcs8KeyDer::from(self.0.signing_key.serialize_der());
        ServerConfig::with_single_cert(vec![self.0.cert.der().clone()], key.into()).unwrap()
    }

    fn client(&self) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.cert.der().clone()).unwrap();
        ClientConfig::with_root_certificates(Arc::new(roots)).unwrap()
    }
}
