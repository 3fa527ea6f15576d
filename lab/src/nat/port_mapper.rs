//! A router's answers to PCP (RFC 6887) and NAT-PMP (RFC 6886), which map ports in the lab's NAT for real.
//!
//! An inside port gets the outside port that the NAT shows for it as long as it can; that port is then open to everybody, whatever
//! kind the NAT is. When the NAT forgets its mappings, this has forgotten them too.

use super::{kind::changed, side::Side};
use crate::netns::Namespace;
use std::{
    collections::HashMap,
    fmt::Write,
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU16, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// Where routers are asked (RFC 6887, 19).
const PORT: u16 = 5351;

/// How soon it sees that it is to end, or that a mapping's time is over.
const TICK: Duration = Duration::from_millis(50);

/// Which of the two a router speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    /// PCP, and NAT-PMP to whoever asks so.
    Pcp,
    /// NAT-PMP, and says so to whoever asks by PCP.
    NatPmp,
    /// Both, and refuses everything.
    No,
}

/// A router that maps ports. Ends when dropped.
#[derive(Debug)]
pub struct PortMapper {
    mapped: Mapped,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Inside ports, and when their time is over.
type Mapped = Arc<Mutex<HashMap<u16, Instant>>>;

impl PortMapper {
    /// Starts one on a side's NAT that grants so many seconds at most.
    pub fn start(side: &Side, speaks: Speaks, seconds: u32) -> Self {
        let router = side.router().expect("a side in the open has no router of its own");
        let bound =
            router.inside(|| UdpSocket::bind((side.gateway(), PORT))).map(|bound| bound.expect("bind the port mapper"));
        let socket = bound.unwrap_or_else(|error| panic!("start a port mapper: {error}"));
        socket.set_read_timeout(Some(TICK)).expect("it can be bounded");
        let (mapped, stop) = (Mapped::default(), Arc::new(AtomicBool::new(false)));
        let mut desk = Desk {
            router,
            host: side.ip(),
            outside: side.outside_ip(),
            change: side.change(),
            changed_by: side.change().load(Relaxed),
            began: Instant::now(),
            speaks,
            seconds,
            mapped: mapped.clone(),
        };
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            while !stopped.load(Relaxed) {
                let mut bytes = [0; 1_100];
                let received = socket.recv_from(&mut bytes);
                desk.tick();
                match received {
                    Ok((length, from)) => {
                        if let Some(answer) = desk.answer(&bytes[..length], from) {
                            let _ = socket.send_to(&answer, from);
                        }
                    }
                    Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                    Err(error) => panic!("the port mapper's socket: {error}"),
                }
            }
        });
        Self { mapped, stop, thread: Some(thread) }
    }

    /// The inside ports that are mapped now.
    pub fn mapped(&self) -> Vec<u16> {
        self.mapped.lock().unwrap_or_else(PoisonError::into_inner).keys().copied().collect()
    }
}

impl Drop for PortMapper {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        if matches!(ended, Some(Err(_))) {
            eprintln!("lab: a port mapper panicked");
        }
    }
}

/// What answers.
struct Desk {
    router: Arc<Namespace>,
    host: Ipv4Addr,
    outside: Ipv4Addr,
    /// By how much the NAT changes ports; and by how much when this last looked.
    change: Arc<AtomicU16>,
    changed_by: u16,
    began: Instant,
    speaks: Speaks,
    seconds: u32,
    mapped: Mapped,
}

impl Desk {
    /// Forgets what is over.
    fn tick(&mut self) {
        let change = self.change.load(Relaxed);
        let mut mapped = self.mapped.lock().unwrap_or_else(PoisonError::into_inner);
        let before = mapped.len();
        if change != self.changed_by {
            self.changed_by = change;
            self.began = Instant::now();
            mapped.clear();
        }
        let now = Instant::now();
        mapped.retain(|_, expires| *expires > now);
        let is_other = mapped.len() != before;
        drop(mapped);
        if is_other {
            self.write();
        }
    }

    /// What to say to a question, if anything.
    fn answer(&mut self, question: &[u8], from: SocketAddr) -> Option<Vec<u8>> {
        if from.ip() != self.host {
            return None;
        }
        let epoch = u32::try_from(self.began.elapsed().as_secs()).ok()?.to_be_bytes();
        match (question, self.speaks) {
            ([2, ..], Speaks::NatPmp) => Some([&[0, 0x80, 0, 1][..], &epoch].concat()),
            // A MAP request for UDP, of 60 bytes.
            ([2, 1, ..], _) if question.len() == 60 && question[36] == 17 => {
                let (head, map) = question.split_at(24);
                let inside = u16::from_be_bytes([map[16], map[17]]);
                let (granted, code) = self.map(inside, u32::from_be_bytes(head[4..8].try_into().ok()?));
                let mut answer = [&[2, 0x81, 0, code][..], &granted.to_be_bytes(), &epoch, &[0; 12], map].concat();
                answer[42..44].copy_from_slice(&changed(inside, self.changed_by).to_be_bytes());
                answer[44..60].copy_from_slice(&self.outside.to_ipv6_mapped().octets());
                Some(answer)
            }
            ([0, 0], _) => {
                let code = u8::from(self.speaks == Speaks::No) * 3;
                Some([&[0, 0x80, 0, code][..], &epoch, &self.outside.octets()].concat())
            }
            ([0, 1, ..], _) if question.len() == 12 => {
                let inside = u16::from_be_bytes([question[4], question[5]]);
                let (granted, code) = self.map(inside, u32::from_be_bytes(question[8..12].try_into().ok()?));
                // The answer to a deletion has no outside port.
                let outside = if granted == 0 { 0 } else { changed(inside, self.changed_by) };
                let ports = [inside.to_be_bytes(), outside.to_be_bytes()].concat();
                Some([&[0, 0x81, 0, code][..], &epoch, &ports, &granted.to_be_bytes()].concat())
            }
            _ => None,
        }
    }

    /// Seconds that were granted, and a result: 2, not authorized, of both protocols.
    fn map(&self, inside: u16, seconds: u32) -> (u32, u8) {
        if self.speaks == Speaks::No {
            return (0, 2);
        }
        let seconds = seconds.min(self.seconds);
        let mut mapped = self.mapped.lock().unwrap_or_else(PoisonError::into_inner);
        if seconds == 0 {
            mapped.remove(&inside);
        } else {
            mapped.insert(inside, Instant::now() + Duration::from_secs(seconds.into()));
        }
        drop(mapped);
        self.write();
        (seconds, 0)
    }

    /// Has the kernel do it, before its own NAT does anything.
    fn write(&self) {
        let (mut inwards, mut outwards) = (String::new(), String::new());
        for &inside in self.mapped.lock().unwrap_or_else(PoisonError::into_inner).keys() {
            let (port, host, outside) = (changed(inside, self.changed_by), self.host, self.outside);
            let to = write!(inwards, "iifname outside udp dport {port} dnat to {host}:{port}; ");
            let from = write!(outwards, "oifname outside ip saddr {host} udp sport {port} snat to {outside}:{port}; ");
            to.and(from).expect("a string takes everything");
        }
        let rules = format!(
            "table ip mapped {{}}\ndelete table ip mapped\ntable ip mapped {{\n\
             chain inwards {{ type nat hook prerouting priority -101; {inwards} }}\n\
             chain outwards {{ type nat hook postrouting priority 99; {outwards} }}\n}}\n"
        );
        self.router.nft(&rules).unwrap_or_else(|error| panic!("map a port: {error}"));
    }
}
