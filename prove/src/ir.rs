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

/// Every function of a module, by name without `@`.
pub fn parse(text: &str) -> HashMap<String, Function> {
    let mut all = HashMap::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
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
        all.insert(name, Function { params, blocks });
    }
    all
}

fn signature(line: &str) -> (String, Vec<String>) {
    let (_, rest) = line.split_once('@').expect("a function has a name");
    let (name, rest) = rest.split_once('(').expect("a function has parameters");
    let params = split_args(rest);
    let last_word = |arg: &String| arg.rsplit(' ').next().unwrap_or("").to_owned();
    (name.to_owned(), params.iter().map(last_word).collect())
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
