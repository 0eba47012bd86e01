// The flags every computing command shares: layout, mode, level, threads, chunk.
#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "core/expected.hpp"
#include "model/checkpoint/mapped_files.hpp"
#include "services/runtime/option_set.hpp"

namespace troupe::services {

/// Shards of each role, inside this process or as processes of their own.
struct Layout {
  bool processes = false;
  bool colocated = false;  // each attention shard has its own router; `routers` is not asked then
  int experts = 1;
  int attention = 1;
  int routers = 1;
};

/// "[processes:]experts=3,attention=2,routers=2,placement=separate", each at most once; absent
/// counts are 1. "processes:" alone is a layout, too.
/// *Errors*: `invalid_argument` that shows the form and what is wrong.
Expected<Layout> parse_layout(std::string_view text);

/// "auto" or a mode's name, what model::decide_activation_mode takes.
Assign mode_choice(std::string& mode);
/// --mode. `standard`: what the help screen says is meant without it.
Option mode_option(std::string& mode, const std::string& standard);
/// --level: `auto` or one that this build knows.
Option level_option(std::string& level);

/// Where a command can have its shards.
enum class Spread { one_process, processes };

/// State behind the flags; defaults are those of a run without flags.
struct EngineOptions {
  Layout layout;
  std::string mode = "auto";  // commands that measure begin with bf16
  std::string kv_cache = "auto";
  std::string level = "auto";
  std::string transport = "auto";  // between processes
  bool transport_by_flag = false;  // so that it is refused where there are none
  std::string prefix_cache = "on";
  std::string micro_batches = "auto";
  std::optional<std::int64_t> threads;    // none: the cores
  std::optional<std::int64_t> kv_tokens;  // none: 16 sequences of full length
  std::optional<std::int64_t> chunk;      // none: the scheduler's default
  std::optional<std::int64_t> prompt_ms;  // of a step in which others decode; none: no limit
  bool no_progress = false;
  std::string weights = "mapped";
  std::string huge_pages = "on";
  bool pin_threads = false, lock_weights = false;

  void declare(OptionSet& options, Spread spread);
  /// --level, --mode and --kv-cache alone, for commands with flags of their own for the rest.
  void declare_numerics(OptionSet& options);
  /// --weights and --huge-pages alone, likewise.
  void declare_pages(OptionSet& options);
  model::PageUse pages() const {
    return {.huge = huge_pages == "on", .locked = lock_weights, .copied = weights == "copied"};
  }

 private:
  Option transport_option();
  void declare_memory(OptionSet& options);
};

}  // namespace troupe::services
