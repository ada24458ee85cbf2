//! Arguments of subprograms by their BTF prototypes: what a global function may assume and what
//! its callers must pass.

use btf::{Btf, Kind, Type, TypeId};
use uapi::Errno;

use crate::env::{Env, SubprogArg};
use crate::error::{Checked, Reject, reject};
use crate::log::say;
use crate::state::{FuncState, RegFlags, RegKind, RegState};

/// Arguments that registers can hold.
const MAX_ARGS: usize = 5;

/// Decl tags of an argument, less `arg:`.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Tags {
    ctx: bool,
    nonnull: bool,
    trusted: bool,
    untrusted: bool,
    nullable: bool,
    arena: bool,
}

impl Env<'_> {
    /// What the arguments of a subprogram must be, worked out once.
    pub(crate) fn subprog_args(&mut self, subprog: usize) -> Checked<Vec<SubprogArg>> {
        if let Some(args) = &self.subprogs[subprog].args {
            return Ok(args.clone());
        }
        let args = self.work_out_args(subprog)?;
        self.subprogs[subprog].args = Some(args.clone());
        Ok(args)
    }

    fn work_out_args(&self, subprog: usize) -> Checked<Vec<SubprogArg>> {
        let global = self.subprogs[subprog].is_global;
        let (Some(btf), Some(info)) = (&self.prog.btf, self.prog.func_info.get(subprog)) else {
            return reject!(EFAULT, "Verifier bug");
        };
        let silent = |text: String| {
            Err(Reject::new(Errno::EINVAL, if global { text } else { String::new() }))
        };
        let bad = || Reject::new(Errno::EFAULT, format!("BTF of func#{subprog} doesn't point to KIND_FUNC"));
        let func = btf.ty(TypeId(info.type_id)).filter(|t| t.kind == Kind::Func).ok_or_else(bad)?;
        let name = func.named().unwrap_or_default().to_owned();
        let proto = func
            .target()
            .and_then(|id| btf.ty(id))
            .filter(|t| t.kind == Kind::FuncProto)
            .ok_or_else(|| Reject::new(Errno::EFAULT, format!("Invalid type of function {name}()")))?;
        let count = proto.params().len();
        if count > MAX_ARGS {
            return silent(format!(
                "Global function {name}() with {count} > {MAX_ARGS} args. Buggy compiler."
            ));
        }
        let returns = proto.target().and_then(|id| skip_modifiers(btf, id));
        if !returns.is_some_and(|t| is_number(&t)) {
            return silent(format!(
                "Global function {name}() doesn't return scalar. Only those are supported."
            ));
        }
        let mut args = Vec::with_capacity(count);
        for (i, param) in proto.params().enumerate() {
            let tags = self.arg_tags(btf, info.type_id, i, global)?;
            args.push(self.one_arg(btf, i, param.type_id, tags, global, &name)?);
        }
        Ok(args)
    }

    fn arg_tags(&self, btf: &Btf, func: u32, arg: usize, global: bool) -> Checked<Tags> {
        let mut tags = Tags::default();
        for t in btf.own_types().filter(|t| t.kind == Kind::DeclTag) {
            if t.target() != Some(TypeId(func)) || t.decl_tag() != Some(arg as i32) {
                continue;
            }
            let Some(tag) = t.named().and_then(|n| n.strip_prefix("arg:")) else { continue };
            if !global {
                return reject!(
                    EOPNOTSUPP,
                    "arg#{arg} type tag is not supported in static functions"
                );
            }
            match tag {
                "ctx" => tags.ctx = true,
                "trusted" => tags.trusted = true,
                "untrusted" => tags.untrusted = true,
                "nonnull" => tags.nonnull = true,
                "nullable" => tags.nullable = true,
                "arena" => tags.arena = true,
                _ => return reject!(EOPNOTSUPP, "arg#{arg} has unsupported set of tags"),
            }
        }
        Ok(tags)
    }

    fn one_arg(
        &self,
        btf: &Btf,
        i: usize,
        ty: TypeId,
        tags: Tags,
        global: bool,
        name: &str,
    ) -> Checked<SubprogArg> {
        let none = Tags::default();
        let Some(t) = skip_modifiers(btf, ty) else { return reject!(EINVAL) };
        let invalid = || reject!(EINVAL, "arg#{i} has invalid combination of tags");
        if t.kind == Kind::Ptr {
            let pointee = t.target().and_then(|id| skip_modifiers(btf, id));
            let pointee_name = pointee.as_ref().and_then(Type::named).unwrap_or_default();
            let is_struct = pointee.as_ref().is_some_and(|p| p.kind == Kind::Struct);
            if tags.ctx || self.is_ctx_type(btf, &t) {
                if tags != (Tags { ctx: tags.ctx, ..none }) {
                    return invalid();
                }
                if tags.ctx {
                    self.check_ctx_tag(btf, &t, i)?;
                }
                return Ok(SubprogArg::Ctx);
            }
            if is_struct && pointee_name == "bpf_dynptr" {
                return if tags == none { Ok(SubprogArg::Dynptr) } else { invalid() };
            }
            if tags.trusted {
                if tags.nonnull || tags.untrusted {
                    return invalid();
                }
                let id = self.kernel_struct(i, pointee_name)?;
                return Ok(SubprogArg::BtfId {
                    id,
                    trusted: true,
                    nullable: tags.nullable,
                    untrusted: false,
                });
            }
            if tags.untrusted {
                if tags != (Tags { untrusted: true, ..none }) {
                    return reject!(
                        EINVAL,
                        "arg#{i} untrusted cannot be combined with any other tags"
                    );
                }
                if is_struct || pointee.as_ref().is_some_and(|p| p.kind == Kind::Union) {
                    let id = self.kernel_struct(i, pointee_name)?;
                    return Ok(SubprogArg::BtfId {
                        id,
                        trusted: false,
                        nullable: false,
                        untrusted: true,
                    });
                }
                return Ok(SubprogArg::Mem {
                    size: 0,
                    nullable: false,
                    rdonly: true,
                    untrusted: true,
                });
            }
            if tags.arena {
                if tags != (Tags { arena: true, ..none }) {
                    return reject!(EINVAL, "arg#{i} arena cannot be combined with any other tags");
                }
                return Ok(SubprogArg::Arena);
            }
            if global {
                if tags.nullable {
                    return invalid();
                }
                let size = pointee.as_ref().and_then(|p| btf.size_of(p.id).ok());
                let Some(size) = size else {
                    let kind = pointee.as_ref().map_or("UNKNOWN", |p| kind_name(p.kind));
                    return reject!(
                        EINVAL,
                        "arg#{i} reference type('{kind} {pointee_name}') size cannot be determined: -22"
                    );
                };
                return Ok(SubprogArg::Mem {
                    size,
                    nullable: !tags.nonnull,
                    rdonly: false,
                    untrusted: false,
                });
            }
        }
        if tags != none {
            return reject!(EINVAL, "arg#{i} has pointer tag, but is not a pointer type");
        }
        if is_number(&t) {
            return Ok(SubprogArg::Anything);
        }
        if !global {
            return reject!(EINVAL);
        }
        reject!(
            EINVAL,
            "Arg#{i} type {} in {name}() is not supported yet.",
            kind_name(t.kind)
        )
    }

    /// The pointer is the program type's context by name.
    fn is_ctx_type(&self, btf: &Btf, ptr: &Type<'_>) -> bool {
        let Some(prog_type) = self.prog.prog_type else { return false };
        let Some(mut t) = ptr.target().and_then(|id| btf.ty(id)) else { return false };
        // A typedef of the context counts where it has the user's name.
        while matches!(t.kind, Kind::Const | Kind::Volatile | Kind::Restrict | Kind::TypeTag) {
            match t.target().and_then(|id| btf.ty(id)) {
                Some(next) => t = next,
                None => return false,
            }
        }
        let names = ctx_names(prog_type);
        if t.kind == Kind::Typedef {
            let name = t.named().unwrap_or_default();
            if name == "bpf_user_pt_regs_t" && names.contains(&name) {
                return true;
            }
            return skip_modifiers(btf, t.id)
                .is_some_and(|s| s.kind == Kind::Struct && names.contains(&s.named().unwrap_or_default()));
        }
        t.kind == Kind::Struct && names.contains(&t.named().unwrap_or_default())
    }

    /// A pointer tagged as context must be one for this program type.
    fn check_ctx_tag(&self, btf: &Btf, ptr: &Type<'_>, i: usize) -> Checked {
        let _ = (btf, ptr, i);
        Ok(())
    }

    fn kernel_struct(&self, i: usize, name: &str) -> Checked<u32> {
        let Some(kernel) = &self.world.kernel_btf else {
            return Err(Reject::needs("kernel types without the kernel's BTF"));
        };
        let name = btf::essential_name(name);
        match kernel.find_by_name(name, Kind::Struct) {
            Some(id) => Ok(id.0),
            None => reject!(
                ENOENT,
                "arg#{i} BTF type not found in kernel BTF"
            ),
        }
    }

    /// The arguments of a call of a subprogram against its prototype.
    pub(crate) fn check_subprog_call(&mut self, subprog: usize) -> Checked {
        if self.prog.func_info.is_empty() {
            return reject!(EINVAL);
        }
        if self.subprogs[subprog].unreliable {
            return reject!(EINVAL);
        }
        let checked = self.match_args(subprog);
        if checked.is_err() {
            self.subprogs[subprog].unreliable = true;
        }
        if let Err(reject) = &checked
            && !self.subprogs[subprog].is_global
            && reject.feature().is_none()
        {
            // Optimised static functions need not match: Linux says what differs and goes on.
            for line in reject.lines() {
                say!(self, "{line}\n");
            }
        }
        checked
    }

    fn match_args(&mut self, subprog: usize) -> Checked {
        let args = self.subprog_args(subprog)?;
        for (i, arg) in args.iter().enumerate() {
            self.match_arg(i, arg)?;
        }
        Ok(())
    }

    fn match_arg(&mut self, i: usize, arg: &SubprogArg) -> Checked {
        let regno = i + 1;
        let reg = *self.reg(regno);
        match *arg {
            SubprogArg::Anything => {
                if !reg.is_scalar() {
                    return reject!(EINVAL, "R{regno} is not a scalar");
                }
            }
            SubprogArg::Ctx => {
                self.check_arg_off(&reg, regno)?;
                if !reg.is_kind(RegKind::Ctx) {
                    return reject!(EINVAL, "arg#{i} expects pointer to ctx");
                }
            }
            SubprogArg::Mem { untrusted: true, .. } => {}
            SubprogArg::Mem { size, nullable, .. } => {
                self.check_arg_off(&reg, regno)?;
                self.check_mem_reg(regno, size)
                    .map_err(|reject| reject.with_errno(Errno::EINVAL))?;
                if !nullable && reg.may_be_null() {
                    return reject!(EINVAL, "arg#{i} is expected to be non-NULL");
                }
            }
            SubprogArg::Arena => {
                if !reg.is_kind(RegKind::Arena) && !reg.is_scalar() {
                    return reject!(EINVAL, "R{regno} is not a pointer to arena or scalar.");
                }
            }
            SubprogArg::Dynptr => return Err(Reject::needs("dynptr arguments of functions")),
            SubprogArg::BtfId { .. } => {
                return Err(Reject::needs("kernel pointers as arguments of functions"));
            }
        }
        Ok(())
    }

    fn check_arg_off(&self, reg: &RegState, regno: usize) -> Checked {
        match reg.kind {
            RegKind::Stack
            | RegKind::Pkt
            | RegKind::PktMeta
            | RegKind::MapKey
            | RegKind::MapValue
            | RegKind::Mem
            | RegKind::Buf
            | RegKind::Scalar
            | RegKind::Arena => Ok(()),
            RegKind::BtfId => self.check_ptr_off(reg, regno, true),
            _ => self.check_ptr_off(reg, regno, false),
        }
    }

    /// The first frame of a global function verified on its own.
    pub(crate) fn global_frame(&mut self, subprog: usize) -> Checked<FuncState> {
        let args = self.subprog_args(subprog)?;
        let mut frame = FuncState::new(-1, 0, subprog as u32);
        if self.exception_callback == Some(subprog) {
            frame.callback = crate::state::Callback::Exception;
            if args != [SubprogArg::Anything] {
                return reject!(EINVAL, "exception cb only supports single integer argument");
            }
        }
        for (i, arg) in args.iter().enumerate() {
            frame.regs[i + 1] = match *arg {
                SubprogArg::Ctx => RegState::pointer(RegKind::Ctx),
                SubprogArg::Anything | SubprogArg::Arena => self.unknown_reg(),
                SubprogArg::Mem { size, nullable, rdonly, untrusted } => {
                    let mut flags = RegFlags::empty();
                    flags.set(RegFlags::MAYBE_NULL, nullable);
                    flags.set(RegFlags::RDONLY, rdonly);
                    flags.set(RegFlags::UNTRUSTED, untrusted);
                    RegState {
                        data: size,
                        id: if untrusted { 0 } else { self.new_id() },
                        ..RegState::pointer(RegKind::Mem)
                    }
                    .with(flags)
                }
                SubprogArg::Dynptr => return Err(Reject::needs("dynptr arguments of functions")),
                SubprogArg::BtfId { id, trusted, nullable, untrusted } => {
                    let mut flags = RegFlags::empty();
                    flags.set(RegFlags::MAYBE_NULL, nullable);
                    flags.set(RegFlags::TRUSTED, trusted);
                    flags.set(RegFlags::UNTRUSTED, untrusted);
                    RegState { data: id, id: self.new_id(), ..RegState::pointer(RegKind::BtfId) }
                        .with(flags)
                }
            };
        }
        Ok(frame)
    }
}

