//! The gateway: the shop as customers see it; every request is handed to the service that knows.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use serde_json::{Value, json};

use super::{Item, Product};
use crate::client::Call;
use crate::context::Context;
use crate::error::Failure;
use crate::frame::Frame;

type Answer = Result<Json<Value>, Failure>;

pub(super) fn routes(frame: &Arc<Frame>) -> Router {
    Router::new()
        .route("/", get(|| async { "GET /products, /products/{sku}, /carts/{customer}, /orders/{id}\n" }))
        .route("/products", get(products))
        .route("/products/{sku}", get(product))
        .route("/carts/{customer}", get(cart))
        .route("/carts/{customer}/items", post(add_item))
        .route("/carts/{customer}/checkout", post(check_out))
        .route("/orders/{id}", get(order))
        .with_state(Arc::clone(frame))
}

async fn hand_on(frame: &Frame, context: &Context, call: &Call) -> Answer {
    frame.client.call(frame, context, call).await.map(Json).map_err(Failure::passed)
}

async fn products(State(frame): State<Arc<Frame>>, Extension(context): Extension<Context>) -> Answer {
    hand_on(&frame, &context, &Call::get("catalog", "/products".to_owned())).await
}

async fn product(
    State(frame): State<Arc<Frame>>,
    Extension(context): Extension<Context>,
    Path(sku): Path<u32>,
) -> Answer {
    hand_on(&frame, &context, &Call::get("catalog", format!("/products/{sku}"))).await
}

async fn cart(
    State(frame): State<Arc<Frame>>,
    Extension(context): Extension<Context>,
    Path(customer): Path<u32>,
) -> Answer {
    hand_on(&frame, &context, &Call::get("cart", format!("/carts/{customer}"))).await
}

/// Only products that exist go into a cart.
async fn add_item(
    State(frame): State<Arc<Frame>>,
    Extension(context): Extension<Context>,
    Path(customer): Path<u32>,
    Json(item): Json<Item>,
) -> Answer {
    let show = Call::get("catalog", format!("/products/{}", item.sku));
    let _: Product = frame.client.call(&frame, &context, &show).await.map_err(Failure::passed)?;
    let add = Call::post("cart", &format!("/carts/{customer}/items"), &item)?.repeatable();
    hand_on(&frame, &context, &add).await
}

/// Tried once: a second checkout would be a second order.
async fn check_out(
    State(frame): State<Arc<Frame>>,
    Extension(context): Extension<Context>,
    Path(customer): Path<u32>,
) -> Answer {
    let check_out = Call::post("checkout", "/checkouts", &json!({ "customer": customer }))?;
    hand_on(&frame, &context, &check_out).await
}

async fn order(
    State(frame): State<Arc<Frame>>,
    Extension(context): Extension<Context>,
    Path(id): Path<String>,
) -> Answer {
    // What stands in the path goes into a path: nothing but an id may.
    if !id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-') {
        return Err(Failure::new(crate::error::Kind::NotFound, "this is no id of an order"));
    }
    hand_on(&frame, &context, &Call::get("orders", format!("/orders/{id}"))).await
}
