//! Running LLVM IR on terms: every path at once, joined where paths meet.
//!
//! Blocks are taken in the order of a depth-first walk; an edge back starts another round over
//! the function, which ends when no such edge can be taken (loops have known bounds here, or
//! conditions that become constants).

use std::collections::{BTreeMap, HashMap};

use crate::ir::{Function, split_args};
use crate::smt::{Smt, Term};

/// Rounds before a loop counts as endless.
const MAX_ROUNDS: usize = 80;

/// A value: bits, a pointer (one of several, each under a condition), or a pair.
#[derive(Clone, Debug)]
pub enum Value {
    Bits(Term),
    Ptr(Vec<(Term, usize, i64)>),
    Pair(Term, Term),
}

/// Memory in cells of four bytes: object and offset.
pub type Memory = BTreeMap<(usize, i64), Term>;

pub struct Machine<'m> {
    pub smt: Smt,
    functions: &'m HashMap<String, Function>,
    objects: usize,
}

/// What reaches a block: under which condition, from where, with which memory.
type Arrival = (Term, String, Memory);

struct Frame {
    values: HashMap<String, Value>,
    memory: Memory,
    returned: Option<(Term, Option<Value>, Memory)>,
}

impl<'m> Machine<'m> {
    pub fn new(functions: &'m HashMap<String, Function>) -> Machine<'m> {
        Machine { smt: Smt::default(), functions, objects: 0 }
    }

    pub fn object(&mut self) -> usize {
        self.objects += 1;
        self.objects
    }

    /// Calls a function: what it returns, and the memory it leaves.
    pub fn call(&mut self, name: &str, args: &[Value], memory: Memory) -> (Option<Value>, Memory) {
        let functions = self.functions;
        let f = functions.get(name).unwrap_or_else(|| panic!("no function {name}"));
        let order = order(f);
        let mut frame = Frame { values: HashMap::new(), memory: Memory::new(), returned: None };
        for (param, arg) in f.params.iter().zip(args) {
            frame.values.insert(param.clone(), arg.clone());
        }
        let entry = f.blocks[0].name.clone();
        let mut arrivals: HashMap<String, Vec<Arrival>> = HashMap::new();
        arrivals.insert(entry, vec![(Term::bool(true), String::new(), memory)]);
        for _ in 0..MAX_ROUNDS {
            let mut later: HashMap<String, Vec<Arrival>> = HashMap::new();
            for (place, at) in order.iter().enumerate() {
                let block = &f.blocks[*at];
                let Some(here) = arrivals.remove(&block.name) else { continue };
                let guard = self.join(&mut frame, &here);
                let outs = self.block(&mut frame, &block.lines, guard, &here);
                for (cond, target) in outs {
                    if cond.value() == Some(0) {
                        continue;
                    }
                    let back =
                        order.iter().position(|b| f.blocks[*b].name == target) <= Some(place);
                    let queue = if back { &mut later } else { &mut arrivals };
                    let arrival = (cond, block.name.clone(), frame.memory.clone());
                    queue.entry(target).or_default().push(arrival);
                }
            }
            if later.is_empty() {
                let (_, value, memory) =
                    frame.returned.unwrap_or_else(|| panic!("{name} does not return"));
                return (value, memory);
            }
            arrivals = later;
        }
        panic!("{name}: too many rounds");
    }

    /// Joins what reaches a block into the frame's memory; the condition that anything does.
    fn join(&mut self, frame: &mut Frame, here: &[Arrival]) -> Term {
        let mut guard = Term::bool(false);
        let mut memory = here[0].2.clone();
        for (n, (cond, _, theirs)) in here.iter().enumerate() {
            guard = self.smt.or(guard, *cond);
            if n > 0 {
                self.merge(&mut memory, theirs, *cond);
            }
        }
        frame.memory = memory;
        guard
    }

    /// `memory` becomes `theirs` where `cond` holds.
    fn merge(&mut self, memory: &mut Memory, theirs: &Memory, cond: Term) {
        for (cell, term) in theirs {
            match memory.get(cell).copied() {
                Some(old) => memory.insert(*cell, self.smt.ite(cond, *term, old)),
                // Uninitialised on the other path, so whatever reads it there does not matter.
                None => memory.insert(*cell, *term),
            };
        }
    }

    fn block(
        &mut self,
        frame: &mut Frame,
        lines: &[String],
        guard: Term,
        here: &[Arrival],
    ) -> Vec<(Term, String)> {
        // All phis read what was before any of them.
        let phis: Vec<(String, Value)> = lines
            .iter()
            .filter_map(|line| line.split_once(" = phi "))
            .map(|(dst, rest)| (dst.to_owned(), self.phi(frame, rest, here)))
            .collect();
        frame.values.extend(phis);
        for line in lines.iter().filter(|l| !l.contains(" = phi ")) {
            if let Some(outs) = self.line(frame, line, guard) {
                return outs;
            }
        }
        Vec::new()
    }

    fn phi(&mut self, frame: &Frame, rest: &str, here: &[Arrival]) -> Value {
        let (ty, pairs) = rest.split_once(' ').expect("a phi has a type");
        let mut result: Option<Value> = None;
        for pair in split_args(pairs) {
            let pair = pair.trim_matches(['[', ']', ' ']);
            let (value, from) = pair.rsplit_once(", ").expect("a phi has pairs");
            let from = label(from);
            for (cond, _, _) in here.iter().filter(|(_, name, _)| *name == from) {
                let value = self.operand(frame, ty, value);
                result = Some(match result {
                    None => value,
                    Some(old) => self.choose(*cond, value, old),
                });
            }
        }
        result.expect("a phi is reached from somewhere")
    }

    fn choose(&mut self, cond: Term, a: Value, b: Value) -> Value {
        match (a, b) {
            (Value::Bits(a), Value::Bits(b)) => Value::Bits(self.smt.ite(cond, a, b)),
            (Value::Ptr(a), Value::Ptr(b)) => {
                let not = self.smt.not(cond);
                let mut all = Vec::new();
                for (list, under) in [(a, cond), (b, not)] {
                    for (c, object, off) in list {
                        all.push((self.smt.and(c, under), object, off));
                    }
                }
                all.retain(|(c, _, _)| c.value() != Some(0));
                Value::Ptr(all)
            }
            (a, b) => panic!("no choice between {a:?} and {b:?}"),
        }
    }

    fn operand(&mut self, frame: &Frame, ty: &str, text: &str) -> Value {
        let text = text.trim();
        if text.starts_with('%') {
            return frame.values.get(text).unwrap_or_else(|| panic!("no value {text}")).clone();
        }
        let width = width(ty);
        let value = match text {
            "true" => 1,
            "false" | "poison" | "undef" => 0,
            number => {
                number.parse::<i128>().unwrap_or_else(|_| panic!("no number {number}")) as u64
            }
        };
        Value::Bits(Term::constant(width, value))
    }

    fn bits(&mut self, frame: &Frame, ty: &str, text: &str) -> Term {
        match self.operand(frame, ty, text) {
            Value::Bits(term) => term,
            other => panic!("{text} is {other:?}"),
        }
    }

    /// `Some` at the end of the block.
    fn line(&mut self, frame: &mut Frame, line: &str, guard: Term) -> Option<Vec<(Term, String)>> {
        let line = line.split(", !").next().unwrap_or(line);
        if let Some((dst, rest)) = line.split_once(" = ") {
            let value = self.assign(frame, rest);
            if let Some(value) = value {
                frame.values.insert(dst.to_owned(), value);
            }
            return None;
        }
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "store" => {
                let args = split_args(rest);
                let (ty, value) = args[0].split_once(' ').expect("a store has a value");
                let value = self.bits(frame, ty, value);
                let ptr = self.operand(frame, "ptr", args[1].trim_start_matches("ptr "));
                self.store(&mut frame.memory, &ptr, value);
            }
            "br" => return Some(self.branch(frame, rest, guard)),
            "switch" => return Some(self.switch(frame, rest, guard)),
            "ret" => {
                let value = match rest.split_once(' ') {
                    Some((ty, value)) => Some(self.operand(frame, ty, value)),
                    None => None,
                };
                self.give_back(frame, guard, value);
                return Some(Vec::new());
            }
            "unreachable" => return Some(Vec::new()),
            "tail" | "call" => {
                self.assign(frame, line);
            }
            _ => panic!("no instruction {line}"),
        }
        None
    }

