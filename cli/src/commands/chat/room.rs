//! An open chat with somebody in it: events go to the screen, lines of input to the server.
//!
//! A line is done when the server has answered it. At most [`UNANSWERED`] wait for that, so that the handle's queues
//! never fill and a reader of events cannot be kept waiting by its own posts.

use super::{
    input::{self, Input, Lines},
    line::{HELP, Line},
    screen::Screen,
};
use crate::{
    commands::files::{download, expect_file, upload},
    connect::Session,
    context::Context,
    failure::Failure,
    view::{ChatView, MemberList, MessageView, People, Received, Style, words},
};
use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use hypersend_client::{
    ChatEvent, ChatHandle, PostError, Status,
    protocol::{
        chat::{Chat, Message, Posted},
        id::{FileId, Seq, UserId},
        name::MessageText,
    },
};
use std::{
    collections::HashSet,
    path::PathBuf,
    time::{Duration, Instant},
};
use tokio::{task::JoinSet, time::interval};

/// Messages shown of what was before.
const BEFORE: u64 = 20;

/// Posts that may wait for their answer.
const UNANSWERED: usize = 64;

/// How often the read mark moves, at most.
const MARK_EVERY: Duration = Duration::from_millis(300);

/// How often typing is told (the protocol's "every few seconds").
const TYPING_EVERY: Duration = Duration::from_secs(3);

/// An open chat.
pub(super) struct Room<'a> {
    context: &'a Context,
    session: Session,
    handle: ChatHandle,
    screen: Screen,
    chat: Chat,
    people: People,
    /// None when it has ended.
    input: Option<Lines>,
    /// The last message before those on the screen.
    before: Seq,
    /// The newest message on the screen.
    shown: Seq,
    /// The newest message that has to be there before the room may be left.
    due: Seq,
    /// The newest message that the server does not know to be read.
    unmarked: Option<Seq>,
    posts: FuturesUnordered<BoxFuture<'static, Result<Posted, PostError>>>,
    jobs: JoinSet<Result<After, Failure>>,
    typed: Option<Instant>,
    /// What went wrong first, for the exit code of a pipe.
    failed: Option<Failure>,
}

/// What follows from a job in the background.
enum After {
    Nothing,
    Post(FileId),
    Saved(Received),
}

impl<'a> Room<'a> {
    pub(super) fn enter(context: &'a Context, session: Session, chat: Chat) -> Self {
        let after = Seq(chat.last.0.saturating_sub(BEFORE));
        let handle = session.client.open_chat(chat.id, after, chat.revision);
        let prompt = if context.out.is_json() { None } else { input::prompt() };
        let (input, printer) = match prompt {
            Some((input, [screen, talk])) => {
                context.talk.above_prompt(talk);
                (input, Some(screen))
            }
            None => (input::lines(), None),
        };
        let view = ChatView::new(&chat, session.me().id);
        if printer.is_some() {
            context.talk.say(&format!("* {}; /help lists the commands, Ctrl-D leaves", view.title));
        }
        Self {
            context,
            screen: Screen::new(context.out, printer),
            people: People::of(&chat),
            before: after,
            shown: after,
            due: chat.last,
            unmarked: None,
            chat,
            session,
            handle,
            input: Some(input),
            posts: FuturesUnordered::new(),
            jobs: JoinSet::new(),
            typed: None,
            failed: None,
        }
    }

    /// Stays until the input ends and everything in it is answered, or the chat is closed.
    pub(super) async fn stay(mut self) -> Result<(), Failure> {
        let mut mark = interval(MARK_EVERY);
        while !self.is_done() {
            tokio::select! {
                event = self.handle.next() => self.event(event?)?,
                input = next(&mut self.input), if self.takes_input() => self.input(input).await?,
                Some(answer) = self.posts.next() => self.answered(answer),
                Some(job) = self.jobs.join_next() => self.ended(job.expect("jobs do not panic")).await?,
                _ = mark.tick() => {
                    self.screen.settle(&self.people, self.chat.members.len())?;
                    self.mark().await;
                }
            }
        }
        self.leave().await
    }

