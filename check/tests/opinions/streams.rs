//! A stream of single events.

use stateright::semantics::SequentialSpec;
use weir_check::{
    Evidence, FinalState, History, Rules, Verdict,
    history::{
        Call, Expected, Header, Operation, Outcome, ReadConsistency, ReadDirection, Seen, SeenEvent, Topology,
    },
    search::Spec,
    state::{NodeEnd, StoredEvent},
    stream,
};

use super::{Told, moments, searched, tested};
use crate::{Breaks, Plan};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    Append { expected: Option<u64>, mark: String },
    Read,
    Head,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    At(u64),
    Conflict(u64),
    Marks(Vec<String>),
    Length(u64),
}

/// The stream as a sequential object, written down a second time for stateright.
#[derive(Debug, Clone, Default)]
struct Reference(Vec<String>);

impl SequentialSpec for Reference {
    type Op = Ask;
    type Ret = Answer;

    fn invoke(&mut self, ask: &Ask) -> Answer {
        let length = self.0.len() as u64;
        match ask {
            Ask::Append { expected: Some(expected), .. } if *expected != length => Answer::Conflict(length),
            Ask::Append { mark, .. } => {
                self.0.push(mark.clone());
                Answer::At(length + 1)
            }
            Ask::Read => Answer::Marks(self.0.clone()),
            Ask::Head => Answer::Length(length),
        }
    }
}

/// The same for the search.
struct StreamSpec;

impl Spec for StreamSpec {
    type State = Vec<String>;
    type Op = (Ask, Option<Answer>);

    fn step(&self, state: &Vec<String>, (ask, answer): &Self::Op) -> Option<Vec<String>> {
        let length = state.len() as u64;
        let fits = |due: Answer| answer.as_ref().is_none_or(|answer| *answer == due);
        match ask {
            Ask::Append { expected: Some(expected), .. } if *expected != length => {
                (answer.is_some() && fits(Answer::Conflict(length))).then(|| state.clone())
            }
            Ask::Append { mark, .. } => {
                fits(Answer::At(length + 1)).then(|| [state.as_slice(), std::slice::from_ref(mark)].concat())
            }
            Ask::Read => fits(Answer::Marks(state.clone())).then(|| state.clone()),
            Ask::Head => fits(Answer::Length(length)).then(|| state.clone()),
        }
    }
}

/// A history of one stream, and what is there at the end.
#[derive(Debug)]
pub struct Run {
    ops: Vec<Told<Ask, Answer>>,
    /// Appends that a node refused before deciding anything.
    unavailable: Vec<Told<Ask, Answer>>,
    end: Vec<String>,
}

/// Carries a plan out.
pub fn run(plan: &Plan) -> Run {
    let mut stream = Reference::default();
    let (mut ops, mut unavailable) = (Vec::new(), Vec::new());
    for (at, from_us, _, until_us) in moments(plan) {
        let (_, kind, .., fate) = plan[at];
        let mark = format!("m{at}");
        let call = match kind {
            0..3 => Ask::Append { expected: None, mark },
            3..6 => Ask::Append { expected: Some(stream.0.len() as u64), mark },
            6..8 => Ask::Append { expected: Some(u64::from(kind) - 6), mark },
            8..10 => Ask::Read,
            _ => Ask::Head,
        };
        let appends = matches!(call, Ask::Append { .. });
        let told = Told { from_us, until_us, call, answer: None };
        match fate {
            0 => drop(stream.invoke(&told.call)),
            1 => {}
            2 if appends => {
                unavailable.push(told);
                continue;
            }
            _ => {
                let answer = Some(stream.invoke(&told.call));
                ops.push(Told { answer, ..told });
                continue;
            }
        }
        ops.push(told);
    }
    Run { ops, unavailable, end: stream.0 }
}

/// Breaks answers, times and the final stream.
pub fn damage(run: &mut Run, breaks: &Breaks) {
    for &(which, how, much) in breaks {
        let (last, length) = (run.end.len(), run.ops.len());
        match how {
            0 if last > 1 => run.end.swap(which % last, much as usize % last),
            1 => drop(run.end.pop()),
            2 => run.end.push(format!("m{which}")),
            3 if length > 0 => run.ops[which % length].answer = None,
            4 if length > 0 => {
                let op = &mut run.ops[which % length];
                op.until_us = op.until_us.saturating_sub(much).max(op.from_us);
            }
            5 if length > 0 => {
                let op = &mut run.ops[which % length];
                (op.from_us, op.until_us) = (op.from_us + 3 * much, op.until_us + 3 * much);
            }
            _ if length > 0 => shift(run.ops[which % length].answer.as_mut(), much),
            _ => {}
        }
    }
}

