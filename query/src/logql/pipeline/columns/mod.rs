//! What a JSON parser finds in a line, taken from the columns of its block instead of the line.
//!
//! A shape is parsed once, with an example in each of its slots. Where every slot turns out to be a string or a
//! number of its own, all lines of the shape are parsed alike as long as their values end where the example did: a
//! string has no quotes but escaped ones, a number no byte that ends it. What the block does not know of a slot is
//! looked at line by line. Lines that this does not hold for, and those of other shapes, are left to the parser.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use store::block::{BlockError, CodedValues, LineShapes, NumberValues, SharedCodes, SlotId, SlotValues};
use store::{Block, Labels};

use super::extract::{Extractor, Kind};
use crate::logql::line_labels::{Category, LineLabels};
use crate::logql::parsers::json::{self, Value};

/// Of fewer lines for each shape, parsing them is not worth less than parsing the shapes.
const MIN_LINES_PER_SHAPE: usize = 8;
/// Stands in every slot of an example: a number, and as good a string as any.
const EXAMPLE: u8 = b'0';

/// A parser's way through the columns of one block.
#[derive(Debug)]
pub(crate) struct JsonColumns<'a> {
    extractor: &'a Extractor,
    shapes: LineShapes<'a>,
    /// By shape; `None` where its lines must be parsed.
    recipes: Vec<Option<Recipe<'a>>>,
    buffer: Vec<u8>,
}

/// What a parser finds in every line of a shape.
#[derive(Debug)]
struct Recipe<'a> {
    /// Slots of which the block does not know that all values end as the example did.
    doubtful: Vec<(Quoting, SlotValues<'a>)>,
    /// Labels in the order in which they are found.
    labels: Vec<(String, Source<'a>)>,
}

#[derive(Debug)]
enum Source<'a> {
    /// The same in all lines.
    Text(String),
    Slot(SlotText<'a>),
    /// A path that leads nowhere.
    Nothing,
}

/// The texts that stand in a slot, as a parser reads them.
#[derive(Debug)]
pub(crate) struct SlotText<'a> {
    quoting: Quoting,
    values: SlotValues<'a>,
}

/// What a label of all lines of a shape is.
#[derive(Clone, Debug)]
pub(crate) enum LabelSource<'s, 'a> {
    /// There is none.
    Missing,
    /// The same text.
    Text(Cow<'s, str>),
    /// What stands in the slot.
    Slot(&'s SlotText<'a>),
}

/// How a value stands in the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quoting {
    String,
    Number,
}

impl<'a> JsonColumns<'a> {
    /// For a parser stage and some `rows` of a block; `None` where its lines are to be parsed.
    pub(super) fn of(
        extractor: &'a Extractor,
        block: &'a Block,
        rows: usize,
    ) -> Result<Option<Self>, BlockError> {
        if !matches!(extractor.kind, Kind::Json | Kind::JsonPaths(_)) {
            return Ok(None);
        }
        let Some(shapes) = block.line_shapes()? else { return Ok(None) };
        if shapes.len() * MIN_LINES_PER_SHAPE > rows {
            return Ok(None);
        }
        let mut recipes = Vec::with_capacity(shapes.len());
        for shape in 0..shapes.len() {
            recipes.push(recipe(extractor, &shapes, shape)?);
        }
        let any = recipes.iter().any(Option::is_some);
        Ok(any.then_some(Self { extractor, shapes, recipes, buffer: Vec::new() }))
    }

    /// Sets the labels of line `row`; false, and none set, when it must be parsed.
    pub(crate) fn extract(&mut self, row: usize, labels: &mut LineLabels) -> Result<bool, BlockError> {
        let Some(recipe) = &self.recipes[self.shapes.of_row(row)] else { return Ok(false) };
        for (quoting, values) in &recipe.doubtful {
            if !quoting.contains(values.get(row, &mut self.buffer)?) {
                return Ok(false);
            }
        }
        self.extractor.set(recipe, labels, &mut self.buffer, |_, source, buffer| {
            Ok(match source {
                Source::Text(text) => text.as_str().into(),
                Source::Slot(slot) => slot.get(row, buffer)?,
                Source::Nothing => "".into(),
            })
        })?;
        Ok(true)
    }

