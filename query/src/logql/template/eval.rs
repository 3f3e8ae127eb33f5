//! Runs a template's nodes.

use std::collections::BTreeMap;

use super::parse::{Command, Node, Operand, Pipeline};
use super::tokens::At;
use super::value::Value;
use crate::logql::line_labels::LineLabels;

/// What a template sees of a line.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    /// Time of the line.
    pub(crate) timestamp_ns: i64,
    /// The line as it is now.
    pub(crate) line: &'a [u8],
    /// Labels as they are now.
    pub(crate) labels: &'a LineLabels,
}

/// Largest output of one template, bytes: a guard against `repeat` and loops.
pub(super) const MAX_OUTPUT: usize = 16 << 20;

/// Why a block ended before its end.
enum Flow {
    Done,
    Break,
    Continue,
}

struct Evaluator<'a> {
    name: &'static str,
    context: &'a Context<'a>,
    variables: Vec<Value>,
}

pub(super) fn execute(
    name: &'static str,
    nodes: &[Node],
    num_variables: usize,
    context: &Context<'_>,
    out: &mut String,
) -> Result<(), String> {
    let mut variables = Vec::new();
    if num_variables > 1 {
        variables.resize(num_variables, Value::Nil);
        variables[0] = Value::Labels;
    }
    Evaluator { name, context, variables }.block(nodes, &Value::Labels, out).map(|_| ())
}

