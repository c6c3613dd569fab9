//! Room for encoders, which say how much they need.

use lunix_proto::Full;

/// Encodes into `out`, which grows to what `encode` says it needs. The length; 0 if that was not enough either.
///
/// ```
/// use lunix::encoded::fill;
/// use lunix_proto::Full;
///
/// let greet = |out: &mut [u8]| {
///     let text = b"hello";
///     out.get_mut(..text.len()).ok_or(Full { needed: text.len() })?.copy_from_slice(text);
///     Ok(text.len())
/// };
/// let mut out = vec![0; 2];
/// assert_eq!(fill(&mut out, greet), 5);
/// assert_eq!(out, b"hello");
/// ```
pub fn fill(out: &mut Vec<u8>, encode: impl Fn(&mut [u8]) -> Result<usize, Full>) -> usize {
    match encode(out) {
        Ok(length) => length,
        Err(full) => {
            out.resize(full.needed, 0);
            encode(out).unwrap_or(0)
        }
    }
}

/// What `encode` makes, which takes `room` bytes as a rule.
///
/// ```
/// use lunix::encoded::encoded;
/// use lunix_proto::nats::encode;
///
/// assert_eq!(encoded(64, |out| encode::err(out, b"no")), b"-ERR 'no'\r\n");
/// assert_eq!(encoded(1, |out| encode::err(out, b"no")), b"-ERR 'no'\r\n");
/// ```
pub fn encoded(room: usize, encode: impl Fn(&mut [u8]) -> Result<usize, Full>) -> Vec<u8> {
    let mut out = vec![0; room];
    let length = fill(&mut out, encode);
    out.truncate(length);
    out
}
