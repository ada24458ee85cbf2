//! freplace: extensions take the place of functions of a loaded program and give them back.
//!
//! Messages are those of Linux 6.18's `bpf_check_attach_target` and `btf_check_func_type_match`; the
//! kernel that the tests run on refuses to load such programs.

use std::path::{Path, PathBuf};

use ring3::load::{self, Fds};
use ring3::{CompileError, Config, Engine, Error, Machine, Object};
use runtime::door::{AttachTo, Bpf, Fd, LinkCreate, TestRun};
use uapi::Errno;

fn open(name: &str) -> Option<Object> {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/objects").join(name);
    match Object::open(path) {
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

fn run(door: &dyn Bpf, prog: Fd) -> u32 {
    let request = TestRun { data_in: Some(vec![0; 64]), ..TestRun::default() };
    door.test_run(prog, &request).expect("a run").retval
}

fn attach(door: &dyn Bpf, prog: Fd) -> Result<Fd, Errno> {
    door.link_create(&LinkCreate { prog, ..LinkCreate::default() })
}

fn only(fds: &Fds) -> Fd {
    fds.programs.iter().flatten().copied().next().expect("a program")
}

#[test]
fn functions_are_replaced_and_come_back() {
    let (Some(target), Some(extensions)) = (open("dispatch.bpf.c"), open("extend.bpf.c")) else {
        return;
    };
    for engine in [Engine::Interp, Engine::best()] {
        let machine = Machine::with(Config { engine, ..Config::default() });
        let door = machine.door();
        let fds = load::load(door, &target, None).expect("the target");
        let main = only(&fds);
        let one = |name| load::load_extending(door, &extensions, Some(name), main).expect(name);
        assert_eq!(run(door, main), 10 + 6);

        let first = one("new_first");
        let link = attach(door, only(&first)).expect("an attachment");
        assert_eq!(run(door, main), 1000 + 6, "{engine}");
        // It counted in a map of its own.
        let mut sum = [0; 8];
        door.map_lookup(first.maps[0], &[0; 4], &mut sum, 0).expect("a lookup");
        assert_eq!(u64::from_ne_bytes(sum), 64);
        assert_eq!(attach(door, only(&first)), Err(Errno::EINVAL), "its target is used up");
        assert_eq!(attach(door, only(&one("new_first"))), Err(Errno::EBUSY));

        let second = attach(door, only(&one("new_second"))).expect("an attachment");
        assert_eq!(run(door, main), 1000 + 35);
        let whole = attach(door, only(&one("new_main"))).expect("an attachment");
        assert_eq!(run(door, main), 4);
        door.close(link).expect("a link");
        assert_eq!(run(door, main), 4);
        door.close(whole).expect("a link");
        assert_eq!(run(door, main), 10 + 35);
        door.close(second).expect("a link");
        assert_eq!(run(door, main), 10 + 6);

        // Where the caller says, as often as it likes.
        let id = load::function_of(door, main, "first").expect("a function");
        let to = AttachTo::Function { prog: main, btf_id: id };
        let request = LinkCreate { prog: only(&first), to, ..LinkCreate::default() };
        let link = door.link_create(&request).expect("an attachment");
        assert_eq!(run(door, main), 1000 + 6);
        door.close(link).expect("a link");
        let id = load::function_of(door, main, "second").expect("a function");
        let to = AttachTo::Function { prog: main, btf_id: id };
        let request = LinkCreate { prog: only(&first), to, ..LinkCreate::default() };
        assert_eq!(door.link_create(&request), Err(Errno::EINVAL), "another prototype");
    }
}

#[test]
fn other_prototypes_are_refused_in_linux_s_words() {
    let (Some(target), Some(extensions)) = (open("dispatch.bpf.c"), open("extend.bpf.c")) else {
        return;
    };
    let machine = Machine::new();
    let door = machine.door();
    let fds = load::load(door, &target, None).expect("the target");
    let rows = [
        ("other_argument", "arg0 in other_argument() has size 8 while second() has 4"),
        ("another_result", "arg0 in another_result() is PTR while second() has INT"),
        ("more_arguments", "more_arguments() has 2 args while second() has 1 args"),
        ("of_a_static_function", "Cannot replace static functions"),
    ];
    for (name, message) in rows {
        match load::load_extending(door, &extensions, Some(name), only(&fds)) {
            Err(Error::Rejected(why)) => {
                assert_eq!((why.errno, why.message.as_str()), (Errno::EINVAL, message));
            }
            other => panic!("{name}: {other:?}"),
        }
    }
    match load::load(door, &extensions, Some("new_second")) {
        Err(Error::Rejected(why)) => {
            assert_eq!(why.message, "Tracing programs must provide btf_id");
        }
        other => panic!("{other:?}"),
    }
}
