//! The configuration that a kernel was built with: where it is, and its text.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use crate::Error;
use crate::object::read;

/// What gzip files begin with.
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// Most bytes of text; real ones have some 300 KiB.
const LIMIT: u64 = 16 << 20;

/// The running kernel's, where libbpf looks for it.
pub(crate) fn running() -> Option<PathBuf> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
    let boot = PathBuf::from(format!("/boot/config-{}", release.trim()));
    [boot, PathBuf::from("/proc/config.gz")].into_iter().find(|path| path.exists())
}

/// The text of a configuration, decompressed if it is in gzip's form.
pub(crate) fn text(path: &Path) -> Result<String, Error> {
    let bytes = read(path)?;
    let bytes = if bytes.starts_with(&GZIP) {
        unpack(&bytes).map_err(|source| Error::Read { file: path.display().to_string(), source })?
    } else {
        bytes
    };
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn unpack(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    MultiGzDecoder::new(bytes).take(LIMIT + 1).read_to_end(&mut text)?;
    if text.len() as u64 > LIMIT {
        let message = format!("more than {LIMIT} bytes of configuration");
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, message));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// `CONFIG_HZ=250\n` by hand: one stored block of 14 bytes, after RFC 1952 and RFC 1951.
    fn by_hand() -> Vec<u8> {
        let head = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
        let stored = [1, 14, 0, !14, 0xff];
        let text = b"CONFIG_HZ=250\n";
        let tail = [crc32(text).to_le_bytes(), 14_u32.to_le_bytes()].concat();
        [&head[..], &stored, text, &tail].concat()
    }

    fn crc32(bytes: &[u8]) -> u32 {
        let step = |crc: u32| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
        !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc)))
    }

    fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().expect("temporary file");
        file.write_all(bytes).expect("written");
        file
    }

    #[test]
    fn a_file_made_by_hand_is_read() {
        for bytes in [by_hand(), b"CONFIG_HZ=250\n".to_vec()] {
            let text = text(file(&bytes).path()).expect("text");
            assert_eq!(loader::config_value(&text, "CONFIG_HZ"), Some("250"));
        }
    }

    #[test]
    fn damage_is_an_error() {
        let whole = by_hand();
        for len in 2..whole.len() {
            assert!(text(file(&whole[..len]).path()).is_err(), "{len} bytes of {}", whole.len());
        }
        let mut flipped = whole;
        flipped[20] ^= 1;
        assert!(text(file(&flipped).path()).is_err(), "wrong checksum");
    }

    #[test]
    fn the_running_kernels_own_file_unpacks() {
        let path = Path::new("/proc/config.gz");
        if !path.exists() {
            eprintln!("skipped: no /proc/config.gz here");
            return;
        }
        let zcat = std::process::Command::new("zcat").arg(path).output();
        let Ok(zcat) = zcat else {
            eprintln!("skipped: no zcat here");
            return;
        };
        assert_eq!(text(path).expect("text"), String::from_utf8_lossy(&zcat.stdout));
    }
}
