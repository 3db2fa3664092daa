//! Whose code folds a stream: an invariant's, or a virtual projection's.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;
use weir_types::{
    AppendError, EntityId, EventName, ProjectionDefinition, ProjectionId, ReadError, RecordedEvent, limits,
};

use super::{cache::Folder, fold::StateError};
use crate::{
    invariant::{Invariant, Walk},
    reducer::{Engine, Fault, OwnThread, ReducerLimits, Role},
    upcast::{Upcasting, Upcasts},
    work_time::WorkTime,
};

pub(super) enum Code {
    Invariant(Arc<Invariant>),
    Projection(Arc<VirtualFold>),
}

impl Code {
    pub(super) fn folder(&self) -> Folder {
        match self {
            Self::Invariant(invariant) => Folder::Invariant(invariant.entity_type.clone(), invariant.set),
            Self::Projection(fold) => Folder::Projection(fold.id.clone()),
        }
    }

    /// Whether it looks at events of a name.
    pub(super) fn folds(&self, name: &EventName) -> bool {
        match self {
            Self::Invariant(_) => true,
            Self::Projection(fold) => fold.definition.folds(name),
        }
    }

    /// Leads a state, empty for the initial one, over a page of events.
    pub(super) async fn walk(
        &self,
        entity_id: &EntityId,
        state: Arc<str>,
        events: &[RecordedEvent],
    ) -> Result<Arc<str>, StateError> {
        match self {
            Self::Invariant(invariant) => {
                let events = events.iter().map(|event| (event.clone(), false)).collect();
                Ok(invariant.walk(Walk { state, events }).await.map_err(failed)?.state)
            }
            Self::Projection(fold) => fold.walk(entity_id, state, events).await,
        }
    }
}

pub(super) fn failed(error: AppendError) -> StateError {
    match error {
        AppendError::InvariantFailed { reason, .. } => StateError::Failed { reason },
        other => StateError::Failed { reason: other.to_string() },
    }
}

/// A virtual projection and its engine.
pub(super) struct VirtualFold {
    id: ProjectionId,
    definition: Arc<ProjectionDefinition>,
    walker: OwnThread<Walker>,
    upcasts: OnceCell<Arc<Upcasts>>,
}

/// One page to be folded.
struct Page {
    entity: String,
    state: Arc<str>,
    events: Vec<RecordedEvent>,
}

impl VirtualFold {
    fn new(id: ProjectionId, definition: Arc<ProjectionDefinition>) -> Self {
        let source = Arc::clone(&definition.source);
        let make = move || Walker { source: Arc::clone(&source), engine: None };
        Self { id, definition, walker: OwnThread::new("virtual", make), upcasts: OnceCell::new() }
    }

    /// The upcasters as of its deployment, as any projection has them. They never change.
    pub(super) async fn upcasts(&self, all: &Upcasting) -> Result<Arc<Upcasts>, ReadError> {
        self.upcasts.get_or_try_init(|| all.as_of(self.id.deployed)).await.cloned()
    }

    async fn walk(
        &self,
        entity_id: &EntityId,
        state: Arc<str>,
        events: &[RecordedEvent],
    ) -> Result<Arc<str>, StateError> {
        let mine = events.iter().filter(|event| self.definition.folds(&event.name));
        let events = mine.cloned().collect();
        let page = Page { entity: entity_id.as_str().to_owned(), state, events };
        let failed = |fault: Fault| StateError::Failed { reason: fault.to_string() };
        let walked = self.walker.ask(move |walker| walker.walk(&page)).await;
        walked.map_err(|error| failed(error.into()))?.map_err(failed)
    }
}

/// An engine, on its thread. It holds one state at a time.
struct Walker {
    source: Arc<str>,
    engine: Option<Engine>,
}

impl Walker {
    /// What failed is tried once more on a fresh engine: whether it is a fault must not depend on what came before.
    fn walk(&mut self, page: &Page) -> Result<Arc<str>, Fault> {
        let fresh = self.engine.is_none();
        let mut walked = self.attempt(page);
        if walked.is_err() && !fresh {
            self.engine = None;
            walked = self.attempt(page);
        }
        walked.inspect_err(|_| self.engine = None)
    }

    fn attempt(&mut self, page: &Page) -> Result<Arc<str>, Fault> {
        let mut time = WorkTime::of(limits::VIRTUAL_TIME_MAX);
        let engine = self.engine()?;
        engine.load(&page.entity, &page.state)?;
        for event in &page.events {
            let at_event = |fault: Fault| {
                let message =
                    format!("event `{}` of version {}: {}", event.name, event.version, fault.message);
                Fault { message, ..fault }
            };
            engine.step(&page.entity, event).map_err(at_event)?;
            if time.is_over() {
                let max = limits::VIRTUAL_TIME_MAX.as_millis();
                return Err(Fault::new(format!("a page of events took more than {max} ms")));
            }
        }
        let state = engine.collect(&page.entity)?;
        engine.drop_state(&page.entity)?;
        let (bytes, max) = (state.len(), limits::VIEW_STATE_BYTES_MAX);
        if bytes > max {
            return Err(Fault::new(format!("state has {bytes} bytes, over the limit of {max}")));
        }
        Ok(state.into())
    }

    fn engine(&mut self) -> Result<&mut Engine, Fault> {
        if self.engine.is_none() {
            let loaded = Engine::load_module(Role::Projection, &self.source, ReducerLimits::default());
            self.engine = Some(loaded?);
        }
        Ok(self.engine.as_mut().expect("it was just loaded"))
    }
}

/// The engines of the virtual projections that were read last.
#[derive(Default)]
pub(super) struct Shelf(Mutex<Vec<Arc<VirtualFold>>>);

impl Shelf {
    /// The engine that there is, or another in the place of the one that was not used for the longest time.
    pub(super) fn take(&self, id: &ProjectionId, definition: &ProjectionDefinition) -> Arc<VirtualFold> {
        let mut shelf = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fold = match shelf.iter().position(|fold| fold.id == *id) {
            Some(at) => shelf.remove(at),
            None => Arc::new(VirtualFold::new(id.clone(), Arc::new(definition.clone()))),
        };
        shelf.push(Arc::clone(&fold));
        let over = shelf.len().saturating_sub(limits::VIRTUAL_ENGINES_MAX);
        shelf.drain(..over);
        fold
    }
}
