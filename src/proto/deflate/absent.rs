//! In the codecs' place where the feature `deflate` is off: nothing can be negotiated, so nobody asks for one.

use super::InflateError;

#[derive(Debug)]
pub(crate) enum Deflater {}

#[derive(Debug, Default)]
pub(crate) struct Deflaters;

#[derive(Debug)]
pub(crate) enum Inflater {}

#[derive(Debug, Default)]
pub(crate) struct Inflaters;

impl Deflaters {
    pub(crate) fn deflate(&mut self, _: &[u8], _: u8, _: u8) -> Option<&[u8]> {
        None
    }

    pub(crate) fn deflate_on(&mut self, _: &[u8], _: u8, _: u8, _: &mut Option<Deflater>) -> Option<&[u8]> {
        None
    }
}

impl Inflaters {
    pub(crate) fn borrow(&mut self, _: &[u8]) -> Option<Box<Inflater>> {
        None
    }

    pub(crate) fn give_back(&mut self, _: Box<Inflater>) {}
}

impl Inflater {
    pub(crate) fn inflate(
        &mut self,
        _: &[u8],
        _: &mut Vec<u8>,
        _: u64,
        _: &[u8],
    ) -> Result<(), InflateError> {
        match *self {}
    }

    pub(crate) fn finish(&mut self, _: &mut Vec<u8>, _: u64, _: &[u8]) -> Result<(), InflateError> {
        match *self {}
    }
}
