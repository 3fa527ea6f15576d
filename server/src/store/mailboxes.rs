//! Mailboxes: where two people without accounts meet. What they say is in registers, as for a transfer
//! ([`signals`](super::signals)).
//!
//! The rules are here, so that backends only carry them out. A mailbox that is over is remembered for a while, and its nameplate
//! is free at once: a side that was away is to learn of the end, and of the last value. It takes both sides to keep one, and
//! its sender to keep one that nobody has claimed: neither may leave behind what counts against others.

use hypersend_protocol::{
    id::{P2pId, UserId},
    limit::{MAILBOX_ABSENCE, MAILBOX_LIFETIME, MAILBOX_UNCLAIMED_ABSENCE, MAX_NAMEPLATE},
    mailbox::Nameplate,
    relay::ticket::Side,
    time::UnixMillis,
};

/// Nameplates are drawn up to here, so that they are short, until half of these are taken.
const SHORT: u32 = 999;

/// The SHA-256 of a side's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyHash(pub [u8; 32]);

/// Who is one side of a mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Participant {
    /// The hash of their key.
    pub key: KeyHash,
    /// When they were last known to hold the mailbox open.
    pub last_held: UnixMillis,
}

/// A mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mailbox {
    /// Its id, in place of a transfer's.
    pub id: P2pId,
    /// By what it is claimed.
    pub nameplate: Nameplate,
    /// When it was opened.
    pub opened: UnixMillis,
    /// Who has opened it.
    pub sender: Participant,
    /// Who has claimed it.
    pub receiver: Option<Participant>,
    /// Whether a side has left it.
    pub over: bool,
    /// From this moment on there is no such mailbox.
    pub expires: UnixMillis,
}

/// A mailbox to be opened.
#[derive(Clone, Copy, Debug)]
pub struct NewMailbox {
    /// Its id, unless it was opened before.
    pub id: P2pId,
    /// The sender's key. Who opens with the same again gets the same mailbox.
    pub key: KeyHash,
    /// Who opens it, as far as that can be told.
    pub from: UserId,
    /// A random number, which decides about the nameplate.
    pub draw: u32,
    /// How many may be there that are not over, with this one.
    pub max_open: usize,
    /// How many of these may be from there.
    pub max_open_from_there: usize,
    /// When.
    pub now: UnixMillis,
}

/// What became of a mailbox to be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opened {
    /// It is open, now or by an earlier attempt; as it is now.
    Open(Mailbox),
    /// There are as many as there may be.
    TooMany,
    /// There are as many from there as there may be.
    TooManyFromThere,
}

/// A nameplate to be used up.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    /// Which one.
    pub nameplate: Nameplate,
    /// The receiver's key. Who claims with the same again gets the same mailbox.
    pub key: KeyHash,
    /// When.
    pub now: UnixMillis,
}

impl NewMailbox {
    /// The mailbox as it begins. `taken`: the nameplates of those that are not over, from the smallest.
    pub fn mailbox(&self, taken: &[Nameplate]) -> Mailbox {
        Mailbox {
            id: self.id,
            nameplate: free(taken, self.draw),
            opened: self.now,
            sender: Participant { key: self.key, last_held: self.now },
            receiver: None,
            over: false,
            expires: self.now.plus(MAILBOX_UNCLAIMED_ABSENCE),
        }
    }
}

impl Mailbox {
    /// Whose key this is.
    pub fn side(&self, key: &KeyHash) -> Option<Side> {
        if self.sender.key == *key {
            return Some(Side::Sender);
        }
        self.receiver.is_some_and(|receiver| receiver.key == *key).then_some(Side::Receiver)
    }

    /// The mailbox when it is claimed; none when it was claimed before by somebody else.
    pub fn claimed(self, claim: &Claim) -> Option<Self> {
        match self.receiver {
            None => {
                let receiver = Participant { key: claim.key, last_held: claim.now };
                Some(Self { receiver: Some(receiver), ..self }.lasting())
            }
            Some(receiver) => (receiver.key == claim.key).then_some(self),
        }
    }

    /// The mailbox when the side whose key this is holds it open; none when it is no side's.
    pub fn held(mut self, key: &KeyHash, now: UnixMillis) -> Option<Self> {
        let holder = match self.side(key)? {
            Side::Sender => &mut self.sender,
            Side::Receiver => self.receiver.as_mut()?,
        };
        // Another server's clock may be ahead.
        holder.last_held = holder.last_held.max(now);
        Some(self.lasting())
    }

    /// The mailbox when a side has left it.
    #[must_use]
    pub fn left(self, now: UnixMillis) -> Self {
        if self.over { self } else { Self { over: true, expires: now.plus(MAILBOX_ABSENCE), ..self } }
    }

    /// The mailbox with its end where it is to be by who has held it; nothing moves the end of one that is over.
    fn lasting(self) -> Self {
        if self.over {
            return self;
        }
        let expires = match self.receiver {
            None => self.opened.plus(MAILBOX_LIFETIME).min(self.sender.last_held.plus(MAILBOX_UNCLAIMED_ABSENCE)),
            Some(receiver) => self.sender.last_held.min(receiver.last_held).plus(MAILBOX_ABSENCE),
        };
        Self { expires, ..self }
    }
}

/// A nameplate that is not taken, by a random number: so one that was given back is hardly ever the next.
fn free(taken: &[Nameplate], draw: u32) -> Nameplate {
    let short = taken.partition_point(|nameplate| nameplate.get() <= SHORT);
    let short = u32::try_from(short).unwrap_or(SHORT);
    let (end, taken_of_these) = if short <= SHORT / 2 {
        (SHORT, short)
    } else {
        (MAX_NAMEPLATE, u32::try_from(taken.len()).unwrap_or(MAX_NAMEPLATE))
    };
    let place = draw % end.saturating_sub(taken_of_these).max(1);
    // The free number at this place: each that is taken and not above it moves it up by one.
    let number = taken.iter().fold(place + 1, |number, taken| number + u32::from(taken.get() <= number));
    Nameplate::new(number).expect("fewer are taken than there are")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn plates(numbers: impl IntoIterator<Item = u32>) -> Vec<Nameplate> {
        numbers.into_iter().map(|number| Nameplate::new(number).unwrap()).collect()
    }

    #[test]
    fn every_short_number_that_is_free_may_come_and_no_other() {
        let taken = plates([1, 2, 500, 999, 1_000, 7_777]);
        let drawn: BTreeSet<_> = (0..3_000).map(|draw| free(&taken, draw).get()).collect();
        let expected: BTreeSet<_> = (1..=999).filter(|number| ![1, 2, 500, 999].contains(number)).collect();
        assert_eq!(drawn, expected);
        assert_eq!(free(&[], 998).get(), 999);
    }

    #[test]
    fn numbers_grow_longer_when_half_of_the_short_ones_are_taken() {
        let half = plates(1..=SHORT / 2);
        assert!(free(&half, u32::MAX).get() <= SHORT);
        let more = plates(1..=SHORT / 2 + 1);
        let longest = MAX_NAMEPLATE - SHORT / 2 - 2;
        assert_eq!(free(&more, longest).get(), MAX_NAMEPLATE);
        assert_eq!(free(&more, 0).get(), SHORT / 2 + 2);
        let drawn = free(&more, 123_456);
        assert!(drawn.get() > SHORT && !more.contains(&drawn));
    }
}
