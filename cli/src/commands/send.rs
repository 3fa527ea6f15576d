//! Posting one message, with or without files.

use super::{
    files::{expect_file, upload},
    reference,
};
use crate::{connect::connect, context::Context, failure::Failure};
use hypersend_client::protocol::{
    chat::{Post, Posted},
    id::{ChatId, FileId},
    limit::MAX_FILES_PER_MESSAGE,
    name::MessageText,
};
use serde::Serialize;
use std::{fmt, path::PathBuf};

#[derive(Serialize)]
struct Sent {
    chat: String,
    seq: u64,
    at: String,
    files: Vec<String>,
}

impl Sent {
    fn new(chat: ChatId, posted: Posted, files: &[FileId]) -> Self {
        let files = files.iter().map(ToString::to_string).collect();
        Self { chat: chat.to_string(), seq: posted.seq.0, at: posted.at.to_string(), files }
    }
}

/// The message's number.
impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.seq.fmt(f)
    }
}

pub(super) async fn send(
    context: &Context,
    reference: &str,
    text: Option<&str>,
    paths: &[PathBuf],
) -> Result<(), Failure> {
    let text = text.map(MessageText::parse).transpose()?;
    if paths.len() > MAX_FILES_PER_MESSAGE {
        return Err(Failure::usage(format!("a message carries at most {MAX_FILES_PER_MESSAGE} files"))
            .or_try("several messages"));
    }
    for path in paths {
        expect_file(path).await?;
    }
    let session = connect(context).await?;
    let chat = reference::find(&session, reference).await?;
    let mut files = Vec::with_capacity(paths.len());
    for path in paths {
        let (file, _) = upload(&session.client, &context.talk, path).await?;
        files.push(file.id);
    }
    let pending = context.folder.pending(chat, text.as_ref(), &files)?;
    let post = Post { client_id: pending.client_id, text, files: files.clone(), reply_to: None };
    let posting = session.client.post_as(chat, post);
    // What took hours to send is not given up for a server that is away for a minute.
    let answer = if files.is_empty() { session.within(posting).await? } else { posting.await };
    if answer.as_ref().map_or_else(|error| error.code().is_some_and(|code| !code.is_transient()), |_| true) {
        pending.done();
    }
    context.out.print(&Sent::new(chat, answer?, &files))
}
