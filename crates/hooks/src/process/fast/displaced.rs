//! Instructions that give way to a jump: whether they can, and what stands for them elsewhere.

use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, Register};

/// Bytes of the jump.
pub(crate) const JUMP: usize = 5;

/// Instructions at the start of a probed place, as many as a jump covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Displaced {
    pieces: Vec<Piece>,
    /// Bytes of them where they were.
    len: usize,
}

/// What one instruction becomes. Distances are from the probed place.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    /// Itself, at this distance; with a displacement from the instruction pointer at this index.
    Same { at: usize, bytes: Vec<u8>, displacement: Option<usize> },
    /// A jump, if a condition holds (the low bits of the opcode).
    Jump { to: i64, condition: Option<u8> },
    /// A call, which returns to `back`.
    Call { to: i64, back: usize },
}

/// Largest function that is looked through.
const LARGEST: usize = 1 << 20;

impl Displaced {
    /// The instructions at `at` of a function's code.
    pub(crate) fn new(function: &[u8], at: usize) -> Result<Displaced, &'static str> {
        if function.len() > LARGEST {
            return Err("its function is too large to look through");
        }
        let code = function.get(at..).unwrap_or_default();
        let mut decoder = Decoder::with_ip(64, code, 0, DecoderOptions::NONE);
        let (mut pieces, mut len) = (Vec::new(), 0);
        while len < JUMP {
            if !decoder.can_decode() {
                return Err("its function is too short");
            }
            let insn = decoder.decode();
            let bytes = &code[len..(len + insn.len()).min(code.len())];
            let piece = piece(&insn, len, bytes, &decoder)?;
            len += insn.len();
            if matches!(piece, Piece::Call { .. }) && len < JUMP {
                return Err("it begins with a call");
            }
            pieces.push(piece);
        }
        if jumps_between(function, at, len)? {
            return Err("its function jumps to right behind it");
        }
        Ok(Displaced { pieces, len })
    }

    /// Bytes that [`Displaced::write`] needs at most.
    pub(crate) fn room(&self) -> usize {
        const MOST: usize = 18;
        self.pieces.len() * MOST + JUMP
    }

    /// What runs at `to` in the place of what was at `from`, with the way back; none if something
    /// that it refers to is too far away.
    pub(crate) fn write(&self, from: u64, to: u64) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(self.room());
        for piece in &self.pieces {
            let here = to + out.len() as u64;
            match piece {
                Piece::Same { at, bytes, displacement } => {
                    let start = out.len();
                    out.extend_from_slice(bytes);
                    if let Some(place) = displacement {
                        let place = start + place..start + place + 4;
                        let old = i32::from_le_bytes(out.get(place.clone())?.try_into().ok()?);
                        let apart = (from + *at as u64).wrapping_sub(here) as i64;
                        let new = i32::try_from(i64::from(old).checked_add(apart)?).ok()?;
                        out[place].copy_from_slice(&new.to_le_bytes());
                    }
                }
                Piece::Jump { to: target, condition } => {
                    match condition {
                        Some(condition) => out.extend([0x0f, 0x80 | condition]),
                        None => out.push(0xe9),
                    }
                    relative(&mut out, to, from.wrapping_add_signed(*target))?;
                }
                Piece::Call { to: target, back } => {
                    let back = from + *back as u64;
                    // push the lower half; the upper half over its extension.
                    out.push(0x68);
                    out.extend((back as u32).to_le_bytes());
                    out.extend([0xc7, 0x44, 0x24, 0x04]);
                    out.extend(((back >> 32) as u32).to_le_bytes());
                    out.push(0xe9);
                    relative(&mut out, to, from.wrapping_add_signed(*target))?;
                }
            }
        }
        out.push(0xe9);
        relative(&mut out, to, from + self.len as u64)?;
        Some(out)
    }

    /// The bytes that take their place: a jump from `from` to `to`.
    pub(crate) fn jump(from: u64, to: u64) -> Option<Vec<u8>> {
        let mut out = vec![0xe9];
        relative(&mut out, from, to)?;
        Some(out)
    }

    /// Bytes of them.
    pub(crate) fn len(&self) -> usize {
        self.len
    }
}

/// The distance to `target` from the end of what is written so far and these four bytes.
fn relative(out: &mut Vec<u8>, base: u64, target: u64) -> Option<()> {
    let end = base + out.len() as u64 + 4;
    let apart = i32::try_from(target.wrapping_sub(end) as i64).ok()?;
    out.extend(apart.to_le_bytes());
    Some(())
}

