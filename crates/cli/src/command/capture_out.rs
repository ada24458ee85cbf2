//! Where `ring3 run --pcap IN --write OUT` puts packets: passing ones into a pcap file, all of them
//! with their verdicts into a pcapng file.

use std::path::Path;

use ring3::Program;
use ring3::packet::{
    Annotated, AnnotatedWriter, CaptureError, CaptureWriter, LinkType, Packet, Precision, VerdictOf,
};

/// A capture that is being written.
pub(super) enum CaptureOut {
    Pcap(CaptureWriter),
    PcapNg {
        writer: AnnotatedWriter,
        /// Its only one.
        interface: u32,
        /// Whose verdicts readers know by number.
        of: Option<VerdictOf>,
    },
}

impl CaptureOut {
    /// By the name's end.
    pub(super) fn create(
        path: &Path,
        precision: Precision,
        program: &Program<'_>,
    ) -> Result<CaptureOut, CaptureError> {
        if path.extension().is_none_or(|end| end != "pcapng") {
            let writer = CaptureWriter::create(path, LinkType::ETHERNET, precision)?;
            return Ok(CaptureOut::Pcap(writer));
        }
        let mut writer = AnnotatedWriter::create(path)?;
        let interface = writer.interface("capture")?;
        let of = match program.type_name().as_str() {
            "xdp" => Some(VerdictOf::Xdp),
            "sched_cls" | "sched_act" => Some(VerdictOf::Tc),
            _ => None,
        };
        Ok(CaptureOut::PcapNg { writer, interface, of })
    }

    /// Packets that do not pass are wanted too.
    pub(super) fn takes_all(&self) -> bool {
        matches!(self, CaptureOut::PcapNg { .. })
    }

    pub(super) fn write(
        &mut self,
        packet: &Packet<'_>,
        program: &Program<'_>,
        verdict: u32,
    ) -> Result<(), CaptureError> {
        match self {
            CaptureOut::Pcap(writer) => writer.write(packet),
            CaptureOut::PcapNg { writer, interface, of } => {
                let (kind, name) = (program.type_name(), program.name());
                let comment = format!("{kind} {name}: {}", program.verdict_name(verdict));
                writer.write(&Annotated {
                    interface: *interface,
                    time: packet.time,
                    data: packet.data,
                    inbound: true,
                    comment: &comment,
                    verdict: of.map(|of| (of, verdict)),
                })
            }
        }
    }

    pub(super) fn packets(&self) -> u64 {
        match self {
            CaptureOut::Pcap(writer) => writer.packets(),
            CaptureOut::PcapNg { writer, .. } => writer.packets(),
        }
    }

    pub(super) fn finish(self) -> Result<(), CaptureError> {
        match self {
            CaptureOut::Pcap(writer) => writer.finish(),
            CaptureOut::PcapNg { mut writer, .. } => writer.flush(),
        }
    }
}
