//! Idempotency keys: an append whose outcome is unknown is sent again, at once
//! and much later, to other nodes, by many at the same time, and with other
//! content. One key has one outcome (A3).

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Result;
use async_trait::async_trait;
use futures::future::join_all;
use serde_json::json;

use super::{
    Context, Workload,
    caller::{Caller, Way},
    crew::Crew,
    draft::Draft,
    told::{Ack, Told},
};

/// Its name.
const NAME: &str = "retries";
const STREAMS: u64 = 16;
const CLIENTS: usize = 3;
/// Clients that send one key at once.
const STORM: usize = 8;
/// Between two appends of one client.
const PACE: Duration = Duration::from_millis(110);
/// Between two storms.
const STORM_PACE: Duration = Duration::from_millis(1_500);
const TRIES: usize = 5;
/// Acknowledged appends that are kept to be repeated.
const KEPT: usize = 4_000;
/// Repeats at the end.
const LAST_REPEATS: usize = 200;

/// Retries under idempotency keys.
#[derive(Debug, Clone, Default)]
pub struct Retries {
    kept: Arc<Mutex<Vec<(Draft, Ack)>>>,
}

#[async_trait]
impl Workload for Retries {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn run(&self, context: &Context) -> Result<()> {
        let mut crew = Crew::default();
        for _ in 0..CLIENTS {
            let client = Client { caller: Caller::new(context, NAME), kept: self.kept.clone() };
            crew.hire(client.work());
        }
        crew.hire(storms(context.clone()));
        crew.end().await
    }

    async fn settle(&self, context: &Context) -> Result<()> {
        let mut client = Client { caller: Caller::new(context, NAME), kept: self.kept.clone() };
        for _ in 0..LAST_REPEATS {
            client.repeat_old().await;
        }
        client.caller.end()
    }

    fn coverage(&self) -> &'static [&'static str] {
        &["retries.ok", "retries.repeated", "retries.repeated_late", "retries.other_content", "retries.storm"]
    }
}

struct Client {
    caller: Caller,
    kept: Arc<Mutex<Vec<(Draft, Ack)>>>,
}

impl Client {
    async fn work(mut self) -> Result<()> {
        while self.caller.pace(PACE).await {
            match self.caller.rng.within(0..10) {
                0..2 => self.repeat_old().await,
                _ => self.append().await,
            }
        }
        self.caller.end()
    }

