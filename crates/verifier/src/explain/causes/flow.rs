//! Loops, jumps and limits of size.

use crate::event::{BadFlow, BadLoad, Reason};
use crate::explain::case::Case;
use crate::explain::cause::{About, Cause};
use crate::explain::path::last_condition;
use crate::explain::place::place;

pub(super) const CAUSES: &[Cause] = &[
    Cause::new(
        "infinite-loop",
        |reason| matches!(reason, Reason::Flow(BadFlow::Loop { .. })),
        "nothing shows that this loop ends",
    )
    .needs_of(|case| {
        let goes_on = last_condition(case)
            .map_or(String::new(), |condition| format!("; it goes on while {condition}"));
        format!("a value that the loop's end depends on must change in each iteration: here the whole state is the same as one iteration before{goes_on}")
    })
    .help("count the iterations: `for (int i = 0; i < 100; i++)` around the condition, or use bpf_loop or bpf_for; a loop that waits for a value from outside has no limit")
    .about(About::Made(last_compared))
    .without_past(),
    Cause::new(
        "too-many-instructions",
        |reason| matches!(reason, Reason::Flow(BadFlow::TooManyInsns { .. })),
        "the program takes too many steps to verify",
    )
    .needs("the verifier follows every path, and gives up after 1000000 instructions")
    .help_of(|case| format!("{}make loops shorter, or use bpf_loop or bpf_for, whose body is verified once; move work into a global function, which is verified on its own", busiest(case)))
    .about(About::None),
    Cause::new(
        "too-many-branches",
        |reason| matches!(reason, Reason::Flow(BadFlow::TooManyBranches { .. })),
        "too many branches are open at once",
    )
    .needs("at most 8192 branches may wait to be followed on one path")
    .help_of(|case| format!("{}make loops shorter or their bodies simpler, or use bpf_loop or bpf_for", busiest(case)))
    .about(About::None),
    Cause::new(
        "back-edge",
        |reason| matches!(reason, Reason::Flow(BadFlow::BackEdge { .. })),
        "a loop is not allowed for this loader",
    )
    .needs("loops need CAP_BPF")
    .help("load with CAP_BPF, or unroll the loop (#pragma unroll)")
    .about(About::None),
    Cause::new(
        "jump-range",
        |reason| matches!(reason, Reason::Flow(BadFlow::JumpRange { .. } | BadFlow::IntoImm64 { .. })),
        "a jump leads out of its function",
    )
    .needs("a jump must lead to an instruction of the same function")
    .help("compilers do not make this: check hand-written assembly and whatever rewrites the program")
    .about(About::None),
    Cause::new(
        "unreachable",
        |reason| matches!(reason, Reason::Flow(BadFlow::Unreachable { .. })),
        "an instruction can never be reached",
    )
        .needs("every instruction must be reachable from the start of its function")
        .help("remove dead code; compilers do so with -O2")
        .about(About::None),
    Cause::new(
        "no-exit",
        |reason| matches!(reason, Reason::Flow(BadFlow::NoExit)),
        "the function does not end with an exit",
    )
    .needs("the last instruction of a function must be an exit or a jump")
    .help("return a value at the end; undefined behaviour (a division by 0, an endless loop) lets the compiler drop the end of a function")
    .about(About::None),
    Cause::new(
        "opcode",
        |reason| matches!(reason, Reason::Load(BadLoad::Opcode { .. } | BadLoad::Malformed { .. } | BadLoad::LdxReserved | BadLoad::Imm64 | BadLoad::Imm64Source)),
        "an instruction is malformed",
    )
    .needs("every instruction must be one of the instruction set (RFC 9669), unused fields zero")
    .help("a newer compiler (-mcpu=v4) may use instructions that this kernel does not have; the program's bytes may be damaged")
    .about(About::None),
    Cause::new(
        "call-target",
        |reason| matches!(reason, Reason::Flow(BadFlow::CallTarget)),
        "a call leads to no function",
    )
    .needs("a call must lead to the start of a function")
    .help("link all objects that the program needs")
    .about(About::None),
];

/// Registers that the last conditional jump compares: a loop ends with them or never.
fn last_compared(case: &Case<'_>) -> Vec<usize> {
    let last = case.steps.iter().rev().find_map(|step| match case.env.ops[step.insn] {
        Some(isa::Op::Jmp { dst, src, .. }) => Some((dst, src)),
        _ => None,
    });
    match last {
        Some((dst, isa::Src::Reg(src))) => vec![dst.index(), src.index()],
        Some((dst, _)) => vec![dst.index()],
        None => Vec::new(),
    }
}

/// The conditional jump that the path's end passes most often.
fn busiest(case: &Case<'_>) -> String {
    let mut passes = vec![0u32; case.env.ops.len()];
    for step in case.steps {
        if matches!(case.env.ops[step.insn], Some(isa::Op::Jmp { .. })) {
            passes[step.insn] += 1;
        }
    }
    let most = passes.iter().enumerate().max_by_key(|(_, n)| **n).filter(|(_, n)| **n > 1);
    let Some((insn, n)) = most else { return String::new() };
    let line = match place(case.env, insn).source {
        Some(source) => format!("line {}", source.line),
        None => format!("instruction {insn}"),
    };
    let least = if case.whole { "" } else { "at least " };
    format!("one path passes {line} {least}{n} times: ")
}
