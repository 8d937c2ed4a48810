//! Lengths that an Arrow file gives of its parts, looked at before anybody makes room for them: the reader takes them at
//! their word, and a process that asks for more memory than there is ends without a word.

use arrow::ipc::{Block, Message, root_as_footer, root_as_message};
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

/// The most that a byte of a compressed buffer can hold: Zstandard writes 128 KiB of one byte as 4 bytes.
const MOST_HELD: u64 = 32 << 10;
/// What stands at the end of an Arrow file: the length of its footer and its mark.
const TRAILER: u64 = 10;

/// Looks at the lengths of an Arrow file.
pub fn check_file(path: &Path) -> Result<(), String> {
    let mut file = Measured::open(path)?;
    let trailer = file.read(file.length.checked_sub(TRAILER).ok_or("it is cut off")?, TRAILER)?;
    let footer = i32::from_le_bytes([trailer[0], trailer[1], trailer[2], trailer[3]]);
    let footer = u64::try_from(footer).map_err(|_| damaged("footer", footer.into()))?;
    let start = (file.length - TRAILER).checked_sub(footer).ok_or_else(|| damaged("footer", footer.into()))?;
    let bytes = file.read(start, footer)?;
    let footer = root_as_footer(&bytes).map_err(|error| error.to_string())?;
    let dictionaries = footer.dictionaries().into_iter().flatten();
    for block in dictionaries.chain(footer.recordBatches().into_iter().flatten()) {
        file.check_block(block)?;
    }
    Ok(())
}

/// Looks at the lengths of an Arrow stream.
pub fn check_stream(path: &Path) -> Result<(), String> {
    let mut file = Measured::open(path)?;
    let mut at = 0;
    while at + 4 <= file.length {
        let (header, metadata) = file.message_at(at)?;
        if metadata.is_empty() {
            break;
        }
        let message = root_as_message(&metadata).map_err(|error| error.to_string())?;
        let body = at + header + metadata.len() as u64;
        at = body + file.check_message(&message, body)?;
    }
    Ok(())
}

struct Measured {
    file: BufReader<File>,
    length: u64,
}

impl Measured {
    fn open(path: &Path) -> Result<Self, String> {
        let file = File::open(path).map_err(|error| error.to_string())?;
        let length = file.metadata().map_err(|error| error.to_string())?.len();
        Ok(Self { file: BufReader::new(file), length })
    }

    /// The `length` bytes at `start`.
    fn read(&mut self, start: u64, length: u64) -> Result<Vec<u8>, String> {
        if start.checked_add(length).is_none_or(|end| end > self.length) {
            return Err(damaged("part", length.into()));
        }
        self.file.seek(SeekFrom::Start(start)).map_err(|error| error.to_string())?;
        let mut bytes = vec![0; usize::try_from(length).map_err(|error| error.to_string())?];
        self.file.read_exact(&mut bytes).map_err(|error| error.to_string())?;
        Ok(bytes)
    }

    /// The length of what stands before a message, and the message without its body; nothing at the end of a stream.
    fn message_at(&mut self, at: u64) -> Result<(u64, Vec<u8>), String> {
        let word = |bytes: Vec<u8>| i32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        let first = word(self.read(at, 4)?);
        // Before 2019 the mark of a message was left out.
        let (header, length) = if first == -1 { (8, word(self.read(at + 4, 4)?)) } else { (4, first) };
        let length = u64::try_from(length).map_err(|_| damaged("message", length.into()))?;
        Ok((header, self.read(at + header, length)?))
    }

    fn check_block(&mut self, block: &Block) -> Result<(), String> {
        let place = |length: i64| u64::try_from(length).map_err(|_| damaged("block", length.into()));
        let (start, metadata, body) =
            (place(block.offset())?, place(block.metaDataLength().into())?, place(block.bodyLength())?);
        let end = start.checked_add(metadata).and_then(|end| end.checked_add(body));
        if end.is_none_or(|end| end > self.length) {
            return Err(damaged("block", body.into()));
        }
        let (_, bytes) = self.message_at(start)?;
        let message = root_as_message(&bytes).map_err(|error| error.to_string())?;
        self.check_message(&message, start + metadata).map(drop)
    }

    /// Looks at a message whose body begins at `body`; gives the body's length.
    fn check_message(&mut self, message: &Message<'_>, body: u64) -> Result<u64, String> {
        let stated = message.bodyLength();
        let length = u64::try_from(stated).map_err(|_| damaged("body", stated.into()))?;
        if body.checked_add(length).is_none_or(|end| end > self.length) {
            return Err(damaged("body", stated.into()));
        }
        let within = message.header_as_dictionary_batch().and_then(|dictionary| dictionary.data());
        let Some(batch) = message.header_as_record_batch().or(within) else { return Ok(length) };
        for buffer in batch.buffers().into_iter().flatten() {
            let (start, size) = (buffer.offset(), buffer.length());
            let place = u64::try_from(start).ok().zip(u64::try_from(size).ok());
            let place = place.filter(|(start, size)| start.checked_add(*size).is_some_and(|end| end <= length));
            let (start, size) = place.ok_or_else(|| damaged("buffer", size.into()))?;
            if batch.compression().is_some() && size >= 8 {
                let held = self.read(body + start, 8)?.try_into().map_or(-1, i64::from_le_bytes);
                if u64::try_from(held).is_ok_and(|held| held > (size - 8).saturating_mul(MOST_HELD)) {
                    return Err(damaged("compressed buffer", held.into()));
                }
            }
        }
        Ok(length)
    }
}

fn damaged(part: &str, length: i128) -> String {
    format!("it is damaged or cut off: the length of a {part} cannot be {length}")
}
