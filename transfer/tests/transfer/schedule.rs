//! The schedule in virtual time: paths with rates, round trips, failures and deaths, driven by a list of what happens when.

use crate::support::{Dice, MIB};
use hypersend_protocol::id::ChunkIndex;
use hypersend_transfer::{
    ChunkPlan, ReceiveMap, Schedule,
    schedule::{ChunkState, Event, FIRST_RETRY, LAST_RETRY, MAX_RETRIES_WAITING, PathId, ScheduleConfig, Wish},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

/// A path as it really is.
struct Link {
    bytes_per_second: u64,
    round_trip: Duration,
    /// Of a hundred chunks, so many fail.
    failures: u64,
    busy_until: Instant,
    in_flight: BTreeSet<ChunkIndex>,
    /// The most bytes that were ever in flight.
    peak: u64,
}

struct World {
    now: Instant,
    start: Instant,
    plan: ChunkPlan,
    schedule: Schedule,
    links: BTreeMap<PathId, Link>,
    /// What will happen; the number keeps apart what happens at the same time.
    coming: BTreeMap<(Instant, u32), Event>,
    wake: Option<Instant>,
    dice: Dice,
    count: u32,
    /// How often each chunk was sent, and how often stored.
    sent: BTreeMap<ChunkIndex, u32>,
    stored: BTreeMap<ChunkIndex, u32>,
    finished: bool,
}

impl World {
    fn new(plan: ChunkPlan, map: &ReceiveMap, config: ScheduleConfig) -> Self {
        let now = Instant::now();
        Self {
            now,
            start: now,
            plan,
            schedule: Schedule::new(plan, map, config),
            links: BTreeMap::new(),
            coming: BTreeMap::new(),
            wake: None,
            dice: Dice::new(),
            count: 0,
            sent: BTreeMap::new(),
            stored: BTreeMap::new(),
            finished: false,
        }
    }

    fn of(mebibytes: u64) -> Self {
        let plan = ChunkPlan::for_size(mebibytes * MIB).unwrap();
        Self::new(plan, &ReceiveMap::new(plan.chunk_count()), ScheduleConfig::default())
    }

    fn link(&mut self, id: u32, mib_per_second: u64, round_trip_ms: u64, failures: u64) -> PathId {
        let id = PathId(id);
        let round_trip = Duration::from_millis(round_trip_ms);
        let link = Link {
            bytes_per_second: mib_per_second * MIB,
            round_trip,
            failures,
            busy_until: self.now,
            in_flight: BTreeSet::new(),
            peak: 0,
        };
        self.links.insert(id, link);
        self.later(Duration::ZERO, Event::PathUp(id));
        self.later(round_trip, Event::RoundTrip(id, round_trip));
        id
    }

    fn later(&mut self, after: Duration, event: Event) {
        self.count += 1;
        self.coming.insert((self.now + after, self.count), event);
    }

    fn run(&mut self) {
        while !self.finished && self.step() {}
        assert!(
            self.finished,
            "nothing is coming, and {} of {} chunks are stored",
            self.stored.len(),
            self.plan.chunk_count()
        );
    }

    /// Lets the next thing happen; false when nothing is left to happen.
    fn step(&mut self) -> bool {
        let event_at = self.coming.first_key_value().map(|((at, _), _)| *at);
        let Some(next) = [event_at, self.wake].into_iter().flatten().min() else { return false };
        self.now = next;
        self.wake = self.wake.filter(|wake| *wake > next);
        if event_at == Some(next) {
            let (_, event) = self.coming.pop_first().unwrap();
            self.happen(event);
        }
        while let Some(wish) = self.schedule.poll(self.now) {
            self.carry_out(wish);
        }
        true
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Stored(chunk) | Event::Failed(chunk) => {
                // What was on a dead path is lost.
                let Some(link) = self.links.values_mut().find(|link| link.in_flight.contains(&chunk)) else { return };
                link.in_flight.remove(&chunk);
                if let Event::Stored(chunk) = event {
                    *self.stored.entry(chunk).or_default() += 1;
                }
            }
            Event::PathDown(path) => {
                self.links.remove(&path);
            }
            Event::PathUp(_) | Event::RoundTrip(..) => {}
        }
        self.schedule.handle(self.now, event);
    }

    fn carry_out(&mut self, wish: Wish) {
        match wish {
            Wish::Send { chunk, path } => self.send(chunk, path),
            Wish::WakeAt(at) => {
                assert!(at > self.now, "a wish to wake in the past");
                self.wake = Some(at);
            }
            Wish::Finished => self.finished = true,
        }
    }

    fn send(&mut self, chunk: ChunkIndex, path: PathId) {
        assert_eq!(self.schedule.chunk(chunk), ChunkState::Wanted(path));
        assert!(self.links.values().all(|link| !link.in_flight.contains(&chunk)), "chunk {chunk} is in flight already");
        assert!(!self.stored.contains_key(&chunk), "chunk {chunk} is stored already");
        *self.sent.entry(chunk).or_default() += 1;

        let length = |chunk| u64::from(self.plan.chunk(chunk).unwrap().length);
        let bytes = length(chunk);
        let link = self.links.get_mut(&path).expect("a path that is up");
        link.in_flight.insert(chunk);
        link.peak = link.peak.max(link.in_flight.iter().map(|chunk| length(*chunk)).sum());
        let travel = Duration::from_micros(bytes * 1_000_000 / link.bytes_per_second);
        link.busy_until = link.busy_until.max(self.now) + travel;
        let answer = link.busy_until + link.round_trip - self.now;
        let round_trip = Event::RoundTrip(path, link.round_trip);
        let fails = self.dice.below(100) < link.failures;
        self.later(answer, round_trip);
        self.later(answer, if fails { Event::Failed(chunk) } else { Event::Stored(chunk) });
    }

    fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    fn every_chunk_stored_once(&self) {
        assert!(self.plan.chunks().all(|chunk| self.stored.get(&chunk) == Some(&1)));
        assert_eq!(self.schedule.in_flight_bytes(), 0);
        assert_eq!(self.schedule.stored_bytes(), self.plan.size());
    }
}