    /// The shapes of the lines.
    pub(crate) const fn shapes(&self) -> LineShapes<'a> {
        self.shapes
    }

    /// What labels `names` are in all lines of `shape` that come from the stream, in this order; `None` where each line
    /// must be looked at. `labels` is scratch.
    pub(crate) fn sources<'s>(
        &'s self,
        shape: usize,
        stream: &'s Arc<Labels>,
        names: &[String],
        labels: &mut LineLabels,
    ) -> Option<Vec<LabelSource<'s, 'a>>> {
        let recipe = self.recipes[shape].as_ref().filter(|recipe| recipe.doubtful.is_empty())?;
        // Names do not depend on texts: in place of each text, its number tells which one a name gets.
        labels.reset(stream);
        let numbered =
            self.extractor.set(recipe, labels, &mut Vec::new(), |number, _, _| Ok(number.to_string().into()));
        numbered.ok()?;
        let mut sources = vec![LabelSource::Missing; names.len()];
        labels.for_each(|category, name, value| {
            let number = value.parse().ok().filter(|_| category == Category::Parsed);
            let source = match number.and_then(|number: usize| recipe.labels.get(number)) {
                None => LabelSource::Text(stream.get(name).unwrap_or_default().into()),
                Some((_, Source::Text(text))) => LabelSource::Text(text.as_str().into()),
                Some((_, Source::Slot(slot))) => LabelSource::Slot(slot),
                Some((_, Source::Nothing)) => LabelSource::Text("".into()),
            };
            let named = names.iter().zip(&mut sources).filter(|(known, _)| *known == name);
            named.for_each(|(_, known)| *known = source.clone());
        });
        Some(sources)
    }
}

impl Extractor {
    /// Sets the labels of a recipe, with the texts that `text` gives for their numbers and sources; `buffer` is scratch.
    fn set<'a>(
        &self,
        recipe: &Recipe<'a>,
        labels: &mut LineLabels,
        buffer: &mut Vec<u8>,
        text: impl for<'b> Fn(usize, &'b Source<'a>, &'b mut Vec<u8>) -> Result<Cow<'b, str>, BlockError>,
    ) -> Result<(), BlockError> {
        let again = matches!(self.kind, Kind::JsonPaths(_));
        let (mut extracted, enough) = (0, self.enough());
        for (number, (name, source)) in recipe.labels.iter().enumerate() {
            if matches!(source, Source::Nothing) && labels.get(name).is_some() {
                continue;
            }
            let text = text(number, source, buffer)?;
            if again {
                labels.extract_again(name, &text);
                continue;
            }
            extracted += usize::from(labels.extract(name, &text));
            if extracted >= enough {
                break;
            }
        }
        Ok(())
    }
}

impl<'a> SlotText<'a> {
    /// The text of line `row`, which must be of the shape; `buffer` is used where it has to be written out.
    pub(crate) fn get<'b>(&'b self, row: usize, buffer: &'b mut Vec<u8>) -> Result<Cow<'b, str>, BlockError> {
        Ok(self.read(self.values.get(row, buffer)?))
    }

    /// The texts as codes, see [`SlotText::read`].
    pub(crate) fn coded(&self) -> Option<CodedValues<'a>> {
        self.values.coded()
    }

    /// The texts as numbers, where all are.
    pub(crate) fn numbers(&self) -> Option<NumberValues<'a>> {
        self.values.numbers()
    }

    /// The texts as codes that other blocks may share, see [`SlotText::quoting`].
    pub(crate) fn shared_codes(&self) -> Option<SharedCodes<'a>> {
        self.values.shared_codes()
    }

    /// How the values are to be read.
    pub(crate) const fn quoting(&self) -> Quoting {
        self.quoting
    }

    /// What the parser makes of a value.
    pub(crate) fn read<'b>(&self, value: &'b [u8]) -> Cow<'b, str> {
        self.quoting.read(value)
    }
}

