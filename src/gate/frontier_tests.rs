//! The sequences of the conformance list, and a property test of the frontier.

use proptest::prelude::*;

use super::{Frontier, Output};
use crate::time::Timestamp;

fn ts(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// Plays a script of `c0:10` (watermark), `c0+10` (active with a watermark, `c0+` without), `c0-` (idle), `c0.` (ended) and returns
/// what came out last.
fn play(frontier: &mut Frontier, script: &str) -> Option<Output> {
    script.split_whitespace().fold(None, |_, word| {
        let channel: usize = word[1..2].parse().unwrap();
        let time = word[3..].parse().map_or(Timestamp::NONE, ts);
        match &word[2..3] {
            ":" => frontier.watermark(channel, time),
            "+" => frontier.active(channel, time),
            "-" => frontier.idle(channel),
            "." => frontier.ended(channel),
            other => panic!("unknown event '{other}'"),
        }
    })
}

/// A frontier whose channels have all said that they are active, without a watermark.
fn started(channels: usize) -> Frontier {
    let mut frontier = Frontier::new(channels, Timestamp::NONE);
    for channel in 0..channels {
        let first = frontier.active(channel, Timestamp::NONE);
        let expected = Output::Active { since: Timestamp::NONE, watermark: None };
        assert_eq!(first, (channel + 1 == channels).then_some(expected));
    }
    frontier
}

fn watermark(millis: i64) -> Option<Output> {
    Some(Output::Watermark(ts(millis)))
}

#[test]
fn d1_the_minimum_over_active_channels_goes_out_when_it_rises() {
    let mut frontier = started(2);
    assert_eq!(play(&mut frontier, "c0:10"), None);
    assert_eq!(play(&mut frontier, "c1:5"), watermark(5));
    assert_eq!(play(&mut frontier, "c0:8"), None);
    assert_eq!(play(&mut frontier, "c1:12"), watermark(10));
    assert_eq!(frontier.emitted(), ts(10));
}

#[test]
fn d1_nothing_goes_out_before_every_channel_has_said_its_state() {
    let mut frontier = Frontier::new(3, ts(20));
    assert_eq!(play(&mut frontier, "c0+30 c1-"), None);
    assert!(!frontier.all_spoken() && frontier.has_spoken(1) && !frontier.has_spoken(2));
    assert_eq!(play(&mut frontier, "c2+25"), Some(Output::Active { since: ts(20), watermark: Some(ts(25)) }));
    assert!(frontier.all_spoken());
}

#[test]
fn d1_nothing_goes_out_at_or_below_the_floor() {
    let mut frontier = Frontier::new(2, ts(20));
    assert_eq!(play(&mut frontier, "c0+20 c1+5"), Some(Output::Active { since: ts(20), watermark: None }));
    assert_eq!(play(&mut frontier, "c0:100 c1:19"), None);
    assert_eq!(play(&mut frontier, "c1:20"), None);
    // The low channel held the watermark until it had caught up.
    assert_eq!(play(&mut frontier, "c1:21"), watermark(21));
}

#[test]
fn d2_an_idle_channel_leaves_the_minimum() {
    let mut frontier = started(2);
    assert_eq!(play(&mut frontier, "c0:10 c1:20 c0-"), watermark(20));
}

#[test]
fn d2_the_last_channel_to_fall_idle_flushes_the_maximum_first() {
    let mut frontier = started(3);
    assert_eq!(play(&mut frontier, "c0:30 c1:20 c2:10"), watermark(10));
    assert_eq!(play(&mut frontier, "c0-"), None);
    assert_eq!(play(&mut frontier, "c2-"), watermark(20));
    assert_eq!(play(&mut frontier, "c1-"), Some(Output::Idle { watermark: Some(ts(30)) }));
    assert_eq!(play(&mut frontier, "c1- c0:50"), None);
}

#[test]
fn d2_a_channel_that_held_nothing_flushes_nothing() {
    let mut frontier = started(2);
    assert_eq!(play(&mut frontier, "c0:10 c1:20 c0-"), watermark(20));
    assert_eq!(play(&mut frontier, "c0+12 c1:30"), watermark(30));
    assert_eq!(play(&mut frontier, "c1-"), None);
    assert_eq!(play(&mut frontier, "c0-"), Some(Output::Idle { watermark: None }));
    // One that is behind holds nothing either, however far those came that had fallen idle before it.
    let mut frontier = started(3);
    assert_eq!(play(&mut frontier, "c0:50 c1:10 c2:30"), watermark(10));
    assert_eq!(play(&mut frontier, "c1-"), watermark(30));
    assert_eq!(play(&mut frontier, "c1+12"), None);
    assert_eq!(play(&mut frontier, "c0- c2-"), None);
    assert_eq!(play(&mut frontier, "c1-"), Some(Output::Idle { watermark: None }));
}

#[test]
fn d2_all_channels_idle_from_the_start_say_idle_once() {
    let mut frontier = Frontier::new(2, ts(7));
    assert_eq!(play(&mut frontier, "c0- c1-"), Some(Output::Idle { watermark: None }));
    assert_eq!(play(&mut frontier, "c0-"), None);
}

#[test]
fn d3_a_channel_that_resumes_behind_neither_pulls_back_nor_holds() {
    let mut frontier = started(2);
    assert_eq!(play(&mut frontier, "c0:10 c1:20 c0-"), watermark(20));
    assert_eq!(play(&mut frontier, "c0+12"), None);
    assert_eq!(play(&mut frontier, "c0:15"), None);
    assert_eq!(play(&mut frontier, "c1:25"), watermark(25));
    // Once it has caught up, it holds again.
    assert_eq!(play(&mut frontier, "c0:26 c1:40"), watermark(26));
}

#[test]
fn d3_while_every_active_channel_is_behind_nothing_goes_out() {
    let mut frontier = started(2);
    assert_eq!(play(&mut frontier, "c0:10 c1:20 c0- c1-"), Some(Output::Idle { watermark: None }));
    assert_eq!(play(&mut frontier, "c0+12"), Some(Output::Active { since: ts(20), watermark: None }));
    assert_eq!(play(&mut frontier, "c0:19"), None);
    assert_eq!(play(&mut frontier, "c0:21"), watermark(21));
    let mut frontier = started(3);
    assert_eq!(play(&mut frontier, "c0:50 c1:10 c2:30"), watermark(10));
    assert_eq!(play(&mut frontier, "c1-"), watermark(30));
    assert_eq!(play(&mut frontier, "c1+12"), None);
    assert_eq!(play(&mut frontier, "c0- c2-"), None, "also where idle ones were further");
}

#[test]
fn d3_a_watermark_of_an_idle_channel_is_ignored() {
    let mut frontier = started(2);
    assert_eq!(play(&mut frontier, "c0:10 c1:10 c0- c0:50 c1:20"), watermark(20));
    assert_eq!(play(&mut frontier, "c0+20 c1:30"), None);
}

#[test]
fn d4_an_active_mark_goes_on_and_the_channel_counts_again() {
    let mut frontier = started(2);
    assert_eq!(play(&mut frontier, "c0:20 c1-"), watermark(20));
    assert_eq!(play(&mut frontier, "c1+5 c0:30"), watermark(30));
    assert_eq!(play(&mut frontier, "c1:30 c0:50 c1:31"), watermark(31));
    assert_eq!(play(&mut frontier, "c0- c1-"), Some(Output::Idle { watermark: Some(ts(50)) }));
    assert_eq!(play(&mut frontier, "c1+31"), Some(Output::Active { since: ts(50), watermark: None }));
}

#[test]
fn d6_an_ended_input_counts_as_the_end_of_time() {
    let mut frontier = started(2);
    assert_eq!(play(&mut frontier, "c0:10 c1:5 c1."), watermark(10));
    assert_eq!(play(&mut frontier, "c0:17"), watermark(17));
    assert_eq!(play(&mut frontier, "c1:3 c1+4 c1- c0:18"), watermark(18));
    assert_eq!(play(&mut frontier, "c0."), Some(Output::Watermark(Timestamp::MAX)));
}

#[test]
fn d6_an_ended_channel_does_not_make_the_records_of_an_idle_one_late() {
    let mut frontier = started(2);
    assert_eq!(play(&mut frontier, "c0:10 c1:20"), watermark(10));
    assert_eq!(play(&mut frontier, "c1."), None);
    assert_eq!(play(&mut frontier, "c0-"), Some(Output::Idle { watermark: None }));
    let end = Output::Active { since: ts(10), watermark: Some(Timestamp::MAX) };
    assert_eq!(play(&mut frontier, "c0."), Some(end));
}

#[test]
fn d6_the_end_of_time_does_not_pass_an_idle_channel() {
    // One split, and two ways to here: the record that comes by the idle one must not be late because the other was faster.
    let mut frontier = started(2);
    assert_eq!(play(&mut frontier, "c0:10 c1:10 c0- c1-"), Some(Output::Idle { watermark: None }));
    assert_eq!(play(&mut frontier, "c1+10"), Some(Output::Active { since: ts(10), watermark: None }));
    assert_eq!(frontier.watermark(1, Timestamp::MAX), None);
    assert_eq!(play(&mut frontier, "c1."), Some(Output::Idle { watermark: None }));
    assert_eq!(play(&mut frontier, "c0+10"), Some(Output::Active { since: ts(10), watermark: None }));
    assert_eq!(play(&mut frontier, "c0."), Some(Output::Watermark(Timestamp::MAX)));
}

#[test]
fn d6_the_last_active_input_ends_beside_an_idle_one() {
    let mut frontier = started(2);
    assert_eq!(play(&mut frontier, "c0:30 c1:20 c0- c1."), Some(Output::Idle { watermark: Some(ts(30)) }));
}

#[test]
fn d6_a_channel_that_had_ended_before_a_restart_does_not_end_time_for_an_idle_one() {
    // What it says first is what it had said last, the end of time; its end is still to come.
    let mut frontier = Frontier::new(2, ts(10));
    assert_eq!(frontier.active(0, Timestamp::MAX), None);
    assert_eq!(play(&mut frontier, "c1+10"), Some(Output::Active { since: ts(10), watermark: None }));
    assert_eq!(play(&mut frontier, "c1-"), None);
    assert_eq!(play(&mut frontier, "c0."), Some(Output::Idle { watermark: None }));
    assert_eq!(play(&mut frontier, "c1+12 c1:15"), watermark(15));
    assert_eq!(play(&mut frontier, "c1."), Some(Output::Watermark(Timestamp::MAX)));
}

#[derive(Clone, Debug)]
enum Event {
    Watermark(usize, i64),
    Active(usize, i64),
    Idle(usize),
    Ended(usize),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let channel = 0usize..3;
    let time = || prop_oneof![9 => 0i64..50, 1 => Just(i64::MAX)];
    let event = prop_oneof![
        6 => (channel.clone(), time()).prop_map(|(c, t)| Event::Watermark(c, t)),
        3 => (channel.clone(), time()).prop_map(|(c, t)| Event::Active(c, t)),
        2 => channel.clone().prop_map(Event::Idle),
        1 => channel.prop_map(Event::Ended),
    ];
    prop::collection::vec(event, 0..60)
}

/// The end of time comes once all channels have ended, whoever spoke of it before.
fn below_the_end(millis: i64) -> Timestamp {
    if millis == i64::MAX { Timestamp::NONE } else { ts(millis) }
}

/// What each channel last said.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Said {
    Nothing,
    Active,
    Idle,
    Ended,
}

