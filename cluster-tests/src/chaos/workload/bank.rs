//! A bank: a transfer takes from one account and gives to another, each by a
//! guarded append under the transfer's id. In the end nothing was made and
//! nothing was lost, and no account was ever overdrawn.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use async_trait::async_trait;
use serde_json::json;
use weir_api::v1::EventView;

use super::{
    Context, Workload,
    caller::{Caller, Look},
    crew::Crew,
    draft::Draft,
    told::Told,
};
use crate::{PATIENCE, edge::Edge, eventually};

/// Its name.
const NAME: &str = "bank";
const ACCOUNTS: u64 = 8;
/// What every account begins with.
const DEPOSIT: i64 = 1_000;
const TELLERS: usize = 3;
/// Between two transfers of one teller.
const PACE: Duration = Duration::from_millis(220);
const TRIES: usize = 4;

/// Transfers between accounts.
#[derive(Debug, Clone, Default)]
pub struct Bank {
    /// Transfers that may have taken and have not given.
    open: Arc<Mutex<Vec<Transfer>>>,
}

#[derive(Debug, Clone)]
struct Transfer {
    id: String,
    to: u64,
    amount: i64,
    /// The append that takes; its fate may be unknown.
    debit: Draft,
    /// Whether it is known to have taken.
    taken: bool,
    /// The mark of the event that gives.
    credit_mark: String,
}

/// An account as a teller knows it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Account {
    version: u64,
    balance: i64,
}

#[async_trait]
impl Workload for Bank {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn prepare(&self, context: &Context) -> Result<()> {
        let mut caller = Caller::new(context, NAME);
        for number in 0..ACCOUNTS {
            let mark = caller.mark();
            let data = json!({ "saga": "opening", "delta": DEPOSIT });
            let opening = Draft::new(&account(number), NAME, std::slice::from_ref(&mark)).with(data);
            let opening = opening.guarded(0).keyed(&mark);
            let told = caller.append_until_known(&opening, 20).await;
            ensure!(told.ack().is_some(), "account {number} is not opened: {told:?}");
        }
        caller.end()
    }

    async fn run(&self, context: &Context) -> Result<()> {
        let mut crew = Crew::default();
        for _ in 0..TELLERS {
            let (caller, open) = (Caller::new(context, NAME), self.open.clone());
            crew.hire(Teller { caller, open, known: [Account::default(); ACCOUNTS as usize] }.work());
        }
        crew.end().await
    }

    async fn settle(&self, context: &Context) -> Result<()> {
        let (caller, open) = (Caller::new(context, NAME), self.open.clone());
        let mut teller = Teller { caller, open, known: [Account::default(); ACCOUNTS as usize] };
        let left = std::mem::take(&mut *self.open.lock().unwrap_or_else(PoisonError::into_inner));
        for transfer in left {
            teller.caller.count("settled_late");
            teller.end_late(transfer).await?;
        }
        for (node, edge) in context.nodes.all() {
            let books = books(node, &edge).await?;
            audit(&books).with_context(|| format!("the bank on node {node}"))?;
        }
        teller.caller.end()
    }

    fn coverage(&self) -> &'static [&'static str] {
        &["bank.ok", "bank.transfer"]
    }
}

fn account(number: u64) -> String {
    format!("{NAME}-{}", number % ACCOUNTS)
}

struct Teller {
    caller: Caller,
    open: Arc<Mutex<Vec<Transfer>>>,
    known: [Account; ACCOUNTS as usize],
}

impl Teller {
    async fn work(mut self) -> Result<()> {
        while self.caller.pace(PACE).await {
            let from = self.caller.rng.within(0..ACCOUNTS);
            let to = (from + self.caller.rng.within(1..ACCOUNTS)) % ACCOUNTS;
            self.transfer(from, to).await;
        }
        self.caller.end()
    }

    async fn transfer(&mut self, from: u64, to: u64) {
        let Some(account_from) = self.look(from).await else { return };
        let amount = i64::try_from(self.caller.rng.within(1..400)).unwrap_or(1);
        if account_from.balance < amount {
            self.caller.count("too_poor");
            return;
        }
        let (id, credit_mark) = (self.caller.mark(), self.caller.mark());
        let mark = self.caller.mark();
        let debit = Draft::new(&account(from), NAME, &[mark])
            .with(json!({ "saga": id, "delta": -amount }))
            .guarded(account_from.version)
            .keyed(&format!("{id}-debit"));
        let mut transfer = Transfer { id, to, amount, debit, taken: false, credit_mark };
        match self.caller.append_until_known(&transfer.debit, TRIES).await {
            Told::Acked(_) => transfer.taken = true,
            Told::Refused { code, .. } if code == "version_conflict" => return self.caller.count("conflict"),
            // One of the tries may have taken.
            Told::Refused { .. } | Told::Unknown(_) => {}
        }
        if !transfer.taken || !self.give(&transfer).await {
            self.caller.count("left_open");
            self.open.lock().unwrap_or_else(PoisonError::into_inner).push(transfer);
        }
    }

