//! The checkout: cart, prices, payment, order, in this order; an order is stored only when it is paid.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::post;
use axum::{Extension, Json, Router};
use serde::Deserialize;

use super::{Charge, Item, Order, Product};
use crate::client::Call;
use crate::context::{self, Context};
use crate::error::{Failure, Kind};
use crate::frame::Frame;
use crate::log::Level;

#[derive(Debug, Deserialize)]
struct Checkout {
    customer: u32,
}

pub(super) fn routes(frame: &Arc<Frame>) -> Router {
    Router::new().route("/checkouts", post(check_out)).with_state(Arc::clone(frame))
}

async fn check_out(
    State(frame): State<Arc<Frame>>,
    Extension(context): Extension<Context>,
    Json(Checkout { customer }): Json<Checkout>,
) -> Result<Json<Order>, Failure> {
    let id = frame.random(context::uuid);
    let fields = [("order", id.as_str().into()), ("customer", customer.into())];
    frame.logger.request(Level::Info, &context, "placing order", &fields);
    let cents = price(&frame, &context, customer).await?;
    let order = Order { id, customer, cents };

    let charge = Charge { order: order.id.clone(), customer, cents };
    let pay = Call::post("payment", "/charges", &charge)?.repeatable();
    let _: Charge = frame.client.call(&frame, &context, &pay).await.map_err(Failure::passed)?;

    let place = Call::post("orders", "/orders", &order)?.repeatable();
    let order: Order = frame.client.call(&frame, &context, &place).await.map_err(Failure::passed)?;

    // The order stands: a cart that could not be emptied is no reason to fail it.
    let empty = Call::delete("cart", format!("/carts/{customer}"));
    if let Err(failure) = frame.client.call_again(&frame, &context, &empty).await {
        frame.logger.failure(&context, "cannot empty the cart", &failure);
    }
    let fields = [("order", order.id.as_str().into()), ("cents", order.cents.into())];
    frame.logger.request(Level::Info, &context, "order placed", &fields);
    Ok(Json(order))
}

/// What the customer's cart costs.
async fn price(frame: &Frame, context: &Context, customer: u32) -> Result<u64, Failure> {
    let cart = Call::get("cart", format!("/carts/{customer}"));
    let items: Vec<Item> = frame.client.call(frame, context, &cart).await.map_err(Failure::passed)?;
    if items.is_empty() {
        return Err(Failure::new(Kind::Invalid, "the cart is empty"));
    }
    let mut cents = 0;
    for item in items {
        let show = Call::get("catalog", format!("/products/{}", item.sku));
        let product: Product = frame.client.call(frame, context, &show).await.map_err(Failure::passed)?;
        cents += u64::from(product.cents) * u64::from(item.quantity);
    }
    Ok(cents)
}