proptest! {
    #[test]
    fn the_frontier_rises_above_its_floor_and_says_each_state_once(events in events(), floor in -10i64..40) {
        let mut frontier = Frontier::new(3, ts(floor));
        let mut said = [Said::Nothing; 3];
        let (mut emitted, mut status, mut highest) = (ts(floor), Said::Nothing, ts(floor));
        for event in events.into_iter().chain((0..3).map(Event::Ended)) {
            let output = match event {
                Event::Watermark(c, t) => {
                    highest = highest.max(below_the_end(t));
                    frontier.watermark(c, ts(t))
                }
                Event::Active(c, t) => {
                    highest = highest.max(below_the_end(t));
                    if said[c] != Said::Ended { said[c] = Said::Active; }
                    frontier.active(c, ts(t))
                }
                Event::Idle(c) => {
                    if said[c] != Said::Ended { said[c] = Said::Idle; }
                    frontier.idle(c)
                }
                Event::Ended(c) => {
                    said[c] = Said::Ended;
                    frontier.ended(c)
                }
            };
            let rise = match output {
                None => None,
                Some(Output::Watermark(rise)) => Some(rise),
                Some(Output::Active { since, watermark }) => {
                    prop_assert_ne!(status, Said::Active);
                    prop_assert_eq!(since, emitted);
                    status = Said::Active;
                    watermark
                }
                Some(Output::Idle { watermark }) => {
                    prop_assert_ne!(status, Said::Idle);
                    status = Said::Idle;
                    watermark
                }
            };
            if let Some(rise) = rise {
                prop_assert!(rise > emitted);
                prop_assert!(rise <= highest || said == [Said::Ended; 3]);
                emitted = rise;
            }
            let spoken = !said.contains(&Said::Nothing);
            prop_assert_eq!(frontier.all_spoken(), spoken);
            let idle = said.contains(&Said::Idle) && !said.contains(&Said::Active);
            let expected = if !spoken { Said::Nothing } else if idle { Said::Idle } else { Said::Active };
            prop_assert_eq!(status, expected);
        }
        prop_assert_eq!(emitted, Timestamp::MAX);
    }
}
