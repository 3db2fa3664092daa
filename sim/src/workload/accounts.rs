use std::sync::{PoisonError, atomic::Ordering::Relaxed};

use weir_check::history::{Call, Expected};

use super::{COLD, HOT, Worker, name};
use crate::{
    balances::StateSeen,
    desk::StateAsked,
    folds::{BALANCE, COUNTS},
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

    /// A mark that names what comes or goes.
    pub(super) fn amount_mark(&mut self) -> String {
        let (amount, sign) = (self.rng.within(1..AMOUNT_MAX), if self.rng.chance(45) { "" } else { "-" });
        format!("{}={sign}{amount}", self.mark())
    }

    pub(super) async fn move_money(&mut self) {
        let Some(account) = self.account() else { return };
        let head = self.heads[usize::try_from(account).unwrap_or(0)];
        let expected = if self.rng.chance(60) { Expected::Exact(head) } else { Expected::Any };
        let keyed = self.rng.chance(40);
        self.append(account, expected, keyed).await;
    }

    /// Reads what an invariant or a projection makes of an account, now or of the past.
    pub(super) async fn read_state(&mut self) {
        let Some(account) = self.account() else { return };
        let (node, floor) = (self.node(), self.heads[usize::try_from(account).unwrap_or(0)]);
        let asked = StateAsked {
            stream: name(account),
            version: self.rng.chance(60).then(|| self.rng.within(1..floor + 3)),
            projection: self.rng.chance(50).then(|| BALANCE.to_owned()),
        };
        if let Some(told) = self.client.state(node, &asked).await {
            let seen = StateSeen { floor, asked, told };
            self.world.states.lock().unwrap_or_else(PoisonError::into_inner).push(seen);
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
