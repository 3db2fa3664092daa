//! A node whose log is damaged mends it before it takes part again.

use tracing::info;
use weir_raft::{RepairOptions, repair};
use weir_storage::{folder::DataFolder, group_store::OpenError, log::LogError};
use weir_types::GroupId;

use crate::{
    config::{NodePlan, Repair},
    node::StartError,
};

/// What `open` opens; when the log is damaged and that is wanted, it is mended
/// with the records of the peers and opened again.
///
/// # Errors
/// [`StartError`] of `open`; [`StartError::Repair`].
pub(crate) async fn opened<T>(
    plan: &NodePlan,
    folder: &DataFolder,
    open: impl AsyncFn() -> Result<T, StartError>,
) -> Result<T, StartError> {
    let damaged = match open().await {
        Err(StartError::Store(OpenError::Log(error @ LogError::Damaged { .. }))) => error,
        opened => return opened,
    };
    if plan.repair == Repair::Off {
        return Err(StartError::Store(OpenError::Log(damaged)));
    }
    let peers = plan.other_peers().map(str::to_owned).collect();
    let (folder, config_checksum) = (folder.clone(), plan.shared.checksum());
    let options = RepairOptions { folder, group: GroupId::DEFAULT, config_checksum, peers };
    let refused = |damaged, reason| Err(StartError::Repair { damaged, reason });
    match repair(&options).await {
        Ok(0) => refused(damaged, "no peer has what was lost".to_owned()),
        Ok(places) => {
            info!(node_id = plan.node.0, places, "log is whole again");
            open().await
        }
        Err(error) => refused(damaged, error.to_string()),
    }
}
