//! Why a program was rejected, for people: what was required, what is known, how the program gets
//! there and what usually helps.
//!
//! The program is verified once more with the path kept ([`trace`]); values are followed back
//! along it ([`chase`]), and a table ([`causes`]) says which rule stands behind each reason. Everything told of registers comes from the states. Nothing here lays out text:
//! that is for the printers of [`Explanation`].

mod case;
mod cause;
mod causes;
mod chase;
mod data;
mod origin;
mod path;
mod place;
mod trace;
mod words;

use std::cell::OnceCell;

pub use data::{Event, EventKind, Explanation, Fact, Origin, Place, Range, Source};
pub(crate) use trace::{Step, Trace};

use crate::env::Env;
use crate::error::Reject;
use crate::event::{Reason, Seen};
use crate::input::{LogOptions, Policy, Program, World};
use crate::log::Log;
use crate::passes;
use case::Case;
use cause::{About, Cause};
use chase::Loc;
use path::Past;

/// Why Linux 6.18 rejects the program, for people; `None` if it accepts it.
pub fn explain(program: &Program, world: &World, policy: &Policy) -> Option<Explanation> {
    let mut env = Env::new(program, world, policy, Log::new(&LogOptions::default()));
    let reject = match passes::check_attributes(program, policy) {
        Err(reject) => reject,
        Ok(()) => {
            env.trace = Some(Box::default());
            env.run().err()?
        }
    };
    Some(explain_reject(&mut env, &reject))
}

fn explain_reject(env: &mut Env<'_>, reject: &Reject) -> Explanation {
    let trace = env.trace.take().unwrap_or_default();
    let env = &*env;
    let (cause, message, case) = recognise(env, &trace, reject);
    let subjects = subjects(&case, cause);
    let pasts: Vec<Past> = subjects
        .iter()
        .map(|&loc| Past { name: path::loc_name(&case, loc, usize::MAX), hops: case.history(loc) })
        .collect();
    let known = subjects.iter().zip(&pasts);
    let known = known.filter_map(|(&loc, past)| fact(&case, loc, past)).collect();
    let suggestion = cause.help.to(&case);
    Explanation {
        cause: cause.id,
        reason: reject.reasons().first().map(Reason::id).unwrap_or_default(),
        title: title(cause, reject, &message),
        errno: reject.errno(),
        message,
        place: case.insn.map(|insn| place::place(env, insn)),
        label: case.does(),
        required: cause.required.to(&case),
        known,
        path: path::events(&case, if cause.tells_past { pasts } else { Vec::new() }),
        suggestion: (!suggestion.is_empty()).then_some(suggestion),
    }
}

fn title(cause: &Cause, reject: &Reject, message: &str) -> String {
    match (reject.feature(), cause.title, message) {
        (Some(feature), ..) => format!("ring3 does not know the rules of {feature}"),
        (None, "", "") => "the program is rejected without a message".into(),
        (None, "", message) => message.to_owned(),
        (None, title, _) => title.to_owned(),
    }
}

/// The row of the table that explains the rejection, Linux's line for it, and what the row looks at.
fn recognise<'a>(
    env: &'a Env<'a>,
    trace: &'a Trace,
    reject: &'a Reject,
) -> (&'static Cause, String, Case<'a>) {
    let reasons = reject.reasons();
    let of = |seen| case(env, trace, reject, seen);
    if reject.feature().is_some() {
        return (causes::NOT_MODELLED, line(reasons.first()), of(Seen::default()));
    }
    // The last reason is the answer that people know; some only dump what the earlier ones mean.
    for reason in reasons.iter().rev() {
        let case = of(reason.seen());
        let row = causes::all().find(|cause| (cause.explains)(reason) && (cause.when)(&case));
        if let Some(cause) = row {
            return (cause, line(Some(reason)), case);
        }
    }
    (causes::OTHER, line(reasons.last()), of(Seen::default()))
}

/// The last line of Linux's wording.
fn line(reason: Option<&Reason>) -> String {
    let text = reason.map(Reason::to_string).unwrap_or_default();
    text.lines().last().unwrap_or_default().to_owned()
}

fn case<'c>(env: &'c Env<'c>, trace: &'c Trace, reject: &'c Reject, seen: Seen) -> Case<'c> {
    // Without an instruction of its own the end of the path is meant, or nothing.
    let end = trace.steps().last().map(|step| step.insn);
    let insn = reject.insn().or(end).filter(|&insn| insn < env.prog.insns.len());
    let on_path = insn.is_some() && end == insn;
    Case {
        env,
        steps: if on_path { trace.steps() } else { &[] },
        whole: trace.is_whole(),
        insn,
        op: insn.and_then(|insn| env.ops[insn]),
        reasons: reject.reasons(),
        seen,
        past: OnceCell::new(),
    }
}

/// The registers to tell about, each once.
fn subjects(case: &Case<'_>, cause: &Cause) -> Vec<Loc> {
    let mut regs = match cause.about {
        About::None => Vec::new(),
        About::Operands => case.operands(),
        About::Made(make) => make(case),
        About::Named if !case.seen.regs.is_empty() => case.seen.regs.clone(),
        About::Named => case.operands(),
    };
    let mut seen = 0u32;
    regs.retain(|&n| {
        let new = n <= 10 && seen & 1 << n == 0;
        seen |= u32::from(new) << n;
        new
    });
    regs.iter().map(|&n| Loc::Reg(case.depth(), n)).collect()
}

fn fact(case: &Case<'_>, loc: Loc, past: &Past) -> Option<Fact> {
    let reg = chase::get(case.now()?, loc)?;
    let v = &reg.v;
    let range = Range { smin: v.smin, smax: v.smax, umin: v.umin, umax: v.umax };
    Some(Fact {
        name: past.name.clone(),
        text: words::register(case.env, &reg),
        range: reg.is_init().then_some(range),
        origin: origin::origin(case, &past.hops),
    })
}
