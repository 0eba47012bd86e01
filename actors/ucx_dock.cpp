// Dialled and accepted UCX links, and which transports they may use.
#include "actors/ucx_dock.hpp"

namespace troupe::actors {

std::string_view to_string(Transport transport) {
  switch (transport) {
    case Transport::automatic: return "auto";
    case Transport::shm: return "shm";
    case Transport::tcp: return "tcp";
  }
  return "?";
}

std::string lane_fault(Transport asked, const std::string& lanes) {
  if (asked == Transport::automatic || lanes == "inproc") return {};
  if (asked == Transport::tcp)
    return lanes == "tcp" ? "" : "UCX_TLS or transport.ucx_options allow other transports";
  if (lanes.find("posix") != lanes.npos) return {};
  return "the two processes share no memory: other hosts, or other IPC, PID or network namespaces, "
         "or UCX_TLS excludes posix";
}

Expected<std::unique_ptr<transport::UcxContext>> UcxDock::make_context(bool over_tcp) {
  transport::UcxSettings settings;
  // shm leaves tcp to fall back to, which is then said; `auto` is UCX's choice of all.
  if (settings_.transport == Transport::shm) settings.options = {{"TLS", "posix,cma,tcp"}};
  if (settings_.transport == Transport::tcp) settings.options = {{"TLS", "tcp"}};
  for (const auto& option : settings_.ucx_options) settings.options.push_back(option);
  if (over_tcp) settings.options.emplace_back("TLS", "tcp");
  settings.set_by_user = settings_.ucx_set_by_user;
  auto made = transport::UcxContext::make(std::move(settings), pool_);
  if (!made || !events_) return made;
  std::string applied;
  for (const auto& option : (*made)->applied()) applied += " " + option;
  events_({NodeEvent::Severity::info, "ucx_started", "options=" + applied});
  for (const auto& name : settings_.ucx_set_by_user)
    events_({NodeEvent::Severity::info, "ucx_variable_kept",
             "your environment wins over the built-in setting name=UCX_" + name});
  return made;
}

Expected<std::unique_ptr<transport::UcxLink>> UcxDock::make(bool over_tcp) {
  auto& context = over_tcp ? tcp_context_ : context_;
  if (!context) {
    auto made = make_context(over_tcp);
    if (!made) return unexpected(made.error());
    context = std::move(*made);
  }
  return transport::UcxLink::make(*context);
}

Expected<std::string> UcxDock::dial(PeerId peer, bool over_tcp) {
  auto link = make(over_tcp);
  if (!link) return unexpected(link.error());
  if (over_tcp)
    fallen_back_.insert(peer);
  else
    fallen_back_.erase(peer);
  auto& place = pending_[peer];
  place = std::move(*link);
  return place->address();
}

Expected<std::unique_ptr<transport::Link>> UcxDock::dialled(PeerId peer, std::string_view address) {
  const auto found = pending_.find(peer);
  if (found == pending_.end())
    return unexpected(Errc::unavailable, "the link to " + name_of(peer) + " was given up");
  auto link = std::move(found->second);
  pending_.erase(found);
  if (auto opened = link->open(address); !opened) return unexpected(opened.error());
  return std::unique_ptr<transport::Link>(std::move(link));
}

Expected<UcxDock::Accepted> UcxDock::accept(std::string_view address) {
  auto link = make(/*over_tcp=*/false);
  if (!link) return unexpected(link.error());
  if (auto opened = (*link)->open(address); !opened) return unexpected(opened.error());
  Accepted accepted;
  accepted.address = (*link)->address();
  accepted.link = std::move(*link);
  return accepted;
}

}  // namespace troupe::actors
