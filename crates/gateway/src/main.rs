//! The `bekci` command.

fn main() -> std::process::ExitCode {
    bekci_gateway::run()
}
