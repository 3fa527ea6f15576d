//! Shares a capacity among the sessions that want more than there is: each gets the same, and what one does not want goes to
//! the others (max-min fairness).
//!
//! In rounds of [`ROUND`], the bytes that the capacity allows are handed out as credit: in equal parts to the sessions that
//! had something to send lately, none more than it is likely to use, then what is left again in equal parts
//! to those who had too little. A datagram is paid for with credit or dropped, and of datagrams that come together as many
//! go on as there is credit for; nothing waits here, because a queue would only add delay that the congestion control of
//! the two ends has to find out about. Credit that does not suffice for a datagram is kept, as in deficit round robin
//! (Shreedhar and Varghese, 1995), so large datagrams are no disadvantage.
//!
//! What has been passed on is never more than the capacity times the time, [`CATCH_UP`] of it, and [`FLOOR`] for each session.

use std::time::Duration;

/// How often credit is handed out. Short beside a round trip, long beside the handing out to 10,000 sessions.
pub(crate) const ROUND: Duration = Duration::from_millis(10);

/// Credit that a session may keep while it is quiet, in bytes: one batch of segments as a kernel hands it over.
pub(crate) const FLOOR: u64 = 64 << 10;

/// The most that is handed out in one round after a time in which nobody wanted anything.
pub(crate) const CATCH_UP: Duration = Duration::from_millis(100);

/// How often what is left is handed out again in one round. Each time there are fewer who want it; what is then still left
/// is for the next round.
const PASSES: u32 = 8;

/// The shares of all sessions, by a session's place in the table.
pub(crate) struct Shares {
    /// Bytes in a second; none for no bound.
    capacity: Option<u64>,
    last: Duration,
    /// Bytes that are not handed out yet.
    pool: u64,
    places: Vec<Share>,
    /// Who wanted something lately. Room for all is made at the start: nothing is allocated for a datagram.
    active: Vec<usize>,
}

#[derive(Clone, Default)]
struct Share {
    credit: u64,
    /// Bytes that came lately, passed on or not: in each round it counts half of what it counted before.
    wanted: u64,
    /// The most credit it is given in this round.
    most: u64,
    active: bool,
}

impl Shares {
    pub(crate) fn new(capacity: Option<u64>, sessions: usize) -> Self {
        let sessions = if capacity.is_some() { sessions } else { 0 };
        let (places, active) = (vec![Share::default(); sessions], Vec::with_capacity(sessions));
        Self { capacity, last: Duration::ZERO, pool: 0, places, active }
    }

    /// A session begins at this place.
    pub(crate) fn begin(&mut self, place: usize) {
        if let Some(share) = self.places.get_mut(place) {
            (share.credit, share.wanted) = (FLOOR, 0);
        }
    }

    /// How many of these bytes the session at this place may pass on: all, or as many whole segments as it has credit for.
    /// They are paid for.
    pub(crate) fn take(&mut self, now: Duration, place: usize, bytes: usize, segment: usize) -> usize {
        let Some(capacity) = self.capacity else { return bytes };
        if now.saturating_sub(self.last) >= ROUND {
            self.hand_out(now, capacity);
        }
        let share = &mut self.places[place];
        share.wanted += bytes as u64;
        if !share.active {
            share.active = true;
            self.active.push(place);
        }
        let credit = usize::try_from(share.credit).unwrap_or(usize::MAX);
        // Only the last segment may be shorter, and with it all would be granted.
        let granted = if credit >= bytes { bytes } else { credit - credit % segment };
        share.credit -= granted as u64;
        granted
    }

    fn hand_out(&mut self, now: Duration, capacity: u64) {
        self.pool = self.pool.saturating_add(in_time(capacity, now.saturating_sub(self.last)));
        self.last = now;
        self.settle();
        self.pool = self.pool.min(in_time(capacity, CATCH_UP));

        let mut hungry = self.active.len();
        for _ in 0..PASSES {
            let each = self.pool.checked_div(hungry as u64).unwrap_or(0);
            if each == 0 {
                return;
            }
            hungry = 0;
            for &place in &self.active {
                let share = &mut self.places[place];
                let room = share.most - share.credit;
                let given = room.min(each);
                share.credit += given;
                self.pool -= given;
                hungry += usize::from(given < room);
            }
        }
    }

    /// Lets go of who has wanted nothing for a while, says how much credit the others may have, and takes back what is above
    /// it. Twice what a session wanted: so it may double in every round. What it wanted fades by half, and not at once:
    /// senders pause, and one with a large datagram in every second round is no less greedy than others.
    fn settle(&mut self) {
        let (places, pool) = (&mut self.places, &mut self.pool);
        self.active.retain(|&place| {
            let share = &mut places[place];
            share.active = share.wanted > 0;
            share.most = FLOOR + 2 * share.wanted;
            share.wanted /= 2;
            let above = share.credit.saturating_sub(share.most);
            share.credit -= above;
            *pool = pool.saturating_add(above);
            share.active
        });
    }
}

/// Bytes that a capacity allows in a time, rounded down.
pub(crate) fn in_time(capacity: u64, time: Duration) -> u64 {
    u64::try_from(u128::from(capacity) * time.as_nanos() / 1_000_000_000).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_that_wants_nothing_more_is_soon_no_longer_looked_at() {
        let mut shares = Shares::new(Some(1_000_000), 2);
        (0..2).for_each(|place| shares.begin(place));
        assert_eq!(shares.take(ROUND, 0, 65_507, 65_507), 65_507);
        for round in 2..30 {
            assert_eq!(shares.take(ROUND * round, 1, 1_200, 1_200), 1_200);
        }
        assert_eq!(shares.active, [1]);
    }

    #[test]
    fn of_a_batch_that_is_too_much_whole_segments_are_granted() {
        let mut shares = Shares::new(Some(1_000), 1);
        shares.begin(0);
        assert_eq!(shares.take(ROUND, 0, 60_000, 1_200), 60_000);
        assert_eq!(shares.take(ROUND, 0, 60_000, 1_200), 4 * 1_200);
        assert_eq!(shares.take(ROUND, 0, 60_000, 1_200), 0);
    }

    #[test]
    fn a_place_that_is_taken_again_begins_anew() {
        let mut shares = Shares::new(Some(1_000), 1);
        for _ in 0..2 {
            shares.begin(0);
            assert_eq!(shares.take(ROUND, 0, 65_507, 65_507), 65_507);
            assert_eq!(shares.take(ROUND, 0, 1_200, 1_200), 0);
        }
    }
}
