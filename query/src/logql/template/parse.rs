//! Template text to nodes.
//!
//! Variables are resolved to slots while parsing; slot 0 is `$`, the labels.

use super::functions::{Function, lookup};
use super::tokens::{At, Item, Text, Token, split};
use super::value::Value;

/// Deepest nesting of blocks and parentheses: a guard of the stack.
const MAX_DEPTH: usize = 64;

#[derive(Clone, Debug)]
pub(super) enum Node {
    Text(String),
    Action(Pipeline),
    If { condition: Pipeline, then: Vec<Self>, otherwise: Vec<Self> },
    With { value: Pipeline, then: Vec<Self>, otherwise: Vec<Self> },
    Range { over: Pipeline, body: Vec<Self>, otherwise: Vec<Self> },
    Break,
    Continue,
}

/// Commands, each given the result of the one before; the result goes into `variables`.
#[derive(Clone, Debug)]
pub(super) struct Pipeline {
    pub(super) variables: Vec<usize>,
    pub(super) commands: Vec<Command>,
}

#[derive(Clone, Debug)]
pub(super) enum Command {
    Value(Operand),
    Call { function: &'static Function, arguments: Vec<Operand>, at: At },
}

#[derive(Clone, Debug)]
pub(super) enum Operand {
    Constant(Value),
    /// `.a.b`; none is `.`
    Dot(Vec<String>),
    /// `$x.a`
    Variable(usize, Vec<String>),
    /// `(…).a`
    Nested(Box<Pipeline>, Vec<String>),
    /// A function without arguments.
    Function(&'static Function, At),
}

/// The nodes, and how many variable slots they use.
pub(super) fn parse(name: &'static str, text: &str) -> Result<(Vec<Node>, usize), String> {
    let mut parser = Parser {
        name,
        items: split(name, text)?,
        next: 0,
        scope: vec!["$".to_owned()],
        slots: 1,
        loops: 0,
        depth: 0,
    };
    let (nodes, end) = parser.block()?;
    match end {
        None => Ok((nodes, parser.slots)),
        Some(end) => Err(parser.error(&format!("unexpected {{{{{end}}}}}"))),
    }
}

struct Parser {
    name: &'static str,
    items: Vec<Item>,
    next: usize,
    /// Names of the variables in sight; the slot is the index in order of declaration.
    scope: Vec<String>,
    slots: usize,
    loops: usize,
    depth: usize,
}

impl Parser {
    fn error(&self, message: &str) -> String {
        format!("template: {}:1: {message}", self.name)
    }

    /// Nodes up to `end`, `else` or the end of the text.
    fn block(&mut self) -> Result<(Vec<Node>, Option<String>), String> {
        if self.depth == MAX_DEPTH {
            return Err(self.error("nested too deeply"));
        }
        self.depth += 1;
        let mut nodes = Vec::new();
        let mut end = None;
        while end.is_none() && self.next < self.items.len() {
            let item = std::mem::replace(&mut self.items[self.next], Item::Text(String::new()));
            self.next += 1;
            match item {
                Item::Text(text) if text.is_empty() => {}
                Item::Text(text) => nodes.push(Node::Text(text)),
                Item::Action(tokens) => end = self.action(&tokens, &mut nodes)?,
            }
        }
        self.depth -= 1;
        Ok((nodes, end))
    }

    fn action(&mut self, tokens: &[(Token, At)], nodes: &mut Vec<Node>) -> Result<Option<String>, String> {
        let mut cursor = Cursor { tokens, at: 0 };
        cursor.skip_blanks();
        let keyword = match cursor.peek() {
            Some(Token::Word(word)) => word.clone(),
            None => return Err(self.error("missing value for command")),
            _ => String::new(),
        };
        match keyword.as_str() {
            "if" | "with" | "range" => {
                cursor.at += 1;
                nodes.push(self.control(&keyword, cursor)?);
            }
            "end" => {
                cursor.at += 1;
                self.expect_end(&mut cursor)?;
                return Ok(Some(keyword));
            }
            "else" => {
                cursor.at += 1;
                cursor.skip_blanks();
                let rest = cursor.tokens.get(cursor.at..).unwrap_or_default().to_vec();
                if !rest.is_empty() {
                    // `else if` is an `if` within the `else`, ended by the same `end`
                    self.next -= 1;
                    self.items[self.next] = Item::Action(rest);
                    return Ok(Some("else if".to_owned()));
                }
                return Ok(Some(keyword));
            }
            "break" | "continue" => {
                if self.loops == 0 {
                    return Err(self.error(&format!("{{{{{keyword}}}}} outside {{{{range}}}}")));
                }
                nodes.push(if keyword == "break" { Node::Break } else { Node::Continue });
            }
            "define" | "template" | "block" => {
                return Err(self.error(&format!("{{{{{keyword}}}}} is not supported")));
            }
            _ => {
                let pipeline = self.pipeline(&mut cursor, false)?;
                self.expect_end(&mut cursor)?;
                nodes.push(Node::Action(pipeline));
            }
        }
        Ok(None)
    }

