//! Customers: they look around, fill a cart, and most of them buy. The same seed plays the same customers.
//!
//! Open loop: customers come when they come, however slow the shop is; only their number at a time is bounded.

use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::client::Call;
use crate::context::Context;
use crate::error::{Failure, Kind};
use crate::frame::Frame;
use crate::log::Level;
use crate::services::Item;

/// Customers in the shop at a time. When it is full, those who come turn away and are counted.
const MAX_CUSTOMERS: usize = 200;
const CUSTOMERS: u32 = 5000;
const FASTEST_CUSTOMERS_PER_SECOND: f64 = 500.0;
const FIRST_SKU: u32 = 1000;
/// One more than the shop has: the last is asked for and never found.
const SKUS: u32 = 61;

/// What a customer does next.
#[derive(Clone, Debug, PartialEq)]
enum Step {
    List,
    Look { sku: u32 },
    Add { item: Item },
    ShowCart,
    CheckOut,
    Think { pause: Duration },
}

/// One visit.
#[derive(Clone, Debug, PartialEq)]
struct Visit {
    customer: u32,
    steps: Vec<Step>,
}

impl Step {
    /// The call that the step makes; thinking makes none.
    fn call(&self, customer: u32) -> Result<Option<(&'static str, Call)>, Failure> {
        let gateway = "gateway";
        Ok(Some(match self {
            Self::List => ("list", Call::get(gateway, "/products".to_owned())),
            Self::Look { sku } => ("look", Call::get(gateway, format!("/products/{sku}"))),
            Self::Add { item } => ("add", Call::post(gateway, &format!("/carts/{customer}/items"), item)?),
            Self::ShowCart => ("cart", Call::get(gateway, format!("/carts/{customer}"))),
            Self::CheckOut => {
                ("checkout", Call::post(gateway, &format!("/carts/{customer}/checkout"), &json!({}))?)
            }
            Self::Think { .. } => return Ok(None),
        }))
    }
}

/// The next customer.
fn visit(random: &mut fastrand::Rng) -> Visit {
    let customer = random.u32(1..=CUSTOMERS);
    let mut steps = vec![Step::List];
    let think =
        |random: &mut fastrand::Rng| Step::Think { pause: Duration::from_millis(random.u64(20..400)) };
    for _ in 0..random.u32(1..4) {
        steps.push(think(random));
        steps.push(Step::Look { sku: FIRST_SKU + random.u32(..SKUS) });
    }
    if random.f64() < 0.7 {
        for _ in 0..random.u32(1..4) {
            steps.push(think(random));
            let item = Item { sku: FIRST_SKU + random.u32(..SKUS - 1), quantity: random.u32(1..4) };
            steps.push(Step::Add { item });
        }
        steps.push(Step::ShowCart);
        if random.f64() < 0.8 {
            steps.push(think(random));
            steps.push(Step::CheckOut);
        }
    }
    Visit { customer, steps }
}

/// Lets customers come until the service ends.
///
/// # Errors
/// When the rate is none.
pub(crate) fn start(frame: &Arc<Frame>, customers_per_second: f64) -> anyhow::Result<()> {
    ensure!(
        customers_per_second > 0.0 && customers_per_second <= FASTEST_CUSTOMERS_PER_SECOND,
        "`--customers-per-second` must be above 0 and at most {FASTEST_CUSTOMERS_PER_SECOND}"
    );
    let mut random = frame.random(fastrand::Rng::fork);
    let room = Arc::new(Semaphore::new(MAX_CUSTOMERS));
    let frame = Arc::clone(frame);
    frame.tasks.clone().spawn(async move {
        loop {
            // Times between arrivals of a Poisson process.
            let pause = -(1.0 - random.f64()).ln() / customers_per_second;
            tokio::select! {
                () = tokio::time::sleep(Duration::from_secs_f64(pause)) => {}
                () = frame.stop.cancelled() => return,
            }
            let visit = visit(&mut random);
            let Ok(place) = Arc::clone(&room).try_acquire_owned() else {
                frame.metrics.customer_steps.with_label_values(&["enter", "turned_away"]).inc();
                continue;
            };
            let shop = Arc::clone(&frame);
            frame.tasks.spawn(async move {
                tokio::select! {
                    () = play(&shop, &visit) => {}
                    () = shop.stop.cancelled() => {}
                }
                drop(place);
            });
        }
    });
    Ok(())
}

/// One visit to its end, or to the first thing that fails.
async fn play(frame: &Frame, visit: &Visit) {
    for step in &visit.steps {
        if let Step::Think { pause } = step {
            tokio::time::sleep(*pause).await;
            continue;
        }
        let context = frame.random(Context::root);
        let Ok(Some((name, call))) = step.call(visit.customer) else { continue };
        let answer = frame.client.call::<Value>(frame, &context, &call).await;
        let outcome = match answer.as_ref().map_err(Failure::kind) {
            Ok(_) => "done",
            Err(Kind::NotFound | Kind::Declined | Kind::Invalid) => "refused",
            Err(_) => "failed",
        };
        frame.metrics.customer_steps.with_label_values(&[name, outcome]).inc();
        let Err(failure) = answer else { continue };
        let fields = [
            ("step", name.into()),
            ("customer", visit.customer.into()),
            ("error", failure.to_string().into()),
        ];
        let level = if outcome == "failed" { Level::Error } else { Level::Warn };
        frame.logger.request(level, &context, "customer turned away", &fields);
        if outcome == "failed" {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_plays_the_same_customers() {
        let visits = |seed| {
            let mut random = fastrand::Rng::with_seed(seed);
            (0..50).map(|_| visit(&mut random)).collect::<Vec<_>>()
        };
        assert_eq!(visits(4), visits(4));
        assert_ne!(visits(4), visits(5));
    }

    #[test]
    fn nobody_checks_out_an_empty_cart() {
        let mut random = fastrand::Rng::with_seed(2);
        let mut checkouts = 0;
        for _ in 0..1000 {
            let steps = visit(&mut random).steps;
            let Some(at) = steps.iter().position(|step| *step == Step::CheckOut) else { continue };
            checkouts += 1;
            assert!(steps[..at].iter().any(|step| matches!(step, Step::Add { .. })), "{steps:?}");
        }
        assert!((400..700).contains(&checkouts), "{checkouts}");
    }
}
