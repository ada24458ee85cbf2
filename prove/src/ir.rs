//! The part of textual LLVM IR that rustc writes for the domain.

use std::collections::HashMap;

/// A function: parameter names, and blocks in the order of the text.
pub struct Function {
    pub params: Vec<String>,
    pub blocks: Vec<Block>,
}

pub struct Block {
    pub name: String,
    pub lines: Vec<String>,
}

/// Functions and tables of bytes, by name without `@`.
#[derive(Default)]
pub struct Module {
    pub functions: HashMap<String, Function>,
    pub tables: HashMap<String, Vec<u8>>,
}

impl Module {
    /// The function whose symbol holds `part`.
    pub fn symbol(&self, part: &str) -> &str {
        let found = self.functions.keys().find(|name| name.contains(part));
        found.unwrap_or_else(|| panic!("no function {part}"))
    }
}

/// Reads a module as rustc writes it.
pub fn parse(text: &str) -> Module {
    let mut all = Module::default();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some((name, bytes)) = line.strip_prefix('@').and_then(table) {
            all.tables.insert(name, bytes);
        }
        if !line.starts_with("define ") {
            continue;
        }
        let (name, params) = signature(line);
        let mut blocks: Vec<Block> = Vec::new();
        let mut open_switch = false;
        for line in lines.by_ref().take_while(|l| *l != "}") {
            if line.starts_with(';') {
                continue;
            }
            if !line.starts_with(' ') {
                if let Some((label, _)) = line.rsplit_once(':') {
                    let label = line.split_once(":  ").map_or(label, |(label, _)| label);
                    let name = label.trim_matches('"').to_owned();
                    blocks.push(Block { name, lines: Vec::new() });
                }
                continue;
            }
            let Some(block) = blocks.last_mut() else { continue };
            let line = line.trim();
            // A switch goes over several lines.
            if open_switch && let Some(last) = block.lines.last_mut() {
                *last += " ";
                *last += line;
                open_switch = line != "]";
                continue;
            }
            open_switch = line.starts_with("switch") && line.ends_with('[');
            block.lines.push(line.to_owned());
        }
        all.functions.insert(name, Function { params, blocks });
    }
    all
}

/// `NAME = … constant [N x i8] c"\01a…"…`
fn table(line: &str) -> Option<(String, Vec<u8>)> {
    let (name, rest) = line.split_once(" = ")?;
    let (_, text) = rest.split_once("i8] c\"")?;
    let mut text = text.split('"').next()?;
    let mut bytes = Vec::new();
    while let Some(first) = text.bytes().next() {
        let hex = if first == b'\\' { text.get(1..3) } else { None };
        bytes.push(hex.map_or(Some(first), |hex| u8::from_str_radix(hex, 16).ok())?);
        text = &text[if hex.is_some() { 3 } else { 1 }..];
    }
    Some((name.to_owned(), bytes))
}

fn signature(line: &str) -> (String, Vec<String>) {
    let (_, rest) = line.split_once('@').expect("a function has a name");
    let (name, rest) = rest.split_once('(').expect("a function has parameters");
    let params = split_args(rest);
    let last_word = |arg: &String| arg.rsplit(' ').next().unwrap_or("").to_owned();
    (name.trim_matches('"').to_owned(), params.iter().map(last_word).collect())
}

/// The arguments up to the closing parenthesis, split at commas that are not nested.
pub fn split_args(text: &str) -> Vec<String> {
    let (mut depth, mut args, mut one) = (0, Vec::new(), String::new());
    for c in text.chars() {
        match c {
            ')' if depth == 0 => break,
            '(' | '{' | '[' => depth += 1,
            ')' | '}' | ']' => depth -= 1,
            ',' if depth == 0 => {
                args.push(one.trim().to_owned());
                one.clear();
                continue;
            }
            _ => {}
        }
        one.push(c);
    }
    if !one.trim().is_empty() {
        args.push(one.trim().to_owned());
    }
    args
}

/// Blocks from the entry on, each before those that only it leads to.
pub fn order(f: &Function) -> Vec<usize> {
    let place: HashMap<&str, usize> =
        f.blocks.iter().enumerate().map(|(n, b)| (b.name.as_str(), n)).collect();
    let targets = |n: usize| -> Vec<usize> {
        let Some(last) = f.blocks[n].lines.last() else { return Vec::new() };
        if !last.starts_with("br ") && !last.starts_with("switch ") {
            return Vec::new();
        }
        last.split("label ")
            .skip(1)
            .map(|t| {
                if let Some(quoted) = t.strip_prefix("%\"") {
                    quoted.split('"').next().unwrap_or("")
                } else {
                    t[1..].split([',', ' ']).next().unwrap_or("")
                }
            })
            .filter_map(|t| place.get(t).copied())
            .collect()
    };
    let (mut done, mut order) = (vec![false; f.blocks.len()], Vec::new());
    let mut stack = vec![(0, targets(0))];
    done[0] = true;
    while let Some((node, rest)) = stack.last_mut() {
        match rest.pop() {
            Some(next) if !done[next] => {
                done[next] = true;
                stack.push((next, targets(next)));
            }
            Some(_) => {}
            None => {
                order.push(*node);
                stack.pop();
            }
        }
    }
    order.reverse();
    order
}
