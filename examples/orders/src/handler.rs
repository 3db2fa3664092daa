//! Handlers: claim, look up, load, decide, append, finalize.

use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use weir_client::{
    Append, Claim, Client, ClientError, CommandDedup, DecideError, FinalizeError, v1::EventView,
};

use crate::{
    catalog::Catalog,
    command::{CommandMetadata, EventMetadata, PlaceOrder},
    order::{self, ENTITY_TYPE, Order, OrderError, OrderEvent, Product},
};

/// What became of a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Handled {
    /// The order.
    pub order_id: String,
    /// The id of its last event: what a reader of a projection waits for.
    pub event_id: String,
    /// The position of that event.
    pub position: u64,
}

/// Why a command was not handled.
#[derive(Debug, thiserror::Error)]
pub enum HandleError {
    /// The domain says no.
    #[error(transparent)]
    Refused(#[from] OrderError),
    /// Another handler is at it.
    #[error("command is in progress")]
    InProgress,
    /// The lease ran out while it was handled: send the command again.
    #[error(transparent)]
    Finalize(#[from] FinalizeError),
    /// The cluster did not answer, or an answer was lost: send the command again.
    #[error(transparent)]
    Client(#[from] ClientError),
}

/// Handles commands about orders. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Orders {
    client: Client,
    dedup: CommandDedup,
    catalog: Catalog,
}

impl Orders {
    /// Handlers on this cluster, which claim commands in the bucket `order-commands`.
    #[must_use]
    pub fn new(client: Client, catalog: Catalog) -> Self {
        let dedup = CommandDedup::new(client.clone(), "order-commands");
        Self { client, dedup, catalog }
    }

    /// As it is, with other claims.
    #[must_use]
    pub fn with_dedup(self, dedup: CommandDedup) -> Self {
        Self { dedup, ..self }
    }

    /// Places an order, once: a command that was handled gets its first result again.
    ///
    /// # Errors
    /// [`HandleError`].
    pub async fn place(
        &self,
        command: &PlaceOrder,
        metadata: &CommandMetadata,
    ) -> Result<Handled, HandleError> {
        let held = match self.dedup.try_claim::<Handled>(&metadata.command_id).await? {
            Claim::Done(handled) => return Ok(handled),
            Claim::InProgress(_) => return Err(HandleError::InProgress),
            Claim::Mine(held) => held,
        };
        match self.place_claimed(command, metadata).await {
            Ok(handled) => {
                self.dedup.finalize(&held, &handled).await?;
                Ok(handled)
            }
            Err(error) => {
                // What is not released is released by its lease.
                let _ = self.dedup.release(&held).await;
                Err(error)
            }
        }
    }

    /// Under a claim. Whoever lost it amid the append does no harm: the event's key is the command.
    async fn place_claimed(
        &self,
        command: &PlaceOrder,
        metadata: &CommandMetadata,
    ) -> Result<Handled, HandleError> {
        let unknown = |what, id: &str| OrderError::NotKnown { what, id: id.into() };
        let customer = self.catalog.customer(&command.customer_id);
        let customer = customer.ok_or_else(|| unknown("customer", &command.customer_id))?;
        let product = |id: &str| self.catalog.product(id).cloned().ok_or_else(|| unknown("product", id));
        let products = command.items.iter().map(|wish| product(&wish.product_id));
        let products = products.collect::<Result<Vec<Product>, _>>()?;
        let decide = |order| order::place(order, command, customer, &products);
        self.decide(&command.order_id, metadata, decide).await
    }

    /// Sends an order.
    ///
    /// # Errors
    /// [`HandleError`].
    pub async fn ship(
        &self,
        order_id: &str,
        tracking_number: &str,
        metadata: &CommandMetadata,
    ) -> Result<Handled, HandleError> {
        self.decide(order_id, metadata, |order| order::ship(order, tracking_number)).await
    }

    /// Calls an order off.
    ///
    /// # Errors
    /// [`HandleError`].
    pub async fn cancel(
        &self,
        order_id: &str,
        reason: &str,
        metadata: &CommandMetadata,
    ) -> Result<Handled, HandleError> {
        self.decide(order_id, metadata, |order| order::cancel(order, reason)).await
    }

    async fn decide(
        &self,
        order_id: &str,
        metadata: &CommandMetadata,
        decide: impl Fn(Option<Order>) -> Result<OrderEvent, OrderError>,
    ) -> Result<Handled, HandleError> {
        let about = EventMetadata::from(metadata);
        let earlier = Mutex::new(None);
        let append = |loaded: Option<&Loaded>, append: Append| {
            // An earlier handler of this command came so far, and no further.
            if let Some(done) = loaded.and_then(|loaded| loaded.done.clone()) {
                *earlier.lock().unwrap_or_else(PoisonError::into_inner) = Some(done);
                return Ok::<_, OrderError>(None);
            }
            let (name, data) = named(&decide(loaded.and_then(|loaded| loaded.order.clone()))?);
            let append = append.event(&name, &data).metadata(&about).idempotency_key(&metadata.command_id);
            Ok(Some(append))
        };
        let fold = |loaded: Option<Loaded>, event: &EventView| {
            loaded.unwrap_or_default().after(event, &metadata.command_id)
        };
        let ack = match self.client.decide(order_id, ENTITY_TYPE, fold, append).await {
            Ok(ack) => ack,
            Err(DecideError::Refused(error)) => return Err(error.into()),
            Err(DecideError::Client(error)) => return Err(error.into()),
        };
        let earlier = earlier.into_inner().unwrap_or_else(PoisonError::into_inner);
        let new = ack.map(|ack| Handled {
            order_id: order_id.into(),
            event_id: ack.event_ids.last().map(ToString::to_string).unwrap_or_default(),
            position: ack.last_position().0,
        });
        Ok(new.or(earlier).expect("it was appended, now or before"))
    }
}

/// An order as one command's handler loads it.
#[derive(Debug, Clone, Default)]
struct Loaded {
    order: Option<Order>,
    /// What the same command led to before.
    done: Option<Handled>,
}

impl Loaded {
    fn after(mut self, event: &EventView, command_id: &str) -> Self {
        if let Some(happened) = event_of(event) {
            self.order = Some(order::fold(self.order, &happened));
        }
        let metadata = event.metadata.as_ref().and_then(|metadata| metadata.to_value().ok());
        let about = metadata.and_then(|metadata| serde_json::from_value::<EventMetadata>(metadata).ok());
        if about.is_some_and(|about| about.causation_id == command_id) {
            self.done = Some(Handled {
                order_id: event.entity_id.clone(),
                event_id: event.id.clone(),
                position: event.position,
            });
        }
        self
    }
}

/// An event as the log takes it: its name, and its data.
fn named(event: &OrderEvent) -> (String, Value) {
    let value = serde_json::to_value(event).expect("an event is plain data");
    (value["name"].as_str().unwrap_or_default().to_owned(), value["data"].clone())
}

/// An event of the log; `None` for one of another kind.
#[must_use]
pub fn event_of(event: &EventView) -> Option<OrderEvent> {
    let data = event.data.to_value().ok()?;
    serde_json::from_value(serde_json::json!({ "name": event.name, "data": data })).ok()
}
