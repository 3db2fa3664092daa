//! Members come and go under fire, by the `weir cluster` commands: a learner is
//! added, promoted, led by, removed; its process is killed while it learns.

mod guest;

use std::{sync::Arc, time::Duration};

use anyhow::{Result, ensure};
use async_trait::async_trait;
use tokio::{sync::Mutex, time::Instant};
use weir_api::v1::{ClusterStatus, MemberRole};
use weir_check::history::{Call, MembershipOp, Seen};

use self::guest::Guest;
use super::{Context, Workload, caller::Caller, crew::Crew, draft::Draft};
use crate::{PATIENCE, weir};

/// Its name.
const NAME: &str = "members";
/// The first id of a guest; ids are never used again.
const FIRST_GUEST: u64 = 101;
/// Between two steps.
const PACE: Duration = Duration::from_millis(1_500);
/// Between two appends of the writer.
const WRITE_PACE: Duration = Duration::from_millis(120);
/// How long one `weir cluster` command may take.
const COMMAND: &str = "6s";
/// Tries of one change before another is made.
const TRIES: usize = 4;
/// Looks whether a new learner is ready.
const READY_LOOKS: usize = 200;

/// Changes of the membership.
#[derive(Clone, Default)]
pub struct Members {
    /// The guest that was there when the run ended.
    left: Arc<Mutex<Option<Guest>>>,
}

#[async_trait]
impl Workload for Members {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn run(&self, context: &Context) -> Result<()> {
        let mut crew = Crew::default();
        crew.hire(write(Caller::new(context, NAME)));
        let host = Host { caller: Caller::new(context, NAME), guest: None };
        crew.hire(host.work(self.left.clone()));
        crew.end().await
    }

    async fn settle(&self, context: &Context) -> Result<()> {
        let mut host = Host { caller: Caller::new(context, NAME), guest: self.left.lock().await.take() };
        let begun = Instant::now();
        while let Some(id) = host.guest.as_ref().map(|guest| guest.id) {
            host.farewell().await;
            ensure!(begun.elapsed() < PATIENCE, "guest {id} cannot be removed from a healed cluster");
            crate::pause().await;
        }
        host.caller.end()
    }

    fn coverage(&self) -> &'static [&'static str] {
        &["members.ok", "members.added", "members.ready", "members.promoted", "members.removed"]
    }
}

async fn write(mut caller: Caller) -> Result<()> {
    while caller.pace(WRITE_PACE).await {
        let (stream, key) = (format!("{NAME}-{}", caller.rng.within(0..4)), caller.mark());
        let draft = Draft::new(&stream, NAME, std::slice::from_ref(&key)).keyed(&key);
        caller.append_until_known(&draft, 3).await;
    }
    caller.end()
}

/// Who asks guests in and out.
struct Host {
    caller: Caller,
    guest: Option<Guest>,
}

impl Host {
    async fn work(mut self, left: Arc<Mutex<Option<Guest>>>) -> Result<()> {
        let mut next = FIRST_GUEST;
        while self.caller.pace(PACE).await {
            match &self.guest {
                None => {
                    self.guest = Guest::start(&self.caller.context, next).await;
                    next += 1;
                }
                Some(_) => self.visit().await,
            }
        }
        *left.lock().await = self.guest.take();
        self.caller.end()
    }

    /// One whole visit; each step may fail, and the last is a farewell in any case.
    async fn visit(&mut self) {
        if self.change(MembershipOp::AddLearner).await {
            self.caller.count("added");
            self.enter().await;
            if self.caller.rng.chance(40) {
                self.caller.pace(PACE).await;
                self.restart();
            }
            self.caller.pace(PACE).await;
            if self.caller.rng.chance(80) && self.change(MembershipOp::Promote).await {
                self.caller.count("promoted");
                self.caller.pace(PACE * 2).await;
                if self.caller.rng.chance(40) && self.change(MembershipOp::TransferLeader).await {
                    self.caller.count("transferred");
                    self.caller.pace(PACE).await;
                }
            }
        }
        for _ in 0..20 {
            self.farewell().await;
            if self.guest.is_none() || !self.caller.pace(PACE).await {
                return;
            }
        }
    }

    /// Clients may call it from now on, once it has what a member has.
    async fn enter(&self) {
        let Some(guest) = &self.guest else { return };
        for _ in 0..READY_LOOKS {
            if guest.edge.ready().await.is_ok() {
                self.caller.count("ready");
                self.caller.context.nodes.enter(guest.id, guest.edge.clone());
                return;
            }
            crate::pause().await;
        }
    }

