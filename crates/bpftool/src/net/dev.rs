//! `net dev …`: interfaces of ring3's own, fed from captures.

use std::path::Path;

use btf::print::JsonText;
use runtime::door::{DeviceAdd, DeviceInfo};
use uapi::Errno;

use crate::answer::{Answer, Done, Show};
use crate::fail::{Fail, io_errno, strerror};
use crate::prog::{number, string};
use crate::session::Ctx;
use crate::words::{Words, number as parse};

/// `net dev [list] | add NAME [--pcap FILE] [--rate N] [--loop] [--out FILE] [--peer NAME] [--real IFACE] | del NAME`.
pub(crate) fn dev(ctx: &Ctx<'_>, mut words: Words<'_>) -> Done {
    if words.is_empty() || words.eat("list") || words.eat("show") {
        words.end()?;
        let devices = ctx.door()?.devices();
        return Ok(Answer::data(Devices(devices.map_err(|e| failed("can't list", "", e))?)));
    }
    if words.eat("add") {
        return add(ctx, words);
    }
    if words.eat("del") {
        words.need(1)?;
        let name = words.take()?;
        words.end()?;
        let done = ctx.door()?.device_del(name);
        done.map_err(|errno| failed("can't remove", name, errno))?;
        return Ok(Answer::null());
    }
    let got = words.peek().unwrap_or_default();
    Err(Fail::new(format!("expected 'add', 'del' or 'list', got: '{got}'?")))
}

fn add(ctx: &Ctx<'_>, mut words: Words<'_>) -> Done {
    words.need(1)?;
    let name = words.take()?.to_owned();
    let mut req = DeviceAdd { name, ..DeviceAdd::default() };
    while !words.is_empty() {
        if words.eat("pcap") {
            words.need(1)?;
            req.capture = Some(absolute(words.take()?)?);
        } else if words.eat("rate") {
            words.need(1)?;
            let word = words.take()?;
            let rate = parse(word, 0).and_then(|rate| u32::try_from(rate).ok());
            let rate = rate.filter(|rate| *rate != 0);
            req.rate = rate.ok_or_else(|| Fail::new(format!("can't parse {word} as rate")))?;
        } else if words.eat("real") {
            words.need(1)?;
            req.real = Some(words.take()?.to_owned());
        } else if words.eat("loop") {
            req.again = true;
        } else if words.eat("out") {
            words.need(1)?;
            req.out = Some(absolute_new(words.take()?)?);
        } else if words.eat("peer") {
            words.need(1)?;
            req.peer = Some(words.take()?.to_owned());
        } else {
            let got = words.peek().unwrap_or_default();
            let what = format!(
                "expected '--pcap', '--rate', '--loop', '--out', '--real' or '--peer', got: '{got}'?"
            );
            return Err(Fail::new(what));
        }
    }
    let done = ctx.door()?.device_add(&req);
    done.map_err(|errno| match (errno, &req.capture) {
        (Errno::EPERM | Errno::EACCES, None) if req.real.is_some() => {
            let real = req.real.as_deref().unwrap_or_default();
            let what = "packets of the system's interfaces are root's (CAP_NET_RAW)";
            Fail::new(format!("can't add {}: {real}: {what}", req.name)).code(-errno.0)
        }
        (Errno::ENODEV, None) if req.real.is_some() => {
            let real = req.real.as_deref().unwrap_or_default();
            Fail::new(format!("can't add {}: there is no interface {real}", req.name))
        }
        (Errno::EINVAL, Some(file)) => {
            Fail::new(format!("can't add {}: {file} is no capture, or a bad name", req.name))
        }
        _ => failed("can't add", &req.name, errno),
    })?;
    Ok(Answer::null())
}

/// The daemon works in another folder.
fn absolute(file: &str) -> Result<String, Fail> {
    let found = std::fs::canonicalize(Path::new(file));
    let found = found.map_err(|error| Fail::of(format!("can't open {file}"), io_errno(&error)))?;
    found.into_os_string().into_string().map_err(|_| Fail::new("the path is not UTF-8"))
}

/// The same for a file that need not be there.
fn absolute_new(file: &str) -> Result<String, Fail> {
    let path = std::path::absolute(Path::new(file));
    let path = path.map_err(|error| Fail::of(format!("can't open {file}"), io_errno(&error)))?;
    path.into_os_string().into_string().map_err(|_| Fail::new("the path is not UTF-8"))
}

