//! Consumers outside the cluster: one of JetStream, which is given some events
//! again, and one subscriber, which is cut off now and then.

use super::model::Model;
use crate::{
    history::{Call, CaughtUp, Filter, Outcome, Seen, Source},
    rng::Rng,
};

/// A consumer's place in the log.
pub(super) struct Consumer {
    name: &'static str,
    source: Source,
    after: u64,
}

impl Consumer {
    pub(super) fn both() -> [Self; 2] {
        let consumer = |name, source| Self { name, source, after: 0 };
        [consumer("bus", Source::JetStream), consumer("subscriber", Source::Subscription)]
    }

    /// What it saw since the last time; to the end of the log if `complete`.
    pub(super) fn observe(&mut self, model: &Model, rng: &mut Rng, complete: bool) -> (Call, Outcome) {
        let after = self.after;
        let cut = self.source == Source::Subscription && !complete && rng.chance(20);
        let until = if cut { after.midpoint(model.end()) } else { model.end() };
        let mut events = model.stretch(after, until);
        if self.source == Source::JetStream && events.len() > 3 {
            let repeat = events[1].clone();
            events.insert(3, repeat);
        }
        let gap_to = cut.then_some(model.end());
        self.after = gap_to.unwrap_or(until);
        let complete_to = complete.then_some(until);
        let caught_up = (self.source == Source::Subscription && !cut)
            .then_some(CaughtUp { position: until, events: events.len() as u64 });
        let (consumer, source, filter) = (self.name.to_owned(), self.source, Filter::All);
        let call = Call::Observe { consumer, source, filter, after };
        (call, Outcome::Ok { seen: Seen::Observed { events, gap_to, complete_to, caught_up } })
    }
}
