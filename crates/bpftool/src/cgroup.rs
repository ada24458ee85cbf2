//! `cgroup …`: programs of control groups. Behind our doors none is attached to one.

use std::fs;

use uapi::Errno;

use crate::answer::{Answer, Done};
use crate::fail::Fail;
use crate::feature::attach_type_name;
use crate::net::Nothing;
use crate::options::Target;
use crate::session::Ctx;
use crate::table;
use crate::words::{Words, is_prefix};

/// Short names that programs' attach types had first.
const SHORT: [(&str, u32); 4] = [("ingress", 0), ("egress", 1), ("sock_ops", 3), ("device", 6)];
/// Attach types of other hooks begin at this number, but for a few.
const LAST: u32 = 53;

/// `cgroup show CGROUP [effective]`.
pub(crate) fn show(ctx: &Ctx<'_>, mut words: Words<'_>) -> Done {
    words.need(1)?;
    let group = words.take()?;
    open(group)?;
    effective(&mut words)?;
    query(ctx, group)?;
    Ok(Answer::data(Nothing))
}

/// `cgroup tree [CGROUP] [effective]`.
pub(crate) fn tree(ctx: &Ctx<'_>, mut words: Words<'_>) -> Done {
    if let Some(group) = words.peek().filter(|word| !is_prefix(word, "effective")) {
        words.next();
        open(group)?;
    }
    effective(&mut words)?;
    query(ctx, "")?;
    Ok(Answer::data(Nothing))
}

/// `cgroup attach CGROUP TYPE PROG [multi | override]`.
pub(crate) fn attach(_: &Ctx<'_>, mut words: Words<'_>) -> Done {
    if words.len() < 4 {
        return Err(Fail::new("too few parameters for cgroup attach"));
    }
    change(&mut words, "failed to attach program")
}

/// `cgroup detach CGROUP TYPE PROG`.
pub(crate) fn detach(_: &Ctx<'_>, mut words: Words<'_>) -> Done {
    if words.len() < 4 {
        return Err(Fail::new("too few parameters for cgroup detach"));
    }
    change(&mut words, "failed to detach program")
}

fn change(words: &mut Words<'_>, failed: &str) -> Done {
    open(words.take()?)?;
    let word = words.take()?;
    let of_group = |number: &u32| {
        attach_type_name(*number).is_some_and(|name| name.starts_with("cgroup_") && name == word)
    };
    let known = SHORT.iter().any(|row| row.0 == word) || (0..=LAST).any(|n| of_group(&n));
    if !known {
        return Err(Fail::new("invalid attach type"));
    }
    Err(Fail::new(failed))
}

fn open(group: &str) -> Result<(), Fail> {
    let there = fs::metadata(group).is_ok();
    if there { Ok(()) } else { Err(Fail::new(format!("can't open cgroup {group}"))) }
}

fn effective(words: &mut Words<'_>) -> Result<(), Fail> {
    words.eat("effective");
    if words.is_empty() { Ok(()) } else { Err(table::wrong_use("cgroup")) }
}

/// Linux's control groups are asked with BPF_PROG_QUERY, which no door has.
fn query(ctx: &Ctx<'_>, group: &str) -> Result<(), Fail> {
    if ctx.target() != Target::Linux && is_cgroup(group) {
        return Ok(());
    }
    let errno = if is_cgroup(group) { Errno::EOPNOTSUPP } else { Errno::EBADF };
    Err(Fail::of(format!("can't query bpf programs attached to {group}"), errno))
}

fn is_cgroup(group: &str) -> bool {
    group.is_empty() || fs::metadata(format!("{group}/cgroup.procs")).is_ok()
}
