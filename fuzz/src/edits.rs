//! Damage to a file, as a program: what a fuzzer changes is then a few bytes,
//! and the file is otherwise whole.

/// Bytes that a damaged file has at most.
const FILE_BYTES_MAX: usize = 8 * 1024;
/// Bytes of one step: what to do, where, and a value.
const STEP_BYTES: usize = 4;

/// Changes a file step by step.
pub(crate) fn damage(file: &mut Vec<u8>, program: &[u8]) {
    for step in program.chunks_exact(STEP_BYTES) {
        let (what, value) = (step[0], step[3]);
        let at = usize::from(u16::from_le_bytes([step[1], step[2]]));
        change(file, what, at, value);
    }
}

fn change(file: &mut Vec<u8>, what: u8, at: usize, value: u8) {
    let at = at % (file.len() + 1);
    let end = (at + usize::from(value)).min(file.len());
    match what % 8 {
        0 if at < file.len() => file[at] = value,
        1 if at < file.len() => file[at] ^= 1 << (value % 8),
        2 if at < file.len() => file[at] = file[at].wrapping_add(value),
        3 => file[at..end].fill(0),
        4 => file[at..end].fill(0xff),
        5 => file.truncate(at),
        6 => file.resize((file.len() + 8 * usize::from(value)).min(FILE_BYTES_MAX), value),
        7 => {
            // One of the first 4 KiB's places of 16 bytes, over what is here.
            let from = (usize::from(value) * 16).min(file.len());
            let piece = file[from..(from + 64).min(file.len())].to_vec();
            let end = (at + piece.len()).min(file.len());
            file[at..end].copy_from_slice(&piece[..end - at]);
        }
        _ => {}
    }
}