    fn is_done(&self) -> bool {
        self.input.is_none() && self.posts.is_empty() && self.jobs.is_empty() && self.shown >= self.due
    }

    /// Lines of a pipe keep their order: what comes after a file waits for it. Somebody at a terminal does not.
    fn takes_input(&self) -> bool {
        self.input.is_some() && self.posts.len() < UNANSWERED && (self.screen.is_live() || self.jobs.is_empty())
    }

    fn event(&mut self, event: ChatEvent) -> Result<(), Failure> {
        match event {
            ChatEvent::Opened(chat) => {
                self.screen.opened(&self.view(&chat))?;
                self.came_and_went(chat)
            }
            ChatEvent::Members(chat) => {
                self.screen.members(&self.view(&chat))?;
                self.came_and_went(chat)
            }
            ChatEvent::Message(message) => {
                self.shown = message.seq;
                self.unmarked = Some(message.seq);
                self.screen.message(message.sender, &self.seen(&message))
            }
            ChatEvent::Changed(message) => {
                // One that never was on this screen is news to nobody here.
                if message.seq <= self.before || message.seq > self.shown {
                    return Ok(());
                }
                let label = self.people.label(message.sender);
                self.screen.changed(message.seq.0, &label, &self.seen(&message))
            }
            ChatEvent::Typing(user) => self.screen.typing(user, &self.people),
            ChatEvent::Present(users) => self.screen.present(users, &self.people),
            ChatEvent::Presence(user, present) => self.screen.presence(user, present, &self.people),
            ChatEvent::Read(user, seq) => self.screen.read(user, seq.0, &self.people),
        }
    }

    fn view(&self, chat: &Chat) -> ChatView {
        ChatView::new(chat, self.session.me().id)
    }

    fn seen(&self, message: &Message) -> MessageView {
        MessageView::new(message, &self.people, Style::Live)
    }

    fn came_and_went(&mut self, chat: Chat) -> Result<(), Failure> {
        let ids = |chat: &Chat| chat.members.iter().map(|member| member.profile.id).collect::<HashSet<UserId>>();
        let (before, now) = (ids(&self.chat), ids(&chat));
        self.people.meet(&chat);
        self.chat = chat;
        for &user in now.difference(&before) {
            self.screen.text(&format!("* {} has joined", self.people.label(user)))?;
        }
        for &user in before.difference(&now) {
            self.screen.left(user);
            self.screen.text(&format!("* {} has left", self.people.label(user)))?;
        }
        Ok(())
    }

    async fn input(&mut self, input: Option<Input>) -> Result<(), Failure> {
        let line = match input {
            Some(Input::Line(line)) => line,
            Some(Input::Typing) => {
                self.typing().await;
                return Ok(());
            }
            Some(Input::Interrupted) => return Err(self.interrupted()),
            None => {
                self.end_input();
                return Ok(());
            }
        };
        match Line::parse(&line) {
            Ok(line) => self.take(line).await?,
            Err(failure) => self.fail(failure),
        }
        if let Some(lines) = &self.input {
            lines.taken();
        }
        Ok(())
    }

    fn interrupted(&self) -> Failure {
        if self.jobs.is_empty() {
            return Failure::interrupted("interrupted");
        }
        Failure::interrupted("interrupted; what is stored of files under way stays")
            .or_try("the same again: it goes on")
    }

