use weir_client::{ProjectionWatch, StateNotice, v1::StateUpdate};

use crate::{error::CliError, output::Output};

/// Prints states until the limit, an error that waiting does not heal, or the reader's end.
pub(super) async fn follow(mut watch: ProjectionWatch, limit: u64, output: &Output) -> Result<(), CliError> {
    let mut left = limit;
    while left > 0 {
        match watch.next().await? {
            StateNotice::State(state) => {
                left -= 1;
                match output.is_json() {
                    true => {
                        let text = serde_json::to_string(&state);
                        output.line(&text.map_err(|error| CliError::Failed(error.to_string()))?)?;
                    }
                    false => output.line(&line(&state))?,
                }
            }
            StateNotice::Redeployed(deployed) => eprintln!("deployed anew at log index {deployed}"),
            StateNotice::Lost(reason) => eprintln!("still waiting: {reason}"),
            StateNotice::CaughtUp(_) | StateNotice::Heartbeat(_) => {}
        }
    }
    Ok(())
}

fn line(state: &StateUpdate) -> String {
    let partition = state.partition.replace(['\t', '\n', '\r'], " ");
    let text = state.state.get().replace(['\t', '\n', '\r'], " ");
    format!("{}\t{partition}\t{}\t{text}", state.sequence, state.last_event_name)
}
