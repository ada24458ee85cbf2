//! A map's memory in another process: the answer to mmap(2) brings its files along.

use std::collections::BTreeMap;
use std::io::{self, IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use parking_lot::Mutex;
use runtime::Runtime;
use runtime::door::{Fd, Hold, Mapping, Part};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use uapi::Errno;

use crate::client::Line;
use crate::table::{MMAP, MUNMAP};
use crate::wire::{Bad, Reader, Wire, wire_struct};

/// Files that come with one answer.
const MAX_FILES: usize = 8;
/// Mappings of one connection; ENOMEM above, as of `vm.max_map_count`.
const MAX_MAPPINGS: usize = 1 << 16;

/// A request for memory.
struct Asked {
    map: Fd,
    offset: u64,
    len: u64,
    write: bool,
}

/// Where the bytes of a file that comes along belong.
#[derive(Debug)]
struct Piece {
    at: u64,
    len: u64,
    file_off: u64,
}

wire_struct! {
    Asked { map, offset, len, write }
    Piece { at, len, file_off }
}

/// What a connection has mapped: it counts until the client unmaps it or goes.
#[derive(Default)]
pub(crate) struct Lent {
    held: BTreeMap<u32, Hold>,
    next: u32,
}

impl Lent {
    /// Answers a request; the files go with the answer.
    pub(crate) fn map(
        &mut self,
        door: &Runtime,
        from: &mut Reader<'_>,
        out: &mut Vec<u8>,
    ) -> Vec<OwnedFd> {
        let answer = from.take().map_err(|_| Errno::EINVAL);
        let answer = answer.and_then(|asked| self.lend(door, &asked));
        let (answer, files) = match answer {
            Ok((number, pieces, files)) => (Ok((number, pieces)), files),
            Err(errno) => (Err(errno), Vec::new()),
        };
        answer.put(out);
        files
    }

    fn lend(
        &mut self,
        door: &Runtime,
        asked: &Asked,
    ) -> Result<(u32, Vec<Piece>, Vec<OwnedFd>), Errno> {
        let len = usize::try_from(asked.len).map_err(|_| Errno::ENOMEM)?;
        if self.held.len() >= MAX_MAPPINGS {
            return Err(Errno::ENOMEM);
        }
        let (parts, hold) = door.map_lend(asked.map, asked.offset, len, asked.write)?;
        if parts.len() > MAX_FILES {
            return Err(Errno::ENOMEM);
        }
        while self.held.contains_key(&self.next) {
            self.next = self.next.wrapping_add(1);
        }
        self.held.insert(self.next, hold);
        let split =
            |part: Part| (Piece { at: part.at, len: part.len, file_off: part.file_off }, part.file);
        let (pieces, files) = parts.into_iter().map(split).unzip();
        Ok((self.next, pieces, files))
    }

    /// munmap(2): it counts no more.
    pub(crate) fn unmap(&mut self, from: &mut Reader<'_>, out: &mut Vec<u8>) {
        let number = from.take::<u32>().map_err(|_| Errno::EINVAL);
        let held = number.and_then(|number| self.held.remove(&number).ok_or(Errno::EINVAL));
        held.map(drop).put(out);
    }
}

/// Sends bytes with files; what does not go at once follows without them.
pub(crate) fn send(stream: &UnixStream, bytes: &[u8], files: &[OwnedFd]) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FILES))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let files: Vec<_> = files.iter().map(AsFd::as_fd).collect();
    control.push(SendAncillaryMessage::ScmRights(&files));
    Ok(sendmsg(stream, &[io::IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)?)
}

/// A socket whose files are kept as they come.
struct Receiving<'a> {
    stream: &'a UnixStream,
    files: Vec<OwnedFd>,
}

impl Read for Receiving<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FILES))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut into = [IoSliceMut::new(into)];
        let got = recvmsg(self.stream, &mut into, &mut control, RecvFlags::CMSG_CLOEXEC)?;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(files) = message {
                self.files.extend(files);
            }
        }
        Ok(got.bytes)
    }
}

/// Tells the other side when the mapping goes.
struct Mapped {
    line: Arc<Mutex<Line>>,
    number: u32,
}

impl Drop for Mapped {
    fn drop(&mut self) {
        let mut line = self.line.lock();
        self.number.put(line.begin(MUNMAP));
        // A connection that is lost has told it already.
        let _ = line.exchange(|from| from.take::<Result<(), Errno>>());
    }
}

/// Maps a map's memory of the other side.
pub(crate) fn mmap(
    line: &Arc<Mutex<Line>>,
    map: Fd,
    offset: u64,
    len: usize,
    write: bool,
) -> Result<Mapping, Errno> {
    let mut files = Vec::new();
    let (number, pieces) = {
        let mut line = line.lock();
        Asked { map, offset, len: len as u64, write }.put(line.begin(MMAP));
        line.exchange_over(
            |stream| Receiving { stream, files: Vec::new() },
            |from, over| {
                files = std::mem::take(&mut over.files);
                let answer = from.take::<Result<(u32, Vec<Piece>), Errno>>()?;
                match &answer {
                    Ok((_, pieces)) if pieces.len() != files.len() => Err(Bad),
                    _ => Ok(answer),
                }
            },
        )??
    };
    // Told even if the memory cannot be mapped here.
    let hold = Arc::new(Mapped { line: line.clone(), number });
    let part = |(piece, file): (Piece, OwnedFd)| Part {
        at: piece.at,
        len: piece.len,
        file,
        file_off: piece.file_off,
    };
    let parts: Vec<_> = pieces.into_iter().zip(files).map(part).collect();
    let len = len.checked_next_multiple_of(PAGE).ok_or(Errno::EINVAL)?;
    Mapping::parts(&parts, offset, len, write, Some(hold))
}

/// Bytes of a page.
const PAGE: usize = 4096;
