//! The owner of the files of a queue: `<project>/.agent-queue/` with `inbox/`, `done/`, `failed/`,
//! `archive/`, the markers beside tasks, and `status.json`. Used by the dispatcher, the janitor and the
//! verbs `submit` and `tasks`; whoever holds a task's marker may move the task.
