//! Reading a folder of recorded verdicts.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use btf::Btf;
use isa::Insn;
use serde::Deserialize;
use uapi::{MapDef, MapType, ProgType};
use verifier::{FuncInfo, LineInfo, MapInfo, Policy, Program, World};

/// One load and the kernel's answer.
#[derive(Debug, Deserialize)]
pub struct Case {
    /// Collection.
    pub set: String,
    /// Source file, without suffix.
    pub file: String,
    /// Program in it.
    pub program: String,
    /// `all`, or the capabilities held.
    pub caps: String,
    /// `accept` or `reject`.
    pub verdict: String,
    /// Positive, 0 for accepted.
    pub errno: i32,
    /// Instructions the kernel walked; -1 where it did not say.
    pub processed_insns: Option<i64>,
    /// Log at level 1 (+4).
    pub log: Option<String>,
    /// Log at level 2 (+4), where it was kept.
    pub log_level2: Option<String>,
    /// Microseconds the kernel took.
    pub kernel_time_us: Option<i64>,
    prog_type: u32,
    expected_attach_type: u32,
    prog_flags: u32,
    attach_btf_id: u32,
    license_str: String,
    #[serde(default)]
    func_info: Option<String>,
    func_info_rec_size: Option<usize>,
    #[serde(default)]
    line_info: Option<String>,
    line_info_rec_size: Option<usize>,
    insns: String,
    maps: Vec<CaseMap>,
    btf: Option<String>,
}

#[derive(Debug, Deserialize)]
struct CaseMap {
    fd: i32,
    name: String,
    frozen: u32,
    btf: Option<String>,
    value: Option<String>,
    inner: Option<CaseDef>,
    #[serde(flatten)]
    def: CaseDef,
}

#[derive(Debug, Deserialize)]
struct CaseDef {
    r#type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    map_flags: u32,
    btf_key_type_id: u32,
    btf_value_type_id: u32,
    #[serde(default)]
    btf_vmlinux_value_type_id: u32,
    #[serde(default)]
    map_extra: u64,
}

/// Why a folder cannot be used.
#[derive(Debug)]
pub struct CorpusError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub message: String,
}

impl std::fmt::Display for CorpusError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.message)
    }
}

impl std::error::Error for CorpusError {}

fn bad(path: &Path, message: impl ToString) -> CorpusError {
    CorpusError { path: path.to_path_buf(), message: message.to_string() }
}

/// A folder of recorded verdicts: `cases.jsonl.xz`, `btf.jsonl.xz`, `vmlinux-*.btf.xz`.
pub struct Corpus {
    /// The loads, in the order of the file.
    pub cases: Vec<Case>,
    btfs: HashMap<String, Arc<Btf>>,
    kernel: Option<Arc<Btf>>,
    /// Labels of `caps` that the records themselves belie.
    belied: HashSet<String>,
}

impl Corpus {
    /// Reads a folder whole.
    pub fn open(dir: &Path) -> Result<Corpus, CorpusError> {
        let path = dir.join("cases.jsonl.xz");
        let cases: Vec<Case> = lines(&path)?
            .iter()
            .map(|line| serde_json::from_str(line).map_err(|e| bad(&path, e)))
            .collect::<Result<_, _>>()?;
        let btfs = open_btfs(&dir.join("btf.jsonl.xz"))?;
        let without_perfmon = |c: &&Case| !c.labelled_policy().cap_perfmon;
        let belied = cases.iter().filter(without_perfmon).filter(|c| c.shows_kernel_address());
        let belied = belied.map(|c| c.caps.clone()).collect();
        Ok(Corpus { cases, btfs, kernel: kernel_btf(dir)?, belied })
    }

    /// Labels of `caps` that cannot be true: Linux hides kernel addresses from the log of a loader
    /// without CAP_PERFMON, and a record with the label shows one.
    pub fn belied_labels(&self) -> impl Iterator<Item = &str> {
        self.belied.iter().map(String::as_str)
    }

    /// The rights that a case was loaded with: its label's, unless the records belie it.
    pub fn policy(&self, case: &Case) -> Policy {
        if self.belied.contains(&case.caps) { Policy::default() } else { case.labelled_policy() }
    }

    /// The program of a case, as the verifier takes it.
    pub fn program(&self, case: &Case) -> Option<Program> {
        let words = |hex: &Option<String>, size: Option<usize>| -> Vec<Vec<u32>> {
            let bytes = hex.as_deref().and_then(unhex).unwrap_or_default();
            let size = size.unwrap_or(0).max(4);
            let word = |w: &[u8; 4]| u32::from_le_bytes(*w);
            bytes.chunks_exact(size).map(|r| r.as_chunks().0.iter().map(word).collect()).collect()
        };
        let funcs = words(&case.func_info, case.func_info_rec_size);
        let lines = words(&case.line_info, case.line_info_rec_size);
        Some(Program {
            name: case.program.chars().take(15).collect(),
            prog_type: ProgType::from_raw(case.prog_type),
            expected_attach_type: case.expected_attach_type,
            flags: case.prog_flags,
            license: case.license_str.clone(),
            insns: Insn::slots(&unhex(&case.insns)?)?,
            btf: case.btf.as_ref().and_then(|id| self.btfs.get(id)).cloned(),
            func_info: funcs
                .iter()
                .filter(|r| r.len() >= 2)
                .map(|r| FuncInfo { insn_off: r[0], type_id: r[1] })
                .collect(),
            line_info: lines
                .iter()
                .filter(|r| r.len() >= 4)
                .map(|r| LineInfo {
                    insn_off: r[0],
                    file_name_off: r[1],
                    line_off: r[2],
                    line_col: r[3],
                })
                .collect(),
            attach_btf_id: case.attach_btf_id,
            target: None,
            fd_array: Vec::new(),
        })
    }