#[test]
fn one_path_is_kept_busy_and_sends_everything_once() {
    let mut world = World::of(500);
    world.link(1, 25, 100, 0);
    world.run();
    world.every_chunk_stored_once();
    assert!(world.sent.values().all(|&times| times == 1));
    // 500 MiB at 25 MiB/s, and one round trip.
    assert!(world.elapsed() < Duration::from_millis(20_200), "{:?}", world.elapsed());
}

#[test]
fn only_what_is_missing_is_sent() {
    let plan = ChunkPlan::for_size(20 * MIB - 7).unwrap();
    let mut map = ReceiveMap::new(plan.chunk_count());
    for chunk in [0, 1, 7, 19] {
        map.insert(ChunkIndex(chunk));
    }
    let mut world = World::new(plan, &map, ScheduleConfig::default());
    assert_eq!(world.schedule.stored_bytes(), 4 * MIB - 7);
    world.link(1, 25, 10, 0);
    world.run();
    assert_eq!(world.sent.keys().copied().collect::<Vec<_>>(), map.missing().collect::<Vec<_>>());
}

#[test]
fn nothing_to_send_is_finished_at_once_and_said_once() {
    for size in [0, 3 * MIB] {
        let plan = ChunkPlan::for_size(size).unwrap();
        let mut schedule = Schedule::new(plan, &ReceiveMap::full(plan.chunk_count()), ScheduleConfig::default());
        let now = Instant::now();
        assert_eq!(schedule.poll(now), Some(Wish::Finished));
        assert_eq!(schedule.poll(now), None);
    }
}

#[test]
fn failures_on_several_paths_lose_and_double_nothing() {
    let mut world = World::of(400);
    world.link(1, 25, 100, 10);
    world.link(2, 5, 20, 30);
    world.link(3, 100, 300, 1);
    world.run();
    world.every_chunk_stored_once();
    assert!(world.sent.values().sum::<u32>() > 400);
}

#[test]
fn paths_that_die_and_return_lose_and_double_nothing() {
    let mut world = World::of(300);
    for round in 0..20 {
        let path = PathId(round % 3);
        let at = Duration::from_millis(world.dice.below(20_000));
        world.later(at, Event::PathDown(path));
    }
    for id in 0..3 {
        world.link(id, 5, 50, 5);
    }
    while !world.finished && world.step() {
        if world.links.is_empty() {
            assert!(world.schedule.in_flight_bytes() == 0);
            world.link(9, 5, 50, 5);
        }
    }
    world.every_chunk_stored_once();
}

#[test]
fn a_dead_path_costs_only_its_chunks_in_flight() {
    let mut world = World::of(200);
    let dying = world.link(1, 25, 100, 0);
    world.link(2, 25, 100, 0);
    while world.elapsed() < Duration::from_secs(1) {
        world.step();
    }
    let lost = world.links[&dying].in_flight.clone();
    let sent_before = world.sent.len();
    assert!(lost.len() >= 4, "{lost:?}");
    world.happen(Event::PathDown(dying));
    assert!(lost.iter().all(|&chunk| world.schedule.chunk(chunk) == ChunkState::Missing));
    // They go before anything new.
    while !lost.iter().all(|chunk| world.sent[chunk] == 2) {
        assert_eq!(world.sent.len(), sent_before);
        world.step();
    }
    world.run();
    world.every_chunk_stored_once();
    let again: BTreeSet<_> = world.sent.iter().filter(|(_, times)| **times > 1).map(|(chunk, _)| *chunk).collect();
    assert_eq!(again, lost);
}

#[test]
fn the_cap_grows_to_its_ceiling_and_never_past_it() {
    let peak = |mib_per_second, round_trip_ms| {
        let mut world = World::of(400);
        let path = world.link(1, mib_per_second, round_trip_ms, 0);
        world.run();
        world.links[&path].peak
    };
    assert_eq!(peak(5, 50), 8 * MIB, "a short path stays at the floor");
    assert_eq!(peak(100, 300), 16 * MIB, "a long fat one reaches the ceiling");
    let between = peak(25, 200);
    assert!((10 * MIB..=11 * MIB).contains(&between), "twice 25 MiB/s x 200 ms is 10 MiB, not {between}");
}

