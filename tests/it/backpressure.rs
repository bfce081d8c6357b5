//! A connection with as much under way as it may have is not read from until its client reads; others notice nothing.

use crate::books::{BANK, assert_all_created, open_books, transfer, wallet};
use crate::metrics_page::MetricsPage;
use crate::process_usage::wait_until;
use crate::raw_connection::{RawConnection, read_reply, request};
use crate::server::Server;
use ledger::{NewWallet, TransferId, WalletId};
use protocol::{Reply, RequestRef};
use tokio::io::AsyncWriteExt;

/// Wallets in one read, and reads: their replies are several times what all socket buffers on the way can take.
const WALLETS: u128 = 1_000;
const READS: u64 = 24;

/// The last request of the greedy client.
const LAST: u64 = READS + 1;

#[tokio::test]
async fn a_connection_with_as_much_under_way_as_it_may_is_not_read_from_until_its_client_reads() {
    let check = async |flags: &[&str], is_bounded: bool| {
        let mut server = Server::start(flags);
        let client = server.client().await;
        let large = |id| NewWallet { metadata: vec![7; 1_024].into(), ..wallet(id) };
        let wallets: Vec<NewWallet> = (2..2 + WALLETS).map(large).collect();
        open_books(&client, &wallets).await;
        let ids: Vec<WalletId> = wallets.iter().map(|wallet| wallet.id).collect();

        // It reads no reply. Its last request is one that leaves a trace, if it is taken.
        let mut bytes = Vec::new();
        for id in 1..=READS {
            bytes.extend(request(id, RequestRef::LookupWallets(&ids)));
        }
        let trace = transfer(1, BANK, 2, 1);
        let transfers = [trace.clone()];
        bytes.extend(request(LAST, RequestRef::CreateTransfers { orders: &transfers, with_balances: false }));
        let greedy = RawConnection::open(&server).await;
        let (mut replies, mut requests) = greedy.stream.into_split();
        // What the server does not read, and the buffers do not take, waits in there.
        let writing = tokio::spawn(async move {
            requests.write_all(&bytes).await.expect("the connection is open");
            requests
        });

        // Others are served meanwhile.
        for id in 1_000..1_200 {
            assert_all_created(&client.create_transfers(&[transfer(id, BANK, 3, 1)]).await.unwrap());
        }
        let is_taken = async || client.lookup_transfers(&[TransferId(1)]).await.unwrap()[0].is_some();
        if is_bounded {
            assert!(!is_taken().await, "{flags:?}: it is read from although it reads nothing");
        } else {
            // Without the bound it is taken, so the bound is what keeps it out above.
            while !is_taken().await {}
        }

        let mut answered = Vec::new();
        while answered.len() < LAST as usize {
            let (id, reply) = read_reply(&mut replies).await.expect("it answers");
            match reply {
                Reply::LookupWallets(found) => assert_eq!(found.len(), ids.len()),
                Reply::CreateTransfers(created) => assert_all_created(&created.outcomes),
                other => panic!("no answer to this: {other:?}"),
            }
            answered.push(id);
        }
        answered.sort_unstable();
        assert_eq!(answered, (1..=LAST).collect::<Vec<_>>(), "{flags:?}");
        assert!(is_taken().await);
        drop(writing.await.expect("everything is written"));
        wait_until("nothing is under way", || {
            let under_way = MetricsPage::read(&server).value("bursar_operations_in_flight");
            if under_way.abs() < f64::EPSILON { Ok(()) } else { Err(format!("{under_way} are")) }
        });
        server.stop();
    };
    check(&["--connection-requests-max", "2"], true).await;
    check(&["--connection-operations-max", "1500"], true).await;
    check(&[], false).await;
}
