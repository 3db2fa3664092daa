//! Fixed fields, little-endian, as peer messages and membership records are made of.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Why bytes are not what they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// The bytes end within a field.
    #[error("bytes end within a field")]
    Short,
    /// A field holds a value that has no meaning.
    #[error("{field} has the unknown value {value}")]
    Unknown {
        /// The field.
        field: &'static str,
        /// Its value.
        value: u64,
    },
    /// Text is not UTF-8.
    #[error("text is not UTF-8")]
    Text,
    /// There are bytes after the last field.
    #[error("{bytes} bytes follow the last field")]
    Trailing {
        /// How many.
        bytes: usize,
    },
}

/// Writes fields.
#[derive(Default)]
pub(crate) struct FieldWriter(BytesMut);

impl FieldWriter {
    pub(crate) fn u8(&mut self, value: u8) -> &mut Self {
        self.0.put_u8(value);
        self
    }

    pub(crate) fn u16(&mut self, value: u16) -> &mut Self {
        self.0.put_u16_le(value);
        self
    }

    pub(crate) fn u32(&mut self, value: u32) -> &mut Self {
        self.0.put_u32_le(value);
        self
    }

    pub(crate) fn u64(&mut self, value: u64) -> &mut Self {
        self.0.put_u64_le(value);
        self
    }

    pub(crate) fn len(&mut self, value: usize) -> &mut Self {
        self.u32(u32::try_from(value).expect("lengths are bounded far below 4 GiB"))
    }

    pub(crate) fn raw(&mut self, value: &[u8]) -> &mut Self {
        self.0.put_slice(value);
        self
    }

    pub(crate) fn text(&mut self, value: &str) -> &mut Self {
        self.len(value.len()).raw(value.as_bytes())
    }

    pub(crate) fn finish(self) -> Bytes {
        self.0.freeze()
    }
}

/// Reads fields; slices share the input's memory.
pub(crate) struct FieldReader(Bytes);

impl FieldReader {
    pub(crate) fn new(bytes: Bytes) -> Self {
        Self(bytes)
    }

    fn need(&self, bytes: usize) -> Result<(), FieldError> {
        if self.0.len() < bytes { Err(FieldError::Short) } else { Ok(()) }
    }

    pub(crate) fn u8(&mut self) -> Result<u8, FieldError> {
        self.need(1)?;
        Ok(self.0.get_u8())
    }

    pub(crate) fn u16(&mut self) -> Result<u16, FieldError> {
        self.need(2)?;
        Ok(self.0.get_u16_le())
    }

    pub(crate) fn u32(&mut self) -> Result<u32, FieldError> {
        self.need(4)?;
        Ok(self.0.get_u32_le())
    }

    pub(crate) fn u64(&mut self) -> Result<u64, FieldError> {
        self.need(8)?;
        Ok(self.0.get_u64_le())
    }

    pub(crate) fn flag(&mut self) -> Result<bool, FieldError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(FieldError::Unknown { field: "flag", value: other.into() }),
        }
    }

    pub(crate) fn raw(&mut self, bytes: usize) -> Result<Bytes, FieldError> {
        self.need(bytes)?;
        Ok(self.0.split_to(bytes))
    }

    /// A count of things of at least `size_min` bytes each, so that a false count cannot reserve memory.
    pub(crate) fn count(&mut self, size_min: usize) -> Result<usize, FieldError> {
        let count = self.u32()? as usize;
        self.need(count.saturating_mul(size_min))?;
        Ok(count)
    }

    pub(crate) fn text(&mut self) -> Result<String, FieldError> {
        let bytes = self.u32()? as usize;
        let text = self.raw(bytes)?;
        std::str::from_utf8(&text).map(str::to_owned).map_err(|_| FieldError::Text)
    }

    pub(crate) fn end(self) -> Result<(), FieldError> {
        if self.0.is_empty() { Ok(()) } else { Err(FieldError::Trailing { bytes: self.0.len() }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_false_count_is_refused_before_memory_is_reserved() {
        let mut writer = FieldWriter::default();
        writer.u32(u32::MAX);
        assert_eq!(FieldReader::new(writer.finish()).count(8), Err(FieldError::Short));
    }

    #[test]
    fn fields_read_back_as_written() {
        let mut writer = FieldWriter::default();
        writer.u8(1).u16(2).u32(3).u64(4).text("größe");
        let mut reader = FieldReader::new(writer.finish());
        assert_eq!(reader.flag(), Ok(true));
        assert_eq!((reader.u16(), reader.u32(), reader.u64()), (Ok(2), Ok(3), Ok(4)));
        assert_eq!(reader.text(), Ok("größe".to_owned()));
        assert_eq!(reader.end(), Ok(()));
    }
}
