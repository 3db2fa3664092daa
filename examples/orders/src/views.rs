//! Two read models of the same events: the page of an order, and what a
//! customer ordered. Each is there twice: as JavaScript that every node folds
//! (`projections/`), and as a function that a worker folds by. Both give the same.

use serde_json::{Value, json};

/// The names of its events.
pub const EVENTS: [&str; 3] = ["order.placed", "order.shipped", "order.cancelled"];
/// Where the customer stands in an event.
pub const CUSTOMER: &str = "$.data.customer.id";

/// `order-detail-view`, for the cluster.
pub const ORDER_DETAIL: &str = include_str!("../projections/order-detail-view.js");
/// `customer-orders-list`, for the cluster.
pub const CUSTOMER_ORDERS: &str = include_str!("../projections/customer-orders-list.js");

/// An event as both folds see it.
#[derive(Debug, Clone, Copy)]
pub struct Happened<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its data.
    pub data: &'a Value,
    /// When it was recorded, as events say it.
    pub recorded_at: &'a str,
}

/// `order-detail-view`, for a worker: all orders.
#[must_use]
pub fn order_detail(state: Option<Value>, event: &Happened<'_>) -> Value {
    let Happened { name, data, recorded_at } = *event;
    let mut state = state.unwrap_or_else(|| json!({ "orders": {} }));
    let order_id = data["orderId"].as_str().unwrap_or_default();
    let order = &mut state["orders"][order_id];
    order["orderId"] = json!(order_id);
    let (members, status): (&[(&str, &Value)], _) = match name {
        "order.placed" => (
            &[
                ("customerId", &data["customer"]["id"]),
                ("customerName", &data["customer"]["name"]),
                ("customerEmail", &data["customer"]["email"]),
                ("items", &data["items"]),
                ("totalCents", &data["totalCents"]),
            ],
            "placed",
        ),
        "order.shipped" => (&[("trackingNumber", &data["trackingNumber"])], "shipped"),
        _ => (&[("cancellationReason", &data["reason"])], "cancelled"),
    };
    for (member, value) in members {
        order[*member] = (*value).clone();
    }
    order["status"] = json!(status);
    order[format!("{status}At")] = json!(recorded_at);
    state
}

/// `customer-orders-list`, for a worker: the orders of one customer, newest first.
#[must_use]
pub fn customer_orders(state: Option<Value>, event: &Happened<'_>) -> Value {
    let Happened { name, data, recorded_at } = *event;
    let mut state = state.unwrap_or_else(|| json!({ "orders": [] }));
    let Some(orders) = state["orders"].as_array_mut() else { return state };
    if name == "order.placed" {
        let items = data["items"].as_array().map_or(0, Vec::len);
        let row = json!({
            "orderId": data["orderId"], "placedAt": recorded_at, "totalCents": data["totalCents"],
            "status": "placed", "summary": format!("{items} items"),
        });
        orders.insert(0, row);
    } else if let Some(row) = orders.iter_mut().find(|row| row["orderId"] == data["orderId"]) {
        row["status"] = json!(name.trim_start_matches("order."));
    }
    state
}
