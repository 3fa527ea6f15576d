//! A client of the HTTP door, by other people's code: hyper over TCP, h3 by its own adapter over QUIC.

mod lane;

use super::{Carried, Login, Stage, email};
use crate::{process::Usage, spread::Spread};
use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use futures::future::try_join_all;
use http::{
    Method, Request,
    header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST},
};
use hypersend_protocol::id::FileId;
use lane::Lane;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{
    fmt,
    fs::File,
    io::{self, IoSlice, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::task::block_in_place;

/// Chunks under way at once, and what a browser has to HTTP/1.1: six connections.
const LANES: usize = 6;

/// Bytes written at once.
const WRITE: usize = 512 << 10;

/// A version of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Version {
    /// Over TCP, a request at a time on each connection.
    Http1,
    /// Over one TCP connection.
    Http2,
    /// Over one QUIC connection.
    Http3,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http1 => "HTTP/1.1",
            Self::Http2 => "HTTP/2",
            Self::Http3 => "HTTP/3",
        })
    }
}

/// What to do by HTTP.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Job {
    /// Sends a file in chunks, several at once; says its id.
    Upload(PathBuf),
    /// Fetches a file in one request.
    Download(FileId, PathBuf),
    /// Asks who it is, over and over.
    Ask {
        /// How long.
        lasting: Duration,
        /// Requests under way at once.
        depth: usize,
    },
}

/// How it went.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Done {
    /// Time, processor time and memory.
    pub(crate) carried: Carried,
    /// What was uploaded.
    pub(crate) file: Option<FileId>,
    /// How long each small request took.
    pub(crate) asked: Spread,
}

/// Logs in, and does its job when told.
pub(super) async fn run(mut stage: Stage, login: Login, version: Version, job: Job) -> Result<()> {
    let lanes = if let Job::Ask { depth, .. } = job { depth } else { LANES };
    let caller = Caller::login(&login, version, lanes).await?;
    stage.say(&())?;
    let Some(()) = stage.next().await? else { return Ok(()) };
    let (start, before) = (Instant::now(), Usage::own()?);
    let (mut file, mut asked) = (None, Spread::default());
    match job {
        Job::Upload(path) => file = Some(caller.upload(&path).await?),
        Job::Download(id, to) => caller.download(id, &to).await?,
        Job::Ask { lasting, .. } => asked = caller.ask(lasting).await?,
    }
    let elapsed = start.elapsed();
    stage.say(&Done { carried: Carried::since(before, elapsed, elapsed, None)?, file, asked })?;
    stage.over().await
}

/// A file that is written many pieces at a time, from where they are: a piece may be a packet's content.
struct Gathering {
    file: File,
    pieces: Vec<Bytes>,
    bytes: usize,
}

impl Gathering {
    fn take(&mut self, piece: Bytes) -> io::Result<()> {
        self.bytes += piece.len();
        self.pieces.push(piece);
        if self.bytes < WRITE { Ok(()) } else { block_in_place(|| self.write()) }
    }

    fn write(&mut self) -> io::Result<()> {
        let mut slices: Vec<_> = self.pieces.iter().map(|piece| IoSlice::new(piece)).collect();
        let mut rest = &mut slices[..];
        // Steps over empty pieces, for which a call would write nothing.
        IoSlice::advance_slices(&mut rest, 0);
        while !rest.is_empty() {
            match self.file.write_vectored(rest)? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                written => IoSlice::advance_slices(&mut rest, written),
            }
        }
        (self.pieces, self.bytes) = (Vec::new(), 0);
        Ok(())
    }
}

/// Somebody who is logged in.
struct Caller {
    lanes: Vec<Lane>,
    authority: String,
    token: String,
}

