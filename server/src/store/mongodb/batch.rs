//! Posts and read marks that are committed together.
//!
//! What they need is remembered from the last batch or read once for all of them, they are carried out in memory one after
//! the other, as if each were alone, and what has changed is written once: a chat in which fifty messages are posted moves
//! its end once, and so do the feeds of its members. So a message costs two inserts and a share of five round trips.

use super::{
    chats::{self, CHATS, ChatRow},
    events::Feeds,
    field::Field,
    files,
    known::Known,
    messages::{MESSAGES, MessageRow, PlaceRow},
    transaction::{Act, Result},
};
use crate::store::{
    events::Happening,
    messages::{Append, Message, NewMessage},
};
use hypersend_protocol::{
    file::FileCard,
    id::{ChatId, ClientId, FileId, Revision, Seq, UserId},
    time::UnixMillis,
};
use mongodb::{
    bson::{DateTime, Document, Uuid, doc},
    options::FindOptions,
};
use serde::Deserialize;
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::Instant,
};

/// Places in feeds that one batch takes, if it has more than one wish: 20 posts in a group of a thousand. A transaction far
/// larger would keep the others waiting, and the feeds locked against other servers.
const MAX_PLACES: usize = 20_000;

/// What is asked for.
#[derive(Clone)]
pub(super) enum Wish {
    /// `Store::append_message`.
    Post(NewMessage),
    /// `Store::mark_read`.
    Mark {
        /// Where.
        chat: ChatId,
        /// Whose mark.
        user: UserId,
        /// Up to where.
        seq: Seq,
        /// The moment.
        now: UnixMillis,
    },
}

/// What became of it.
#[derive(Clone, Copy)]
pub(super) enum Outcome {
    /// Of a post.
    Post(Append),
    /// Of a mark.
    Mark(Option<Seq>),
}

impl Wish {
    fn chat(&self) -> ChatId {
        match self {
            Self::Post(new) => new.chat,
            Self::Mark { chat, .. } => *chat,
        }
    }
}

/// What became of the first of the wishes.
pub(super) struct Done {
    /// Of each.
    pub(super) outcomes: Vec<Outcome>,
    /// Whether one of them was a message that had been posted before.
    pub(super) repeated: bool,
    /// What is known once this is committed.
    pub(super) known: Known,
}

/// Carries out the first of these wishes, as many as go together.
///
/// Whether a message was posted before is looked up at once if `careful`. Otherwise it comes out when it is written, as a
/// duplicate, and the batch has to be run again with care: looking costs a tenth of a batch, and hardly ever finds anything.
///
/// Nothing is answered by what is only remembered, be it a refusal or a message that was posted before: then the chats are read
/// before anything is written.
pub(super) async fn run(act: &mut Act, wishes: &[Wish], careful: bool, mut known: Known) -> Result<Done> {
    let ids: HashSet<ChatId> = wishes.iter().map(Wish::chat).collect();
    let mut rows = known.take_chats(&ids);
    let mut remembered = !rows.is_empty();
    if rows.len() < ids.len() {
        let unknown = ids.iter().copied().filter(|id| !rows.contains_key(id)).collect();
        rows.extend(chats::rows(act, unknown).await?);
    }
    let posted = if careful { posted_before(act, wishes).await? } else { HashMap::new() };
    let repeated = !posted.is_empty();
    loop {
        let wishes = first(wishes, &rows);
        let mut batch = Batch::load(act, wishes, rows, posted.clone(), &known).await?;
        let outcomes = batch.carry_out(act, wishes).await?;
        if batch.unwritten && std::mem::take(&mut remembered) {
            rows = chats::rows(act, ids.clone()).await?;
            continue;
        }
        batch.write(act, &mut known).await?;
        return Ok(Done { outcomes, repeated, known });
    }
}

/// As many of the wishes as take no more than [`MAX_PLACES`], and one at least.
fn first<'a>(wishes: &'a [Wish], chats: &HashMap<ChatId, ChatRow>) -> &'a [Wish] {
    let mut places = 0;
    let fits = wishes.iter().take_while(|wish| {
        places += match wish {
            Wish::Post(new) => chats.get(&new.chat).map_or(0, |chat| chat.members.len()),
            Wish::Mark { .. } => 1,
        };
        places <= MAX_PLACES
    });
    &wishes[..fits.count().max(1).min(wishes.len())]
}

