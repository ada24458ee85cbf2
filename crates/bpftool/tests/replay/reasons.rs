//! Why answers differ, by the beginning of the case's name; the first row that fits counts.

pub(crate) const HEAD: &str = "\
# The command line and bpftool's

Made by `BLESS=1 cargo test -p ring3-bpftool --test replay`, which runs every recorded command of
bpftool 7.8 (Linux 6.18, `facts/bpftool-golden`) in the recorded order on an empty target in its own
process, and fails when this table tells something else. Ids, times and addresses are left out of the
comparison, and so is the wording of help: ours comes from one table and says what each command does.

";

pub(crate) const TAIL: &str = "";

pub(crate) const REASONS: &[(&str, &str)] = &[];
