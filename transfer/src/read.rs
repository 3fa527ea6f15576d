//! One run of bytes of a file, in one buffer that is handed out as it was read.

use crate::plan::Span;
use bytes::Bytes;
use rustix::{buffer::spare_capacity, io::retry_on_intr};
use std::{fs::File, io};

/// Reads exactly a span. [`io::ErrorKind::UnexpectedEof`] when the file ends before it does.
pub(crate) fn read_span(file: &File, span: Span) -> io::Result<Bytes> {
    let length = span.length as usize;
    let mut bytes = Vec::with_capacity(length);
    while bytes.len() < length {
        let offset = span.offset + bytes.len() as u64;
        if retry_on_intr(|| rustix::io::pread(file, spare_capacity(&mut bytes), offset))? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    // The allocator may have given more room than was asked for.
    bytes.truncate(length);
    Ok(bytes.into())
}
