//! The codec of every method: small buffers, and a decode error that names the field at fault.
//!
//! tonic's own answers INTERNAL for a string that is not UTF-8, and allocates 8 KiB twice a request.

use crate::transport::fault::Fault;
use crate::transport::grpc::status;
use bytes::{Buf as _, BufMut as _, Bytes};
use prost::{DecodeError, Message};
use std::marker::PhantomData;
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

/// An ordinary request or answer fits; a larger one grows its buffer once.
const BUFFER_BYTES: usize = 2 * 1024;

/// Answers of a stream are collected up to this size before they are sent.
const YIELD_BYTES: usize = 32 * 1024;

/// prost messages over gRPC.
#[derive(Debug)]
pub struct ProtoCodec<T, U>(PhantomData<(T, U)>);

/// A message that is encoded already: once, for all streams that it goes into.
#[derive(Clone, Debug)]
pub struct Encoded(Bytes);

impl Encoded {
    /// Encodes it.
    pub fn of(message: &impl Message) -> Self {
        Self(message.encode_to_vec().into())
    }
}

/// What can be sent as one message.
pub trait Outgoing {
    /// Writes its bytes.
    fn write(&self, buffer: &mut EncodeBuf<'_>);
}

impl<T: Message> Outgoing for T {
    fn write(&self, buffer: &mut EncodeBuf<'_>) {
        self.encode_raw(buffer);
    }
}

impl Outgoing for Encoded {
    fn write(&self, buffer: &mut EncodeBuf<'_>) {
        buffer.put_slice(&self.0);
    }
}

/// Writes one message.
#[derive(Debug)]
pub struct ProtoEncoder<T>(PhantomData<T>);

/// Reads one message.
#[derive(Debug)]
pub struct ProtoDecoder<U>(PhantomData<U>);

impl<T, U> Default for ProtoCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T: Outgoing + Send + 'static, U: Message + Default + Send + 'static> Codec for ProtoCodec<T, U> {
    type Encode = T;
    type Decode = U;
    type Encoder = ProtoEncoder<T>;
    type Decoder = ProtoDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProtoEncoder(PhantomData)
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProtoDecoder(PhantomData)
    }
}

impl<T: Outgoing> Encoder for ProtoEncoder<T> {
    type Item = T;
    type Error = Status;

    fn encode(&mut self, item: T, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.write(buffer);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(BUFFER_BYTES, YIELD_BYTES)
    }
}

impl<U: Message + Default> Decoder for ProtoDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        let message = U::decode(&mut *buffer).map(Some);
        // What a broken message leaves unread would be taken for the header of the next one.
        buffer.advance(buffer.remaining());
        message.map_err(|error| status::of(undecodable(&error)))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(BUFFER_BYTES, YIELD_BYTES)
    }
}

/// prost tells the field only in the text of its error: `failed to decode Protobuf message: Inner.b: Outer.a: what is wrong`.
/// Names of messages and fields come from the protobuf files, so nothing of the input is in it.
fn undecodable(error: &DecodeError) -> Fault {
    let text = error.to_string();
    let mut rest = text.split_once(": ").map_or(text.as_str(), |(_, rest)| rest);
    let mut path = Vec::new();
    while let Some((place, after)) = rest.split_once(": ") {
        let Some((_message, field)) = place.split_once('.') else { break };
        if field.is_empty() || !field.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            break;
        }
        path.push(field);
        rest = after;
    }
    // The innermost comes first.
    path.reverse();
    Fault::undecodable(&path.join("."), &format!("cannot be decoded: {rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api;

    #[test]
    fn the_innermost_field_is_named_with_its_way() {
        // authentication (6) { acr (2) = 0xFF }
        let error = api::IssueRequest::decode(&[0x32, 0x03, 0x12, 0x01, 0xFF][..]).unwrap_err();
        let fault = undecodable(&error);
        assert_eq!(fault.violations[0].field, "authentication.acr");
        assert_eq!(fault.violations[0].problem, "cannot be decoded: invalid string value: data is not UTF-8 encoded");
    }

    #[test]
    fn an_error_of_no_field_is_of_the_message() {
        let error = api::IssueRequest::decode(&[0x00][..]).unwrap_err();
        let fault = undecodable(&error);
        assert!(fault.violations.is_empty());
        assert_eq!(fault.reason.word(), "MESSAGE_MALFORMED");
    }
}
