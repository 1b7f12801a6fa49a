//! The frontier: the watermarks of all channels merged into one, and whether the task's input is active or idle.
//!
//! Always: what is emitted rises and lies above the floor; nothing is emitted before every channel has said its state. The merged
//! watermark is the minimum over the channels that hold it: those that are active and have not resumed behind it. An idle channel
//! holds nothing; an ended one counts as the end of time in the minimum, but not in the maximum that is emitted when the last
//! active channel falls idle, for an idle one may still come back. A channel whose first word is "active" holds the watermark,
//! however low: waiting for it makes no record late.
//!
//! Owned by a task and called on its thread, at marks between records; no call allocates.

use crate::time::Timestamp;

/// What changed, to be done in the order of the fields.
#[must_use = "a watermark that is not emitted fires no timer"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// Advance to this watermark.
    Watermark(Timestamp),
    /// Say that the input is active.
    Active {
        /// What was emitted last, or the floor: the watermark to say it with.
        since: Timestamp,
        /// Then advance to this watermark.
        watermark: Option<Timestamp>,
    },
    /// The input has fallen idle.
    Idle {
        /// First advance to this watermark; then say that the input is idle.
        watermark: Option<Timestamp>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Has not said its state.
    Unspoken,
    /// Active, and takes part in the minimum.
    Holding,
    /// Active again, but behind what was emitted: takes no part until it has caught up.
    Behind,
    Idle,
    Ended,
}

#[derive(Clone, Copy, Debug)]
struct Channel {
    state: State,
    watermark: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Unsaid,
    Active,
    Idle,
}

/// The merged watermark of one task's channels.
#[derive(Debug)]
pub(crate) struct Frontier {
    channels: Vec<Channel>,
    unspoken: usize,
    emitted: Timestamp,
    said: Status,
}

impl Frontier {
    /// A frontier over channels `0..channels` that emits nothing at or below `floor`, the restored watermark
    /// ([`Timestamp::NONE`] at the first start).
    pub(crate) fn new(channels: usize, floor: Timestamp) -> Self {
        let channel = Channel { state: State::Unspoken, watermark: Timestamp::NONE };
        Frontier { channels: vec![channel; channels], unspoken: channels, emitted: floor, said: Status::Unsaid }
    }

    /// True once every channel has said its state; before, no record may be handed out.
    pub(crate) fn all_spoken(&self) -> bool {
        self.unspoken == 0
    }

    /// True once the channel has said its state.
    pub(crate) fn has_spoken(&self, channel: usize) -> bool {
        self.channels.get(channel).is_some_and(|channel| channel.state != State::Unspoken)
    }

    /// The watermark that was emitted last, or the floor.
    pub(crate) fn emitted(&self) -> Timestamp {
        self.emitted
    }

    /// A watermark came through a channel. One that does not rise counts for nothing, nor does one from a channel that is not
    /// active. Nor does the end of time: the channel's end comes behind it, and that must not pass those that are idle now and come
    /// back.
    pub(crate) fn watermark(&mut self, channel: usize, watermark: Timestamp) -> Option<Output> {
        let emitted = self.emitted;
        let channel = self.channels.get_mut(channel)?;
        let active = matches!(channel.state, State::Holding | State::Behind);
        if !active || watermark <= channel.watermark || watermark == Timestamp::MAX {
            return None;
        }
        let before = std::mem::replace(&mut channel.watermark, watermark);
        if channel.state == State::Behind && watermark >= emitted {
            channel.state = State::Holding;
        } else if before > emitted {
            return None; // another channel holds the minimum
        }
        self.merge(false)
    }

    /// A channel is active, with this watermark so far. The end of time is none here either: a task that had come to it before a
    /// restart says it again first, and its end comes behind that.
    pub(crate) fn active(&mut self, channel: usize, watermark: Timestamp) -> Option<Output> {
        let watermark = if watermark == Timestamp::MAX { Timestamp::NONE } else { watermark };
        let emitted = self.emitted;
        let entry = self.channels.get_mut(channel)?;
        match entry.state {
            State::Holding | State::Behind => return self.watermark(channel, watermark),
            State::Ended => return None,
            State::Unspoken => entry.state = State::Holding,
            State::Idle if entry.watermark.max(watermark) >= emitted => entry.state = State::Holding,
            State::Idle => entry.state = State::Behind,
        }
        entry.watermark = entry.watermark.max(watermark);
        self.count_spoken();
        self.merge(false)
    }

    /// A channel expects no record for now.
    pub(crate) fn idle(&mut self, channel: usize) -> Option<Output> {
        self.leave(channel, State::Idle)
    }

    /// A channel came to the end of its data.
    pub(crate) fn ended(&mut self, channel: usize) -> Option<Output> {
        self.leave(channel, State::Ended)
    }

    fn leave(&mut self, channel: usize, state: State) -> Option<Output> {
        let channel = self.channels.get_mut(channel)?;
        if channel.state == State::Ended {
            return None;
        }
        let held = channel.state == State::Holding;
        channel.state = state;
        self.count_spoken();
        self.merge(held)
    }

    fn count_spoken(&mut self) {
        self.unspoken = self.channels.iter().filter(|channel| channel.state == State::Unspoken).count();
    }

    /// What the channels say together, after one of them changed; `held` if one that held the watermark has left.
    fn merge(&mut self, held: bool) -> Option<Output> {
        if !self.all_spoken() {
            return None;
        }
        let since = self.emitted;
        if self.only_idle_remain() {
            let watermark = if held { self.emit(self.live_maximum()) } else { None };
            let changed = std::mem::replace(&mut self.said, Status::Idle) != Status::Idle;
            return if changed { Some(Output::Idle { watermark }) } else { watermark.map(Output::Watermark) };
        }
        let watermark = self.emit(self.minimum());
        let changed = std::mem::replace(&mut self.said, Status::Active) != Status::Active;
        if changed { Some(Output::Active { since, watermark }) } else { watermark.map(Output::Watermark) }
    }

    fn only_idle_remain(&self) -> bool {
        let mut live = self.channels.iter().filter(|channel| channel.state != State::Ended).peekable();
        live.peek().is_some() && live.all(|channel| channel.state == State::Idle)
    }

    /// The minimum over the channels that hold the watermark; the end of time once all channels have ended.
    fn minimum(&self) -> Timestamp {
        let holding = self.channels.iter().filter(|channel| channel.state == State::Holding);
        let ended = self.channels.iter().all(|channel| channel.state == State::Ended);
        let none = if ended { Timestamp::MAX } else { Timestamp::NONE };
        holding.map(|channel| channel.watermark).min().unwrap_or(none)
    }

    fn live_maximum(&self) -> Timestamp {
        let live = self.channels.iter().filter(|channel| channel.state != State::Ended);
        live.map(|channel| channel.watermark).max().unwrap_or(Timestamp::NONE)
    }

    fn emit(&mut self, watermark: Timestamp) -> Option<Timestamp> {
        let rises = watermark > self.emitted;
        self.emitted = self.emitted.max(watermark);
        rises.then_some(watermark)
    }
}
