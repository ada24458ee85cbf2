//! Tasks, control groups, files and memory areas of this machine as programs see them: the kernel's
//! structures, laid out by the kernel's types, with the members that programs look at most.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use btf::{Btf, Kind as BtfKind};

use crate::core::Core;
use crate::heap::{Kind, Made};
use crate::iter::member_offset;

/// Structures that objects are.
pub(crate) const TASK: &str = "task_struct";
pub(crate) const GROUP: &str = "cgroup";
pub(crate) const FILE: &str = "file";
const INODE: &str = "inode";
const AREA: &str = "vm_area_struct";

/// Where the one hierarchy of control groups is mounted.
const GROUPS: &str = "/sys/fs/cgroup";
/// How deep groups are looked for.
const MAX_DEPTH: usize = 16;
/// Ancestors of a task that are shown.
const MAX_PARENTS: u32 = 64;

/// A structure that is being filled.
struct Image<'b> {
    btf: &'b Btf,
    ty: btf::TypeId,
    bytes: Vec<u8>,
}

impl<'b> Image<'b> {
    fn new(btf: &'b Btf, name: &str) -> Option<Image<'b>> {
        let ty = btf.find_by_name(name, BtfKind::Struct)?;
        let size = btf.size_of(ty).ok()? as usize;
        Some(Image { btf, ty, bytes: vec![0; size] })
    }

    fn put(&mut self, member: &str, value: &[u8]) {
        let at = member_offset(self.btf, self.ty, member);
        if let Some(to) = at.and_then(|at| self.bytes.get_mut(at..at + value.len())) {
            to.copy_from_slice(value);
        }
    }
}

/// A stretch of a task's memory.
#[derive(Clone, Debug)]
pub(crate) struct Area {
    pub(crate) start: u64,
    pub(crate) end: u64,
    flags: u64,
    offset: u64,
    path: Option<PathBuf>,
}

/// The areas of a task, by address; none for one that is not there or not to be read.
pub(crate) fn areas(pid: u32) -> Vec<Area> {
    let text = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
    text.lines().filter_map(area).collect()
}

fn area(line: &str) -> Option<Area> {
    let mut words = line.split_ascii_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let rights = words.next()?;
    let offset = u64::from_str_radix(words.next()?, 16).ok()?;
    let name = words.nth(2).filter(|name| name.starts_with('/'));
    // VM_READ and so on, as the kernel numbers them; what may be set comes with what is.
    const RIGHTS: [(char, u64); 4] = [('r', 0x11), ('w', 0x22), ('x', 0x44), ('s', 0x88)];
    let set = RIGHTS.iter().filter(|(letter, _)| rights.contains(*letter));
    Some(Area {
        start: u64::from_str_radix(start, 16).ok()?,
        end: u64::from_str_radix(end, 16).ok()?,
        flags: set.fold(0, |flags, (_, bits)| flags | bits),
        offset,
        path: name.map(PathBuf::from),
    })
}

/// Threads of a process, or all processes; ascending.
pub(crate) fn numbers(folder: &str) -> Vec<u32> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut ids: Vec<u32> =
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    ids.sort_unstable();
    ids
}

/// The path of a task's group, from the hierarchy's root on.
pub(crate) fn group_of(pid: u32) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Some(line.trim_end_matches('/').to_owned())
}

/// The folder of a group.
pub(crate) fn group_folder(path: &str) -> PathBuf {
    Path::new(GROUPS).join(path)
}

/// The group with this number.
pub(crate) fn group_with_id(id: u64) -> Option<String> {
    let mut folders = vec![(PathBuf::from(GROUPS), 0)];
    while let Some((folder, depth)) = folders.pop() {
        if fs::metadata(&folder).is_ok_and(|meta| meta.ino() == id) {
            let path = folder.strip_prefix(GROUPS).ok()?;
            return Some(path.to_str()?.to_owned());
        }
        if depth < MAX_DEPTH {
            folders.extend(children(&folder).into_iter().map(|child| (child, depth + 1)));
        }
    }
    None
}

/// The groups right below a folder, by name.
pub(crate) fn children(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let is_folder = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|t| t.is_dir());
    let mut found: Vec<PathBuf> = entries.filter(is_folder).map(|entry| entry.path()).collect();
    found.sort();
    found
}

/// What a task's status file says.
struct Status {
    comm: [u8; 16],
    tgid: u32,
    parent: u32,
}

fn status(tid: u32) -> Option<Status> {
    let text = fs::read_to_string(format!("/proc/{tid}/status")).ok()?;
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.strip_prefix(':')).map(|value| value.trim_start_matches('\t'))
    };
    let mut comm = [0; 16];
    let name = field("Name")?.as_bytes();
    let len = name.len().min(15);
    comm[..len].copy_from_slice(&name[..len]);
    Some(Status { comm, tgid: field("Tgid")?.parse().ok()?, parent: field("PPid")?.parse().ok()? })
}

impl Core {
    /// The task with this number, held once more; 0 if there is none, or the kernel's types are
    /// not known.
    pub(crate) fn task_object(&self, tid: u32) -> u64 {
        self.task_below(tid, MAX_PARENTS)
    }

