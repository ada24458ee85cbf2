//! Instructions changed to what the target says.

use isa::Insn;

use super::value::Patch;

/// Helper number that no kernel has: a relocation failed here ("bad relo").
pub(crate) const POISON: i32 = 0x0bad_2310;
/// `call` with an immediate.
const CALL: u8 = 0x85;
/// Classes of instructions.
const LD: u8 = 0;
const LDX: u8 = 1;
const ST: u8 = 2;
const STX: u8 = 3;
const ALU: u8 = 4;
const ALU64: u8 = 7;
/// The bit of an ALU opcode that names a register as source.
const SOURCE: u8 = 0x08;
/// The bits of an opcode that give a load's or store's size.
const SIZE: u8 = 0x18;
/// Sizes in bytes by those bits.
const SIZES: [(u32, u8); 4] = [(4, 0x00), (2, 0x08), (1, 0x10), (8, 0x18)];

/// Changes the instruction at `at`; `Ok(false)` if it was made unusable instead.
pub(super) fn apply(insns: &mut [Insn], at: usize, patch: &Patch) -> Result<bool, String> {
    let Some(&insn) = insns.get(at) else { return Err("beyond the function's end".into()) };
    if patch.poison {
        poison(insns, at);
        return Ok(false);
    }
    match insn.class() {
        ALU | ALU64 if insn.code & SOURCE == 0 => {
            check(patch, i64::from(insn.imm) as u64)?;
            insns[at].imm = patch.new as i32;
        }
        LDX | ST | STX => return access(insns, at, patch),
        LD if insn.is_ld_imm64() => load(insns, at, patch)?,
        _ => return Err(format!("instruction with code {:#04x} cannot be relocated", insn.code)),
    }
    Ok(true)
}

fn check(patch: &Patch, found: u64) -> Result<(), String> {
    if patch.validate && found != patch.old {
        let (old, new) = (patch.old, patch.new);
        return Err(format!("unexpected value: got {found}, expected {old} (-> {new})"));
    }
    Ok(())
}

fn poison(insns: &mut [Insn], at: usize) {
    let slots = if insns[at].is_ld_imm64() { 2 } else { 1 };
    for insn in insns.iter_mut().skip(at).take(slots) {
        *insn = Insn::new(CALL, 0, 0, 0, POISON);
    }
}

fn access(insns: &mut [Insn], at: usize, patch: &Patch) -> Result<bool, String> {
    let insn = insns[at];
    check(patch, i64::from(insn.off) as u64)?;
    let offset = i16::try_from(patch.new)
        .map_err(|_| format!("offset {} does not fit in a load or store", patch.new))?;
    if patch.fixed_size {
        poison(insns, at);
        return Ok(false);
    }
    let mut code = insn.code;
    if patch.old_size != patch.new_size {
        let size = SIZES.iter().find(|(_, bits)| *bits == code & SIZE).map_or(0, |(size, _)| *size);
        if size != patch.old_size {
            return Err(format!("accesses {size} bytes, expected {}", patch.old_size));
        }
        let bits = SIZES.iter().find(|(size, _)| *size == patch.new_size).map(|(_, bits)| *bits);
        let bits = bits.ok_or_else(|| format!("cannot access {} bytes", patch.new_size))?;
        code = code & !SIZE | bits;
    }
    insns[at] = Insn { code, off: offset, ..insn };
    Ok(true)
}

fn load(insns: &mut [Insn], at: usize, patch: &Patch) -> Result<(), String> {
    let [first, second, ..] = &mut insns[at..] else {
        return Err("64-bit load is cut off by the function's end".into());
    };
    let plain = first.src().0 == 0 && first.off == 0;
    if !plain || second.code != 0 || second.regs != 0 || second.off != 0 {
        return Err("64-bit load has an unexpected form".into());
    }
    let imm = u64::from(first.imm as u32) | u64::from(second.imm as u32) << 32;
    check(patch, imm)?;
    first.imm = patch.new as i32;
    second.imm = (patch.new >> 32) as i32;
    Ok(())
}