    fn give_back(&mut self, frame: &mut Frame, guard: Term, value: Option<Value>) {
        let memory = frame.memory.clone();
        frame.returned = Some(match frame.returned.take() {
            None => (guard, value, memory),
            Some((cond, old, mut before)) => {
                self.merge(&mut before, &memory, guard);
                let value = match (value, old) {
                    (Some(value), Some(old)) => Some(self.choose(guard, value, old)),
                    (value, old) => value.or(old),
                };
                (self.smt.or(cond, guard), value, before)
            }
        });
    }

    fn branch(&mut self, frame: &Frame, rest: &str, guard: Term) -> Vec<(Term, String)> {
        let args = split_args(rest);
        if args.len() == 1 {
            return vec![(guard, label(&args[0]))];
        }
        let cond = self.bits(frame, "i1", args[0].trim_start_matches("i1 "));
        let (yes, not) = (self.smt.and(guard, cond), self.smt.not(cond));
        let no = self.smt.and(guard, not);
        vec![(yes, label(&args[1])), (no, label(&args[2]))]
    }

    fn switch(&mut self, frame: &Frame, rest: &str, guard: Term) -> Vec<(Term, String)> {
        let (head, cases) = rest.split_once('[').expect("a switch has cases");
        let head = split_args(head);
        let (ty, value) = head[0].split_once(' ').expect("a switch has a value");
        let value = self.bits(frame, ty, value);
        let mut left = guard;
        let mut outs = Vec::new();
        let words: Vec<&str> = cases.split_whitespace().collect();
        for case in words.chunks(4).filter(|c| c.len() == 4) {
            let number = self.bits(frame, ty, case[1].trim_end_matches(','));
            let same = self.smt.compare("eq", value, number);
            let cond = self.smt.and(guard, same);
            let not = self.smt.not(same);
            left = self.smt.and(left, not);
            outs.push((cond, label(&format!("label {}", case[3]))));
        }
        outs.push((left, label(&head[1])));
        outs
    }