    /// Gives, at whatever version the account is. Whether it is known to have.
    async fn give(&mut self, transfer: &Transfer) -> bool {
        for _ in 0..TRIES {
            let Some(to) = self.look(transfer.to).await else { continue };
            // The key is the same at every version: it was given once, or it is not there.
            let credit = Draft::new(&account(transfer.to), NAME, std::slice::from_ref(&transfer.credit_mark))
                .with(json!({ "saga": transfer.id, "delta": transfer.amount }))
                .guarded(to.version)
                .keyed(&format!("{}-credit", transfer.id));
            if let Told::Acked(_) = self.caller.append_until_known(&credit, TRIES).await {
                self.caller.count("transfer");
                return true;
            }
        }
        false
    }

    /// Ends a transfer on a healed cluster: what may have been taken is taken, and given.
    async fn end_late(&mut self, mut transfer: Transfer) -> Result<()> {
        if !transfer.taken {
            let told = self.caller.append_until_known(&transfer.debit, 10).await;
            match &told {
                Told::Acked(_) => transfer.taken = true,
                Told::Refused { code, .. } if code == "version_conflict" => return Ok(()),
                _ => {}
            }
            ensure!(transfer.taken, "whether transfer {} was taken is not known: {told:?}", transfer.id);
        }
        ensure!(self.give(&transfer).await, "transfer {} is not given", transfer.id);
        Ok(())
    }

    /// The account as it is now, read on from where it is known.
    async fn look(&mut self, number: u64) -> Option<Account> {
        let at = usize::try_from(number).ok()?;
        let (node, edge) = self.caller.node();
        let look =
            Look { from: Some(self.known[at].version + 1), limit: 1_000, ..Look::at(&account(number)) };
        let page = self.caller.read_at(node, &edge, &look).await?;
        for event in &page.events {
            let balance = self.known[at].balance + delta_of(event);
            if balance < 0 {
                let (stream, version) = (account(number), event.version);
                self.caller.wrong(format!("`{stream}` is overdrawn at version {version}: {balance}"));
            }
            self.known[at] = Account { version: event.version, balance };
        }
        page.next_version.is_none().then_some(self.known[at])
    }
}

fn delta_of(event: &EventView) -> i64 {
    event.data.to_value().unwrap_or_default()["delta"].as_i64().unwrap_or(0)
}

/// All accounts on one node: each event's transfer and what it gives, in order.
type Books = Vec<Vec<(String, i64)>>;

async fn books(node: u64, edge: &Edge) -> Result<Books> {
    let mut books = Books::new();
    for number in 0..ACCOUNTS {
        let (mut lines, mut from) = (Vec::new(), Some(1));
        while let Some(version) = from {
            let query = format!("from_version={version}&limit=1000");
            let page = eventually(&format!("node {node} shows its bank"), PATIENCE, || async {
                Ok(edge.read(&account(number), &query).await?)
            })
            .await?;
            lines.extend(page.events.iter().map(|event| {
                let data = event.data.to_value().unwrap_or_default();
                (data["saga"].as_str().unwrap_or_default().to_owned(), delta_of(event))
            }));
            from = page.next_version;
        }
        books.push(lines);
    }
    Ok(books)
}

/// Nothing was made, nothing was lost, every transfer took once and gave once.
fn audit(books: &Books) -> Result<()> {
    let mut transfers: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    for (number, lines) in books.iter().enumerate() {
        let mut balance = 0;
        for (saga, delta) in lines {
            balance += delta;
            ensure!(balance >= 0, "account {number} is overdrawn by transfer {saga}: {balance}");
            transfers.entry(saga).or_default().push(*delta);
        }
    }
    let opened = transfers.remove("opening").unwrap_or_default();
    let due = i64::try_from(books.len())? * DEPOSIT;
    ensure!(opened.iter().sum::<i64>() == due, "accounts were opened with {opened:?}");
    for (saga, deltas) in &mut transfers {
        deltas.sort_unstable();
        ensure!(deltas.len() == 2 && deltas[0] + deltas[1] == 0, "transfer {saga} moved {deltas:?}");
    }
    let sum: i64 = books.iter().flatten().map(|(_, delta)| delta).sum();
    ensure!(sum == due, "the bank holds {sum}, it was given {due}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(saga: &str, delta: i64) -> (String, i64) {
        (saga.to_owned(), delta)
    }

    #[test]
    fn a_transfer_that_only_took_gave_twice_or_overdrew_is_found() {
        let good =
            vec![vec![line("opening", DEPOSIT), line("a", -5)], vec![line("opening", DEPOSIT), line("a", 5)]];
        assert!(audit(&good).is_ok());
        let (mut lost, mut doubled, mut overdrawn) = (good.clone(), good.clone(), good.clone());
        lost[1].pop();
        doubled[1].push(line("a", 5));
        overdrawn[0].insert(0, line("b", -1));
        overdrawn[1].push(line("b", 1));
        for broken in [lost, doubled, overdrawn] {
            assert!(audit(&broken).is_err());
        }
    }
}
