//! What an answer says about the length of a stream at some moment.

use super::Check;
use crate::{
    history::Operation,
    order::{Point, rank_of_sight},
};

impl Check<'_, '_> {
    /// The stream had exactly this length at a moment: within the operation if it `binds`, else before its
    /// end.
    pub(super) fn exact_sight(&mut self, op: &Operation, stream: &str, length: u64, binds: bool) {
        if !self.is_there(op, stream, length) {
            return;
        }
        let Some(line) = self.evidence.log.number(stream) else { return };
        let between = !self.inner.contains(&(line, length));
        self.verdict.hold("sight inside an append", between, &[op.id], || {
            format!("{stream} was seen at version {length}, in the middle of an append")
        });
        self.push(op, line, length, binds);
    }

    /// The stream had at least this length before the end of the operation.
    pub(super) fn least_sight(&mut self, op: &Operation, stream: &str, length: u64) {
        if !self.is_there(op, stream, length) {
            return;
        }
        if let Some(line) = self.evidence.log.number(stream) {
            self.push(op, line, length, false);
        }
    }

    fn is_there(&mut self, op: &Operation, stream: &str, length: u64) -> bool {
        let ends = self.evidence.log.length(stream);
        self.verdict.hold("sight of what is not there", length <= ends, &[op.id], || {
            format!("{stream} was seen at version {length} and ends with {ends}")
        })
    }

    fn push(&mut self, op: &Operation, line: u32, length: u64, binds: bool) {
        let (from_us, until_us) = (op.invoke_us, op.complete_us);
        let rank = rank_of_sight(length);
        self.points.push(Point { line, rank, from_us, until_us, binds, op: op.id });
    }
}