    fn assign(&mut self, frame: &mut Frame, rest: &str) -> Option<Value> {
        let rest = rest.strip_prefix("tail ").unwrap_or(rest);
        let (op, rest) = rest.split_once(' ').expect("an instruction has operands");
        if op == "call" {
            return self.call_line(frame, rest);
        }
        Some(match op {
            "alloca" => {
                let object = self.object();
                Value::Ptr(vec![(Term::bool(true), object, 0)])
            }
            "getelementptr" => {
                let args = split_args(rest);
                assert!(args[0].ends_with("i8"), "{rest}");
                let Value::Ptr(list) =
                    self.operand(frame, "ptr", args[1].trim_start_matches("ptr "))
                else {
                    panic!("{rest}")
                };
                let by: i64 = args[2]
                    .rsplit(' ')
                    .next()
                    .and_then(|n| n.parse().ok())
                    .expect("constant offset");
                Value::Ptr(list.into_iter().map(|(c, o, off)| (c, o, off + by)).collect())
            }
            "load" => {
                let args = split_args(rest);
                let ptr = self.operand(frame, "ptr", args[1].trim_start_matches("ptr "));
                Value::Bits(self.load(&frame.memory, &ptr, width(&args[0])))
            }
            "icmp" => {
                let rest = rest.trim_start_matches("samesign ");
                let (cond, rest) = rest.split_once(' ').expect("icmp has a condition");
                let (a, b) = self.two(frame, rest);
                Value::Bits(self.smt.compare(cond, a, b))
            }
            "select" => {
                let args = split_args(rest);
                let cond = self.bits(frame, "i1", args[0].trim_start_matches("i1 "));
                let (ta, a) = args[1].split_once(' ').expect("typed");
                let (tb, b) = args[2].split_once(' ').expect("typed");
                let (a, b) = (self.operand(frame, ta, a), self.operand(frame, tb, b));
                self.choose(cond, a, b)
            }
            "zext" | "sext" | "trunc" => {
                let rest = strip_flags(rest);
                let (from, to) = rest.split_once(" to ").expect("a cast has a target");
                let (ty, value) = from.split_once(' ').expect("typed");
                let term = self.bits(frame, ty, value);
                let to = width(to);
                Value::Bits(match op {
                    "zext" => self.smt.zext(term, to),
                    "sext" => self.smt.sext(term, to),
                    _ => self.smt.extract(term, 0, to),
                })
            }
            "extractvalue" => {
                let (before, index) = rest.rsplit_once(", ").expect("an index");
                let name = before.rsplit(' ').next().unwrap_or("");
                let Value::Pair(a, b) = self.operand(frame, "", name) else { panic!("{rest}") };
                Value::Bits(if index == "0" { a } else { b })
            }
            "freeze" => {
                let (ty, value) = rest.split_once(' ').expect("typed");
                self.operand(frame, ty, value)
            }
            _ => {
                let (a, b) = self.two(frame, strip_flags(rest));
                Value::Bits(self.smt.binary(&format!("bv{op}"), a, b))
            }
        })
    }

