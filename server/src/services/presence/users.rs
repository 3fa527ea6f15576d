//! Who is connected where, whose grace has begun, and what is yet to be told and to be written.
//!
//! Each user is once in what is to be told and once in what is to be written, and how they stand is looked at when it is
//! done: coming and going in quick succession makes no queue, and the last word is the right one.

use super::GRACE;
use crate::store::news::Node;
use hypersend_protocol::id::UserId;
use std::collections::{BTreeSet, HashMap, HashSet};
use tokio::time::Instant;

/// Everybody who is connected or was until lately.
#[derive(Debug)]
pub(super) struct Users {
    /// Whether anything is to be written.
    shared: bool,
    people: HashMap<UserId, User>,
    /// The ends of graces; each user once.
    graces: BTreeSet<(Instant, UserId)>,
    /// Whose presence may be other than was told.
    untold: HashSet<UserId>,
    /// Whose being connected here may be other than was written.
    unwritten: HashSet<UserId>,
    /// A server whose users are being listed, and what it said meanwhile.
    listing: Option<(Node, HashMap<UserId, bool>)>,
}

/// One user.
#[derive(Debug, Default)]
struct User {
    /// How many connections there are to this server.
    here: usize,
    /// The other servers that they are connected to.
    elsewhere: Vec<Node>,
    /// When the grace ends, while they are connected to none.
    grace: Option<Instant>,
    /// What was told last.
    told: bool,
}

impl User {
    fn is_connected(&self) -> bool {
        self.here > 0 || !self.elsewhere.is_empty()
    }

    fn is_present(&self) -> bool {
        self.is_connected() || self.grace.is_some()
    }
}

impl Users {
    /// Nobody; `shared` with other servers or not.
    pub(super) fn new(shared: bool) -> Self {
        let (people, graces, listing) = (HashMap::new(), BTreeSet::new(), None);
        Self { shared, people, graces, untold: HashSet::new(), unwritten: HashSet::new(), listing }
    }

    /// Whether a user is connected to any server, or was until lately.
    pub(super) fn is_present(&self, user: UserId) -> bool {
        self.people.get(&user).is_some_and(User::is_present)
    }

    /// Whether a user is connected to this server.
    pub(super) fn is_here(&self, user: UserId) -> bool {
        self.people.get(&user).is_some_and(|user| user.here > 0)
    }

    /// A connection to this server has begun.
    pub(super) fn enter(&mut self, id: UserId) {
        let user = self.people.entry(id).or_default();
        let was_present = user.is_present();
        user.here += 1;
        if user.here == 1 && self.shared {
            self.unwritten.insert(id);
        }
        self.came(id, was_present);
    }

    /// A connection to this server has ended.
    pub(super) fn leave(&mut self, id: UserId, now: Instant) {
        let Some(user) = self.people.get_mut(&id) else { return };
        user.here = user.here.saturating_sub(1);
        if user.here == 0 && self.shared {
            self.unwritten.insert(id);
        }
        self.went(id, now);
    }

    /// Another server says whether a user is connected to it.
    pub(super) fn heard(&mut self, node: Node, id: UserId, present: bool, now: Instant) {
        if let Some((listed, meanwhile)) = &mut self.listing
            && *listed == node
        {
            meanwhile.insert(id, present);
        }
        self.set(node, id, present, now);
    }

    /// The other servers do not know that a user is connected to this one, if they are.
    pub(super) fn forgotten(&mut self, id: UserId) {
        if self.is_here(id) {
            self.unwritten.insert(id);
        }
    }

    /// The other servers may know of nobody who is connected to this one.
    pub(super) fn all_forgotten(&mut self) {
        self.unwritten.extend(self.people.iter().filter(|(_, user)| user.here > 0).map(|(&id, _)| id));
    }

    /// The users of a server are about to be listed.
    pub(super) fn begin_listing(&mut self, node: Node) {
        self.listing = Some((node, HashMap::new()));
    }

    /// These were, at some moment since then; what the server said after that moment comes after this, if it did not before.
    pub(super) fn end_listing(&mut self, users: Vec<UserId>, now: Instant) {
        let Some((node, meanwhile)) = self.listing.take() else { return };
        let mut there: HashSet<UserId> = users.into_iter().collect();
        for (user, present) in meanwhile {
            if present {
                there.insert(user)
            } else {
                there.remove(&user)
            };
        }
        self.replace(node, &there, now);
    }

