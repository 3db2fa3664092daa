//! The table of mutations, and how they find what to break.

mod answers;
mod outside;
mod stored;

use weir_check::{
    FinalState, History,
    history::{Call, Operation, Outcome, Seen},
    state::StoredEvent,
};

/// A run that is about to be broken.
pub struct Run {
    pub history: History,
    pub end: FinalState,
}

/// One way to break it. `mutate` says whether there was something to break.
pub struct Mutation {
    pub name: &'static str,
    /// The checker that must find it.
    pub by: &'static str,
    /// The rule that it must name.
    pub rule: &'static str,
    pub mutate: fn(&mut Run) -> bool,
}

const fn mutation(
    name: &'static str,
    by: &'static str,
    rule: &'static str,
    mutate: fn(&mut Run) -> bool,
) -> Mutation {
    Mutation { name, by, rule, mutate }
}

pub const MUTATIONS: [Mutation; 61] = [
    mutation("lose an acked append everywhere", "A1", "acked is not durable", stored::lose_acked),
    mutation(
        "lose an acked append everywhere, by stream",
        "streams",
        "acked append is lost",
        stored::lose_acked,
    ),
    mutation("lose an acked append on one node", "A1", "acked is not durable", stored::lose_acked_on_one),
    mutation("double an acked event", "A1", "acked is there twice", stored::double_acked),
    mutation("answer one event too many", "A1", "answer counts other events", answers::count_wrong),
    mutation("leave a hole in the versions", "A2", "versions have a hole or a double", stored::skip_version),
    mutation("give two events one version", "A2", "versions have a hole or a double", stored::repeat_version),
    mutation("append a repeat again", "A3", "a repeat was appended again", stored::append_repeat_again),
    mutation("answer a repeat with another place", "A3", "one key has two outcomes", answers::move_repeat),
    mutation(
        "answer two sends as the first",
        "A3",
        "two answers say that they are the first",
        answers::two_firsts,
    ),
    mutation("refuse a repeat", "A3", "repeat was refused after its acknowledgement", answers::refuse_repeat),
    mutation(
        "report a key conflict for nothing",
        "A3",
        "key conflict without other content",
        answers::key_conflict,
    ),
    mutation("take a key for two contents", "A3", "two contents of one key are there", answers::share_key),
    mutation("resurrect a refused append", "A4", "refused left something", stored::resurrect_refused),
    mutation(
        "resurrect a refused append, by stream",
        "streams",
        "refused append is there",
        stored::resurrect_refused,
    ),
    mutation("show a refused append to a reader", "A4", "refused left something", answers::show_refused),
    mutation("publish a refused append", "A4", "refused left something", outside::publish_refused),
    mutation("invent an event", "A4", "phantom", stored::invent),
    mutation("invent an event, by stream", "streams", "phantom", stored::invent),
    mutation("let one node's digest differ", "R1", "one index has two states", outside::other_digest),
    mutation("let one node's view differ", "R1", "one checkpoint has two views", outside::other_view),
    mutation("let applied fall while running", "R1", "applied fell", outside::applied_falls),
    mutation(
        "leave a hole in the positions",
        "R2",
        "positions have a hole or a double",
        stored::skip_position,
    ),
    mutation("swap two events on one node", "R2", "replicas differ", stored::swap_on_one),
    mutation("cut one node's log", "R2", "a node holds less", stored::cut_one),
    mutation("order two streams against time", "R2", "positions against real time", stored::against_time),
    mutation("stale linearizable position", "R2", "positions against real time", answers::stale_position),
    mutation("skip an event in a page of the log", "R2", "page of the log has a hole", answers::skip_in_log),
    mutation(
        "change an event in a page of the log",
        "R2",
        "position showed another event",
        answers::change_in_log,
    ),
    mutation("end a page of the log early", "R2", "page of the log is empty", answers::empty_log),
    mutation("read past the end of the log", "R2", "applied past the end", answers::applied_past_end),
    mutation("let two nodes lead one term", "W1", "two nodes led one term", outside::two_leaders),
    mutation("let a term fall", "W1", "a term fell", outside::term_falls),
    mutation("let two actors decide", "W1", "two actors decided in one term", stored::two_deciders),
    mutation("let an old leader write", "W1", "terms of a stream fell", stored::old_term),
    mutation("lose a message", "O1", "messages and events differ in number", outside::lose_message),
    mutation("swap two messages", "O1", "message is out of place", outside::swap_messages),
    mutation("change a message", "O1", "message is another event", outside::change_message),
    mutation(
        "skip an event for a consumer",
        "O1",
        "consumer was given events with a hole",
        outside::skip_for_consumer,
    ),
    mutation("withhold the end from a consumer", "O1", "consumer was not given all", outside::withhold_end),
    mutation(
        "deliver what is not committed",
        "O1",
        "delivered event is not the log's",
        outside::deliver_other,
    ),
    mutation("let a checkpoint fall", "P1", "checkpoint fell", outside::checkpoint_falls),
    mutation("let a checkpoint pass the log", "P1", "checkpoint past the end", outside::checkpoint_past_end),
    mutation("fold an event twice", "P2", "view is not the fold", outside::fold_twice),
    mutation("write a checkpoint before its view", "P2", "view is not the fold", outside::checkpoint_first),
    mutation("deploy what nobody knows", "P2", "projection is not known", outside::unknown_projection),
    mutation("answer older than min_position", "Q1", "answer is older than asked", outside::older_than_asked),
    mutation(
        "answer at the position without its event",
        "Q1",
        "answer does not show what was asked for",
        answers::without_its_event,
    ),
    mutation(
        "skip an event for a subscriber",
        "S1",
        "subscription skipped, repeated or reordered",
        outside::skip_for_subscriber,
    ),
    mutation(
        "repeat an event for a subscriber",
        "S1",
        "subscription skipped, repeated or reordered",
        outside::repeat_for_subscriber,
    ),
    mutation("hide a gap", "S1", "resumed past events", outside::hide_gap),
    mutation(
        "say too early that history has ended",
        "S1",
        "told too early that history has ended",
        outside::caught_up_early,
    ),
    mutation("end a subscription early", "S1", "subscription ended early", outside::end_early),
    mutation("stale linearizable read", "streams", "real-time order", answers::stale_read),
    mutation("read from the future", "streams", "real-time order", answers::future_read),
    mutation("reorder two appends of a stream", "streams", "real-time order", stored::reorder_stream),
    mutation(
        "shift the version of an answer",
        "streams",
        "answer names another place",
        answers::shift_version,
    ),
    mutation("pass over a guard", "streams", "guard was passed over", answers::pass_guard),
    mutation("skip an event in a page", "streams", "page is not a cut of the stream", answers::skip_in_page),
    mutation("read half an append", "streams", "sight inside an append", answers::half_append),
    mutation("write a key on a stale guard", "keys", "no order explains the answers", outside::stale_key),
];

