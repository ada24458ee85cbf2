//! The instruction under a breakpoint: how a thread gets past it.

use std::io;

use iced_x86::{
    Code, ConditionCode, Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, Register,
};

use crate::process::sys::memory;
use crate::process::sys::ptrace::{Regs, reg};

/// How the instruction is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It does nothing.
    Nothing(u64),
    /// It pushes a register (its index), and is so long.
    Push(usize, u64),
    /// It jumps by so much from its start, if the condition holds.
    Jump(i64, Option<ConditionCode>, u64),
    /// It calls what is so far from its start.
    Call(i64, u64),
    /// It returns.
    Return,
    /// A copy of it runs elsewhere.
    Copy(Moved),
}

/// An instruction that can run elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Moved {
    bytes: Vec<u8>,
    /// Where its displacement from the instruction pointer is, if it has one.
    displacement: Option<usize>,
}

/// Longest instruction of x86-64.
const LONGEST: usize = 15;
/// Bytes of a copy: the instruction, a jump and its address.
pub(super) const COPY: usize = 32;

/// Indexes of registers by their number in instructions.
const REGISTERS: [usize; 16] = [10, 11, 12, 5, 19, 4, 13, 14, 9, 8, 7, 6, 3, 2, 1, 0];

/// How the instruction at the start of `code` is done; why it cannot be.
pub(super) fn step(code: &[u8]) -> Result<Step, String> {
    let code = &code[..code.len().min(LONGEST)];
    let mut decoder = Decoder::with_ip(64, code, 0, DecoderOptions::NONE);
    let insn = decoder.decode();
    if insn.is_invalid() {
        return Err("there is no instruction at this place".into());
    }
    let len = insn.len() as u64;
    let target = insn.near_branch_target() as i64;
    match (insn.mnemonic(), insn.flow_control()) {
        (Mnemonic::Nop | Mnemonic::Endbr64, _) => Ok(Step::Nothing(len)),
        (Mnemonic::Push, _) if insn.code() == Code::Push_r64 => {
            Ok(Step::Push(REGISTERS[insn.op0_register().number()], len))
        }
        (_, FlowControl::Next) => Ok(Step::Copy(moved(&insn, code, &decoder))),
        (_, FlowControl::UnconditionalBranch) => Ok(Step::Jump(target, None, len)),
        (_, FlowControl::ConditionalBranch) if insn.condition_code() != ConditionCode::None => {
            Ok(Step::Jump(target, Some(insn.condition_code()), len))
        }
        (_, FlowControl::Call) if insn.is_call_near() => Ok(Step::Call(target, len)),
        (Mnemonic::Ret, FlowControl::Return) if insn.op_count() == 0 => Ok(Step::Return),
        _ => Err(format!(
            "an instruction that cannot be moved ({:?}) is at this place",
            insn.mnemonic()
        )),
    }
}

fn moved(insn: &Instruction, code: &[u8], decoder: &Decoder<'_>) -> Moved {
    let relative = insn.memory_base() == Register::RIP;
    let displacement = relative.then(|| decoder.get_constant_offsets(insn).displacement_offset());
    Moved { bytes: code[..insn.len()].to_vec(), displacement }
}

impl Moved {
    /// The copy at `to` of what stands at `from`, with the way back; `None` if it is too far away
    /// from what it refers to.
    pub(super) fn copy(&self, from: u64, to: u64) -> Option<[u8; COPY]> {
        const JUMP: [u8; 6] = [0xff, 0x25, 0, 0, 0, 0];
        let mut out = [0xcc; COPY];
        let len = self.bytes.len();
        out[..len].copy_from_slice(&self.bytes);
        if let Some(at) = self.displacement {
            let place = at..at + 4;
            let old = i32::from_le_bytes(self.bytes.get(place.clone())?.try_into().ok()?);
            let apart = i128::from(from) - i128::from(to);
            let new = i32::try_from(i128::from(old) + apart).ok()?;
            out[place].copy_from_slice(&new.to_le_bytes());
        }
        out[len..len + 6].copy_from_slice(&JUMP);
        out[len + 6..len + 14].copy_from_slice(&(from + len as u64).to_le_bytes());
        Some(out)
    }
}

