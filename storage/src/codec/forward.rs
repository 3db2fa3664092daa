//! What a node that does not lead sends to the leader, and what comes back.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weir_types::{
    AppendAck, AppendError, AppendRequest, KvCommand, KvOutcome, RegistryCommand, RegistryOutcome,
    TransactionAck, TransactionRequest,
};

use super::{
    CodecError,
    append::{StoredAck, StoredAppendError, StoredAppendRequest, StoredExtra},
    decode as decode_value, encode as encode_value,
    kv::{StoredKvCommand, StoredKvOutcome},
    projection::{StoredRegistryCommand, StoredRegistryOutcome},
    transaction::{StoredTransactionAck, StoredTransactionRequest},
};

/// A request on its way to the leader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForwardRequest {
    /// An append.
    Append(AppendRequest),
    /// A change of the registry.
    Register(RegistryCommand),
    /// A transaction.
    Transact(TransactionRequest),
    /// A change of the key-value buckets.
    Kv(KvCommand),
}

/// The leader's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForwardResponse {
    /// To an append.
    Append(Result<AppendAck, AppendError>),
    /// To a change of the registry.
    Register(Result<RegistryOutcome, AppendError>),
    /// To a transaction.
    Transact(Result<TransactionAck, AppendError>),
    /// To a change of the buckets.
    Kv(Result<KvOutcome, AppendError>),
}

#[derive(Serialize, Deserialize)]
enum StoredRequest<'a> {
    #[serde(borrow)]
    Append(StoredAppendRequest<'a>),
    #[serde(borrow)]
    Register(StoredRegistryCommand<'a>),
    /// An append of which some event has tags, or an id that its client chose.
    AppendWithExtras(#[serde(borrow)] StoredAppendRequest<'a>, #[serde(borrow)] Vec<StoredExtra<'a>>),
    #[serde(borrow)]
    Transact(StoredTransactionRequest<'a>),
    #[serde(borrow)]
    Kv(StoredKvCommand<'a>),
}

#[derive(Serialize, Deserialize)]
enum StoredResponse<'a> {
    #[serde(borrow)]
    Append(Result<StoredAck, StoredAppendError<'a>>),
    #[serde(borrow)]
    Register(Result<StoredRegistryOutcome<'a>, StoredAppendError<'a>>),
    #[serde(borrow)]
    Transact(Result<StoredTransactionAck<'a>, StoredAppendError<'a>>),
    #[serde(borrow)]
    Kv(Result<StoredKvOutcome<'a>, StoredAppendError<'a>>),
}

impl ForwardRequest {
    /// The bytes of the request.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        encode_value(&match self {
            Self::Append(request) => match StoredExtra::of(&request.events) {
                extras if extras.is_empty() => StoredRequest::Append(request.into()),
                extras => StoredRequest::AppendWithExtras(request.into(), extras),
            },
            Self::Register(command) => StoredRequest::Register(command.into()),
            Self::Transact(request) => StoredRequest::Transact(request.into()),
            Self::Kv(command) => StoredRequest::Kv(command.into()),
        })
        .into()
    }

    /// Reads a request. Event bytes share `message`'s memory.
    ///
    /// # Errors
    /// [`CodecError`] when it is malformed or of another format.
    pub fn decode(message: &Bytes) -> Result<Self, CodecError> {
        Ok(match decode_value("forwarded request", message)? {
            StoredRequest::Append(stored) => Self::Append(stored.read(message)?),
            StoredRequest::Register(stored) => Self::Register(stored.try_into()?),
            StoredRequest::AppendWithExtras(stored, extras) => {
                let mut request = stored.read(message)?;
                StoredExtra::give(&extras, &mut request.events)?;
                Self::Append(request)
            }
            StoredRequest::Transact(stored) => Self::Transact(stored.read(message)?),
            StoredRequest::Kv(stored) => Self::Kv(stored.read(message)?),
        })
    }
}

impl ForwardResponse {
    /// The bytes of the response.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        encode_value(&match self {
            Self::Append(result) => {
                StoredResponse::Append(result.as_ref().map(StoredAck::from).map_err(StoredAppendError::from))
            }
            Self::Register(result) => StoredResponse::Register(
                result.as_ref().map(StoredRegistryOutcome::from).map_err(StoredAppendError::from),
            ),
            Self::Transact(result) => StoredResponse::Transact(
                result.as_ref().map(StoredTransactionAck::from).map_err(StoredAppendError::from),
            ),
            Self::Kv(result) => StoredResponse::Kv(
                result.as_ref().map(StoredKvOutcome::from).map_err(StoredAppendError::from),
            ),
        })
        .into()
    }

    /// Reads a response.
    ///
    /// # Errors
    /// [`CodecError`] when it is malformed or of another format.
    pub fn decode(message: &[u8]) -> Result<Self, CodecError> {
        Ok(match decode_value("forwarded response", message)? {
            StoredResponse::Append(Ok(ack)) => Self::Append(Ok(ack.try_into()?)),
            StoredResponse::Append(Err(error)) => Self::Append(Err(error.try_into()?)),
            StoredResponse::Register(Ok(outcome)) => Self::Register(Ok(outcome.try_into()?)),
            StoredResponse::Register(Err(error)) => Self::Register(Err(error.try_into()?)),
            StoredResponse::Transact(Ok(ack)) => Self::Transact(Ok(ack.try_into()?)),
            StoredResponse::Transact(Err(error)) => Self::Transact(Err(error.try_into()?)),
            StoredResponse::Kv(Ok(outcome)) => Self::Kv(Ok(outcome.try_into()?)),
            StoredResponse::Kv(Err(error)) => Self::Kv(Err(error.try_into()?)),
        })
    }
}
