//! The objects of Debian's libbpf-tools and xdp-tools: the running kernel's verdict on every program
//! that it judges.

use ring3::{Kernel, Object, Verifier};
use syscall::Linux;
use testkit::oracle::{Answer, ask, verdict};
use testkit::packaged;
use uapi::Errno;

/// Linux refuses the type here before it verifies, whatever the program.
fn is_unjudged(theirs: &Answer) -> bool {
    theirs.errno == Some(Errno::EPERM)
}

#[test]
fn packaged_tools_get_linux_s_verdict() {
    let Ok(linux) = Linux::probe() else {
        eprintln!("skipped: no bpf(2) here");
        return;
    };
    let objects = packaged::objects();
    if objects.is_empty() {
        eprintln!("skipped: no tools with BPF objects here (packages libbpf-tools, xdp-tools)");
        return;
    }
    let kernel = Kernel::running();
    let verifier = Verifier { kernel_btf: kernel.types().ok(), ..Verifier::default() };
    let (mut judged, mut wrong) = (0, Vec::new());
    for (name, bytes) in &objects {
        let mut object = Object::parse(name, bytes).unwrap_or_else(|e| panic!("{name}: {e}"));
        // Some name functions or types that this kernel lacks: their tools load them conditionally.
        if object.resolve(&kernel).is_err() {
            continue;
        }
        for program in &object.spec().programs {
            // A map that the tool sizes at run time cannot be made as it stands.
            let Ok(theirs) = ask(&linux, &object, &program.name, &[]) else { continue };
            if is_unjudged(&theirs) {
                continue;
            }
            judged += 1;
            let ours = verdict(&verifier, &object, program);
            if (ours.errno, &ours.message) != (theirs.errno, &theirs.message) {
                wrong.push(format!("{name}: {}: {ours:?}; Linux {theirs:?}", program.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {judged} programs:\n{}", wrong.len(), wrong.join("\n"));
    println!("{judged} programs of {} objects", objects.len());
}
