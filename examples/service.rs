//! A job inside of a service: orders come in over HTTP, each is acknowledged when its effect is durable, and counts once.
//!
//!     cargo run --release --example service -- --port 8080 --state state --output out
//!     curl localhost:8080/orders -H 'content-type: application/json' -d '{"id": "a-1", "item": "tea", "count": 2}'
//!     curl localhost:8080/totals/tea
//!
//! `POST /orders` answers 200 once a complete checkpoint covers the order. With any other answer, or none because the process was killed,
//! nobody knows whether it counts: send it again with the same id. `GET /totals/ITEM` asks the state of the running job. `GET /ready`,
//! `GET /health` and `GET /tree` are for probes and people. On SIGTERM or ctrl-c it stops taking requests, takes a last checkpoint, and
//! ends; started again, it goes on exactly there. The orders are in `<output>/*.csv` as well, each once.

use std::path::PathBuf;
use std::process::ExitCode;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use clap::Parser;
use serde::{Deserialize, Serialize};
use tidegate::{
    BoxError, Checkpoints, Context, CsvFile, Error, Input, Job, JobHandle, KeyedOperator, MapState, OpenContext, Probe,
    Queryable, Restart, Shutdown, Store, Ttl, ValueState, hours, millis, secs,
};
use tokio::net::TcpListener;

/// What the command line says.
#[derive(Debug, Parser)]
#[command(about = "Counts orders that come in over HTTP, exactly once")]
struct Args {
    /// Where it listens on this machine; 0 for any port that is free.
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// Where checkpoints are kept.
    #[arg(long, default_value = "state")]
    state: PathBuf,
    /// Where the orders are written.
    #[arg(long, default_value = "out")]
    output: PathBuf,
    /// Milliseconds from one checkpoint to the next, and so about what an order waits for its answer.
    #[arg(long, default_value_t = 100)]
    checkpoint_ms: u64,
    /// Seconds that the end may take, once it is asked for.
    #[arg(long, default_value_t = 10)]
    deadline_s: u64,
}

/// An order. Its id is the client's, and the same when it is sent again.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Order {
    id: String,
    item: String,
    count: u64,
}

/// Adds up the orders of each item, and passes each on; what was seen within a day is known by its id, and left out.
struct Totals {
    seen: MapState<String, bool>,
    total: ValueState<u64>,
}

impl Totals {
    fn open(ctx: &mut OpenContext<'_, String>) -> Result<Self, BoxError> {
        Ok(Totals { seen: ctx.with_ttl(Ttl::of(hours(24))).map("seen")?, total: ctx.value("total")? })
    }
}

impl KeyedOperator for Totals {
    type Key = String;
    type In = Order;
    type Out = Order;

    fn on_record(&mut self, order: Order, ctx: &mut Context<'_, Self>) -> Result<(), BoxError> {
        if ctx.state.map(self.seen).insert(order.id.clone(), true).is_some() {
            return Ok(());
        }
        ctx.state.update(self.total, |total| *total += order.count);
        ctx.out.emit(order);
        Ok(())
    }
}

/// The flow, and the service's end of it.
fn describe(args: &Args) -> (Job, Input<Order>) {
    let job = Job::new("orders")
        .checkpoints(Checkpoints::every(millis(args.checkpoint_ms)).timeout(secs(30)))
        .store(Store::directory(&args.state))
        .restart(Restart::fixed_delay(10, millis(200)));
    let (orders, input) = job.input::<Order>("incoming");
    let counted = orders.key_by(|order| order.item.clone()).process("totals", Totals::open);
    counted.sink("orders", CsvFile::exactly_once(&args.output));
    (job, input)
}

/// What each request needs.
#[derive(Clone)]
struct Service {
    job: JobHandle,
    orders: Input<Order>,
    totals: Queryable<String, u64>,
}

type Answer = (StatusCode, String);

fn unavailable(error: &Error) -> Answer {
    (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n"))
}

/// Takes an order; answers once it is durable.
async fn take(State(service): State<Service>, Json(order): Json<Order>) -> Result<Answer, Answer> {
    let receipt = service.orders.send(order).await.map_err(|error| unavailable(&error))?;
    receipt.durable().await.map_err(|error| unavailable(&error))?;
    Ok((StatusCode::OK, "durable\n".into()))
}

/// How many of an item were ordered.
async fn total(State(service): State<Service>, Path(item): Path<String>) -> Result<Answer, Answer> {
    match service.job.query(&service.totals, &item).await {
        Ok(total) => Ok((StatusCode::OK, format!("{}\n", total.unwrap_or(0)))),
        Err(error) => Err(unavailable(&error)),
    }
}

fn told(probe: &Probe) -> Answer {
    let status = if probe.is_ok() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, format!("{probe}\n"))
}

fn routes(service: Service) -> Router {
    Router::new()
        .route("/orders", post(take))
        .route("/totals/{item}", get(total))
        .route("/ready", get(async |State(service): State<Service>| told(&service.job.ready())))
        .route("/health", get(async |State(service): State<Service>| told(&service.job.health())))
        .route("/tree", get(async |State(service): State<Service>| service.job.tree().to_string()))
        .with_state(service)
}

/// Ready when somebody wants the service to end.
async fn asked_to_end() {
    let interrupt = async { drop(tokio::signal::ctrl_c().await) };
    #[cfg(unix)]
    let terminate = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    #[cfg(not(unix))]
    let terminate = std::future::pending::<()>();
    tokio::select! {
        () = interrupt => {}
        () = terminate => {}
    }
}

/// Logs what happens to the job, but for its checkpoints that go well.
async fn log(job: JobHandle) {
    let mut events = job.events();
    while let Some(event) = events.next().await {
        use tidegate::JobEvent::{CheckpointBegun, CheckpointCompleted};
        if !matches!(event, CheckpointBegun { .. } | CheckpointCompleted { .. }) {
            eprintln!("{event}");
        }
    }
}

async fn run(args: Args) -> Result<(), BoxError> {
    let (job, orders) = describe(&args);
    let job = job.start().await?;
    let logging = tokio::spawn(log(job.clone()));
    let listener = TcpListener::bind(("127.0.0.1", args.port)).await?;
    println!("listening on {}", listener.local_addr()?);
    // With its last handle the input is closed, and then the job has finished for good: this one outlives the job.
    let _open = orders.clone();
    let service = Service { job: job.clone(), orders, totals: Queryable::new("totals", "total") };
    // Requests that have come are answered before the last checkpoint is taken: their receipts come with the next ones.
    let ended = job.clone();
    let end = async move {
        tokio::select! {
            () = asked_to_end() => {}
            _ = ended.wait() => {}
        }
    };
    let (closing, closed) = tokio::sync::oneshot::channel::<()>();
    let served = tokio::spawn(async move {
        let end = async {
            end.await;
            drop(closing);
        };
        axum::serve(listener, routes(service)).with_graceful_shutdown(end).await
    });
    drop(closed.await);
    let within = secs(args.deadline_s) / 2;
    let answered = tokio::time::timeout(within, served).await;
    if answered.is_err() {
        eprintln!("some requests are still open: they are not answered any more");
    }
    match job.shutdown(within).await? {
        Shutdown::AtCheckpoint(id) => println!("ended at checkpoint {id}"),
        Shutdown::Cut { reason, .. } => println!("ended without a last checkpoint: {reason}"),
        _ => println!("ended with the end of the data"),
    }
    logging.await?;
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
