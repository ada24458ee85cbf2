//! Runs that no kernel offers: on a context by names (`ctx_json`), and on the bytes of contexts that
//! Linux does not take.

use ring3::context::{Given, Subject, linux_runs, meaning};
use runtime::door::{Fd, TestRun};
use uapi::ProgType;

use super::{Asked, Ran, output};
use crate::answer::{Answer, Done};
use crate::btf_cmd;
use crate::fail::Fail;
use crate::options::Target;
use crate::session::Ctx;

/// What a context for the program is made of.
fn subject(ctx: &Ctx<'_>, prog: Fd) -> Result<Subject, Fail> {
    let info = ctx.door()?.prog_info(prog);
    let info = info.map_err(|errno| Fail::errno("failed to run program", errno))?;
    let own = if info.btf_id == 0 { None } else { Some(btf_cmd::by_id(ctx, info.btf_id)?) };
    Ok(Subject {
        prog_type: ProgType::from_raw(info.prog_type).unwrap_or(ProgType::SocketFilter),
        attach_type: info.attach_type,
        attach_btf_id: info.attach_btf_id,
        section: String::new(),
        function: info.func_info.first().map(|func| btf::TypeId(func.type_id)),
        own,
        kernel: ctx.kernel().types().ok(),
    })
}

/// Whether the bytes of a context are taken here, and by Linux for no program of this type.
pub(super) fn beyond_linux(ctx: &Ctx<'_>, prog: Fd) -> Result<bool, Fail> {
    if ctx.target() == Target::Linux {
        return Ok(false);
    }
    let subject = subject(ctx, prog)?;
    Ok(!linux_runs(subject.prog_type, subject.attach_type))
}

pub(super) fn on_bytes(ctx: &Ctx<'_>, prog: Fd, asked: &Asked<'_>, bytes: &[u8]) -> Done {
    let subject = subject(ctx, prog)?;
    let given = Given::bytes(&subject, bytes).map_err(|why| Fail::new(why.to_string()))?;
    run(ctx, prog, asked, &subject, &given, None)
}

pub(super) fn on_json(
    ctx: &Ctx<'_>,
    prog: Fd,
    asked: &Asked<'_>,
    data: Option<Vec<u8>>,
    json: &[u8],
) -> Done {
    if ctx.target() == Target::Linux {
        return Err(Fail::new("ctx_json: Linux runs programs on no context by names"));
    }
    let subject = subject(ctx, prog)?;
    let json = std::str::from_utf8(json).map_err(|_| Fail::new("ctx_json: not UTF-8"))?;
    let given = Given::new(&subject, json, data.as_deref());
    let given = given.map_err(|why| Fail::new(why.to_string()))?;
    run(ctx, prog, asked, &subject, &given, data)
}

fn run(
    ctx: &Ctx<'_>,
    prog: Fd,
    asked: &Asked<'_>,
    subject: &Subject,
    given: &Given,
    data: Option<Vec<u8>>,
) -> Done {
    let request = TestRun { repeat: asked.repeat, ..given.request(subject, data.as_deref()) };
    let ran = ctx.door()?.test_run(prog, &request);
    let mut ran = ran.map_err(|errno| Fail::errno("failed to run program", errno))?;
    let changed = given.changed(&ran.ctx_out);
    ran.ctx_out = given.context(&ran.ctx_out).to_vec();
    let data = output("data_out", asked.data_out, &ran.data_out)?;
    let bytes = output("ctx_out", asked.ctx_out, &ran.ctx_out)?;
    let meaning = meaning(subject.prog_type, subject.attach_type, ran.retval);
    Ok(Answer::data(Ran {
        data,
        ctx: bytes,
        changed: Some((changed, meaning)),
        average: asked.repeat > 1,
        out: ran,
    }))
}
