//! Subprograms by their prototypes in BTF: what a global function's arguments must be, at its
//! calls and when it is verified on its own.

use btf::{Btf, Kind, Type, TypeId};
use uapi::{ArgKind, ArgType};

use super::arg::check_offset;
use super::btf_ids;
use super::ctx_type::{check_ctx_tag, is_ctx_type};
use super::kinds::{accepted, type_name};
use crate::check::DynptrUse;
use crate::env::{Env, SubprogArg};
use crate::error::{Checked, Reject, reject};
use crate::event::{BadArg, BadFunc, Bug, Note, Reg, RegType};
use crate::log::say;
use crate::passes::decl_tags;
use crate::state::{Callback, DynptrKind, FuncState, RegFlags, RegKind, RegState};

/// What `arg:` tags ask for.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Tags {
    ctx: bool,
    trusted: bool,
    untrusted: bool,
    nonnull: bool,
    nullable: bool,
    arena: bool,
}

impl Tags {
    fn any(self) -> bool {
        self != Tags::default()
    }

    /// Nothing but what `keep` has.
    fn only(self, keep: Tags) -> bool {
        let with = |a: bool, b: bool| !a || b;
        with(self.ctx, keep.ctx)
            && with(self.trusted, keep.trusted)
            && with(self.untrusted, keep.untrusted)
            && with(self.nonnull, keep.nonnull)
            && with(self.nullable, keep.nullable)
            && with(self.arena, keep.arena)
    }
}

impl<'a> Env<'a> {
    /// The arguments in r1 to r5 against the prototype of `subprog`. An error matters only for
    /// global functions; for static ones Linux's text is printed here.
    pub(crate) fn check_subprog_call(&mut self, subprog: usize) -> Checked {
        if self.prog.func_info.is_empty() || self.subprogs[subprog].unreliable {
            return reject!(EINVAL);
        }
        let result = self.match_arguments(subprog);
        let Err(reject) = result else { return Ok(()) };
        if reject.feature().is_some() {
            return Err(reject);
        }
        self.subprogs[subprog].unreliable = true;
        if self.subprogs[subprog].is_global {
            return Err(reject);
        }
        reject.reasons().iter().for_each(|reason| say!(self, Note::Refused(reason)));
        Err(Reject::silent(reject.errno()))
    }

    fn match_arguments(&mut self, subprog: usize) -> Checked {
        self.prepare_arguments(subprog)?;
        let args = self.subprogs[subprog].args.clone().unwrap_or_default();
        for (n, arg) in args.iter().enumerate() {
            self.match_argument(n, *arg)?;
        }
        Ok(())
    }

    fn match_argument(&mut self, n: usize, arg: SubprogArg) -> Checked {
        let regno = n + 1;
        let reg = *self.reg(regno);
        match arg {
            SubprogArg::Anything => {
                if !reg.is_scalar() {
                    return reject!(EINVAL, BadFunc::NotScalar { reg: Reg(regno) });
                }
            }
            SubprogArg::Ctx => {
                check_offset(self, regno, ArgType::new(ArgKind::Anything))?;
                if reg.kind != RegKind::Ctx {
                    return reject!(EINVAL, BadFunc::NotCtx { arg: n });
                }
            }
            SubprogArg::Mem { untrusted: true, .. } | SubprogArg::BtfId { untrusted: true, .. } => {
            }
            SubprogArg::Mem { size, nullable, .. } => {
                check_offset(self, regno, ArgType::new(ArgKind::Anything))?;
                self.check_mem_reg(regno, size).map_err(|r| r.with_errno(uapi::Errno::EINVAL))?;
                if !nullable && reg.may_be_null() {
                    return reject!(EINVAL, BadFunc::MaybeNull { arg: n });
                }
            }
            SubprogArg::BtfId { id, nullable, .. } => {
                if reg.is_null() && nullable {
                    return Ok(());
                }
                self.match_btf_pointer(regno, &reg, id, nullable)?;
            }
            SubprogArg::Dynptr => {
                check_offset(self, regno, ArgType::new(ArgKind::Dynptr(uapi::DynptrArg::Any)))?;
                let how = DynptrUse::Use { kind: None, mutates: false };
                self.process_dynptr(regno, self.insn_idx, how)?;
            }
            SubprogArg::Arena => {
                if !matches!(reg.kind, RegKind::Arena | RegKind::Scalar) {
                    return reject!(EINVAL, BadFunc::NotArena { reg: Reg(regno) });
                }
            }
        }
        Ok(())
    }

