//! One socket: takes datagrams in batches, has the core say what becomes of them, and carries that out, by this socket or, where
//! the other side came by another door, by one there.
//!
//! What the kernel has put together (GRO) goes on as it lies in the buffer, for the kernel to take apart again (GSO); what
//! came alone is put together with others of the batch that go to the same address. The core is locked for a batch at a time
//! and never while something is sent. Nothing is allocated but what a batch needs the first time that it is so large.

use super::{
    Shared,
    bundle::{Bundle, MAX_SENT_AS_ONE, Part},
};
use crate::relay::{Action, Door};
use quinn_udp::{BATCH_SIZE, EcnCodepoint, RecvMeta, Transmit, UdpSocketState};
use std::{
    array,
    io::{self, IoSliceMut},
    net::SocketAddr,
    ops::Range,
    sync::{Arc, atomic::Ordering::Relaxed},
};
use tokio::{io::Interest, net::UdpSocket, task::consume_budget};

/// The most that a kernel hands over as one: a UDP datagram's length has 16 bits, and what is put together is no longer.
const BUFFER: usize = 1 << 16;

/// How many wishes behind one are looked at for what may go with it: all of a batch of datagrams that came alone. More there
/// are only where somebody mixes packets with questions, who is not to make this take long.
const LOOK_AHEAD: usize = BATCH_SIZE;

pub(super) struct Port {
    shared: Arc<Shared>,
    /// The door that the socket is at.
    door: Door,
    /// For each door one; at this one's own, by its own socket.
    senders: Vec<Sender>,
    buffers: Vec<u8>,
    meta: [RecvMeta; BATCH_SIZE],
    wishes: Vec<Wish>,
    bundle: Bundle,
}

/// What the core wants done with a part of what came.
struct Wish {
    message: usize,
    part: Range<usize>,
    action: Action,
    /// It went with an earlier one.
    is_done: bool,
}

impl Port {
    /// Must be called in a runtime.
    pub(super) fn new(
        socket: &Arc<UdpSocket>,
        door: Door,
        first_of_doors: &[Arc<UdpSocket>],
        shared: Arc<Shared>,
    ) -> io::Result<Self> {
        let sender = |(at, first)| Sender::new(if at == door.0 { socket } else { first }, shared.clone());
        let senders = first_of_doors.iter().enumerate().map(sender).collect::<Result<_, _>>()?;
        let buffers = vec![0; BUFFER * BATCH_SIZE];
        Ok(Self {
            shared,
            door,
            senders,
            buffers,
            meta: [RecvMeta::default(); BATCH_SIZE],
            wishes: Vec::new(),
            bundle: Bundle::new(),
        })
    }

    /// Passes datagrams on until the socket fails.
    pub(super) async fn run(mut self) -> io::Error {
        loop {
            match self.turn().await {
                Ok(()) => consume_budget().await,
                Err(error) => return error,
            }
        }
    }

