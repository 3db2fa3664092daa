//! What nodes hold is broken.

use weir_check::state::StoredEvent;

use super::{Run, is_only_send, marks};

/// The mark of the last acknowledged append of one event.
fn acked_mark(run: &Run) -> Option<String> {
    let at = run.acked(|_, marks| marks.len() == 1 && is_only_send(run, &marks[0]))?;
    marks(&run.history.operations[at]).map(|marks| marks[0].clone())
}

/// Takes an event out as a store would that never had it: what follows moves up.
fn take_out(events: &mut Vec<StoredEvent>, mark: &str) {
    let Some(at) = events.iter().position(|event| event.mark == mark) else { return };
    let gone = events.remove(at);
    for event in &mut events[at..] {
        event.position -= 1;
        if event.stream == gone.stream {
            event.version -= 1;
        }
    }
}

fn put_in(events: &mut Vec<StoredEvent>, stream: &str, mark: &str) {
    let version = 1 + events.iter().filter(|event| event.stream == stream).count() as u64;
    let (position, term) = (events.len() as u64 + 1, events.last().and_then(|event| event.term));
    let (stream, mark) = (stream.to_owned(), mark.to_owned());
    events.push(StoredEvent { position, stream, version, mark, term, ..StoredEvent::default() });
}

pub fn lose_acked(run: &mut Run) -> bool {
    let Some(mark) = acked_mark(run) else { return false };
    run.everywhere(|events| take_out(events, &mark));
    true
}

pub fn lose_acked_on_one(run: &mut Run) -> bool {
    let Some(mark) = acked_mark(run) else { return false };
    take_out(&mut run.end.nodes[2].events, &mark);
    true
}

pub fn double_acked(run: &mut Run) -> bool {
    let Some(mark) = acked_mark(run) else { return false };
    let stream = run.stored(&mark).unwrap().stream.clone();
    run.everywhere(|events| put_in(events, &stream, &mark));
    true
}

pub fn skip_version(run: &mut Run) -> bool {
    let stream = run.log().last().unwrap().stream.clone();
    run.everywhere(|events| {
        events.iter_mut().rev().find(|event| event.stream == stream).unwrap().version += 1;
    });
    true
}

pub fn repeat_version(run: &mut Run) -> bool {
    let Some(last) = run.log().iter().rev().find(|event| event.version > 1).cloned() else { return false };
    run.everywhere(|events| events[last.position as usize - 1].version -= 1);
    true
}

pub fn append_repeat_again(run: &mut Run) -> bool {
    let again = run.acked(|_, marks| !is_only_send(run, &marks[0]));
    let Some(at) = again else { return false };
    let mark = marks(&run.history.operations[at]).unwrap()[0].clone();
    let stream = run.stored(&mark).unwrap().stream.clone();
    run.everywhere(|events| put_in(events, &stream, &mark));
    true
}

pub fn resurrect_refused(run: &mut Run) -> bool {
    let Some((stream, mark)) = run.refused("version_conflict") else { return false };
    run.everywhere(|events| put_in(events, &stream, &mark));
    true
}

pub fn invent(run: &mut Run) -> bool {
    run.everywhere(|events| put_in(events, "s0", "nobody-sent-this"));
    true
}

pub fn skip_position(run: &mut Run) -> bool {
    run.everywhere(|events| events.last_mut().unwrap().position += 1);
    true
}

pub fn swap_on_one(run: &mut Run) -> bool {
    let events = &mut run.end.nodes[1].events;
    let last = events.len() - 1;
    let (mut one, mut two) = (events[last - 1].clone(), events[last].clone());
    (one.position, two.position) = (two.position, one.position);
    (events[last - 1], events[last]) = (two, one);
    true
}

pub fn cut_one(run: &mut Run) -> bool {
    run.end.nodes[0].events.pop();
    true
}

/// Two neighbours in the log, of two streams, that real time orders, change places, and nobody is told.
pub fn against_time(run: &mut Run) -> bool {
    let span = |run: &Run, mark: &str| {
        let at = run.acked(|_, marks| marks.len() == 1 && marks[0] == mark && is_only_send(run, mark))?;
        let op = &run.history.operations[at];
        Some((op.invoke_us, op.complete_us))
    };
    let pair = run.log().windows(2).rev().find_map(|pair| {
        let (one, two) = (span(run, &pair[0].mark)?, span(run, &pair[1].mark)?);
        (pair[0].stream != pair[1].stream && one.1 < two.0).then(|| pair[0].position as usize)
    });
    let Some(second) = pair else { return false };
    run.everywhere(|events| {
        let (one, two) = (events[second - 1].clone(), events[second].clone());
        events[second - 1] = StoredEvent { position: one.position, ..two.clone() };
        events[second] = StoredEvent { position: two.position, ..one };
    });
    true
}

/// An old append of a stream takes the place of its last one.
pub fn reorder_stream(run: &mut Run) -> bool {
    let single = |mark: &str| run.acked(|_, marks| marks.len() == 1 && marks[0] == mark).is_some();
    let log = run.log();
    let found = log.iter().rev().find_map(|last| {
        let first = log.iter().find(|event| event.stream == last.stream && single(&event.mark))?;
        (single(&last.mark) && first.version + 10 < last.version)
            .then(|| (first.position as usize - 1, last.position as usize - 1))
    });
    let Some((one, two)) = found else { return false };
    run.everywhere(|events| {
        let mark = events[one].mark.clone();
        events[one].mark = std::mem::replace(&mut events[two].mark, mark);
    });
    true
}

pub fn two_deciders(run: &mut Run) -> bool {
    let log = run.log();
    let found = log.iter().rev().find(|last| {
        log.iter().any(|other| {
            other.stream == last.stream && other.term == last.term && other.version < last.version
        })
    });
    let Some(last) = found.cloned() else { return false };
    let other = last.decided_by.map(|node| node % 3 + 1);
    run.everywhere(|events| events[last.position as usize - 1].decided_by = other);
    true
}

pub fn old_term(run: &mut Run) -> bool {
    let found =
        run.log().iter().rposition(|event| event.version > 1 && event.term.is_some_and(|term| term > 1));
    let Some(at) = found else { return false };
    run.everywhere(|events| events[at].term = Some(0));
    true
}
