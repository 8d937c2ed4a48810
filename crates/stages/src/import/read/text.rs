//! Text out of files: decompressed, in UTF-8, without the mark at its beginning.

use super::utf8::Utf8;
use retort_pipeline::PipelineError;
use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Read};
use std::path::Path;

/// Bytes of text.
pub type Input = Box<dyn BufRead>;

const BUFFER: usize = 1 << 18;

/// Opens a file of text: gzip and Zstandard by their first bytes, UTF-16 by its mark or its zeros. What is not text is an
/// error that says what it looks like.
pub fn open(path: &Path) -> Result<Input, PipelineError> {
    let error = || PipelineError::io("read", path);
    let mut raw = BufReader::with_capacity(BUFFER, File::open(path).map_err(error())?);
    let mut input: Input = match raw.fill_buf().map_err(error())? {
        [0x1f, 0x8b, ..] => Box::new(BufReader::with_capacity(BUFFER, flate2::bufread::MultiGzDecoder::new(raw))),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            let decoder = zstd::Decoder::with_buffer(raw).map_err(error())?;
            Box::new(BufReader::with_capacity(BUFFER, decoder))
        }
        _ => Box::new(raw),
    };
    let start = input.fill_buf().map_err(error())?;
    let refuse = |what: &str| Err(PipelineError::argument(format!("cannot read `{}`: {what}", path.display())));
    match start {
        [0xef, 0xbb, 0xbf, ..] => input.consume(3),
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => {
            return refuse("it is UTF-32; convert it with `iconv -f UTF-32 -t UTF-8`");
        }
        [0xff, 0xfe, ..] | [_, 0, ..] => return utf16(path, input, u16::from_le_bytes),
        [0xfe, 0xff, ..] | [0, _, ..] => return utf16(path, input, u16::from_be_bytes),
        start if start.starts_with(b"version https://git-lfs") => {
            return refuse("it is a pointer of Git LFS, not the file itself; fetch it with `git lfs pull`");
        }
        start if start.starts_with(b"PK\x03\x04") => return refuse("it is a ZIP file; unpack it first"),
        start if start.starts_with(b"<!DOCTYPE") || start.starts_with(b"<html") => {
            return refuse("it is a web page, not data");
        }
        _ => {}
    }
    Ok(Box::new(Utf8::new(input)))
}

fn utf16(path: &Path, mut input: Input, unit: fn([u8; 2]) -> u16) -> Result<Input, PipelineError> {
    let mut bytes = Vec::new();
    input.read_to_end(&mut bytes).map_err(PipelineError::io("read", path))?;
    let units = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
    let text: Option<String> = char::decode_utf16(units).collect::<Result<_, _>>().ok();
    let text = text.filter(|_| bytes.len().is_multiple_of(2)).ok_or_else(|| {
        let reason = "it looks like UTF-16 but is damaged or cut off; convert it with `iconv -f UTF-16 -t UTF-8`";
        PipelineError::argument(format!("cannot read `{}`: {reason}", path.display()))
    })?;
    Ok(Box::new(Cursor::new(text.trim_start_matches('\u{feff}').as_bytes().to_vec())))
}
