//! A block's columns as they lie in a part file, and their decoding.

use std::sync::Arc;

use super::dictionary::TemplatesOf;
use super::encode::{ASCII_LINES, code};
use super::header::{ColumnMeta, Header, Packing, Role};
use super::pairs::{Overflow, PairCodes, Values};
use super::shapes::{
    Bounds, Column, Likely, Limits, Needle, PackedHex, Shapes, Table, Templates, used_templates, value_code,
};
use super::wire::{Input, Malformed};
use super::{BlockError, Lines, decode, holes, pack};
use crate::part::{Dictionaries, PartFile};
use crate::{Level, Origin};

/// Where the columns of one block lie.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    file: Arc<PartFile>,
    /// Number of the block in the file.
    number: u32,
    records: usize,
    line_bytes: usize,
    columns: Vec<(u64, ColumnMeta)>,
    dictionaries: Arc<Dictionaries>,
    /// Number of the block's dictionary.
    dictionary: Option<u64>,
}

impl Stored {
    /// `columns_at` is the place in the file of the first column of `header`.
    pub(crate) fn new(
        file: Arc<PartFile>,
        dictionaries: Arc<Dictionaries>,
        number: u32,
        header: Header,
        mut columns_at: u64,
    ) -> Self {
        let dictionary = header.dictionary();
        let mut columns = Vec::with_capacity(header.columns.len());
        for column in header.columns {
            let at = columns_at;
            columns_at += u64::from(column.stored_len);
            columns.push((at, column));
        }
        let (records, line_bytes) = (header.meta.records as usize, header.meta.line_bytes as usize);
        Self { file, number, records, line_bytes, columns, dictionaries, dictionary }
    }

    /// Templates of the block's dictionary.
    pub(crate) fn templates(&self, of: TemplatesOf) -> Result<Arc<Templates>, BlockError> {
        self.dictionaries.templates(self.dictionary_id()?, of, self.number)
    }

    pub(crate) fn dictionary_id(&self) -> Result<u64, BlockError> {
        self.dictionary.ok_or_else(|| self.damaged("it names no dictionary"))
    }

    /// Which of the templates in `list` may hold the needle.
    pub(crate) fn likely(
        &self,
        of: TemplatesOf,
        list: Input<'_>,
        needle: &Needle,
    ) -> Result<Likely, BlockError> {
        let Some(may_hold) = self.templates(of)?.that_may_hold(needle) else { return Ok(Likely::Unknown) };
        let found = may_hold.in_list(list).map_err(|Malformed(what)| self.damaged(what))?;
        Ok(found.map_or(Likely::None, Likely::Some))
    }

