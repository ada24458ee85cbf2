//! Names of objects: what bpffs is in Linux, a tree of folders and pins, without a mount.
//!
//! The folders above a pin need not be there: they are made with it.

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
}

impl Bpffs {
    pub(crate) fn new(limit: usize) -> Bpffs {
        let above = ["/sys", "/sys/fs", MOUNT];
        let nodes: BTreeMap<_, _> = above.map(|dir| (dir.to_owned(), Node::Dir)).into();
        Bpffs { limit: limit.saturating_add(nodes.len()), nodes }
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
        let path = normal(path)?;
        match self.nodes.get(&path) {
            Some(Node::Pin(object)) => Ok(object.clone()),
            Some(Node::Dir) => Err(Errno::EACCES),
            None if path == "/" => Err(Errno::EACCES),
            None => Err(Errno::ENOENT),
        }
    }

    /// unlink(2): the object, to be dropped when no lock is held.
    pub(crate) fn unlink(&mut self, path: &str) -> Result<Object, Errno> {
        let path = normal(path)?;
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
        let path = normal(path)?;
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
        let path = normal(path)?;
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

    /// All pins by path.
    pub(crate) fn pins(&self) -> impl Iterator<Item = (&str, &Object)> {
        self.nodes.iter().filter_map(|(path, node)| match node {
            Node::Pin(object) => Some((path.as_str(), object)),
            Node::Dir => None,
        })
    }

    fn add(&mut self, path: &str, node: Node) -> Result<(), Errno> {
        let path = normal(path)?;
        if path == "/" || self.nodes.contains_key(&path) {
            return Err(Errno::EEXIST);
        }
        let missing = self.missing_dirs(&path)?;
        if self.nodes.len() + missing.len() >= self.limit {
            return Err(Errno::ENOSPC);
        }
        self.nodes.extend(missing.into_iter().map(|dir| (dir, Node::Dir)));
        self.nodes.insert(path, node);
        Ok(())
    }

    /// Folders above `path` that are not there; ENOTDIR if one is a pin.
    fn missing_dirs(&self, path: &str) -> Result<Vec<String>, Errno> {
        let mut missing = Vec::new();
        for (at, _) in path.match_indices('/').skip(1) {
            let above = &path[..at];
            match self.nodes.get(above) {
                Some(Node::Dir) => {}
                Some(Node::Pin(_)) => return Err(Errno::ENOTDIR),
                None => missing.push(above.to_owned()),
            }
        }
        Ok(missing)
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
    let mut names = Vec::new();
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
        for path in ["/sys/fs/bpf/a", "/sys//fs/bpf/a/", "/sys/fs/./bpf/x/../a", "sys/fs/bpf/a"] {
            assert_eq!(normal(path).as_deref(), Ok("/sys/fs/bpf/a"), "{path}");
        }
        assert_eq!(normal("/../.."), Ok("/".into()));
    }
}