impl Evaluator<'_> {
    fn block(&mut self, nodes: &[Node], dot: &Value, out: &mut String) -> Result<Flow, String> {
        for node in nodes {
            if out.len() > MAX_OUTPUT {
                return Err(format!("template: {}: output is larger than {MAX_OUTPUT} bytes", self.name));
            }
            let flow = match node {
                Node::Text(text) => {
                    out.push_str(text);
                    Flow::Done
                }
                Node::Action(pipeline) => {
                    self.action(pipeline, dot, out)?;
                    Flow::Done
                }
                Node::If { condition, then, otherwise } => {
                    let chosen = if self.pipeline(condition, dot)?.is_true() { then } else { otherwise };
                    self.block(chosen, dot, out)?
                }
                Node::With { value, then, otherwise } => {
                    let value = self.pipeline(value, dot)?;
                    if value.is_true() {
                        self.block(then, &value, out)?
                    } else {
                        self.block(otherwise, dot, out)?
                    }
                }
                Node::Range { over, body, otherwise } => {
                    self.range(over, body, otherwise, dot, out)?;
                    Flow::Done
                }
                Node::Break => Flow::Break,
                Node::Continue => Flow::Continue,
            };
            if !matches!(flow, Flow::Done) {
                return Ok(flow);
            }
        }
        Ok(Flow::Done)
    }

    /// The usual case, a label alone, is written without a copy.
    fn action(&mut self, pipeline: &Pipeline, dot: &Value, out: &mut String) -> Result<(), String> {
        if let ([], [Command::Value(Operand::Dot(names))], Value::Labels) =
            (pipeline.variables.as_slice(), pipeline.commands.as_slice(), dot)
            && let [name] = names.as_slice()
        {
            out.push_str(self.context.labels.get(name).unwrap_or_default());
            return Ok(());
        }
        let value = self.pipeline(pipeline, dot)?;
        if !pipeline.variables.is_empty() {
            return Ok(());
        }
        match &value {
            Value::Text(text) => out.push_str(text),
            Value::Nil => out.push_str("<no value>"),
            Value::Labels => out.push_str(&Value::Map(self.label_map()).print()),
            value => out.push_str(&value.print()),
        }
        Ok(())
    }

    fn label_map(&self) -> BTreeMap<String, Value> {
        let mut map = BTreeMap::new();
        self.context.labels.for_each(|_, name, value| {
            map.insert(name.to_owned(), Value::Text(value.to_owned()));
        });
        map
    }

    fn range(
        &mut self,
        over: &Pipeline,
        body: &[Node],
        otherwise: &[Node],
        dot: &Value,
        out: &mut String,
    ) -> Result<(), String> {
        let value = self.evaluate(over, dot)?;
        let items: Vec<(Value, Value)> = match value {
            Value::List(items) => (0..).map(Value::Int).zip(items).collect(),
            Value::Map(items) => items.into_iter().map(|(k, v)| (Value::Text(k), v)).collect(),
            Value::Labels => self.label_map().into_iter().map(|(k, v)| (Value::Text(k), v)).collect(),
            Value::Int(count) => {
                let count = count.min(i64::try_from(MAX_OUTPUT).unwrap_or(i64::MAX));
                (0..count).map(|i| (Value::Int(i), Value::Int(i))).collect()
            }
            Value::Nil | Value::Absent => Vec::new(),
            other => {
                return Err(format!(
                    "template: {0}:1: executing \"{0}\": range can't iterate over {1}",
                    self.name,
                    other.print()
                ));
            }
        };
        if items.is_empty() {
            return self.block(otherwise, dot, out).map(|_| ());
        }
        for (key, item) in items {
            match over.variables.as_slice() {
                [] => {}
                [value] => self.variables[*value] = item.clone(),
                [index, value, ..] => {
                    self.variables[*index] = key;
                    self.variables[*value] = item.clone();
                }
            }
            if let Flow::Break = self.block(body, &item, out)? {
                break;
            }
        }
        Ok(())
    }

    fn pipeline(&mut self, pipeline: &Pipeline, dot: &Value) -> Result<Value, String> {
        let value = self.evaluate(pipeline, dot)?;
        for slot in &pipeline.variables {
            self.variables[*slot] = value.clone();
        }
        Ok(value)
    }

    fn evaluate(&mut self, pipeline: &Pipeline, dot: &Value) -> Result<Value, String> {
        let mut piped = None;
        for command in &pipeline.commands {
            piped = Some(match command {
                Command::Value(operand) => self.operand(operand, dot, piped.take())?,
                Command::Call { function, arguments, at } => {
                    self.call(function, arguments, *at, dot, piped.take())?
                }
            });
        }
        Ok(piped.unwrap_or(Value::Nil))
    }

    fn call(
        &mut self,
        function: &'static super::functions::Function,
        arguments: &[Operand],
        at: At,
        dot: &Value,
        piped: Option<Value>,
    ) -> Result<Value, String> {
        let count = arguments.len() + usize::from(piped.is_some());
        if count < function.min || count > function.max {
            let at_least = if function.max == usize::MAX { "at least " } else { "" };
            let message = format!(
                "wrong number of args for {}: want {at_least}{} got {count}",
                function.name, function.min
            );
            return Err(self.error(at, function.name, &message));
        }
        if matches!(function.name, "and" | "or") {
            return self.short_circuit(function.name == "or", arguments, dot, piped);
        }
        let mut values = Vec::with_capacity(count);
        for argument in arguments {
            values.push(self.operand(argument, dot, None)?);
        }
        values.extend(piped);
        for value in &mut values {
            if *value == Value::Labels {
                *value = Value::Map(self.label_map());
            }
        }
        (function.call)(self.context, &values).map_err(|message| {
            self.error(at, function.name, &format!("error calling {}: {message}", function.name))
        })
    }

    fn error(&self, at: At, node: &str, message: &str) -> String {
        let name = self.name;
        format!("template: {name}:{}:{}: executing \"{name}\" at <{node}>: {message}", at.line, at.column)
    }

    /// `and` and `or` yield the first argument that decides, and do not look at the rest.
    fn short_circuit(
        &mut self,
        stop_at: bool,
        arguments: &[Operand],
        dot: &Value,
        piped: Option<Value>,
    ) -> Result<Value, String> {
        let mut last = Value::Nil;
        for argument in arguments {
            last = self.operand(argument, dot, None)?;
            if last.is_true() == stop_at {
                return Ok(last);
            }
        }
        Ok(piped.unwrap_or(last))
    }

    fn operand(&mut self, operand: &Operand, dot: &Value, piped: Option<Value>) -> Result<Value, String> {
        match operand {
            Operand::Constant(value) => Ok(value.clone()),
            Operand::Dot(names) => self.fields(dot.clone(), names),
            Operand::Variable(slot, names) => {
                let value = self.variables.get(*slot).cloned().unwrap_or(Value::Labels);
                self.fields(value, names)
            }
            Operand::Nested(pipeline, names) => {
                let value = self.pipeline(pipeline, dot)?;
                self.fields(value, names)
            }
            Operand::Function(function, at) => self.call(function, &[], *at, dot, piped),
        }
    }

    fn fields(&self, mut value: Value, names: &[String]) -> Result<Value, String> {
        for name in names {
            value = match value {
                Value::Labels => Value::Text(self.context.labels.get(name).unwrap_or_default().to_owned()),
                Value::Map(mut map) => map.remove(name).unwrap_or(Value::Absent),
                Value::Nil | Value::Absent => {
                    return Err(format!(
                        "template: {0}:1: executing \"{0}\" at <.{name}>: nil pointer evaluating interface {{}}.{name}",
                        self.name
                    ));
                }
                other => {
                    return Err(format!(
                        "template: {0}:1: executing \"{0}\" at <.{name}>: can't evaluate field {name} in type {1}",
                        self.name,
                        other.type_name()
                    ));
                }
            };
        }
        Ok(value)
    }
}
