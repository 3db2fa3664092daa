//! Calls and returns in order of time, as a linked list from which an operation
//! is lifted when it is taken and put back when that was wrong.

/// The end of the list.
const END: usize = usize::MAX;

struct Entry {
    op: usize,
    is_call: bool,
    before: usize,
    after: usize,
}

/// The list. Entry 0 is a head before the first.
pub(super) struct Entries {
    list: Vec<Entry>,
    /// The entries of each operation's call and return.
    places: Vec<(usize, Option<usize>)>,
    returns_left: usize,
}

impl Entries {
    pub(super) fn new(intervals: impl ExactSizeIterator<Item = (u64, u64)>) -> Self {
        let mut places = vec![(0, None); intervals.len()];
        let mut moments = Vec::with_capacity(intervals.len() * 2);
        for (op, (from_us, until_us)) in intervals.enumerate() {
            // At one moment calls come before returns: operations that touch overlap.
            moments.push((from_us, false, op));
            if until_us != u64::MAX {
                moments.push((until_us, true, op));
            }
        }
        moments.sort_unstable();
        let mut list = vec![Entry { op: END, is_call: false, before: END, after: END }];
        for (_, is_return, op) in &moments {
            let at = list.len();
            if *is_return {
                places[*op].1 = Some(at);
            } else {
                places[*op].0 = at;
            }
            list[at - 1].after = at;
            list.push(Entry { op: *op, is_call: !is_return, before: at - 1, after: END });
        }
        let returns_left = moments.iter().filter(|(_, is_return, _)| *is_return).count();
        Self { list, places, returns_left }
    }

    pub(super) fn returns_left(&self) -> usize {
        self.returns_left
    }

    pub(super) fn first(&self) -> Option<usize> {
        self.next(0)
    }

    pub(super) fn next(&self, at: usize) -> Option<usize> {
        Some(self.list[at].after).filter(|&after| after != END)
    }

    /// The entry after an operation's call, which must be in the list.
    pub(super) fn after_call(&self, op: usize) -> Option<usize> {
        self.next(self.places[op].0)
    }

    /// The operation, if the entry is its call.
    pub(super) fn call(&self, at: usize) -> Option<usize> {
        let entry = &self.list[at];
        entry.is_call.then_some(entry.op)
    }

    pub(super) fn op(&self, at: usize) -> usize {
        self.list[at].op
    }

    /// Takes an operation out.
    pub(super) fn lift(&mut self, op: usize) {
        let (call, ret) = self.places[op];
        self.unlink(call);
        if let Some(ret) = ret {
            self.unlink(ret);
            self.returns_left -= 1;
        }
    }

    /// Puts the operation back that was taken out last.
    pub(super) fn unlift(&mut self, op: usize) {
        let (call, ret) = self.places[op];
        if let Some(ret) = ret {
            self.relink(ret);
            self.returns_left += 1;
        }
        self.relink(call);
    }

    fn unlink(&mut self, at: usize) {
        let (before, after) = (self.list[at].before, self.list[at].after);
        self.list[before].after = after;
        if after != END {
            self.list[after].before = before;
        }
    }

    fn relink(&mut self, at: usize) {
        let (before, after) = (self.list[at].before, self.list[at].after);
        self.list[before].after = at;
        if after != END {
            self.list[after].before = at;
        }
    }
}
