//! The order: a pure fold of its events, and pure decisions on what that gives.

use serde::{Deserialize, Serialize};

use crate::command::PlaceOrder;

/// The type of the entity.
pub const ENTITY_TYPE: &str = "order";

/// A customer as the catalog knows one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Customer {
    /// The id.
    pub id: String,
    /// The name.
    pub name: String,
    /// Where to write to.
    pub email: String,
    /// Whether orders are refused.
    pub is_blocked: bool,
}

/// A product as the catalog knows one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    /// The id.
    pub id: String,
    /// The name.
    pub name: String,
    /// The price of one, in cents.
    pub price_cents: u64,
    /// Whether there is any.
    pub is_available: bool,
}

/// What happened to an order, in the past tense.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "name", content = "data")]
pub enum OrderEvent {
    /// It was placed.
    #[serde(rename = "order.placed")]
    Placed(Placed),
    /// It was sent.
    #[serde(rename = "order.shipped", rename_all = "camelCase")]
    Shipped {
        /// The order.
        order_id: String,
        /// Whose it is.
        customer: Who,
        /// Where it is now, at the carrier's.
        tracking_number: String,
    },
    /// It was called off.
    #[serde(rename = "order.cancelled", rename_all = "camelCase")]
    Cancelled {
        /// The order.
        order_id: String,
        /// Whose it is.
        customer: Who,
        /// Why.
        reason: String,
    },
}

/// Whose an order is: in every event, so that a read model by customer needs no other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Who {
    /// The customer's id.
    pub id: String,
}

/// An order as it was placed: names and prices are those of that day, for ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Placed {
    /// The order.
    pub order_id: String,
    /// Who ordered.
    pub customer: Buyer,
    /// What.
    pub items: Vec<Line>,
    /// What it costs, in cents.
    pub total_cents: u64,
}

/// Who ordered, as they were then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Buyer {
    /// The id.
    pub id: String,
    /// The name.
    pub name: String,
    /// Where to write to.
    pub email: String,
}

/// One line of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    /// The product.
    pub product_id: String,
    /// Its name then.
    pub name: String,
    /// Its price then, in cents.
    pub price_cents: u64,
    /// How many.
    pub quantity: u32,
}

/// An order, as its events tell it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// The order.
    pub id: String,
    /// Whose it is.
    pub customer: Who,
    /// Where it stands.
    pub stage: Stage,
}

/// Where an order stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It is paid for and waits.
    Placed,
    /// It is on its way.
    Shipped,
    /// It is off.
    Cancelled,
}

/// Why a command is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// The order is there.
    #[error("order was placed already")]
    PlacedAlready,
    /// The order is not there.
    #[error("there is no such order")]
    Unknown,
    /// It cannot be shipped or cancelled any more.
    #[error("order is {0:?} already")]
    Over(Stage),
    /// The customer may not order.
    #[error("customer cannot place orders")]
    CustomerBlocked,
    /// There is none of it.
    #[error("product `{0}` is not available")]
    NotAvailable(String),
    /// An order is of something.
    #[error("order has no items")]
    Empty,
    /// The catalog does not know it.
    #[error("{what} `{id}` is not known")]
    NotKnown {
        /// A customer or a product.
        what: &'static str,
        /// Which.
        id: String,
    },
}

/// The order after an event.
#[must_use]
pub fn fold(_before: Option<Order>, event: &OrderEvent) -> Order {
    let (id, customer, stage) = match event {
        OrderEvent::Placed(placed) => (&placed.order_id, &placed.customer.id, Stage::Placed),
        OrderEvent::Shipped { order_id, customer, .. } => (order_id, &customer.id, Stage::Shipped),
        OrderEvent::Cancelled { order_id, customer, .. } => (order_id, &customer.id, Stage::Cancelled),
    };
    Order { id: id.clone(), customer: Who { id: customer.clone() }, stage }
}

/// Decides on placing an order. `products` are of the command's items, in their order.
///
/// # Errors
/// Why not.
pub fn place(
    order: Option<Order>,
    command: &PlaceOrder,
    customer: &Customer,
    products: &[Product],
) -> Result<OrderEvent, OrderError> {
    if order.is_some() {
        return Err(OrderError::PlacedAlready);
    }
    if command.items.is_empty() {
        return Err(OrderError::Empty);
    }
    if customer.is_blocked {
        return Err(OrderError::CustomerBlocked);
    }
    if let Some(missing) = products.iter().find(|product| !product.is_available) {
        return Err(OrderError::NotAvailable(missing.id.clone()));
    }
    let line = |(wish, product): (&crate::command::Wish, &Product)| Line {
        product_id: product.id.clone(),
        name: product.name.clone(),
        price_cents: product.price_cents,
        quantity: wish.quantity,
    };
    let items: Vec<Line> = command.items.iter().zip(products).map(line).collect();
    Ok(OrderEvent::Placed(Placed {
        order_id: command.order_id.clone(),
        customer: Buyer {
            id: customer.id.clone(),
            name: customer.name.clone(),
            email: customer.email.clone(),
        },
        total_cents: items.iter().map(|line| line.price_cents * u64::from(line.quantity)).sum(),
        items,
    }))
}

/// Decides on sending an order.
///
/// # Errors
/// Why not.
pub fn ship(order: Option<Order>, tracking_number: &str) -> Result<OrderEvent, OrderError> {
    let Order { id: order_id, customer, .. } = open(order)?;
    Ok(OrderEvent::Shipped { order_id, customer, tracking_number: tracking_number.into() })
}

/// Decides on calling an order off.
///
/// # Errors
/// Why not.
pub fn cancel(order: Option<Order>, reason: &str) -> Result<OrderEvent, OrderError> {
    let Order { id: order_id, customer, .. } = open(order)?;
    Ok(OrderEvent::Cancelled { order_id, customer, reason: reason.into() })
}

fn open(order: Option<Order>) -> Result<Order, OrderError> {
    match order {
        None => Err(OrderError::Unknown),
        Some(order) if order.stage == Stage::Placed => Ok(order),
        Some(over) => Err(OrderError::Over(over.stage)),
    }
}
