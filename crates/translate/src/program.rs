//! The whole program: one pass over its slots.

use isa::{Callee, Imm64, Insn, Op};
use uapi::ProgType;
use verifier::{Access, Facts};

use crate::{
    TranslateError,
    ctx::{self, Field},
    emit::{Output, Place},
    operand::ja,
    packet,
    plan::{Fate, fates},
    rewrite,
};

/// A program to translate, and the addresses it needs.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// Verified slots, map loads still by descriptor.
    pub insns: &'a [Insn],
    /// What the verifier proved; without facts nothing is rewritten but addresses and packet
    /// loads, and nothing is dropped.
    pub facts: &'a Facts,
    /// Decides the context's layout.
    pub prog_type: Option<ProgType>,
    /// `enum bpf_attach_type`, 0 where the type has none.
    pub attach_type: u32,
    /// Where the maps are.
    pub maps: &'a [MapAddr],
    /// Descriptors that `MapIdx` loads index.
    pub fd_array: &'a [i32],
    /// Where kernel variables are.
    pub vars: &'a [VarAddr],
    /// Calls of kernel functions, by slot; others stay as they are.
    pub kfuncs: &'a [KfuncCall],
    /// Addresses of the arena that go to user space have an upper half.
    pub user_casts: bool,
}

/// What a call of a kernel function becomes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KfuncCall {
    /// Its slot.
    pub insn: usize,
    /// What it then names, in place of a type.
    pub number: i32,
    /// Registers that hold these numbers when it is called.
    pub loads: [Option<(u8, u64)>; 2],
}

/// Where a map is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapAddr {
    /// The descriptor that instructions name.
    pub fd: i32,
    /// What helpers receive as map argument.
    pub object: u64,
    /// Address of the value of a map with a single value; 0 for other maps.
    pub value: u64,
}

/// Where a kernel variable is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VarAddr {
    /// BTF type id.
    pub id: i32,
    /// Descriptor of the BTF object, 0 for vmlinux.
    pub btf_fd: i32,
    /// Its address.
    pub addr: u64,
}

/// What the engines run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Translated {
    /// Slots.
    pub insns: Vec<Insn>,
    /// For each slot, the original slot it comes from.
    pub origin: Vec<u32>,
    /// Slots where subprograms start, ascending; the first is 0, the main program.
    pub starts: Vec<u32>,
}

impl AsRef<[Insn]> for Translated {
    fn as_ref(&self) -> &[Insn] {
        &self.insns
    }
}

/// Translates a verified program.
pub fn translate(input: Input<'_>) -> Result<Translated, TranslateError> {
    let insns = input.insns;
    if u32::try_from(insns.len()).is_err() {
        return Err(TranslateError::TooLarge);
    }
    let fates = fates(insns, input.facts);
    let mut translator = Translator {
        input,
        fields: input.prog_type.and_then(ctx::fields),
        out: Output::new(insns.len()),
    };
    let mut pc = 0;
    while pc < insns.len() {
        let slots = 1 + usize::from(insns[pc].is_ld_imm64() && pc + 1 < insns.len());
        (0..slots).for_each(|_| translator.out.begin());
        match fates[pc] {
            Fate::Drop => {}
            Fate::Always => translator.jump(ja(0), pc, insns[pc].off.into(), Place::Off),
            Fate::Keep => translator.slot(pc)?,
        }
        pc += slots;
    }
    let callback = input.facts.exception_callback.and_then(|n| input.facts.subprogs.get(n));
    translator.out.finish(callback.map(|callback| callback.start))
}

/// Loads 64 bits.
fn number(reg: u8, value: u64) -> [Insn; 2] {
    const LD_IMM64: u8 = 0x18;
    let low = Insn::new(LD_IMM64, reg, 0, 0, value as u32 as i32);
    [low, Insn { imm: (value >> 32) as u32 as i32, ..Insn::default() }]
}

struct Translator<'a> {
    input: Input<'a>,
    fields: Option<&'static [Field]>,
    out: Output,
}

