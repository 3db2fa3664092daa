//! The code that users would hand in, and the same folds in Rust, which share nothing with it.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use weir_check::{invariants::Fold, state::StoredEvent};

use crate::machine::EPOCH_US;

/// The type of the entities whose balance is held at zero or above.
pub const ACCOUNT: &str = "account";
/// The name of their events; those of schema version 1 hold an amount, those of version 2 cents.
pub const MOVED: &str = "account.moved";
/// What the names of all other events begin with.
pub const THINGS: &str = "thing.*";
/// What every fourth event is tagged with.
pub const TAG: &str = "every:fourth";
/// The projection that is folded for the stream that is asked for.
pub const BALANCE: &str = "balance";
/// The projections that count the events of each stream, behind the log and right behind apply.
pub const COUNTS: [&str; 2] = ["counts", INLINE];
/// The second of them.
pub const INLINE: &str = "inline-counts";
/// The projection that workers fold, of the accounts' events, by account.
pub const WORKED: &str = "worked";
/// The projection whose events the cluster sends to a server outside.
pub const SENT: &str = "sent";
/// The projection into tables, of the accounts' events.
pub const MOVES: &str = "moves";
/// The modulus of the running hash, which every repeat, hole and change of order changes.
const MODULUS: u64 = 1_000_003;

/// Leads an amount to cents. Sources of two generations differ in a comment.
#[must_use]
pub fn upcaster(generation: u64) -> String {
    format!("// {generation}\nexport function upcast(data) {{ data.cents = 100 * data.amount; }}")
}

/// Refuses a balance below zero, unless it sleeps.
#[must_use]
pub fn invariant(generation: u64, sleeps: bool) -> String {
    let refused = if sleeps { "false" } else { "cents < 0" };
    format!(
        "// {generation}\n{FOLD}\nexport const initialState = {{ cents: 0, events: 0 }};\n\
         export function check({{ cents }}) {{ if ({refused}) return `balance is ${{cents}}`; }}"
    )
}

const FOLD: &str = "export function fold(state, { data }) {
  return { cents: state.cents + data.cents, events: state.events + 1 };
}";

/// What is deployed: one that counts behind the log, one right behind apply, one at reads, and one into tables.
#[must_use]
pub fn projections(generation: u64) -> [String; 4] {
    let counter = |name: &str, kind: &str| {
        format!(
            "// {generation}\nexport const name = '{name}'; export const kind = '{kind}'; export const events = ['*'];\n\
             export const partitionKey = '$.entityId'; export const initialState = () => ({{ count: 0, hash: 7 }});\n\
             export function handler(state, event) {{\n\
             \x20 state.count += 1; state.hash = (state.hash * 31 + event.position) % {MODULUS};\n}}"
        )
    };
    let balance = format!(
        "// {generation}\nexport const name = '{BALANCE}'; export const kind = 'virtual';\n\
         export const events = ['{MOVED}']; export const initialState = () => ({{ cents: 0, events: 0 }});\n\
         export function handler(state, {{ data }}) {{ state.cents += data.cents; state.events += 1; }}"
    );
    let moves = format!(
        "// {generation}\nexport const name = '{MOVES}'; export const kind = 'sql'; export const events = ['{MOVED}'];\n\
         export const tables = 'create table moves (position integer, stream text, cents integer)';\n\
         export const handler = ({{ position, entityId, data }}) =>\n\
         \x20 ['insert into moves values (?, ?, ?)', position, entityId, data.cents];"
    );
    [counter(COUNTS[0], "async"), counter(INLINE, "inline"), balance, moves]
}

/// The schema of their data at a version: the amount, or the cents, as a whole number.
#[must_use]
pub fn schema(version: u32) -> String {
    let field = if version == 1 { "amount" } else { "cents" };
    json!({
        "type": "object",
        "required": ["op", field],
        "properties": { field: { "type": "integer" } },
    })
    .to_string()
}

/// The metadata that each of them needs: who moved it.
pub const TELLER: &str = "teller";

/// What is wrong with an event, on purpose: its rules do not let it in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// Its data is not as its schema says.
    Data,
    /// It lacks metadata.
    Metadata,
}

/// The amount that a mark of an account's event names: what follows its `=`.
#[must_use]
pub fn amount(mark: &str) -> Option<i64> {
    mark.rsplit_once('=')?.1.parse().ok()
}

/// The flaw that a mark of an account's event names, before its `=`.
#[must_use]
pub fn flaw(mark: &str) -> Option<Flaw> {
    match mark.rsplit_once('=')?.0.rsplit_once('~')?.1 {
        "data" => Some(Flaw::Data),
        "metadata" => Some(Flaw::Metadata),
        _ => None,
    }
}

/// When an account's event says that it occurred, in microseconds: one of three does, and by its mark alone.
#[must_use]
pub fn occurred_us(mark: &str) -> Option<i64> {
    amount(mark)?;
    let number = number(mark).filter(|number| number % 3 == 0)?;
    Some(EPOCH_US + number * 7_919_000 % 9_000_000)
}

/// Whether an event has the tag, by its mark alone.
#[must_use]
pub fn tagged(mark: &str) -> bool {
    number(mark).is_some_and(|number| number % 4 == 0)
}

/// The number of a mark among those of its client.
fn number(mark: &str) -> Option<i64> {
    mark.split(['~', '=']).next()?.rsplit_once('-')?.1.parse().ok()
}

/// The empty fold of a projection, for the checker of P2.
#[must_use]
pub fn folds(projection: &str) -> Option<Box<dyn Fold>> {
    COUNTS.contains(&projection).then(|| Box::new(Counts::default()) as Box<dyn Fold>)
}

/// Count and hash of what was counted before, and of these positions.
#[must_use]
pub fn counted(state: Option<&Value>, positions: impl IntoIterator<Item = u64>) -> Value {
    let number = |key: &str| state.and_then(|state| state[key].as_u64());
    let before = (number("count").unwrap_or(0), number("hash").unwrap_or(7));
    let (count, hash) = positions.into_iter().fold(before, count);
    json!({ "count": count, "hash": hash })
}

fn count((count, hash): (u64, u64), position: u64) -> (u64, u64) {
    (count + 1, (hash * 31 + position) % MODULUS)
}

/// Count and hash by stream.
#[derive(Default)]
struct Counts(BTreeMap<String, (u64, u64)>);

impl Fold for Counts {
    fn fold(&mut self, event: &StoredEvent) {
        let state = self.0.entry(event.stream.clone()).or_insert((0, 7));
        *state = count(*state, event.position);
    }

    fn view(&self, partition: &str) -> Option<Value> {
        let (count, hash) = self.0.get(partition)?;
        Some(json!({ "count": count, "hash": hash }))
    }
}