#[test]
fn a_chunk_larger_than_the_cap_goes_alone() {
    let plan = ChunkPlan::parse(160 * MIB, 32 * MIB).unwrap();
    let mut world = World::new(plan, &ReceiveMap::new(5), ScheduleConfig::default());
    let path = world.link(1, 25, 100, 0);
    world.run();
    world.every_chunk_stored_once();
    assert_eq!(world.links[&path].peak, 32 * MIB);
}

#[test]
fn a_fast_path_carries_more_than_a_slow_one_beside_it() {
    let mut world = World::of(600);
    let (slow, fast) = (world.link(1, 5, 50, 0), world.link(2, 50, 50, 0));
    let mut carried = BTreeMap::from([(slow, 0), (fast, 0)]);
    while !world.finished {
        let before: BTreeMap<_, _> = world.links.iter().map(|(id, link)| (*id, link.in_flight.clone())).collect();
        world.step();
        for (id, link) in &world.links {
            *carried.get_mut(id).unwrap() += before[id].difference(&link.in_flight).count();
        }
    }
    assert!(carried[&fast] > 8 * carried[&slow], "{carried:?}");
    // 55 MiB/s together; the last chunks may be on the slow path.
    assert!(world.elapsed() < Duration::from_millis(12_900), "{:?}", world.elapsed());
}

#[test]
fn a_chunk_that_keeps_failing_waits_twice_as_long_each_time() {
    let plan = ChunkPlan::for_size(1).unwrap();
    let mut schedule = Schedule::new(plan, &ReceiveMap::new(1), ScheduleConfig::default());
    let (chunk, path) = (ChunkIndex(0), PathId(1));
    let mut now = Instant::now();
    schedule.handle(now, Event::PathUp(path));
    let mut expected = FIRST_RETRY;
    for _ in 0..20 {
        assert_eq!(schedule.poll(now), Some(Wish::Send { chunk, path }));
        assert_eq!(schedule.poll(now), None);
        schedule.handle(now, Event::Failed(chunk));
        assert_eq!(schedule.poll(now), Some(Wish::WakeAt(now + expected)));
        assert_eq!(schedule.poll(now), None, "said once");
        now += expected;
        expected = (expected * 2).min(LAST_RETRY);
    }
    assert_eq!(expected, LAST_RETRY);
}

#[test]
fn without_a_path_it_waits() {
    let plan = ChunkPlan::for_size(1).unwrap();
    let mut schedule = Schedule::new(plan, &ReceiveMap::new(1), ScheduleConfig::default());
    let now = Instant::now();
    assert_eq!(schedule.poll(now), None);
    schedule.handle(now, Event::PathDown(PathId(1)));
    schedule.handle(now, Event::RoundTrip(PathId(1), Duration::from_secs(1)));
    schedule.handle(now, Event::Failed(ChunkIndex(0)));
    schedule.handle(now, Event::Failed(ChunkIndex(99)));
    schedule.handle(now, Event::Stored(ChunkIndex(99)));
    assert_eq!(schedule.poll(now), None);
}

#[test]
fn a_late_answer_counts_wherever_its_chunk_is_by_then() {
    let plan = ChunkPlan::for_size(3 * MIB).unwrap();
    let mut schedule = Schedule::new(plan, &ReceiveMap::new(3), ScheduleConfig::default());
    let now = Instant::now();
    schedule.handle(now, Event::PathUp(PathId(1)));
    while schedule.poll(now).is_some() {}
    schedule.handle(now, Event::Failed(ChunkIndex(1)));
    schedule.handle(now, Event::PathDown(PathId(1)));
    // Chunk 0 is back in front, chunk 1 waits, chunk 2 is in flight again.
    schedule.handle(now, Event::Stored(ChunkIndex(0)));
    schedule.handle(now, Event::Stored(ChunkIndex(1)));
    schedule.handle(now, Event::PathUp(PathId(2)));
    assert_eq!(schedule.poll(now), Some(Wish::Send { chunk: ChunkIndex(2), path: PathId(2) }));
    assert_eq!(schedule.poll(now), None);
    schedule.handle(now, Event::Stored(ChunkIndex(2)));
    schedule.handle(now, Event::Stored(ChunkIndex(2)));
    assert_eq!((schedule.poll(now), schedule.in_flight_bytes()), (Some(Wish::Finished), 0));
}

#[test]
fn when_everything_fails_no_new_chunk_is_begun() {
    let mut world = World::of(4_000);
    world.link(1, 1_000, 1, 100);
    while world.elapsed() < Duration::from_mins(1) {
        world.step();
    }
    let begun = world.sent.len();
    assert!((MAX_RETRIES_WAITING..=MAX_RETRIES_WAITING + 8).contains(&begun), "{begun}");
}
