//! The account in use: what the link names, and since when.

use crate::core::Core;
use crate::core::event::AgentHome;
use crate::core::record::Record;
use crate::ids::{AccountName, OpId};
use crate::moment::Wall;

impl Core {
    /// The link as it is found while no swap is at work on it.
    pub(in crate::core) fn take_link(&mut self, link: Option<AccountName>) {
        self.link_seen.clone_from(&link);
        let Some(account) = link else { return };
        let at_rest = self.durable.swap.is_none();
        if at_rest && self.durable.active.as_ref() != Some(&account) {
            let mut at = Wall::default();
            // After a swap that was cleared by hand nobody knows who was active, but that it changed.
            if self.durable.active.is_some() || self.durable.last_op > OpId::default() {
                self.flipped_at = Some(self.now.monotonic);
                at = self.now.wall;
            }
            // Whoever made the link name it has put right what a check of ours found.
            self.end_rejection(account.clone());
            self.persist(Record::ActiveFound { account, at });
        }
    }

    pub(in crate::core) fn end_rejection(&mut self, account: AccountName) {
        if self.standing(&account).rejected.is_some() {
            self.persist(Record::RejectionOver { account, at: self.now.wall });
        }
    }

    /// Since when the link names the active account; zero when nobody knows, as of a moment that lies
    /// ahead: the clock has been set back since.
    pub(in crate::core) fn active_since(&self) -> Wall {
        let since = self.durable.active_since;
        if since <= self.now.wall { since } else { Wall::default() }
    }

    pub(in crate::core) fn active(&self) -> Option<&AccountName> {
        self.durable.active.as_ref()
    }

    /// The account on which an agent with this home works now.
    pub(in crate::core) fn account_of<'a>(
        &'a self,
        home: &'a AgentHome,
    ) -> Option<&'a AccountName> {
        match home {
            AgentHome::Homed(account) => Some(account),
            AgentHome::Linked => self.active(),
            AgentHome::Elsewhere => None,
        }
    }
}
