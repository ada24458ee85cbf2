//! Names of objects: what bpffs is in Linux, a tree of folders and pins, without a mount.
//!
//! Paths that do not begin with a slash begin in /sys/fs/bpf. Names with dots are refused, as in
//! Linux.

use std::collections::BTreeMap;
use std::ops::Bound;

use uapi::Errno;

use crate::fds::Object;

/// Longest path.
const PATH_MAX: usize = 4096;
/// Longest name in a path.
const NAME_MAX: usize = 255;

/// A folder, or an object that has a name.
enum Node {
    Dir,
    Pin(Object),
}

/// What a path names.
pub(crate) enum Entry<'a> {
    /// A folder.
    Dir,
    /// An object.
    Pin(&'a Object),
}

/// Where Linux mounts its bpffs; always there.
const MOUNT: &str = "/sys/fs/bpf";

/// All names, by normal path.
pub(crate) struct Bpffs {
    nodes: BTreeMap<String, Node>,
    /// Names that there may be.
    limit: usize,
    /// Folders of the machine that show what is below the mount.
    shown: Vec<String>,
}

impl Bpffs {
    pub(crate) fn new(limit: usize) -> Bpffs {
        let above = ["/sys", "/sys/fs", MOUNT];
        let nodes: BTreeMap<_, _> = above.map(|dir| (dir.to_owned(), Node::Dir)).into();
        Bpffs { limit: limit.saturating_add(nodes.len()), nodes, shown: Vec::new() }
    }

    /// Whether a folder of the machine shows what is below /sys/fs/bpf: paths into it mean that.
    pub(crate) fn show_at(&mut self, dir: &str, shown: bool) {
        self.shown.retain(|known| known != dir);
        if shown {
            self.shown.push(dir.to_owned());
        }
    }

    /// BPF_OBJ_PIN.
    pub(crate) fn pin(&mut self, path: &str, object: Object) -> Result<(), Errno> {
        self.add(path, Node::Pin(object))
    }

    /// mkdir(2).
    pub(crate) fn mkdir(&mut self, path: &str) -> Result<(), Errno> {
        self.add(path, Node::Dir)
    }

    /// The object at `path`; EACCES for a folder, as BPF_OBJ_GET answers.
    pub(crate) fn get(&self, path: &str) -> Result<Object, Errno> {
        let path = self.walk(path)?;
        match self.nodes.get(&path) {
            Some(Node::Pin(object)) => Ok(object.clone()),
            Some(Node::Dir) => Err(Errno::EACCES),
            None if path == "/" => Err(Errno::EACCES),
            None => Err(Errno::ENOENT),
        }
    }

    /// unlink(2): the object, to be dropped when no lock is held.
    pub(crate) fn unlink(&mut self, path: &str) -> Result<Object, Errno> {
        let path = self.walk(path)?;
        match self.nodes.remove(&path) {
            Some(Node::Pin(object)) => Ok(object),
            Some(dir) => {
                self.nodes.insert(path, dir);
                Err(Errno::EISDIR)
            }
            None => Err(Errno::ENOENT),
        }
    }

    /// rmdir(2).
    pub(crate) fn rmdir(&mut self, path: &str) -> Result<(), Errno> {
        let path = self.walk(path)?;
        match self.nodes.get(&path) {
            Some(Node::Pin(_)) => return Err(Errno::ENOTDIR),
            _ if path == "/" || path == MOUNT => return Err(Errno::EBUSY),
            None => return Err(Errno::ENOENT),
            Some(Node::Dir) => {}
        }
        if self.below(&path).next().is_some() {
            return Err(Errno::ENOTEMPTY);
        }
        self.nodes.remove(&path);
        Ok(())
    }

    /// The names in a folder, in order, and what they name.
    pub(crate) fn list(&self, path: &str) -> Result<Vec<(&str, Entry<'_>)>, Errno> {
        let path = self.walk(path)?;
        match self.nodes.get(&path) {
            Some(Node::Pin(_)) => return Err(Errno::ENOTDIR),
            None if path != "/" => return Err(Errno::ENOENT),
            _ => {}
        }
        let prefix = if path == "/" { 1 } else { path.len() + 1 };
        let children = self.below(&path).filter_map(|(name, node)| {
            let name = name.get(prefix..)?;
            (!name.contains('/')).then(|| (name, entry(node)))
        });
        Ok(children.collect())
    }

