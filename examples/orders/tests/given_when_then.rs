//! Given what happened, when a command comes, then this happens: no server, no clock.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use weir_example_orders::{
    catalog::Catalog,
    command::{PlaceOrder, Wish},
    order::{self, Order, OrderError, OrderEvent, Stage, Who},
};

fn given(events: &[OrderEvent]) -> Option<Order> {
    events.iter().fold(None, |order, event| Some(order::fold(order, event)))
}

fn order_of(customer: &str, items: &[(&str, u32)]) -> PlaceOrder {
    let wish =
        |(product, quantity): &(&str, u32)| Wish { product_id: (*product).into(), quantity: *quantity };
    PlaceOrder {
        order_id: "order-1".into(),
        customer_id: customer.into(),
        items: items.iter().map(wish).collect(),
    }
}

fn place(order: Option<Order>, command: &PlaceOrder) -> Result<OrderEvent, OrderError> {
    let catalog = Catalog::default();
    let customer = catalog.customer(&command.customer_id).unwrap();
    let products: Vec<_> =
        command.items.iter().map(|wish| catalog.product(&wish.product_id).unwrap().clone()).collect();
    order::place(order, command, customer, &products)
}

fn placed() -> OrderEvent {
    place(None, &order_of("ada", &[("tea", 2), ("pot", 1)])).unwrap()
}

fn shipped() -> OrderEvent {
    OrderEvent::Shipped { order_id: "order-1".into(), customer: ada(), tracking_number: "t".into() }
}

fn cancelled() -> OrderEvent {
    OrderEvent::Cancelled { order_id: "order-1".into(), customer: ada(), reason: "too late".into() }
}

fn ada() -> Who {
    Who { id: "ada".into() }
}

#[test]
fn nothing_when_placed_then_names_and_prices_of_that_day_are_kept() {
    let OrderEvent::Placed(placed) = placed() else { panic!("it is placed") };
    assert_eq!((placed.customer.name.as_str(), placed.total_cents), ("Ada Lovelace", 2 * 450 + 2_900));
    assert_eq!((placed.items[0].name.as_str(), placed.items[0].price_cents), ("Green tea", 450));
}

#[test]
fn what_cannot_be_placed_is_refused() {
    for (given_events, command, error) in [
        (vec![placed()], order_of("ada", &[("tea", 1)]), OrderError::PlacedAlready),
        (vec![], order_of("mallory", &[("tea", 1)]), OrderError::CustomerBlocked),
        (vec![], order_of("ada", &[("cup", 1)]), OrderError::NotAvailable("cup".into())),
        (vec![], order_of("ada", &[]), OrderError::Empty),
    ] {
        assert_eq!(place(given(&given_events), &command), Err(error));
    }
}

#[test]
fn an_order_is_shipped_or_cancelled_once() {
    for (events, ship, cancel) in [
        (vec![], Err(OrderError::Unknown), Err(OrderError::Unknown)),
        (vec![placed()], Ok(shipped()), Ok(cancelled())),
        (
            vec![placed(), shipped()],
            Err(OrderError::Over(Stage::Shipped)),
            Err(OrderError::Over(Stage::Shipped)),
        ),
        (
            vec![placed(), cancelled()],
            Err(OrderError::Over(Stage::Cancelled)),
            Err(OrderError::Over(Stage::Cancelled)),
        ),
    ] {
        assert_eq!(order::ship(given(&events), "t"), ship, "{events:?}");
        assert_eq!(order::cancel(given(&events), "too late"), cancel, "{events:?}");
    }
}

#[test]
fn an_event_is_what_the_log_holds_of_it() {
    for event in [placed(), shipped(), cancelled()] {
        let text = serde_json::to_string(&event).unwrap();
        assert!(text.starts_with(r#"{"name":"order."#), "{text}");
        assert_eq!(serde_json::from_str::<OrderEvent>(&text).unwrap(), event);
    }
}
