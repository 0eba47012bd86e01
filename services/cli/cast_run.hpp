// What `troupe model cast` and `troupe model quantize` share: running with progress, and reporting.
#pragma once
#include <string>

#include "model/config/quantisation.hpp"
#include "services/cli/command.hpp"

namespace troupe::services {

struct CastFlags {
  std::string to, in, out;
  bool no_progress = false;
};

/// IN, OUT and --no-progress; --to with `targets`.
void add_cast_options(OptionSet& options, CastFlags& flags, std::vector<std::string> targets);

struct CastRun {
  model::WeightFormat to = model::WeightFormat::plain;
  model::Int4Layers int4_layers = model::Int4Layers::experts;
  const char* doing = "";  // "casting"
};

/// Casts and gives the exit code; errors are told on stderr.
int run_cast(const CastFlags& flags, const CastRun& run);

}  // namespace troupe::services