    async fn append(&mut self) {
        let (stream, mark) = (format!("{NAME}-{}", self.caller.rng.within(0..STREAMS)), self.caller.mark());
        let draft = Draft::new(&stream, NAME, std::slice::from_ref(&mark)).keyed(&mark);
        let told = self.caller.append_until_known(&draft, TRIES).await;
        let Told::Acked(ack) = told else { return };
        match self.caller.rng.within(0..100) {
            0..30 => drop(self.repeat(&draft, &ack).await),
            30..45 => self.with_other_content(&draft).await,
            _ => {}
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT {
            kept.push((draft, ack));
        }
    }

    /// The same again: the same answer.
    async fn repeat(&mut self, draft: &Draft, ack: &Ack) -> bool {
        let told = self.caller.append(draft).await;
        match &told {
            Told::Acked(again) if again.is_same(ack) && again.repeated != Some(false) => true,
            told if told.is_open() => false,
            told => {
                let key = &draft.key;
                self.caller.wrong(format!("key {key:?} was answered {ack:?}, and when repeated {told:?}"));
                false
            }
        }
    }

    /// The key once more, for something else: refused.
    async fn with_other_content(&mut self, draft: &Draft) {
        let mut other = draft.clone();
        other.events[0].mark = self.caller.mark();
        let told = self.caller.append(&other).await;
        match told.code() {
            "idempotency_conflict" => self.caller.count("other_content"),
            _ if told.is_open() => {}
            _ => {
                let key = &draft.key;
                self.caller.wrong(format!("key {key:?} was used with other content and answered {told:?}"));
            }
        }
    }

    /// One from any time before.
    async fn repeat_old(&mut self) {
        let kept = {
            let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            self.caller.rng.pick(&kept).cloned()
        };
        if let Some((draft, ack)) = kept
            && self.repeat(&draft, &ack).await
        {
            self.caller.count("repeated_late");
        }
    }
}

/// Many clients send one key at the same moment, over all nodes and ways.
async fn storms(context: Context) -> Result<()> {
    let mut callers: Vec<Caller> = (0..STORM).map(|_| Caller::new(&context, NAME)).collect();
    while callers[0].pace(STORM_PACE).await {
        let (stream, key) = (format!("{NAME}-{}", callers[0].rng.within(0..STREAMS)), callers[0].mark());
        let mark = callers[0].mark();
        let draft = Draft::new(&stream, NAME, &[mark]).keyed(&key);
        // Every other storm has two contents for one key.
        let other = match callers[0].rng.chance(50) {
            true => {
                let mark = callers[0].mark();
                Draft::new(&stream, NAME, &[mark]).keyed(&key).with(json!({ "other": true }))
            }
            false => draft.clone(),
        };
        let drafts = [draft, other];
        let calls = callers.iter_mut().enumerate().map(|(number, caller)| {
            let draft = &drafts[number % 2];
            async move {
                let (node, edge) = caller.node();
                let way = [Way::Rest, Way::Session, Way::Connect][number % 3];
                caller.append_at(way, node, &edge, draft).await
            }
        });
        let all = join_all(calls).await;
        callers[0].count("storm");
        if let Some(flaw) = flaw_of(&drafts, &all) {
            callers[0].wrong(format!("a storm of key {key} on `{stream}`: {flaw}: {all:?}"));
        }
    }
    callers.into_iter().try_for_each(Caller::end)
}

/// What is wrong with the answers to one key, those at even places for the first draft.
fn flaw_of(drafts: &[Draft; 2], all: &[Told]) -> Option<&'static str> {
    let acked = |content: usize| all.iter().skip(content).step_by(2).filter_map(Told::ack);
    let two_contents = drafts[0] != drafts[1];
    if two_contents && acked(0).next().is_some() && acked(1).next().is_some() {
        return Some("both contents were acknowledged");
    }
    let mut acks = all.iter().filter_map(Told::ack);
    if let Some(first) = acks.next()
        && !acks.all(|other| other.is_same(first))
    {
        return Some("its answers differ");
    }
    let firsts = all.iter().filter_map(Told::ack).filter(|ack| ack.repeated == Some(false)).count();
    if firsts > 1 {
        return Some("more than one answer says that it is the first");
    }
    if !two_contents && all.iter().any(|told| told.code() == "idempotency_conflict") {
        return Some("equal contents are in conflict");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acked(version: u64, repeated: bool) -> Told {
        Told::Acked(Ack {
            first_version: version,
            last_version: version,
            first_position: version + 10,
            event_id: format!("e-{version}"),
            repeated: Some(repeated),
        })
    }

    #[test]
    fn a_storm_with_two_outcomes_is_found() {
        let draft = |mark: &str| Draft::new("s", "t", &[mark.to_owned()]).keyed("k");
        let (one, two) = ([draft("a"), draft("a")], [draft("a"), draft("b")]);
        let conflict = Told::Refused { code: "idempotency_conflict".to_owned(), actual: None };
        assert_eq!(flaw_of(&one, &[acked(1, false), acked(1, true), Told::not_sent()]), None);
        assert_eq!(flaw_of(&two, &[acked(1, false), conflict.clone(), acked(1, true)]), None);
        assert!(flaw_of(&one, &[acked(1, false), acked(2, true)]).is_some(), "answers differ");
        assert!(flaw_of(&one, &[acked(1, false), acked(1, false)]).is_some(), "two firsts");
        assert!(flaw_of(&one, &[acked(1, false), conflict]).is_some(), "equal contents in conflict");
        assert!(flaw_of(&two, &[acked(1, false), acked(1, true)]).is_some(), "both contents");
    }
}
