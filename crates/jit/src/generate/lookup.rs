//! Lookups in place: arrays, and hash maps with keys of a word or four.
//!
//! A test for null right behind a lookup costs nothing: what finds no element goes where the test
//! would.

use isa::{Cond, Op, Reg, Src, Width};

use super::{Cold, ColdWhat, Done, Gen};
use crate::{
    context,
    env::{ArrayMap, HashMap, Target},
    flow::NONE,
    host::{Host, Mem, W},
    ins::{Ins, LOOKUP, SCRATCH},
    state::{FP, Val},
    x86::{Arith, Cc, Rm, Shift},
};

/// A lookup whose result the next instruction compares with null.
pub(super) struct Asked {
    /// Jumped to where there is no element.
    miss: u32,
    /// Bound behind the lookup.
    back: u32,
    /// Size of the code behind the lookup.
    pub(super) at: usize,
    result: Host,
    /// r0 is not that register but a sum with it.
    sum: bool,
}

/// The next instruction's test of a lookup's result.
struct Test {
    /// Where null goes.
    null: u32,
    /// Where null goes nobody reads the result, and the test needs no code: it may stay a sum.
    forgets: bool,
}

/// The key while a chain is walked.
#[derive(Clone, Copy)]
enum Key {
    Word(W, Host),
    /// Where it is; its hash, and room for a word.
    Words(Mem, Host, Host),
}

/// A walk along the chain of a bucket, from its second slot on.
pub(super) struct Chain {
    map: HashMap,
    key: Key,
    link: Host,
    slot: Host,
    /// Bound: from the bucket on; from the link in `link` on.
    restart: u32,
    again: u32,
    /// To bind: `link` is an end.
    end: u32,
    miss: u32,
}

/// Marks a link that leads to a slot.
const SLOT: u64 = 1 << 31;

