//! Savepoints, as a job's handle asks for them, and how a job is stopped with one.

use tokio::sync::oneshot;

use super::JobHandle;
use crate::actor::{RootMsg, post};
use crate::checkpoint::Purpose;
use crate::error::{Error, Result};
use crate::snapshot::{Place, Savepoint};

impl JobHandle {
    /// Writes a savepoint to this place, and waits until it is complete. The job goes on meanwhile.
    ///
    /// A savepoint is all that the job is at one moment, in a directory of its own that may be moved or copied: the state of all
    /// operators, the positions of the sources, how keys are hashed. A job starts from it, here or elsewhere, with
    /// [`Job::restore_from`](crate::Job::restore_from). It is yours: tidegate never deletes it, never goes back to it by itself after a
    /// failure, and counts it to none of the checkpoints that are kept. Nothing is committed because of it either: what sinks had
    /// prepared by then becomes visible with the next checkpoint, or with a start from the savepoint. (A job that is started from it
    /// while this one runs on commits that part as well; what comes after is then put out by both.)
    ///
    /// ```
    /// use tidegate::testing::{RecordingSink, Scripted};
    /// use tidegate::{Job, Restore, Store};
    ///
    /// # async fn of(dir: &std::path::Path) -> tidegate::Result<()> {
    /// let out = RecordingSink::new();
    /// let job = |store: &str| {
    ///     let job = Job::new("counts").store(Store::directory(dir.join(store)));
    ///     let numbers = job.source("numbers", Scripted::new([(0..100u64).collect()]).endless());
    ///     numbers.key_by(|n| n % 7).count().sink("out", out.clone());
    ///     job
    /// };
    /// let running = job("state").start().await?;
    /// let savepoint = running.savepoint(dir.join("before-the-upgrade")).await?;
    /// running.cancel().await?;
    ///
    /// let again = job("new-state").restore_from(Restore::savepoint(&savepoint)).start().await?;
    /// again.stop_with_savepoint(dir.join("at-the-end")).await?;
    /// # Ok(())
    /// # }
    /// # let dir = tempfile::tempdir().unwrap();
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(of(dir.path())).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::SavepointFailed`] with the reason where it is not taken or not completed: the job goes on all the same.
    /// [`Error::InvalidFlow`] where there is no such place. [`Error::Ended`] where the job has ended.
    pub async fn savepoint(&self, place: impl Into<Place>) -> Result<Savepoint> {
        self.ask_savepoint(place.into(), Purpose::Savepoint).await
    }

    /// Ends the job with a savepoint, and waits for both: sources read no more, the savepoint is written to this place, what sinks have
    /// prepared is committed, tasks go. Nothing is finished early: windows that are open stay in the savepoint, no timer fires, no
    /// operator hears of an end.
    ///
    /// A start from the savepoint goes on where the job stopped, and repeats nothing. So does a next start without a word on the same
    /// store, as long as the savepoint lies where it was written: the job never goes back to an older checkpoint by itself then.
    ///
    /// Where the savepoint fails, the job carries on.
    ///
    /// # Errors
    /// [`Error::SavepointFailed`] where it is not completed, and the job carries on. [`Error::FailedAfterSavepoint`] where the savepoint
    /// is complete and the job failed before all of it was committed: it is not restarted then, and a start from the savepoint commits
    /// the rest. [`Error::InvalidFlow`] where there is no such place. [`Error::Ended`] where the job has ended. How the job ended, where
    /// it did so on the way.
    pub async fn stop_with_savepoint(&self, place: impl Into<Place>) -> Result<Savepoint> {
        self.stop(place.into(), false).await
    }

    /// The same for a job that is not to go on: all that it still holds is put out before. The end of time comes to all operators, so
    /// that windows fire and event-time timers too, and then each hears that its data has ended, as at the end of a job whose sources
    /// end; only then the savepoint is written.
    ///
    /// A job can be started from the savepoint, and its sources read on where they stopped. What draining has put out early then does
    /// not come again: a window that was fired is empty, and fires once more with what is read from then on. So use it for the last stop.
    ///
    /// Where the savepoint fails, the job carries on from its latest checkpoint: nothing that draining has put out was committed.
    ///
    /// # Errors
    /// Those of [`stop_with_savepoint`](Self::stop_with_savepoint).
    pub async fn drain_with_savepoint(&self, place: impl Into<Place>) -> Result<Savepoint> {
        self.stop(place.into(), true).await
    }

    async fn stop(&self, place: Place, drain: bool) -> Result<Savepoint> {
        let savepoint = self.ask_savepoint(place, Purpose::Stop { drain }).await?;
        match self.wait().await {
            Ok(_) => Ok(savepoint),
            Err(error @ (Error::Cancelled | Error::FailedAfterSavepoint { .. })) => Err(error),
            Err(cause) => Err(Error::FailedAfterSavepoint { savepoint: savepoint.path, cause: Box::new(cause) }),
        }
    }

    async fn ask_savepoint(&self, place: Place, purpose: Purpose) -> Result<Savepoint> {
        let Some(root) = &self.leash.root else { return Err(Error::Ended) };
        let (port, answer) = oneshot::channel();
        post(root, RootMsg::Savepoint { place, purpose, port: port.into() });
        answer.await.unwrap_or(Err(Error::Ended))
    }
}
