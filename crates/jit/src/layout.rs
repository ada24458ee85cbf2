//! Pieces of code put together: jumps as short as they can be, loops aligned, addresses filled in.
//!
//! Jumps are written long. [`Pieces::finish`] shortens those that reach in a byte, in a few
//! rounds (a jump once short stays short), and copies the rest together.

use crate::{
    JitError, context,
    host::{CALLEE_SAVED, Host, Mem, W},
    x86::{Arith, Asm, Cc, Rm},
};

/// Loops start at multiples of this.
const LOOP_ALIGN: u32 = 64;
/// Room kept for aligning.
const PAD: u32 = LOOP_ALIGN - 1;
const ROUNDS: usize = 4;
/// Bytes of the jump to the way out, right before the stub for callbacks.
const LEAVE_BYTES: i32 = 5;

/// What aligns the stack for a call after pushing `saved`.
fn gap(saved: &[Host]) -> i32 {
    8 * (1 - (saved.len() as i32 & 1))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Jmp,
    Jcc(Cc),
    Call,
    /// Through the pool of addresses at the end.
    CallPool,
    Lea,
    /// A jump that stays long.
    Fixed,
    Align,
}

impl Kind {
    fn long(self) -> u32 {
        match self {
            Kind::Jmp | Kind::Call | Kind::Fixed => 5,
            Kind::Jcc(_) | Kind::CallPool => 6,
            Kind::Lea => 7,
            Kind::Align => PAD,
        }
    }

    /// Bytes saved by the short form.
    fn saving(self) -> u32 {
        match self {
            Kind::Jmp => 3,
            Kind::Jcc(_) => 4,
            _ => 0,
        }
    }
}

#[derive(Clone, Copy)]
struct Jump {
    at: u32,
    /// Label, or index in the pool.
    to: u32,
    kind: Kind,
    short: bool,
}

#[derive(Clone, Copy)]
struct Label {
    at: u32,
    /// Jumps before it.
    jumps: u32,
}

const UNBOUND: Label = Label { at: u32::MAX, jumps: 0 };

/// A guarded access: where it is, and the register that becomes zero if it faults ([`NO_HOST`] for
/// none).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Guard {
    pub(crate) at: u32,
    pub(crate) end: u32,
    pub(crate) host: u8,
}

/// The guarded access is no load.
pub(crate) const NO_HOST: u8 = u8::MAX;

/// Where a bytecode instruction's code starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// Offset in the code.
    pub offset: u32,
    /// Slot in translated bytecode.
    pub pc: u32,
}

/// Code in pieces.
pub(crate) struct Pieces {
    pub(crate) asm: Asm,
    labels: Vec<Label>,
    jumps: Vec<Jump>,
    lines: Vec<Line>,
    guards: Vec<Guard>,
    /// Labels that are others' names.
    aliases: Vec<(u32, u32)>,
    pool: Vec<u64>,
    stop: u32,
    /// The main program without saving registers.
    main: u32,
    /// Preserved registers that some function uses, and those that the main program does.
    saved: u16,
    main_saved: u16,
}

/// A point to go back to.
pub(crate) struct Mark {
    at: usize,
    labels: Vec<Label>,
    jumps: usize,
    lines: usize,
    guards: usize,
    aliases: usize,
}

/// Labels of what follows the functions.
pub(crate) struct Stubs {
    /// Where the functions end.
    pub(crate) end: u32,
    pub(crate) to_main: u32,
    pub(crate) to_any: u32,
}

/// Finished code.
pub(crate) struct Finished {
    pub(crate) bytes: Vec<u8>,
    pub(crate) lines: Vec<Line>,
    pub(crate) guards: Vec<Guard>,
    /// Offset of each label that was asked for.
    pub(crate) labels: Vec<u32>,
    /// Bytes before the pool.
    pub(crate) text: u32,
    /// Offset of the code that ends a run.
    pub(crate) stop: u32,
}

impl Pieces {
    /// `labels` are numbered from 0; `slots` sizes the buffer.
    pub(crate) fn new(labels: u32, slots: usize) -> Pieces {
        Pieces {
            asm: Asm::with_capacity(slots * 6 + 256),
            labels: vec![UNBOUND; labels as usize + 2],
            jumps: Vec::with_capacity(slots / 8),
            lines: Vec::with_capacity(slots),
            guards: Vec::new(),
            aliases: Vec::new(),
            pool: Vec::new(),
            stop: labels,
            main: labels + 1,
            saved: 0,
            main_saved: 0,
        }
    }

