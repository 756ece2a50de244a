//! The program. Everything it does is in the library.
//!
//! Hands the arguments over and turns the result into an exit code.
//! Nothing else belongs here.

fn main() -> std::process::ExitCode {
    clawback::cli::main()
}
