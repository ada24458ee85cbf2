//! Passes over the whole program before the walk, in Linux's order.
//!
//! [`run`] fills [`Env`] with what they find: subprograms, resolved maps, attach target, prune
//! points, loops, live registers, decoded operations. What is wrong with a single operation is
//! left to the walk where Linux leaves it there.

mod attach;
mod attr;
mod btf_info;
mod cfg;
mod extension;
mod fastcall;
mod fields;
mod graph;
mod kfuncs;
mod live;
mod maps;
mod resolve;
pub(crate) mod stack_depth;
mod subprogs;

use crate::env::Env;
use crate::error::Checked;

pub(crate) use attach::Attach;
pub(crate) use btf_info::decl_tags;
pub(crate) use cfg::changes_packet;
pub use extension::extends;
pub(crate) use fields::{KERNEL_BTF, MapFields, PROG_BTF, ValueFields, btf_numbered};
pub(crate) use graph::successors;
pub(crate) use kfuncs::{KfuncDesc, Special};
pub(crate) use live::LogNames;

/// What BPF_PROG_LOAD checks before it calls the verifier; Linux gives no text.
pub(crate) use attr::check_attributes;

/// Everything before the walk.
pub(crate) fn run(env: &mut Env<'_>) -> Checked {
    env.variant = attach::variant(env);
    env.map_fields = fields::of_maps(env.prog, env.world);
    btf_info::check_early(env)?;
    subprogs::add(env)?;
    subprogs::check(env)?;
    btf_info::check(env)?;
    resolve::resolve(env)?;
    decode(env);
    cfg::check(env)?;
    graph::postorder(env);
    attach::check(env)?;
    graph::components(env);
    live::compute(env);
    fastcall::mark(env);
    Ok(())
}

/// Keeps each operation that is well formed; the walk asks again why another is not.
fn decode(env: &mut Env<'_>) {
    let insns = &env.prog.insns;
    let mut pc = 0;
    while pc < insns.len() {
        env.ops[pc] = isa::decode(insns, pc).ok();
        if insns[pc].is_ld_imm64() {
            pc += 1;
            if pc < insns.len() {
                env.aux[pc].is_ld_imm64_tail = true;
            }
        }
        pc += 1;
    }
}
