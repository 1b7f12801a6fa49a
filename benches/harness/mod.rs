//! What every bench shares: its arguments, its runs in turn, its lines.
//!
//! Engines that are compared run in turn in one process (by hand, tidegate, by hand, tidegate …), so that whatever else the machine does
//! falls on both; the last lines give their medians, and the ratio of each to the first one's. A checksum that differs ends the bench with an error.
#![allow(dead_code, reason = "each bench uses its part")]

pub mod text;

use std::path::PathBuf;

use clap::Parser;

use crate::by_hand::Outcome;

/// The arguments of a bench.
#[derive(Debug, Parser)]
pub struct Args {
    /// Records that the sources make; left out, what the workload says.
    #[arg(long)]
    pub n: Option<u64>,
    /// Parallelism, one or more, separated by commas.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2])]
    pub p: Vec<usize>,
    /// Runs of each engine.
    #[arg(long, default_value_t = 3)]
    pub runs: usize,
    /// Distinct keys of `count`.
    #[arg(long, default_value_t = 1_000_000)]
    pub keys: u64,
    /// The text of `words`; left out, one is made.
    #[arg(long)]
    pub text: Option<PathBuf>,
    /// Run the other ways of writing it by hand in turn with the first, in place of the engine.
    #[arg(long)]
    pub variants: bool,
    /// What cargo passes to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

/// One line of the table: a workload at one parallelism.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// The workload's name in the lines.
    pub workload: &'static str,
    /// Parallelism.
    pub p: usize,
    /// Runs of each engine.
    pub runs: usize,
    /// The checksum that every engine must come to, where it is known.
    pub checksum: Option<u64>,
}

/// An engine's name in the lines, and one run of it.
pub type Contestant<'a> = (&'a str, &'a mut dyn FnMut() -> Outcome);

/// Runs the program by hand and the engine in turn, and prints the engine's time over that of the program by hand.
pub fn compare(case: Case, mut by_hand: impl FnMut() -> Outcome, mut engine: impl FnMut() -> Outcome) {
    interleave(case, &mut [("by-hand", &mut by_hand), ("tidegate", &mut engine)]);
}

/// Runs the program by hand alone.
pub fn alone(case: Case, mut by_hand: impl FnMut() -> Outcome) {
    interleave(case, &mut [("by-hand", &mut by_hand)]);
}

/// Runs all contestants in turn; each one's median time is compared with the first one's.
pub fn interleave(case: Case, contestants: &mut [Contestant<'_>]) {
    let mut seconds = vec![Vec::with_capacity(case.runs); contestants.len()];
    let mut expected = case.checksum;
    for _ in 0..case.runs {
        for ((engine, run), seconds) in contestants.iter_mut().zip(&mut seconds) {
            let outcome = run();
            print_run(case, engine, &outcome);
            let expected = *expected.get_or_insert(outcome.checksum);
            assert_eq!(outcome.checksum, expected, "the checksum of {engine} at {} p={}", case.workload, case.p);
            seconds.push(outcome.seconds);
        }
    }
    let medians: Vec<f64> = seconds.into_iter().map(median).collect();
    print_medians(case, contestants, &medians);
}

fn print_run(case: Case, engine: &str, outcome: &Outcome) {
    let Case { workload, p, .. } = case;
    let Outcome { seconds, checksum, records, late } = *outcome;
    let rate = records as f64 / seconds / 1e6;
    print!("workload={workload} engine={engine} p={p} n={records} seconds={seconds:.4} mrec_per_s={rate:.1} checksum={checksum}");
    println!("{}", if late == 0 { String::new() } else { format!(" late={late}") });
}

fn print_medians(case: Case, contestants: &[Contestant<'_>], medians: &[f64]) {
    let Case { workload, p, runs, .. } = case;
    for ((engine, _), seconds) in contestants.iter().zip(medians) {
        let ratio = seconds / medians[0];
        println!("median workload={workload} engine={engine} p={p} runs={runs} seconds={seconds:.4} ratio={ratio:.3}");
    }
}

/// The middle one, or the mean of the two in the middle; 0 of none.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => values[middle],
        _ => (values[middle - 1] + values[middle]) / 2.0,
    }
}
