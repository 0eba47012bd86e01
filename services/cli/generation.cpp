// Opening, checking, submitting and reporting for run and chat.
#include "services/cli/generation.hpp"

#include <algorithm>
#include <cstdio>

#include "services/cli/access_options.hpp"
#include "services/cli/activations.hpp"
#include "services/cli/engine_answer.hpp"
#include "services/runtime/faults.hpp"
#include "services/runtime/model_lookup.hpp"

namespace troupe::services {
namespace {

constexpr float kGreedyBelow = 1e-5f;  // specification 8.1

void say(const std::string& line) { std::fprintf(stderr, "%s\n", line.c_str()); }

Fault fault_of(const Answer& answer) {
  if (answer.fault) return *answer.fault;
  return answer.error.code == Errc::io ? Fault::output_failed : engine_fault(answer.error.code);
}

}  // namespace

void GenerationFlags::declare_model(OptionSet& options) {
  options.add({"--model", "DIR", "Hugging Face checkpoint directory [the bundled troupe-tiny]",
               text(model)});
  options.add({"--url", "[SCHEME://]HOST:PORT",
               "Ask a running gateway: grpc, grpcs (TLS), http or https; --model is then a served "
               "name, engine flags have no effect [grpc]",
               text(server.url)});
  declare_access(options, server);
}

std::optional<int> Generation::open() {
  if (const auto failed = check_engine(flags_.engine)) return failed;
  auto model = open_model(flags_.model, {.pages = flags_.engine.pages()});
  if (!model) return report(model_fault(model.error().code), model.error().detail);
  model_.emplace(*std::move(model));
  return std::nullopt;
}

std::optional<int> Generation::require_tokenizer() const {
  if (model_->tokenizer) return std::nullopt;
  return report(Fault::tokenizer_missing,
                model_->no_tokenizer.detail + ". Token ids still work: troupe run --ids 1,2,3");
}

std::optional<int> Generation::check_prompt(const std::vector<std::int32_t>& prompt) const {
  if (prompt.empty()) {
    return report(Fault::missing_argument, "the prompt has no tokens. Give it some text");
  }
  const std::int64_t vocab = model_->config().vocab_size;
  for (const std::int32_t id : prompt) {
    if (id < vocab) continue;
    return report(Fault::token_out_of_range, "token id " + std::to_string(id) +
                                                 " is past the model's last, " +
                                                 std::to_string(vocab - 1));
  }
  for (const auto& [id, bias] : flags_.sampling.logit_bias) {
    if (id < vocab) continue;
    return report(Fault::token_out_of_range, "--logit-bias names token id " + std::to_string(id) +
                                                 ", and the model's last is " +
                                                 std::to_string(vocab - 1));
  }
  const auto fits = check_context(static_cast<std::int64_t>(prompt.size()),
                                  flags_.sampling.max_tokens.value_or(0), model_->context());
  if (!fits) return report(Fault::prompt_too_long, fits.error().detail);
  return std::nullopt;
}

actors::GenerateRequest Generation::request_for(std::vector<std::int32_t> prompt) const {
  actors::GenerateRequest request;
  request.sampling = flags_.sampling.merged(model_->defaults, model_->config().eos_token_ids);
  const auto room = model_->context() - static_cast<std::int64_t>(prompt.size());
  if (request.sampling.max_tokens == 0) {
    request.sampling.max_tokens = static_cast<std::int32_t>(std::min(max_tokens_default_, room));
  }
  if (!flags_.sampling.seed) request.sampling.seed = draw_seed();
  request.valid_vocab = model_->valid_vocab();
  request.prompt = std::move(prompt);
  return request;
}

std::optional<int> Generation::start() {
  if (cluster_) return std::nullopt;
  tell_activations(flags_.engine, model_->config().quantisation);
  StartedCluster started = start_cluster(*model_, flags_.engine, 1);
  if (!started.cluster) return started.exit_code;
  cluster_ = std::move(started.cluster);
  return std::nullopt;
}

Generation::Result Generation::answer(std::vector<std::int32_t> prompt, bool as_ids) {
  if (const auto failed = check_prompt(prompt)) return {*failed, Ending::failed, ""};
  actors::GenerateRequest request = request_for(std::move(prompt));
  if (const auto valid = model::validate(request.sampling); !valid) {
    return {report(Fault::bad_value, valid.error().detail), Ending::failed, ""};
  }
  if (const auto failed = start()) return {*failed, Ending::failed, ""};
  const bool drawn = !flags_.sampling.seed && request.sampling.temperature >= kGreedyBelow;
  if (drawn) say("seed " + std::to_string(request.sampling.seed));
  TokenText tokens(as_ids || !model_->tokenizer ? nullptr : &*model_->tokenizer,
                   request.sampling.stop_token_ids);
  EngineAnswer answer(*cluster_, std::move(request), std::move(tokens));
  return conclude(print_answer(answer, progress_style(flags_.engine.no_progress)));
}

Generation::Result conclude(PrintedAnswer printed) {
  Generation::Result result{0, printed.ending, std::move(printed.text), printed.answer.usage, {}};
  const Error& error = printed.answer.error;
  switch (printed.ending) {
    case Ending::complete: say(usage_line(printed.answer.usage)); break;
    case Ending::interrupted:
      say(usage_line(printed.answer.usage) + ", interrupted");
      result.exit_code = static_cast<int>(ExitCode::interrupt);
      break;
    case Ending::reader_gone: break;
    case Ending::failed: result.exit_code = report(fault_of(printed.answer), error.detail); break;
  }
  return result;
}

}  // namespace troupe::services
