//! Payments: a bank that declines some cards, is slow at times, and sometimes does not answer at all.

use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use axum::extract::State;
use axum::routing::post;
use axum::{Extension, Json, Router};

use super::Charge;
use crate::client::TRY_DEADLINE;
use crate::context::Context;
use crate::error::{Failure, Kind};
use crate::frame::Frame;
use crate::log::Level;

/// Below the patience of the caller, so that the caller hears of it.
const BANK_DEADLINE: Duration = TRY_DEADLINE.saturating_sub(Duration::from_millis(500));
const SLOW_BANK: Duration = Duration::from_millis(1200);
const FASTEST_MS: u64 = 15;
const SLOWEST_MS: u64 = 90;

/// How the bank behaves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bank {
    declined: f64,
    silent: f64,
    slow: f64,
}

/// What the bank does with one charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Pays,
    Declines,
    Dawdles,
    IsSilent,
}

#[derive(Clone)]
struct Payments {
    frame: Arc<Frame>,
    bank: Bank,
}

// === impl Bank ===

impl Bank {
    /// # Errors
    /// When the parts are none.
    pub(crate) fn new(declined: f64, silent: f64, slow: f64) -> anyhow::Result<Self> {
        let parts = [declined, silent, slow];
        let are_parts = parts.iter().all(|part| (0.0..=1.0).contains(part));
        ensure!(
            are_parts && parts.iter().sum::<f64>() <= 1.0,
            "`--declined`, `--silent` and `--slow` must be parts of 1"
        );
        Ok(Self { declined, silent, slow })
    }

    /// `draw` is from 0 to 1.
    fn mood(self, draw: f64) -> Mood {
        if draw < self.declined {
            Mood::Declines
        } else if draw < self.declined + self.silent {
            Mood::IsSilent
        } else if draw < self.declined + self.silent + self.slow {
            Mood::Dawdles
        } else {
            Mood::Pays
        }
    }
}

pub(super) fn routes(frame: &Arc<Frame>, bank: Bank) -> Router {
    let payments = Payments { frame: Arc::clone(frame), bank };
    Router::new().route("/charges", post(charge)).with_state(payments)
}

async fn charge(
    State(payments): State<Payments>,
    Extension(context): Extension<Context>,
    Json(charge): Json<Charge>,
) -> Result<Json<Charge>, Failure> {
    let Payments { frame, bank } = payments;
    let fields = [
        ("order", charge.order.as_str().into()),
        ("customer", charge.customer.into()),
        ("cents", charge.cents.into()),
    ];
    frame.logger.request(Level::Info, &context, "charging card", &fields);
    let (mood, usual_ms) =
        frame.random(|random| (bank.mood(random.f64()), random.u64(FASTEST_MS..SLOWEST_MS)));
    let count = |outcome| frame.metrics.payments.with_label_values(&[outcome]).inc();
    tokio::time::sleep(Duration::from_millis(usual_ms)).await;
    match mood {
        Mood::Pays => {}
        Mood::Dawdles => {
            tokio::time::sleep(SLOW_BANK).await;
            frame.logger.request(Level::Warn, &context, "bank was slow", &fields);
        }
        Mood::Declines => {
            count("declined");
            frame.logger.request(Level::Warn, &context, "card declined", &fields);
            return Err(Failure::new(Kind::Declined, "the bank declined the card"));
        }
        Mood::IsSilent => {
            tokio::time::sleep(BANK_DEADLINE).await;
            count("failed");
            return Err(Failure::new(
                Kind::Timeout,
                format!("charge failed: bank did not answer within {} ms", BANK_DEADLINE.as_millis()),
            ));
        }
    }
    count("paid");
    frame.logger.request(Level::Info, &context, "charge done", &fields);
    Ok(Json(charge))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moods_come_as_often_as_they_are_told() {
        let bank = Bank::new(0.1, 0.2, 0.3).unwrap();
        let count = |mood| (0..1000).filter(|draw| bank.mood(f64::from(*draw) / 1000.0) == mood).count();
        let counts = [Mood::Declines, Mood::IsSilent, Mood::Dawdles, Mood::Pays].map(count);
        for (count, expected) in counts.into_iter().zip([100, 200, 300, 400_usize]) {
            assert!(count.abs_diff(expected) <= 1, "{counts:?}");
        }
        assert!(Bank::new(0.5, 0.4, 0.2).is_err());
        assert!(Bank::new(-0.1, 0.0, 0.0).is_err());
    }
}
