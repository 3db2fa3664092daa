//! `weir cluster …`

use std::time::{Duration, Instant};

use clap::Subcommand;
use weir_client::{
    Client, ErrorCode,
    v1::{ClusterStatus, InitBody, MemberBody, MemberRole, MemberStatus},
};

use crate::{duration::parse_duration, error::CliError, output::Output, projection::done};

#[derive(Debug, Subcommand)]
pub enum ClusterCommand {
    /// Show members and leader; exit code 5 when there is no leader
    Status {
        /// Wait so long for a leader and the members
        #[arg(long, value_parser = parse_duration, value_name = "DURATION")]
        wait: Option<Duration>,
        /// Voters that there must be
        #[arg(long, default_value_t = 1, value_name = "COUNT")]
        min_voters: usize,
    },
    /// Make a cluster; without members, of the one node
    Init {
        /// A voter: id, peer address, URL; repeat for each
        #[arg(long = "member", value_parser = parse_member, value_name = "ID,HOST:PORT,URL")]
        members: Vec<MemberBody>,
        /// Succeed when the cluster exists already
        #[arg(long)]
        if_needed: bool,
    },
    /// Add a member
    Add {
        /// Its id, never used before
        node_id: u64,
        /// Where its peer port is: host:port
        peer_address: String,
        /// Where its HTTP server is: http://host:port
        url: String,
        /// Let it follow without a vote
        #[arg(long)]
        learner: bool,
    },
    /// Remove a member
    #[command(alias = "rm")]
    Remove {
        /// Its id
        node_id: u64,
    },
    /// Hand leadership over to a voter
    Transfer {
        /// Its id
        node_id: u64,
    },
}

fn parse_member(text: &str) -> Result<MemberBody, String> {
    let parts: Vec<&str> = text.split(',').collect();
    let [node_id, peer_address, url] = parts[..] else {
        return Err("not of the form ID,HOST:PORT,URL".into());
    };
    Ok(MemberBody {
        node_id: node_id.parse().map_err(|_| format!("`{node_id}` is not an id"))?,
        peer_address: peer_address.into(),
        url: url.into(),
        voter: true,
    })
}

pub(crate) async fn run(command: &ClusterCommand, client: &Client, output: &Output) -> Result<(), CliError> {
    match command {
        ClusterCommand::Status { wait, min_voters } => {
            let status = wait_for(client, wait.unwrap_or_default(), *min_voters).await?;
            show(&status, output)?;
            unhealthy(&status, *min_voters).map_or(Ok(()), |why| Err(CliError::NotHealthy(why)))
        }
        ClusterCommand::Init { members, if_needed } => {
            match client.init_cluster(&InitBody { members: members.clone() }).await {
                Err(error) if *if_needed && error.code() == Some(ErrorCode::AlreadyInitialized) => {
                    done(output, "cluster exists already")
                }
                Err(error) => Err(error.into()),
                Ok(()) => done(output, "cluster initialized"),
            }
        }
        ClusterCommand::Add { node_id, peer_address, url, learner } => {
            let body = MemberBody {
                node_id: *node_id,
                peer_address: peer_address.clone(),
                url: url.clone(),
                voter: !learner,
            };
            client.add_member(&body).await?;
            done(output, &format!("node {node_id} added"))
        }
        ClusterCommand::Remove { node_id } => {
            client.remove_member(*node_id).await?;
            done(output, &format!("node {node_id} removed"))
        }
        ClusterCommand::Transfer { node_id } => {
            client.transfer_leadership(*node_id).await?;
            done(output, &format!("leadership handed to node {node_id}"))
        }
    }
}

/// The status as soon as it is healthy, or as it is when the time is up.
async fn wait_for(client: &Client, wait: Duration, min_voters: usize) -> Result<ClusterStatus, CliError> {
    let end = Instant::now() + wait;
    loop {
        let status = client.cluster().await;
        let good = status.as_ref().is_ok_and(|status| unhealthy(status, min_voters).is_none());
        if good || Instant::now() >= end {
            return Ok(status?);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Why a cluster is not healthy, if it is not.
fn unhealthy(status: &ClusterStatus, min_voters: usize) -> Option<String> {
    let voters = status.members.iter().filter(|member| member.role == MemberRole::Voter).count();
    if status.leader.is_none() {
        return Some("cluster has no leader".into());
    }
    (voters < min_voters).then(|| format!("cluster has {voters} voters, fewer than {min_voters}"))
}

fn show(status: &ClusterStatus, output: &Output) -> Result<(), CliError> {
    if output.is_json() {
        return output.json(status);
    }
    let row = |member: &MemberStatus| {
        let role = match (status.leader == Some(member.node_id), member.role) {
            (true, _) => "leader",
            (false, MemberRole::Voter) => "voter",
            (false, MemberRole::Learner) => "learner",
        };
        let matched = member.matched_index.map_or_else(|| "-".into(), |index| index.to_string());
        let (node, silent) = (member.node_id.to_string(), silence(member));
        [node, role.into(), matched, silent, member.peer_address.clone(), member.url.clone()]
    };
    let rows: Vec<_> = status.members.iter().map(row).collect();
    output.table(["NODE", "ROLE", "MATCHED", "SILENT", "PEER", "URL"], &rows)?;
    eprintln!(
        "cluster {}, seen by node {}: term {}, log {}, committed {}, applied {}, position {}",
        status.cluster_id.as_deref().unwrap_or("-"),
        status.node_id,
        status.term,
        status.last_log_index,
        status.committed_index,
        status.applied_index,
        status.applied_position,
    );
    Ok(())
}

/// How long the leader has not heard from a member. A leader that answers knows
/// of everyone what it holds, and has never heard from whom it knows no silence of.
fn silence(member: &MemberStatus) -> String {
    match (member.silent_ms, member.matched_index) {
        (Some(ms), _) if ms < 10_000 => format!("{ms} ms"),
        (Some(ms), _) => format!("{} s", ms / 1_000),
        (None, Some(_)) => "never heard".into(),
        (None, None) => "-".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_short_long_unheard_or_unknown() {
        for (silent_ms, matched_index, shown) in [
            (Some(0), Some(7), "0 ms"),
            (Some(9_999), Some(7), "9999 ms"),
            (Some(61_500), Some(7), "61 s"),
            (None, Some(0), "never heard"),
            (None, None, "-"),
        ] {
            let member = MemberStatus {
                node_id: 2,
                role: MemberRole::Voter,
                peer_address: "b:9124".into(),
                url: "http://b:9123".into(),
                matched_index,
                silent_ms,
            };
            assert_eq!(silence(&member), shown);
        }
    }
}