    fn two(&mut self, frame: &Frame, rest: &str) -> (Term, Term) {
        let (ty, rest) = rest.split_once(' ').expect("typed");
        let (a, b) = rest.split_once(", ").expect("two operands");
        (self.bits(frame, ty, a), self.bits(frame, ty, b))
    }

    fn call_line(&mut self, frame: &mut Frame, rest: &str) -> Option<Value> {
        let (before, after) = rest.split_once('@').expect("a direct call");
        let (name, args) = after.split_once('(').expect("arguments");
        if name.starts_with("llvm.lifetime")
            || name.starts_with("llvm.experimental")
            || name.starts_with("llvm.assume")
        {
            return None;
        }
        let mut values = Vec::new();
        for arg in split_args(args) {
            let ty = arg.split(' ').next().unwrap_or("").to_owned();
            let text = arg.rsplit(' ').next().unwrap_or("").to_owned();
            values.push(self.operand(frame, &ty, &text));
        }
        if let Some(intrinsic) = name.strip_prefix("llvm.") {
            return Some(self.intrinsic(intrinsic, &values));
        }
        let _ = before;
        let memory = std::mem::take(&mut frame.memory);
        let (value, memory) = self.call(name.trim_matches('"'), &values, memory);
        frame.memory = memory;
        value
    }