impl Gen<'_> {
    /// A helper on a map: if the map is known, by what is made for it. Lookups in arrays and hash
    /// maps are done in place.
    pub(super) fn on_map(&mut self, b: u32, id: i32, target: Target) -> Done {
        let Val::Const(map) = self.state.val(1) else { return self.native_call(target) };
        let env = self.unit.env;
        if id == LOOKUP && self.unit.options.blind.is_none() {
            if let Some(array) = env.array(map) {
                if let Some(key) = self.known_key().filter(|key| *key < array.len) {
                    return self.look_up_with(b, |this, _| this.element(array, key));
                }
                return self.look_up_with(b, |this, miss| this.index(array, miss));
            }
            if let Some(hash) = env.hash(map).filter(|_| self.has_room()) {
                return self.look_up_with(b, |this, miss| this.find(hash, miss));
            }
        }
        self.native_call(env.on_map(id, map).unwrap_or(target))
    }

    /// Whether a walk finds its registers: those of r0 to r5 are free, unless copies of others
    /// are in them.
    fn has_room(&self) -> bool {
        let others = (6..crate::state::REGS as u8).filter(|r| self.live & 1 << r != 0);
        let used = others.fold(0, |set, r| set | self.state.val(r).hosts());
        (self.frame.hosts & !used & !self.state.val(2).hosts()).count_ones() >= 4
    }

    /// What `code` puts into a register, plus an offset, becomes r0.
    fn look_up_with(
        &mut self,
        b: u32,
        code: impl FnOnce(&mut Self, u32) -> Done<(Host, i32)>,
    ) -> Done {
        let test = self.test_behind(b);
        if let Some(test) = &test {
            // Whoever jumps from within the lookup finds everything at home.
            let live = self.unit.flow.blocks[test.null as usize].live_in;
            if !self.inherits(self.here, test.null) {
                self.settle(live & !SCRATCH)?;
            }
        }
        let (miss, back) = (self.out.new_label(), self.out.new_label());
        let (h, disp) = code(self, miss)?;
        let mem = Mem::at(h, disp);
        let sum = disp != 0 && test.as_ref().is_some_and(|t| t.forgets);
        if sum {
            self.state.wrote(h, false);
            self.state.set(0, Val::Lea(W::W64, mem));
        } else {
            if disp != 0 {
                self.emit(h, Val::Lea(W::W64, mem));
            }
            self.result(0, h, false);
        }
        self.out.bind(back);
        let asked = Asked { miss, back, at: self.out.asm.len(), result: h, sum };
        match test {
            Some(_) => self.asked = Some(asked),
            None => self.not_asked(&asked),
        }
        Ok(())
    }

    /// The test for null in the next slot.
    fn test_behind(&self, b: u32) -> Option<Test> {
        let (block, next) = (self.unit.flow.blocks[b as usize], self.pc + 1);
        if next + 1 != block.end || self.plain || self.unit.options.interruptible {
            return None;
        }
        let Ins::Op { op: Op::Jmp { width: Width::W64, cond, dst, src, .. }, .. } =
            self.unit.code.slots[next as usize]
        else {
            return None;
        };
        let (null, equal) = match (dst, src, cond) {
            (Reg::R0, Src::Imm(0), Cond::Eq) => (block.jump, true),
            (Reg::R0, Src::Imm(0), Cond::Ne) => (block.next, false),
            _ => return None,
        };
        if null == NONE || block.jump == block.next {
            return None;
        }
        let unread = self.unit.flow.blocks[null as usize].live_in & 1 == 0;
        let no_code = equal || self.inherits(self.here, block.jump);
        Some(Test { null, forgets: unread && no_code })
    }

    /// Values had to be moved between a lookup and its test: null is tested for. `false` if
    /// there was no register with null in it.
    pub(super) fn comes_back(&mut self, asked: &Asked) -> bool {
        self.not_asked(asked);
        !asked.sum
    }

    /// Null comes back to behind the lookup.
    fn not_asked(&mut self, asked: &Asked) {
        let &Asked { miss: label, back, result, .. } = asked;
        self.colds.push(Cold { label, back, what: ColdWhat::NoElement { result }, pc: self.pc });
    }

    /// The jump at the end of block `b` asks whether there was an element: control is here only if
    /// there was.
    pub(super) fn answer(&mut self, asked: Asked, b: u32, inherits: bool) -> Done<bool> {
        let block = self.unit.flow.blocks[b as usize];
        let cond = match self.unit.code.slots[self.pc as usize] {
            Ins::Op { op: Op::Jmp { cond, .. }, .. } => cond,
            _ => return Err(self.bug("a test that is none")),
        };
        if inherits {
            self.edge(self.here, block.jump)?;
        }
        let null = if cond == Cond::Eq { block.jump } else { block.next };
        let reads = self.unit.flow.blocks[null as usize].live_in & 1 != 0;
        let Asked { miss: label, result, .. } = asked;
        if cond == Cond::Eq {
            if reads {
                let what = ColdWhat::NoElement { result };
                self.colds.push(Cold { label, back: null, what, pc: self.pc });
            } else {
                self.out.alias(label, null);
            }
            return Ok(true);
        }
        self.out.jmp(block.jump);
        self.out.bind(label);
        if reads {
            self.asm().mov_imm(result, 0, false);
        }
        Ok(true)
    }

    /// The key's place; r1 to r5 are gone. Nothing is called: r6 and up stay where they are.
    fn key_of_lookup(&mut self) -> Done<Mem> {
        let key = self.address(2, 0)?;
        for reg in 1..6 {
            self.state.set(reg, Val::Dead);
        }
        self.release(0);
        Ok(key)
    }

    /// The key of four bytes, if it is a constant.
    fn known_key(&self) -> Option<u32> {
        let (at, key) = self.stored?;
        let place = Val::Lea(W::W64, Mem::at(Host::RSP, self.frame.stack.checked_add(at)?));
        (self.state.val(2) == place).then_some(key)
    }

    /// An element that is there.
    fn element(&mut self, array: ArrayMap, key: u32) -> Done<(Host, i32)> {
        self.key_of_lookup()?;
        let h = self.take(0)?;
        let offset = u64::from(key) * u64::from(array.stride);
        self.constant(h, array.values.wrapping_add(offset));
        if array.cpu_stride != 0 {
            let cpu = self.pick(FP)?;
            self.add_copy(h, cpu, array.cpu_stride as i32)?;
        }
        Ok((h, 0))
    }

    fn index(&mut self, array: ArrayMap, miss: u32) -> Done<(Host, i32)> {
        let key = self.key_of_lookup()?;
        let h = self.take(0)?;
        self.asm().load(W::W32, h, key);
        self.asm().arith_imm(W::W32, Arith::Cmp, Rm::Reg(h), array.len as i32);
        self.out.jcc(Cc::AE, miss);
        self.constant(Host::R11, array.values);
        self.scaled(h, array.stride)?;
        if array.cpu_stride != 0 {
            let cpu = self.pick(FP)?;
            self.add_copy(h, cpu, array.cpu_stride as i32)?;
        }
        Ok((h, 0))
    }

    /// A free register for `reg` that stays taken until the instruction ends.
    fn take(&mut self, reg: u8) -> Done<Host> {
        let h = self.pick(reg)?;
        self.pinned |= h.bit();
        Ok(h)
    }

    /// `h` += offset of this CPU's copy of a value.
    fn add_copy(&mut self, h: Host, cpu: Host, stride: i32) -> Done {
        self.load_context(cpu)?;
        let asm = self.asm();
        asm.load(W::W32, cpu, Mem::at(cpu, context::CPU));
        asm.imul_imm(W::W64, cpu, cpu, stride);
        asm.arith(W::W64, Arith::Add, h, Rm::Reg(cpu));
        Ok(())
    }

    /// `h` = r11 + `h` * `stride`.
    fn scaled(&mut self, h: Host, stride: u32) -> Done {
        let mem = |scale: u8| Mem { base: Some(Host::R11), index: Some(h), scale, disp: 0 };
        let scale = match stride {
            1 | 2 | 4 | 8 => stride.trailing_zeros() as u8,
            _ if stride.is_power_of_two() => {
                self.asm().shift_imm(W::W64, Shift::Shl, h, stride.trailing_zeros() as u8);
                0
            }
            _ => {
                let Ok(stride) = i32::try_from(stride) else {
                    return Err(self.bug("an array of elements of 2 GiB"));
                };
                self.asm().imul_imm(W::W64, h, h, stride);
                0
            }
        };
        self.asm().lea(W::W64, h, mem(scale));
        Ok(())
    }

    /// The slot of the key, and where in it the value is.
    fn find(&mut self, map: HashMap, miss: u32) -> Done<(Host, i32)> {
        let mut at = self.key_of_lookup()?;
        if at.disp > i32::MAX - 16 {
            // The last word is out of the displacement's reach.
            let base = self.take(5)?;
            self.asm().lea(W::W64, base, at);
            at = Mem::at(base, 0);
        }
        let key = match map.key_size {
            16 => {
                at.hosts().for_each(|h| self.pinned |= h.bit());
                Key::Words(at, self.take(1)?, self.take(2)?)
            }
            size => Key::Word(if size == 4 { W::W32 } else { W::W64 }, self.take(1)?),
        };
        if let Key::Word(w, to) = key {
            self.asm().load(w, to, at);
        }
        let (slot, link) = (self.take(0)?, self.take(3)?);
        let [restart, again, next, end] = [(); 4].map(|()| self.out.new_label());
        self.hash(&map, key);
        self.out.bind(restart);
        self.bucket(&map, key);
        self.asm().mov_imm(slot, map.heads, false);
        let head = Mem { base: Some(slot), index: Some(Host::R11), scale: 3, disp: 0 };
        self.asm().load(W::W32, link, head);
        // The mark of a link is taken off by where slots are said to start.
        let start = map.slots.wrapping_sub(SLOT.wrapping_mul(map.slot_size as u64));
        self.asm().mov_imm(Host::R11, start, false);
        self.out.bind(again);
        self.asm().test(W::W32, link, link);
        self.out.jcc(Cc::NS, end);
        self.asm().imul_imm(W::W64, slot, link, map.slot_size);
        self.asm().arith(W::W64, Arith::Add, slot, Rm::Reg(Host::R11));
        self.compare_key(&map, key, slot, next);
        let chain = Chain { map, key, link, slot, restart, again, end, miss };
        let (label, what) = (next, ColdWhat::Chain(chain));
        self.colds.push(Cold { label, back: again, what, pc: self.pc });
        if let Some(used) = map.used {
            self.note_use(Mem::at(slot, used));
        }
        if map.cpu_stride != 0 {
            self.add_copy(slot, link, map.cpu_stride)?;
        }
        Ok((slot, map.value))
    }

    /// Sets a word to 1; only if it is not: other threads may look at what is around it.
    fn note_use(&mut self, used: Mem) {
        let noted = self.out.new_label();
        self.asm().arith_imm(W::W32, Arith::Cmp, Rm::Mem(used), 0);
        self.out.jcc(Cc::NE, noted);
        self.asm().store_imm(2, used, 1);
        self.out.bind(noted);
    }

    /// The hash of a key of four words.
    fn hash(&mut self, map: &HashMap, key: Key) {
        let Key::Words(at, hash, word) = key else { return };
        let (asm, r11) = (&mut self.out.asm, Host::R11);
        let part = |i: usize| Mem { disp: at.disp + 4 * i as i32, ..at };
        asm.load(W::W32, hash, part(0));
        asm.mov_imm(r11, map.multipliers[0], false);
        asm.imul(W::W64, hash, r11);
        for i in 1..4 {
            asm.load(W::W32, word, part(i));
            asm.mov_imm(r11, map.multipliers[i], false);
            asm.imul(W::W64, word, r11);
            asm.arith(W::W64, Arith::Add, hash, Rm::Reg(word));
        }
        asm.shift_imm(W::W64, Shift::Shr, hash, 32);
    }

    /// r11 = the number of the key's bucket.
    fn bucket(&mut self, map: &HashMap, key: Key) {
        let (bits, r11) = (map.bits, Host::R11);
        let asm = &mut self.out.asm;
        match key {
            Key::Word(_, word) => {
                asm.mov_imm(r11, map.multipliers[0], false);
                asm.imul(W::W64, r11, word);
                asm.shift_imm(W::W64, Shift::Shr, r11, 64 - bits);
            }
            Key::Words(_, hash, _) => {
                asm.mov(W::W32, r11, hash);
                asm.shift_imm(W::W32, Shift::Shr, r11, 32 - bits);
            }
        }
    }

    /// Goes to `other` unless the slot at `slot` is the key's.
    fn compare_key(&mut self, map: &HashMap, key: Key, slot: Host, other: u32) {
        match key {
            // In one read: it cannot be half of one key and half of another.
            Key::Word(w, word) => {
                self.asm().arith(w, Arith::Cmp, word, Rm::Mem(Mem::at(slot, map.key)));
                self.out.jcc(Cc::NE, other);
            }
            Key::Words(at, hash, word) => {
                let place = Rm::Mem(Mem::at(slot, map.hash));
                self.asm().arith(W::W32, Arith::Cmp, hash, place);
                self.out.jcc(Cc::NE, other);
                for part in [0, 8] {
                    let place = Mem::at(slot, map.key + part);
                    self.asm().load(W::W64, word, Mem { disp: at.disp + part, ..at });
                    self.asm().arith(W::W64, Arith::Cmp, word, Rm::Mem(place));
                    self.out.jcc(Cc::NE, other);
                }
            }
        }
    }

    /// The rest of a walk, out of the way.
    pub(super) fn walk_on(&mut self, chain: &Chain) {
        let &Chain { ref map, key, link, slot, .. } = chain;
        self.asm().load(W::W32, link, Mem::at(slot, map.next));
        self.out.jmp(chain.again);
        self.out.bind(chain.end);
        self.asm().test(W::W32, link, link);
        self.out.jcc(Cc::E, chain.miss);
        self.bucket(map, key);
        self.asm().arith_imm(W::W32, Arith::Add, Rm::Reg(Host::R11), 1);
        self.asm().arith(W::W32, Arith::Cmp, link, Rm::Reg(Host::R11));
        self.out.jcc(Cc::E, chain.miss);
        self.out.jmp(chain.restart);
    }
}
