//! Tests of a source's head: what its splits say of event time, in which order, and when they fall idle.
//!
//! A test feeds splits by hand and reads what goes down the chain as words: `r@5` is a record, `w4` a watermark, `active` and
//! `idle` the input's state, `barrier` that a barrier is to be sent on, `end` the end of data.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::task::Waker;

use super::head::{Advance, Head};
use super::sourced::{RejectPolicy, Sourced, SourcedParts, Split, SplitState};
use crate::chain::script::Out;
use crate::error::BoxError;
use crate::frame::InputState;
use crate::ids::{CheckpointId, Uid};
use crate::metrics::Counter;
use crate::operator::{Cx, Flow, OpId, Sides, Signal};
use crate::source::{Poll, Records, Source, SplitClock, SplitReader, Watermarks};
use crate::time::{Moment, Timestamp, millis};

/// By split: timestamps to hand out, and `None` for its end.
type Queues = Arc<Mutex<Vec<VecDeque<Option<i64>>>>>;

/// A source whose splits are fed by hand.
struct Hand;

struct HandReader {
    queues: Queues,
    split: usize,
}

impl Source for Hand {
    type Item = i64;
    type Position = ();
    type Reader = HandReader;

    fn splits(&self) -> Result<Vec<(String, ())>, BoxError> {
        unreachable!("the head is given its splits")
    }

    fn open(&self, _: &str, (): ()) -> Result<HandReader, BoxError> {
        unreachable!("the head is given its readers")
    }
}

impl SplitReader for HandReader {
    type Item = i64;
    type Position = ();

    fn poll(&mut self, out: &mut Records<'_, i64>, _: &Waker) -> Result<Poll, BoxError> {
        let mut queues = self.queues.lock().unwrap();
        let queue = &mut queues[self.split];
        let mut answer = Poll::Pending;
        while out.room() > 0 {
            match queue.pop_front() {
                Some(Some(time)) => out.push(time),
                Some(None) => return Ok(Poll::Ended),
                None => return Ok(answer),
            }
            answer = Poll::Ready;
        }
        Ok(answer)
    }

    fn position(&self) {}
}

/// A head with its chain, played by the test.
struct Play {
    head: Sourced<Hand>,
    out: Out,
    cx: Cx,
    queues: Queues,
    /// The chain's edge is full: nobody resumes it.
    blocked: bool,
}

/// What a split is restored with.
#[derive(Clone, Copy)]
enum Begin {
    /// With nothing: it is assigned for the first time.
    New,
    /// With this watermark.
    At(i64),
    Ended,
}

impl Play {
    /// Splits that fall idle after 50 ms, in front of a chain that is full after every `room` words.
    fn new(splits: &[Begin], floor: Timestamp, room: usize) -> Self {
        let (out, queues) = (Out::default(), Queues::default());
        queues.lock().unwrap().resize(splits.len(), VecDeque::new());
        let split = |(split, begin): (usize, &Begin)| {
            let clock = match begin {
                Begin::At(watermark) => {
                    let watermark = Timestamp::from_millis(*watermark);
                    SplitClock { highest: watermark.plus(millis(1)), watermark }
                }
                Begin::New | Begin::Ended => SplitClock::START,
            };
            let ended = matches!(begin, Begin::Ended);
            let state = SplitState { split: split.to_string(), position: (), clock, records: 0, ended, rejected: 0 };
            Split { state, reader: (!ended).then(|| HandReader { queues: queues.clone(), split }) }
        };
        let timed = Watermarks::bounded(millis(0)).on(|time: &i64| Timestamp::from_millis(*time)).step(millis(1));
        let head = Sourced::new(SourcedParts {
            source: std::sync::Weak::new(),
            operator: OpId::default(),
            uid: Uid::new("source"),
            splits: splits.iter().enumerate().map(split).collect(),
            watermarks: Some(timed.idle_after(millis(50))),
            rate: None,
            reject: RejectPolicy::Fail,
            records: Counter::default(),
            rejected: Counter::default(),
            floor,
            chain: out.link(room, |_| "r".into()),
            sides: Sides::default(),
        });
        Play { head, out, cx: Cx::default(), queues, blocked: false }
    }

    fn fresh(splits: usize) -> Self {
        Play::new(&vec![Begin::New; splits], Timestamp::NONE, usize::MAX)
    }

