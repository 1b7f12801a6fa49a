//! One bounded channel from one task to one other task, and the way back for emptied buffers and spent records.
//!
//! Always: frames arrive in the order they were sent, and no more than the bound are under way; how many records a frame has at most
//! is what its receiver wants, so that those under way are handled within a time. Buffers, and the records that a sink
//! is done with, go back to the task that allocated them: freeing memory on another thread than its allocator's costs more than
//! handling it.
//! The sender is used by the sending task's thread only, the receiver by the receiving one's.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam_channel::{Receiver, Sender, TryRecvError, TrySendError, bounded};

use super::bell::{Bell, RingOnDrop};
use crate::config::BATCH_RECORDS;
use crate::frame::{Batch, Frame, Portion};

/// Records that nobody needs any more, to be dropped where they came from.
pub(crate) type Spent = Box<dyn Send>;

/// What goes back to the sender.
struct Emptied<T> {
    batch: Batch<T>,
    _spent: Option<Spent>,
}

impl<T> fmt::Debug for Emptied<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Emptied").finish_non_exhaustive()
    }
}

/// The sending end.
#[derive(Debug)]
pub(crate) struct EdgeSender<T> {
    frames: Sender<Frame<T>>,
    emptied: Receiver<Emptied<T>>,
    receiver: RingOnDrop,
    most: usize,
    wanted: Arc<AtomicUsize>,
}

/// The receiving end.
#[derive(Debug)]
pub(crate) struct EdgeReceiver<T> {
    frames: Receiver<Frame<T>>,
    emptied: Sender<Emptied<T>>,
    sender: RingOnDrop,
    wanted: Arc<AtomicUsize>,
}

/// Why a frame was not sent; it is handed back where it may be sent later.
#[derive(Debug)]
pub(crate) enum SendError<T> {
    /// The edge holds as many frames as it may.
    Full(Frame<T>),
    /// The receiver is gone.
    Closed,
}

/// What an edge has for its receiver.
#[derive(Debug)]
pub(crate) enum Received<T> {
    /// The next frame.
    Frame(Frame<T>),
    /// Nothing for now.
    Empty,
    /// Nothing ever again: the sender is gone.
    Closed,
}

/// An edge that holds `frames` frames, between the tasks with these bells.
pub(crate) fn edge<T>(frames: usize, sender: Bell, receiver: Bell) -> (EdgeSender<T>, EdgeReceiver<T>) {
    let (frames_in, frames_out) = bounded(frames);
    let (emptied_in, emptied_out) = bounded(frames + 2);
    let (most, wanted) = (BATCH_RECORDS, Arc::new(AtomicUsize::new(Portion::up_to(BATCH_RECORDS).records())));
    (
        EdgeSender { frames: frames_in, emptied: emptied_out, receiver: RingOnDrop(receiver), most, wanted: wanted.clone() },
        EdgeReceiver { frames: frames_out, emptied: emptied_in, sender: RingOnDrop(sender), wanted },
    )
}

impl<T> EdgeSender<T> {
    /// Bounds the records of its frames otherwise.
    pub(crate) fn batches_of(self, records: usize) -> Self {
        EdgeSender { most: records.max(1), ..self }
    }

    /// How many records make a frame full, as its receiver wants it now. Looked at once a frame.
    pub(crate) fn batch(&self) -> usize {
        self.wanted.load(Ordering::Relaxed).min(self.most)
    }

    /// Sends a frame and rings the receiver's bell.
    pub(crate) fn try_send(&self, frame: Frame<T>) -> Result<(), SendError<T>> {
        match self.frames.try_send(frame) {
            Ok(()) => {
                self.receiver.0.ring();
                Ok(())
            }
            Err(TrySendError::Full(frame)) => Err(SendError::Full(frame)),
            Err(TrySendError::Disconnected(_)) => Err(SendError::Closed),
        }
    }

    /// An empty batch: one that came back, else a new one with room for a full frame.
    pub(crate) fn buffer(&self) -> Batch<T> {
        self.emptied.try_recv().map_or_else(|_| Batch::with_capacity(self.most), |emptied| emptied.batch)
    }
}

impl<T> EdgeReceiver<T> {
    /// Takes the next frame, if there is one, and rings the sender's bell.
    pub(crate) fn try_recv(&self) -> Received<T> {
        match self.frames.try_recv() {
            Ok(frame) => {
                self.sender.0.ring();
                Received::Frame(frame)
            }
            Err(TryRecvError::Empty) => Received::Empty,
            Err(TryRecvError::Disconnected) => Received::Closed,
        }
    }

    /// From now on frames are to have so many records at most.
    pub(crate) fn want(&self, records: usize) {
        self.wanted.store(records, Ordering::Relaxed);
    }

    /// Whether a frame waits.
    pub(crate) fn has_frame(&self) -> bool {
        !self.frames.is_empty()
    }

    /// Gives an emptied batch back to the sender, with what became of its records where a sink has left them.
    pub(crate) fn give_back(&self, mut batch: Batch<T>, spent: Option<Spent>) {
        if batch.has_buffer() {
            batch.clear();
            // A full return way means that the sender has buffers enough: this one may go.
            drop(self.emptied.try_send(Emptied { batch, _spent: spent }));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Wake, Waker};

    use super::*;
    use crate::frame::Close;

    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn rung(bell: &Bell, act: impl FnOnce()) -> usize {
        let count = Arc::new(Count(AtomicUsize::new(0)));
        bell.register(&Waker::from(count.clone()));
        act();
        count.0.load(Ordering::SeqCst)
    }

    #[test]
    fn sending_receiving_and_dropping_ring_the_other_side() {
        let (at_sender, at_receiver) = (Bell::default(), Bell::default());
        let (tx, rx) = edge::<u64>(1, at_sender.clone(), at_receiver.clone());
        assert_eq!(rung(&at_receiver, || tx.try_send(Frame::control(Close::End)).unwrap()), 1);
        assert!(matches!(tx.try_send(Frame::control(Close::End)), Err(SendError::Full(_))));
        assert_eq!(rung(&at_sender, || assert!(matches!(rx.try_recv(), Received::Frame(_)))), 1);
        assert_eq!(rung(&at_sender, || drop(rx)), 1);
        assert!(matches!(tx.try_send(Frame::control(Close::End)), Err(SendError::Closed)));
        assert_eq!(rung(&at_receiver, || drop(tx)), 1);
    }

    #[test]
    fn frames_sent_before_the_sender_went_are_still_received() {
        let (tx, rx) = edge::<u64>(2, Bell::default(), Bell::default());
        tx.try_send(Frame::control(Close::End)).unwrap();
        drop(tx);
        assert!(matches!(rx.try_recv(), Received::Frame(_)));
        assert!(matches!(rx.try_recv(), Received::Closed));
    }

    #[test]
    fn buffers_come_back_to_the_sender() {
        let (tx, rx) = edge::<u64>(2, Bell::default(), Bell::default());
        let mut batch = tx.buffer();
        batch.push(1, crate::time::Timestamp::NONE);
        let allocation = batch.values.as_ptr();
        rx.give_back(batch, None);
        let again = tx.buffer();
        assert_eq!(again.values.as_ptr(), allocation);
        assert!(again.is_empty());
    }
}