    pub(crate) fn mark(&self) -> Mark {
        Mark {
            at: self.asm.len(),
            labels: Vec::new(),
            jumps: self.jumps.len(),
            lines: self.lines.len(),
            guards: self.guards.len(),
            aliases: self.aliases.len(),
        }
    }

    /// Forgets what was written since; labels bound since are bound again later.
    pub(crate) fn rewind(&mut self, mark: Mark) {
        self.asm.truncate(mark.at);
        self.jumps.truncate(mark.jumps);
        self.lines.truncate(mark.lines);
        self.guards.truncate(mark.guards);
        self.aliases.truncate(mark.aliases);
        drop(mark.labels);
    }

    pub(crate) fn new_label(&mut self) -> u32 {
        self.labels.push(UNBOUND);
        self.labels.len() as u32 - 1
    }

    pub(crate) fn stop_label(&self) -> u32 {
        self.stop
    }

    pub(crate) fn bind(&mut self, label: u32) {
        let label_at = Label { at: self.asm.len() as u32, jumps: self.jumps.len() as u32 };
        self.labels[label as usize] = label_at;
    }

    /// `label` is where `other` is or will be.
    pub(crate) fn alias(&mut self, label: u32, other: u32) {
        self.aliases.push((label, other));
    }

    /// Binds a block's label, aligned if it is a loop's.
    pub(crate) fn bind_block(&mut self, label: u32, is_loop: bool) {
        if is_loop {
            self.add(Kind::Align, 0);
            self.asm.zeros(PAD as usize);
        }
        self.bind(label);
    }

    fn add(&mut self, kind: Kind, to: u32) {
        let at = self.asm.len() as u32;
        self.jumps.push(Jump { at, to, kind, short: false });
    }

    pub(crate) fn jmp(&mut self, label: u32) {
        self.add(Kind::Jmp, label);
        self.asm.jmp();
    }

    pub(crate) fn jcc(&mut self, cc: Cc, label: u32) {
        self.add(Kind::Jcc(cc), label);
        self.asm.jcc(cc);
    }

    pub(crate) fn call(&mut self, label: u32) {
        self.add(Kind::Call, label);
        self.asm.call();
    }

    pub(crate) fn call_native(&mut self, address: u64) {
        let found = self.pool.iter().rposition(|a| *a == address);
        let index = found.unwrap_or_else(|| {
            self.pool.push(address);
            self.pool.len() - 1
        });
        self.add(Kind::CallPool, index as u32);
        self.asm.call_pool();
    }

    pub(crate) fn lea_label(&mut self, to: Host, label: u32) {
        self.add(Kind::Lea, label);
        self.asm.lea_rip(to);
    }

    pub(crate) fn line(&mut self, pc: u32) {
        self.lines.push(Line { offset: self.asm.len() as u32, pc });
    }

    /// The instruction from `at` on is a guarded load into `host`.
    pub(crate) fn guard(&mut self, at: usize, host: Host) {
        self.guards.push(Guard { at: at as u32, end: self.asm.len() as u32, host: host.0 });
    }

    /// The instruction from `at` on is a store that is lost where nothing is.
    pub(crate) fn guard_store(&mut self, at: usize) {
        self.guards.push(Guard { at: at as u32, end: self.asm.len() as u32, host: NO_HOST });
    }

    pub(crate) fn note_saved(&mut self, hosts: u16, main: bool) {
        self.saved |= hosts;
        if main {
            self.main_saved = hosts;
        }
    }

    /// Binds the main program's label. It leaves saving registers to whoever enters it.
    pub(crate) fn bind_main(&mut self) {
        self.bind(self.main);
    }