/// Messages by what makes them one, with their numbers and moments.
type Posted = HashMap<(ChatId, UserId, ClientId), (Seq, UnixMillis)>;

/// What is under way.
struct Batch {
    chats: HashMap<ChatId, OpenChat>,
    posted: Posted,
    feeds: Feeds,
    messages: Vec<MessageRow>,
    postings: BTreeSet<(FileId, ChatId, Seq)>,
    /// Whether a wish was answered without anything to write, which nothing but how its chat is stands for.
    unwritten: bool,
}

/// A chat as the batch has changed it so far.
struct OpenChat {
    row: ChatRow,
    members: Vec<UserId>,
    /// Whether there is a message at its end that is not written.
    grown: bool,
    /// The members whose read marks have moved, by their places.
    moved: BTreeSet<usize>,
}

impl OpenChat {
    fn last(&self) -> Result<Seq> {
        Seq::read(self.row.last)
    }

    fn set_read(&mut self, member: usize, seq: Seq) {
        self.row.members[member].read = seq.write();
        self.moved.insert(member);
    }

    /// The statement that writes it; `None` when nothing has changed. Members are named by their places: whoever changes
    /// those changes this document too, so that one of the two begins again.
    fn statement(&self) -> Option<Document> {
        let mut set = Document::new();
        if self.grown {
            set.insert("last", self.row.last);
            set.insert("last_at", self.row.last_at);
        }
        set.extend(self.moved.iter().map(|&n| (format!("members.{n}.read"), self.row.members[n].read.into())));
        (!set.is_empty()).then(|| doc! { "q": { "_id": self.row.id }, "u": { "$set": set } })
    }
}

impl Batch {
    async fn load(
        act: &mut Act,
        wishes: &[Wish],
        rows: HashMap<ChatId, ChatRow>,
        posted: Posted,
        known: &Known,
    ) -> Result<Self> {
        let mut chats = HashMap::with_capacity(rows.len());
        for (id, row) in rows {
            chats.insert(id, OpenChat { members: row.member_ids()?, row, grown: false, moved: BTreeSet::new() });
        }
        let mut told: HashSet<UserId> = HashSet::new();
        for wish in wishes {
            match (wish, chats.get(&wish.chat())) {
                (Wish::Post(_), Some(chat)) => told.extend(&chat.members),
                (Wish::Mark { user, .. }, Some(_)) => _ = told.insert(*user),
                (_, None) => {}
            }
        }
        let feeds = Feeds::load_unknown(act, &told, known).await?;
        Ok(Self { chats, posted, feeds, messages: Vec::new(), postings: BTreeSet::new(), unwritten: false })
    }

    async fn carry_out(&mut self, act: &mut Act, wishes: &[Wish]) -> Result<Vec<Outcome>> {
        let mut outcomes = Vec::with_capacity(wishes.len());
        for wish in wishes {
            outcomes.push(match wish {
                Wish::Post(new) => {
                    let before = self.messages.len();
                    let outcome = self.post(act, new).await?;
                    self.unwritten |= self.messages.len() == before;
                    Outcome::Post(outcome)
                }
                &Wish::Mark { chat, user, seq, now } => Outcome::Mark(self.mark(chat, user, seq, now)?),
            });
        }
        Ok(outcomes)
    }

    /// Gives a message the next number of its chat, unless its sender posted one with the same client id before.
    async fn post(&mut self, act: &mut Act, new: &NewMessage) -> Result<Append> {
        let outcome = self.post_unless_refused(act, new).await?;
        if let Append::ReplyNotFound(_) | Append::FileNotFound(_) = outcome {
            // A message that was posted before is answered for, even if it could not be posted today.
            let before = posted_before(act, &[Wish::Post(new.clone())]).await?;
            let before = before.get(&(new.chat, new.sender, new.client_id));
            return Ok(before.map_or(outcome, |&(seq, at)| Append::Posted { seq, at }));
        }
        Ok(outcome)
    }

