//! One run of the domain's code on unknown operands, and the questions that come of it.

use crate::exec::{Machine, Memory, Value};
use crate::ir::Module;
use crate::smt::{Smt, Term};
use crate::views::{FLAT, KINDS, Kind, havoc, layout, views};

/// A question for z3: can this be false? First asked with few of the premises (what follows from
/// few follows from all, and is quicker), at last with all.
pub struct Question {
    pub attempts: Vec<String>,
}

/// The questions of one run.
pub struct Case {
    pub questions: Vec<Question>,
    /// Whether the premises can hold at all: a claim over nothing would be proven too.
    pub premises: Option<String>,
    /// Contracts stood for functions, so that a counter-example may be of the contract only.
    pub abstracted: bool,
}

/// Bounds in memory, and a number they describe.
pub struct Operand {
    pub place: (usize, i64),
    pub layout: [i64; 10],
    pub number: Term,
}

impl Operand {
    pub fn pointer(&self) -> Value {
        Value::Ptr(vec![(Term::bool(true), self.place.0, self.place.1)])
    }
}

/// A run under way.
pub struct Proof<'m> {
    pub machine: Machine<'m>,
    memory: Memory,
    /// What the operands' views say of their numbers, by kind of view.
    given: Vec<(Kind, Term)>,
    /// Premises of every question.
    pub always: Vec<Term>,
}

impl<'m> Proof<'m> {
    pub fn new(module: &'m Module) -> Proof<'m> {
        let mut machine = Machine::new(module);
        machine.contracts.layout = layout(&mut machine);
        Proof { machine, memory: Memory::new(), given: Vec::new(), always: Vec::new() }
    }

    pub fn smt(&mut self) -> &mut Smt {
        &mut self.machine.smt
    }

    /// Any `Flat`, and any number in it.
    pub fn operand(&mut self, name: &str) -> Operand {
        self.bounds(name, FLAT)
    }

    /// Any `Bounds`, and any number in them.
    pub fn bare_operand(&mut self, name: &str) -> Operand {
        let layout = self.machine.contracts.layout;
        self.bounds(name, layout)
    }

    fn bounds(&mut self, name: &str, layout: [i64; 10]) -> Operand {
        let place = (self.machine.object(), 0);
        havoc(&mut self.machine.smt, &mut self.memory, place, &layout, name);
        let number = self.smt().unknown(&format!("{name}_number"), 64);
        let operand = Operand { place, layout, number };
        let views = self.views(&operand, number);
        self.given.extend(KINDS.into_iter().zip(views));
        operand
    }

    /// Whether the number is in what the operand's memory now says.
    pub fn views(&mut self, operand: &Operand, number: Term) -> Vec<Term> {
        views(&mut self.machine.smt, &self.memory, operand.place, &operand.layout, number)
    }

    pub fn call(&mut self, name: &str, args: &[Value]) -> Option<Value> {
        let memory = std::mem::take(&mut self.memory);
        let (value, memory) = self.machine.call(name, args, memory);
        self.memory = memory;
        value
    }

    /// The questions: `claims`, view by view, and what contracts ask.
    pub fn claim(self, claims: &[Term]) -> Case {
        let kinds = (0..).map(|n| KINDS[n % KINDS.len()]);
        self.case(kinds.zip(claims.iter().copied()).collect())
    }

    /// Claims that are not views: about bits, if few premises do.
    pub fn claim_of_all(self, claims: &[Term]) -> Case {
        self.case(claims.iter().map(|claim| (Kind::Bits, *claim)).collect())
    }

    fn case(mut self, mut open: Vec<(Kind, Term)>) -> Case {
        let contracts = &mut self.machine.contracts;
        let abstracted = contracts.used > 0 || !contracts.products.is_empty();
        self.given.append(&mut contracts.assumed);
        let owed = std::mem::take(&mut contracts.owed);
        open.extend(owed);
        let granted =
            |t: Term| t.value() == Some(1) || self.given.iter().any(|(_, given)| *given == t);
        open.retain(|(_, claim)| !granted(*claim));
        let questions = open.into_iter().map(|(kind, claim)| self.question(kind, claim)).collect();
        let all: Vec<Term> =
            self.given.iter().map(|(_, given)| *given).chain(self.always.iter().copied()).collect();
        let premises = Some(self.machine.smt.refute(&all, Term::bool(false)));
        Case { questions, premises, abstracted }
    }

    fn question(&self, kind: Kind, claim: Term) -> Question {
        let both = match kind {
            Kind::U64 | Kind::S64 => vec![Kind::U64, Kind::S64],
            Kind::U32 | Kind::S32 => vec![Kind::U32, Kind::S32],
            Kind::Bits => vec![Kind::Bits],
        };
        let with_bits = [both.clone(), vec![Kind::Bits]].concat();
        let all = KINDS.to_vec();
        let mut sets: Vec<Vec<Term>> = [both, with_bits, all]
            .iter()
            .map(|kinds| {
                let given = self.given.iter().filter(|(k, _)| kinds.contains(k)).map(|(_, t)| *t);
                given.chain(self.always.iter().copied()).collect()
            })
            .collect();
        sets.dedup();
        let attempts = sets.iter().map(|given| self.machine.smt.refute(given, claim)).collect();
        Question { attempts }
    }
}
