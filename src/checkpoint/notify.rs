//! Which "complete" a task hands to its operators.
//!
//! Always: ids rise, each is handed out once, and none at or below the checkpoint that the task was restored from. "Complete n"
//! means that everything up to n is durable, so one that was lost is made up for by any later one, and by the latest complete id
//! that an abort carries. Owned by a task and called on its thread.

use crate::ids::CheckpointId;

/// The notifications of one task.
#[derive(Debug)]
pub(crate) struct Notifications {
    latest: Option<CheckpointId>,
}

impl Notifications {
    /// Those above the checkpoint that the task was restored from.
    pub(crate) fn above(restored: Option<CheckpointId>) -> Self {
        Notifications { latest: restored }
    }

    /// A checkpoint is complete; returns it if it is to be handed out.
    #[must_use]
    pub(crate) fn complete(&mut self, id: CheckpointId) -> Option<CheckpointId> {
        let newer = Some(id) > self.latest;
        self.latest = self.latest.max(Some(id));
        newer.then_some(id)
    }

    /// Some checkpoint was given up; returns the latest complete one if it is to be handed out first.
    #[must_use]
    pub(crate) fn aborted(&mut self, latest: Option<CheckpointId>) -> Option<CheckpointId> {
        latest.and_then(|latest| self.complete(latest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a14_notifications_are_monotone() {
        let id = CheckpointId;
        let mut notifications = Notifications::above(None);
        let delivered = [
            notifications.aborted(None),
            notifications.complete(id(3)),
            notifications.aborted(Some(id(3))),
            notifications.complete(id(3)),
            notifications.complete(id(8)),
            notifications.aborted(Some(id(8))),
            notifications.complete(id(8)),
            notifications.complete(id(5)),
            notifications.aborted(Some(id(8))),
            notifications.complete(id(8)),
        ];
        let delivered: Vec<_> = delivered.into_iter().flatten().collect();
        assert_eq!(delivered, [id(3), id(8)]);
    }

    #[test]
    fn a14_a_lost_notification_is_made_up_for_by_an_abort() {
        let mut notifications = Notifications::above(Some(CheckpointId(2)));
        assert_eq!(notifications.aborted(Some(CheckpointId(4))), Some(CheckpointId(4)));
        assert_eq!(notifications.complete(CheckpointId(4)), None);
    }

    #[test]
    fn a15_a_restored_task_ignores_what_it_was_restored_from() {
        let mut notifications = Notifications::above(Some(CheckpointId(5)));
        assert_eq!(notifications.complete(CheckpointId(5)), None);
        assert_eq!(notifications.complete(CheckpointId(4)), None);
        assert_eq!(notifications.complete(CheckpointId(6)), Some(CheckpointId(6)));
    }
}
