use weir_types::{
    InvariantId::{A1, A2, A3, A4, O1, P1, P2, Q1, R1, S1, W1},
    Planted,
};

use super::{
    catch::Catch::{self, Invariant, Keys, Streams, Wrong},
    plan::Plan,
};

/// What a bug is looked for with, and what shows it: any of these.
pub(super) fn expected(plant: Planted) -> (Plan, &'static [Catch]) {
    match plant {
        // The log.
        Planted::AckBeforeFsync => (Plan::Power, &[Invariant(A1), Wrong("ended by itself")]),
        Planted::VoteForgotten => (Plan::Kills, &[Invariant(W1)]),
        Planted::CutTooFar => (Plan::Cuts, &[Wrong("ended by itself")]),
        Planted::DamageTakenForTornTail => {
            (Plan::Rot, &[Invariant(A1), Wrong("a node panicked"), Wrong("damage was taken for a torn tail")])
        }
        Planted::ReplaySkipsOne => (Plan::Kills, &[Wrong("ended by itself")]),
        Planted::RegistryNotReplayed => (Plan::Losses, &[Invariant(P2), Invariant(R1), Wrong("no view of")]),
        Planted::KvNotReplayed => (Plan::Losses, &[Keys, Invariant(R1), Wrong("workload kv")]),
        Planted::CasIgnoresRevision => (Plan::Keys, &[Keys]),
        Planted::DueTooEarly => (Plan::Keys, &[Wrong("workload kv")]),
        // Raft and apply.
        Planted::MembershipForgotten => (Plan::Kills, &[Wrong("the cluster does not come back")]),
        Planted::ApplyUsesOwnValue => (Plan::Kills, &[Invariant(R1), Invariant(A3)]),
        Planted::HoleAfterActivation => (Plan::Calm, &[Invariant(A2)]),
        Planted::HeadCacheNotUpdated => (
            Plan::Calm,
            &[Wrong("takes no append although all is healed"), Wrong("and then a linearizable read")],
        ),
        Planted::AppendAppliedInPart | Planted::AnswersSwapped | Planted::TransactionAppliedInPart => {
            (Plan::Calm, &[Invariant(A1)])
        }
        Planted::SessionAnswersSwapped => (Plan::Calm, &[Invariant(A1), Invariant(A4)]),
        Planted::ConditionIgnored => (Plan::Calm, &[Wrong("workload transactions")]),
        // The actor and the edge.
        Planted::JudgedOnOlderState => (Plan::Accounts, &[Wrong("its invariant does not hold")]),
        Planted::GuardIgnored | Planted::ZeroMeansAny => (Plan::Calm, &[Streams]),
        Planted::RefusalNotHeld => (Plan::Cuts, &[Streams]),
        Planted::KeyForgotten | Planted::KeyWithoutDigest | Planted::RepeatToldAsFirst => {
            (Plan::Calm, &[Invariant(A3)])
        }
        Planted::UnknownIsRetried | Planted::LostAnswerIsNotSent => {
            (Plan::Leaders, &[Invariant(A1), Invariant(A4), Streams])
        }
        Planted::ImportTakesUnknownForDone => (Plan::Imports, &[Wrong("workload imports")]),
        // Reads.
        Planted::StaleRead => (Plan::Calm, &[Streams]),
        Planted::MinPositionIgnored | Planted::ViewTooEarly => (Plan::Calm, &[Invariant(Q1)]),
        Planted::AppliedToldTooHigh
        | Planted::BackwardMissesNewest
        | Planted::PageOverItsLimit
        | Planted::PageSkipsOne => (Plan::Calm, &[Streams]),
        Planted::StatusOfTwoMoments => (Plan::Calm, &[Invariant(P1)]),
        Planted::ListMissesOne => (Plan::Calm, &[Wrong("does not list")]),
        // Subscriptions.
        Planted::LiveJoinedLate => (Plan::Subscribers, &[Invariant(S1)]),
        Planted::CursorTooHigh => (Plan::Subscribers, &[Invariant(S1), Wrong("cursor of position")]),
        // Consumer groups.
        Planted::ConsumersOutOfOrder => {
            (Plan::Groups, &[Wrong("was handed out before anybody said anything of")])
        }
        Planted::AckToldEarly => (Plan::Groups, &[Wrong("was settled at")]),
        // Projections that workers fold.
        Planted::SaveIgnoresFence => (Plan::Workers, &[Wrong("was taken after lease")]),
        Planted::WorkerCheckpointFirst => (Plan::Workers, &[Wrong("has partition")]),
        // The past of streams.
        Planted::AsOfTakesTheNext => (Plan::Moments, &[Wrong("the state is of version")]),
        Planted::StateKeptForTheNext => (Plan::Moments, &[Wrong("the state of version")]),
        // The outbox.
        Planted::OutboxWithoutFence | Planted::OutboxKeepsItsCursor => {
            (Plan::Rewinds, &[Invariant(O1), Wrong("JetStream is at")])
        }
        Planted::OutboxGuessesItsCursor | Planted::OutboxLeavesOutTheLast => {
            (Plan::Bus, &[Wrong("JetStream is at"), Wrong("has everything up to")])
        }
        // Projections.
        Planted::CheckpointBeforeState
        | Planted::StateBeforeCheckpoint
        | Planted::FoldedTwiceAfterRestart => (Plan::Kills, &[Invariant(P2), Invariant(R1)]),
        Planted::SwapBeforeCaughtUp => (Plan::Calm, &[Invariant(P1), Invariant(Q1)]),
        Planted::CheckpointToldEarly
        | Planted::PartitionsMixedUp
        | Planted::ViewOfAnotherMoment
        | Planted::RedeployedInheritsViews => (Plan::Calm, &[Invariant(P2)]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearly_every_invariant_catches_some_bug() {
        let caught = |check: Catch| Planted::ALL.iter().any(|plant| expected(*plant).1.contains(&check));
        // What breaks R2 or O1 so far shows elsewhere before.
        let checks = [A1, A2, A3, A4, P1, P2, Q1, R1, S1, W1].map(Invariant);
        assert!(checks.into_iter().chain([Keys, Streams]).all(caught));
        assert!(Planted::ALL.len() >= 30, "the harness is proven by 30 bugs at least");
    }
}
