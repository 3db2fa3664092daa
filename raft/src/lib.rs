//! The replicated log: a decided append goes in, a quorum makes it durable, and
//! every replica applies it. The only crate that speaks openraft, and the peers' protocol.
//!
//! Start at [`RaftNode`]. Inward: [`apply`] says what a committed record does;
//! `state_machine` and `log_store` are openraft's two stores over the disk;
//! `network` carries everything between peers; `proposer`, `read`, `leadership`
//! and `views` implement the ports.

mod admission;
mod applied;
pub mod apply;
mod buckets;
mod entry;
mod fields;
mod heard;
#[cfg(feature = "inside")]
pub mod inside;
mod join;
mod leader_id;
mod leadership;
mod log_store;
mod meeting;
mod member_change;
mod membership;
mod membership_record;
mod network;
mod node;
mod observe;
mod off_runtime;
mod proposer;
mod read;
mod repair;
mod seats;
mod snapshot;
mod state_machine;
mod status;
mod succession;
mod timing;
mod types;
mod views;
mod vote_record;

pub use admission::Admitted;
pub use buckets::BucketReader;
pub use join::{JoinOptions, Standing, ask_for_seat};
pub use log_store::LogStore;
pub use meeting::Founders;
pub use membership::MembershipError;
pub use network::{
    ForwardError, ForwardHandler, PeerDialer, PeerListener, PeerNetwork, PeerReader, PeerSocket, PeerWriter,
};
pub use node::{RaftNode, RaftOptions, StartError};
pub use repair::{RepairError, RepairOptions, repair};
pub use snapshot::{SnapshotBody, SnapshotBuilder};
pub use state_machine::StateMachine;
pub use status::{ClusterStatus, MemberRole, MemberStatus, NodeState};
pub use timing::RaftTiming;
pub use types::{CommandBytes, PeerNode, TypeConfig};
pub use weir_storage::state::{KvFeed, KvFeedItem, KvFeedPage};
