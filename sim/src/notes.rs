//! What clients note down beside the history, for the verdict.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use weir_check::{effects, groups, history::Operation, leases};

use crate::{
    balances::StateSeen, claims, desk::Rests, searches::Searched, subscriber::Place, tables::TablesSeen,
};

/// Where they note it. Clones are the same.
#[derive(Clone, Default)]
pub struct Notes(Arc<Mutex<Noted>>);

/// What was noted.
#[derive(Default)]
pub struct Noted {
    /// The states of accounts that they were told.
    pub states: Vec<StateSeen>,
    /// What consumers saw and did.
    pub facts: Vec<groups::Fact>,
    /// What workers saw of their leases.
    pub leases: Vec<leases::Fact<u64>>,
    /// What the server outside heard.
    pub heard: Vec<effects::Heard>,
    /// What tables were told to hold.
    pub tables: Vec<TablesSeen>,
    /// What transactions rest on, by their keys.
    pub rests: BTreeMap<String, Rests>,
    /// Appends that were only validated.
    pub validated: Vec<Operation>,
    /// What was searched for in the log.
    pub searched: Vec<Searched>,
    /// What clients held for a while.
    pub claims: Vec<claims::Held>,
    /// Partitions that were folded anew.
    pub mended: u64,
    /// How far subscribers are that were told to stop.
    pub places: Vec<Place>,
}

impl Notes {
    /// To add to them.
    pub fn open(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All of them, once nobody adds any more.
    #[must_use]
    pub fn take(&self) -> Noted {
        std::mem::take(&mut *self.open())
    }
}
