//! What comes out of one instance.

use super::*;

/// The last time that is a multiple of 1000 is 807 ms before the end of time.
const MAX: i64 = i64::MAX;

/// The number of panes in the last snapshot.
fn kept(script: &Script<Record>) -> u64 {
    script.stored.iter().flat_map(|(_, blocks)| blocks).map(|block| block.entries).sum()
}

#[test]
fn d12_the_last_watermark_fires_everything_once() {
    let mut script = Setup { lateness: 100_000, ..tumbling(10) }.open();
    let near = MAX - 50_000;
    let out = script.run(&format!("a=1@5 a=2@{near} wmax wmax"));
    let start = near - near % 10;
    let (end, last) = (start + 10, start + 9);
    assert_eq!(out, format!("a[0,10)=1@9 a[{start},{end})=2@{last} wmax wmax"), "and cleans up nothing that has no end");
    assert_eq!(script.run("wmax |1"), "wmax |1");
    assert_eq!(kept(&script), 1);
}

#[test]
fn d14_results_come_in_order_of_time_and_before_the_watermark() {
    let mut script = tumbling(10).open();
    assert_eq!(script.run("a=1@25 b=2@5 a=3@15 w4"), "w4");
    assert_eq!(script.run("w30,b=4@31,w39"), "b[0,10)=2@9 a[10,20)=3@19 a[20,30)=1@29 w30 b[30,40)=4@39 w39");
}

#[test]
fn d21_a_record_in_no_window_is_not_late() {
    let setup = setup(Sliding::of(millis(2), millis(5)));
    let mut script = setup.open();
    assert_eq!(script.run("w100 a=1@3 a=2@5 w200"), "w100 late:2@5 w200");
    let setup = Setup { late: false, ..setup };
    setup.open().run("w100 a=1@3 a=2@5 w200");
    assert_eq!(setup.dropped.get(), 1);
}

#[test]
fn d22_a_record_goes_to_those_of_its_windows_that_are_not_late() {
    let mut script = setup(Sliding::of(millis(3000), millis(1000))).open();
    assert_eq!(script.run("w3000 a=1@2400"), "w3000");
    assert_eq!(script.run("w6000"), "a[1000,4000)=1@3999 a[2000,5000)=1@4999 w6000");
    assert_eq!(script.run("a=2@2400"), "late:2@2400");
}

#[test]
fn d22_late_records_without_a_side_output_are_counted() {
    let setup = Setup { late: false, lateness: 5, ..tumbling(10) };
    assert_eq!(setup.open().run("w13 a=1@9 w14 a=2@9 a=3@0 a=4@10"), "w13 a[0,10)=1@9 w14");
    assert_eq!(setup.dropped.get(), 2);
}

#[test]
fn d23_a_late_record_fires_the_whole_result_again() {
    let setup = Setup { lateness: 500, ..tumbling(2000) };
    let mut script = setup.open();
    assert_eq!(script.run("a=1@500 a=2@1300 w2300"), "a[0,2000)=1+2@1999 w2300");
    assert_eq!(script.run("a=3@1997 b=1@1998"), "a[0,2000)=1+2+3@1999 b[0,2000)=1@1999");
    assert_eq!(script.run("w2498 a=4@1998 w2499 a=5@1998"), "w2498 a[0,2000)=1+2+3+4@1999 w2499 late:5@1998".to_owned());
    assert_eq!(script.run("w6000 a=6@1998"), "w6000 late:6@1998");
}

#[test]
fn d23_a_purging_trigger_fires_only_what_is_new() {
    let mut script = Setup { lateness: 500, ..tumbling(2000) }.trigger(Purging(EventTime)).open();
    assert_eq!(script.run("a=1@500 a=2@1300 w2300"), "a[0,2000)=1+2@1999 w2300");
    assert_eq!(script.run("a=3@1997 a=4@1998"), "a[0,2000)=3@1999 a[0,2000)=4@1999");
    assert_eq!(script.run("w6000 a=5@1998"), "w6000 late:5@1998");
}

#[test]
fn d24_a_window_whose_lateness_has_no_end_fires_and_is_never_late() {
    let mut script = Setup { lateness: 2000, ..tumbling(1000) }.open();
    let time = MAX - 1750;
    let start = time - time % 1000;
    let (end, last) = (start + 1000, start + 999);
    assert_eq!(script.run(&format!("a=1@{time} w{last} a=2@{time}")), {
        format!("a[{start},{end})=1@{last} w{last} a[{start},{end})=1+2@{last}")
    });
    let almost = MAX - 1;
    assert_eq!(script.run(&format!("w{almost} a=3@{time} wmax")), { format!("w{almost} a[{start},{end})=1+2+3@{last} wmax") });
}