impl Caller {
    async fn login(login: &Login, version: Version, lanes: usize) -> Result<Self> {
        let lanes = Lane::open(login, version, lanes).await?;
        let mut caller = Self { lanes, authority: login.server.to_string(), token: String::new() };
        let (email, password) = (email(&login.user)?, "a password for a measurement");
        let body = json!({ "email": email, "name": login.user, "password": password });
        let registered = caller.json("/api/v1/auth/register", &body).await;
        let answer = match registered {
            Ok(answer) => answer,
            Err(_) => caller.json("/api/v1/auth/login", &json!({ "email": email, "password": password })).await?,
        };
        let token = answer["access_token"].as_str().context("a token")?;
        Ok(Self { token: token.to_owned(), ..caller })
    }

    fn request(&self, method: Method, path: &str, kind: &str, body: Bytes) -> Request<Bytes> {
        Request::builder()
            .method(method)
            .uri(format!("https://{}{path}", self.authority))
            .header(HOST, &self.authority)
            .header(AUTHORIZATION, format!("Bearer {}", self.token))
            .header(CONTENT_TYPE, kind)
            .header(CONTENT_LENGTH, body.len())
            .body(body)
            .expect("its parts are plain")
    }

    async fn json(&mut self, path: &str, body: &Value) -> Result<Value> {
        let request = self.request(Method::POST, path, "application/json", body.to_string().into());
        let mut answer = Vec::new();
        let keep = |piece: Bytes| {
            answer.extend_from_slice(&piece);
            Ok(())
        };
        self.lanes[0].exchange(request, keep).await?;
        Ok(serde_json::from_slice(&answer)?)
    }

    async fn upload(mut self, path: &Path) -> Result<FileId> {
        let file = Arc::new(File::open(path)?);
        let size = file.metadata()?.len();
        let upload = self.json("/api/v1/uploads", &json!({ "name": "source", "size": size })).await?;
        let id = upload["id"].as_str().context("an id")?.to_owned();
        let chunk_size = upload["chunk_size"].as_u64().context("a chunk size")?;
        let next = AtomicU64::new(0);
        let mut lanes = std::mem::take(&mut self.lanes);
        try_join_all(lanes.iter_mut().map(|lane| async {
            let mut sent = Bytes::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let length = chunk_size.min(size.saturating_sub(index * chunk_size));
                if length == 0 {
                    return anyhow::Ok(());
                }
                // What the connection has let go of by now is written over: new memory would cost as much as the reading.
                let mut chunk = sent.try_into_mut().unwrap_or_default();
                chunk.resize(usize::try_from(length)?, 0);
                block_in_place(|| file.read_exact_at(&mut chunk, index * chunk_size))?;
                sent = chunk.freeze();
                let path = format!("/api/v1/uploads/{id}/chunks/{index}");
                let put = self.request(Method::PUT, &path, "application/octet-stream", sent.clone());
                lane.exchange(put, |_| Ok(())).await?;
            }
        }))
        .await?;
        self.lanes = lanes;
        let file = self.json(&format!("/api/v1/uploads/{id}/complete"), &json!({})).await?;
        Ok(serde_json::from_value(file["id"].clone())?)
    }

    async fn download(mut self, file: FileId, to: &Path) -> Result<()> {
        let path = format!("/api/v1/files/{file}/content");
        let request = self.request(Method::GET, &path, "application/octet-stream", Bytes::new());
        let mut to = Gathering { file: File::create(to)?, pieces: Vec::new(), bytes: 0 };
        self.lanes[0].exchange(request, |piece| Ok(to.take(piece)?)).await?;
        Ok(to.write()?)
    }

    async fn ask(mut self, lasting: Duration) -> Result<Spread> {
        let end = Instant::now() + lasting;
        let mut lanes = std::mem::take(&mut self.lanes);
        let asked = try_join_all(lanes.iter_mut().map(|lane| async {
            let mut took = Vec::new();
            while Instant::now() < end {
                let start = Instant::now();
                let request = self.request(Method::GET, "/api/v1/users/me", "application/json", Bytes::new());
                lane.exchange(request, |_| Ok(())).await?;
                took.push(start.elapsed());
            }
            anyhow::Ok(took)
        }))
        .await?;
        ensure!(asked.iter().all(|took| !took.is_empty()), "a connection was not answered at all");
        Ok(Spread::of(asked.concat()))
    }
}