    /// The maps and BTF that a case refers to; `None` if a map is of an unknown type.
    pub fn world(&self, case: &Case) -> Option<World> {
        let maps = case.maps.iter().map(|m| self.map(case, m)).collect::<Option<Vec<_>>>()?;
        Some(World { maps, kernel_btf: self.kernel.clone(), host_helpers: Vec::new() })
    }

    fn map(&self, case: &Case, map: &CaseMap) -> Option<MapInfo> {
        let mut def = def(&map.def)?;
        def.name = map.name.clone();
        let inner_btf = map.inner.as_ref().and_then(|_| self.btfs.get(case.btf.as_ref()?)).cloned();
        if let Some(inner) = &map.inner {
            let inner = self::def(inner)?;
            def.inner = Some(Box::new(inner));
        }
        if def.map_type == MapType::Arena && def.extra == 0 {
            // libbpf maps arenas when it has made them.
            def.extra = 1 << 44;
        }
        if [MapType::ArrayOfMaps, MapType::HashOfMaps].contains(&def.map_type) {
            // Some records leave the model out; it is an array of one number.
            def.inner.get_or_insert_with(|| Box::new(MapDef::new(MapType::Array, 4, 4, 1)));
        }
        Some(MapInfo {
            fd: map.fd,
            def,
            btf: map.btf.as_ref().and_then(|id| self.btfs.get(id)).cloned(),
            inner_btf,
            frozen: map.frozen != 0,
            value: map.value.as_deref().and_then(unhex).filter(|_| map.frozen != 0),
        })
    }
}

impl Case {
    /// The rights that the label names.
    fn labelled_policy(&self) -> Policy {
        let all = self.caps == "all";
        let has = |cap: &str| all || self.caps.split(',').any(|c| c == cap);
        Policy {
            cap_bpf: has("bpf"),
            cap_perfmon: has("perfmon"),
            cap_net_admin: has("net_admin"),
            cap_sys_admin: all,
            ..Policy::default()
        }
    }

    /// Some 64-bit immediate is printed as an address of the kernel's half.
    fn shows_kernel_address(&self) -> bool {
        let logs = [&self.log, &self.log_level2];
        logs.into_iter()
            .flatten()
            .flat_map(|log| log.lines())
            .any(|line| line.contains("(18) r") && line.contains(" = 0xffff"))
    }

    /// The kernel's last message line, statistics aside; some logs are only kept at level 2.
    pub fn last_line(&self) -> Option<&str> {
        let logs = [&self.log, &self.log_level2];
        logs.into_iter().flatten().find_map(|log| last_message(log))
    }
}

/// The last line of a log that says something: neither statistics nor empty.
pub(crate) fn last_message(log: &str) -> Option<&str> {
    const STATISTICS: &[&str] = &["processed ", "verification time ", "stack depth "];
    // A few of the kernel's messages lack a line break before the statistics.
    log.lines()
        .map(|l| l.split_once("verification time ").map_or(l, |(before, _)| before).trim_end())
        .rfind(|l| !l.is_empty() && !STATISTICS.iter().any(|s| l.starts_with(s)))
}

fn def(def: &CaseDef) -> Option<MapDef> {
    let map_type = MapType::from_raw(def.r#type)?;
    Some(MapDef {
        flags: def.map_flags,
        extra: def.map_extra,
        btf_key_type_id: def.btf_key_type_id,
        btf_value_type_id: def.btf_value_type_id,
        btf_vmlinux_value_type_id: def.btf_vmlinux_value_type_id,
        ..MapDef::new(map_type, def.key_size, def.value_size, def.max_entries)
    })
}

fn open_btfs(path: &Path) -> Result<HashMap<String, Arc<Btf>>, CorpusError> {
    #[derive(Deserialize)]
    struct Row {
        id: String,
        hex: String,
    }
    let mut all = HashMap::new();
    for line in lines(path)? {
        let row: Row = serde_json::from_str(&line).map_err(|e| bad(path, e))?;
        let bytes = unhex(&row.hex).ok_or_else(|| bad(path, "not hexadecimal"))?;
        all.insert(row.id, Arc::new(Btf::parse(&bytes).map_err(|e| bad(path, e))?));
    }
    Ok(all)
}

fn kernel_btf(dir: &Path) -> Result<Option<Arc<Btf>>, CorpusError> {
    let entries = fs::read_dir(dir).map_err(|e| bad(dir, e))?;
    let found = entries
        .flatten()
        .map(|e| e.path())
        .find(|p| p.file_name().and_then(|n| n.to_str()).is_some_and(|n| n.starts_with("vmlinux")));
    let Some(path) = found else { return Ok(None) };
    let btf = Btf::parse(&unpack(&path)?).map_err(|e| bad(&path, e))?;
    Ok(Some(Arc::new(btf)))
}

/// The bytes of an .xz file.
fn unpack(path: &Path) -> Result<Vec<u8>, CorpusError> {
    let file = fs::File::open(path).map_err(|e| bad(path, e))?;
    let mut bytes = Vec::new();
    lzma_rs::xz_decompress(&mut BufReader::new(file), &mut bytes)
        .map_err(|e| bad(path, format!("{e:?}")))?;
    Ok(bytes)
}

fn lines(path: &Path) -> Result<Vec<String>, CorpusError> {
    let text = String::from_utf8(unpack(path)?).map_err(|e| bad(path, e))?;
    Ok(text.lines().map(str::to_owned).collect())
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let digit = |c: u8| (c as char).to_digit(16).map(|d| d as u8);
    let bytes = pairs.iter().map(|p| Some(digit(p[0])? << 4 | digit(p[1])?)).collect();
    rest.is_empty().then_some(bytes)?
}