impl Run {
    pub fn new(history: History, end: FinalState) -> Self {
        Self { history, end }
    }

    /// Changes the events of every node alike, and JetStream with them.
    pub fn everywhere(&mut self, change: impl Fn(&mut Vec<StoredEvent>)) {
        self.end.nodes.iter_mut().for_each(|node| change(&mut node.events));
    }

    pub fn log(&self) -> &[StoredEvent] {
        &self.end.nodes[0].events
    }

    pub fn stored(&self, mark: &str) -> Option<&StoredEvent> {
        self.log().iter().find(|event| event.mark == mark)
    }

    /// The place of the last operation that fits: late ones have more before them.
    pub fn last(&self, fits: impl Fn(&Operation) -> bool) -> Option<usize> {
        self.history.operations.iter().rposition(fits)
    }

    pub fn op(&mut self, at: usize) -> &mut Operation {
        &mut self.history.operations[at]
    }

    /// The last acknowledged append that fits.
    pub fn acked(&self, fits: impl Fn(&Operation, &[String]) -> bool) -> Option<usize> {
        self.last(|op| op.outcome.is_ok() && marks(op).is_some_and(|marks| fits(op, marks)))
    }

    /// Marks of which every send was refused with this code.
    pub fn refused(&self, code: &str) -> Option<(String, String)> {
        let ops = &self.history.operations;
        let sent = |mark: &String, other: &Operation| marks(other).is_some_and(|marks| marks.contains(mark));
        ops.iter().rev().find_map(|op| {
            let Call::Append { stream, marks, .. } = &op.call else { return None };
            let all =
                ops.iter().filter(|other| sent(&marks[0], other)).all(|other| other.outcome.is_refused());
            let coded = matches!(&op.outcome, Outcome::Refused { code: found, .. } if found == code);
            (all && coded && marks.len() == 1).then(|| (stream.clone(), marks[0].clone()))
        })
    }
}

pub fn marks(op: &Operation) -> Option<&[String]> {
    match &op.call {
        Call::Append { marks, .. } => Some(marks),
        _ => None,
    }
}

pub fn seen(op: &mut Operation) -> Option<&mut Seen> {
    match &mut op.outcome {
        Outcome::Ok { seen } => Some(seen),
        _ => None,
    }
}

/// Whether an append was sent once only.
pub fn is_only_send(run: &Run, mark: &str) -> bool {
    let sends = run.history.operations.iter().filter(|op| marks(op).is_some_and(|marks| marks[0] == mark));
    sends.count() == 1
}
