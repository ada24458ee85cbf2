//! `version`.

use btf::print::JsonText;

use crate::answer::{Answer, Done, Show};
use crate::session::Ctx;
use crate::words::Words;

/// `version`.
pub(crate) fn version(ctx: &Ctx<'_>, _: Words<'_>) -> Done {
    Ok(Answer::data(Version { name: ctx.options.name.clone() }))
}

/// The version that is followed, and what this command was built with.
struct Version {
    name: String,
}

/// The bpftool whose output is followed.
const BPFTOOL: &str = "7.8.0";
const LIBBPF: &str = "1.8";
/// Libraries of bpftool's that matter to what it can do, and whether the same can be done here.
const FEATURES: [(&str, bool); 5] = [
    ("libbfd", false),
    ("llvm", false),
    ("crypto", false),
    ("skeletons", true),
    ("bootstrap", false),
];

impl Show for Version {
    fn plain(&self, out: &mut Vec<u8>) {
        let features: Vec<_> = FEATURES.iter().filter(|f| f.1).map(|f| f.0).collect();
        let text = format!(
            "{} v{BPFTOOL}\nusing libbpf v{LIBBPF}\nfeatures: {}\n",
            self.name,
            features.join(", ")
        );
        out.extend_from_slice(text.as_bytes());
    }

    fn json(&self, out: &mut JsonText) {
        out.begin_object();
        out.name("version");
        out.string(BPFTOOL);
        out.name("libbpf_version");
        out.string(LIBBPF);
        out.name("features");
        out.begin_object();
        for (name, has) in FEATURES {
            out.name(name);
            out.raw(format_args!("{has}"));
        }
        out.end_object();
        out.end_object();
    }
}
