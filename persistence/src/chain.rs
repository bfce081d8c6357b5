//! The order check: do these records, read one after another, hold everything that was acknowledged?
//!
//! It decides; it reads nothing and changes nothing. What it finds at or below the head is damage, what it finds above
//! is the unacknowledged end of a group that a crash cut off.

use crate::{
    error::Damage,
    head_file::Head,
    journal::ChainPoint,
    record::{GENESIS_HASH, Record, RecordError},
};

/// How far the records are known to be good.
#[derive(Debug)]
pub(crate) struct Chain {
    /// Everything up to here was acknowledged.
    acknowledged: ChainPoint,
    /// Everything up to here is held elsewhere, so the journal may start after it.
    held_elsewhere: ChainPoint,
    /// The last record that was admitted; none before the first.
    tip: Option<Head>,
}

impl Chain {
    /// `acknowledged` is the newest head that is known, `held_elsewhere` what no longer needs to be in the journal.
    pub(crate) fn new(acknowledged: ChainPoint, held_elsewhere: ChainPoint) -> Self {
        #[cfg(bursar_broken = "no_head_check")]
        let acknowledged = {
            let _unchecked = acknowledged;
            ChainPoint::default()
        };
        Self { acknowledged, held_elsewhere, tip: None }
    }

    /// The chain of a whole ledger, before its first record.
    pub(crate) fn from_the_start() -> Self {
        Self::new(ChainPoint::default(), ChainPoint::default())
    }

    /// Checks the record that was found next. On damage nothing has changed.
    pub(crate) fn admit(
        &mut self,
        key: &[u8],
        record: Result<Record, RecordError>,
    ) -> Result<Record, Damage> {
        let key = key.try_into().map(u64::from_be_bytes).unwrap_or_default();
        let record = record.map_err(|error| Damage::BadRecord { seq: key, error })?;
        let first_seq = record.first_seq();
        if first_seq != key {
            return Err(Damage::Misplaced { key, found: first_seq });
        }
        self.follow(&record)?;
        Ok(record)
    }

    /// Checks that a whole record is the next one. On damage nothing has changed.
    pub(crate) fn follow(&mut self, record: &Record) -> Result<(), Damage> {
        self.check_link(record)?;
        let (first_seq, end) =
            (record.first_seq(), ChainPoint { seq: record.last_seq(), hash: record.hash() });
        for fixed in [self.acknowledged, self.held_elsewhere] {
            if first_seq <= fixed.seq && fixed.seq <= end.seq && fixed != end {
                return Err(Damage::NotTheAcknowledged { seq: fixed.seq });
            }
        }
        self.tip = Some(Head { point: end, timestamp: record.last_timestamp() });
        Ok(())
    }

    fn check_link(&self, record: &Record) -> Result<(), Damage> {
        let found = record.first_seq();
        let before = match &self.tip {
            None if found == 1 => Some(GENESIS_HASH),
            None if found == self.held_elsewhere.seq + 1 => Some(self.held_elsewhere.hash),
            None if found <= self.held_elsewhere.seq => None,
            None => return Err(Damage::Hole { expected: self.held_elsewhere.seq + 1, found }),
            Some(tip) if found == tip.point.seq + 1 => Some(tip.point.hash),
            Some(tip) => return Err(Damage::Hole { expected: tip.point.seq + 1, found }),
        };
        if before.is_some_and(|hash| hash != record.prev_hash()) {
            return Err(Damage::BrokenChain { seq: found });
        }
        if self.tip.is_some_and(|tip| record.first_timestamp() <= tip.timestamp) {
            return Err(Damage::TimeWentBack { seq: found });
        }
        Ok(())
    }

    /// Whether everything acknowledged has been admitted, so that damage from here on is only a torn end.
    pub(crate) fn is_past_head(&self) -> bool {
        self.end().seq >= self.acknowledged.seq
    }

    /// The last entry that is known to be good.
    pub(crate) fn end(&self) -> ChainPoint {
        self.tip.map_or(self.held_elsewhere, |tip| tip.point)
    }

    /// The last record that was admitted.
    pub(crate) fn tip(&self) -> Option<Head> {
        self.tip
    }

    /// To be asked after the last record: is anything acknowledged missing?
    pub(crate) fn finish(&self) -> Result<(), Damage> {
        let end = self.end();
        if !self.is_past_head() {
            return Err(Damage::EndsBelowHead { last: end.seq, head: self.acknowledged.seq });
        }
        if self.tip.is_none() && end != self.acknowledged {
            return Err(Damage::NotTheAcknowledged { seq: end.seq });
        }
        Ok(())
    }
}