/// The recipe of a shape; `None` where it depends on more than the ends of values.
fn recipe<'a>(
    extractor: &Extractor,
    shapes: &LineShapes<'a>,
    shape: usize,
) -> Result<Option<Recipe<'a>>, BlockError> {
    let mut example = Example::default();
    for (literal, slot) in shapes.pieces(shape) {
        example.line.extend_from_slice(literal);
        if let Some(slot) = slot {
            example.slots.push((example.line.len(), slot));
            example.line.push(EXAMPLE);
        }
    }
    let Some((quotings, leaves)) = example.parse() else { return Ok(None) };
    let mut doubtful = Vec::new();
    for (quoting, slot) in &quotings {
        let known = match quoting {
            Quoting::String => shapes.has_only(*slot, |byte| !matches!(byte, b'"' | b'\\'))?,
            Quoting::Number => shapes.has_numbers(*slot)?,
        };
        if known {
            continue;
        }
        let values = shapes.values(*slot)?;
        let all_fit =
            |coded: CodedValues<'_>| (0..coded.len()).all(|code| quoting.contains(coded.text(code)));
        if !values.coded().is_some_and(all_fit) {
            doubtful.push((*quoting, values));
        }
    }
    let found = match &extractor.kind {
        Kind::JsonPaths(paths) => {
            if example.line.first() != Some(&b'{') {
                return Ok(None);
            }
            paths.iter().map(|(name, path)| (name.clone(), path.find(&example.line))).collect()
        }
        _ => {
            leaves.into_iter().filter(|(name, _)| extractor.wants(name)).map(|(n, v)| (n, Some(v))).collect()
        }
    };
    let found: Vec<(String, Option<Value<'_>>)> = found;
    let mut labels = Vec::with_capacity(found.len());
    for (name, value) in found {
        let source = match value {
            None => Source::Nothing,
            Some(value) => match example.slot_of(value) {
                Some((quoting, slot)) => Source::Slot(SlotText { quoting, values: shapes.values(slot)? }),
                None if example.has_slot_in(value) => return Ok(None),
                None => Source::Text(json::text(value).into_owned()),
            },
        };
        labels.push((name, source));
    }
    Ok(Some(Recipe { doubtful, labels }))
}

/// A line of a shape with an example in each slot.
#[derive(Debug, Default)]
struct Example {
    line: Vec<u8>,
    /// Place of each slot, ascending.
    slots: Vec<(usize, SlotId)>,
}

/// The leaves of an object by their labels' names, in order.
type Leaves<'e> = Vec<(String, Value<'e>)>;

impl Example {
    /// How each slot stands in the line, and all leaves; `None` when some slot is not a whole value of the object.
    fn parse(&self) -> Option<(Vec<(Quoting, SlotId)>, Leaves<'_>)> {
        let (mut quotings, mut leaves) = (Vec::new(), Leaves::new());
        let result = json::flatten(&self.line, &mut String::new(), &|_| true, &mut |name, value| {
            quotings.extend(self.slot_of(value));
            leaves.push((name.to_owned(), value));
            ControlFlow::Continue(())
        });
        (result.is_ok() && quotings.len() == self.slots.len()).then_some((quotings, leaves))
    }

    /// The slot that is this very value.
    fn slot_of(&self, value: Value<'_>) -> Option<(Quoting, SlotId)> {
        let quoting = match value {
            Value::String(_) => Quoting::String,
            Value::Number(_) => Quoting::Number,
            _ => return None,
        };
        let span = self.span(value);
        let slot = self.slots.iter().find(|(at, _)| span == (*at..*at + 1))?;
        Some((quoting, slot.1))
    }

    fn has_slot_in(&self, value: Value<'_>) -> bool {
        let span = self.span(value);
        self.slots.iter().any(|(at, _)| span.contains(at))
    }

    /// Where a value lies in the line.
    fn span(&self, value: Value<'_>) -> Range<usize> {
        let (Value::String(raw) | Value::Number(raw) | Value::Object(raw) | Value::Array(raw)) = value else {
            return 0..0;
        };
        let start = raw.as_ptr().addr().wrapping_sub(self.line.as_ptr().addr());
        start..start.wrapping_add(raw.len())
    }
}

impl Quoting {
    /// Whether a value ends where the literal after its slot begins.
    fn contains(self, value: &[u8]) -> bool {
        match self {
            Self::String => {
                let mut from = 0;
                while let Some(at) = memchr::memchr2(b'"', b'\\', value.get(from..).unwrap_or_default()) {
                    let at = from + at;
                    if value[at] == b'"' || at + 1 == value.len() {
                        return false;
                    }
                    from = at + 2;
                }
                true
            }
            Self::Number => {
                let ends = |byte: &u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r');
                matches!(value, [b'-' | b'0'..=b'9', ..]) && !value.iter().any(ends)
            }
        }
    }

    /// What the parser makes of a value.
    pub(crate) fn read(self, value: &[u8]) -> Cow<'_, str> {
        json::text(self.value(value))
    }

    const fn value(self, raw: &[u8]) -> Value<'_> {
        match self {
            Self::String => Value::String(raw),
            Self::Number => Value::Number(raw),
        }
    }
}
