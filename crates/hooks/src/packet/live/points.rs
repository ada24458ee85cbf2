//! A network's capture: frames at the points that are wanted, with what became of them there.

use std::time::{SystemTime, UNIX_EPOCH};

use runtime::PacketBuf;

use super::NetError;
use super::programs::Hook;
use super::vnet::Vnet;
use crate::packet::annotated::{Annotated, AnnotatedWriter, VerdictOf};
use crate::packet::{CaptureError, Timestamp};

/// Where a frame is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// As a host sends it.
    Sent,
    /// At a program, as that leaves it.
    At(Hook),
    /// As a host gets it.
    Received,
}

/// The points that are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Points(u16);

impl Points {
    /// All of them.
    pub const ALL: Points = Points(u16::MAX);

    fn bit(point: Point) -> u16 {
        match point {
            Point::Sent => 1 << 15,
            Point::Received => 1 << 14,
            Point::At(hook) => 1 << hook as u16,
        }
    }

    /// Those of a list of names between commas; the names that there are if one is none.
    pub fn parse(text: &str) -> Result<Points, String> {
        let rows = Hook::ALL.map(|hook| (hook.name(), Point::At(hook)));
        let ends = [("sent", Point::Sent), ("received", Point::Received)];
        let mut points = 0;
        for word in text.split(',') {
            let found = rows.iter().chain(&ends).find(|row| row.0 == word);
            let Some((_, point)) = found else {
                let names: Vec<_> = rows.iter().chain(&ends).map(|row| row.0).collect();
                return Err(format!("'{word}' is no point; there are {}", names.join(", ")));
            };
            points |= Points::bit(*point);
        }
        Ok(Points(points))
    }

    fn has(self, point: Point) -> bool {
        self.0 & Points::bit(point) != 0
    }
}

/// A capture to be written.
pub struct Capture {
    writer: AnnotatedWriter,
    points: Points,
    interfaces: Vec<u32>,
    /// What went wrong; nothing is written after it.
    failed: Option<CaptureError>,
    data: Vec<u8>,
}

/// What is told of a frame.
pub(super) struct Note<'a> {
    pub(super) port: usize,
    pub(super) point: Point,
    pub(super) inbound: bool,
    /// Program and verdict.
    pub(super) program: Option<(&'a str, Option<u32>)>,
}

impl Capture {
    /// A capture of the frames at these points.
    pub fn new(writer: AnnotatedWriter, points: Points) -> Capture {
        Capture { writer, points, interfaces: Vec::new(), failed: None, data: Vec::new() }
    }

    /// Describes the hosts' interfaces, in the order of their ports.
    pub(super) fn describe<'a>(
        &mut self,
        hosts: impl Iterator<Item = &'a str>,
    ) -> Result<(), NetError> {
        for host in hosts {
            self.interfaces.push(self.writer.interface(&format!("{host}/eth0"))?);
        }
        Ok(())
    }

    pub(super) fn wants(&self, point: Point) -> bool {
        self.failed.is_none() && self.points.has(point)
    }

    /// Writes a frame if it is wanted.
    pub(super) fn write(&mut self, note: &Note<'_>, buf: &PacketBuf, vnet: &Vnet) {
        if !self.wants(note.point) {
            return;
        }
        let Some(interface) = self.interfaces.get(note.port).copied() else { return };
        let mut data = std::mem::take(&mut self.data);
        data.clear();
        buf.append_to(&mut data);
        vnet.complete(&mut data);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let packet = Annotated {
            interface,
            time: Timestamp { secs: now.as_secs(), nanos: now.subsec_nanos() },
            data: &data,
            inbound: note.inbound,
            comment: &note.comment(vnet),
            verdict: note.verdict(),
        };
        if let Err(error) = self.writer.write(&packet) {
            self.failed = Some(error);
        }
        self.data = data;
    }

    /// Hands the bytes so far to the system.
    pub(super) fn flush(&mut self) {
        if self.failed.is_none() {
            self.failed = self.writer.flush().err();
        }
    }

    /// Ends it; what went wrong.
    pub(super) fn end(mut self) -> Result<u64, CaptureError> {
        self.flush();
        self.failed.map_or(Ok(self.writer.packets()), Err)
    }
}

impl Note<'_> {
    fn comment(&self, vnet: &Vnet) -> String {
        let many = if vnet.is_many() {
            format!("; stands for segments of {} bytes", vnet.gso_size)
        } else {
            String::new()
        };
        match (self.point, self.program) {
            (Point::At(hook), Some((name, value))) => {
                format!("{} {name}: {}{many}", hook.name(), hook.verdict(value))
            }
            (Point::Sent, _) => format!("sent{many}"),
            _ => format!("received{many}"),
        }
    }

    fn verdict(&self) -> Option<(VerdictOf, u32)> {
        let of = match self.point {
            Point::At(Hook::Xdp) => VerdictOf::Xdp,
            Point::At(Hook::TcxIngress | Hook::TcxEgress | Hook::TcIngress | Hook::TcEgress) => {
                VerdictOf::Tc
            }
            _ => return None,
        };
        self.program.and_then(|(_, value)| value).map(|value| (of, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_have_names() {
        let points = Points::parse("xdp,sent").expect("names");
        assert!(points.has(Point::At(Hook::Xdp)) && points.has(Point::Sent));
        assert!(!points.has(Point::Received) && !points.has(Point::At(Hook::TcxEgress)));
        let error = Points::parse("xdp,nowhere").expect_err("no point");
        assert!(error.contains("'nowhere' is no point; there are cgroup_skb/egress"), "{error}");
    }
}
