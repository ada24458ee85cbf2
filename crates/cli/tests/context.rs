//! `ring3 run --ctx`: programs of every type on contexts by names.

mod common;

use std::sync::OnceLock;

use common::{have, json, ok, refused, ring3};
use serde_json::{Value, json};

/// Program, context, return value with what it means, and what else the answer must hold.
const RUNS: &[(&str, &str, i64, Value, &str)] = &[
    (
        "unlinkat",
        r#"{"dfd":-100,"name":{"name":"/tmp/x"}}"#,
        0,
        Value::Null,
        "unlinkat -100 /tmp/x",
    ),
    ("unlinkat", r#"{"di":5,"si":{}}"#, 0, Value::Null, "unlinkat 5 "),
    ("openat", r#"{"arg1":3,"arg2":"/etc/x","arg3":66}"#, 0, Value::Null, "openat 3 /etc/x 42"),
    ("length", r#"{"di":"A"}"#, 65, Value::Null, ""),
    ("length", r#"{"arg1":[66]}"#, 66, Value::Null, ""),
    ("enter", r#"{"id":257,"args":[-100,"/etc/y"]}"#, 0, Value::Null, "enter 257 /etc/y"),
    ("exec", r#"{"filename":"/bin/ls","pid":77}"#, 0, Value::Null, "exec 77 /bin/ls"),
    ("raw_switch", r#"{"prev":{"pid":1},"next":{"pid":2}}"#, 0, Value::Null, "switch 1 2"),
    (
        "typed_switch",
        r#"{"preempt":true,"next":{"pid":2,"comm":"bash","real_parent":{"pid":9}}}"#,
        1,
        Value::Null,
        "2 bash of 9",
    ),
    ("entry", r#"{"dfd":1,"name":{"name":"abc"}}"#, 0, Value::Null, "1 abc, 2 arguments"),
    ("entry", r#"[7,{"name":"d"}]"#, 0, Value::Null, "7 d, 2 arguments"),
    ("back", r#"{"dfd":1,"ret":-2}"#, 0, Value::Null, "1 gave -2"),
    ("tasks", r#"{"task":{"pid":5,"comm":"sh"}}"#, 0, Value::Null, ""),
];

fn answer(prog: &str, ctx: &str, more: &[&str]) -> Value {
    let args = ["run", object(), "--json", "--prog", prog, "--ctx", ctx];
    json(&ring3(args.iter().chain(more)))
}

/// The example, compiled once.
fn object() -> &'static str {
    static OBJECT: OnceLock<String> = OnceLock::new();
    OBJECT.get_or_init(|| {
        let path = std::env::temp_dir().join(format!("contexts-{}.o", std::process::id()));
        let path = path.to_str().expect("a path of text").to_owned();
        ok(&ring3(["compile", "contexts.bpf.c", "-o", &path]));
        path
    })
}

fn can_run() -> bool {
    let types = std::path::Path::new("/sys/kernel/btf/vmlinux").exists();
    if !types {
        println!("skipped: no BTF of the kernel");
    }
    types && have("clang-19")
}

#[test]
fn programs_of_tracing_see_their_arguments() {
    if !can_run() {
        return;
    }
    for (prog, ctx, retval, meaning, said) in RUNS {
        for engine in ["interp", "jit"] {
            let answer = answer(prog, ctx, &["--engine", engine]);
            assert_eq!(answer["retval"], *retval, "{prog} {ctx}");
            if !meaning.is_null() {
                assert_eq!(answer["meaning"], *meaning, "{prog} {ctx}");
            }
            let trace = answer["trace"].to_string();
            assert!(trace.contains(said), "{prog} {ctx}: {trace}");
        }
    }
    let written = answer("tasks", r#"{"task":{"pid":5,"comm":"sh"}}"#, &[]);
    // "5 sh\n"
    assert_eq!(written["data_out"], "352073680a");
}

#[test]
fn contexts_of_the_uapi_are_read_and_written() {
    if !can_run() {
        return;
    }
    let runs = [
        (
            "connect4",
            r#"{"user_ip4":"10.0.0.1","sk":{"mark":4}}"#,
            (1, "allow"),
            json!({"user_port": 0x901f}),
        ),
        ("connect4", r#"{"user_ip4":"10.0.0.2"}"#, (0, "deny"), json!({})),
        (
            "option",
            r#"{"optval":"hello","retval":-1}"#,
            (1, "allow"),
            json!({"retval": 0, "optval": "h!llo"}),
        ),
        ("device", r#"{"major":1,"minor":3}"#, (1, "allow"), json!({})),
        ("device", r#"{"major":1}"#, (0, "deny"), json!({})),
        ("sysctl", r#"{"write":1}"#, (0, "deny"), json!({"file_pos": 4})),
        ("message", r#"{"data":"hello"}"#, (1, "SK_PASS"), json!({})),
        ("message", r#"{"data":[1,2]}"#, (0, "SK_DROP"), json!({})),
        ("reuse", r#"{"data":"abc"}"#, (1, "SK_PASS"), json!({})),
        ("lookup", r#"{"local_port":80,"protocol":6}"#, (1, "SK_PASS"), json!({})),
        // The port's two bytes in network order, as 32 bits.
        ("verdict", r#"{"remote_port":"0xbb010000"}"#, (1, "SK_PASS"), json!({})),
        ("mark", r#"{"hash":41}"#, (2, "TC_ACT_SHOT"), json!({"mark": 42})),
        ("queue", r#"{"ingress_ifindex":5,"rx_queue_index":2}"#, (2, "XDP_PASS"), json!({})),
        ("queue", r#"{}"#, (1, "XDP_DROP"), json!({})),
        ("filter", r#"{"state":{"pf":2},"skb":{"len":99}}"#, (1, "NF_ACCEPT"), json!({})),
        ("filter", r#"{}"#, (0, "NF_DROP"), json!({})),
    ];
    for (prog, ctx, (retval, meaning), changed) in runs {
        let answer = answer(prog, ctx, &[]);
        assert_eq!(answer["retval"], retval, "{prog} {ctx}");
        assert_eq!(answer["meaning"], meaning, "{prog} {ctx}");
        assert_eq!(answer["ctx_out"], changed, "{prog} {ctx}");
    }
    let hook = answer("no_ptrace", r#"{"child":{"pid":7},"mode":2}"#, &[]);
    assert_eq!((&hook["retval"], &hook["meaning"]), (&json!(0xffff_fff3_u32), &json!("EACCES")));
    let plain = [
        ("sample", r#"{"ip":"0x400000","sample_period":11}"#, 11, json!({})),
        ("sample", r#"{"regs":{"ip":4194304},"sample_period":12}"#, 12, json!({})),
        ("ask", r#"{"number":41}"#, 41, json!({"answer": 42})),
        (
            "operations",
            r#"{"op":2,"remote_ip4":"1.2.3.4"}"#,
            1,
            json!({"args": [7, 0, 0, 0], "reply": 7, "replylong": [7, 0, 0, 0]}),
        ),
    ];
    for (prog, ctx, retval, changed) in plain {
        let answer = answer(prog, ctx, &[]);
        assert_eq!((&answer["retval"], &answer["ctx_out"]), (&json!(retval), &changed), "{prog}");
    }
}

#[test]
fn mistakes_in_a_context_are_one_precise_error() {
    if !can_run() {
        return;
    }
    let wrong = [
        (
            "ask",
            r#"{"numbre":1}"#,
            "ctx: no field 'numbre' in struct question (it has number, answer)",
        ),
        ("ask", r#"{"number":"one"}"#, "ctx.number: a text where a number is wanted"),
        (
            "ask",
            r#"{"number":2147483648}"#,
            "ctx.number: 2147483648 does not fit a signed number of 32 bits",
        ),
        ("ask", r#"{"answer":18446744073709551616}"#, "does not fit a signed number of 64 bits"),
        ("ask", r#"{"number":1.5}"#, "ctx.number: 1.5 does not fit"),
        ("ask", r#"{"number":"#, "the context is not JSON: EOF while parsing"),
        ("ask", "[1]", "ctx: a list where an object is wanted"),
        (
            "unlinkat",
            r#"{"dfx":1}"#,
            "ctx: no field 'dfx' in the registers (it has dfd, name, arg1 to arg6",
        ),
        (
            "unlinkat",
            r#"{"name":{"nane":"x"}}"#,
            "ctx.name: no field 'nane' in struct filename (it has name,",
        ),
        (
            "typed_switch",
            r#"{"next":{"comm":"much longer than 16"}}"#,
            "ctx.next.comm: 19 characters, room is for 16",
        ),
        (
            "typed_switch",
            r#"{"next":"bash"}"#,
            "ctx.next: a text where null, an object, a list or an address is wanted",
        ),
        (
            "entry",
            r#"{"dfd":1,"ret":0}"#,
            "ctx: no field 'ret' in the arguments (it has dfd, name, arg1, arg2)",
        ),
        ("connect4", r#"{"user_ip6":[1,2,3,4,5]}"#, "ctx.user_ip6: 5 elements, room is for 4"),
        ("connect4", r#"{"sk":{"mark":-1}}"#, "ctx.sk.mark: -1 does not fit a number of 32 bits"),
        ("option", r#"{"optval":[256]}"#, "ctx.optval[0]: 256 does not fit a number of 8 bits"),
        ("enter", r#"{"args":[1,2,3,4,5,6,7]}"#, "ctx.args: 7 elements, room is for 6"),
    ];
    for (prog, ctx, message) in wrong {
        let output = ring3(["run", object(), "--prog", prog, "--ctx", ctx]);
        let said = refused(&output, 1);
        assert!(said.contains(message), "{prog} {ctx}: {said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[test]
fn loaded_programs_run_on_contexts_too() {
    if !can_run() {
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path.display().to_string()
    };
    let asked = write("ask.json", r#"{"number":4}"#);
    let child = write("child.json", r#"{"child":{"pid":7},"mode":2}"#);
    // struct bpf_cgroup_dev_ctx: any access, major 1, minor 3.
    let device = write("device.bin", "\0\0\0\0\x01\0\0\0\x03\0\0\0");
    let batch = write(
        "batch",
        &format!(
            "prog loadall {} /sys/fs/bpf/c\nprog run name ask ctx_json {asked}\n\
             prog run name no_ptrace ctx_json {child}\nprog run name device ctx_in {device}\n",
            object()
        ),
    );
    let said = ok(&ring3(["--target", "memory", "batch", "file", &batch]));
    let lines: Vec<&str> =
        said.lines().map(|line| line.split(", dur").next().unwrap_or("")).collect();
    let expected = [
        "Return value: 4",
        "Changed: {\"answer\":5}",
        "Return value: 4294967283 (EACCES)",
        "Changed: {}",
        "Return value: 1 (allow)",
        "Changed: {}",
        "processed 4 commands",
    ];
    assert_eq!(lines, expected);
    let wrong = write("wrong.json", r#"{"numbr":4}"#);
    let batch = write(
        "batch",
        &format!("prog loadall {} /sys/fs/bpf/c\nprog run name ask ctx_json {wrong}\n", object()),
    );
    let output = ring3(["--target", "memory", "batch", "file", &batch]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("ctx: no field 'numbr' in struct question"), "{said}");
}