    async fn post_unless_refused(&mut self, act: &mut Act, new: &NewMessage) -> Result<Append> {
        let Some(chat) = self.chats.get_mut(&new.chat) else { return Ok(Append::NotFound) };
        let Some(sender) = chat.row.position(new.sender) else { return Ok(Append::NotFound) };
        let key = (new.chat, new.sender, new.client_id);
        if let Some(&(seq, at)) = self.posted.get(&key) {
            return Ok(Append::Posted { seq, at });
        }
        let last = chat.last()?;
        // Numbers are dense, so every one up to the last is a message.
        if let Some(seq) = new.reply_to.filter(|seq| !(Seq(1)..=last).contains(seq)) {
            return Ok(Append::ReplyNotFound(seq));
        }
        let mut cards = Vec::with_capacity(new.files.len());
        for &id in &new.files {
            let Some(file) = files::to_viewer(act, id, new.sender).await? else { return Ok(Append::FileNotFound(id)) };
            cards.push(FileCard::from(&file));
        }
        let message = Message {
            chat: new.chat,
            seq: last.next(),
            sender: new.sender,
            client_id: new.client_id,
            at: new.now,
            text: new.text.clone(),
            files: cards,
            reply_to: new.reply_to,
            deleted: None,
            revision: Revision(0),
        };
        let (seq, at) = (message.seq, message.at);
        (chat.row.last, chat.row.last_at, chat.grown) = (seq.write(), at.write(), true);
        chat.set_read(sender, seq);
        self.posted.insert(key, (seq, at));
        self.postings.extend(new.files.iter().map(|&file| (file, new.chat, seq)));
        self.messages.push(MessageRow::from(&message));
        self.feeds.announce(new.chat, at, Happening::Posted(Arc::new(message)), &chat.members);
        Ok(Append::Posted { seq, at })
    }

    /// Moves a read mark forward to `seq` or the chat's end; says where it stands.
    fn mark(&mut self, chat: ChatId, user: UserId, seq: Seq, now: UnixMillis) -> Result<Option<Seq>> {
        let open = self.chats.get_mut(&chat);
        let Some((open, member)) = open.and_then(|open| open.row.position(user).map(|member| (open, member))) else {
            self.unwritten = true;
            return Ok(None);
        };
        let (asked, seq, read) = (seq, seq.min(open.last()?), Seq::read(open.row.members[member].read)?);
        self.unwritten |= seq < asked || seq <= read;
        if seq <= read {
            return Ok(Some(read));
        }
        open.set_read(member, seq);
        self.feeds.announce(chat, now, Happening::Read(user, seq), &[user]);
        Ok(Some(seq))
    }

    async fn write(self, act: &mut Act, known: &mut Known) -> Result<()> {
        // The chats first: where another server has been quicker, it is found out before the rest is written.
        act.update_all(&CHATS, self.chats.values().filter_map(OpenChat::statement).collect()).await?;
        act.insert(&MESSAGES, &self.messages).await?;
        if !self.postings.is_empty() {
            files::post(act, &self.postings).await?;
        }
        let heads = self.feeds.write_to_know(act).await?;
        let chats = self.chats.into_iter().map(|(id, chat)| (id, chat.members, chat.row));
        known.remember(heads, chats, Instant::now());
        Ok(())
    }
}

/// What was posted before by the client ids of these wishes.
async fn posted_before(act: &mut Act, wishes: &[Wish]) -> Result<Posted> {
    #[derive(Deserialize)]
    struct Found {
        #[serde(rename = "_id")]
        id: PlaceRow,
        sender: Uuid,
        client_id: Uuid,
        at: DateTime,
    }
    let (mut clients, mut senders, mut chats) = (Vec::new(), HashSet::new(), HashSet::new());
    for wish in wishes {
        if let Wish::Post(new) = wish {
            clients.push(new.client_id.write());
            senders.insert(new.sender);
            chats.insert(new.chat);
        }
    }
    if clients.is_empty() {
        return Ok(HashMap::new());
    }
    let senders: Vec<Uuid> = senders.into_iter().map(Field::write).collect();
    let chats: Vec<Uuid> = chats.into_iter().map(Field::write).collect();
    // More than was asked for if somebody used an id in several chats, and no more than there are of those in the batch.
    let filter = doc! { "client_id": { "$in": clients }, "sender": { "$in": senders }, "_id.chat": { "$in": chats } };
    let projection = doc! { "sender": 1, "client_id": 1, "at": 1 };
    let options = FindOptions::builder().projection(projection).build();
    let found: Vec<Found> = act.all_as(&MESSAGES, filter, options).await?;
    let read = |row: Found| {
        let key = (ChatId::read(row.id.chat)?, UserId::read(row.sender)?, ClientId::read(row.client_id)?);
        Ok((key, (Seq::read(row.id.seq)?, Field::read(row.at)?)))
    };
    found.into_iter().map(read).collect()
}
