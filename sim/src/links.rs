//! Which way between which hosts is open. Faults may overlap: a way is open
//! when nothing blocks it, and what is held waits until nothing holds it.

use std::{collections::BTreeMap, time::Duration};

use turmoil::Sim;

/// The state of all links.
#[derive(Default)]
pub struct Links {
    blocked: BTreeMap<(String, String), u32>,
    held: BTreeMap<(String, String), u32>,
}

impl Links {
    /// Nothing goes from the one to the other any more.
    pub fn block(&mut self, sim: &Sim<'_>, from: &str, to: &str) {
        let blocks = self.blocked.entry((from.to_owned(), to.to_owned())).or_default();
        *blocks += 1;
        if *blocks == 1 {
            sim.partition_oneway(from, to);
        }
    }

    /// One reason less.
    pub fn unblock(&mut self, sim: &Sim<'_>, from: &str, to: &str) {
        let way = (from.to_owned(), to.to_owned());
        let Some(blocks) = self.blocked.get_mut(&way) else { return };
        *blocks -= 1;
        if *blocks == 0 {
            self.blocked.remove(&way);
            sim.repair_oneway(from, to);
        }
    }

    /// Nothing goes between the two any more.
    pub fn cut(&mut self, sim: &Sim<'_>, a: &str, b: &str) {
        self.block(sim, a, b);
        self.block(sim, b, a);
    }

    /// One reason less.
    pub fn mend(&mut self, sim: &Sim<'_>, a: &str, b: &str) {
        self.unblock(sim, a, b);
        self.unblock(sim, b, a);
    }

    /// Everything between the two waits; not while a way between them is blocked.
    pub fn hold(&mut self, sim: &Sim<'_>, a: &str, b: &str) -> bool {
        let (one, other) = ((a.to_owned(), b.to_owned()), (b.to_owned(), a.to_owned()));
        if self.blocked.contains_key(&one) || self.blocked.contains_key(&other) {
            return false;
        }
        *self.held.entry(one).or_default() += 1;
        sim.hold(a, b);
        true
    }

    /// What waits arrives, and the way is as it was.
    pub fn release(&mut self, sim: &Sim<'_>, a: &str, b: &str) {
        self.held.remove(&(a.to_owned(), b.to_owned()));
        sim.release(a, b);
        for (from, to) in [(a, b), (b, a)] {
            if self.blocked.contains_key(&(from.to_owned(), to.to_owned())) {
                sim.partition_oneway(from, to);
            }
        }
    }

    /// How long messages between the two take, at most.
    pub fn slow(&self, sim: &Sim<'_>, a: &str, b: &str, longest: Duration) {
        sim.set_link_max_message_latency(a, b, longest);
    }
}