    /// A server is no more.
    pub(super) fn gone(&mut self, node: Node, now: Instant) {
        self.replace(node, &HashSet::new(), now);
    }

    /// The other servers to which anybody is connected.
    pub(super) fn nodes(&self) -> HashSet<Node> {
        self.people.values().flat_map(|user| user.elsewhere.iter().copied()).collect()
    }

    /// Ends the graces that are over; gives the end of the next one.
    pub(super) fn end_graces(&mut self, now: Instant) -> Option<Instant> {
        while let Some(&(end, id)) = self.graces.first() {
            if end > now {
                return Some(end);
            }
            self.graces.pop_first();
            if let Some(user) = self.people.get_mut(&id) {
                user.grace = None;
                self.untold.insert(id);
            }
        }
        None
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.people.is_empty() && self.graces.is_empty()
    }

    pub(super) fn has_to_tell(&self) -> bool {
        !self.untold.is_empty() || !self.graces.is_empty()
    }

    pub(super) fn has_to_write(&self) -> bool {
        !self.unwritten.is_empty()
    }

    /// At most so many of those whose presence may have to be told.
    pub(super) fn take_untold(&mut self, most: usize) -> Vec<UserId> {
        take(&mut self.untold, most)
    }

    /// They could not be told of.
    pub(super) fn put_back_untold(&mut self, users: impl IntoIterator<Item = UserId>) {
        self.untold.extend(users);
    }

    /// Whether a user is present, if that has not been told; from now on it has.
    pub(super) fn tell(&mut self, id: UserId) -> Option<bool> {
        let user = self.people.get_mut(&id)?;
        let present = user.is_present();
        let is_news = std::mem::replace(&mut user.told, present) != present;
        if !present {
            self.people.remove(&id);
        }
        is_news.then_some(present)
    }

    /// At most so many of those about whom something may have to be written.
    pub(super) fn take_unwritten(&mut self, most: usize) -> Vec<UserId> {
        take(&mut self.unwritten, most)
    }

    /// It could not be written.
    pub(super) fn put_back_unwritten(&mut self, users: impl IntoIterator<Item = UserId>) {
        self.unwritten.extend(users);
    }

    fn replace(&mut self, node: Node, there: &HashSet<UserId>, now: Instant) {
        let known = self.people.iter().filter(|(_, user)| user.elsewhere.contains(&node));
        let over: Vec<UserId> = known.map(|(&id, _)| id).filter(|id| !there.contains(id)).collect();
        for id in over {
            self.set(node, id, false, now);
        }
        for &id in there {
            self.set(node, id, true, now);
        }
    }

    /// Nothing is learnt of the server whose users were to be listed.
    pub(super) fn drop_listing(&mut self) {
        self.listing = None;
    }

    fn set(&mut self, node: Node, id: UserId, present: bool, now: Instant) {
        if present {
            let user = self.people.entry(id).or_default();
            let was_present = user.is_present();
            if !user.elsewhere.contains(&node) {
                user.elsewhere.push(node);
            }
            self.came(id, was_present);
        } else if let Some(user) = self.people.get_mut(&id)
            && let Some(at) = user.elsewhere.iter().position(|&there| there == node)
        {
            user.elsewhere.swap_remove(at);
            self.went(id, now);
        }
    }

    /// A user is connected, once more or again.
    fn came(&mut self, id: UserId, was_present: bool) {
        let Some(user) = self.people.get_mut(&id) else { return };
        if let Some(end) = user.grace.take() {
            self.graces.remove(&(end, id));
        }
        if !was_present {
            // Perhaps they had just gone, and some who looked meanwhile have seen that without being told.
            user.told = false;
            self.untold.insert(id);
        }
    }

    /// A connection of a user has gone; if it was the last, the grace begins.
    fn went(&mut self, id: UserId, now: Instant) {
        let Some(user) = self.people.get_mut(&id) else { return };
        if !user.is_connected() {
            let end = now + GRACE;
            user.grace = Some(end);
            self.graces.insert((end, id));
        }
    }
}

fn take(set: &mut HashSet<UserId>, most: usize) -> Vec<UserId> {
    if set.len() <= most {
        return std::mem::take(set).into_iter().collect();
    }
    let some: Vec<UserId> = set.iter().take(most).copied().collect();
    for user in &some {
        set.remove(user);
    }
    some
}