    fn task_below(&self, tid: u32, depth: u32) -> u64 {
        let addr = self.heap.kernel_object(TASK, tid.into(), || {
            let btf = self.config.kernel_btf.as_deref()?;
            let mut image = Image::new(btf, TASK)?;
            let mut owned = Vec::new();
            let told = match tid {
                0 => Status { comm: *b"swapper/0\0\0\0\0\0\0\0", tgid: 0, parent: 0 },
                _ => status(tid)?,
            };
            image.put("pid", &tid.to_ne_bytes());
            image.put("tgid", &told.tgid.to_ne_bytes());
            image.put("comm", &told.comm);
            let mut link = |other: u32, members: &[&str]| {
                if other == tid || depth == 0 {
                    return;
                }
                let addr = self.task_below(other, depth - 1);
                owned.extend(Some(addr).filter(|addr| *addr != 0));
                members.iter().for_each(|member| image.put(member, &addr.to_ne_bytes()));
            };
            link(told.parent, &["real_parent", "parent"]);
            link(told.tgid, &["group_leader"]);
            Some(Made { bytes: image.bytes, owned, path: String::new() })
        });
        if addr != 0
            && let Some(btf) = self.config.kernel_btf.as_deref()
            && let Some(ty) = btf.find_by_name(TASK, BtfKind::Struct)
            && let Some(at) = member_offset(btf, ty, "group_leader")
        {
            // A leader leads itself.
            self.heap.set_if_zero(addr + at as u64, addr);
        }
        addr
    }

    /// The group at this path, held once more; 0 if there is none.
    pub(crate) fn group_object(&self, path: &str) -> u64 {
        let path = path.trim_matches('/');
        let Ok(meta) = fs::metadata(group_folder(path)) else { return 0 };
        self.heap.kernel_object(GROUP, meta.ino(), || {
            let btf = self.config.kernel_btf.as_deref()?;
            let mut image = Image::new(btf, GROUP)?;
            let level = path.split('/').filter(|part| !part.is_empty()).count() as u32;
            image.put("level", &level.to_ne_bytes());
            let node = self.node(btf, path, meta.ino());
            image.put("kn", &node.to_ne_bytes());
            let owned = Some(node).filter(|node| *node != 0).into_iter().collect();
            Some(Made { bytes: image.bytes, owned, path: path.to_owned() })
        })
    }

    /// The name and number of a group.
    fn node(&self, btf: &Btf, path: &str, id: u64) -> u64 {
        let Some(mut image) = Image::new(btf, "kernfs_node") else { return 0 };
        image.put("id", &id.to_ne_bytes());
        let name_at = image.bytes.len() as u64;
        image.bytes.extend_from_slice(path.rsplit('/').next().unwrap_or_default().as_bytes());
        image.bytes.push(0);
        let (ty, bytes) = (image.ty, image.bytes);
        let addr = self.heap.kernel_part("kernfs_node", Made { bytes, ..Made::default() });
        if addr != 0
            && let Some(at) = member_offset(btf, ty, "name")
        {
            self.heap.set_if_zero(addr + at as u64, addr + name_at);
        }
        addr
    }

    /// A memory area, for who asked only; 0 without the kernel's types.
    pub(crate) fn area_object(&self, area: &Area) -> u64 {
        let Some(btf) = self.config.kernel_btf.as_deref() else { return 0 };
        let Some(mut image) = Image::new(btf, AREA) else { return 0 };
        image.put("vm_start", &area.start.to_ne_bytes());
        image.put("vm_end", &area.end.to_ne_bytes());
        image.put("vm_flags", &area.flags.to_ne_bytes());
        image.put("vm_pgoff", &(area.offset >> 12).to_ne_bytes());
        let file = area.path.as_deref().map_or(0, |path| self.file_object(path));
        image.put("vm_file", &file.to_ne_bytes());
        let owned = Some(file).filter(|file| *file != 0).into_iter().collect();
        self.heap.kernel_part(AREA, Made { bytes: image.bytes, owned, path: String::new() })
    }

    /// A file that is open at this path, for who asked only; 0 without the kernel's types.
    pub(crate) fn file_object(&self, path: &Path) -> u64 {
        let Some(btf) = self.config.kernel_btf.as_deref() else { return 0 };
        let (Some(mut image), Some(path_text)) = (Image::new(btf, FILE), path.to_str()) else {
            return 0;
        };
        let inode = fs::metadata(path).map_or(0, |meta| self.inode_object(btf, &meta));
        image.put("f_inode", &inode.to_ne_bytes());
        let owned = Some(inode).filter(|inode| *inode != 0).into_iter().collect();
        self.heap.kernel_part(FILE, Made { bytes: image.bytes, owned, path: path_text.to_owned() })
    }

    fn inode_object(&self, btf: &Btf, meta: &fs::Metadata) -> u64 {
        self.heap.kernel_object(INODE, meta.ino(), || {
            let mut image = Image::new(btf, INODE)?;
            image.put("i_ino", &meta.ino().to_ne_bytes());
            image.put("i_mode", &(meta.mode() as u16).to_ne_bytes());
            image.put("i_uid", &meta.uid().to_ne_bytes());
            image.put("i_gid", &meta.gid().to_ne_bytes());
            image.put("i_size", &meta.size().to_ne_bytes());
            Some(Made { bytes: image.bytes, ..Made::default() })
        })
    }

    /// Kind, number and path of the kernel object that holds an address.
    pub(crate) fn kernel_object_at(&self, addr: u64) -> Option<(&'static str, u64, String)> {
        match self.heap.kind_around(addr)? {
            Kind::Kernel(kind, id, path) => Some((kind, id, path)),
            _ => None,
        }
    }
}

/// The path of the program that a task runs.
pub(crate) fn program_of(pid: u32) -> io::Result<PathBuf> {
    fs::read_link(format!("/proc/{pid}/exe"))
}
