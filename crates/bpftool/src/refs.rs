//! What refers to an object: its pins, where they were asked for, and the processes that hold it.

use btf::print::JsonText;
use runtime::door::{Holder, ObjKind};

use crate::fail::Fail;
use crate::pins;
use crate::prog::{number, string, strings};
use crate::session::Ctx;

/// All references to objects of one kind.
pub(crate) struct Refs {
    pins: Vec<(String, u32)>,
    holders: Vec<Holder>,
}

impl Refs {
    pub(crate) fn find(ctx: &Ctx<'_>, kind: ObjKind) -> Result<Refs, Fail> {
        let pins = if ctx.options.bpffs { pins::all(ctx, kind)? } else { Vec::new() };
        // A target that cannot tell shows nobody.
        let mut holders = ctx.door()?.holders().unwrap_or_default();
        holders.retain(|held| held.kind == kind);
        Ok(Refs { pins, holders })
    }

    /// Those to one object.
    pub(crate) fn of(&self, id: u32) -> Ref {
        let pins = self.pins.iter().filter(|pin| pin.1 == id).map(|pin| pin.0.clone()).collect();
        let holders = self.holders.iter().filter(|held| held.id == id).cloned().collect();
        Ref { pins, holders }
    }
}

/// References to one object.
pub(crate) struct Ref {
    pins: Vec<String>,
    holders: Vec<Holder>,
}

impl Ref {
    /// A line of its own for each pin, begun but not ended.
    pub(crate) fn pins_text(&self) -> String {
        self.pins.iter().map(|pin| format!("\n\tpinned {pin}")).collect()
    }

    /// One line for all processes, begun but not ended.
    pub(crate) fn pids_text(&self) -> String {
        let all: Vec<_> =
            self.holders.iter().map(|held| format!("{}({})", held.comm, held.pid)).collect();
        if all.is_empty() { String::new() } else { format!("\n\tpids {}", all.join(", ")) }
    }

    pub(crate) fn pins_json(&self, out: &mut JsonText) {
        strings(out, "pinned", &self.pins);
    }

    pub(crate) fn pids_json(&self, out: &mut JsonText) {
        if self.holders.is_empty() {
            return;
        }
        out.name("pids");
        out.begin_array();
        for held in &self.holders {
            out.begin_object();
            number(out, "pid", held.pid);
            string(out, "comm", &held.comm);
            out.end_object();
        }
        out.end_array();
    }
}
