//! Operator scripts for tests: elements in as text, and the text that comes out.
//!
//! `text@5` is a record with the timestamp 5 and `text`, without a `w` in front, one without, `w7` the watermark 7, `wmax` the
//! last one, `|3` the barrier of checkpoint 3 with its snapshot, `end` the end of data. What comes out is written the same way;
//! a record of the side output `late` as `late:text@5`.
//!
//! Words are played one by one, those that are joined by commas as one batch. The script plays the task: where the output is
//! full, it resumes.

use std::sync::{Arc, Mutex};
use std::vec::Drain;

use crate::error::BoxError;
use crate::frame::{Batch, Consumer, Took};
use crate::ids::CheckpointId;
use crate::operator::{Cx, Flow, Halt, Link, Next, OperatorPart, Signal};
use crate::state::{Block, RestoredStates, StateDescriptor};
use crate::time::Timestamp;

/// Shows a record.
type Show<T> = Box<dyn Fn(&T) -> String + Send>;

/// What came out so far, of all outputs of an operator.
#[derive(Clone, Default)]
pub(crate) struct Out(Arc<Mutex<Vec<String>>>);

impl Out {
    /// The next link of an operator that is tested. It says `Full` after every `room` records and marks.
    pub(crate) fn link<T: Send + 'static>(&self, room: usize, show: impl Fn(&T) -> String + Send + 'static) -> Next<T> {
        Box::new(Collect { out: self.clone(), prefix: None, room, left: room, show: Box::new(show) })
    }

    /// The same for the side output `name`, whose marks and signals are not shown.
    pub(crate) fn side<T: Send + 'static>(&self, name: &str, show: impl Fn(&T) -> String + Send + 'static) -> Next<T> {
        Box::new(Collect {
            out: self.clone(),
            prefix: Some(format!("{name}:")),
            room: usize::MAX,
            left: usize::MAX,
            show: Box::new(show),
        })
    }

    fn say(&self, word: String) {
        self.0.lock().unwrap().push(word);
    }

    /// Takes the words out.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

/// Notes down what it gets.
struct Collect<T> {
    out: Out,
    /// Of a side output.
    prefix: Option<String>,
    room: usize,
    left: usize,
    show: Show<T>,
}

impl<T: Send> Link<T> for Collect<T> {
    fn push(&mut self, batch: &mut Batch<T>, _: &mut Cx) -> Result<Flow, Halt> {
        let all = batch.consume(self)?;
        Ok(if all && self.left > 0 { Flow::Drained } else { Flow::Full })
    }

    fn signal(&mut self, signal: Signal, _: &mut Cx) -> Result<Flow, Halt> {
        match signal {
            Signal::Resume => self.left = self.room,
            Signal::Barrier(id) if self.prefix.is_none() => self.out.say(format!("|{id}")),
            Signal::End if self.prefix.is_none() => self.out.say("end".into()),
            _ => {}
        }
        Ok(Flow::Drained)
    }
}

impl<T: Send> Consumer<T> for Collect<T> {
    type Error = Halt;

    fn records(&mut self, run: usize, values: &mut Drain<'_, T>, times: &[Timestamp]) -> Result<Took<T>, Halt> {
        for (taken, value) in values.by_ref().take(run).enumerate() {
            if self.left == 0 {
                return Ok(Took::Some(taken, Some(value)));
            }
            self.left -= 1;
            let prefix = self.prefix.as_deref().unwrap_or_default();
            let time = times.get(taken).filter(|time| time.is_some());
            let time = time.map_or_else(String::new, |time| format!("@{}", number(*time)));
            self.out.say(format!("{prefix}{}{time}", (self.show)(&value)));
        }
        Ok(Took::All)
    }

    fn mark(&mut self, watermark: Timestamp) -> Result<bool, Halt> {
        if self.prefix.is_none() {
            self.out.say(format!("w{}", number(watermark)));
        }
        Ok(true)
    }
}

fn number(time: Timestamp) -> String {
    if time == Timestamp::MAX { "max".into() } else { time.millis().to_string() }
}

fn time(text: &str) -> Timestamp {
    if text == "max" { Timestamp::MAX } else { Timestamp::from_millis(text.parse().unwrap()) }
}

/// One operator state as a snapshot has it.
pub(crate) type Stored = (StateDescriptor, Vec<Block>);