impl Translator<'_> {
    fn slot(&mut self, pc: usize) -> Result<(), TranslateError> {
        let insn = self.input.insns[pc];
        match isa::decode(self.input.insns, pc)? {
            Op::Jmp { off, .. } | Op::MayGoto { off } => {
                self.jump(insn, pc, off.into(), Place::Off);
            }
            Op::Ja { long: false, off } => self.jump(insn, pc, off, Place::Off),
            Op::Ja { long: true, off } => self.jump(insn, pc, off, Place::Imm),
            Op::Call(Callee::Subprog(rel)) => self.jump(insn, pc, rel, Place::Imm),
            Op::LdImm64 { imm, .. } => self.wide(insn, pc, imm)?,
            Op::LdAbs { size, imm } => {
                self.packet_load(pc, packet::packet_load(size, None, imm))?
            }
            Op::LdInd { size, src, imm } => {
                self.packet_load(pc, packet::packet_load(size, Some(src), imm))?;
            }
            Op::Load { .. } | Op::Store { .. } => self.memory(insn, pc)?,
            Op::Atomic { .. } | Op::LoadAcquire { .. } | Op::StoreRelease { .. }
                if self.access(pc) == Access::Arena =>
            {
                self.out.push(&[rewrite::on_arena(insn)], pc);
            }
            Op::Alu { .. } if self.access(pc) == Access::Arena => {
                self.out.push(&[rewrite::narrow(insn)], pc);
            }
            Op::AddrSpaceCast { .. } => {
                // From the program's address space (1) to the kernel's.
                let to_user = insn.imm != 1 && self.input.user_casts;
                self.out.push(&[rewrite::cast(insn, to_user)], pc);
            }
            Op::Call(Callee::Kfunc { .. }) => self.kfunc(insn, pc),
            _ => self.out.push(&[insn], pc),
        }
        Ok(())
    }

    fn jump(&mut self, insn: Insn, pc: usize, rel: i32, place: Place) {
        self.out.push_to(insn, pc, pc as i64 + 1 + i64::from(rel), place);
    }

    fn access(&self, pc: usize) -> Access {
        self.input.facts.insns.get(pc).map_or(Access::None, |f| f.access)
    }

    fn memory(&mut self, insn: Insn, pc: usize) -> Result<(), TranslateError> {
        let access = self.access(pc);
        let insns = rewrite::memory(insn, pc, access, self.fields)?;
        self.out.push(&insns, pc);
        Ok(())
    }

    fn kfunc(&mut self, insn: Insn, pc: usize) {
        let Some(call) = self.input.kfuncs.iter().find(|call| call.insn == pc) else {
            return self.out.push(&[insn], pc);
        };
        for (reg, value) in call.loads.into_iter().flatten() {
            self.out.push(&number(reg, value), pc);
        }
        self.out.push(&[Insn { imm: call.number, off: 0, ..insn }], pc);
    }

    fn packet_load(&mut self, pc: usize, insns: Vec<Insn>) -> Result<(), TranslateError> {
        if !self.input.prog_type.is_some_and(ctx::has_sk_buff) {
            return Err(TranslateError::PacketLoad { insn: pc });
        }
        self.out.push(&insns, pc);
        Ok(())
    }

    fn wide(&mut self, insn: Insn, pc: usize, imm: Imm64) -> Result<(), TranslateError> {
        let value = match imm {
            Imm64::Value(value) => value,
            Imm64::MapFd(fd) => self.map(pc, fd)?.object,
            Imm64::MapValue { fd, off } => self.map(pc, fd)?.value.wrapping_add(off.into()),
            Imm64::MapIdx(idx) => self.map(pc, self.descriptor(pc, idx)?)?.object,
            Imm64::MapIdxValue { idx, off } => {
                self.map(pc, self.descriptor(pc, idx)?)?.value.wrapping_add(off.into())
            }
            Imm64::BtfId { id, btf_fd } => self.variable(pc, id, btf_fd)?,
            Imm64::Func(rel) => {
                self.jump(insn, pc, rel, Place::Imm);
                self.out.push(&[Insn::default()], pc);
                return Ok(());
            }
        };
        self.out.push(&number(insn.dst().0, value), pc);
        Ok(())
    }

    fn descriptor(&self, pc: usize, idx: i32) -> Result<i32, TranslateError> {
        let fd = usize::try_from(idx).ok().and_then(|i| self.input.fd_array.get(i));
        fd.copied().ok_or(TranslateError::FdArray { insn: pc, idx })
    }

    fn map(&self, pc: usize, fd: i32) -> Result<MapAddr, TranslateError> {
        let map = self.input.maps.iter().find(|m| m.fd == fd);
        map.copied().ok_or(TranslateError::Map { insn: pc, fd })
    }

    fn variable(&self, pc: usize, id: i32, btf_fd: i32) -> Result<u64, TranslateError> {
        let var = self.input.vars.iter().find(|v| v.id == id && v.btf_fd == btf_fd);
        var.map(|v| v.addr).ok_or(TranslateError::Variable { insn: pc, id })
    }
}
