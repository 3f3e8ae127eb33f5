//! Ends that came with the end of the daemon or of the whole host.

use store::lifecycle::Action;

use super::Cause;
use super::case::{Case, Opinion};

/// After a boot the daemon finds its containers dead; it may take its time to start.
const BOOT_SECONDS: i64 = 600;
/// A daemon that ends stops its containers first, each within its grace period.
const DAEMON_BEFORE_SECONDS: i64 = 30;
const DAEMON_AFTER_SECONDS: i64 = 60;
/// Deaths this close belong together.
const TOGETHER_SECONDS: i64 = 10;
/// What a signal was for is told this soon after the end it brought.
const STOP_SECONDS: i64 = 10;

/// The opinion on a container that went with the daemon; `None` when the daemon stayed.
pub(super) fn judge(case: &Case<'_>) -> Option<Opinion> {
    if let Some(boot) = case.around(Action::HostBoot, BOOT_SECONDS, BOOT_SECONDS).next_back() {
        // A container that was started after the boot has not died of it.
        let started_before = case.last(Action::Start).is_none_or(|start| start.at_ns < boot.at_ns);
        if started_before {
            let summary = "the host was restarted while it ran";
            return Some(Opinion::new(Cause::HostRestart, 0.95, summary).because_of(boot));
        }
    }
    let together: Vec<_> = case.around(Action::Die, TOGETHER_SECONDS, TOGETHER_SECONDS).collect();
    let down = case.around(Action::DaemonDown, DAEMON_BEFORE_SECONDS, DAEMON_AFTER_SECONDS).next_back();
    let up = case.around(Action::DaemonUp, DAEMON_BEFORE_SECONDS, DAEMON_AFTER_SECONDS).next();
    if let Some(sign) = down.or(up) {
        let asked_before = case
            .last(Action::Stop)
            .or_else(|| case.next(Action::Stop, 2))
            .is_some_and(|stop| stop.at_ns < sign.at_ns - 10_000_000_000);
        if asked_before {
            return None;
        }
        let confidence = if together.is_empty() && !case.death.event.rebuilt { 0.75 } else { 0.9 };
        let summary =
            "the Docker daemon was restarted, which ends its containers (unless `live-restore` is on)";
        let mut opinion = Opinion::new(Cause::DaemonRestart, confidence, summary);
        for timed in [down, up].into_iter().flatten() {
            opinion = opinion.because_of(timed);
        }
        return Some(add_together(opinion, together.len()));
    }
    // Nobody watched; a crowd that dies at once without a word was ended by one hand.
    let crowd = together.iter().filter(|e| e.event.rebuilt).count();
    (is_untold(case) && crowd >= 2).then(|| {
        let summary = "most likely the Docker daemon or the host was restarted while nobody watched";
        add_together(Opinion::new(Cause::DaemonRestart, 0.6, summary), crowd)
    })
}

/// Whether nothing was heard of what the end was for. A daemon that ends sends each of its containers a signal, and tells
/// of it: the one that runs Binnacle may still hear of the first signals before it ends of its own.
fn is_untold(case: &Case<'_>) -> bool {
    let Some(kill) = case.last(Action::Kill) else { return case.death.event.rebuilt };
    let told = case
        .last(Action::Stop)
        .or_else(|| case.next(Action::Stop, STOP_SECONDS))
        .or_else(|| case.next(Action::Restart, STOP_SECONDS))
        .or_else(|| case.next(Action::Destroy, STOP_SECONDS));
    kill.event.signal != Some(9) && told.is_none()
}

fn add_together(opinion: Opinion, count: usize) -> Opinion {
    if count == 0 {
        return opinion;
    }
    opinion.because(format!("{count} more containers ended in the same seconds"))
}