    fn feed(&self, split: usize, times: &[i64]) {
        self.queues.lock().unwrap()[split].extend(times.iter().copied().map(Some));
    }

    fn end(&self, split: usize) {
        self.queues.lock().unwrap()[split].push_back(None);
    }

    /// Advances until there is nothing to do at this time, and returns what came of it.
    fn run(&mut self, at_ms: u64) -> String {
        let now = Moment(millis(at_ms));
        let mut words = Vec::new();
        loop {
            let advance = self.head.advance(100, now, Waker::noop(), &mut self.cx).unwrap();
            words.extend(self.out.take());
            match advance {
                Advance::Moved => {}
                Advance::State(InputState::Active(_)) => words.push("active".into()),
                Advance::State(InputState::Idle) => words.push("idle".into()),
                Advance::Full if !self.blocked => self.signal(Signal::Resume),
                Advance::Ended(_) => {
                    self.signal(Signal::Finish);
                    self.signal(Signal::End);
                }
                Advance::Full | Advance::Nothing(_) => return words.join(" "),
                Advance::Barrier(_) => words.push("barrier".into()),
                Advance::PeerGone => unreachable!("it has no task before it"),
            }
        }
    }

    fn signal(&mut self, signal: Signal) {
        assert_eq!(self.head.signal(signal, &mut self.cx).unwrap(), Flow::Drained);
    }
}

#[test]
fn b2_the_barrier_of_a_source_comes_behind_all_that_was_read() {
    let mut play = Play::new(&[Begin::New], Timestamp::NONE, 1);
    play.blocked = true;
    play.feed(0, &[1, 2, 3]);
    assert_eq!(play.run(0), "active r@1 w0");
    // Three records were read, so the position is behind them; two of them are still to be handed on.
    let _at_once = play.head.trigger(CheckpointId(1));
    play.blocked = false;
    assert_eq!(play.run(0), "r@2 w1 r@3 w2 barrier");
}

#[test]
fn d4_a_record_wakes_an_idle_source_which_says_so_first() {
    let mut play = Play::fresh(1);
    play.feed(0, &[100]);
    assert_eq!(play.run(0), "active r@100 w99");
    assert_eq!(play.run(49), "");
    assert_eq!(play.run(50), "idle");
    assert_eq!(play.run(500), "", "it is said once");
    play.feed(0, &[110]);
    assert_eq!(play.run(501), "active r@110 w109");
}

#[test]
fn d4_a_split_that_wakes_as_the_last_other_falls_idle_leaves_the_source_active() {
    // The third split was read last, so that the next round begins with the first: once it is the one that rests.
    for waking in 0..2 {
        let resting = 1 - waking;
        let mut play = Play::fresh(3);
        play.feed(waking, &[100]);
        play.feed(resting, &[200]);
        play.run(0);
        play.feed(resting, &[210]);
        assert_eq!(play.run(30), "r@210");
        play.end(2);
        assert_eq!(play.run(40), "w99");
        assert_eq!(play.run(60), "w209");
        play.feed(waking, &[300]);
        assert_eq!(play.run(100), "r@300 w299", "split {waking} wakes");
    }
}

#[test]
fn d4_a_split_that_wakes_beside_those_that_are_behind_says_the_watermark_that_it_holds() {
    let mut play = Play::fresh(3);
    play.feed(0, &[31]);
    play.feed(1, &[11]);
    play.feed(2, &[6]);
    assert!(play.run(0).ends_with("w5"));
    play.feed(0, &[32]);
    play.feed(1, &[12]);
    play.run(30);
    assert_eq!(play.run(60), "w11", "the third is idle");
    play.feed(1, &[22]);
    assert_eq!(play.run(70), "r@22 w21");
    assert_eq!(play.run(85), "", "the first is idle");
    play.feed(2, &[7]);
    assert_eq!(play.run(90), "r@7", "it is behind");
    assert_eq!(play.run(125), "", "the second is idle");
    play.feed(0, &[10]);
    assert_eq!(play.run(130), "w31 r@10");
    assert_eq!(play.head.watermark(), Timestamp::from_millis(31));
}

