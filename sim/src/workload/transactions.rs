use std::sync::atomic::Ordering::Relaxed;

use weir_check::history::{Call, Expected, Outcome};

use super::{COLD, HOT, SENDS_MAX, Worker, name};
use crate::desk::{Rests, Together};

/// Seats that transactions take.
const SEATS: u64 = 4;

impl Worker {
    /// Writes two or three streams at once, until the fate of it is known, each time at another node.
    pub(super) async fn transact(&mut self) {
        let key = format!("tx-{}-{}", self.name, self.marks + 1);
        let streams = self.streams();
        let mut parts = Vec::new();
        for stream in &streams {
            let head = self.heads[usize::try_from(*stream).unwrap_or(0)];
            let expected = if self.rng.chance(60) { Expected::Exact(head) } else { Expected::Any };
            parts.push((*stream, expected, self.marks(*stream)));
        }
        let rests = self.rng.chance(60).then(|| self.rests(&streams));
        if let Some(rests) = &rests {
            self.world.notes.open().rests.insert(key.clone(), rests.clone());
        }
        let mut node = self.node();
        for _ in 0..SENDS_MAX {
            let part = |(stream, expected, marks): &(u64, Expected, Vec<String>)| Call::Append {
                stream: name(*stream),
                expected: *expected,
                key: Some(key.clone()),
                marks: marks.clone(),
                node,
            };
            let together = Together { parts: parts.iter().map(part).collect(), rests: rests.clone() };
            let outcomes = self.client.transact(node, together).await;
            streams.iter().zip(&outcomes).for_each(|(stream, outcome)| self.learn(*stream, outcome));
            let open = outcomes.iter().any(|outcome| match outcome {
                Outcome::Ok { .. } => false,
                Outcome::Refused { code, .. } => code == "no_connection" || code == "unavailable",
                Outcome::Unknown { .. } => true,
            });
            if !open || self.world.stop.load(Relaxed) {
                return;
            }
            node = 1 + node % self.world.nodes;
        }
    }

    /// The version of a stream that is not written, and a seat that is free, as far as this worker knows. One that
    /// looked long ago is refused, mostly.
    fn rests(&mut self, written: &[u64]) -> Rests {
        let mut checked = self.stream();
        while written.contains(&checked) {
            checked = HOT + self.rng.within(0..COLD);
        }
        let version = self.heads[usize::try_from(checked).unwrap_or(0)];
        let after = if self.rng.chance(10) { self.position / 2 } else { self.position };
        Rests { stream: name(checked), version, seat: self.rng.within(0..SEATS), after }
    }

    /// Two or three streams, one at least of which others write.
    fn streams(&mut self) -> Vec<u64> {
        let mut streams = vec![self.rng.within(0..HOT)];
        for _ in 0..self.rng.within(1..3) {
            let another = if self.rng.chance(20) { self.account().unwrap_or(0) } else { self.stream() };
            if !streams.contains(&another) {
                streams.push(another);
            }
        }
        streams
    }
}
