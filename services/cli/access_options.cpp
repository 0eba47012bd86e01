// Declaring and checking.
#include "services/cli/access_options.hpp"

#include "services/runtime/faults.hpp"

namespace troupe::services {

void declare_access(OptionSet& options, ServerAccess& access) {
  options.add({"--api-key",
               "KEY",
               "For --url; better as TROUPE_API_KEY, which other users of the machine do not see",
               text(access.api_key),
               {},
               Shown::help_all});
  options.add({"--tls-ca",
               "FILE",
               "For an https:// or grpcs:// --url: trust certificates that this one (PEM) signed",
               text(access.tls_ca),
               {},
               Shown::help_all});
}

std::optional<int> check_access_flags(const ServerAccess& access) {
  const auto fine = check_access(access);
  if (fine) return std::nullopt;
  const bool file = fine.error().code == Errc::io;
  return report(file ? Fault::bad_input_file : Fault::bad_value, fine.error().detail);
}

}  // namespace troupe::services
