//! The one binary of Weir.

use std::process::ExitCode;

use clap::Parser as _;
use weir_node::Weir;

/// The system's allocator spends three times as long on the small, short-lived
/// pieces of an append, and returns less of them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Threads for what may block: reads from disk and large applies. A thread more
/// than the disk can use costs memory and gains nothing.
const BLOCKING_THREADS_MAX: usize = 8;

/// Reads the command line and does what it says.
pub fn main() -> ExitCode {
    let weir = Weir::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .max_blocking_threads(BLOCKING_THREADS_MAX)
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