#[test]
fn d24_firing_comes_before_a_cleanup_of_the_same_time() {
    let mut script = tumbling(10).open();
    assert_eq!(script.run("a=1@5 w9 a=2@5 w19"), "a[0,10)=1@9 w9 late:2@5 w19", "its own");
    let mut script = Setup { lateness: 10, ..tumbling(10) }.open();
    assert_eq!(script.run("a=1@5 w9 a=2@15 w19 a=3@5"), "a[0,10)=1@9 w9 a[10,20)=2@19 w19 late:3@5", "another's");
}

#[test]
fn d24_cleanup_removes_contents_and_trigger_state() {
    let mut script = Setup { lateness: 10, ..tumbling(10) }.trigger(Count::of(2)).open();
    assert_eq!(script.run("a=1@5 w18 |1"), "w18 |1");
    assert_eq!(kept(&script), 1);
    assert_eq!(script.run("w19 |2"), "w19 |2");
    assert_eq!(kept(&script), 0);
    assert_eq!(script.run("b=1@25 a=2@25 a=3@25"), "a[20,30)=2+3@29", "in the same table, emptied");
}

#[test]
fn d25_a_purge_keeps_the_window_and_what_its_trigger_remembers() {
    let mut script = tumbling(10).trigger(Purging(Count::of(2))).open();
    assert_eq!(script.run("a=a@1 a=b@2 a=c@3 a=d@4 w9"), "a[0,10)=a+b@9 a[0,10)=c+d@9 w9");
    let mut script = tumbling(10).trigger(SecondAndThird).open();
    assert_eq!(script.run("a=a@1 a=b@2 a=c@3 a=d@4 w9"), "a[0,10)=a+b@9 a[0,10)=c@9 w9");
}

/// Fires and forgets at every third record, and fires at the window's end.
#[derive(Clone)]
struct EveryThirdAndEnd;

impl Trigger for EveryThirdAndEnd {
    type State = u64;

    fn on_record(&self, seen: &mut u64, _: &TriggerContext) -> TriggerResult {
        *seen += 1;
        if seen.is_multiple_of(3) { TriggerResult::FireAndPurge } else { TriggerResult::Continue }
    }

    fn on_event_time(&self, _: &mut u64, _: &TriggerContext) -> TriggerResult {
        TriggerResult::Fire
    }
}

#[test]
fn d25_a_window_that_was_purged_has_nothing_to_fire_at_its_end() {
    for lateness in [0, 100] {
        let mut script = Setup { lateness, ..tumbling(10) }.trigger(EveryThirdAndEnd).open();
        assert_eq!(script.run("a=a@1 a=b@2 a=c@3 w9"), "a[0,10)=a+b+c@9 w9");
        assert_eq!(script.run("a=a@11 a=b@12 a=c@13 a=d@14 w19"), "a[10,20)=a+b+c@19 a[10,20)=d@19 w19");
    }
}

#[test]
fn d33_windows_behind_windows_line_up() {
    let mut first = tumbling(10).open();
    let out = first.run("a=1@0 a=2@9 w9 a=3@10 a=4@19 wmax");
    assert_eq!(out, "a[0,10)=1+2@9 w9 a[10,20)=3+4@19 wmax");
    let again = out.replace("[0,10)", "").replace("[10,20)", "");
    assert_eq!(tumbling(10).open().run(&again), out, "the results of a window lie in that window");
}

#[test]
fn d34_a_record_without_a_timestamp_is_an_error_that_names_the_operator() {
    let error = tumbling(10).open().try_run("a=1@5 a=2").unwrap_err().to_string();
    assert!(error.contains("without a timestamp") && error.contains("'counts'"), "{error}");
    let error = setup(Sliding::of(millis(2), millis(5))).open().try_run("a=1").unwrap_err().to_string();
    assert!(error.contains("'counts'"), "{error}");
}

#[test]
fn a_watermark_that_stands_still_or_falls_fires_nothing_twice() {
    let mut script = Setup { lateness: 50, ..tumbling(10) }.open();
    assert_eq!(script.run("a=1@5 w9"), "a[0,10)=1@9 w9");
    assert_eq!(script.run("w9"), "w9");
    script.run("w5");
    assert_eq!(script.run("a=2@6 w20"), "a[0,10)=1+2@9 w20");
}
