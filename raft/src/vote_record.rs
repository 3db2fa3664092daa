//! The bytes of a vote, in the log and in messages: `[term u64][node u64][committed u8]`.

use bytes::Bytes;

use crate::{
    fields::{FieldError, FieldReader, FieldWriter},
    leader_id::LeaderId,
    types::RaftVote,
};

pub(crate) fn put(writer: &mut FieldWriter, vote: &RaftVote) {
    writer.u64(vote.leader_id.term).u64(vote.leader_id.node_id).u8(vote.committed.into());
}

pub(crate) fn take(reader: &mut FieldReader) -> Result<RaftVote, FieldError> {
    let leader_id = LeaderId { term: reader.u64()?, node_id: reader.u64()? };
    Ok(RaftVote { leader_id, committed: reader.flag()? })
}

pub(crate) fn encode(vote: &RaftVote) -> Bytes {
    let mut writer = FieldWriter::default();
    put(&mut writer, vote);
    writer.finish()
}

pub(crate) fn decode(bytes: Bytes) -> Result<RaftVote, FieldError> {
    let mut reader = FieldReader::new(bytes);
    let vote = take(&mut reader)?;
    reader.end()?;
    Ok(vote)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vote_survives_its_bytes() {
        for vote in [RaftVote::new(4, 2), RaftVote::new_committed(9, 1)] {
            assert_eq!(decode(encode(&vote)).unwrap(), vote);
        }
        assert!(decode(encode(&RaftVote::new(4, 2)).slice(..16)).is_err());
    }
}
