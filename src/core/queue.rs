//! Which task goes to which session, and when.
