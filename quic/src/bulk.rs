//! The raw bytes of one range behind its header.

use crate::frames::{SendError, send};
use bytes::Bytes;
use hypersend_protocol::frame::Frame;
use quinn::SendStream;

/// How much is handed to quinn at once, in bytes. The send window counts a handed-over piece until all of it is
/// acknowledged, so pieces much smaller than a range let the window move on.
const PIECE: usize = 128 << 10;

/// Sends a header and the raw bytes that it announces, then finishes the stream. The bytes are not copied.
pub async fn send_range<F: Frame>(stream: &mut SendStream, header: &F, mut bytes: Bytes) -> Result<(), SendError> {
    send(stream, header).await?;
    while !bytes.is_empty() {
        stream.write_chunk(bytes.split_to(bytes.len().min(PIECE))).await?;
    }
    // Finishing fails only on a stream that was finished or reset by us, and it was not.
    let _ = stream.finish();
    Ok(())
}
