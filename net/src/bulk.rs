//! The raw bytes of one range behind its header.

use crate::{
    frames::{SendError, send},
    stream::SendStream,
};
use bytes::Bytes;
use hypersend_protocol::frame::Frame;

/// How much is handed over at once, in bytes. The send window counts a handed-over piece until all of it is
/// acknowledged, so pieces much smaller than a range let the window move on.
const PIECE: usize = 128 << 10;

/// Sends a header and the raw bytes that it announces, then finishes the stream. The bytes are not copied.
pub async fn send_range<F: Frame>(stream: &mut SendStream, header: &F, mut bytes: Bytes) -> Result<(), SendError> {
    send(stream, header).await?;
    while !bytes.is_empty() {
        stream.write(bytes.split_to(bytes.len().min(PIECE))).await?;
    }
    stream.finish();
    Ok(())
}
