//! The program. Everything it does is in the library.
//!
//! Hands the arguments over and turns the result into an exit code.
//! Nothing else belongs here.

/// Settling moves many short texts between threads, which the system's allocator pays for: see
/// docs/bench.md.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    clawback::cli::main()
}
