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

/// The list. Entry 0 is a head before the first. Operations without a return are not in it.
pub(super) struct Entries {
    list: Vec<Entry>,
    /// The entries of each operation's call and return.
    places: Vec<(usize, usize)>,
    /// Operations without a return, by the time of their call.
    perhaps: Vec<usize>,
}

impl Entries {
    pub(super) fn new(intervals: impl ExactSizeIterator<Item = (u64, u64)>) -> Self {
        let mut places = vec![(END, END); intervals.len()];
        let mut moments = Vec::with_capacity(intervals.len() * 2);
        let mut perhaps = Vec::new();
        for (op, (from_us, until_us)) in intervals.enumerate() {
            if until_us == u64::MAX {
                perhaps.push((from_us, op));
                continue;
            }
            // At one moment calls come before returns: operations that touch overlap.
            moments.push((from_us, false, op));
            moments.push((until_us, true, op));
        }
        moments.sort_unstable();
        perhaps.sort_unstable();
        let mut list = vec![Entry { op: END, is_call: false, before: END, after: END }];
        for (_, is_return, op) in &moments {
            let at = list.len();
            if *is_return {
                places[*op].1 = at;
            } else {
                places[*op].0 = at;
            }
            list[at - 1].after = at;
            list.push(Entry { op: *op, is_call: !is_return, before: at - 1, after: END });
        }
        Self { list, places, perhaps: perhaps.into_iter().map(|(_, op)| op).collect() }
    }

    pub(super) fn first(&self) -> Option<usize> {
        self.next(0)
    }

    pub(super) fn next(&self, at: usize) -> Option<usize> {
        Some(self.list[at].after).filter(|&after| after != END)
    }

    /// The operation whose return comes first among those that are left.
    pub(super) fn first_return(&self) -> Option<usize> {
        let mut at = self.first()?;
        while self.list[at].is_call {
            at = self.next(at)?;
        }
        Some(self.list[at].op)
    }

    /// The operation, if the entry is its call.
    pub(super) fn call(&self, at: usize) -> Option<usize> {
        let entry = &self.list[at];
        entry.is_call.then_some(entry.op)
    }

    /// The operations that perhaps never happened, by the time of their call.
    pub(super) fn perhaps(&self) -> &[usize] {
        &self.perhaps
    }

    /// Takes an operation out.
    pub(super) fn lift(&mut self, op: usize) {
        let (call, ret) = self.places[op];
        if call != END {
            self.unlink(call);
            self.unlink(ret);
        }
    }

    /// Puts the operation back that was taken out last.
    pub(super) fn unlift(&mut self, op: usize) {
        let (call, ret) = self.places[op];
        if call != END {
            self.relink(ret);
            self.relink(call);
        }
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
