//! Running LLVM IR on terms: every path at once, joined where paths meet.
//!
//! Blocks are taken in the order of a depth-first walk; an edge back starts another round over
//! the function, which ends when no such edge can be taken (loops have known bounds here, or
//! conditions that become constants).

use std::collections::{BTreeMap, HashMap};

use crate::contract::Contracts;
use crate::ir::{Module, order, split_args};
use crate::smt::{Smt, Term};

/// Rounds before a loop counts as endless.
const MAX_ROUNDS: usize = 80;

/// A value: bits, a pointer (one of several, each under a condition), or a pair.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Bits(Term),
    Ptr(Vec<(Term, usize, i64)>),
    Pair(Term, Term),
    /// A table of bytes by its name.
    Table(String),
}

/// Memory in cells of four bytes: object and offset.
pub type Memory = BTreeMap<(usize, i64), Term>;

pub struct Machine<'m> {
    pub smt: Smt,
    /// Functions that are not run but stand for what is proven of them.
    pub contracts: Contracts,
    /// Under which condition the running call happens.
    pub context: Term,
    module: &'m Module,
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
    pub fn new(module: &'m Module) -> Machine<'m> {
        Machine {
            smt: Smt::default(),
            contracts: Contracts::default(),
            context: Term::bool(true),
            module,
            objects: 0,
        }
    }

    pub fn object(&mut self) -> usize {
        self.objects += 1;
        self.objects
    }

    /// Calls a function: what it returns, and the memory it leaves.
    pub fn call(&mut self, name: &str, args: &[Value], memory: Memory) -> (Option<Value>, Memory) {
        if let Some(contract) = self.contracts.of(name) {
            let mut memory = memory;
            let value = contract(self, args, &mut memory);
            return (value, memory);
        }
        let module = self.module;
        let f = module.functions.get(name).unwrap_or_else(|| panic!("no function {name}"));
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
        let (ty, pairs) = rest.split_at(rest.find(" [").expect("a phi has a type"));
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
            (Value::Pair(a, b), Value::Pair(c, d)) => {
                Value::Pair(self.smt.ite(cond, a, c), self.smt.ite(cond, b, d))
            }
            (a, b) => panic!("no choice between {a:?} and {b:?}"),
        }
    }

    fn operand(&mut self, frame: &Frame, ty: &str, text: &str) -> Value {
        let text = text.trim();
        if text.starts_with('%') {
            return frame.values.get(text).unwrap_or_else(|| panic!("no value {text}")).clone();
        }
        if let Some(name) = text.strip_prefix('@') {
            return Value::Table(name.to_owned());
        }
        if ty.starts_with('{') {
            // `poison` that `insertvalue` fills.
            return Value::Pair(Term::bool(false), Term::bool(false));
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
            let value = self.assign(frame, rest, guard);
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
                let typed = rest.rsplit_once(' ');
                let value = typed.map(|(ty, value)| self.operand(frame, ty, value));
                self.give_back(frame, guard, value);
                return Some(Vec::new());
            }
            "unreachable" => return Some(Vec::new()),
            "tail" | "call" => {
                self.assign(frame, line, guard);
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

    fn assign(&mut self, frame: &mut Frame, rest: &str, guard: Term) -> Option<Value> {
        let rest = rest.strip_prefix("tail ").unwrap_or(rest);
        let (op, rest) = rest.split_once(' ').expect("an instruction has operands");
        if op == "call" {
            return self.call_line(frame, rest, guard);
        }
        Some(match op {
            "alloca" => {
                let object = self.object();
                Value::Ptr(vec![(Term::bool(true), object, 0)])
            }
            "getelementptr" => {
                let args = split_args(rest);
                assert!(args[0].ends_with("i8"), "{rest}");
                let base = args[1].trim_start_matches("ptr ");
                if let Some(name) = base.strip_prefix('@') {
                    let (ty, index) = args[2].split_once(' ').expect("typed");
                    let index = self.bits(frame, ty, index).value().expect("a known index");
                    return Some(Value::Table(format!("{name}+{index}")));
                }
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
                if let Value::Table(place) = &ptr {
                    return Some(Value::Bits(self.table_byte(place)));
                }
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
            "insertvalue" => {
                let args = split_args(rest);
                let (ty, value) = args[1].split_once(' ').expect("typed");
                let new = self.bits(frame, ty, value);
                let (ty, old) = args[0].rsplit_once(' ').expect("typed");
                let Value::Pair(a, b) = self.operand(frame, ty, old) else { panic!("{rest}") };
                if args[2] == "0" { Value::Pair(new, b) } else { Value::Pair(a, new) }
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

    fn table_byte(&self, place: &str) -> Term {
        let (name, index) = place.split_once('+').expect("an index");
        let table = &self.module.tables[name];
        let index: usize = index.parse().expect("an index");
        Term::constant(8, table[index].into())
    }

    fn two(&mut self, frame: &Frame, rest: &str) -> (Term, Term) {
        let (ty, rest) = rest.split_once(' ').expect("typed");
        let (a, b) = rest.split_once(", ").expect("two operands");
        (self.bits(frame, ty, a), self.bits(frame, ty, b))
    }

    fn call_line(&mut self, frame: &mut Frame, rest: &str, guard: Term) -> Option<Value> {
        let (_, after) = rest.split_once('@').expect("a direct call");
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
        let name = name.trim_matches('"');
        if name.starts_with("llvm.memcpy") {
            let Value::Bits(size) = values[2] else { panic!("a copy has a size") };
            let size = size.value().expect("a copy has a known size");
            self.copy(&mut frame.memory, &values[0], &values[1], size as i64);
            return None;
        }
        if let Some(intrinsic) = name.strip_prefix("llvm.") {
            return Some(self.intrinsic(intrinsic, &values));
        }
        let memory = std::mem::take(&mut frame.memory);
        let outer = self.context;
        self.context = self.smt.and(outer, guard);
        let (value, memory) = self.call(name, &values, memory);
        self.context = outer;
        frame.memory = memory;
        value
    }
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
