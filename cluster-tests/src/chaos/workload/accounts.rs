//! Accounts with an invariant: nobody looks before a withdrawal, the server
//! alone says whether there is enough. No prefix of an account is ever below
//! zero. Now and then the rules are set again, to the same, which has what is in
//! flight judged anew.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use async_trait::async_trait;
use reqwest::Method;
use serde_json::json;
use weir_api::v1::{EventView, paths};

use super::{
    Context, Workload,
    caller::{Caller, Look},
    crew::Crew,
    draft::Draft,
    told::Told,
};
use crate::{PATIENCE, edge::Edge, eventually};

/// Its name, and the type of its entities.
const NAME: &str = "accounts";
const ACCOUNTS: u64 = 6;
const CLIENTS: usize = 6;
/// Between two changes of one client.
const PACE: Duration = Duration::from_millis(120);
/// Between two times that the rules are set.
const RULES_PACE: Duration = Duration::from_millis(2_500);
const TRIES: usize = 4;
/// What a client deposits or withdraws at most. Deposits are rarer, so that accounts are near zero.
const MOST: u64 = 100;

/// The balance, which must not fall below zero.
const INVARIANT: &str = "
export const initialState = { balance: 0 };
export function fold(state, event) { return { balance: state.balance + event.data.delta }; }
export function check(state) { if (state.balance < 0) return `balance would be ${state.balance}`; }
";

/// Accounts with an invariant.
#[derive(Debug, Clone, Copy)]
pub struct Accounts;

#[async_trait]
impl Workload for Accounts {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn prepare(&self, context: &Context) -> Result<()> {
        eventually("accounts have their invariant", PATIENCE, || async {
            let (_, edge) = context.nodes.all().into_iter().next().expect("a cluster has nodes");
            ensure!(set_rules(&edge).await? == 200, "the rules are not set");
            Ok(())
        })
        .await
    }

    async fn run(&self, context: &Context) -> Result<()> {
        let mut crew = Crew::default();
        for _ in 0..CLIENTS {
            crew.hire(change(Caller::new(context, NAME)));
        }
        crew.hire(change_rules(Caller::new(context, NAME)));
        crew.end().await
    }

    async fn settle(&self, context: &Context) -> Result<()> {
        let caller = Caller::new(context, NAME);
        for (node, edge) in context.nodes.all() {
            for number in 0..ACCOUNTS {
                let deltas = deltas(&edge, &account(number)).await?;
                audit(&deltas).with_context(|| format!("{} on node {node}", account(number)))?;
            }
        }
        caller.end()
    }

    fn coverage(&self) -> &'static [&'static str] {
        &["accounts.ok", "accounts.withdrawn", "accounts.refused.invariant_violated", "accounts.rules_set"]
    }
}

fn account(number: u64) -> String {
    format!("{NAME}-{number}")
}

/// The status of the answer to setting the rules.
async fn set_rules(edge: &Edge) -> Result<u16> {
    let body = json!({ "invariant": INVARIANT }).to_string().into_bytes();
    let path = paths::rules_of(Some(NAME));
    Ok(edge.send(Method::PUT, &path, Some(("application/json", body))).await?.status)
}

async fn change_rules(mut caller: Caller) -> Result<()> {
    while caller.pace(RULES_PACE).await {
        let (_, edge) = caller.node();
        // No answer, or a refusal, is what faults do.
        if let Ok(Ok(200)) = tokio::time::timeout(Duration::from_secs(5), set_rules(&edge)).await {
            caller.count("rules_set");
        }
    }
    caller.end()
}

async fn change(mut caller: Caller) -> Result<()> {
    while caller.pace(PACE).await {
        let account = account(caller.rng.within(0..ACCOUNTS));
        let amount = i64::try_from(caller.rng.within(1..MOST)).unwrap_or(1);
        let delta = if caller.rng.chance(30) { amount } else { -amount };
        let (mark, key) = (caller.mark(), caller.mark());
        let draft = Draft::new(&account, NAME, &[mark]).with(json!({ "delta": delta })).keyed(&key);
        match caller.append_until_known(&draft, TRIES).await {
            Told::Acked(_) if delta < 0 => caller.count("withdrawn"),
            Told::Refused { code, .. } if code == "invariant_violated" && delta > 0 => {
                caller.wrong(format!("a deposit of {delta} to `{account}` was refused"));
            }
            _ => {}
        }
        if caller.rng.chance(20) {
            let (node, edge) = caller.node();
            caller.read_at(node, &edge, &Look { limit: 1_000, ..Look::at(&account) }).await;
        }
    }
    caller.end()
}

fn delta_of(event: &EventView) -> Result<i64> {
    let data = event.data.to_value().unwrap_or_default();
    data["delta"].as_i64().with_context(|| format!("event {} has no delta", event.id))
}

async fn deltas(edge: &Edge, account: &str) -> Result<Vec<i64>> {
    let (mut deltas, mut from) = (Vec::new(), Some(1));
    while let Some(version) = from {
        let query = format!("from_version={version}&limit=1000");
        let page =
            eventually("accounts are shown", PATIENCE, || async { Ok(edge.read(account, &query).await?) });
        let page = page.await?;
        for event in &page.events {
            deltas.push(delta_of(event)?);
        }
        from = page.next_version;
    }
    Ok(deltas)
}

/// No prefix of an account is below zero.
fn audit(deltas: &[i64]) -> Result<()> {
    let mut balance = 0;
    for (number, delta) in (1..).zip(deltas) {
        balance += delta;
        ensure!(balance >= 0, "balance is {balance} at version {number}: its invariant does not hold");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_below_zero_is_found_although_the_end_is_not() {
        assert!(audit(&[5, -5, 3]).is_ok());
        assert!(audit(&[5, -6, 3]).is_err());
    }
}