    fn intrinsic(&mut self, name: &str, args: &[Value]) -> Value {
        let bits = |n: usize| match &args[n] {
            Value::Bits(term) => *term,
            other => panic!("{name} of {other:?}"),
        };
        let kind = name.split('.').next().unwrap_or("");
        let a = bits(0);
        let s = &mut self.smt;
        match kind {
            "umin" | "umax" | "smin" | "smax" => {
                let cond =
                    format!("{}{}", &kind[..1], if kind.ends_with("in") { "lt" } else { "gt" });
                let test = s.compare(&cond, a, bits(1));
                Value::Bits(s.ite(test, a, bits(1)))
            }
            "ctlz" | "cttz" => Value::Bits(count_zeros(s, a, kind == "ctlz")),
            "ctpop" => {
                let mut sum = Term::constant(a.width, 0);
                for bit in 0..a.width {
                    let one = s.extract(a, bit, 1);
                    let one = s.zext(one, a.width);
                    sum = s.binary("bvadd", sum, one);
                }
                Value::Bits(sum)
            }
            "bswap" => {
                let mut result = s.extract(a, 0, 8);
                for byte in 1..a.width / 8 {
                    let next = s.extract(a, byte * 8, 8);
                    result = s.concat(result, next);
                }
                Value::Bits(result)
            }
            "sadd" | "ssub" | "uadd" | "usub" => {
                let wide = a.width + 1;
                let signed = kind.starts_with('s');
                let extend =
                    |s: &mut Smt, t| if signed { s.sext(t, wide) } else { s.zext(t, wide) };
                let (x, y) = (extend(s, a), extend(s, bits(1)));
                let op = if kind.ends_with("add") { "bvadd" } else { "bvsub" };
                let exact = s.binary(op, x, y);
                let low = s.extract(exact, 0, a.width);
                let back = extend(s, low);
                Value::Pair(low, s.compare("ne", back, exact))
            }
            _ => panic!("no intrinsic {name}"),
        }
    }

    fn load(&mut self, memory: &Memory, ptr: &Value, width: u32) -> Term {
        let Value::Ptr(list) = ptr else { panic!("load of {ptr:?}") };
        let mut result: Option<Term> = None;
        for (cond, object, off) in list {
            let cell = |at: i64| {
                *memory
                    .get(&(*object, at))
                    .unwrap_or_else(|| panic!("{object}+{at} is not initialised"))
            };
            assert_eq!(off % 4, 0, "cells have four bytes");
            let term = match width {
                64 => self.smt.concat(cell(off + 4), cell(*off)),
                32 => cell(*off),
                _ => self.smt.extract(cell(*off), 0, width),
            };
            result = Some(match result {
                None => term,
                Some(old) => self.smt.ite(*cond, term, old),
            });
        }
        result.expect("a pointer points somewhere")
    }

    fn store(&mut self, memory: &mut Memory, ptr: &Value, value: Term) {
        let Value::Ptr(list) = ptr else { panic!("store to {ptr:?}") };
        for (cond, object, off) in list {
            assert!(off % 4 == 0 && value.width.is_multiple_of(32), "cells have four bytes");
            for word in 0..value.width / 32 {
                let part = self.smt.extract(value, word * 32, 32);
                let cell = (*object, off + i64::from(word) * 4);
                let new = match memory.get(&cell) {
                    Some(old) => self.smt.ite(*cond, part, *old),
                    None => part,
                };
                memory.insert(cell, new);
            }
        }
    }
}

fn count_zeros(s: &mut Smt, a: Term, leading: bool) -> Term {
    // From the far end on, so that the nearest set bit decides last.
    let mut result = Term::constant(a.width, a.width.into());
    for n in (0..a.width).rev() {
        let bit = if leading { a.width - 1 - n } else { n };
        let set = s.extract(a, bit, 1);
        result = s.ite(set, Term::constant(a.width, n.into()), result);
    }
    result
}

fn strip_flags(mut text: &str) -> &str {
    while let Some((word, rest)) = text.split_once(' ') {
        if !matches!(word, "nuw" | "nsw" | "exact" | "disjoint" | "nneg") {
            break;
        }
        text = rest;
    }
    text
}

fn width(ty: &str) -> u32 {
    ty.trim()
        .strip_prefix('i')
        .and_then(|n| n.parse().ok())
        .unwrap_or_else(|| panic!("no width {ty}"))
}

fn label(text: &str) -> String {
    let text = text.trim().trim_start_matches("label ").trim_start_matches('%');
    text.trim_matches('"').to_owned()
}

/// Blocks from the entry on, each before those that only it leads to.
fn order(f: &Function) -> Vec<usize> {
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
                if t.starts_with("%\"") {
                    t[2..].split('"').next().unwrap_or("")
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