    async fn turn(&mut self) -> io::Result<()> {
        self.senders[self.door.0].socket.readable().await?;
        let messages = match self.receive() {
            Ok(messages) => messages,
            // A readiness that was none, and what Windows says when an earlier datagram found nobody.
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::ConnectionReset) => {
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        self.decide(messages);
        for at in 0..self.wishes.len() {
            self.gather(at);
            let Self { door, senders, buffers, meta, wishes, bundle, .. } = self;
            let wish = &wishes[at];
            match &wish.action {
                Action::Forward { .. } if wish.is_done => {}
                Action::Forward { to, by } => {
                    let part = bundle.with(wish.about(buffers, meta));
                    senders[by.0].send(*to, part.bytes, part.segment, part.ecn).await?;
                }
                Action::Answer { answer, notice } => {
                    senders[door.0].send(meta[wish.message].addr, answer, answer.len(), None).await?;
                    if let Some(notice) = notice {
                        senders[notice.by.0].send(notice.to, &notice.bytes, notice.bytes.len(), None).await?;
                    }
                }
                Action::Drop(_) | Action::Taken => {}
            }
        }
        Ok(())
    }

    /// Puts what is to be forwarded at this place together with what goes to the same address, in its order, as far as it
    /// fits; the next begins anew.
    fn gather(&mut self, at: usize) {
        let Self { senders, buffers, meta, wishes, bundle, .. } = self;
        bundle.clear();
        let (first, rest) = wishes[at..].split_first_mut().expect("there is a wish at this place");
        let Action::Forward { by, .. } = first.action else { return };
        if first.is_done {
            return;
        }
        let max_segments = senders[by.0].state.max_gso_segments();
        for wish in rest.iter_mut().take(LOOK_AHEAD).filter(|wish| !wish.is_done && wish.action == first.action) {
            if !bundle.add(first.about(buffers, meta), wish.about(buffers, meta), max_segments) {
                return;
            }
            wish.is_done = true;
        }
    }

    fn receive(&mut self) -> io::Result<usize> {
        let Self { door, senders, buffers, meta, .. } = self;
        let Sender { socket, state, .. } = &senders[door.0];
        let mut buffers = buffers.chunks_exact_mut(BUFFER);
        let mut buffers: [_; BATCH_SIZE] =
            array::from_fn(|_| IoSliceMut::new(buffers.next().expect("there is a buffer for each message")));
        socket.try_io(Interest::READABLE, || state.recv((&**socket).into(), &mut buffers, meta))
    }

    fn decide(&mut self, messages: usize) {
        self.wishes.clear();
        let now = self.shared.clock.now();
        let mut relay = self.shared.relay();
        for (message, meta) in self.meta[..messages].iter().enumerate() {
            let bytes = &self.buffers[message * BUFFER..][..meta.len];
            let what = |part, action| {
                if !matches!(action, Action::Drop(_) | Action::Taken) {
                    self.wishes.push(Wish { message, part, action, is_done: false });
                }
            };
            relay.batch(now, self.door, meta.addr, bytes, meta.stride, what);
        }
    }
}

impl Wish {
    /// What it is about.
    fn about<'a>(&self, buffers: &'a [u8], meta: &[RecvMeta]) -> Part<'a> {
        let RecvMeta { len, stride, ecn, .. } = meta[self.message];
        let bytes = &buffers[self.message * BUFFER..][..len][self.part.clone()];
        Part { bytes, segment: stride.clamp(1, bytes.len().max(1)), ecn }
    }
}

struct Sender {
    socket: Arc<UdpSocket>,
    state: UdpSocketState,
    shared: Arc<Shared>,
}

impl Sender {
    fn new(socket: &Arc<UdpSocket>, shared: Arc<Shared>) -> io::Result<Self> {
        let state = UdpSocketState::new((&**socket).into())?;
        Ok(Self { socket: socket.clone(), state, shared })
    }

    /// Sends datagrams of this length each, the last perhaps shorter. That one of them does not get away is counted, and no
    /// error: its sender finds out as it does of any loss.
    async fn send(
        &mut self,
        to: SocketAddr,
        mut bytes: &[u8],
        segment: usize,
        ecn: Option<EcnCodepoint>,
    ) -> io::Result<()> {
        let segment = segment.clamp(1, bytes.len().max(1));
        let mut failed_as_one = false;
        while !bytes.is_empty() {
            let segments = if failed_as_one { 1 } else { self.state.max_gso_segments().min(MAX_SENT_AS_ONE / segment) };
            let (part, rest) = bytes.split_at(bytes.len().min(segments.max(1) * segment));
            let segment_size = (part.len() > segment).then_some(segment);
            let transmit = Transmit { destination: to, ecn, contents: part, segment_size, src_ip: None };
            match self.attempt(&transmit).await? {
                Ok(()) => {}
                // Perhaps the way out is too narrow for these, perhaps it takes nothing together; alone, each shows which.
                Err(_) if segment_size.is_some() => {
                    failed_as_one = true;
                    continue;
                }
                Err(error) => {
                    self.shared.unsent.fetch_add(1, Relaxed);
                    tracing::debug!(%to, bytes = part.len(), %error, "datagram not sent");
                    // quinn-udp takes the kernel's refusal of a batch for that of every batch. If datagrams of this
                    // length do not even go alone, it was no such refusal: whoever sends such ones slows nobody down.
                    if failed_as_one && self.state.max_gso_segments() == 1 {
                        self.state = UdpSocketState::new((&*self.socket).into())?;
                    }
                }
            }
            bytes = rest;
        }
        Ok(())
    }

    /// Waits while the kernel has no room, so that what comes meanwhile waits in its receive buffer, which is bounded. The
    /// outer error is of the socket itself.
    async fn attempt(&self, transmit: &Transmit<'_>) -> io::Result<io::Result<()>> {
        loop {
            let sent = self.socket.try_io(Interest::WRITABLE, || self.state.try_send((&*self.socket).into(), transmit));
            match sent {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.shared.waits.fetch_add(1, Relaxed);
                    self.socket.writable().await?;
                }
                done => return Ok(done),
            }
        }
    }
}
