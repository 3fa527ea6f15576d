//! What this computer itself can do: its sockets, its processor's ciphers, its disk.

use hypersend_net::socket::{self, BUFFER_SIZE};
use hypersend_transfer::folder::free_bytes;
use quinn::{Runtime, TokioRuntime};
use ring::{
    aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    rand::{SecureRandom, SystemRandom},
};
use std::{
    fs::{self, File},
    hint::black_box,
    io::{self, Write},
    net::Ipv4Addr,
    path::Path,
    time::{Duration, Instant},
};
use uuid::Uuid;

/// What the kernel grants to a UDP socket.
#[derive(Clone, Copy, Debug)]
pub struct Sockets {
    /// Bytes of buffer that are asked for, in each direction.
    pub asked: usize,
    /// Bytes that are granted for receiving (`net.core.rmem_max`).
    pub receive: usize,
    /// Bytes that are granted for sending (`net.core.wmem_max`).
    pub send: usize,
    /// Datagrams that one call may send (GSO); 1 where the kernel takes them one by one.
    pub send_segments: usize,
    /// Datagrams that the kernel hands over as one (GRO); 1 where it does not.
    pub receive_segments: usize,
}

/// Looks at a socket as transfers have them. Must be called in a runtime.
pub fn sockets() -> io::Result<Sockets> {
    let (socket, granted) = socket::bind((Ipv4Addr::UNSPECIFIED, 0).into())?;
    let socket = TokioRuntime.wrap_udp_socket(socket)?;
    Ok(Sockets {
        asked: BUFFER_SIZE,
        receive: granted.receive,
        send: granted.send,
        send_segments: socket.max_transmit_segments(),
        receive_segments: socket.max_receive_segments(),
    })
}

/// How long sealing is measured.
const SEAL: Duration = Duration::from_millis(50);

/// Bytes in a second that one core seals as QUIC does: AES-128-GCM, a packet at a time. Takes 50 ms of the
/// thread's time.
pub fn seal_rate() -> u64 {
    let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &[0x5e; 16]).expect("AES-128 has keys of 16 bytes"));
    let mut packet = [0; 1_400];
    let began = Instant::now();
    let mut sealed = 0;
    while began.elapsed() < SEAL {
        for _ in 0..64 {
            // Neither kept nor sent, so that one nonce does for all.
            let nonce = Nonce::assume_unique_for_key([0; 12]);
            let tag = key.seal_in_place_separate_tag(nonce, Aad::empty(), &mut packet);
            // Looked at, so that no compiler leaves out what nobody wants.
            let _ = black_box(tag.expect("a packet is not too long to seal"));
            sealed += packet.len();
        }
    }
    rate(sealed, began.elapsed())
}

/// How much is written to a disk at most.
const WRITE_BYTES: usize = 256 << 20;

/// After how long no more is begun. Each step is as long as all before it together, so that the whole takes twice this.
const WRITE: Duration = Duration::from_millis(700);

/// Bytes of the first step, which is waited for like each: what a slow disk is told by.
const FIRST_STEP: usize = 4 << 20;

/// Bytes in a second that the disk below a folder takes, waited for. Nothing stays, even where the program is killed.
pub fn write_rate(folder: &Path) -> io::Result<u64> {
    if free_bytes(folder)? < 2 * WRITE_BYTES as u64 {
        return Err(io::ErrorKind::StorageFull.into());
    }
    // Random, so that no file system makes it smaller.
    let mut bytes = vec![0; FIRST_STEP];
    SystemRandom::new().fill(&mut bytes).map_err(|_| io::Error::other("the system gives no random bytes"))?;
    let path = folder.join(format!(".hypersend-doctor-{}", Uuid::new_v4()));
    let mut file = File::create_new(&path)?;
    // It lives on without a name.
    fs::remove_file(&path)?;
    let began = Instant::now();
    let (mut written, mut step) = (0, FIRST_STEP);
    while written < WRITE_BYTES && began.elapsed() < WRITE {
        for _ in 0..step / FIRST_STEP {
            file.write_all(&bytes)?;
        }
        file.sync_data()?;
        written += step;
        step = written.min(WRITE_BYTES - written);
    }
    Ok(rate(written, began.elapsed()))
}

fn rate(bytes: usize, took: Duration) -> u64 {
    let nanos = took.as_nanos().max(1);
    u64::try_from(bytes as u128 * 1_000_000_000 / nanos).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_what_was_written_stays() {
        let folder = tempfile::tempdir().unwrap();
        assert!(write_rate(folder.path()).unwrap() > 0);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(write_rate(&folder.path().join("missing")).is_err());
    }

    #[tokio::test]
    async fn the_machine_tells_of_itself() {
        let sockets = sockets().unwrap();
        assert!(sockets.receive > 0 && sockets.send > 0 && sockets.send_segments > 0 && sockets.receive_segments > 0);
        assert!(seal_rate() > 0);
    }
}
