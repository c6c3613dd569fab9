//! What the broker says to leaf nodes, onto the wire.

use lunix_core::broker::{ClientId, LeafAction, LeafDelivery};

use super::Said;
use crate::natsd::wires::Wires;

impl Wires {
    pub(in crate::natsd) fn act_for_leaf(&mut self, action: LeafAction<'_>) {
        match action {
            LeafAction::Deliver(delivery) => self.deliver_to_leaf(&delivery),
            LeafAction::Interest(line) => {
                self.queue(line.to(), line.encoded_len(), |out| line.encode(out).map_err(|full| full.needed))
            }
            LeafAction::Info(client, json) => self.said.push((client, Said::Info(json.to_vec()))),
            LeafAction::Connect(client, json) => self.said.push((client, Said::Connect(json.to_vec()))),
            LeafAction::Error(client, text) => {
                let text = String::from_utf8_lossy(text).into_owned();
                self.said.push((client, Said::Error(text)));
            }
        }
    }

    /// Queues what `encode` writes, which answers `Err` with the room that it needs.
    pub(super) fn queue(
        &mut self,
        to: ClientId,
        guess: usize,
        encode: impl FnMut(&mut [u8]) -> Result<usize, usize>,
    ) {
        let Some(Some(connection)) = self.connections.get_mut(to.index() as usize) else { return };
        connection.push_with(&mut self.pool, guess, encode);
        self.soil(to.index());
    }

    fn deliver_to_leaf(&mut self, delivery: &LeafDelivery<'_>) {
        let index = delivery.to().index();
        let Some(Some(connection)) = self.connections.get_mut(index as usize) else { return };
        if connection.closed {
            return;
        }
        connection.push_with(&mut self.pool, delivery.head_len(), |out| {
            delivery.encode_head(out).map_err(|full| full.needed)
        });
        connection.push(&mut self.pool, delivery.body());
        self.soil(index);
    }
}
