//! Reading every byte of a part, and what does not fit.

use super::{BLOCK_PREFIX_LEN, PREAMBLE_LEN, Part, TRAILER_LEN};
use crate::Level;
use crate::block::{Block, BlockError, BlockMeta};
use crate::terms::IdFilter;

impl Part {
    /// What is damaged, in words that name the place; nothing when every byte is what was written. Reads and
    /// decodes everything.
    pub(crate) fn damage(&self) -> Vec<String> {
        let mut damage: Vec<String> = self.salvaged.iter().cloned().collect();
        // Without a directory it is not known where things should be.
        if self.salvaged.is_none() {
            self.check_places(&mut damage);
        }
        damage.extend(self.dictionaries.damage());
        let groups = self.check_groups(&mut damage);
        for (number, meta) in self.blocks.iter().enumerate() {
            let number = number as u32;
            let group = self.groups.of(number).and_then(|group| groups.get(group as usize)?.as_deref());
            if let Err(error) = self.check_block(number, meta, group) {
                damage.push(error.to_string());
            }
            if self.salvaged.is_none()
                && let Err(error) = self.check_filter(number)
            {
                damage.push(error.to_string());
            }
        }
        damage
    }

    /// Blocks, dictionaries, filters and groups must follow each other without a gap, between preamble and directory.
    fn check_places(&self, damage: &mut Vec<String>) {
        let mut at = PREAMBLE_LEN as u64;
        let mut dictionaries = self.dictionaries.places().iter().peekable();
        for (number, place) in self.places.iter().enumerate() {
            while let Some(dictionary) = dictionaries.next_if(|dictionary| dictionary.at == at) {
                at = dictionary.end();
            }
            if place.at != at {
                damage.push(self.file.damaged(number as u32, "place of the block").to_string());
            }
            at = place.at + BLOCK_PREFIX_LEN as u64 + u64::from(place.header_len) + place.columns_len;
        }
        while let Some(dictionary) = dictionaries.next_if(|dictionary| dictionary.at == at) {
            at = dictionary.end();
        }
        for (number, place) in self.places.iter().enumerate() {
            if place.filter_at != at {
                damage.push(self.file.damaged(number as u32, "place of the filter").to_string());
            }
            at = place.filter_at + u64::from(place.filter_len);
        }
        for group in &self.groups.groups {
            if group.at != at {
                damage.push(self.file.damaged(0, "place of a group").to_string());
            }
            at = group.at + u64::from(group.len);
        }
        for dictionary in dictionaries {
            if dictionary.at != at {
                damage.push(self.file.damaged(0, "place of a dictionary").to_string());
            }
            at = dictionary.end();
        }
        let directory = self.file.len().saturating_sub(at + TRAILER_LEN as u64);
        if directory != self.directory_len() {
            let last = self.blocks.len() as u32;
            damage.push(self.file.damaged(last, "bytes that belong to nothing").to_string());
        }
    }

    /// Length of the directory as the trailer says; 0 when it cannot be read any more.
    fn directory_len(&self) -> u64 {
        let at = self.file.len().saturating_sub(TRAILER_LEN as u64);
        let trailer = self.file.read(at, TRAILER_LEN, 0).ok();
        trailer
            .and_then(|bytes| super::Trailer::decode(&bytes).ok())
            .map_or(0, |trailer| u64::from(trailer.footer_len))
    }

    /// The filter of each group, where it is whole.
    fn check_groups(&self, damage: &mut Vec<String>) -> Vec<Option<Vec<u8>>> {
        let groups = (0..self.groups.groups.len() as u32).map(|group| self.read_group(group));
        groups.map(|read| read.map_err(|error| damage.push(error.to_string())).ok()).collect()
    }

    fn check_block(&self, number: u32, meta: &BlockMeta, group: Option<&[u8]>) -> Result<(), BlockError> {
        let raw = self.read_raw(number)?; // every checksum, those of columns that nobody asks for included
        let block = self.read(number)?;
        block.pairs()?;
        let wrong = |what| Err(self.file.damaged(number, what));
        let (timestamps, lines) = (block.timestamps()?, block.lines()?);
        if timestamps.first() != Some(&meta.min_ns) || timestamps.last() != Some(&meta.max_ns) {
            return wrong("times in the header");
        }
        if lines.line_bytes() as u64 != meta.line_bytes || lines.len() != meta.records as usize {
            return wrong("lines in the header");
        }
        if counts(&block)? != meta.level_counts {
            return wrong("levels in the header");
        }
        if let Some(summary) = self.summaries.get(number as usize)
            && block.summary()? != summary.as_deref().cloned()
        {
            return wrong("what the directory says it cannot hold");
        }
        if let Some(group) = group.and_then(|group| IdFilter::decode(group).ok())
            && !raw.terms.long_ids.are_known(&group)
        {
            return wrong("ids that its group does not know of");
        }
        Ok(())
    }

    fn check_filter(&self, number: u32) -> Result<(), BlockError> {
        let Some(place) = self.places.get(number as usize) else { return Ok(()) };
        let bytes = self.file.read(place.filter_at, place.filter_len as usize, number)?;
        if IdFilter::is_whole(&bytes) && IdFilter::decode(&bytes).is_ok() {
            return Ok(());
        }
        Err(self.file.damaged(number, "checksum of the id filter"))
    }
}

fn counts(block: &Block) -> Result<[u32; Level::COUNT], BlockError> {
    let mut counts = [0; Level::COUNT];
    for level in block.levels()? {
        counts[*level as usize] += 1;
    }
    Ok(counts)
}