    /// The list of templates that lines of the block are made of, if they are.
    pub(crate) fn line_templates(&self) -> Result<Option<Input<'_>>, BlockError> {
        let Some(meta) = self.column(&Role::Lines).map(|at| &self.columns[at].1) else { return Ok(None) };
        if meta.encoding != code::LINES_SHARED_SHAPES {
            return Ok(None);
        }
        let mut input = Input::new(&meta.params);
        match input.u8("flags of the lines") {
            Ok(_) => Ok(Some(input)),
            Err(Malformed(what)) => Err(self.damaged(what)),
        }
    }

    /// Origin and name of each pair column, in order.
    pub(crate) fn pair_names(&self) -> impl Iterator<Item = (Origin, Arc<str>)> {
        self.columns.iter().filter_map(|(_, column)| match &column.role {
            Role::Pair(origin, name) => Some((*origin, Arc::clone(name))),
            _ => None,
        })
    }

    /// Bytes of the lines, without separators.
    pub(crate) const fn line_bytes(&self) -> usize {
        self.line_bytes
    }

    /// Number of value columns.
    pub(crate) fn value_columns(&self) -> usize {
        self.columns.iter().filter(|(_, column)| matches!(column.role, Role::Values(_))).count()
    }

    /// Place of value column `number` in the directory.
    fn value_at(&self, number: usize) -> Option<usize> {
        let mut columns =
            (0..self.columns.len()).filter(|at| matches!(self.columns[*at].1.role, Role::Values(_)));
        columns.nth(number)
    }

    pub(crate) fn value_meta(&self, number: usize) -> Option<&ColumnMeta> {
        self.value_at(number).map(|at| &self.columns[at].1)
    }

    /// Whether value column `number` depends on the times of the records.
    pub(crate) fn needs_times(&self, number: usize) -> bool {
        self.value_meta(number).is_some_and(|meta| meta.encoding == value_code::STAMPS)
    }

    /// Whether all lines are known to be ASCII.
    pub(crate) fn has_ascii_lines(&self) -> bool {
        let lines = self.column(&Role::Lines).map(|at| &self.columns[at].1);
        lines.is_some_and(|column| {
            matches!(column.encoding, code::LINES_SHAPES | code::LINES_SHARED_SHAPES)
                && column.params.first() == Some(&ASCII_LINES)
        })
    }

    /// The shapes of the lines; `None` when the lines are stored otherwise.
    pub(crate) fn shapes(&self) -> Result<Option<Arc<Shapes>>, BlockError> {
        let Some(at) = self.column(&Role::Lines) else { return Ok(None) };
        let slots = self.line_bytes + self.records;
        let limits = Limits { texts: self.records, slots, columns: self.value_columns() };
        if self.columns[at].1.encoding == code::LINES_SHAPES {
            let pairs = self.pair_names().count();
            return self.decode(at, |_, raw| Ok(Some(Arc::new(Shapes::decode(&raw, limits, pairs)?))));
        }
        let Some(list) = self.line_templates()? else { return Ok(None) };
        let used = used_templates(list).map_err(|Malformed(what)| self.damaged(what))?;
        let templates = self.templates(TemplatesOf::Lines)?;
        let names: Vec<(Origin, Arc<str>)> = self.pair_names().collect();
        let pair = |number: u32| {
            let sought = templates.pair(number)?;
            names.iter().position(|name| name == sought).map(|at| at as u32)
        };
        self.decode(at, |_, raw| {
            let shapes = Shapes::decode_templates(&raw, limits, &used, &templates, pair)?;
            Ok(Some(Arc::new(shapes)))
        })
    }

    /// Value column `number`; `of_lines` are the shapes of the lines if it is one of theirs, `timestamps` those
    /// of the records if it needs them.
    pub(crate) fn value_column(
        &self,
        number: usize,
        of_lines: Option<&Shapes>,
        timestamps: Option<&[i64]>,
    ) -> Result<Arc<Column>, BlockError> {
        let at = self.value_at(number).ok_or_else(|| self.damaged("a value column is missing"))?;
        let own = of_lines.map_or(0, |shapes| shapes.columns().end);
        let is_shared = self.columns[at].1.encoding == value_code::SHARED_SHAPES;
        let templates = if is_shared { Some(self.templates(TemplatesOf::Texts)?) } else { None };
        let table = self.table_of_values(number)?;
        let (columns, line_bytes) = (self.value_columns(), self.line_bytes);
        let bounds =
            Bounds { own, columns, line_bytes, templates: templates.as_deref(), table: table.as_ref() };
        let times = of_lines.zip(timestamps).map(|(shapes, timestamps)| {
            let mut times = Vec::with_capacity(timestamps.len());
            shapes.for_each_entry((number - shapes.base) as u32, |row| times.push(timestamps[row]));
            times
        });
        let entries = self.columns[at].1.entries();
        self.decode(at, |meta, raw| {
            Column::decode(meta, raw, entries, of_lines.is_some(), times, bounds).map(Arc::new)
        })
    }

    pub(crate) fn timestamps(&self) -> Result<Vec<i64>, BlockError> {
        self.required(&Role::Timestamps, |column, raw| decode::timestamps(column, &raw, self.records))
    }

    pub(crate) fn levels(&self) -> Result<Vec<Level>, BlockError> {
        self.required(&Role::Levels, |column, raw| decode::levels(column, &raw, self.records))
    }

    /// The lines; `values` gives those of a pair column, by number.
    pub(crate) fn lines<'a>(
        &self,
        values: impl Fn(usize) -> Result<&'a Values, BlockError>,
    ) -> Result<Lines, BlockError> {
        let lengths = match self.column(&Role::LineLengths) {
            Some(at) => Some(self.decode(at, |column, raw| decode::lengths(column, &raw, self.records))?),
            None => None,
        };
        let (lines, params) = self.required(&Role::Lines, |column, raw| {
            let lines = decode::lines(column, raw, lengths.as_deref(), self.records)?;
            Ok((lines, holes::decode(&column.params, self.pair_names().count())?))
        })?;
        let mut filling = Vec::with_capacity(params.len());
        for hole in params {
            filling.push((hole, values(hole.column)?));
        }
        let malformed = |Malformed(what)| self.damaged(what);
        if filling.is_empty() {
            let fits = lines.line_bytes() == self.line_bytes;
            return if fits { Ok(lines) } else { Err(self.damaged("bytes of the lines")) };
        }
        holes::fill(&lines, &filling, self.line_bytes).map_err(malformed)
    }

    /// The table that the values of column `number` lie in, if they do.
    pub(crate) fn table_of_values(&self, number: usize) -> Result<Option<Arc<Table>>, BlockError> {
        match self.value_meta(number) {
            Some(meta) if meta.encoding == value_code::SHARED => self.table(meta).map(Some),
            _ => Ok(None),
        }
    }

    /// The table that the values of the `i`th pair column lie in, if they do.
    pub(crate) fn table_of_pair(&self, i: usize) -> Result<Option<Arc<Table>>, BlockError> {
        match self.pair_meta(i) {
            Some(meta) if meta.encoding == code::PAIR_SHARED => self.table(meta).map(Some),
            _ => Ok(None),
        }
    }

    fn table(&self, meta: &ColumnMeta) -> Result<Arc<Table>, BlockError> {
        let table = Column::table_of(&meta.params).map_err(|Malformed(what)| self.damaged(what))?;
        self.dictionaries.table(self.dictionary_id()?, table, self.number)
    }

    /// Which values of their table the records have in the `i`th pair column.
    pub(crate) fn pair_codes(&self, i: usize, table: &Table) -> Result<PairCodes, BlockError> {
        self.decode(self.pair_at(i)?, |_, raw| decode::pair_codes(&raw, self.records, table.values.len()))
    }

    /// Whether the `i`th pair column depends on the times of the records.
    pub(crate) fn pair_needs_times(&self, i: usize) -> bool {
        self.pair_meta(i).is_some_and(|meta| meta.encoding == code::PAIR_STAMPS)
    }

    /// Values of the `i`th pair column; `timestamps` are those of the records, if it needs them.
    pub(crate) fn values(&self, i: usize, timestamps: Option<&[i64]>) -> Result<Values, BlockError> {
        if let Some(timestamps) = timestamps {
            return self.decode(self.pair_at(i)?, |column, raw| decode::stamps(column, &raw, timestamps));
        }
        if let Some(table) = self.table_of_pair(i)? {
            let values = decode::shared_values(&self.pair_codes(i, &table)?, &table);
            return values.map_err(|Malformed(what)| self.damaged(what));
        }
        self.decode(self.pair_at(i)?, |column, raw| decode::values(column, &raw, self.records))
    }

    /// Calls `use_it` with the values of the `i`th pair column if they are stored as hex digits of one length.
    pub(crate) fn packed_pair<T>(
        &self,
        i: usize,
        use_it: impl FnOnce(Option<PackedHex<'_>>) -> Option<T>,
    ) -> Result<Option<T>, BlockError> {
        let at = self.pair_at(i)?;
        if self.columns[at].1.encoding != code::PAIR_HEX {
            return Ok(None);
        }
        self.decode(at, |_, raw| Ok(use_it(decode::packed_hex(&raw, self.records)?)))
    }

    pub(crate) fn pair_meta(&self, i: usize) -> Option<&ColumnMeta> {
        self.pair_at(i).ok().map(|at| &self.columns[at].1)
    }

    /// Place of the `i`th pair column in the directory.
    fn pair_at(&self, i: usize) -> Result<usize, BlockError> {
        let mut pairs =
            (0..self.columns.len()).filter(|at| matches!(self.columns[*at].1.role, Role::Pair(..)));
        pairs.nth(i).ok_or_else(|| self.damaged("a pair column is missing"))
    }

    pub(crate) fn overflow(&self) -> Result<Overflow, BlockError> {
        match self.column(&Role::Overflow) {
            Some(at) => self.decode(at, |column, raw| decode::overflow(column, &raw, self.records)),
            None => Ok(Overflow::new()),
        }
    }

    /// The directory of its columns.
    pub(crate) fn columns(&self) -> impl Iterator<Item = &ColumnMeta> {
        self.columns.iter().map(|(_, column)| column)
    }

    fn column(&self, role: &Role) -> Option<usize> {
        self.columns.iter().position(|(_, column)| column.role == *role)
    }

    fn required<T>(
        &self,
        role: &Role,
        decode: impl FnOnce(&ColumnMeta, Vec<u8>) -> Result<T, Malformed>,
    ) -> Result<T, BlockError> {
        let at = self.column(role).ok_or_else(|| self.damaged("a column is missing"))?;
        self.decode(at, decode)
    }

    fn decode<T>(
        &self,
        at: usize,
        decode: impl FnOnce(&ColumnMeta, Vec<u8>) -> Result<T, Malformed>,
    ) -> Result<T, BlockError> {
        let (place, column) = &self.columns[at];
        let raw = read_column(&self.file, *place, column, self.number)?;
        decode(column, raw).map_err(|Malformed(what)| self.damaged(what))
    }

    pub(crate) fn damaged(&self, what: &str) -> BlockError {
        self.file.damaged(self.number, what)
    }
}

/// The bytes of a column that lies at `at`, as they were before compression, for block `number`.
pub(crate) fn read_column(
    file: &PartFile,
    at: u64,
    column: &ColumnMeta,
    number: u32,
) -> Result<Vec<u8>, BlockError> {
    let stored = file.read(at, column.stored_len as usize, number)?;
    if pack::crc(&stored) != column.crc {
        return Err(file.damaged(number, &format!("checksum of {:?}", column.role)));
    }
    let raw_len = column.raw_len as usize;
    let raw = match column.packing {
        Packing::Zstd => pack::unpack(&stored, raw_len),
        Packing::Pieces => pack::unpack_pieces(&stored, raw_len, false),
        Packing::NarrowPieces => pack::unpack_pieces(&stored, raw_len, true),
        Packing::Plain if stored.len() == raw_len => Ok(stored),
        Packing::Plain => Err(Malformed("length of a column")),
    };
    raw.map_err(|Malformed(what)| file.damaged(number, what))
}
