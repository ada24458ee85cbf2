//! Programs on arenas, in both engines and in the running kernel.

use std::path::Path;

use ring3::load;
use ring3::{CompileError, Config, Engine, Error, Kernel, Machine, Object};
use runtime::door::{Bpf, TestRun};

/// The object for the kernel that the tests run on, whose functions it calls.
fn open(kernel: &Kernel) -> Option<Object> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/objects/arena.bpf.c");
    let opened = Object::open_for(&path, kernel).and_then(|mut object| {
        object.resolve(kernel)?;
        Ok(object)
    });
    match opened {
        Ok(object) => Some(object),
        Err(Error::Compile(
            error @ (CompileError::NoClang { .. } | CompileError::Refused { .. }),
        )) => {
            eprintln!("skipped: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// What both programs return, and what they noted: eight numbers.
fn run(door: &dyn Bpf, object: &Object) -> Result<(Vec<u32>, Vec<u64>), Error> {
    let fds = load::load(door, object, None)?;
    let run = |fd: &Option<_>| {
        door.test_run(fd.expect("loaded"), &TestRun::default()).expect("a run").retval
    };
    let returned = fds.programs.iter().map(run).collect();
    let results = object.spec().maps.iter().position(|map| map.name.ends_with(".bss"));
    let mut value = vec![0; 64];
    door.map_lookup(fds.maps[results.expect("results")], &[0; 4], &mut value, 0).expect("a lookup");
    load::close(door, &fds);
    let words = value.chunks_exact(8).map(|word| u64::from_ne_bytes(word.try_into().expect("8")));
    Ok((returned, words.collect()))
}

#[test]
fn arenas_are_what_they_are_in_the_kernel() {
    let kernel = Kernel::running();
    let Ok(types) = kernel.types() else {
        eprintln!("skipped: no types of the kernel");
        return;
    };
    let Some(object) = open(&kernel) else { return };
    // The sum of squares below 10, of -i, the addition, nothing beyond and nothing when freed.
    let want = (vec![0, 0], vec![1, 128, 285, -45i64 as u64, 5, 0, 0, 0]);
    for engine in [Engine::Interp, Engine::best()] {
        let config = Config { engine, kernel_btf: Some(types.clone()), ..Config::default() };
        let machine = Machine::with(config);
        assert_eq!(run(machine.door(), &object).expect("accepted programs"), want, "{engine}");
    }
    match syscall::Linux::probe() {
        Ok(linux) => assert_eq!(run(&linux, &object).expect("accepted programs"), want, "Linux"),
        Err(errno) => eprintln!("skipped: no bpf(2) here ({errno})"),
    }
}
