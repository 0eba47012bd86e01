// `troupe batch`: a file of requests to a file of answers.
#include <array>
#include <chrono>
#include <cstdio>
#include <memory>

#include "services/cli/access_options.hpp"
#include "services/cli/activations.hpp"
#include "services/cli/batch_run.hpp"
#include "services/cli/command.hpp"
#include "services/cli/compute.hpp"
#include "services/cli/engine_options.hpp"
#include "services/gateway/http/api.hpp"
#include "services/gateway/local_engine.hpp"
#include "services/prompt/open_model.hpp"
#include "services/runtime/faults.hpp"
#include "services/runtime/model_lookup.hpp"
#include "services/runtime/progress.hpp"

namespace troupe::services {
namespace {

constexpr std::int64_t kParallelMax = 1024;
constexpr std::int64_t kRetriesMax = 1000;
/// No bound of its own: --parallel is one, and a line may ask for many choices.
constexpr std::int64_t kAdmittedMax = std::int64_t{1} << 40;

struct Flags {
  std::string input, output, model;
  ServerAccess server;
  std::optional<std::int64_t> parallel, retries;
  EngineOptions engine;
};

void declare(OptionSet& options, Flags& flags) {
  options.group("Files and server");
  Option input{"IN", "", "Requests, one JSON object a line", text(flags.input)};
  Option output{"OUT", "", "Answers; is appended to: the same command goes on after a stop",
                text(flags.output)};
  input.required = output.required = true;
  options.add(std::move(input));
  options.add(std::move(output));
  options.add({"--url", "HOST:PORT", "HTTP port of a running gateway instead of a model here",
               text(flags.server.url)});
  options.add({"--model", "DIR", "Hugging Face checkpoint directory [the bundled troupe-tiny]",
               text(flags.model)});
  options.add(
      {"--parallel", "N", "Requests in flight [8]", integer(flags.parallel, {1, kParallelMax})});
  options.add({"--retries", "N", "Times a request is asked again that may go well later [5]",
               integer(flags.retries, {0, kRetriesMax})});
  declare_access(options, flags.server);
  options.group("Engine");
  flags.engine.declare(options, Spread::one_process);
}

/// "batch", then "batch  38 tok/s" once there is a speed.
std::string label_of(const BatchTotals& totals, double seconds) {
  if (totals.tokens == 0 || seconds <= 0) return "batch";
  std::array<char, 48> text{};
  std::snprintf(text.data(), text.size(), "batch  %.0f tok/s",
                static_cast<double>(totals.tokens) / seconds);
  return text.data();
}

int report_stop(const Flags& flags, const BatchStop& stop) {
  const std::string go_on = ". The same command goes on where it stopped";
  if (stop.output) return report(Fault::output_failed, stop.output->detail + go_on);
  if (stop.endpoint && stop.endpoint->status == 0) {
    return report(Fault::cannot_connect, stop.endpoint->problem + go_on);
  }
  if (stop.endpoint) {
    return report(Fault::try_later, flags.server.url + " still answers with status " +
                                        std::to_string(stop.endpoint->status) +
                                        " after all retries" + go_on);
  }
  std::fprintf(stderr, "interrupted%s\n", go_on.c_str());
  return static_cast<int>(ExitCode::interrupt);
}

int run(const Flags& flags, BatchOutput& output, std::size_t lines, const BatchEndpoint& endpoint) {
  BatchSettings settings;
  settings.input = flags.input;
  settings.parallel = flags.parallel.value_or(settings.parallel);
  settings.retries = flags.retries.value_or(settings.retries);
  const auto begin = std::chrono::steady_clock::now();
  const auto elapsed = [&begin] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  };
  const std::uint64_t before = output.answered().size();
  Expected<BatchResult> result = [&] {
    Progress bar({"batch", progress_style(flags.engine.no_progress), std::chrono::seconds(1),
                  ProgressUnit::requests});
    return run_batch(settings, output, endpoint, [&](const BatchTotals& totals) {
      bar.relabel(label_of(totals, elapsed()));
      bar.update(totals.answered, lines - before);
    });
  }();
  if (!result) return report(Fault::bad_input_file, result.error().detail);
  const BatchTotals& totals = result->totals;
  std::fprintf(stderr, "%llu of %zu lines answered, %lld tokens in %.2f s\n",
               static_cast<unsigned long long>(before + totals.answered), lines,
               static_cast<long long>(totals.tokens), elapsed());
  const BatchStop& stop = result->stop;
  if (stop.output || stop.endpoint || stop.interrupted) return report_stop(flags, stop);
  const std::uint64_t failed = output.failed_before() + totals.failed;
  if (failed == 0) return 0;
  return report(Fault::lines_failed, std::to_string(failed) + " of " + std::to_string(lines) +
                                         " lines failed; \"error\" or \"response\" in " +
                                         flags.output + " says why");
}

/// The model's own OpenAI API in this process, without a port.
int run_local(const Flags& flags, BatchOutput& output, std::size_t lines) {
  if (const auto failed = check_engine(flags.engine)) return *failed;
  auto model = open_model(flags.model, {.pages = flags.engine.pages()});
  if (!model) return report(model_fault(model.error().code), model.error().detail);
  tell_activations(flags.engine, model->config().quantisation);
  const std::int64_t parallel = flags.parallel.value_or(BatchSettings{}.parallel);
  StartedLocal started = start_local(*model, flags.engine, static_cast<std::size_t>(parallel));
  if (!started.cluster) return started.exit_code;
  LocalEngine engine(started.cluster->numerics_id(), started.settings,
                     model->config().routed_experts);
  engine.begin(std::move(started.cluster));
  ServedModel::Settings settings;
  settings.name = served_name("", flags.model);
  settings.mode = started.settings.mode;
  settings.numerics_id = engine.numerics_id();
  const auto served = ServedModel::make(*model, settings);
  if (!served) return report(Fault::chat_template, served.error().detail);
  GatewayState state(*served, engine, {}, {.requests_max = kAdmittedMax});
  const http::Api api(state, {});
  return run(flags, output, lines, [&](const std::string& path, const std::string& body) {
    http::HttpCall call(state, "", "");
    http::Request request;
    request.method = "POST";
    request.path = path;
    request.body = body;
    HttpAnswer answer;
    auto early = api.answer_early(call, request);
    const http::Reply reply = early ? *std::move(early) : api.answer(call, std::move(request));
    answer.status = reply.status;
    answer.body = reply.body;
    answer.request_id = call.request_id();
    return answer;
  });
}

int batch(const Flags& flags) {
  if (const auto failed = check_access_flags(flags.server)) return *failed;
  const auto ids = index_batch(flags.input);
  if (!ids) return report(Fault::bad_input_file, ids.error().detail);
  auto output = BatchOutput::open(flags.output, *ids);
  if (!output) {
    const bool ours = output.error().code == Errc::malformed;
    return report(ours ? Fault::bad_input_file : Fault::output_failed, output.error().detail);
  }
  if (output->repaired()) warn(flags.output + ": the torn line at its end was taken away");
  if (flags.server.url.empty()) return run_local(flags, *output, ids->size());
  const OpenAiClient client(flags.server);
  return run(flags, *output, ids->size(),
             [&client](const auto& path, const auto& body) { return client.post(path, body); });
}

}  // namespace

Command batch_command() {
  Command command;
  command.name = "batch";
  command.summary = "Answer a file of requests; goes on after a stop without repeating any";
  command.usage = "troupe batch IN.jsonl OUT.jsonl [flags]";
  command.examples = {
      "troupe batch requests.jsonl answers.jsonl",
      "troupe batch requests.jsonl answers.jsonl --url 127.0.0.1:8080 --parallel 32",
  };
  command.make = [](OptionSet& options) {
    auto flags = std::make_shared<Flags>();
    declare(options, *flags);
    return [flags] { return batch(*flags); };
  };
  return command;
}

}  // namespace troupe::services
