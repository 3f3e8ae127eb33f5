//! What became of the lines of each scenario, as a table.

use std::fmt;
use std::ops::AddAssign;

use crate::harness::ledger::Verdict;

/// The count of one scenario.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Row {
    /// Rounds played.
    rounds: u64,
    /// Lines written that should have been stored.
    pub(super) lines: u64,
    /// Kills, damages, shortages: whatever harm the scenario does.
    pub(super) harms: u64,
    /// Missing lines that an answer says to be missing: in a gap, in a damaged block or batch.
    pub(super) reported: u64,
    pub(super) lost: u64,
    pub(super) repeated: u64,
    pub(super) out_of_order: u64,
    /// Damage that shows in answers and that nothing tells of.
    pub(super) undetected: u64,
    /// Rounds that could not be played to their end: something did not answer, or not as it should.
    failed: u64,
}

impl Row {
    /// A round that ended early.
    pub(super) fn failed() -> Self {
        Self { rounds: 1, failed: 1, ..Self::default() }
    }

    /// A round with so much harm done.
    pub(super) fn with_harms(harms: u64) -> Self {
        Self { rounds: 1, harms, ..Self::default() }
    }

    /// Adds what became of a container's lines.
    pub(super) fn add_verdict(&mut self, verdict: &Verdict) {
        self.lines += (verdict.stored - verdict.repeated + verdict.in_gaps + verdict.lost()) as u64;
        self.reported += verdict.in_gaps as u64;
        self.lost += verdict.lost() as u64;
        self.repeated += verdict.repeated as u64;
        self.out_of_order += verdict.out_of_order as u64;
        self.undetected += verdict.invented as u64;
        if !verdict.is_exact() {
            eprintln!("{verdict}");
        }
    }

    const fn is_clean(&self) -> bool {
        self.lost + self.repeated + self.out_of_order + self.undetected + self.failed == 0
    }
}

impl AddAssign<&Self> for Row {
    fn add_assign(&mut self, other: &Self) {
        self.rounds += other.rounds;
        self.lines += other.lines;
        self.harms += other.harms;
        self.reported += other.reported;
        self.lost += other.lost;
        self.repeated += other.repeated;
        self.out_of_order += other.out_of_order;
        self.undetected += other.undetected;
        self.failed += other.failed;
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} lines, {} harms, {} reported missing, {} lost, {} repeated, {} out of order, {} undetected, {} failed",
            self.lines,
            self.harms,
            self.reported,
            self.lost,
            self.repeated,
            self.out_of_order,
            self.undetected,
            self.failed
        )
    }
}

/// The rows of all rounds, in the order of the scenarios.
#[derive(Debug, Default)]
pub(super) struct Table(Vec<(&'static str, Row)>);

impl Table {
    pub(super) fn add(&mut self, scenario: &'static str, row: &Row) {
        match self.0.iter_mut().find(|(name, _)| *name == scenario) {
            Some((_, sum)) => *sum += row,
            None => self.0.push((scenario, *row)),
        }
    }

    pub(super) fn is_clean(&self) -> bool {
        self.0.iter().all(|(_, row)| row.is_clean())
    }
}

/// Markdown, as docs/reliability.md has it.
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| scenario | rounds | lines | harms | reported missing | lost | repeated | out of order | undetected | failed |"
        )?;
        writeln!(f, "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|")?;
        for (name, row) in &self.0 {
            let counts = [
                row.rounds,
                row.lines,
                row.harms,
                row.reported,
                row.lost,
                row.repeated,
                row.out_of_order,
                row.undetected,
                row.failed,
            ];
            let cells: Vec<String> = counts.iter().map(u64::to_string).collect();
            writeln!(f, "| {name} | {} |", cells.join(" | "))?;
        }
        Ok(())
    }
}
