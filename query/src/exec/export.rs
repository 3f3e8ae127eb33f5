//! Records as stored, for exports: the rows are those that the query's hits come from.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use bytes::Bytes;
use store::block::BlockError;
use store::{Block, BlockRef, Pair, Record};

use super::question::Reads;
use super::select::{Order, Select};

/// Selects whole records.
#[derive(Clone, Copy, Debug)]
pub(super) struct Records<'a>(pub(super) &'a Reads);

impl Select for Records<'_> {
    type Item = Record;

    fn wants(&self, block: &BlockRef) -> bool {
        self.0.reads(block.stream())
    }

    fn select(
        &self,
        block: &Block,
        rows: Range<usize>,
        order: Order,
        found: &mut dyn FnMut(usize, Record) -> ControlFlow<()>,
    ) -> Result<(), BlockError> {
        let (timestamps, levels) = (block.timestamps()?, block.levels()?);
        let (lines, pairs) = (block.lines()?, block.pairs()?);
        self.0.visit(block, rows, order, &mut |row| {
            let pairs = pairs.get(row);
            let record = Record {
                timestamp_ns: timestamps[row],
                labels: Arc::clone(block.labels()),
                line: Bytes::copy_from_slice(lines.get(row)),
                level: levels[row],
                pairs: pairs
                    .map(|(origin, name, value)| Pair { origin, name: name.into(), value: value.into() })
                    .collect(),
            };
            found(row, record)
        })
    }

    fn size(item: &Record) -> usize {
        let pairs: usize = item.pairs.iter().map(|pair| pair.name.len() + pair.value.len() + 96).sum();
        item.line.len() + pairs + 128
    }
}
