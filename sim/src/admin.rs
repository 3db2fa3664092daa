//! The administrator: moves leadership, and has nodes join and leave.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::sleep;
use weir_check::history::{Call, MembershipOp, Outcome};

use crate::{client::Client, machine::Machine};

/// Tries of one order, each with whoever leads then.
const TRIES: usize = 12;
const PAUSE: Duration = Duration::from_millis(150);
const LOOK: Duration = Duration::from_millis(20);

/// What the administrator is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// This node is to lead.
    Lead(u64),
    /// This node is to become a voter.
    Join(u64),
    /// This node is to be no member any more.
    Leave(u64),
    /// All code is to be handed in.
    Prepare,
}

/// Orders in their order.
pub type Orders = Arc<Mutex<VecDeque<Order>>>;

/// The administrator.
pub struct Admin {
    /// How it calls.
    pub client: Client,
    /// Whom.
    pub machines: Vec<Arc<Machine>>,
    /// What it is asked for.
    pub orders: Orders,
    /// Set when it is to end.
    pub stop: Arc<AtomicBool>,
    /// Set when it has ended.
    pub ended: Arc<AtomicBool>,
    /// Set when the code was handed in for the first time.
    pub prepared: Arc<AtomicBool>,
    /// The generation of the code that was handed in last.
    pub generation: u64,
}

impl Admin {
    /// Carries out orders until it is told to stop.
    ///
    /// # Errors
    /// Never.
    pub async fn run(mut self) -> turmoil::Result {
        while !self.stop.load(Relaxed) {
            let next = self.orders.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            match next {
                None => sleep(LOOK).await,
                Some(Order::Lead(node)) => {
                    self.once(MembershipOp::TransferLeader, node).await;
                }
                Some(Order::Join(node)) => {
                    if self.until_done(MembershipOp::AddLearner, node).await {
                        self.until_done(MembershipOp::Promote, node).await;
                    }
                }
                Some(Order::Leave(node)) => {
                    self.until_done(MembershipOp::Remove, node).await;
                }
                Some(Order::Prepare) => self.prepare().await,
            }
        }
        self.ended.store(true, Relaxed);
        Ok(())
    }

    /// Hands in all code, changed by a comment, at whoever leads.
    async fn prepare(&mut self) {
        self.generation += 1;
        for _ in 0..TRIES {
            if let Some(node) = self.leader()
                && self.client.prepare(node, self.generation).await
            {
                return self.prepared.store(true, Relaxed);
            }
            if self.stop.load(Relaxed) {
                return;
            }
            sleep(PAUSE).await;
        }
    }

    async fn until_done(&mut self, change: MembershipOp, member: u64) -> bool {
        for _ in 0..TRIES {
            if self.once(change, member).await {
                return true;
            }
            if self.stop.load(Relaxed) {
                return false;
            }
            sleep(PAUSE).await;
        }
        false
    }

    async fn once(&mut self, change: MembershipOp, member: u64) -> bool {
        let Some(node) = self.leader() else { return false };
        let outcome = self.client.call(node, Call::Membership { change, member, node }).await;
        matches!(outcome, Outcome::Ok { .. })
    }

    /// Who says of itself that it leads, in the highest term.
    fn leader(&self) -> Option<u64> {
        let leads = self.machines.iter().filter_map(|machine| {
            machine.report().filter(|report| report.leads).map(|report| (report.term, machine.node))
        });
        leads.max().map(|(_, node)| node)
    }
}