    /// rename(2): what was there before, to be dropped when no lock is held.
    pub(crate) fn rename(&mut self, from: &str, to: &str) -> Result<Option<Object>, Errno> {
        let (from, to) = (self.walk(from)?, self.walk(to)?);
        if [&*from, &*to].iter().any(|path| [MOUNT, "/"].contains(path)) {
            return Err(Errno::EBUSY);
        }
        let folder = matches!(self.nodes.get(&from).ok_or(Errno::ENOENT)?, Node::Dir);
        if from == to {
            return Ok(None);
        }
        if to.starts_with(&format!("{from}/")) {
            return Err(Errno::EINVAL);
        }
        match self.nodes.get(&to) {
            Some(Node::Dir) if !folder => return Err(Errno::EISDIR),
            Some(Node::Dir) if self.below(&to).next().is_some() => return Err(Errno::ENOTEMPTY),
            Some(Node::Pin(_)) if folder => return Err(Errno::ENOTDIR),
            _ => {}
        }
        let mut moved: Vec<String> = self.below(&from).map(|(path, _)| path.clone()).collect();
        moved.push(from.clone());
        let before = self.nodes.remove(&to);
        for path in moved {
            if let Some(node) = self.nodes.remove(&path) {
                self.nodes.insert(format!("{to}{}", &path[from.len()..]), node);
            }
        }
        Ok(match before {
            Some(Node::Pin(object)) => Some(object),
            _ => None,
        })
    }

    /// All pins by path.
    pub(crate) fn pins(&self) -> impl Iterator<Item = (&str, &Object)> {
        self.nodes.iter().filter_map(|(path, node)| match node {
            Node::Pin(object) => Some((path.as_str(), object)),
            Node::Dir => None,
        })
    }

    fn add(&mut self, path: &str, node: Node) -> Result<(), Errno> {
        let path = self.walk(path)?;
        if path == "/" || self.nodes.contains_key(&path) {
            return Err(Errno::EEXIST);
        }
        if self.nodes.len() >= self.limit {
            return Err(Errno::ENOSPC);
        }
        self.nodes.insert(path, node);
        Ok(())
    }

    /// The normal path. All folders above it are there: ENOENT or ENOTDIR otherwise, and EPERM
    /// for names with dots, which Linux keeps for itself.
    fn walk(&self, path: &str) -> Result<String, Errno> {
        let mut path = normal(path)?;
        let inside = self.shown.iter().find_map(|dir| {
            let rest = path.strip_prefix(dir.as_str())?;
            (rest.is_empty() || rest.starts_with('/')).then_some(rest)
        });
        if let Some(rest) = inside {
            path = format!("{MOUNT}{rest}");
        }
        let mut from = 1;
        while let Some(name) = path.get(from..).and_then(|rest| rest.split('/').next()) {
            let end = from + name.len();
            if name.contains('.') {
                return Err(Errno::EPERM);
            }
            if end == path.len() {
                break;
            }
            match self.nodes.get(&path[..end]) {
                Some(Node::Dir) => {}
                Some(Node::Pin(_)) => return Err(Errno::ENOTDIR),
                None => return Err(Errno::ENOENT),
            }
            from = end + 1;
        }
        Ok(path)
    }

    fn below(&self, dir: &str) -> impl Iterator<Item = (&String, &Node)> {
        let start = if dir == "/" { "/".to_owned() } else { format!("{dir}/") };
        let from = Bound::Excluded(start.clone());
        self.nodes
            .range::<String, _>((from, Bound::Unbounded))
            .take_while(move |(path, _)| path.starts_with(&start))
    }
}

fn entry(node: &Node) -> Entry<'_> {
    match node {
        Node::Dir => Entry::Dir,
        Node::Pin(object) => Entry::Pin(object),
    }
}

/// The path from the root, its names once separated; `.` and `..` are taken at their word.
fn normal(path: &str) -> Result<String, Errno> {
    match path.len() {
        0 => return Err(Errno::ENOENT),
        n if n >= PATH_MAX => return Err(Errno::ENAMETOOLONG),
        _ => {}
    }
    let mut names = match path.starts_with('/') {
        true => Vec::new(),
        false => vec!["sys", "fs", "bpf"],
    };
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => drop(names.pop()),
            long if long.len() > NAME_MAX => return Err(Errno::ENAMETOOLONG),
            name => names.push(name),
        }
    }
    Ok(format!("/{}", names.join("/")))
}

#[cfg(test)]
mod tests {
    use super::normal;

    #[test]
    fn one_name_has_one_path() {
        for path in ["/sys/fs/bpf/a", "/sys//fs/bpf/a/", "/sys/fs/./bpf/x/../a", "a", "./a"] {
            assert_eq!(normal(path).as_deref(), Ok("/sys/fs/bpf/a"), "{path}");
        }
        assert_eq!(normal("/../.."), Ok("/".into()));
    }
}
