//! `weir projection verify`: one projection on all nodes, at one position.

use weir_client::{Client, v1::DigestView};

use crate::{error::CliError, output::Output};

/// Times that it is begun anew because a node was not held long enough.
const TRIES: usize = 5;

pub(crate) async fn verify(name: &str, client: &Client, output: &Output) -> Result<(), CliError> {
    let members = client.cluster().await?.members;
    let clients: Result<Vec<_>, _> =
        members.iter().map(|member| Client::new([&member.url], client.options())).collect();
    let clients = clients?;
    let mut tries = 0;
    let digests = loop {
        tries += 1;
        match digests(name, &clients).await {
            Err(CliError::Client(error)) if tries < TRIES && is_passed(&error) => {}
            other => break other?,
        }
    };
    show(&digests, output)?;
    match odd_ones(&digests).as_slice() {
        [] => Ok(()),
        odd => Err(CliError::Failed(format!("`{name}` is another on {}", odd.join(", ")))),
    }
}

fn is_passed(error: &weir_client::ClientError) -> bool {
    matches!(error, weir_client::ClientError::Api(error) if error.code == weir_client::ErrorCode::PositionPassed)
}

/// Holds the projection on every node, and lets each go on to where the furthest is.
async fn digests(name: &str, clients: &[Client]) -> Result<Vec<DigestView>, CliError> {
    let mut furthest = 0;
    for client in clients {
        furthest = furthest.max(client.projection_digest(name, None).await?.position);
    }
    let mut digests = Vec::new();
    for client in clients {
        digests.push(client.projection_digest(name, Some(furthest)).await?);
    }
    Ok(digests)
}

/// The nodes that do not hold what most do; all of them where no digest is held by most.
fn odd_ones(digests: &[DigestView]) -> Vec<String> {
    let same = |one: &DigestView| digests.iter().filter(|other| other.digest == one.digest).count();
    let most = digests.iter().find(|one| same(one) * 2 > digests.len()).map(|one| one.digest.clone());
    let odd = digests.iter().filter(|one| most.as_ref() != Some(&one.digest));
    odd.map(|one| format!("node {}", one.node_id)).collect()
}

fn show(digests: &[DigestView], output: &Output) -> Result<(), CliError> {
    if output.is_json() {
        return output.json(&digests);
    }
    let row = |one: &DigestView| {
        [
            one.node_id.to_string(),
            one.position.to_string(),
            one.digest.clone(),
            one.folded_events.to_string(),
            one.deployed.to_string(),
        ]
    };
    let rows: Vec<_> = digests.iter().map(row).collect();
    output.table(["NODE", "POSITION", "DIGEST", "EVENTS", "DEPLOYED"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nodes_that_differ_from_most_are_named() {
        let digests = |texts: &[&str]| -> Vec<DigestView> {
            let of = |(node, digest): (u64, &&str)| DigestView {
                name: "p".into(),
                node_id: node,
                deployed: 1,
                position: 9,
                digest: (**digest).into(),
                folded_events: 9,
                dead_letters: 0,
            };
            (1..).zip(texts).map(of).collect()
        };
        for (texts, odd) in [
            (&["a"][..], ""),
            (&["a", "a", "a"], ""),
            (&["a", "b", "a"], "node 2"),
            (&["a", "b"], "node 1, node 2"),
            (&["a", "b", "c"], "node 1, node 2, node 3"),
        ] {
            assert_eq!(odd_ones(&digests(texts)).join(", "), odd, "{texts:?}");
        }
    }
}