    fn expect_end(&self, cursor: &mut Cursor<'_>) -> Result<(), String> {
        cursor.skip_blanks();
        if cursor.peek().is_some() { Err(self.error("unexpected token in command")) } else { Ok(()) }
    }

    fn control(&mut self, keyword: &str, mut cursor: Cursor<'_>) -> Result<Node, String> {
        let outer = self.scope.len();
        let value = self.pipeline(&mut cursor, keyword == "range")?;
        self.expect_end(&mut cursor)?;
        self.loops += usize::from(keyword == "range");
        let (then, end) = self.block()?;
        self.loops -= usize::from(keyword == "range");
        let otherwise = self.otherwise(end.as_deref())?;
        self.scope.truncate(outer);
        Ok(match keyword {
            "if" => Node::If { condition: value, then, otherwise },
            "with" => Node::With { value, then, otherwise },
            _ => Node::Range { over: value, body: then, otherwise },
        })
    }

    fn otherwise(&mut self, end: Option<&str>) -> Result<Vec<Node>, String> {
        match end {
            Some("end") => Ok(Vec::new()),
            Some("else") => match self.block()? {
                (nodes, Some(end)) if end == "end" => Ok(nodes),
                _ => Err(self.error("expected end; found {{else}}")),
            },
            Some(_) => {
                let Item::Action(tokens) =
                    std::mem::replace(&mut self.items[self.next], Item::Text(String::new()))
                else {
                    return Err(self.error("unexpected EOF"));
                };
                self.next += 1;
                let mut nodes = Vec::new();
                match self.action(&tokens, &mut nodes)? {
                    None if matches!(nodes.last(), Some(Node::If { .. } | Node::With { .. })) => Ok(nodes),
                    _ => Err(self.error("unexpected token in {{else}}")),
                }
            }
            None => Err(self.error("unexpected EOF")),
        }
    }

    fn declare(&mut self, name: &str) -> usize {
        // Slots are never reused, so a name can be shadowed without care.
        self.scope.resize(self.slots, String::new());
        self.scope.push(name.to_owned());
        self.slots += 1;
        self.slots - 1
    }

    fn variable(&self, name: &str) -> Result<usize, String> {
        self.scope
            .iter()
            .rposition(|known| known == name)
            .ok_or_else(|| self.error(&format!("undefined variable {}", crate::logql::units::quote(name))))
    }

    fn pipeline(&mut self, cursor: &mut Cursor<'_>, range: bool) -> Result<Pipeline, String> {
        if self.depth == MAX_DEPTH {
            return Err(self.error("nested too deeply"));
        }
        self.depth += 1;
        let (names, declares) = cursor.assignment(range);
        let mut commands = Vec::new();
        loop {
            commands.push(self.command(cursor)?);
            if !cursor.accept("|") {
                break;
            }
        }
        if commands
            .iter()
            .skip(1)
            .any(|c| matches!(c, Command::Value(op) if !matches!(op, Operand::Function(..))))
        {
            return Err(self.error("non executable command in pipeline stage 2"));
        }
        let mut variables = Vec::new();
        for name in names {
            variables.push(if declares { self.declare(&name) } else { self.variable(&name)? });
        }
        self.depth -= 1;
        Ok(Pipeline { variables, commands })
    }

    fn command(&mut self, cursor: &mut Cursor<'_>) -> Result<Command, String> {
        cursor.skip_blanks();
        let at = cursor.place();
        let first = self.operand(cursor)?;
        let mut arguments = Vec::new();
        loop {
            cursor.skip_blanks();
            if matches!(cursor.peek(), None | Some(Token::Symbol("|" | ")"))) {
                break;
            }
            arguments.push(self.operand(cursor)?);
        }
        match first {
            Operand::Function(function, _) => Ok(Command::Call { function, arguments, at }),
            operand if arguments.is_empty() => Ok(Command::Value(operand)),
            _ => Err(self.error("can't give argument to non-function")),
        }
    }