    fn match_btf_pointer(
        &mut self,
        regno: usize,
        reg: &RegState,
        id: u32,
        nullable: bool,
    ) -> Checked {
        let world = self.world;
        let Some(btf) = &world.kernel_btf else { return Err(Reject::needs("kernel BTF")) };
        let list = accepted(ArgKind::BtfId(""));
        let flags = if nullable { reg.flags - RegFlags::MAYBE_NULL } else { reg.flags };
        if !list.contains(&(reg.kind, flags)) {
            let expected: Vec<String> = list.iter().map(|(k, f)| type_name(*k, *f)).collect();
            return reject!(
                EACCES,
                BadArg::WrongType {
                    reg: Reg(regno),
                    is: RegType::of(reg),
                    expected: expected.join(", ").into()
                }
            );
        }
        let wanted = btf.name_of(TypeId(id));
        let own = btf.resolve(TypeId(reg.btf_id())).unwrap_or(TypeId(reg.btf_id()));
        if !btf_ids::matches(btf, own, reg.off, wanted, false) {
            return reject!(
                EACCES,
                BadArg::WrongObject {
                    reg: Reg(regno),
                    is: btf.name_of(own).into(),
                    expected: wanted.into()
                }
            );
        }
        check_offset(self, regno, ArgType::new(ArgKind::BtfId("")))
    }

    /// The frame that a walk of `subprog` begins with: the context for the main program, what its
    /// prototype says for a global function.
    pub(crate) fn entry_frame(&mut self, subprog: usize) -> Checked<FuncState> {
        let mut frame = FuncState::new(-1, 0, subprog as u32);
        if subprog == 0 && self.prog.prog_type != Some(uapi::ProgType::Ext) {
            self.check_main_prototype();
            frame.regs[1] = RegState::pointer(RegKind::Ctx);
            return Ok(frame);
        }
        let name = self.subprogs[subprog].name.clone();
        say!(self, Note::Validating { func: subprog, name: &name });
        self.prepare_arguments(subprog)?;
        let args = self.subprogs[subprog].args.clone().unwrap_or_default();
        if self.subprogs[subprog].is_exception_cb {
            frame.callback = Callback::Exception;
            if args != [SubprogArg::Anything] {
                return reject!(EINVAL, BadFunc::ExceptionCallbackArgs);
            }
        }
        for (n, arg) in args.iter().enumerate() {
            frame.regs[n + 1] = self.entry_register(*arg);
        }
        Ok(frame)
    }

    /// A main program that is not a function of its context is not believed about its arguments.
    fn check_main_prototype(&mut self) {
        if self.prog.func_info.is_empty() {
            return;
        }
        match self.prepare_arguments(0) {
            Err(reject) => {
                reject.reasons().iter().for_each(|reason| say!(self, Note::Refused(reason)));
                self.subprogs[0].unreliable = true;
            }
            Ok(()) => {
                let args = self.subprogs[0].args.as_deref();
                self.subprogs[0].unreliable = args != Some(&[SubprogArg::Ctx]);
            }
        }
    }