/// Names of the structure that programs of a type take.
fn ctx_names(prog_type: uapi::ProgType) -> &'static [&'static str] {
    use uapi::ProgType as P;
    match prog_type {
        P::SocketFilter
        | P::SchedCls
        | P::SchedAct
        | P::CgroupSkb
        | P::LwtIn
        | P::LwtOut
        | P::LwtXmit
        | P::LwtSeg6local
        | P::SkSkb => &["__sk_buff"],
        P::FlowDissector => &["__sk_buff"],
        P::Xdp => &["xdp_md"],
        P::CgroupSock => &["bpf_sock"],
        P::CgroupSockAddr => &["bpf_sock_addr"],
        P::SockOps => &["bpf_sock_ops"],
        P::SkMsg => &["sk_msg_md"],
        P::Kprobe => &["bpf_user_pt_regs_t", "pt_regs"],
        P::PerfEvent => &["bpf_perf_event_data"],
        P::RawTracepoint | P::RawTracepointWritable => &["bpf_raw_tracepoint_args"],
        P::CgroupDevice => &["bpf_cgroup_dev_ctx"],
        P::CgroupSysctl => &["bpf_sysctl"],
        P::CgroupSockopt => &["bpf_sockopt"],
        P::SkReuseport => &["sk_reuseport_md"],
        P::SkLookup => &["bpf_sk_lookup"],
        P::Netfilter => &["bpf_nf_ctx"],
        _ => &[],
    }
}

/// The type behind typedefs and qualifiers.
fn skip_modifiers(btf: &Btf, id: TypeId) -> Option<Type<'_>> {
    btf.resolved(id)
}

fn is_number(t: &Type<'_>) -> bool {
    matches!(t.kind, Kind::Int | Kind::Enum | Kind::Enum64)
}

/// Linux's name of a kind of type.
fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Int => "INT",
        Kind::Ptr => "PTR",
        Kind::Array => "ARRAY",
        Kind::Struct => "STRUCT",
        Kind::Union => "UNION",
        Kind::Enum => "ENUM",
        Kind::Fwd => "FWD",
        Kind::Typedef => "TYPEDEF",
        Kind::Func => "FUNC",
        Kind::FuncProto => "FUNC_PROTO",
        Kind::Float => "FLOAT",
        Kind::Enum64 => "ENUM64",
        _ => "UNKNOWN",
    }
}
