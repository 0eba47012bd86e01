// The only signal handlers of the command line besides the checkpoint's SIGBUS.
#include "services/runtime/interrupts.hpp"

#include <signal.h>
#include <unistd.h>

#include <atomic>

#include "services/runtime/faults.hpp"

namespace troupe::services {
namespace {

std::atomic<bool> interrupt_flag{false};
static_assert(std::atomic<bool>::is_always_lock_free, "used in a signal handler");

extern "C" void on_interrupt(int) {
  if (interrupt_flag.exchange(true)) ::_exit(static_cast<int>(ExitCode::interrupt));
}

}  // namespace

void install_interrupts() {
  struct sigaction action {};
  action.sa_handler = on_interrupt;
  sigemptyset(&action.sa_mask);
  action.sa_flags = 0;  // no SA_RESTART: a read at the prompt must return
  ::sigaction(SIGINT, &action, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
}

bool interrupted() { return interrupt_flag.load(); }
void clear_interrupt() { interrupt_flag.store(false); }

}  // namespace troupe::services