    fn entry_register(&mut self, arg: SubprogArg) -> RegState {
        match arg {
            SubprogArg::Anything | SubprogArg::Arena => self.unknown_reg(),
            SubprogArg::Ctx => RegState::pointer(RegKind::Ctx),
            SubprogArg::Mem { size, nullable, rdonly, untrusted } => {
                let mut reg = RegState { data: size, ..RegState::pointer(RegKind::Mem) };
                reg.flags.set(RegFlags::MAYBE_NULL, nullable);
                reg.flags.set(RegFlags::RDONLY, rdonly);
                reg.flags.set(RegFlags::UNTRUSTED, untrusted);
                reg.id = if nullable { self.new_id() } else { 0 };
                reg
            }
            SubprogArg::BtfId { id, trusted, nullable, untrusted } => {
                let mut reg = RegState { data: id, ..RegState::pointer(RegKind::BtfId) };
                reg.flags.set(RegFlags::MAYBE_NULL, nullable);
                reg.flags.set(RegFlags::TRUSTED, trusted);
                reg.flags.set(RegFlags::UNTRUSTED, untrusted);
                reg.id = if nullable { self.new_id() } else { 0 };
                reg
            }
            SubprogArg::Dynptr => RegState::dynptr(DynptrKind::Local, true, self.new_id()),
        }
    }

    /// Works out what the arguments of `subprog` must be, once.
    pub(crate) fn prepare_arguments(&mut self, subprog: usize) -> Checked {
        if self.subprogs[subprog].args.is_some() {
            return Ok(());
        }
        let prog = self.prog;
        let (Some(btf), Some(info)) = (&prog.btf, prog.func_info.get(subprog)) else {
            return reject!(EFAULT, Bug::FuncInfo);
        };
        let global = self.subprogs[subprog].is_global;
        let quiet = |reject: Reject| {
            if global { reject } else { Reject::silent(reject.errno()) }
        };
        let Some(func) = btf.ty(TypeId(info.type_id)) else { return reject!(EFAULT) };
        let Some(proto) = btf.ty(TypeId(func.size_or_type)) else { return reject!(EFAULT) };
        let name = func.name;
        if proto.vlen > 5 {
            return Err(quiet(Reject::new(
                uapi::Errno::EINVAL,
                BadFunc::TooManyArgs { name: name.into(), args: proto.vlen },
            )));
        }
        let ret = btf.resolved(TypeId(proto.size_or_type));
        if !ret.is_some_and(|t| t.kind == Kind::Int || t.kind.is_enum()) {
            return Err(quiet(Reject::new(
                uapi::Errno::EINVAL,
                BadFunc::ReturnsNoScalar { name: name.into() },
            )));
        }
        let mut args = Vec::new();
        for (n, param) in proto.params().enumerate() {
            args.push(self.argument(btf, &func, n, param.type_id, global)?);
        }
        self.subprogs[subprog].args = Some(args);
        Ok(())
    }

    fn argument(
        &self,
        btf: &Btf,
        func: &Type<'_>,
        n: usize,
        id: TypeId,
        global: bool,
    ) -> Checked<SubprogArg> {
        let tags = tags_of(btf, func, n, global)?;
        let Some(t) = btf.resolved(id) else { return reject!(EINVAL) };
        if t.kind == Kind::Ptr
            && let Some(arg) = self.pointer_argument(btf, &t, n, tags, global)?
        {
            return Ok(arg);
        }
        if tags.any() {
            return reject!(EINVAL, BadFunc::TagWithoutPointer { arg: n });
        }
        if t.kind == Kind::Int || t.kind.is_enum() {
            return Ok(SubprogArg::Anything);
        }
        if !global {
            return reject!(EINVAL);
        }
        reject!(EINVAL, BadFunc::ArgType { arg: n, kind: t.kind.text(), name: func.name.into() })
    }

