//! Calls: helpers and their arguments, context accesses, return values.
//!
//! Entry points for the walk: [`check_helper_call`], [`check_ctx_access`],
//! [`check_return_code`]. What an argument must be is data ([`uapi::HelperProto`]); this module
//! compares it with what registers hold.

mod arg;
mod btf_ids;
mod compat;
mod ctx;
mod ctx_btf;
mod ctx_type;
mod exit;
mod format;
mod helper;
mod kfunc;
mod kinds;
mod kptr;
mod lock;
mod ret;
mod special;
mod subprog;

pub(crate) use ctx::check_ctx_access;
pub(crate) use ctx_btf::{referenced_arguments, take_argument_references};
pub(crate) use exit::check_return_code;
pub(crate) use helper::{check_helper_call, helper_params};
pub(crate) use kfunc::check_kfunc_call;
pub(crate) use kinds::type_name;
pub(crate) use kptr::Kptr;