fn piece(
    insn: &Instruction,
    at: usize,
    bytes: &[u8],
    decoder: &Decoder<'_>,
) -> Result<Piece, &'static str> {
    if insn.is_invalid() {
        return Err("there is no code at this place");
    }
    let to = insn.near_branch_target() as i64;
    let same = || {
        let relative = insn.memory_base() == Register::RIP;
        let displacement =
            relative.then(|| decoder.get_constant_offsets(insn).displacement_offset());
        Piece::Same { at, bytes: bytes.to_vec(), displacement }
    };
    match insn.flow_control() {
        FlowControl::Next | FlowControl::IndirectBranch | FlowControl::Return => Ok(same()),
        FlowControl::UnconditionalBranch => Ok(Piece::Jump { to, condition: None }),
        FlowControl::ConditionalBranch if insn.is_jcc_short_or_near() => {
            // Both forms end their opcode with the condition.
            let opcode = bytes.iter().find(|byte| matches!(**byte, 0x70..=0x8f));
            let condition = opcode.ok_or("it begins with an odd jump")? & 0xf;
            Ok(Piece::Jump { to, condition: Some(condition) })
        }
        FlowControl::Call if insn.is_call_near() => Ok(Piece::Call { to, back: at + bytes.len() }),
        _ => Err("it begins with an instruction that cannot be moved"),
    }
}

/// Whether a jump of the function leads behind the start of `at..at + len`.
fn jumps_between(function: &[u8], at: usize, len: usize) -> Result<bool, &'static str> {
    let inside = at as u64 + 1..(at + len) as u64;
    let mut decoder = Decoder::with_ip(64, function, 0, DecoderOptions::NONE);
    let mut insn = Instruction::default();
    let mut met = false;
    while decoder.can_decode() {
        met |= decoder.position() == at;
        decoder.decode_out(&mut insn);
        if insn.is_invalid() {
            return Err("its function is not all code");
        }
        if insn.near_branch_target() != 0 && inside.contains(&insn.near_branch_target()) {
            return Ok(true);
        }
    }
    if met { Ok(false) } else { Err("it is within an instruction") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RET: u8 = 0xc3;

    fn moved(code: &[u8]) -> Result<Vec<u8>, &'static str> {
        Displaced::new(code, 0).map(|d| d.write(0x1000, 0x2000).expect("it is near"))
    }

    #[test]
    fn instructions_refer_to_what_they_did() {
        // push %rbp; mov %rsp,%rbp; lea 0x10(%rip),%rax; ret
        let code = [0x55, 0x48, 0x89, 0xe5, 0x48, 0x8d, 0x05, 0x10, 0, 0, 0, RET];
        let want = [0x55, 0x48, 0x89, 0xe5, 0x48, 0x8d, 0x05, 0x10, 0xf0, 0xff, 0xff];
        let out = moved(&code).expect("it can be moved");
        assert_eq!(out[..11], want);
        // jmp 0x100b from 0x200b.
        assert_eq!(out[11..], [0xe9, 0xfb, 0xef, 0xff, 0xff]);
        // test %edi,%edi; je +2; nop; nop; ret
        let out = moved(&[0x85, 0xff, 0x74, 0x02, 0x90, 0x90, RET]).expect("a jump");
        assert_eq!(out[2..8], [0x0f, 0x84, 0xfe, 0xef, 0xff, 0xff]);
        // call 0x1105
        let out = moved(&[0xe8, 0, 1, 0, 0, RET]).expect("a call");
        assert_eq!(out[..13], [0x68, 5, 0x10, 0, 0, 0xc7, 0x44, 0x24, 4, 0, 0, 0, 0]);
        assert_eq!(out[13..18], [0xe9, 0xf3, 0xf0, 0xff, 0xff]);
    }

    #[test]
    fn places_that_cannot_give_way_are_told() {
        assert_eq!(moved(&[0x90, RET]), Err("its function is too short"));
        // push %rbx; nop; dec %edi; jne -3: to behind the push.
        let back = [0x53, 0x90, 0xff, 0xcf, 0x75, 0xfb, 0x5b, RET];
        assert_eq!(moved(&back), Err("its function jumps to right behind it"));
        // The same to the start.
        assert!(moved(&[0x53, 0x90, 0xff, 0xcf, 0x75, 0xfa, 0x5b, RET]).is_ok());
        assert!(moved(&[0x0f, 0x05, 0x90, 0x90, 0x90, RET]).is_err(), "a system call");
        assert!(moved(&[0xff, 0xd0, 0x90, 0x90, 0x90, RET]).is_err(), "an indirect call");
    }
}
