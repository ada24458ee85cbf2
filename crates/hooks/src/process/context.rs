//! What a program gets in r1: the bytes of an event's context.

use super::point::Form;
use super::sys::ptrace::{Regs, reg};

/// The bytes, and how many arguments a traced function has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Context {
    pub(crate) bytes: Vec<u8>,
    pub(crate) args: u64,
}

/// Registers that carry a system call's arguments, in order.
pub(crate) const ARGS: [usize; 6] = [reg::RDI, reg::RSI, reg::RDX, reg::R10, reg::R8, reg::R9];

fn words(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

/// What every record of a tracepoint begins with: the thread's id in its upper half.
fn common(tid: i32) -> u64 {
    u64::from(tid as u32) << 32
}

/// Fills the head of a record.
pub(crate) fn set_common(record: &mut [u8], tid: i32) {
    if let Some(head) = record.first_chunk_mut::<8>() {
        *head = common(tid).to_ne_bytes();
    }
}

/// A system call begins; `pt_regs` is the address of the thread's registers.
pub(crate) fn enter(form: Form, tid: i32, regs: &Regs, pt_regs: u64) -> Context {
    let number = regs[reg::ORIG_RAX];
    let (bytes, args) = match form {
        Form::Record => {
            let [a, b, c, d, e, f] = ARGS.map(|arg| regs[arg]);
            (words(&[common(tid), number, a, b, c, d, e, f]), 0)
        }
        Form::Args => (words(&[pt_regs, number]), 2),
        Form::Regs => (kernel_regs(pt_regs, None), 0),
        Form::Call => (words(&[pt_regs]), 1),
        Form::Own => (Vec::new(), 0),
    };
    Context { bytes, args }
}

/// A system call ends.
pub(crate) fn leave(form: Form, tid: i32, number: u32, regs: &Regs, pt_regs: u64) -> Context {
    let result = regs[reg::RAX];
    let (bytes, args) = match form {
        Form::Record => (words(&[common(tid), number.into(), result]), 0),
        Form::Args => (words(&[pt_regs, result]), 2),
        Form::Regs => (kernel_regs(pt_regs, Some(result)), 0),
        Form::Call => (words(&[pt_regs, result]), 1),
        Form::Own => (Vec::new(), 0),
    };
    Context { bytes, args }
}

/// Registers in the kernel's function: its only argument is the address of the user's.
fn kernel_regs(pt_regs: u64, result: Option<u64>) -> Vec<u8> {
    let mut regs = [0; reg::COUNT];
    regs[reg::RDI] = pt_regs;
    regs[reg::RAX] = result.unwrap_or(0);
    words(&regs)
}

/// A user function is entered or left: the thread's own registers.
pub(crate) fn user(regs: &Regs) -> Context {
    Context { bytes: words(&regs.0[..reg::COUNT]), args: 0 }
}

/// A sample: the registers, the nanoseconds between two, and no address (`bpf_perf_event_data`).
pub(crate) fn sample(regs: &Regs, period: u64) -> Context {
    let mut context = user(regs);
    context.bytes.extend(words(&[period, 0]));
    context
}

/// Arguments, a word each.
pub(crate) fn args(values: &[u64]) -> Context {
    Context { bytes: words(values), args: values.len() as u64 }
}
