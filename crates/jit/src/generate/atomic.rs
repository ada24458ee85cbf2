//! Read-modify-write operations.

use isa::{AtomicOp, Size};

use super::{Done, Gen};
use crate::{
    host::{Host, W},
    x86::{Arith, Cc, Rm},
};

impl Gen<'_> {
    pub(super) fn atomic(
        &mut self,
        size: Size,
        op: AtomicOp,
        fetch: bool,
        (base, off): (u8, i16),
        src: u8,
    ) -> Done {
        self.stored = None;
        let w = match size {
            Size::W => W::W32,
            Size::DW => W::W64,
            Size::B | Size::H => return Err(self.bug("an atomic operation on less than a word")),
        };
        let arith = match op {
            AtomicOp::Add => Arith::Add,
            AtomicOp::Or => Arith::Or,
            AtomicOp::And => Arith::And,
            AtomicOp::Xor => Arith::Xor,
            AtomicOp::Xchg => return self.exchange(w, base, off, src),
            AtomicOp::Cmpxchg => return self.compare_exchange(w, base, off, src),
        };
        match (fetch, op) {
            (false, _) => {
                let mem = self.address(base, off)?;
                let h = self.read(src)?;
                self.asm().lock_arith(w, arith, mem, h);
                Ok(())
            }
            (true, AtomicOp::Add) => {
                let mem = self.address(base, off)?;
                let h = self.own_apart(src)?;
                self.asm().lock_xadd(w, mem, h);
                self.result(src, h, w == W::W32);
                Ok(())
            }
            (true, _) => self.fetch_loop(w, arith, base, off, src),
        }
    }

    /// `reg` in a host register that the address does not use.
    fn own_apart(&mut self, reg: u8) -> Done<Host> {
        let h = self.own(reg)?;
        if self.pinned & h.bit() == 0 {
            return Ok(h);
        }
        let to = self.pick(reg)?;
        self.asm().mov(W::W64, to, h);
        Ok(to)
    }

    fn exchange(&mut self, w: W, base: u8, off: i16, src: u8) -> Done {
        let mem = self.address(base, off)?;
        let h = self.own_apart(src)?;
        self.asm().xchg(w, mem, h);
        self.result(src, h, w == W::W32);
        Ok(())
    }

    /// r0 is compared, and receives what was there.
    fn compare_exchange(&mut self, w: W, base: u8, off: i16, src: u8) -> Done {
        self.claim_rax()?;
        let mem = self.address(base, off)?;
        let h = self.read(src)?;
        self.pinned |= h.bit() | Host::RAX.bit();
        let expected = self.host(0)?;
        self.asm().mov(W::W64, Host::RAX, expected);
        self.asm().lock_cmpxchg(w, mem, h);
        if w == W::W32 {
            // On success EAX is not written, and its register's upper half stays.
            self.asm().mov(W::W32, Host::RAX, Host::RAX);
        }
        self.result(0, Host::RAX, w == W::W32);
        Ok(())
    }

    fn fetch_loop(&mut self, w: W, op: Arith, base: u8, off: i16, src: u8) -> Done {
        self.claim_rax()?;
        let mem = self.address(base, off)?;
        let h = self.host(src)?;
        let asm = &mut self.out.asm;
        asm.load(w, Host::RAX, mem);
        let again = self.out.new_label();
        self.out.bind(again);
        let asm = &mut self.out.asm;
        asm.mov(w, Host::R11, Host::RAX);
        asm.arith(w, op, Host::R11, Rm::Reg(h));
        asm.lock_cmpxchg(w, mem, Host::R11);
        self.out.jcc(Cc::NE, again);
        self.result(src, Host::RAX, w == W::W32);
        Ok(())
    }

    /// Nobody depends on RAX any more, and nobody picks it.
    fn claim_rax(&mut self) -> Done {
        self.vacate(Host::RAX)?;
        self.pinned |= Host::RAX.bit();
        Ok(())
    }
}
