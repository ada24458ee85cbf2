//! The parity documents say what is true, and the running kernel still answers as recorded.

use testkit::parity::{self, Asked, Case, TABLES, Table};

#[test]
fn documents_are_true() {
    for table in TABLES {
        let runtime = parity::ours();
        let asked = Asked::ring3(&runtime).unwrap_or_else(|why| panic!("{why}"));
        let cases = (table.replay)(&asked).unwrap_or_else(|why| panic!("{why}"));
        let path = parity::document(&parity::root(), table);
        let known = std::fs::read_to_string(&path).unwrap_or_default();
        let now = parity::markdown(table, &cases);
        assert!(known == now, "{}: run cargo xtask parity\n{}", path.display(), differing(&cases));
    }
}

#[test]
fn the_running_kernel_answers_as_recorded() {
    let linux = match syscall::Linux::probe() {
        Ok(linux) => linux,
        Err(errno) => {
            eprintln!("skipped: no bpf(2) here ({errno})");
            return;
        }
    };
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    if !release.starts_with("6.18.") {
        eprintln!("skipped: the records are of Linux 6.18, this is {}", release.trim());
        return;
    }
    let asked = match Asked::linux(&linux) {
        Ok(asked) => Asked { every: 11, ..asked },
        Err(why) => {
            eprintln!("skipped: {why}");
            return;
        }
    };
    for table in TABLES.iter().filter(|table| table.on_kernel) {
        let cases = (table.replay)(&asked).unwrap_or_else(|why| panic!("{why}"));
        assert!(cases.iter().all(Case::passes), "{}", differing(&cases));
        told(table, &cases);
    }
}

fn told(table: &Table, cases: &[Case]) {
    eprintln!("{}: {} rows", table.name, cases.len());
}

fn differing(cases: &[Case]) -> String {
    let wrong = cases.iter().filter(|case| !case.passes());
    wrong.map(|c| format!("{} {}: {} for {}\n", c.subject, c.what, c.got, c.want)).collect()
}
