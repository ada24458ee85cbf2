//! Networks: `ring3 run PROGRAMS --dev eth0 -- COMMAND`, `ring3 net exec`, `ring3 tc`.

mod exec;
mod tc;

use std::io::{BufWriter, Write};

use ring3::net::{self, Child, Command, HOST, Net};
use ring3::{Config, Machine, Object};

pub(crate) use exec::exec;
pub(super) use tc::tc;

use super::live::{Show, maps};
use crate::failure::Failure;
use crate::plan::{NetWork, RunPlan};
use crate::printer::{self, Live as Printer};

/// Time between two looks at what programs have to say, in milliseconds.
const LOOK: i32 = 20;

/// Runs the command in its network; its exit status.
pub(super) fn run(plan: &RunPlan, work: &NetWork, out: &mut dyn Write) -> Result<u8, Failure> {
    let kernel = plan.kernel.open();
    let mut object = Object::open_for(&plan.file, &kernel)?;
    printer::warnings(object.warnings());
    if !plan.prog.is_empty() {
        object.keep_programs(&plan.prog)?;
    }
    for (name, value) in &plan.set {
        object.set_variable(name, value)?;
    }
    net::check(&object, &work.net)?;
    object.resolve(&kernel)?;
    let mut config = Config::default();
    if object.needs_kernel_btf() {
        config.kernel_btf = Some(kernel.types()?);
    }
    config.engine = plan.engine.unwrap_or(config.engine);
    let machine = Machine::with(config);
    let loaded = machine.load(&object)?;
    printer::warnings(&machine.take_jit_dump());
    let net = Net::start(&loaded, &work.net)?;
    let mut file = match &work.output {
        Some(path) => {
            let file = std::fs::File::create(path);
            let wrong = |error| Failure::unusable(format!("{}: {error}", path.display()));
            Some(BufWriter::new(file.map_err(wrong)?))
        }
        None => None,
    };
    let out: &mut dyn Write = match &mut file {
        Some(file) => file,
        None => out,
    };
    let mut show = Show {
        records: net.records()?,
        machine: &machine,
        printer: Printer::new(plan.json, out),
        unshown: false,
        failed: None,
    };
    let status = follow(&net, work, &mut show)?;
    let (verdicts, report) = net.end()?;
    show.show(true)?;
    show.printer.verdicts(&verdicts, &report)?;
    maps(plan, &loaded, &mut show.printer)?;
    show.printer.flush()?;
    Ok(status)
}

/// Runs the commands until the one of the user's has ended.
fn follow(net: &Net<'_>, work: &NetWork, show: &mut Show<'_>) -> Result<u8, Failure> {
    let shell = |text: &String| Command { argv: vec!["/bin/sh".into(), "-c".into(), text.into()] };
    let others: Vec<Child> = work
        .on
        .iter()
        .map(|(host, text)| net.spawn(host, &shell(text)))
        .collect::<Result<_, _>>()?;
    net::leave_signals();
    let child = net.spawn(HOST, &Command { argv: work.command.clone() })?;
    let status = loop {
        if let Some(status) = child.wait_for(LOOK)? {
            break status;
        }
        show.show(true)?;
    };
    // They end with the network.
    others.iter().for_each(Child::kill);
    Ok(status)
}