fn shift(answer: Option<&mut Answer>, much: u64) {
    match answer {
        Some(Answer::At(number) | Answer::Conflict(number) | Answer::Length(number)) => {
            *number = (*number + much).saturating_sub(2);
        }
        Some(Answer::Marks(marks)) => drop(marks.pop()),
        None => {}
    }
}

impl Run {
    /// The exact checker's opinion.
    pub fn exact(&self) -> Verdict {
        let all = self.ops.iter().map(|op| (op, false)).chain(self.unavailable.iter().map(|op| (op, true)));
        let operations = (1..).zip(all).map(|(id, (op, refused))| operation(id, op, refused)).collect();
        let history = History { header: Header::new(0, Topology::default(), &[]), operations };
        let event = |(version, mark): (u64, &String)| {
            let (stream, mark) = ("s".to_owned(), mark.clone());
            StoredEvent { position: version, stream, version, mark, ..StoredEvent::default() }
        };
        let events = (1..).zip(&self.end).map(event).collect();
        let end = FinalState {
            nodes: vec![NodeEnd { node: 1, events, ..NodeEnd::default() }],
            ..Default::default()
        };
        stream::check(&Evidence::new(&history, &end, Rules::default()))
    }

    /// With a last read of what is there, after everything.
    fn with_end(&self) -> Vec<Told<Ask, Answer>> {
        let after = 1 + self.ops.iter().map(|op| op.until_us).max().unwrap_or(0);
        let answer = Some(Answer::Marks(self.end.clone()));
        let last = Told { from_us: after, until_us: after, call: Ask::Read, answer };
        self.ops.iter().cloned().chain([last]).collect()
    }

    /// The search's opinion.
    pub fn searched(&self) -> bool {
        let ops: Vec<_> =
            self.with_end().iter().map(|op| op.timed((op.call.clone(), op.answer.clone()))).collect();
        searched(&StreamSpec, &Vec::new(), &ops)
    }

    /// stateright's opinion.
    pub fn tested(&self) -> bool {
        tested(Reference::default(), &self.with_end())
    }
}

fn operation(id: u64, op: &Told<Ask, Answer>, refused: bool) -> Operation {
    let (stream, consistency, node) = ("s".to_owned(), ReadConsistency::Linearizable, 1);
    let call = match &op.call {
        Ask::Append { expected, mark } => {
            let expected = expected.map_or(Expected::Any, Expected::Exact);
            Call::Append { stream, expected, key: None, marks: vec![mark.clone()], node }
        }
        Ask::Read => {
            let direction = ReadDirection::Forward;
            Call::ReadStream { stream, from: None, direction, limit: 100, consistency, node }
        }
        Ask::Head => Call::StreamInfo { stream, consistency, node },
    };
    let (from_us, until_us) = (op.from_us, op.until_us);
    let outcome =
        if refused { Outcome::Refused { code: "unavailable".to_owned(), actual: None } } else { outcome(op) };
    Operation { id, client: id, invoke_us: from_us, complete_us: until_us, call, outcome }
}

fn outcome(op: &Told<Ask, Answer>) -> Outcome {
    let seen = match &op.answer {
        None => return Outcome::Unknown { reason: "time-out".to_owned() },
        Some(Answer::Conflict(actual)) => {
            return Outcome::Refused { code: "version_conflict".to_owned(), actual: Some(*actual) };
        }
        Some(Answer::At(version)) => {
            let (first_version, last_version, first_position) = (*version, *version, *version);
            Seen::Appended { first_version, last_version, first_position, repeated: false }
        }
        Some(Answer::Marks(marks)) => {
            let event = |(version, mark): (u64, &String)| SeenEvent {
                version,
                position: version,
                mark: mark.clone(),
            };
            let events = (1..).zip(marks).map(event).collect();
            Seen::Events { events, head: Some(marks.len() as u64), next: None, applied: None }
        }
        Some(Answer::Length(version)) => Seen::Head { version: *version, last_position: None, applied: None },
    };
    Outcome::Ok { seen }
}
