use std::sync::atomic::Ordering::Relaxed;

use weir_check::history::{Call, Expected, Operation};

use super::{COLD, HOT, Worker, name};
use crate::{
    balances::StateSeen,
    desk::{StateAsked, StateKept, Way},
    folds::COUNTS,
    machine::EPOCH_US,
};

/// Accounts, whose balance an invariant holds at zero or above.
pub(super) const ACCOUNTS: u64 = 3;
/// What is moved at once, at most.
const AMOUNT_MAX: u64 = 60;

/// Whether a stream is an account.
pub(super) fn is_account(stream: u64) -> bool {
    stream >= HOT + COLD
}

impl Worker {
    /// An account, once its invariant stands.
    pub(super) fn account(&mut self) -> Option<u64> {
        self.world.prepared.load(Relaxed).then(|| HOT + COLD + self.rng.within(0..ACCOUNTS))
    }

    /// A mark that names what comes or goes, and seldom what is wrong with it.
    pub(super) fn amount_mark(&mut self) -> String {
        let (amount, sign) = (self.rng.within(1..AMOUNT_MAX), if self.rng.chance(45) { "" } else { "-" });
        let flaw = match self.rng.within(0..60) {
            0 => "~data",
            1 => "~metadata",
            _ => "",
        };
        format!("{}{flaw}={sign}{amount}", self.mark())
    }

    pub(super) async fn move_money(&mut self) {
        let Some(account) = self.account() else { return };
        let head = self.heads[usize::try_from(account).unwrap_or(0)];
        let expected = if self.rng.chance(60) { Expected::Exact(head) } else { Expected::Any };
        let keyed = self.rng.chance(40);
        self.append(account, expected, keyed).await;
    }

    /// Asks what would be told to who moves money.
    pub(super) async fn validate(&mut self) {
        let Some(account) = self.account() else { return };
        let (node, marks) = (self.node(), self.marks(account));
        let head = self.heads[usize::try_from(account).unwrap_or(0)];
        let expected = if self.rng.chance(80) { Expected::Exact(head) } else { Expected::Any };
        let call = Call::Append { stream: name(account), expected, key: None, marks, node };
        let outcome = self.client.validate(node, call.clone()).await;
        let validated = Operation { id: 0, client: 0, invoke_us: 0, complete_us: 0, call, outcome };
        self.world.notes.open().validated.push(validated);
    }

    /// Reads what an invariant, a projection or a snapshot makes of an account, now or of the past; what it is now, it
    /// keeps as a snapshot, at times.
    pub(super) async fn use_state(&mut self) {
        let Some(account) = self.account() else { return };
        let (node, at) = (self.node(), usize::try_from(account).unwrap_or(0));
        let asked = self.state_asked(name(account), self.heads[at]);
        let floor = match (asked.way, asked.version) {
            (Way::Snapshot, Some(_)) => 0,
            (Way::Snapshot, None) => self.kept[at],
            _ => self.heads[at],
        };
        let Some(told) = self.client.state(node, &asked).await else { return };
        let is_now = asked.way == Way::Invariant && asked.is_now();
        let (version, value) = (told.version, told.value.clone());
        self.world.notes.open().states.push(StateSeen { floor, asked, told });
        if is_now {
            let node = self.node();
            if self.client.keep(node, StateKept { stream: name(account), version, value }).await {
                self.kept[at] = self.kept[at].max(version);
            }
        }
    }

    fn state_asked(&mut self, stream: String, head: u64) -> StateAsked {
        let way = match self.rng.within(0..10) {
            0..4 => Way::Invariant,
            4..7 => Way::Projection,
            7 => Way::Snapshot,
            _ => Way::FromSnapshot,
        };
        let version = self.rng.chance(40).then(|| self.rng.within(1..head + 3));
        let folds = matches!(way, Way::Invariant | Way::Projection);
        let (as_of_us, at_us) = if folds { (self.moment(), self.moment()) } else { (None, None) };
        StateAsked { stream, version, as_of_us, at_us, way }
    }

    /// A time of the run, by a clock that is right: others are off.
    fn moment(&mut self) -> Option<i64> {
        let after = self.rng.within(0..12_000_000);
        self.rng.chance(25).then(|| EPOCH_US + i64::try_from(after).unwrap_or(0))
    }

    /// Has the events of a stream counted anew, while others are.
    pub(super) async fn mend(&mut self) {
        let (stream, node) = (self.stream(), self.node());
        if self.client.mend(node, name(stream)).await {
            self.world.notes.open().mended += 1;
        }
    }

    /// Reads how many events of a stream are counted, at least up to what this worker knows of.
    pub(super) async fn read_view(&mut self) {
        let (stream, node) = (self.stream(), self.node());
        let projection = COUNTS[usize::from(self.rng.chance(50))].to_owned();
        let min_position = self.rng.chance(70).then_some(self.position).filter(|position| *position > 0);
        let call = Call::View { projection, partition: name(stream), min_position, node };
        self.client.call(node, call).await;
    }
}
