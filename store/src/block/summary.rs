//! What texts a block cannot hold, remembered from the first look at it: a phrase is held against the templates of its
//! messages without opening it again.
//!
//! The invariant: what [`Summary::may_hold`] denies neither a line of the block nor a value of its pairs holds.

use super::header::Role;
use super::shapes::{ByteSet, Outline, Shapes, value_code};
use super::wire::Input;
use super::{Block, Needle, Templates};

/// See the module. Some hundred bytes.
#[derive(Debug)]
pub(crate) struct Summary {
    /// Number of the dictionary that has the templates.
    pub(crate) dictionary: u64,
    /// Bytes of everything but values that are running text.
    others: ByteSet,
    /// Bytes with which a literal of the lines begins or ends beside a value.
    boundary: ByteSet,
    /// Which templates of running text there are, for each column of it.
    lists: Vec<Box<[u8]>>,
}

impl Summary {
    /// Whether the block may hold the needle, which is to be found as it is. `templates` are those of running text.
    pub(crate) fn may_hold(&self, needle: &Needle, templates: &Templates) -> bool {
        let bytes = needle.bytes();
        // What has no boundary byte lies within one literal or value; what has a byte that nothing else has, within a
        // value that is running text.
        let spans = bytes.iter().any(|byte| self.boundary.contains(*byte));
        if spans || bytes.iter().all(|byte| self.others.contains(*byte)) {
            return true;
        }
        let Some(likely) = templates.that_may_hold(needle) else { return true };
        self.lists.iter().any(|list| !matches!(likely.in_list(Input::new(list)), Ok(None)))
    }
}

impl Block {
    /// What the block's lines, which have these shapes, cannot hold; `None` where some values may be anything.
    pub(super) fn summary(&self, shapes: &Shapes) -> Option<Summary> {
        let mut others = ByteSet::of(shapes.text());
        let mut lists = Vec::new();
        for number in shapes.columns() {
            let meta = self.column_meta(number)?;
            if meta.encoding == value_code::SHARED_SHAPES {
                lists.push(Outline::list(meta).ok()?.rest().into());
            } else {
                others.add(self.bytes_of(number)?);
            }
        }
        for pair in 0..self.pairs.columns().len() {
            others.add(self.bytes_of_pair(pair)?);
        }
        let stored = self.stored.as_ref()?;
        let dictionary = stored.dictionary_id().ok()?;
        let known = !lists.is_empty() && !stored.has(&Role::Overflow);
        known.then(|| Summary { dictionary, others, boundary: shapes.boundary_bytes(), lists })
    }
}
