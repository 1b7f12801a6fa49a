//! A firing that is stopped and taken up again.

use super::*;

const KEYS: u64 = 10_000;

/// Records for all keys, in windows of 10.
fn records(time: i64) -> String {
    (0..KEYS).map(|key| format!("{key}={key}@{time},")).collect()
}

/// The results of all keys for the window [0, 10).
fn results() -> Vec<String> {
    sorted(&(0..KEYS).map(|key| format!("{key}[0,10)={key}@9 ")).collect::<String>())
}

fn assert_all_fired_once<G: Trigger + Clone>(setup: Setup<Tumbling, G>) {
    let mut script = Setup { room: 7, ..setup }.open();
    script.run(&records(5));
    let out = script.run("w9");
    assert!(script.stops as u64 > KEYS / 8, "{} stops", script.stops);
    assert_eq!(sorted(out.strip_suffix(" w9").expect("the watermark comes last")), results());
    assert_eq!(script.run("w19"), "w19");
}

#[test]
fn d14_a_firing_that_is_stopped_loses_and_repeats_nothing() {
    assert_all_fired_once(tumbling(10));
    assert_all_fired_once(Setup { lateness: 100, ..tumbling(10) });
    assert_all_fired_once(Setup { lateness: 100, ..tumbling(10) }.trigger(Purging(EventTime)));
}

#[test]
fn b3_a_firing_changes_nothing_in_a_view_that_was_taken_before() {
    let setup = Setup { room: 7, lateness: 100, ..tumbling(10) }.trigger(Purging(EventTime));
    let mut script = setup.open();
    script.run(&records(5));
    script.run("|1");
    let stored = script.stored.clone();
    let out = script.run("w9");
    assert_eq!(sorted(out.strip_suffix(" w9").unwrap()), results());
    let states = crate::chain::script::dealt(&stored, 0..GROUPS.max());
    let mut again = setup.restore(RestoredOperator { ended: false, watermark: at(8), states });
    assert_eq!(sorted(&again.run("w9")), sorted(&out));
}

#[test]
fn tables_are_emptied_for_the_next_window() {
    let mut script = tumbling(10).open();
    for round in 0..4 {
        script.run(&records(round * 10 + 5));
        let out = script.run(&format!("w{}", round * 10 + 9));
        assert_eq!(out.split_whitespace().count() as u64, KEYS + 1);
    }
}
