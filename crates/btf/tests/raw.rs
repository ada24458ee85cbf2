//! Raw dumps against the installed bpftool, on the kernel's BTF and on clang's objects.

mod common;

use btf::print::{Form, JsonText};
use btf::{Btf, raw};

fn compare(btf: &Btf, path: &str) {
    let json = |form| {
        let mut out = JsonText::new(form);
        raw::dump_json(btf, &mut out);
        out.into_string()
    };
    let ours = [raw::dump(btf), json(Form::COMPACT), json(Form::PRETTY)];
    for (ours, mode) in ours.iter().zip([None, Some("-j"), Some("-p")]) {
        let args: Vec<&str> = mode.into_iter().chain(["btf", "dump", "file", path]).collect();
        let Some(theirs) = common::bpftool(&args) else { return };
        let differs = ours.trim_end().lines().zip(theirs.trim_end().lines()).find(|(a, b)| a != b);
        if let Some((ours, theirs)) = differs {
            let at = ours.bytes().zip(theirs.bytes()).take_while(|(a, b)| a == b).count();
            let show =
                |text: &str| text.chars().skip(at.saturating_sub(60)).take(160).collect::<String>();
            panic!("{path} {mode:?}\nours   {}\ntheirs {}", show(ours), show(theirs));
        }
        assert_eq!(ours.trim_end().len(), theirs.trim_end().len(), "{path} {mode:?}");
    }
}

#[test]
fn vmlinux_as_bpftool_dumps_it() {
    let Some(bytes) = common::vmlinux() else { return };
    compare(&Btf::parse(&bytes).expect("the kernel's own BTF"), "/sys/kernel/btf/vmlinux");
}

#[test]
fn objects_as_bpftool_dumps_them() {
    for path in common::objects() {
        let Some(bytes) = common::section(&path, ".BTF") else { continue };
        let btf = Btf::parse(&bytes).expect("clang's BTF");
        compare(&btf, path.to_str().expect("UTF-8 path"));
    }
}