    /// What a pointer must be; `None` for a static function's that is not the context.
    fn pointer_argument(
        &self,
        btf: &Btf,
        t: &Type<'_>,
        n: usize,
        tags: Tags,
        global: bool,
    ) -> Checked<Option<SubprogArg>> {
        let target = TypeId(t.size_or_type);
        let combination = || reject!(EINVAL, BadFunc::Tags { arg: n });
        if tags.ctx || is_ctx_type(self, btf, target) {
            if !tags.only(Tags { ctx: true, ..Tags::default() }) {
                return combination();
            }
            if tags.ctx {
                check_ctx_tag(self, btf, target, n)?;
            }
            return Ok(Some(SubprogArg::Ctx));
        }
        let pointee = btf.resolved(target);
        if pointee.is_some_and(|p| p.kind == Kind::Struct && p.name == "bpf_dynptr") {
            return if tags.any() { combination() } else { Ok(Some(SubprogArg::Dynptr)) };
        }
        if tags.trusted {
            if tags.nonnull {
                return combination();
            }
            let id = self.kernel_type(btf, target, n)?;
            let nullable = tags.nullable;
            return Ok(Some(SubprogArg::BtfId { id, trusted: true, nullable, untrusted: false }));
        }
        if tags.untrusted {
            return self.untrusted_argument(btf, target, n, tags).map(Some);
        }
        if tags.arena {
            if !tags.only(Tags { arena: true, ..Tags::default() }) {
                return reject!(EINVAL, BadFunc::ArenaTags { arg: n });
            }
            return Ok(Some(SubprogArg::Arena));
        }
        if !global {
            return Ok(None);
        }
        if tags.nullable {
            return combination();
        }
        match btf.size_of(target).ok().filter(|_| pointee.is_some()) {
            Some(size) => Ok(Some(SubprogArg::Mem {
                size,
                nullable: !tags.nonnull,
                rdonly: false,
                untrusted: false,
            })),
            None => {
                let (kind, name) = pointee.map_or(("UNKNOWN", ""), |p| (p.kind.text(), p.name));
                reject!(EINVAL, BadFunc::SizeUnknown { arg: n, kind, name: name.into() })
            }
        }
    }

    fn untrusted_argument(
        &self,
        btf: &Btf,
        target: TypeId,
        n: usize,
        tags: Tags,
    ) -> Checked<SubprogArg> {
        if !tags.only(Tags { untrusted: true, ..Tags::default() }) {
            return reject!(EINVAL, BadFunc::UntrustedTags { arg: n });
        }
        let plain = match btf.resolved(target) {
            None => true,
            Some(t) => t.kind == Kind::Int || t.kind.is_enum(),
        };
        if plain {
            return Ok(SubprogArg::Mem { size: 0, nullable: false, rdonly: true, untrusted: true });
        }
        let id = self.kernel_type(btf, target, n)?;
        Ok(SubprogArg::BtfId { id, trusted: false, nullable: false, untrusted: true })
    }

    /// The kernel's structure of the same name.
    fn kernel_type(&self, btf: &Btf, target: TypeId, n: usize) -> Checked<u32> {
        let world = self.world;
        let Some(kernel) = &world.kernel_btf else { return Err(Reject::needs("kernel BTF")) };
        let (kind, name) = btf.resolved(target).map_or((Kind::Struct, ""), |t| (t.kind, t.name));
        let essential = btf::essential_name(name);
        match kernel.find_by_name(essential, kind).filter(|_| !name.is_empty()) {
            Some(id) => Ok(id.0),
            None => {
                reject!(
                    ENOENT,
                    BadFunc::NoKernelType { arg: n, kind: kind.text(), name: name.into() }
                )
            }
        }
    }
}

/// The `arg:` tags of parameter `n`.
fn tags_of(btf: &Btf, func: &Type<'_>, n: usize, global: bool) -> Checked<Tags> {
    let mut tags = Tags::default();
    let own = decl_tags(btf, func.id.0).filter(|t| t.decl_tag() == Some(n as i32));
    for tag in own {
        let Some(word) = tag.name.strip_prefix("arg:") else { continue };
        if !global {
            return reject!(EOPNOTSUPP, BadFunc::TagOnStatic { arg: n });
        }
        match word {
            "ctx" => tags.ctx = true,
            "trusted" => tags.trusted = true,
            "untrusted" => tags.untrusted = true,
            "nonnull" => tags.nonnull = true,
            "nullable" => tags.nullable = true,
            "arena" => tags.arena = true,
            _ => return reject!(EOPNOTSUPP, BadFunc::UnknownTag { arg: n }),
        }
    }
    Ok(tags)
}
