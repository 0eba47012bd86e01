// The only place that catches what nobody foresaw.
#include "services/runtime/last_resort.hpp"

#include <unistd.h>

#include <cstdlib>
#include <exception>
#include <new>
#include <string>
#include <string_view>
#include <system_error>

#include "services/runtime/faults.hpp"

namespace troupe::services {
namespace {

void say(std::string_view line) {
  [[maybe_unused]] const auto written = ::write(STDERR_FILENO, line.data(), line.size());
}

/// Without allocating anything.
int report_no_memory() {
  say("error: memory is used up. Free some and try again [TROUPE-2002]\n");
  return static_cast<int>(exit_code_of(Fault::memory_not_available));
}

/// Reports the exception in flight; returns its exit code.
int report_current() {
  try {
    throw;
  } catch (const std::bad_alloc&) {
    return report_no_memory();
  } catch (const std::system_error& error) {
    return report(Fault::memory_not_available,
                  std::string("the system refused: ") + error.what() +
                      ". Raise the limits on threads and memory (ulimit -a)");
  } catch (const std::exception& error) {
    return report(Fault::internal, std::string(error.what()) + ". Please report this command");
  } catch (...) {
    return report(Fault::internal, "an unknown exception. Please report this command");
  }
}

[[noreturn]] void on_terminate() {
  if (!std::current_exception()) {
    say("error: the program gave up without a reason. Please report this command [TROUPE-9999]\n");
    std::abort();
  }
  try {
    ::_exit(report_current());
  } catch (...) {  // there was no memory for the report
    ::_exit(report_no_memory());
  }
}

}  // namespace

int with_last_resort(const std::function<int()>& work) {
  std::set_terminate(on_terminate);
  try {
    return work();
  } catch (...) {
    return report_current();
  }
}

}  // namespace troupe::services