    /// Kills it and starts it again on its folder, while it is no voter.
    fn restart(&mut self) {
        if let Some(guest) = &mut self.guest {
            // Before it dies: what it says from now on is of another life, whoever hears it when.
            self.caller.context.nodes.born(guest.id);
            match guest.restart() {
                Ok(()) => self.caller.count("learner_killed"),
                Err(error) => {
                    self.caller.wrong(format!("guest {} does not start again: {error:#}", guest.id))
                }
            }
        }
    }

    /// Removes it, and ends its process once the cluster says that it is no member.
    async fn farewell(&mut self) {
        let Some(id) = self.guest.as_ref().map(|guest| guest.id) else { return };
        self.change(MembershipOp::Remove).await;
        let gone = self.status().await.is_some_and(|status| role(&status, id).is_none());
        if gone {
            self.caller.context.nodes.strike(id);
            self.caller.count("removed");
            self.guest = None;
        }
    }

    /// Asks for a change until the cluster shows it, for a few tries.
    async fn change(&mut self, change: MembershipOp) -> bool {
        for _ in 0..TRIES {
            match self.ask(change).await {
                Some(true) => return true,
                Some(false) => {}
                None => return false,
            }
            if self.caller.context.stop.is_told() {
                return false;
            }
            crate::pause().await;
        }
        false
    }

    /// One `weir cluster` command. Whether the change is there afterwards.
    async fn ask(&mut self, change: MembershipOp) -> Option<bool> {
        let guest = self.guest.as_ref()?;
        let (id, number) = (guest.id, guest.id.to_string());
        let (peer, url) = (guest.peer.clone(), guest.edge.base().to_owned());
        let mut args = vec!["cluster"];
        match change {
            MembershipOp::AddLearner => args.extend(["add", &number, &peer, &url, "--learner"]),
            MembershipOp::Promote => args.extend(["add", &number, &peer, &url]),
            MembershipOp::TransferLeader => args.extend(["transfer", &number]),
            MembershipOp::Remove | MembershipOp::Demote => args.extend(["remove", &number]),
        }
        args.extend(["--timeout", COMMAND]);
        let call = Call::Membership { change, member: id, node: 0 };
        let pending = self.caller.context.recorder.invoke(self.caller.context.client(), call);
        let edges: Vec<_> = self.caller.context.nodes.all().into_iter().map(|(_, edge)| edge).collect();
        let out = match weir::command(&edges, &args) {
            Ok(mut command) => command.output().await.ok()?,
            Err(error) => {
                self.caller.wrong(format!("no `weir`: {error:#}"));
                return None;
            }
        };
        let code = out.status.code().unwrap_or(-1);
        self.caller.count(&format!("exit.{code}"));
        let status = self.status().await;
        let there = status.as_ref().is_some_and(|status| shows(status, change, id));
        match (out.status.success(), &status) {
            (true, Some(status)) => pending.ok(members_of(status)),
            _ if code == 7 || code == 0 => pending.unknown(&String::from_utf8_lossy(&out.stderr)),
            _ => pending.refused(&format!("exit_{code}"), None),
        }
        Some(there || (out.status.success() && status.is_none()))
    }

    /// The cluster as the node sees it that has applied most.
    async fn status(&self) -> Option<ClusterStatus> {
        let mut newest: Option<ClusterStatus> = None;
        for (_, edge) in self.caller.context.nodes.all() {
            let Some(status) = self.caller.get::<ClusterStatus>(&edge, weir_api::v1::paths::CLUSTER).await
            else {
                continue;
            };
            let further = |known: &ClusterStatus| {
                (known.term, known.applied_index) < (status.term, status.applied_index)
            };
            if newest.as_ref().is_none_or(further) {
                newest = Some(status);
            }
        }
        newest
    }
}

fn role(status: &ClusterStatus, id: u64) -> Option<MemberRole> {
    status.members.iter().find(|member| member.node_id == id).map(|member| member.role)
}

fn shows(status: &ClusterStatus, change: MembershipOp, id: u64) -> bool {
    match change {
        MembershipOp::AddLearner => role(status, id).is_some(),
        MembershipOp::Promote => role(status, id) == Some(MemberRole::Voter),
        MembershipOp::Demote => role(status, id) == Some(MemberRole::Learner),
        MembershipOp::Remove => role(status, id).is_none(),
        MembershipOp::TransferLeader => status.leader == Some(id),
    }
}

fn members_of(status: &ClusterStatus) -> Seen {
    let of = |role: MemberRole| {
        let members = status.members.iter().filter(|member| member.role == role);
        members.map(|member| member.node_id).collect()
    };
    Seen::Membership { voters: of(MemberRole::Voter), learners: of(MemberRole::Learner) }
}