/// An operator under test.
pub(crate) struct Script<In> {
    link: Next<In>,
    out: Out,
    read: Box<dyn Fn(&str) -> In>,
    cx: Cx,
    /// How many times the output was full.
    pub(crate) stops: usize,
    /// The states of the last snapshot.
    pub(crate) stored: Vec<Stored>,
}

impl<In: Send + 'static> Script<In> {
    /// A script for `link`, whose outputs were made by `out`. `read` makes a record of its text.
    pub(crate) fn new(link: impl Link<In> + 'static, out: &Out, read: impl Fn(&str) -> In + 'static) -> Self {
        Script { link: Box::new(link), out: out.clone(), read: Box::new(read), cx: Cx::default(), stops: 0, stored: Vec::new() }
    }

    /// Plays the words, and returns what came out.
    pub(crate) fn run(&mut self, words: &str) -> String {
        self.try_run(words).unwrap()
    }

    /// Plays the words, and returns what came out, or why the operator failed.
    pub(crate) fn try_run(&mut self, words: &str) -> Result<String, BoxError> {
        for word in words.split_whitespace() {
            match word.strip_prefix('|') {
                Some(id) => self.snapshot(CheckpointId(id.parse()?))?,
                None if word == "end" => {
                    self.signal(Signal::Finish)?;
                    self.signal(Signal::End)?;
                }
                None => self.push(word)?,
            }
        }
        Ok(self.out.take().join(" "))
    }

    fn push(&mut self, words: &str) -> Result<(), BoxError> {
        let mut batch = Batch::new();
        for word in words.split(',').filter(|word| !word.is_empty()) {
            match (word.strip_prefix('w'), word.split_once('@')) {
                (Some(watermark), None) => batch.mark(time(watermark)),
                (_, Some((text, at))) => batch.push((self.read)(text), time(at)),
                (None, None) => batch.push((self.read)(word), Timestamp::NONE),
            }
        }
        while self.link.push(&mut batch, &mut self.cx).map_err(cause)? == Flow::Full {
            self.resume()?;
        }
        assert!(batch.is_empty());
        self.signal(Signal::Flush)
    }

    /// Makes room until nothing is held.
    fn resume(&mut self) -> Result<(), BoxError> {
        self.stops += 1;
        while self.link.signal(Signal::Resume, &mut self.cx).map_err(cause)? == Flow::Full {
            self.stops += 1;
        }
        Ok(())
    }

    fn signal(&mut self, signal: Signal) -> Result<(), BoxError> {
        while self.link.signal(signal, &mut self.cx).map_err(cause)? == Flow::Full {
            self.resume()?;
        }
        Ok(())
    }

    fn snapshot(&mut self, id: CheckpointId) -> Result<(), BoxError> {
        self.signal(Signal::Barrier(id))?;
        self.signal(Signal::Snapshot(id))?;
        self.stored = std::mem::take(&mut self.cx.parts).iter().flat_map(stored).collect();
        Ok(())
    }
}

fn cause(halt: Halt) -> BoxError {
    match halt {
        Halt::Error(error) => error,
        Halt::PeerGone => "the peer is gone".into(),
    }
}

fn stored(part: &OperatorPart) -> Vec<Stored> {
    let written = part.views.iter().map(|view| {
        let mut blocks = Vec::new();
        view.write(&mut |block| {
            blocks.push(block.clone());
            Ok(())
        })
        .unwrap();
        (view.descriptor().clone(), blocks)
    });
    written.collect()
}

/// What an instance with these key groups gets of the states that instances have stored.
pub(crate) fn dealt<'a>(stored: impl IntoIterator<Item = &'a Stored>, owned: std::ops::Range<u16>) -> RestoredStates {
    let mut states = std::collections::BTreeMap::new();
    for (descriptor, blocks) in stored {
        let state = states.entry(descriptor.name.clone()).or_insert_with(|| (descriptor.clone(), Vec::new()));
        state.1.extend(blocks.iter().filter(|block| block.group.is_none_or(|group| owned.contains(&group.0))).cloned());
    }
    let kept = |(name, (descriptor, blocks)): (String, (_, Vec<Block>))| (name, (descriptor, blocks.into()));
    RestoredStates { states: states.into_iter().map(kept).collect() }
}