    /// The ways in from other code and the way out of a stopped run: labels of the stub that calls
    /// the main program, and of the one that calls what the context names. Label `main` becomes
    /// the main program as a C function.
    ///
    /// A stopped run leaves its functions without their epilogues: the stub restores what they
    /// saved, or all there is if `leaves` says that other programs are tail-called.
    pub(crate) fn entry_stubs(&mut self, main: u32, leaves: bool) -> Stubs {
        let all = if leaves { u16::MAX } else { self.saved };
        let of = |set: u16| CALLEE_SAVED.into_iter().filter(move |h| set & h.bit() != 0);
        let (saved, own): (Vec<Host>, Vec<Host>) =
            (of(all).collect(), of(self.main_saved).collect());
        let end = self.new_label();
        self.bind(end);
        if own.is_empty() {
            self.labels[main as usize] = self.labels[self.main as usize];
        } else {
            self.bind(main);
            self.push_all(&own);
            self.call(self.main);
            self.leave(&own);
        }
        let (to_main, to_any) = (self.new_label(), self.new_label());
        self.bind(to_main);
        self.enter(&saved, Some(self.main));
        // The way out is known by its place: right before the stub that callbacks use.
        let leave = self.new_label();
        self.jmp_long(leave);
        self.bind(to_any);
        self.enter(&saved, None);
        self.bind(leave);
        self.leave(&saved);
        self.bind(self.stop);
        let asm = &mut self.asm;
        asm.load(W::W64, Host::RSP, Mem::at(Host::R11, context::ENTRY_RSP));
        asm.load(W::W64, Host::R11, Mem::at(Host::R11, context::ENTER));
        asm.arith_imm(W::W64, Arith::Sub, Rm::Reg(Host::R11), LEAVE_BYTES);
        asm.mov_imm(Host::RAX, 0, false);
        asm.jmp_reg(Host::R11);
        Stubs { end, to_main, to_any }
    }

    fn push_all(&mut self, saved: &[Host]) {
        for &h in saved {
            self.asm.push(h);
        }
        if gap(saved) != 0 {
            self.asm.arith_imm(W::W64, Arith::Sub, Rm::Reg(Host::RSP), gap(saved));
        }
    }

    fn enter(&mut self, saved: &[Host], callee: Option<u32>) {
        self.push_all(saved);
        let asm = &mut self.asm;
        asm.store(3, Mem::at(context::REGISTER, context::ENTRY_RSP), Host::RSP);
        match callee {
            Some(label) => {
                self.call(label);
                self.leave(saved);
            }
            None => self.asm.call_mem(Mem::at(context::REGISTER, context::TARGET)),
        }
    }

    fn leave(&mut self, saved: &[Host]) {
        let asm = &mut self.asm;
        if gap(saved) != 0 {
            asm.arith_imm(W::W64, Arith::Add, Rm::Reg(Host::RSP), gap(saved));
        }
        for &h in saved.iter().rev() {
            asm.pop(h);
        }
        asm.ret();
    }

    /// A jump that keeps its [`LEAVE_BYTES`].
    fn jmp_long(&mut self, label: u32) {
        self.add(Kind::Fixed, label);
        self.asm.jmp();
    }

    /// Bytes saved before each jump, jumps as short as known.
    fn savings(&self, saved: &mut Vec<u32>) {
        saved.clear();
        let mut sum = 0;
        for jump in &self.jumps {
            saved.push(sum);
            sum += if jump.short { jump.kind.saving() } else { 0 };
        }
        saved.push(sum);
    }

    fn place(&self, label: u32, saved: &[u32]) -> Option<u32> {
        let label = self.labels.get(label as usize)?;
        let at = label.at.checked_sub(*saved.get(label.jumps as usize)?)?;
        (label.at != UNBOUND.at).then_some(at)
    }

    fn shorten(&mut self, saved: &mut Vec<u32>) {
        for _ in 0..ROUNDS {
            self.savings(saved);
            let mut changed = false;
            for i in 0..self.jumps.len() {
                let jump = self.jumps[i];
                if jump.short || jump.kind.saving() == 0 {
                    continue;
                }
                let Some(to) = self.place(jump.to, saved) else { continue };
                let from = i64::from(jump.at - saved[i]) + 2;
                let mut distance = i64::from(to) - from;
                if distance > 0 {
                    // Forward targets come nearer by what this jump saves.
                    distance -= i64::from(jump.kind.saving());
                }
                if i8::try_from(distance).is_ok() {
                    self.jumps[i].short = true;
                    changed = true;
                }
            }
            if !changed {
                break;
            }
        }
    }

