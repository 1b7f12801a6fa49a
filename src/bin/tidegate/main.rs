//! The program `tidegate`: looks into the state that jobs have stored.
//!
//! Always: it writes nothing and takes no lock. Its exit code is 0, or 1 where damage or a difference was found, or 2 where what was
//! asked for could not be done; errors go to stderr and say what to do. A reader that goes away, such as `head`, ends it silently.
#![forbid(unsafe_code)]
#![deny(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout, clippy::print_stderr)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::indexing_slicing))]

mod diff;
mod failure;
mod ls;
mod place;
mod show;
mod stats;
mod text;
mod verify;

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use failure::{Failure, Found};

/// Exactly-once stream processing inside a Rust service: its state, seen from outside.
#[derive(Parser)]
#[command(name = "tidegate", version, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Look into the state that jobs have stored
    #[command(subcommand)]
    State(State),
}

/// Reading takes no lock and disturbs no job that runs. Exit code: 0, or 1 where damage or a difference was found, or 2 where it
/// could not be done.
#[derive(Subcommand)]
enum State {
    /// List jobs with their checkpoints: id, kind, age, size, operators, and whether they are complete
    Ls {
        /// A store's directory, or a job's in it
        dir: PathBuf,
        /// Print JSON lines
        #[arg(long)]
        json: bool,
    },
    /// Print the entries of a checkpoint
    Show(show::Args),
    /// Check every checksum and every reference
    Verify {
        /// A store's directory, or a job's or a checkpoint's in it
        dir: PathBuf,
        /// Print JSON lines
        #[arg(long)]
        json: bool,
    },
    /// Print the entries that were added, removed or changed from one checkpoint to another
    Diff {
        /// A checkpoint's directory; a job's stands for its latest checkpoint
        before: PathBuf,
        /// Another one
        after: PathBuf,
        /// Print JSON lines
        #[arg(long)]
        json: bool,
    },
    /// Count entries and bytes by operator, state, key group and instance
    Stats {
        /// A checkpoint's directory; a job's stands for its latest checkpoint
        checkpoint: PathBuf,
        /// Print JSON lines, each key group included
        #[arg(long)]
        json: bool,
    },
}

fn main() -> ExitCode {
    let Command::State(command) = Cli::parse().command;
    let mut out = BufWriter::new(io::stdout().lock());
    let done = run(command, &mut out).and_then(|found| {
        out.flush()?;
        Ok(found)
    });
    match done {
        Ok(Found::Nothing) => ExitCode::SUCCESS,
        Ok(Found::Something) => ExitCode::from(1),
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(failure) => {
            // What was printed so far belongs before the error; where even that fails, there is nobody left to tell.
            drop(out.flush());
            drop(writeln!(io::stderr(), "tidegate: {failure}"));
            ExitCode::from(2)
        }
    }
}

fn run(command: State, out: &mut dyn Write) -> Result<Found, Failure> {
    match command {
        State::Ls { dir, json } => ls::run(&dir, json, out),
        State::Show(args) => show::run(&args, out),
        State::Verify { dir, json } => verify::run(&dir, json, out),
        State::Diff { before, after, json } => diff::run(&before, &after, json, out),
        State::Stats { checkpoint, json } => stats::run(&checkpoint, json, out),
    }
}