    fn operand(&mut self, cursor: &mut Cursor<'_>) -> Result<Operand, String> {
        cursor.skip_blanks();
        let at = cursor.place();
        let Some(token) = cursor.peek().cloned() else { return Err(self.error("missing value for command")) };
        cursor.at += 1;
        Ok(match token {
            Token::Symbol(".") => Operand::Dot(Vec::new()),
            Token::Field(name) => {
                let mut names = vec![name];
                names.extend(cursor.fields());
                Operand::Dot(names)
            }
            Token::Variable(name) => Operand::Variable(self.variable(&name)?, cursor.fields()),
            Token::Symbol("(") => {
                let inner = self.pipeline(cursor, false)?;
                if !cursor.accept(")") {
                    return Err(self.error("unclosed left paren"));
                }
                Operand::Nested(Box::new(inner), cursor.fields())
            }
            Token::Word(word) => match word.as_str() {
                "true" => Operand::Constant(Value::Bool(true)),
                "false" => Operand::Constant(Value::Bool(false)),
                "nil" => Operand::Constant(Value::Nil),
                name => {
                    let function = lookup(name)
                        .ok_or_else(|| self.error(&format!("function \"{name}\" not defined")))?;
                    Operand::Function(function, at)
                }
            },
            Token::Constant(Text::String(text)) => Operand::Constant(Value::Text(text)),
            Token::Constant(Text::Char(c)) => Operand::Constant(Value::Int(i64::from(u32::from(c)))),
            Token::Constant(Text::Number(text)) => Operand::Constant(self.number(&text)?),
            Token::Symbol(symbol) => return Err(self.error(&format!("unexpected <{symbol}> in operand"))),
            Token::Blank => return Err(self.error("unexpected space in operand")),
        })
    }

    fn number(&self, text: &str) -> Result<Value, String> {
        if let Some(int) = super::value::parse_int(text) {
            return Ok(Value::Int(int));
        }
        let float = crate::logql::units::parse_float(text);
        float.map(Value::Float).map_err(|_| self.error(&format!("bad number syntax: \"{text}\"")))
    }
}

/// Walks the tokens of one action.
struct Cursor<'a> {
    tokens: &'a [(Token, At)],
    at: usize,
}

impl Cursor<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|(token, _)| token)
    }

    fn place(&self) -> At {
        self.tokens.get(self.at).map(|(_, at)| *at).unwrap_or_default()
    }

    fn skip_blanks(&mut self) {
        while self.peek() == Some(&Token::Blank) {
            self.at += 1;
        }
    }

    fn accept(&mut self, symbol: &str) -> bool {
        let before = self.at;
        self.skip_blanks();
        if matches!(self.peek(), Some(Token::Symbol(s)) if *s == symbol) {
            self.at += 1;
            return true;
        }
        self.at = before;
        false
    }

    /// `.a.b` right behind an operand.
    fn fields(&mut self) -> Vec<String> {
        let mut fields = Vec::new();
        while let Some(Token::Field(name)) = self.peek() {
            fields.push(name.clone());
            self.at += 1;
        }
        fields
    }

    /// `$x :=`, `$x =`, and for `range` also `$i, $x :=`.
    fn assignment(&mut self, range: bool) -> (Vec<String>, bool) {
        let before = self.at;
        let mut names = Vec::new();
        loop {
            self.skip_blanks();
            let Some(Token::Variable(name)) = self.peek() else { break };
            names.push(name.clone());
            self.at += 1;
            if self.accept(":=") {
                return (names, true);
            }
            if self.accept("=") {
                return (names, false);
            }
            if !range || names.len() == 2 || !self.accept(",") {
                break;
            }
        }
        self.at = before;
        (Vec::new(), false)
    }
}

fn visit<'a>(nodes: &'a [Node], operand: &mut impl FnMut(&'a Operand)) {
    for node in nodes {
        match node {
            Node::Text(_) | Node::Break | Node::Continue => {}
            Node::Action(pipeline) => visit_pipeline(pipeline, operand),
            Node::If { condition: value, then, otherwise }
            | Node::With { value, then, otherwise }
            | Node::Range { over: value, body: then, otherwise } => {
                visit_pipeline(value, operand);
                visit(then, operand);
                visit(otherwise, operand);
            }
        }
    }
}

fn visit_pipeline<'a>(pipeline: &'a Pipeline, operand: &mut impl FnMut(&'a Operand)) {
    for command in &pipeline.commands {
        let operands = match command {
            Command::Value(value) => std::slice::from_ref(value),
            Command::Call { arguments, .. } => arguments.as_slice(),
        };
        for value in operands {
            operand(value);
            if let Operand::Nested(inner, _) = value {
                visit_pipeline(inner, operand);
            }
        }
    }
}

pub(super) fn collect_fields<'a>(nodes: &'a [Node], fields: &mut Vec<&'a str>) {
    visit(nodes, &mut |operand| match operand {
        Operand::Dot(names) | Operand::Variable(_, names) => fields.extend(names.first().map(String::as_str)),
        _ => {}
    });
}

pub(super) fn uses_whole_dot(nodes: &[Node]) -> bool {
    let mut found = false;
    visit(nodes, &mut |operand| {
        found |= matches!(operand, Operand::Dot(names) if names.is_empty())
            || matches!(operand, Operand::Variable(0, names) if names.is_empty());
    });
    found
}
