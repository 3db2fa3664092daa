use std::cmp::Ordering;

use tokio_postgres::{Client, GenericClient};
use tracing::warn;
use weir_types::{Position, SqlFault, TableChange};

use super::{
    carry::carry_out,
    control::{Key, Standing},
    fault::SinkError,
    postgres::{begin, enter, within},
};

/// What is left of a change, given what the tables reflect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    /// Nothing: another generation has taken their place.
    Gone,
    /// Nothing: another node was first.
    Nothing,
    /// What follows this position.
    After(Position),
}

/// Carries out what no other node has, in one transaction with the checkpoint; or tells the event that is to blame, or
/// that another node has passed.
pub(super) async fn commit(
    client: &mut Client,
    key: &Key,
    change: &TableChange,
) -> Result<Option<SqlFault>, SinkError> {
    // Without the lock: most nodes find that another was first, and keep nobody waiting.
    let standing = found(key.standing(&*client, false).await?)?;
    match left(&standing, change)? {
        Left::Gone => return Ok(None),
        Left::Nothing => return passed(&*client, key, change, &standing).await,
        Left::After(_) => {}
    }
    let transaction = begin(client).await?;
    let standing = found(key.standing(&transaction, true).await?)?;
    let after = match left(&standing, change)? {
        Left::Gone => return Ok(None),
        Left::Nothing => return passed(&transaction, key, change, &standing).await,
        Left::After(after) => after,
    };
    if let Some(fault) = passed(&transaction, key, change, &standing).await? {
        return Ok(Some(fault));
    }
    enter(&transaction, &standing.schema).await?;
    let first = change.steps.partition_point(|step| step.position <= after);
    if let Some(fault) = carry_out(&transaction, &change.steps[first..]).await? {
        return Ok(Some(fault));
    }
    if let Some(skipped) = change.skipped.as_ref().filter(|skipped| skipped.position > after) {
        key.skip(&transaction, skipped).await?;
    }
    key.advance(&transaction, &change.checkpoint).await?;
    // Where its outcome stays unknown the row tells it, the next time.
    within(transaction.commit()).await?;
    Ok(None)
}

fn found(standing: Option<Standing>) -> Result<Standing, SinkError> {
    standing.ok_or_else(|| SinkError::Failed("tables are not there any more".into()))
}

fn left(standing: &Standing, change: &TableChange) -> Result<Left, SinkError> {
    let held = standing.checkpoint.position;
    if standing.dropped {
        return Ok(Left::Gone);
    }
    if held < change.after {
        let after = change.after;
        return Err(SinkError::Failed(format!("tables reflect position {held}, and had reflected {after}")));
    }
    Ok(match held.cmp(&change.checkpoint.position) {
        Ordering::Less => Left::After(held),
        Ordering::Equal | Ordering::Greater => Left::Nothing,
    })
}

/// Of what another node has carried out, the event that it has passed and this one has not; or has passed for another
/// reason, since the first one's words count.
async fn passed(
    client: &impl GenericClient,
    key: &Key,
    change: &TableChange,
    standing: &Standing,
) -> Result<Option<SqlFault>, SinkError> {
    let held = &standing.checkpoint;
    if held.position == change.checkpoint.position && held.digest != change.checkpoint.digest {
        let (position, name) = (held.position, &key.name);
        warn!(projection = %name, %position, "another node has folded something else into the sink");
    }
    if held.position == change.after || (held.dead_letters == 0 && change.skipped.is_none()) {
        return Ok(None);
    }
    judge(change, held.position, key.skipped(client, change.after).await?)
}

fn judge(change: &TableChange, held: Position, theirs: Vec<SqlFault>) -> Result<Option<SqlFault>, SinkError> {
    let of_theirs = |position: Position| theirs.iter().find(|one| one.position == position);
    if let Some(found) = change.steps.iter().find_map(|step| of_theirs(step.position)) {
        return Ok(Some(found.clone()));
    }
    let Some(mine) = change.skipped.as_ref().filter(|mine| mine.position <= held) else { return Ok(None) };
    match of_theirs(mine.position) {
        Some(same) if same == mine => Ok(None),
        Some(other) => Ok(Some(other.clone())),
        // Somebody has changed the tables in between: what failed here was carried out there.
        None => Err(SinkError::Failed(format!(
            "another node has carried out the event at position {}, which failed here",
            mine.position
        ))),
    }
}

#[cfg(test)]
mod tests {
    use weir_types::{SqlStep, ports::Checkpoint};

    use super::*;

    fn at(position: u64) -> Checkpoint {
        Checkpoint { position: Position(position), ..Checkpoint::default() }
    }

    fn fault(position: u64, message: &str) -> SqlFault {
        SqlFault { position: Position(position), message: message.into() }
    }

    /// What follows position 10, up to 20.
    fn change(steps: &[u64], skipped: Option<SqlFault>) -> TableChange {
        let step = |position: &u64| SqlStep { position: Position(*position), statements: Vec::new() };
        let steps = steps.iter().map(step).collect();
        TableChange { after: Position(10), checkpoint: at(20), steps, skipped }
    }

    #[test]
    fn what_others_have_carried_out_is_left_out() {
        let standing = |position, dropped| Standing {
            generation: 1,
            schema: "s".into(),
            dropped,
            checkpoint: at(position),
        };
        for (position, dropped, expected) in [
            (10, false, Ok(Left::After(Position(10)))),
            (19, false, Ok(Left::After(Position(19)))),
            (20, false, Ok(Left::Nothing)),
            (21, false, Ok(Left::Nothing)),
            (3, true, Ok(Left::Gone)),
        ] {
            assert_eq!(left(&standing(position, dropped), &change(&[], None)), expected, "{position}");
        }
        assert!(left(&standing(9, false), &change(&[], None)).is_err());
    }

    #[test]
    fn the_first_that_passes_an_event_decides() {
        let judged = |steps: &[u64], mine: Option<SqlFault>, theirs: &[SqlFault]| {
            judge(&change(steps, mine), Position(20), theirs.to_vec())
        };
        assert_eq!(judged(&[11, 12], None, &[]), Ok(None));
        assert_eq!(judged(&[11, 12], None, &[fault(12, "x"), fault(13, "y")]), Ok(Some(fault(12, "x"))));
        assert_eq!(judged(&[11], Some(fault(20, "x")), &[fault(20, "x")]), Ok(None));
        assert_eq!(judged(&[11], Some(fault(20, "y")), &[fault(20, "x")]), Ok(Some(fault(20, "x"))));
        assert!(judged(&[11], Some(fault(20, "y")), &[]).is_err());
        let later = judge(&change(&[11], Some(fault(20, "y"))), Position(15), Vec::new());
        assert_eq!(later, Ok(None));
    }
}
