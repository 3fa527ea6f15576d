//! What is said of this computer, and of what limits a transfer.

use super::{examine::Seen, finding::Finding};
use crate::view::words::millis;
use hypersend_client::{
    doctor::{limits::window_rate, machine::Sockets},
    protocol::size::Size,
};
use std::{io, time::Duration};

/// With less than this, in bytes a second, it is the processor that a transfer waits for: about 4 Gbit/s, where one
/// with AES instructions seals several times as much.
const SLOW_SEAL: u64 = 500 << 20;

pub(super) fn findings(seen: &Seen) -> Vec<Finding> {
    let mut findings = match &seen.sockets {
        Ok(sockets) => vec![buffers(sockets), offload(sockets)],
        Err(error) => vec![Finding::failed("buffers", format!("no UDP socket ({error})"), "let this program open one")],
    };
    findings.push(ciphers(seen.seal_rate));
    findings.extend(seen.write_rate.as_ref().map(disk));
    findings.push(limits(seen));
    findings
}

fn buffers(sockets: &Sockets) -> Finding {
    let Sockets { asked, receive, send, .. } = *sockets;
    let says = format!("{} KiB to receive, {} KiB to send", receive >> 10, send >> 10);
    if receive.min(send) >= asked {
        return Finding::ok("buffers", says);
    }
    let remedy = format!("sysctl -w net.core.rmem_max={asked} net.core.wmem_max={asked}");
    Finding::warning("buffers", format!("{says}, too little for full speed"), remedy)
}

fn offload(sockets: &Sockets) -> Finding {
    let what = "offload";
    let named = [("GSO", sockets.send_segments), ("GRO", sockets.receive_segments)];
    let (there, missing): (Vec<_>, Vec<_>) = named.into_iter().partition(|(_, segments)| *segments > 1);
    let names = |of: &[(&str, usize)]| of.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(" and ");
    if missing.is_empty() {
        let [(_, send), (_, receive)] = named;
        return Finding::ok(what, format!("GSO and GRO: up to {send} datagrams a call to send, {receive} to receive"));
    }
    let has = if there.is_empty() { String::new() } else { format!(", only {}", names(&there)) };
    Finding::warning(
        what,
        format!("no {}{has}: datagrams cost up to four times the processor time", names(&missing)),
        "a newer Linux kernel, or a sandbox that lets UDP_SEGMENT and UDP_GRO through",
    )
}

fn ciphers(rate: u64) -> Finding {
    let says = format!("{}/s by one core", Size(rate));
    if rate >= SLOW_SEAL {
        return Finding::ok("AES", says);
    }
    let remedy = "a processor with AES instructions, or a virtual machine that passes them on";
    Finding::warning("AES", format!("{says}, which limits a transfer"), remedy)
}

fn disk(rate: &io::Result<u64>) -> Finding {
    let what = "disk";
    match rate {
        Ok(rate) => Finding::ok(what, format!("{}/s written in this folder", Size(*rate))),
        Err(error) if error.kind() == io::ErrorKind::StorageFull => {
            Finding::warning(what, "too little room in this folder to try it", "make room before something is received")
        }
        Err(error) if error.kind() == io::ErrorKind::TimedOut => Finding::warning(
            what,
            "so slow here that it was not waited for",
            "receive into a folder on another disk (-o)",
        ),
        Err(error) => {
            let remedy = "receive into another folder (-o), or try it from one that takes files";
            Finding::warning(what, format!("this folder takes no files ({error})"), remedy)
        }
    }
}

/// What a transfer can reach here if the network lets it, the least first.
fn limits(seen: &Seen) -> Finding {
    let mut limits = vec![(seen.seal_rate, "one core's AES".to_owned())];
    limits.extend(seen.write_rate.as_ref().and_then(|rate| Some((*rate.as_ref().ok()?, "the disk".to_owned()))));
    limits.extend(round_trip(seen).map(|round_trip| {
        let says = format!("the windows of one connection at {}", millis(round_trip));
        (window_rate(round_trip), says)
    }));
    limits.sort_unstable();
    let says: Vec<_> = limits.iter().map(|(rate, what)| format!("{}/s by {what}", Size(*rate))).collect();
    Finding::ok("limits", format!("at most {}; the network may be slower", says.join(", ")))
}

fn round_trip(seen: &Seen) -> Option<Duration> {
    let server = seen.server.as_ref()?;
    server.quic.round_trip().or_else(|| server.tcp.round_trip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_buffers_come_with_the_remedy() {
        let sockets =
            Sockets { asked: 4 << 20, receive: 208 << 10, send: 4 << 20, send_segments: 10, receive_segments: 64 };
        let small = buffers(&sockets).to_string();
        assert!(small.starts_with("warning") && small.contains("sysctl -w net.core.rmem_max=4194304"), "{small}");
        assert!(buffers(&Sockets { receive: 4 << 20, ..sockets }).is_good());
        assert!(offload(&sockets).is_good());
        let slow = offload(&Sockets { send_segments: 1, ..sockets }).to_string();
        assert!(slow.contains("no GSO, only GRO"), "{slow}");
    }

    #[test]
    fn a_slow_processor_and_a_full_disk_are_told() {
        assert!(ciphers(2 << 30).is_good() && !ciphers(100 << 20).is_good());
        assert!(disk(&Ok(1)).is_good());
        assert!(disk(&Err(io::ErrorKind::StorageFull.into())).to_string().contains("make room"));
        assert!(disk(&Err(io::ErrorKind::TimedOut.into())).to_string().contains("so slow"));
        assert!(disk(&Err(io::ErrorKind::PermissionDenied.into())).to_string().contains("takes no files"));
    }
}