    /// Savings with the padding that alignment really takes.
    fn final_savings(&self, saved: &mut Vec<u32>) {
        saved.clear();
        let mut sum = 0;
        for jump in &self.jumps {
            saved.push(sum);
            sum += match jump.kind {
                Kind::Align => PAD - (jump.at - sum).wrapping_neg() % LOOP_ALIGN,
                kind if jump.short => kind.saving(),
                _ => 0,
            };
        }
        saved.push(sum);
    }

    /// Puts everything together.
    pub(crate) fn finish(mut self) -> Result<Finished, JitError> {
        if self.asm.len() + self.pool.len() * 8 > i32::MAX as usize {
            return Err(JitError::TooLarge);
        }
        for &(label, other) in &self.aliases {
            self.labels[label as usize] = self.labels[other as usize];
        }
        let mut saved = Vec::with_capacity(self.jumps.len() + 1);
        self.shorten(&mut saved);
        self.final_savings(&mut saved);
        let total = saved.last().copied().unwrap_or(0);
        let text = self.asm.len() as u32 - total;
        let pool_at = text.next_multiple_of(8);
        let mut bytes = Vec::with_capacity(pool_at as usize + self.pool.len() * 8);
        let mut from = 0;
        for (i, jump) in self.jumps.iter().enumerate() {
            bytes.extend_from_slice(&self.asm.bytes()[from..jump.at as usize]);
            from = (jump.at + jump.kind.long()) as usize;
            let to = match jump.kind {
                Kind::CallPool => pool_at + jump.to * 8,
                Kind::Align => 0,
                _ => {
                    let bug = JitError::Bug { pc: 0, what: "a label nowhere" };
                    self.place(jump.to, &saved).ok_or(bug)?
                }
            };
            let pad = PAD - (saved[i + 1] - saved[i]).min(PAD);
            self.write(&mut bytes, jump, to, pad);
        }
        bytes.extend_from_slice(&self.asm.bytes()[from..]);
        bytes.resize(pool_at as usize, 0xcc);
        for address in &self.pool {
            bytes.extend_from_slice(&address.to_le_bytes());
        }
        let labels: Vec<u32> = (0..self.labels.len() as u32)
            .map(|label| self.place(label, &saved).unwrap_or(u32::MAX))
            .collect();
        let stop = labels[self.stop as usize];
        self.move_tables(&saved);
        Ok(Finished { bytes, lines: self.lines, guards: self.guards, labels, text, stop })
    }

    fn write(&self, bytes: &mut Vec<u8>, jump: &Jump, to: u32, pad: u32) {
        let start = bytes.len() as i64;
        let long = jump.kind.long();
        let rel = |len: u32| (i64::from(to) - start - i64::from(len)) as i32;
        let code = &self.asm.bytes()[jump.at as usize..];
        match jump.kind {
            Kind::Align => nops(bytes, pad),
            Kind::Jmp if jump.short => bytes.extend([0xeb, rel(2) as u8]),
            Kind::Jcc(cc) if jump.short => bytes.extend([0x70 | cc.0, rel(2) as u8]),
            _ => {
                bytes.extend_from_slice(&code[..long as usize - 4]);
                bytes.extend_from_slice(&rel(long).to_le_bytes());
            }
        }
    }

    /// Offsets of lines and guards after shortening.
    fn move_tables(&mut self, saved: &[u32]) {
        let mut i = 0;
        for line in &mut self.lines {
            while i < self.jumps.len() && self.jumps[i].at < line.offset {
                i += 1;
            }
            line.offset -= saved[i];
        }
        let mut i = 0;
        for guard in &mut self.guards {
            while i < self.jumps.len() && self.jumps[i].at < guard.at {
                i += 1;
            }
            guard.at -= saved[i];
            guard.end -= saved[i];
        }
    }
}

/// The longest no-operations first.
fn nops(bytes: &mut Vec<u8>, mut count: u32) {
    const NOPS: [&[u8]; 9] = [
        &[0x90],
        &[0x66, 0x90],
        &[0x0f, 0x1f, 0x00],
        &[0x0f, 0x1f, 0x40, 0x00],
        &[0x0f, 0x1f, 0x44, 0x00, 0x00],
        &[0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00],
        &[0x0f, 0x1f, 0x80, 0x00, 0x00, 0x00, 0x00],
        &[0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
        &[0x66, 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
    ];
    while count > 0 {
        let n = count.min(9);
        bytes.extend_from_slice(NOPS[n as usize - 1]);
        count -= n;
    }
}
