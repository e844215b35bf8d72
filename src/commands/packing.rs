//! Files that are packed with gzip or zstd: told by their name when written, by their first bytes when read.

use std::{
    io::{self, BufReader, Read, Write},
    path::Path,
};

use flate2::{Compression, bufread::MultiGzDecoder, write::GzEncoder};

const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
/// A file of any other kind is read whatever window it was written with.
const LARGEST_WINDOW_LOG: u32 = 31;

/// A file that is only whole once it is finished.
pub(super) trait Packer: Write + Send {
    fn finish(self: Box<Self>) -> io::Result<()>;
}

struct Plain<W>(W);

impl<W: Write> Write for Plain<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl<W: Write + Send> Packer for Plain<W> {
    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.0.flush()
    }
}

impl<W: Write + Send> Packer for GzEncoder<W> {
    fn finish(self: Box<Self>) -> io::Result<()> {
        GzEncoder::finish(*self)?.flush()
    }
}

impl<W: Write + Send> Packer for zstd::Encoder<'static, W> {
    fn finish(self: Box<Self>) -> io::Result<()> {
        zstd::Encoder::finish(*self)?.flush()
    }
}

/// Packs what goes into a file as its name says.
pub(super) fn pack(plain: impl Write + Send + 'static, file: Option<&Path>) -> io::Result<Box<dyn Packer>> {
    Ok(match file.and_then(Path::extension).and_then(|ending| ending.to_str()) {
        Some("gz") => Box::new(GzEncoder::new(plain, Compression::default())),
        Some("zst") => Box::new(zstd::Encoder::new(plain, 0)?),
        _ => Box::new(Plain(plain)),
    })
}

/// Unpacks what its first bytes say is packed.
pub(super) fn unpack(input: impl Read + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
    let mut input = BufReader::with_capacity(1 << 16, input);
    // A pipe may hand them out one by one.
    let mut first = Vec::new();
    input.by_ref().take(ZSTD.len() as u64).read_to_end(&mut first)?;
    let (gzip, zstd) = (first.starts_with(GZIP), first.starts_with(ZSTD));
    let input = io::Cursor::new(first).chain(input);
    if gzip {
        Ok(Box::new(MultiGzDecoder::new(input)))
    } else if zstd {
        let mut decoder = zstd::Decoder::with_buffer(input)?;
        decoder.window_log_max(LARGEST_WINDOW_LOG)?;
        Ok(Box::new(decoder))
    } else {
        Ok(Box::new(input))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_is_packed_by_its_name_is_unpacked_by_its_bytes() {
        for (name, first) in [("a.ndjson", &b"text"[..4]), ("a.ndjson.gz", GZIP), ("a.zst", ZSTD)] {
            let written = Shared::default();
            let mut packer = pack(written.clone(), Some(Path::new(name))).unwrap();
            packer.write_all(b"text and more").unwrap();
            packer.finish().unwrap();
            let bytes = written.0.lock().unwrap().clone();
            assert!(bytes.starts_with(first), "{name}");
            // Two behind each other are one, as with the tools.
            let mut text = String::new();
            let slow = io::Cursor::new(bytes[..1].to_vec()).chain(io::Cursor::new([&bytes[1..], &bytes].concat()));
            unpack(slow).unwrap().read_to_string(&mut text).unwrap();
            assert_eq!(text, "text and moretext and more", "{name}");
        }
        let mut nothing = Vec::new();
        unpack(io::empty()).unwrap().read_to_end(&mut nothing).unwrap();
        assert!(nothing.is_empty());
    }
}
