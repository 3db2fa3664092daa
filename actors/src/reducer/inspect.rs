use std::sync::Arc;

use weir_types::{
    EventPattern, NameError, OnError, ProjectionDefinition, ProjectionKind, ProjectionName, RegistryError,
    SinkName, TablesDefinition, limits,
};

use super::{
    Fault, ReducerLimits,
    engine::{Engine, Role},
    partition::PartitionPath,
};

/// Why a module is not a projection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReducerError {
    /// The text is longer than it may be.
    #[error("module has {bytes} bytes, over the limit of {max}")]
    TooLong {
        /// Its bytes.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// It does not parse, throws when it is loaded, or exports something else
    /// than it should. The stack says line and column.
    #[error("module does not load: {fault}")]
    Module {
        /// What went wrong.
        fault: Fault,
    },
    /// The exported `name` is not legal.
    #[error("exported `name` is not legal: {error}")]
    Name {
        /// Why.
        #[source]
        error: NameError,
    },
    /// An exported event pattern is not legal, or there are too many or none.
    #[error("exported `events` are not legal: {error}")]
    Events {
        /// Why.
        #[source]
        error: RegistryError,
    },
    /// The exported `onError` is no policy.
    #[error("exported `onError` is `{found}`, and must be `park` or `skip`")]
    OnError {
        /// What it is.
        found: String,
    },
    /// The exported `kind` is none.
    #[error("exported `kind` is `{found}`, and must be `async`, `inline`, `virtual` or `sql`")]
    Kind {
        /// What it is.
        found: String,
    },
    /// The exported `sink` is no name.
    #[error("exported `sink` is not legal: {error}")]
    Sink {
        /// Why.
        #[source]
        error: NameError,
    },
    /// A projection that nobody folds along the log exports what only such a one has a use for.
    #[error("exported `{what}` has no use: a `virtual` projection is folded for one stream when it is read")]
    Virtual {
        /// The name of what it exports.
        what: &'static str,
    },
    /// An export is one that is known but for its case.
    #[error("exported `{found}` is not known; `{meant}` is")]
    Misspelt {
        /// As it is exported.
        found: String,
        /// As it is meant, most likely.
        meant: String,
    },
    /// The exported `name` is one that no client could ask for by its path.
    #[error("exported `name` is `{found}`, which stands for something else in a path")]
    Unreachable {
        /// The name.
        found: String,
    },
    /// The exported `partitionKey` is not a JSONPath.
    #[error("exported `partitionKey` is not a JSONPath: {reason}")]
    PartitionKey {
        /// Why.
        reason: String,
    },
}

/// Reads a module's declarations, and so checks it, in an engine of its own.
/// Blocks for some milliseconds: call it off the runtime.
///
/// # Errors
/// [`ReducerError`], whose text is meant for the module's author.
pub fn inspect(source: &str) -> Result<ProjectionDefinition, ReducerError> {
    let (bytes, max) = (source.len(), limits::PROJECTION_SOURCE_BYTES_MAX);
    if bytes > max {
        return Err(ReducerError::TooLong { bytes, max });
    }
    let engine = Engine::load_module(Role::Projection, source, ReducerLimits::default())
        .map_err(|fault| ReducerError::Module { fault })?;
    define(declared(&engine)?, source)
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Declared {
    name: String,
    events: Vec<String>,
    partition_key: Option<String>,
    on_error: Option<String>,
    kind: Option<String>,
    sink: Option<String>,
    tables: Option<String>,
    misspelt: Option<Misspelt>,
}

#[derive(serde::Deserialize)]
struct Misspelt {
    found: String,
    meant: String,
}

fn define(declared: Declared, source: &str) -> Result<ProjectionDefinition, ReducerError> {
    if let Some(Misspelt { found, meant }) = declared.misspelt {
        return Err(ReducerError::Misspelt { found, meant });
    }
    let name = ProjectionName::new(&declared.name).map_err(|error| ReducerError::Name { error })?;
    if !name.is_reachable() {
        return Err(ReducerError::Unreachable { found: declared.name });
    }
    let events: Result<Vec<_>, _> = declared.events.iter().map(|text| EventPattern::new(text)).collect();
    let events = events.map_err(|error| ReducerError::Events { error })?;
    if let Some(path) = &declared.partition_key {
        PartitionPath::parse(path).map_err(|reason| ReducerError::PartitionKey { reason })?;
    }
    let on_error = match declared.on_error {
        None => OnError::default(),
        Some(found) => OnError::from_name(&found).ok_or(ReducerError::OnError { found })?,
    };
    let kind = match declared.kind {
        None => ProjectionKind::default(),
        Some(found) => ProjectionKind::from_name(&found).ok_or(ReducerError::Kind { found })?,
    };
    if kind == ProjectionKind::Virtual {
        let useless = declared.partition_key.as_ref().map(|_| "partitionKey");
        let useless = useless.or((on_error == OnError::Skip).then_some("onError"));
        useless.map_or(Ok(()), |what| Err(ReducerError::Virtual { what }))?;
    }
    let definition = ProjectionDefinition {
        name,
        events,
        partition_key: declared.partition_key,
        source: Arc::from(source),
        on_error,
        kind,
        sink: sink_of(declared.sink.as_deref())?,
    };
    definition.check_limits().map_err(|error| ReducerError::Events { error })?;
    Ok(definition)
}

fn sink_of(declared: Option<&str>) -> Result<Option<SinkName>, ReducerError> {
    declared.map(SinkName::new).transpose().map_err(|error| ReducerError::Sink { error })
}

/// The definition of the tables that a module folds into; `None` of one that does not. Blocks as [`inspect`] does.
///
/// # Errors
/// [`ReducerError`].
pub fn inspect_tables(source: &str) -> Result<Option<TablesDefinition>, ReducerError> {
    let engine = Engine::load_module(Role::Projection, source, ReducerLimits::default())
        .map_err(|fault| ReducerError::Module { fault })?;
    let Declared { tables, sink, .. } = declared(&engine)?;
    let sink = sink_of(sink.as_deref())?;
    Ok(tables.map(|sql| TablesDefinition { sink, sql }))
}

fn declared(engine: &Engine) -> Result<Declared, ReducerError> {
    serde_json::from_str(engine.declared()).map_err(|error| ReducerError::Module {
        fault: Fault::new(format!("declarations are not readable: {error}")),
    })
}

/// Checks an invariant's module, in an engine of its own. Blocks as [`inspect`] does.
///
/// # Errors
/// [`ReducerError`], whose text is meant for the module's author.
pub fn inspect_invariant(source: &str) -> Result<(), ReducerError> {
    let (bytes, max) = (source.len(), limits::INVARIANT_SOURCE_BYTES_MAX);
    if bytes > max {
        return Err(ReducerError::TooLong { bytes, max });
    }
    let loaded = Engine::load_module(Role::Invariant, source, ReducerLimits::default());
    loaded.map(drop).map_err(|fault| ReducerError::Module { fault })
}

/// Checks an upcaster's module, in an engine of its own. Blocks as [`inspect`] does.
///
/// # Errors
/// [`ReducerError`], whose text is meant for the module's author.
pub fn inspect_upcaster(source: &str) -> Result<(), ReducerError> {
    let (bytes, max) = (source.len(), limits::UPCASTER_SOURCE_BYTES_MAX);
    if bytes > max {
        return Err(ReducerError::TooLong { bytes, max });
    }
    let loaded = Engine::load_module(Role::Upcaster, source, ReducerLimits::default());
    loaded.map(drop).map_err(|fault| ReducerError::Module { fault })
}
