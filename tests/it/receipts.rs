//! Inputs of a service: receipts, what they promise through restarts and deaths, and what they say when nobody knows.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::Duration;

use tidegate::testing::{Fault, Kit, RecordingSink, check_exactly_once};
use tidegate::{
    BoxError, Checkpoints, Context, Error, Input, Job, JobHandle, KeyedOperator, OpenContext, Receipt, Restart, Store,
    ValueState, millis, secs,
};

/// A job with a checkpoint only when it is asked for, whose one input keeps so many numbers.
fn copying(records: usize, check: &Fault, out: &RecordingSink<u64>) -> (Job, Input<u64>) {
    let job = Job::new("copy").store(Store::memory()).restart(Restart::fixed_delay(3, millis(1)));
    let (numbers, input) = job.input_bounded::<u64>("numbers", records);
    let check = check.clone();
    let checked = numbers.map(move |n| {
        check.trip();
        n
    });
    checked.sink("out", out.clone());
    (job, input)
}

fn never() -> Fault {
    Fault::panic_at(u64::MAX)
}

/// Whatever it is, it comes within ten seconds.
async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(secs(10), what).await.expect("it comes soon")
}

async fn read(running: &JobHandle, records: u64) {
    soon(async {
        while running.status().operators["numbers"].records < records {
            tokio::time::sleep(millis(2)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_receipt_resolves_with_the_checkpoint_that_covers_its_record() {
    let out = RecordingSink::new();
    let (job, input) = copying(100, &never(), &out);
    let early = input.send(1).await.unwrap();
    let running = job.start().await.unwrap();
    let all = input.send_all(vec![2, 3, 4]).await.unwrap().unwrap();
    read(&running, 4).await;
    assert!(!early.is_durable() && input.kept() == 4, "nothing is durable before a checkpoint is complete");
    running.checkpoint().await.unwrap();
    soon(early.durable()).await.unwrap();
    soon(all.durable()).await.unwrap();
    assert_eq!(input.kept(), 0);
    let late = input.send(5).await.unwrap();
    read(&running, 5).await;
    assert!(!late.is_durable());
    assert!(input.send_all(Vec::new()).await.unwrap().is_none(), "no receipt for nothing");
    drop(input);
    soon(running.wait()).await.unwrap();
    late.durable().await.unwrap();
    assert_eq!(out.sorted(), [1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn a_full_input_asks_for_checkpoints_and_pushes_back() {
    let out = RecordingSink::new();
    let (job, input) = copying(4, &never(), &out);
    input.send_all((0..4).collect()).await.unwrap();
    let before = tokio::time::timeout(millis(20), input.send(99)).await;
    assert!(before.is_err(), "it is full, and the job is not there yet");
    let running = job.start().await.unwrap();
    for n in 4..30 {
        let _receipt = soon(input.send(n)).await.unwrap();
        assert!(input.kept() <= 4);
    }
    soon(input.send_all((30..60).collect())).await.unwrap();
    assert!(input.kept() <= 4 && running.status().checkpoints >= 10);
    input.close();
    soon(running.wait()).await.unwrap();
    assert_eq!(out.sorted(), (0..60).collect::<Vec<_>>());
}

#[tokio::test]
async fn records_are_read_again_after_a_restart_inside_the_process() {
    let (out, fault) = (RecordingSink::new(), Fault::panic_at(7).times(2));
    let (job, input) = copying(100, &fault, &out);
    let running = job.start().await.unwrap();
    let first = input.send_all((0..5).collect()).await.unwrap().unwrap();
    read(&running, 5).await;
    running.checkpoint().await.unwrap();
    soon(first.durable()).await.unwrap();
    let rest = input.send_all((5..20).collect()).await.unwrap().unwrap();
    soon(async {
        while !rest.is_durable() {
            // Refused while the region is being restarted, and of no use before all was read.
            drop(running.checkpoint().await);
            tokio::time::sleep(millis(5)).await;
        }
    })
    .await;
    rest.durable().await.unwrap();
    assert_eq!((fault.fired(), running.status().restarts), (true, 2));
    input.close();
    soon(running.wait()).await.unwrap();
    assert_eq!(out.sorted(), (0..20).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_no_checkpoint_covers_at_the_end_is_unknown() {
    let out = RecordingSink::new();
    let (job, input) = copying(2, &never(), &out);
    let running = job.start().await.unwrap();
    let receipt = input.send(1).await.unwrap();
    running.cancel().await.unwrap();
    let unknown = soon(receipt.durable()).await.unwrap_err();
    assert!(matches!(&unknown, Error::ReceiptUnknown { input } if input == "numbers"), "{unknown}");
    assert!(matches!(input.send(2).await, Err(Error::Ended)));

    let (job, input) = copying(2, &never(), &out);
    let receipt = input.send(1).await.unwrap();
    drop(job);
    assert!(soon(receipt.durable()).await.is_err() && input.send(2).await.is_err(), "no job will ever read it");

    let (job, input) = copying(2, &never(), &out);
    input.close();
    assert!(matches!(input.send(2).await, Err(Error::InputClosed { .. })));
    drop(job);
}

#[tokio::test]
async fn who_waits_for_room_hears_that_the_job_has_ended() {
    let (job, input) = copying(1, &never(), &RecordingSink::new());
    let _receipt = input.send(1).await.unwrap();
    let waiting = tokio::spawn({
        let input = input.clone();
        async move { input.send(2).await.map(drop) }
    });
    tokio::time::sleep(millis(10)).await;
    drop(job);
    assert!(matches!(soon(waiting).await.unwrap(), Err(Error::Ended)));
}

#[tokio::test]
async fn an_input_without_a_store_is_refused() {
    let job = Job::new("copy");
    let (numbers, _input) = job.input::<u64>("numbers");
    numbers.sink("out", RecordingSink::new());
    let refused = job.start().await.unwrap_err().to_string();
    assert!(refused.contains("no store in which anything would be") && refused.contains(".store("), "{refused}");
}

/// Lets each id pass once.
struct Once {
    seen: ValueState<bool>,
}

impl KeyedOperator for Once {
    type Key = u64;
    type In = u64;
    type Out = u64;

    fn on_record(&mut self, id: u64, ctx: &mut Context<'_, Self>) -> Result<(), BoxError> {
        if ctx.state.get(self.seen).is_none() {
            ctx.state.set(self.seen, true);
            ctx.out.emit(id);
        }
        Ok(())
    }
}

/// What clients know of their requests: the receipt of the latest try.
type Clients = Arc<Mutex<BTreeMap<u64, Option<Receipt>>>>;

/// What is ready at once, in any runtime or none.
fn now<T>(what: impl Future<Output = T>) -> T {
    match pin!(what).poll(&mut TaskContext::from_waker(Waker::noop())) {
        Poll::Ready(it) => it,
        Poll::Pending => panic!("it was to be ready at once"),
    }
}

/// Clients send what they have no receipt for, once more in each process.
fn service(kit: &Kit) -> Job {
    let clients: Clients = kit.keep("clients", || Arc::new(Mutex::new((0..40).map(|id| (id, None)).collect())));
    let job = Job::new("service");
    let (orders, input) = job.input_bounded::<u64>("orders", 64);
    for (id, receipt) in clients.lock().unwrap().iter_mut().filter(|(_, had)| !had.as_ref().is_some_and(Receipt::is_durable)) {
        *receipt = Some(now(input.send(*id)).unwrap());
    }
    let orders = orders.max_rate(2_000.0);
    let once = orders.key_by(|id| *id).process("once", |ctx: &mut OpenContext<'_, u64>| Ok(Once { seen: ctx.value("seen")? }));
    once.sink("out", kit.sink("out"));
    job
}

#[test]
fn a_record_with_a_receipt_counts_once_whatever_fails() {
    check_exactly_once(service, 150);
}

#[tokio::test]
async fn receipts_wait_for_the_slowest_part_of_a_checkpoint() {
    let (out, store) = (RecordingSink::new(), Store::memory());
    let job = Job::new("copy").store(store).checkpoints(Checkpoints::every(millis(10)));
    let (numbers, input) = job.input::<u64>("numbers");
    let slow = numbers.map(|n| {
        std::thread::sleep(Duration::from_millis(30));
        n
    });
    slow.key_by(|n| n % 3).count().sink("out", out.clone());
    let running = job.start().await.unwrap();
    for n in 0..10 {
        let _receipt = soon(input.send(n)).await.unwrap();
    }
    let last = input.send(10).await.unwrap();
    soon(last.durable()).await.unwrap();
    assert_eq!(running.status().operators["out"].records, 11, "the sink has what the receipt is for");
    running.cancel().await.unwrap();
}
