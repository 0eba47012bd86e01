// Parsing of the layout and the table of the engine's flags.
#include "services/cli/engine_options.hpp"

#include "kernels/registry.hpp"

namespace troupe::services {
namespace {

constexpr std::int64_t kShardsMax = 1024;  // per role in one process; more is a typing mistake
constexpr std::int64_t kThreadsMax = 4096;
constexpr std::int64_t kChunkMax = 1 << 20;
constexpr std::int64_t kPromptMsMax = 3600000;
constexpr std::int64_t kKvTokensMax = std::int64_t{1} << 40;

Unexpected bad_layout(const std::string& why) {
  return unexpected(Errc::invalid_argument,
                    "takes the form [processes:]experts=3,attention=2,routers=2,"
                    "placement=separate: " +
                        why);
}

}  // namespace

Expected<Layout> parse_layout(std::string_view text) {
  Layout layout;
  std::string seen;
  constexpr std::string_view kProcesses = "processes:";
  layout.processes = text.starts_with(kProcesses);
  if (layout.processes) text.remove_prefix(kProcesses.size());
  while (!text.empty()) {
    const std::string part(text.substr(0, text.find(',')));
    text.remove_prefix(std::min(part.size() + 1, text.size()));
    const std::size_t equals = part.find('=');
    const std::string role = part.substr(0, equals);
    int* count = role == "experts"     ? &layout.experts
                 : role == "attention" ? &layout.attention
                 : role == "routers"   ? &layout.routers
                                       : nullptr;
    if (count == nullptr && role != "placement") {
      return bad_layout("\"" + role + "\" is none of experts, attention, routers, placement");
    }
    if (seen.find(role) != std::string::npos) return bad_layout(role + " is given twice");
    seen += role + " ";
    if (role == "placement") {
      const auto place = equals == std::string::npos ? "" : part.substr(equals + 1);
      layout.colocated = place == "colocated";
      if (!layout.colocated && place != "separate")
        return bad_layout("placement is separate or colocated");
      continue;
    }
    const auto value =
        equals == std::string::npos ? std::nullopt : parse_integer(part.substr(equals + 1));
    if (!value || *value < 1 || *value > kShardsMax) {
      return bad_layout(role + " needs a whole number from 1 to " + std::to_string(kShardsMax));
    }
    *count = static_cast<int>(*value);
  }
  if (seen.empty() && !layout.processes) return bad_layout("it is empty");
  if (layout.colocated && seen.find("routers") != std::string::npos)
    return bad_layout("colocated routers are as many as attention shards; leave routers out");
  if (layout.colocated) layout.routers = layout.attention;
  return layout;
}

Assign mode_choice(std::string& mode) {
  return choice(mode, {"auto", "f32", "bf16", "fp8-act", "int8-act", "bf16-tiles"});
}

Option mode_option(std::string& mode, const std::string& standard) {
  return {
      "--mode", "MODE",
      "Activations: auto (by the weights), f32, bf16, fp8-act, int8-act, bf16-tiles (as bf16 in "
      "the order of AMX's sums) [" +
          standard + "]",
      mode_choice(mode)};
}

Option level_option(std::string& level) {
  std::vector<std::string> levels{"auto"};  // whether this machine runs it is looked at later
  for (const std::string_view known : kernels::known_levels()) levels.emplace_back(known);
  return {"--level", "LEVEL",
          "CPU level: auto, reference, avx2, avx2_vnni, avx512, avx512_vnni, avx512_bf16, "
          "avx512_amx [auto]",
          choice(level, std::move(levels))};
}

void EngineOptions::declare_numerics(OptionSet& options) {
  options.add(level_option(level));
  options.add(mode_option(mode, mode));
  options.add({"--kv-cache",
               "FORMAT",
               "Latent cache: auto (as the mode), fp8 [auto]",
               choice(kv_cache, {"auto", "fp8"}),
               {},
               Shown::help_all});
}

void EngineOptions::declare(OptionSet& options, Spread spread) {
  const bool processes = spread == Spread::processes;
  declare_numerics(options);
  options.add({"--threads", "T", "Compute threads [the machine's cores]",
               integer(threads, {1, kThreadsMax})});
  Option shards{"--layout", "L",
                std::string("Shards of each role, ") + (processes ? "[processes:]" : "") +
                    "experts=N,attention=N,routers=N,placement=P",
                [this](std::string_view value) -> Expected<void> {
                  auto parsed = parse_layout(value);
                  if (!parsed) return unexpected(std::move(parsed).error());
                  layout = *parsed;
                  return {};
                }};
  options.add(std::move(shards));
  if (processes) options.add(transport_option());
  options.add({"--chunk", "C", "Prompt tokens computed per step; never changes a bit [scheduler's]",
               integer(chunk, {1, kChunkMax})});
  options.add({"--kv-tokens",
               "N",
               "Tokens that each attention shard's KV cache holds [16 sequences of full length]",
               integer(kv_tokens, {1, kKvTokensMax}),
               {},
               Shown::help_all});
  options.add({"--prefix-cache",
               "on|off",
               "Whether prompts that begin alike share what was computed [on]",
               choice(prefix_cache, {"on", "off"}),
               {},
               Shown::help_all});
  options.add({"--micro-batches",
               "M",
               "Parts of a step that take turns: auto (1: threads are shared), 1, 2 [auto]",
               choice(micro_batches, {"auto", "1", "2"}),
               {},
               Shown::help_all});
  options.add({"--prompt-ms",
               "MS",
               "Time of a step of prompts and decoding; 0: no limit [serve: 125; else 0]",
               integer(prompt_ms, {0, kPromptMsMax}),
               {},
               Shown::help_all});
  declare_memory(options);
  Option quiet{"--no-progress", "", "No progress bar and no progress lines", yes_no(no_progress)};
  quiet.shown = Shown::help_all;
  options.add(std::move(quiet));
}

void EngineOptions::declare_memory(OptionSet& options) {
  const auto add = [&](const char* name, const char* help, bool& flag) {
    options.add({name, "", help, yes_no(flag), {}, Shown::help_all});
  };
  add("--pin-threads", "Keep each compute thread on a core of its own", pin_threads);
  add("--lock-weights", "Lock weights in memory; needs ulimit -l as large as they are",
      lock_weights);
  declare_pages(options);
}

void EngineOptions::declare_pages(OptionSet& options) {
  options.add({"--weights",
               "mapped|copied",
               "Where weights are read: in their files, or in copies in own memory [mapped]",
               choice(weights, {"mapped", "copied"}),
               {},
               Shown::help_all});
  options.add({"--huge-pages",
               "on|off",
               "Whether to ask for huge pages for weights [on]",
               choice(huge_pages, {"on", "off"}),
               {},
               Shown::help_all});
}

Option EngineOptions::transport_option() {
  const auto taken = choice(transport, {"auto", "shm", "tcp"});
  Option option{"--transport", "T",
                "Between processes (--layout processes:): auto, shm, tcp [auto]",
                [this, taken](std::string_view value) {
                  transport_by_flag = true;
                  return taken(value);
                }};
  option.assign_variable = taken;  // it stands for all commands
  option.shown = Shown::help_all;
  return option;
}

}  // namespace troupe::services
