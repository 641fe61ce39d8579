//! The first message of a handshake that no server of ours goes on with.

/// A whole ClientHello of TLS 1.1, as no TLS library that we link can write it.
pub(crate) fn tls_11_hello() -> Vec<u8> {
    let mut hello = vec![3, 2];
    hello.extend([7; 32]);
    hello.push(0);
    // ECDHE-ECDSA, ECDHE-RSA and RSA with AES-CBC and SHA-1.
    hello.extend([0, 6, 0xc0, 0x09, 0xc0, 0x13, 0x00, 0x2f]);
    hello.extend([1, 0]);
    // Extensions: the curve P-256, and uncompressed points.
    let extensions = [0, 10, 0, 4, 0, 2, 0, 23, 0, 11, 0, 2, 1, 0];
    hello.extend([0, 14]);
    hello.extend(extensions);
    let length = u8::try_from(hello.len()).expect("a short message");
    let mut record = vec![22, 3, 1, 0, length + 4, 1, 0, 0, length];
    record.extend(hello);
    record
}