#[test]
fn d5_the_time_in_which_the_chain_is_full_makes_no_split_idle() {
    let mut play = Play::new(&[Begin::New; 2], Timestamp::NONE, 1);
    assert_eq!(play.run(0), "active");
    play.feed(1, &[10, 20, 30]);
    play.blocked = true;
    assert_eq!(play.run(40), "r@10");
    play.blocked = false;
    play.signal(Signal::Resume);
    assert_eq!(play.run(540), "r@20 r@30", "the first split holds the watermark");
    play.feed(0, &[5]);
    assert_eq!(play.run(550), "r@5 w4");
    assert_eq!(play.run(589), "", "and is idle 50 ms after its own last record only");
}

#[test]
fn d7_each_split_holds_the_watermark_from_its_assignment_to_its_end() {
    let mut play = Play::fresh(2);
    play.feed(0, &[1000]);
    assert_eq!(play.run(0), "active r@1000", "the other split has not spoken, and holds");
    play.feed(1, &[10]);
    assert_eq!(play.run(1), "r@10 w9", "so its first record is not late");
    play.end(1);
    assert_eq!(play.run(2), "w999", "an ended split leaves");
    play.feed(0, &[500]);
    assert_eq!(play.run(3), "r@500", "and nothing falls");
}

#[test]
fn d7_a_restored_split_counts_from_the_watermark_that_it_had() {
    let mut play = Play::new(&[Begin::At(600), Begin::At(300)], Timestamp::from_millis(300), usize::MAX);
    assert_eq!(play.run(0), "active");
    play.end(1);
    assert_eq!(play.run(1), "w600", "without a record, for the other one is over");
}

#[test]
fn d7_a_restored_split_holds_the_watermark_and_nothing_falls_behind_the_floor() {
    let mut play =
        Play::new(&[Begin::At(600), Begin::At(300), Begin::New, Begin::Ended], Timestamp::from_millis(500), usize::MAX);
    assert_eq!(play.run(0), "active");
    play.feed(0, &[700]);
    play.feed(1, &[710]);
    let words = play.run(1);
    assert!(!words.contains('w'), "the third split is empty, and holds: {words}");
    play.feed(2, &[400]);
    assert_eq!(play.run(2), "r@400", "399 is below the floor");
    play.feed(2, &[551]);
    assert_eq!(play.run(3), "r@551 w550");
}

#[test]
fn d8_a_task_without_a_split_is_idle_from_its_first_word_and_never_says_the_last_watermark() {
    for floor in [Timestamp::NONE, Timestamp::from_millis(500)] {
        let mut play = Play::new(&[], floor, usize::MAX);
        let first = play.head.advance(100, Moment::default(), Waker::noop(), &mut play.cx).unwrap();
        assert_eq!(first, Advance::State(InputState::Idle));
        assert_eq!(play.run(0), "end");
        assert_eq!(play.head.watermark(), floor);
    }
}

#[test]
fn d11_the_last_watermark_comes_once_after_the_last_record_and_before_the_end() {
    let mut play = Play::fresh(2);
    play.feed(0, &[100]);
    play.end(0);
    assert_eq!(play.run(0), "active r@100");
    play.feed(1, &[10, 20]);
    play.end(1);
    assert_eq!(play.run(1), "r@10 w9 r@20 w19 wmax end", "nor does it take the place of another");
    assert_eq!(play.run(1000), "");
}

#[test]
fn d11_a_source_restored_behind_its_end_says_the_last_watermark_again() {
    let mut play = Play::new(&[Begin::Ended, Begin::Ended], Timestamp::NONE, usize::MAX);
    assert_eq!(play.run(0), "active wmax end");
    assert_eq!(play.run(1), "");
}

#[test]
fn a34_a_source_that_drains_comes_to_its_end_and_its_splits_have_not_ended() {
    let mut play = Play::new(&[Begin::New, Begin::New, Begin::Ended], Timestamp::NONE, usize::MAX);
    play.feed(0, &[100]);
    play.feed(1, &[50]);
    assert!(!play.run(0).contains("end"));
    play.feed(0, &[110]);
    play.head.drain();
    let words = play.run(1);
    assert!(words.ends_with("wmax end") && !words.contains("110"), "nothing more is read: {words}");
    assert!(play.head.has_drained());
    play.head.drain();
    assert_eq!(play.run(2), "", "it ends once");
}

#[test]
fn a34_a_source_that_had_ended_has_not_drained() {
    let mut play = Play::fresh(1);
    play.end(0);
    play.run(0);
    play.head.drain();
    assert_eq!((play.run(1).as_str(), play.head.has_drained()), ("", false));
}
