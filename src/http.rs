//! The HTTP side: metrics for Prometheus, and whether the server is alive and ready.
//!
//! A few lines of actix-web; it decides nothing and never touches a wallet.

use crate::telemetry::Telemetry;
use actix_web::dev::Server;
use actix_web::http::header::ContentType;
use actix_web::{App, HttpResponse, HttpServer, get, web};
use actors::Engine;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What the pages show.
#[derive(Clone, Debug)]
pub struct HttpState {
    /// The ledger.
    pub engine: Engine,
    /// The metrics.
    pub telemetry: Arc<Telemetry>,
    /// Set once the server begins to stop.
    pub stopping: Arc<AtomicBool>,
}

#[get("/metrics")]
async fn metrics(state: web::Data<HttpState>) -> HttpResponse {
    let text = state.telemetry.render(&state.engine.status());
    HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(text)
}

/// Alive: the process answers.
#[get("/healthz")]
async fn healthz() -> HttpResponse {
    HttpResponse::Ok().content_type(ContentType::plaintext()).body("alive\n")
}

/// Ready: recovered, the journal is healthy, and the server is not stopping. A full disk is still ready: reads go on.
#[get("/readyz")]
async fn readyz(state: web::Data<HttpState>) -> HttpResponse {
    let reason = if state.engine.status().poisoned {
        "the journal has failed\n"
    } else if state.stopping.load(Ordering::Acquire) {
        "stopping\n"
    } else {
        return HttpResponse::Ok().content_type(ContentType::plaintext()).body("ready\n");
    };
    HttpResponse::ServiceUnavailable().content_type(ContentType::plaintext()).body(reason)
}

/// Serves on the listener until the server is stopped.
pub fn serve(listener: TcpListener, state: HttpState) -> std::io::Result<Server> {
    let state = web::Data::new(state);
    let server = HttpServer::new(move || {
        App::new().app_data(state.clone()).service(metrics).service(healthz).service(readyz)
    });
    Ok(server.workers(1).disable_signals().shutdown_timeout(1).listen(listener)?.run())
}
