//! Orders of one kind, as one request carries them.

use client::ledger::{Order, OrderKind, Pending, Post, Reversal, Transaction, Transfer, Void};

/// Any number of orders of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Orders {
    Transfers(Vec<Transfer>),
    Pending(Vec<Pending>),
    Posts(Vec<Post>),
    Voids(Vec<Void>),
    Reversals(Vec<Reversal>),
    Transactions(Vec<Transaction>),
}

impl FromIterator<Order> for Orders {
    /// # Panics
    /// If they are not all of one kind: no request can carry them.
    fn from_iter<All: IntoIterator<Item = Order>>(orders: All) -> Self {
        let mut orders = orders.into_iter();
        let Some(first) = orders.next() else { return Self::Transfers(Vec::new()) };
        let mut all = match first {
            Order::Transfer(transfer) => Self::Transfers(vec![transfer]),
            Order::Pending(pending) => Self::Pending(vec![pending]),
            Order::Post(post) => Self::Posts(vec![post]),
            Order::Void(void) => Self::Voids(vec![void]),
            Order::Reversal(reversal) => Self::Reversals(vec![reversal]),
            Order::Transaction(transaction) => Self::Transactions(vec![transaction]),
        };
        for order in orders {
            all.push(order);
        }
        all
    }
}

impl Orders {
    fn push(&mut self, order: Order) {
        match (self, order) {
            (Self::Transfers(all), Order::Transfer(transfer)) => all.push(transfer),
            (Self::Pending(all), Order::Pending(pending)) => all.push(pending),
            (Self::Posts(all), Order::Post(post)) => all.push(post),
            (Self::Voids(all), Order::Void(void)) => all.push(void),
            (Self::Reversals(all), Order::Reversal(reversal)) => all.push(reversal),
            (Self::Transactions(all), Order::Transaction(transaction)) => all.push(transaction),
            (all, order) => panic!("a {} is not among orders of kind {}", order.kind(), all.kind()),
        }
    }

    /// Each of them.
    #[cfg(test)]
    pub(crate) fn iter(&self) -> Box<dyn Iterator<Item = Order> + '_> {
        match self {
            Self::Transfers(all) => Box::new(all.iter().cloned().map(Order::Transfer)),
            Self::Pending(all) => Box::new(all.iter().cloned().map(Order::Pending)),
            Self::Posts(all) => Box::new(all.iter().cloned().map(Order::Post)),
            Self::Voids(all) => Box::new(all.iter().cloned().map(Order::Void)),
            Self::Reversals(all) => Box::new(all.iter().cloned().map(Order::Reversal)),
            Self::Transactions(all) => Box::new(all.iter().cloned().map(Order::Transaction)),
        }
    }

    pub(crate) fn kind(&self) -> OrderKind {
        match self {
            Self::Transfers(_) => OrderKind::Transfer,
            Self::Pending(_) => OrderKind::Pending,
            Self::Posts(_) => OrderKind::Post,
            Self::Voids(_) => OrderKind::Void,
            Self::Reversals(_) => OrderKind::Reversal,
            Self::Transactions(_) => OrderKind::Transaction,
        }
    }
}

/// These orders by their kinds, each with its place, in the order in which one may be about another: what is captured,
/// released or reversed comes first.
pub(crate) fn by_kind<Item>(items: Vec<Item>, order: impl Fn(&Item) -> &Order) -> Vec<Vec<(usize, Item)>> {
    let rank = |kind: OrderKind| match kind {
        OrderKind::Transfer | OrderKind::Pending | OrderKind::Transaction => 0,
        OrderKind::Post | OrderKind::Void | OrderKind::Expire => 1,
        OrderKind::Reversal => 2,
    };
    let mut groups: std::collections::BTreeMap<_, Vec<(usize, Item)>> = std::collections::BTreeMap::new();
    for (place, item) in items.into_iter().enumerate() {
        let kind = order(&item).kind();
        groups.entry((rank(kind), kind)).or_default().push((place, item));
    }
    groups.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use client::ledger::{Memo, TransferId};

    fn void(id: u128) -> Order {
        Order::Void(Void { id: TransferId(id), pending_id: TransferId(9), memo: Memo::default() })
    }

    fn reversal(id: u128) -> Order {
        let reverses_id = TransferId(9);
        Order::Reversal(Reversal { id: TransferId(id), reverses_id, amount: 0, memo: Memo::default() })
    }

    #[test]
    fn orders_of_one_kind_stay_in_their_order() {
        let Orders::Voids(voids) = [void(1), void(2)].into_iter().collect() else { panic!("they are voids") };
        assert_eq!(voids.iter().map(|void| void.id.0).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(Orders::from_iter([]), Orders::Transfers(Vec::new()));
    }

    #[test]
    #[should_panic(expected = "a reversal is not among orders of kind void")]
    fn no_request_carries_orders_of_two_kinds() {
        let _ = Orders::from_iter([void(1), reversal(2)]);
    }

    #[test]
    fn what_others_are_about_comes_first_and_places_are_kept() {
        let groups = by_kind(vec![reversal(1), void(2), reversal(3)], |order| order);
        let places: Vec<Vec<usize>> =
            groups.iter().map(|group| group.iter().map(|&(place, _)| place).collect()).collect();
        assert_eq!(places, [vec![1], vec![0, 2]]);
    }
}
