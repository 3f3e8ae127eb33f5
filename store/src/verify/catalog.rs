//! The catalog: its structure, its batches, and what it says of the parts.

use std::collections::HashMap;
use std::sync::Arc;

use super::Report;
use crate::Level;
use crate::catalog::{PartRow, StreamRow, View, WindowRow};
use crate::error::StoreError;
use crate::flush::is_small;
use crate::part::Part;
use crate::record::{Labels, StreamId};
use crate::recovery::decode_batch;

/// What the catalog says at one moment.
pub(super) struct Told {
    pub(super) windows: Vec<WindowRow>,
    pub(super) parts: Vec<PartRow>,
    /// Highest number ever given to a part.
    pub(super) last_part: u64,
    streams: HashMap<StreamId, Arc<Labels>>,
}

impl Told {
    /// Reads the catalog, and checks it by itself.
    pub(super) fn read(view: &View<'_>, report: &mut Report, path: &str) -> rusqlite::Result<Self> {
        for what in view.integrity()?.into_iter().chain(view.wrong_rows()?) {
            report.damage.push(format!("`{path}`: {what}"));
        }
        let (windows, parts) = (view.windows()?, view.parts()?);
        let rows: Vec<StreamRow> = view.streams_after(StreamId(0))?;
        if rows.len() as u64 != view.count("streams")? {
            report.damage.push(format!("`{path}`: labels of a stream cannot be read"));
        }
        for row in rows.iter().filter(|row| row.min_ns > row.max_ns && row.min_ns != i64::MAX) {
            report.damage.push(format!("`{path}`: times of stream {}", row.id.0));
        }
        let streams: HashMap<StreamId, Arc<Labels>> =
            rows.into_iter().map(|row| (row.id, row.labels)).collect();
        for at_ns in view.damaged_readings()? {
            report.damage.push(format!("`{path}`: readings of containers at {at_ns}"));
        }
        for what in view.damaged_spans()? {
            report.damage.push(format!("`{path}`: {what}"));
        }
        for source in view.lost_positions()? {
            report.notes.push(format!("the position of `{source}` was damaged, and is not yet found again"));
        }
        let mut next_seq = 0;
        view.each_batch_after(0, |row| {
            report.batches += 1;
            report.records += row.records;
            let place = format!("`{path}`: batch {}", row.id);
            match decode_batch(&row, |stream| streams.get(&stream).cloned()) {
                Err(what) => report.damage.push(format!("{place}: {what}")),
                Ok(commit) => {
                    let min = commit.groups.iter().map(|group| group.min_ns).min();
                    let max = commit.groups.iter().map(|group| group.max_ns).max();
                    if min != Some(row.min_ns) || max != Some(row.max_ns) || row.first_seq < next_seq {
                        report.damage.push(format!("{place}: its row does not fit its records"));
                    }
                }
            }
            next_seq = row.first_seq.saturating_add(row.records);
        })?;
        Ok(Self { windows, parts, last_part: view.last_part()?, streams })
    }

    /// What the catalog says of a part that is not so.
    pub(super) fn compare(&self, row: &PartRow, window: &WindowRow, part: &Part, bytes: u64) -> Vec<String> {
        let file = part.path().display();
        let mut wrong = Vec::new();
        let mut expect = |what: &str, fits: bool| {
            if !fits {
                wrong.push(format!("`{file}`: the catalog has other {what}"));
            }
        };
        let blocks = part.blocks();
        let mut levels = [0; Level::COUNT];
        for block in blocks {
            for (sum, count) in levels.iter_mut().zip(block.level_counts) {
                *sum += u64::from(count);
            }
            expect("labels for a stream", self.streams.get(&block.stream) == Some(&block.labels));
            let end = block.min_seq + u64::from(block.records);
            expect("order keys", row.min_seq <= block.min_seq && end <= row.end_seq);
        }
        expect("number", part.id().0 == row.id);
        expect("window", part.window().start_ns == window.start_ns && part.window().end_ns == window.end_ns);
        expect("length", bytes == row.bytes);
        expect("levels", levels == row.levels);
        expect("number of records", blocks.iter().map(|b| u64::from(b.records)).sum::<u64>() == row.records);
        expect("length of lines", blocks.iter().map(|b| b.line_bytes).sum::<u64>() == row.line_bytes);
        expect("number of blocks", blocks.len() as u64 == row.blocks);
        expect("small blocks", blocks.iter().filter(|b| is_small(b)).count() as u64 == row.small_blocks);
        expect("times", blocks.iter().map(|b| b.min_ns).min() == Some(row.min_ns));
        expect("times", blocks.iter().map(|b| b.max_ns).max() == Some(row.max_ns));
        wrong.dedup();
        wrong
    }
}

/// Runs `read` on one unchanging state of the catalog in `dir`.
pub(super) fn read(dir: &std::path::Path, report: &mut Report) -> Result<Told, StoreError> {
    let path = dir.join(crate::catalog::FILE).display().to_string();
    crate::catalog::CatalogReader::open(dir)?.consistent(|view| Told::read(view, report, &path))
}
