// Every order as its page shows it. One state for all of them.
//
//   weir projection deploy examples/orders/projections/order-detail-view.js
//   weir projection get order-detail-view

export const name = 'order-detail-view';
export const events = ['order.placed', 'order.shipped', 'order.cancelled'];
export const initialState = () => ({ orders: {} });

export function handler(state, event, { event: { recordedAt } }) {
  const { orderId, ...data } = event.data;
  const order = state.orders[orderId] ?? { orderId };
  switch (event.name) {
    case 'order.placed':
      Object.assign(order, {
        customerId: data.customer.id,
        customerName: data.customer.name,
        customerEmail: data.customer.email,
        items: data.items,
        totalCents: data.totalCents,
        status: 'placed',
        placedAt: recordedAt,
      });
      break;
    case 'order.shipped':
      Object.assign(order, { status: 'shipped', trackingNumber: data.trackingNumber, shippedAt: recordedAt });
      break;
    case 'order.cancelled':
      Object.assign(order, { status: 'cancelled', cancellationReason: data.reason, cancelledAt: recordedAt });
      break;
  }
  state.orders[orderId] = order;
}
