//! Watching: what somebody who follows this view lacks before its changes are enough.
//!
//! Must not live here: the changes (`follow` sends them), and how they reach anybody.

use crate::floors::{Alive, PAGE, entry};
use crate::records::unavailable;
use crate::store::Position;
use jeton_domain::error::Result;
use jeton_domain::floors::{Floors, Raised};
use jeton_domain::revision::Revision;
use std::sync::Arc;

/// What a follower lacks: all that is known, or what came after a place in this view's history. Read piece by piece, whatever is raised
/// meanwhile: a follower that took its `changes` before this joins both and misses nothing.
#[derive(Debug)]
pub struct Backlog {
    alive: Arc<Alive>,
    after: Option<Revision>,
    upto: Revision,
    next: Next,
    /// Whether each part of the view that was read held all that the log does.
    whole: bool,
}

/// What is read next.
#[derive(Clone, Copy, Debug)]
enum Next {
    /// A part of the view.
    Part(usize),
    /// What the log has after this place.
    Log(Revision),
    Nothing,
}

impl Alive {
    /// What somebody lacks who stands at `after`, or knows nothing. Everything, where that place is no part of this view's history.
    #[must_use]
    pub fn backlog(self: &Arc<Self>, after: Option<Revision>) -> Backlog {
        let view = self.read();
        let upto = view.cursor();
        let after = after.filter(|after| view.knows(*after, upto));
        Backlog { alive: Arc::clone(self), after, upto, next: Next::Part(0), whole: true }
    }
}

impl Backlog {
    /// The place that it begins after; none where it is everything.
    #[must_use]
    pub const fn after(&self) -> Option<Revision> {
        self.after
    }

    /// Where its reader stands at its end.
    #[must_use]
    pub const fn upto(&self) -> Revision {
        self.upto
    }

    /// The next piece; none at the end. What no token can be killed by any more is left out.
    ///
    /// # Errors
    /// The store, which is asked only where the view does not hold all.
    pub async fn next(&mut self) -> Result<Option<Vec<Raised>>> {
        match self.next {
            Next::Part(part) if part < Floors::PARTS => {
                self.next = Next::Part(part.saturating_add(1));
                Ok(Some(self.part(part)))
            }
            Next::Part(_) if self.whole => Ok(None),
            Next::Part(_) => self.page(self.after.unwrap_or_default()).await.map(Some),
            Next::Log(cursor) => self.page(cursor).await.map(Some),
            Next::Nothing => Ok(None),
        }
    }

    fn part(&mut self, part: usize) -> Vec<Raised> {
        let is_over = self.alive.is_over();
        let view = self.alive.read();
        self.whole &= view.is_whole();
        let lacks = |raised: &Raised| self.after.is_none_or(|after| raised.place > after) && !is_over(raised);
        view.floors().part(part).filter(lacks).collect()
    }

    /// What was dropped from memory is in the log yet. Where the place is gone from it, it answers from its beginning.
    async fn page(&mut self, cursor: Revision) -> Result<Vec<Raised>> {
        let position = Position { cursor, ..self.alive.read().position() };
        let page = self.alive.store.follow(position, PAGE).await.map_err(unavailable)?;
        self.alive.understand(cursor, &page).await?;
        self.next = match page.entries.last() {
            Some(last) if page.more => Next::Log(last.revision),
            _ => Next::Nothing,
        };
        page.entries.iter().filter_map(|logged| entry::decode(logged).transpose()).collect()
    }
}