    async fn take(&mut self, line: Line) -> Result<(), Failure> {
        match line {
            Line::Nothing => {}
            Line::Text(text) => self.post(Some(text), Vec::new()).await,
            Line::File(path) => self.send_file(path),
            Line::Get(file, path) => self.get_file(file, path),
            Line::Delete(seq) => {
                let (client, chat) = (self.session.client.clone(), self.chat.id);
                self.jobs.spawn(async move {
                    client.delete_message(chat, seq).await?;
                    Ok(After::Nothing)
                });
            }
            Line::Members => {
                self.screen.members(&self.view(&self.chat))?;
                self.screen.text(MemberList::from(&self.chat).to_string().trim_end())?;
            }
            Line::Help => self.screen.text(HELP)?,
            Line::Quit => self.end_input(),
        }
        Ok(())
    }

    fn end_input(&mut self) {
        self.input = None;
        let waiting = self.posts.len() + self.jobs.len();
        if self.screen.is_live() && waiting > 0 {
            self.context.talk.say(&format!("waiting for {waiting} to be done; Ctrl-C does not wait"));
        }
    }

    async fn post(&mut self, text: Option<MessageText>, files: Vec<FileId>) {
        if self.screen.is_live() && !self.is_connected() {
            let text = text.as_ref().map_or("the file", MessageText::as_str);
            self.context.talk.say(&format!("(sent when the server answers: {})", words::short(text, 60)));
        }
        match self.handle.poster().begin_post(text, files).await {
            Ok(posting) => self.posts.push(posting.posted().boxed()),
            // The next event says why the chat is closed.
            Err(error) => self.fail(error.into()),
        }
    }

    fn answered(&mut self, answer: Result<Posted, PostError>) {
        match answer {
            Ok(posted) => self.due = self.due.max(posted.seq),
            Err(error) => self.fail(error.into()),
        }
    }

    fn send_file(&mut self, path: PathBuf) {
        let (client, talk) = (self.session.client.clone(), self.context.talk.clone());
        self.jobs.spawn(async move {
            expect_file(&path).await?;
            let (file, _) = upload(&client, &talk, &path).await?;
            Ok(After::Post(file.id))
        });
    }

    fn get_file(&mut self, file: FileId, path: Option<PathBuf>) {
        let (client, talk) = (self.session.client.clone(), self.context.talk.clone());
        self.jobs.spawn(async move {
            let info = client.file(file).await?;
            Ok(After::Saved(download(&client, &talk, &info, path).await?))
        });
    }

    async fn ended(&mut self, job: Result<After, Failure>) -> Result<(), Failure> {
        match job {
            Ok(After::Nothing) => {}
            Ok(After::Post(file)) => self.post(None, vec![file]).await,
            Ok(After::Saved(received)) => return self.screen.saved(&received),
            Err(failure) => self.fail(failure),
        }
        Ok(())
    }

    fn fail(&mut self, failure: Failure) {
        self.context.talk.warn(&failure);
        self.failed.get_or_insert(failure);
    }

    fn is_connected(&self) -> bool {
        matches!(self.session.client.status(), Status::Connected { .. })
    }

    /// Tells the others, unless they know or cannot be told.
    async fn typing(&mut self) {
        let lately = self.typed.is_some_and(|told| told.elapsed() < TYPING_EVERY);
        if lately || !self.is_connected() {
            return;
        }
        self.typed = Some(Instant::now());
        // When the chat is closed, the next event says why.
        let _ = self.handle.typing().await;
    }

    async fn mark(&mut self) {
        if let Some(seq) = self.unmarked.take() {
            // Likewise.
            let _ = self.handle.read(seq).await;
        }
    }

    async fn leave(mut self) -> Result<(), Failure> {
        if let Some(seq) = self.unmarked.take() {
            self.session.ask(self.session.client.mark_read(self.chat.id, seq)).await?;
        }
        match self.failed {
            // Whoever was there has seen it.
            Some(failure) if !self.screen.is_live() => Err(failure.silent()),
            _ => Ok(()),
        }
    }
}

async fn next(input: &mut Option<Lines>) -> Option<Input> {
    match input {
        Some(input) => input.next().await,
        None => None,
    }
}
