//! Lines of the walk: instructions with what they changed, source lines, jumps, statistics.

use isa::Op;
use isa::disasm::kernel;

use super::say;
use crate::env::{Env, InsnAux};
use crate::event::Note;
use crate::passes::LogNames;
use crate::walk::NO_INSN;

/// Column at which states begin, and the step by which it moves right.
const COLUMN: usize = 40;
const STEP: usize = 8;

impl Env<'_> {
    /// One instruction, opcode first.
    pub(crate) fn insn_text(&self, at: usize) -> String {
        kernel(&self.prog.insns, at, &LogNames { env: self })
    }

    /// Before an instruction: where the path came from, what changed, the source, the instruction.
    pub(crate) fn print_before(&mut self, print_state: &mut bool) {
        if self.log.all_paths() && *print_state {
            let text = self.origin_text();
            let state = self.frame_text(&self.state, self.state.curframe(), true);
            self.log.say(&Note::From { origin: &text, state: &state });
            *print_state = false;
        }
        self.print_scratched();
        let at = self.insn_idx;
        self.say_source_line(at);
        self.log.insn_print_start = self.log.text.len();
        let text = self.insn_text(at);
        self.log.put(format_args!("{at}: {text}\n"));
        self.log.insn_print_end = self.log.text.len();
    }

    /// `from 4 to 7:` with the line break before it.
    pub(crate) fn origin_text(&self) -> String {
        let from = if self.prev_insn_idx == NO_INSN { -1 } else { self.prev_insn_idx as i64 };
        let how = if self.state.speculative { " (speculative execution)" } else { "" };
        format!("\nfrom {from} to {}{how}:", self.insn_idx)
    }

    fn print_scratched(&mut self) {
        if self.log.scratched_regs != 0 || self.log.scratched_slots != 0 {
            self.print_insn_state();
        }
    }

    /// What the instruction changed, beside it if nothing was said since.
    pub(crate) fn print_insn_state(&mut self) {
        if !self.log.on() {
            return;
        }
        let end = self.log.insn_print_end;
        if end != 0 && end == self.log.text.len() {
            let width = end - self.log.insn_print_start;
            let column = (width + STEP / 2).max(COLUMN).next_multiple_of(STEP);
            self.log.text.pop();
            let pad = column - width - 1;
            self.log.put(format_args!("{:pad$};", " "));
        } else {
            self.log.put(format_args!("{}:", self.insn_idx));
        }
        let text = self.frame_text(&self.state, self.state.curframe(), false);
        say!(self, Note::State { text: &text });
        (self.log.scratched_regs, self.log.scratched_slots) = (0, 0);
    }

    /// All of one frame of the current path.
    pub(crate) fn print_frame(&mut self, n: usize, all: bool) {
        let text = self.frame_text(&self.state, n, all);
        say!(self, Note::State { text: &text });
    }

    /// The source line of an instruction, once until it changes.
    pub(crate) fn say_source_line(&mut self, at: usize) {
        if !self.log.on() {
            return;
        }
        let lines = &self.prog.line_info;
        let Some(n) = lines.partition_point(|l| l.insn_off as usize <= at).checked_sub(1) else {
            return;
        };
        let (line, before) = (lines[n], self.log.last_line.map(|n| lines[n]));
        let same = before.is_some_and(|before| {
            before.file_name_off == line.file_name_off
                && before.line_col >> 10 == line.line_col >> 10
        });
        let Some(btf) = self.prog.btf.as_ref().filter(|_| !same) else { return };
        let text = btf.string(line.line_off).unwrap_or_default().trim_start().to_owned();
        let file = btf.string(line.file_name_off).unwrap_or_default();
        let file = file.rsplit('/').next().unwrap_or_default().to_owned();
        say!(self, Note::Source { text: &text, file: &file, line: line.line_col >> 10 });
        self.log.last_line = Some(n);
    }

    /// Stack of a subprogram as compiled: `may_goto` keeps its budget there, and a loop of
    /// bpf_loop that is compiled in place three registers.
    fn depth_text(&self, sub: &crate::env::Subprog) -> String {
        const BUDGET: i32 = 16;
        const LOOP: i32 = 3 * 8;
        let any = |has: fn(&InsnAux, Option<Op>) -> bool| {
            (sub.start..sub.end).any(|at| self.aux[at].seen && has(&self.aux[at], self.ops[at]))
        };
        let mut depth = sub.stack_depth;
        if any(|_, op| matches!(op, Some(Op::MayGoto { off }) if off != 0)) {
            depth += BUDGET;
        }
        if any(|aux, _| aux.loop_inline.flatten().is_some()) {
            depth = (depth + 7) / 8 * 8 + LOOP;
        }
        depth.to_string()
    }

    /// The last lines of every log. An accepted program's stack is shown as compiled.
    pub(crate) fn print_statistics(&mut self, accepted: bool) {
        let stats = self.stats;
        if self.log.level & super::STATS != 0 {
            let compiled = accepted && self.caps.bpf_capable;
            let kept = |s: &&crate::env::Subprog| {
                !compiled || self.aux[s.start..s.end].iter().any(|aux| aux.seen)
            };
            let depth = |s: &crate::env::Subprog| match compiled {
                true => self.depth_text(s),
                false => s.stack_depth.to_string(),
            };
            let mut depths: Vec<String> = self.subprogs.iter().filter(kept).map(depth).collect();
            if depths.is_empty() {
                depths.push("0".to_owned());
            }
            self.log.put(format_args!(
                "verification time {} usec\nstack depth {}\n",
                stats.time.as_micros(),
                depths.join("+")
            ));
        }
        if self.log.level != 0 {
            self.log.put(format_args!(
                "processed {} insns (limit 1000000) max_states_per_insn {} total_states {} \
                 peak_states {} mark_read 0\n",
                stats.processed_insns,
                stats.max_states_per_insn,
                stats.total_states,
                stats.peak_states
            ));
        }
    }
}
