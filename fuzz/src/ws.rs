//! The WebSocket codec.

use lunix_proto::ws::{
    Close, CloseCode, DecodeError, Decoder, Event, Kind, MAX_UNDECODED, Mask, Side, encode,
};

/// A client's stream says the same however it is cut into pieces, and the encoders say it again.
pub fn client_stream(data: &[u8]) {
    stream(Side::Client, data);
}

/// A server's stream, likewise.
pub fn server_stream(data: &[u8]) {
    stream(Side::Server, data);
}

/// The input: how many pieces to cut and how long messages may be, their lengths, the stream.
fn stream(sender: Side, data: &[u8]) {
    let Some((&first, rest)) = data.split_first() else { return };
    let limit = if first & 0x80 == 0 { u64::MAX } else { 16 };
    let Some((pieces, stream)) = rest.split_at_checked(usize::from(first & 0x0F)) else { return };
    let (said, error) = decode(sender, limit, stream, pieces);
    let whole = decode(sender, limit, stream, &[]);
    assert_eq!((&said, error), (&whole.0, whole.1));

    let again = encode_all(sender, &said);
    let (said_again, error) = decode(sender, limit, &again, &[]);
    assert_eq!((said_again, error), (said, None));
}

#[derive(Debug, PartialEq, Eq)]
enum Said {
    /// What is there of a message, and whether that is all of it.
    Data(Kind, Vec<u8>, bool),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<(CloseCode, String)>),
}

/// Decodes a stream whose pieces have these lengths, from the first again after the last. A message that an error
/// ends, or that control frames cut, is said as far as it came before them.
fn decode(sender: Side, limit: u64, stream: &[u8], pieces: &[u8]) -> (Vec<Said>, Option<DecodeError>) {
    let mut decoder = Decoder::new(sender, limit);
    let mut said: Vec<Said> = Vec::new();
    let mut closed = false;
    let (mut start, mut end) = (0, 0);
    let mut lengths = pieces.iter().cycle();
    while end < stream.len() {
        let length = lengths.next().map_or(stream.len(), |length| usize::from(*length).max(1));
        end = stream.len().min(end + length);
        loop {
            // A copy of its own: nothing may hang on to where the bytes were before.
            let mut bytes = stream[start..end].to_vec();
            let before = bytes.clone();
            match decoder.decode(&mut bytes) {
                Ok(None) => {
                    assert!(closed || bytes.len() < MAX_UNDECODED);
                    assert_eq!(bytes, before);
                    break;
                }
                Err(error) => {
                    assert_eq!(decoder.decode(&mut bytes), Err(error));
                    // How much of the text before was said depends on the cuts.
                    if error == DecodeError::Utf8
                        && matches!(said.last(), Some(Said::Data(Kind::Text, _, false)))
                    {
                        said.pop();
                    }
                    return (said, Some(error));
                }
                Ok(Some((event, len))) => {
                    start += len;
                    match (event, said.last_mut()) {
                        (
                            Event::Data { bytes: more, last, .. },
                            Some(Said::Data(_, bytes, whole @ false)),
                        ) => {
                            bytes.extend_from_slice(more);
                            *whole = last;
                        }
                        (Event::Data { kind, bytes, last }, _) => {
                            said.push(Said::Data(kind, bytes.to_vec(), last))
                        }
                        (Event::Ping(payload), _) => said.push(Said::Ping(payload.to_vec())),
                        (Event::Pong(payload), _) => said.push(Said::Pong(payload.to_vec())),
                        (Event::Close(close), _) => {
                            said.push(Said::Close(
                                close.map(|Close { code, reason }| (code, reason.to_owned())),
                            ));
                            closed = true;
                        }
                    }
                    assert_eq!(bytes[len..], before[len..]);
                }
            }
        }
    }
    (said, None)
}

fn encode_all(sender: Side, said: &[Said]) -> Vec<u8> {
    let key = (sender == Side::Client).then_some([1, 2, 3, 4]);
    let mut stream = Vec::new();
    let mut first = true;
    for said in said {
        let mut room = [0; MAX_UNDECODED];
        let len = match said {
            Said::Data(kind, bytes, last) => {
                let len = encode::data(&mut room, *kind, first, *last, bytes.len() as u64, key);
                first = *last;
                stream.extend_from_slice(&room[..len.expect("room")]);
                let mut bytes = bytes.clone();
                if let Some(key) = key {
                    Mask::new(key).apply(&mut bytes);
                }
                stream.extend_from_slice(&bytes);
                continue;
            }
            Said::Ping(payload) => encode::ping(&mut room, payload, key),
            Said::Pong(payload) => encode::pong(&mut room, payload, key),
            Said::Close(None) => encode::close(&mut room, CloseCode(1005), "", key),
            Said::Close(Some((code, reason))) => encode::close(&mut room, *code, reason, key),
        };
        stream.extend_from_slice(&room[..len.expect("room")]);
    }
    stream
}
