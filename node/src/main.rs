//! The one binary of Weir.

use std::process::ExitCode;

use clap::Parser as _;
use weir_node::Weir;
use weir_types::limits;

/// The system's allocator spends three times as long on the small, short-lived
/// pieces of an append, and returns less of them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Reads the command line and does what it says.
pub fn main() -> ExitCode {
    let weir = Weir::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .max_blocking_threads(limits::BLOCKING_THREADS_MAX)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: the runtime cannot be started: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(weir.run());
    // A read of stdin may still hang in a thread of its own; nothing waits for it.
    runtime.shutdown_background();
    code
}