impl Step {
    /// Does the instruction at the registers' instruction pointer, or sends them to its copy.
    pub(super) fn take(&self, tid: i32, regs: &mut Regs, copy: Option<u64>) -> io::Result<()> {
        let at = regs[reg::RIP];
        match self {
            Step::Nothing(len) => regs[reg::RIP] = at + len,
            Step::Push(register, len) => {
                let value = regs[*register];
                push(tid, regs, value)?;
                regs[reg::RIP] = at + len;
            }
            Step::Jump(target, condition, len) => {
                let jumps = condition.is_none_or(|code| holds(code, regs[reg::EFLAGS]));
                regs[reg::RIP] = if jumps { at.wrapping_add_signed(*target) } else { at + len };
            }
            Step::Call(target, len) => {
                push(tid, regs, at + len)?;
                regs[reg::RIP] = at.wrapping_add_signed(*target);
            }
            Step::Return => {
                let mut word = [0; 8];
                if memory::read(tid, regs[reg::RSP], &mut word) != word.len() {
                    return Err(lost());
                }
                regs[reg::RIP] = u64::from_ne_bytes(word);
                regs[reg::RSP] += 8;
            }
            Step::Copy(_) => regs[reg::RIP] = copy.ok_or_else(lost)?,
        }
        Ok(())
    }
}

fn lost() -> io::Error {
    io::Error::other("a breakpoint's instruction cannot be done: no memory for it")
}

fn push(tid: i32, regs: &mut Regs, value: u64) -> io::Result<()> {
    let sp = regs[reg::RSP].wrapping_sub(8);
    if !memory::write(tid, sp, &value.to_ne_bytes()) {
        return Err(lost());
    }
    regs[reg::RSP] = sp;
    Ok(())
}

/// Whether a condition of jumps holds under these flags.
fn holds(code: ConditionCode, flags: u64) -> bool {
    let flag = |bit: u32| flags >> bit & 1 != 0;
    let (carry, parity, zero, sign, overflow) = (flag(0), flag(2), flag(6), flag(7), flag(11));
    use ConditionCode as C;
    match code {
        C::None => true,
        C::o => overflow,
        C::no => !overflow,
        C::b => carry,
        C::ae => !carry,
        C::e => zero,
        C::ne => !zero,
        C::be => carry || zero,
        C::a => !carry && !zero,
        C::s => sign,
        C::ns => !sign,
        C::p => parity,
        C::np => !parity,
        C::l => sign != overflow,
        C::ge => sign == overflow,
        C::le => zero || sign != overflow,
        C::g => !zero && sign == overflow,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_instructions_are_understood() {
        let is = |code: &[u8], want: Step| assert_eq!(step(code), Ok(want), "{code:x?}");
        is(&[0xf3, 0x0f, 0x1e, 0xfa, 0x55], Step::Nothing(4));
        is(&[0x55], Step::Push(reg::RBP, 1));
        is(&[0x41, 0x57], Step::Push(0, 2));
        is(&[0xeb, 0x10], Step::Jump(0x12, None, 2));
        is(&[0x74, 0xfe], Step::Jump(0, Some(ConditionCode::e), 2));
        is(&[0xe8, 0xfb, 0xff, 0xff, 0xff], Step::Call(0, 5));
        is(&[0xc3], Step::Return);
        assert!(step(&[0x0f, 0x05]).is_err(), "a system call");
        assert!(step(&[0x06]).is_err(), "no instruction");
    }

    #[test]
    fn copies_refer_to_what_the_original_did() {
        // lea 0x100(%rip),%rax
        let lea = [0x48, 0x8d, 0x05, 0x00, 0x01, 0x00, 0x00];
        let Ok(Step::Copy(moved)) = step(&lea) else { panic!("a copy") };
        let copy = moved.copy(0x40_0000, 0x50_0000).expect("in reach");
        let displacement = i32::from_le_bytes([copy[3], copy[4], copy[5], copy[6]]);
        assert_eq!(0x50_0000 + 7 + i64::from(displacement), 0x40_0000 + 7 + 0x100);
        assert_eq!(copy[13..21], 0x40_0007_u64.to_le_bytes());
        assert_eq!(moved.copy(0x40_0000, 0x7f00_0000_0000), None, "too far");
    }
}