fn failed(what: &str, name: &str, errno: Errno) -> Fail {
    Fail::new(format!("{what} {name}: {}", strerror(errno))).code(-errno.0)
}

struct Devices(Vec<DeviceInfo>);

fn state(device: &DeviceInfo) -> &'static str {
    match () {
        () if !device.error.is_empty() => "failed",
        () if device.ended => "ended",
        () if device.made.capture.is_none() && device.made.real.is_none() => "idle",
        () => "running",
    }
}

impl Show for Devices {
    fn plain(&self, out: &mut Vec<u8>) {
        for device in &self.0 {
            let (made, counts) = (&device.made, &device.counts);
            let mut text = format!("{}: {}  {}", device.ifindex, made.name, state(device));
            if let Some(file) = &made.capture {
                text += &format!("  pcap {file}");
            }
            if made.rate != 0 {
                text += &format!("  rate {}", made.rate);
            }
            if made.again {
                text += "  loop";
            }
            if let Some(file) = &made.out {
                text += &format!("  out {file}");
            }
            if let Some(real) = &made.real {
                text += &format!("  real {real}");
            }
            if let Some(peer) = &made.peer {
                text += &format!("  peer {peer}");
            }
            text += &format!("\n\tpackets {}  bytes {}\n\txdp", counts.packets, counts.bytes);
            if device.xdp_prog != 0 {
                text += &format!(" id {}", device.xdp_prog);
            }
            text += &format!(
                "  pass {}  drop {}  tx {}  redirect {}  aborted {}\n",
                counts.pass, counts.drop, counts.tx, counts.redirect, counts.aborted
            );
            let tc = [
                ("tc", [counts.tc_pass, counts.tc_drop, counts.tc_redirect]),
                ("egress", [counts.egress_pass, counts.egress_drop, counts.egress_redirect]),
            ];
            for (side, [pass, drop, redirect]) in tc {
                if pass + drop + redirect != 0 {
                    text += &format!("\t{side}  pass {pass}  drop {drop}  redirect {redirect}\n");
                }
            }
            if counts.sent != 0 {
                text += &format!("\tsent  packets {}  bytes {}\n", counts.sent, counts.sent_bytes);
            }
            if counts.lost != 0 {
                text += &format!("\tlost  packets {}\n", counts.lost);
            }
            if !device.error.is_empty() {
                text += &format!("\t{}\n", device.error);
            }
            out.extend_from_slice(text.as_bytes());
        }
    }

    fn json(&self, out: &mut JsonText) {
        out.begin_array();
        for device in &self.0 {
            let (made, counts) = (&device.made, &device.counts);
            out.begin_object();
            number(out, "ifindex", device.ifindex);
            string(out, "devname", &made.name);
            string(out, "state", state(device));
            if let Some(file) = &made.capture {
                string(out, "pcap", file);
            }
            if let Some(file) = &made.out {
                string(out, "out", file);
            }
            if let Some(real) = &made.real {
                string(out, "real", real);
            }
            if let Some(peer) = &made.peer {
                string(out, "peer", peer);
            }
            number(out, "rate", made.rate);
            number(out, "loop", made.again);
            if !device.error.is_empty() {
                string(out, "error", &device.error);
            }
            for (name, count) in [
                ("packets", counts.packets),
                ("bytes", counts.bytes),
                ("xdp_aborted", counts.aborted),
                ("xdp_drop", counts.drop),
                ("xdp_pass", counts.pass),
                ("xdp_tx", counts.tx),
                ("xdp_redirect", counts.redirect),
                ("tc_pass", counts.tc_pass),
                ("tc_drop", counts.tc_drop),
                ("tc_redirect", counts.tc_redirect),
                ("egress_pass", counts.egress_pass),
                ("egress_drop", counts.egress_drop),
                ("egress_redirect", counts.egress_redirect),
                ("tx_packets", counts.sent),
                ("tx_bytes", counts.sent_bytes),
                ("lost", counts.lost),
            ] {
                number(out, name, count);
            }
            number(out, "xdp_prog_id", device.xdp_prog);
            out.end_object();
        }
        out.end_array();
    }
}
