//! Who the cluster is at the end: the nodes of the rig, each a voter, once. A
//! joint configuration whose voters together are these looks the same from outside.

use anyhow::{Result, ensure};
use weir_api::v1::{ClusterStatus, MemberRole};

use super::{
    rig::Rig,
    seat::{holders, seat},
};
use crate::{PATIENCE, eventually};

/// How the members that a node tells differ from the nodes of the rig, for every node.
pub async fn differences(rig: &Rig) -> Vec<String> {
    let seats = rig.ids();
    let mut found = Vec::new();
    for node in &rig.nodes {
        // All have applied the same, but what a node tells of it may be a moment old.
        let told = eventually("all nodes vote and nobody else", PATIENCE, || async {
            agrees(&node.edge.status().await?, node.id, &seats)
        });
        if let Err(error) = told.await {
            found.push(format!("members as node {} tells them: {error:#}", node.id));
        }
    }
    found
}

fn agrees(status: &ClusterStatus, node: u64, seats: &[u64]) -> Result<()> {
    let members: Vec<_> = status.members.iter().map(|member| (member.node_id, member.role)).collect();
    let stranger = members.iter().find(|(id, _)| !seats.contains(&seat(*id)));
    ensure!(stranger.is_none(), "{stranger:?} is none of {seats:?}");
    let learner = members.iter().find(|(_, role)| *role != MemberRole::Voter);
    ensure!(learner.is_none(), "{learner:?} has no vote");
    for of in seats {
        let held = holders(status, *of).count();
        ensure!(held == 1, "{held} members have the seat of node {of}: {members:?}");
    }
    let (own, ids) = (status.node_id, members.iter().map(|(id, _)| *id));
    ensure!(seat(own) == node && ids.into_iter().any(|id| id == own), "it is {own}: {members:?}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NEW: u64 = 57_000_003;

    #[test]
    fn members_are_the_nodes_of_the_rig_as_voters_and_nobody_else() {
        use MemberRole::{Learner, Voter};
        let cases = [
            ("founders", 3, vec![(1, Voter), (2, Voter), (3, Voter)], None),
            ("a seat taken again", NEW, vec![(1, Voter), (2, Voter), (NEW, Voter)], None),
            ("a guest", 3, vec![(1, Voter), (2, Voter), (3, Voter), (101, Voter)], Some("(101, Voter)")),
            ("a learner", 3, vec![(1, Voter), (2, Voter), (3, Learner)], Some("has no vote")),
            ("one is gone", 3, vec![(1, Voter), (3, Voter)], Some("0 members have the seat of node 2")),
            (
                "two with one seat",
                NEW,
                vec![(1, Voter), (2, Voter), (3, Voter), (NEW, Voter)],
                Some("2 members have the seat of node 3"),
            ),
            ("an old folder", 3, vec![(1, Voter), (2, Voter), (NEW, Voter)], Some("it is 3")),
        ];
        for (what, own, members, wrong) in cases {
            let member = |(node_id, role): &(u64, MemberRole)| json!({ "nodeId": node_id, "role": role, "peerAddress": "", "url": "" });
            let members: Vec<_> = members.iter().map(member).collect();
            let status = json!({
                "nodeId": own, "version": "", "state": "follower", "term": 1, "lastLogIndex": 1,
                "committedIndex": 1, "appliedIndex": 1, "appliedPosition": 1, "appliedDigest": "",
                "members": members,
            });
            let told = agrees(&serde_json::from_value(status).unwrap(), 3, &[1, 2, 3]);
            match wrong {
                None => assert!(told.is_ok(), "{what}: {told:?}"),
                Some(wrong) => assert!(format!("{:?}", told.unwrap_err()).contains(wrong), "{what}"),
            }
        }
    }
}
