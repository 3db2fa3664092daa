use serde::{Deserialize, Serialize};
use weir_api::{ApiError, v1::SqlBody};
use weir_types::limits;

use super::Desk;
use crate::{folds::MOVES, plant::Plant};

/// What the tables of the accounts' moves hold, and the position that they reflect.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TablesTold {
    /// The position.
    pub position: u64,
    /// Position, stream and cents of each move, in the order in which they were put there.
    pub moves: Vec<(u64, String, i64)>,
}

impl Desk {
    pub(super) async fn tables(&self, min_position: u64) -> Result<TablesTold, ApiError> {
        let body = SqlBody {
            sql: "select position, stream, cents from moves order by rowid".to_owned(),
            projections: Some(vec![MOVES.to_owned()]),
            min_position: Some(min_position),
            limit: Some(limits::SQL_ROWS_MAX as u64),
            ..SqlBody::default()
        };
        let found = self.engine.sql(&body.to_question()?).await?;
        let row = |row: &Vec<serde_json::Value>| match row.as_slice() {
            [position, stream, cents] => {
                Some((position.as_u64()?, stream.as_str()?.to_owned(), cents.as_i64()?))
            }
            _ => None,
        };
        let mut moves: Vec<_> = found.rows.iter().filter_map(row).collect();
        if self.plant == Some(Plant::RowTwice) {
            moves.extend(moves.last().cloned());
        }
        Ok(TablesTold { position: found.positions.get(MOVES).copied().unwrap_or(0), moves })
    }
}
