// Frames in, steps, frames out.
#include "actors/attention/attention_role.hpp"

#include <algorithm>
#include <limits>

#include "actors/row_codec.hpp"
#include "actors/submit_codec.hpp"

namespace troupe::actors {
namespace {

BatchScheduler::Settings with_model(BatchScheduler::Settings settings,
                                    const model::ModelConfig& config) {
  settings.positions_max = config.max_position_embeddings;
  settings.vocab_size = config.vocab_size;
  return settings;
}

RowExchangeSettings exchange_settings(const AttentionSettings& settings,
                                      const model::AttentionModel& model) {
  return {settings.hop_budget,
          settings.uncovered_budget,
          settings.attempts_max,
          settings.frame_rows_max,
          static_cast<std::uint32_t>(model.config().hidden_size),
          wire_dtype(model.numerics().row_dtype())};
}

/// Frames that may wait for a slow gateway before the next step has to.
constexpr std::size_t kGatewayBacklogMax = 64;

}  // namespace

AttentionRole::AttentionRole(const RoleContext& context, AttentionSettings settings,
                             std::shared_ptr<const model::AttentionModel> model)
    : Role(context),
      settings_(settings),
      model_(std::move(model)),
      pool_(model_->kv_shape(settings.kv_pages_max)),
      scheduler_(with_model(settings.batch, model_->config()), pool_),
      grammars_(settings.tokenizer_directory),
      exchange_(peers_, standings_, exchange_settings(settings, *model_)) {}

void AttentionRole::on_joined(PeerId peer) {
  if (role_of(peer) == proto::Role::router) exchange_.on_joined(peer);
}

void AttentionRole::on_lost(PeerId peer, const Error& why) {
  if (role_of(peer) == proto::Role::router) return exchange_.on_lost(peer, why, now());
  leases_.erase(peer);
  withdraw_all(peer);
}

void AttentionRole::on_frame(PeerId peer, transport::ReceivedFrame&& frame) {
  const bool router = role_of(peer) == proto::Role::router;
  switch (static_cast<proto::FrameKind>(frame.header.kind)) {
    case proto::FrameKind::submit:
      if (!router) return admit(peer, frame);
      break;
    case proto::FrameKind::cancel:
      if (router) break;
      grammars_.withdraw(index_of(peer), frame.header.work_id);
      return scheduler_.withdraw(index_of(peer), frame.header.work_id);
    case proto::FrameKind::lease:
      if (!router) return renew(peer, frame);
      break;
    case proto::FrameKind::combined:
      if (router) return exchange_.on_combined(peer, std::move(frame));
      break;
    case proto::FrameKind::failed:
      if (router) return exchange_.on_failed(peer, frame, now());
      break;
    default: break;
  }
  peers_.count_stale(peer);
}

void AttentionRole::admit(PeerId gateway, const transport::ReceivedFrame& frame) {
  const auto& submit = std::get<proto::Submit>(frame.body);
  auto request = read_submit(frame.header, submit, index_of(gateway), now());
  if (request.grammar.kind == model::GrammarSpec::Kind::none)
    admit(frame.header, std::move(request));
  else
    compile_grammar(frame.header, std::move(request));
}

void AttentionRole::compile_grammar(const proto::FrameHeader& asked, SequenceRequest request) {
  if (grammars_.full())
    return refuse(asked, request.gateway,
                  {Errc::overloaded, "too many grammars are being compiled; try again later"});
  grammars_.open(request);
  auto made = std::make_shared<Expected<std::shared_ptr<model::GrammarState>>>(nullptr);
  auto kept = std::make_shared<SequenceRequest>(std::move(request));
  compute_.post([this, kept, made] { *made = grammars_.state_for(*kept); },
                [this, kept, made, asked] {
                  if (!grammars_.close(*kept)) return;  // withdrawn meanwhile
                  if (!*made) return refuse(asked, kept->gateway, made->error());
                  kept->grammar_state = **made;
                  admit(asked, std::move(*kept));
                });
}

void AttentionRole::admit(const proto::FrameHeader& asked, SequenceRequest request) {
  const auto gateway = request.gateway;
  const auto admitted = scheduler_.admit(std::move(request), now());
  if (!admitted) refuse(asked, gateway, admitted.error());
}

void AttentionRole::refuse(const proto::FrameHeader& asked, GatewayIndex gateway,
                           const Error& error) {
  const auto header = proto::reply_header(asked, peers_.header().sender_incarnation, 0);
  const proto::Failed failed{static_cast<std::uint16_t>(error.code),
                             error.code == Errc::overloaded ? 1000u : 0u,
                             proto::clip_detail(error.detail)};
  peers_.send(peer_id(proto::Role::gateway, gateway),
              transport::make_frame(peers_.buffers(), header, failed));
}

void AttentionRole::withdraw_all(PeerId gateway) {
  grammars_.withdraw_all(index_of(gateway));
  scheduler_.withdraw_all(index_of(gateway));
}

void AttentionRole::renew(PeerId gateway, const transport::ReceivedFrame& frame) {
  const auto& lease = std::get<proto::Lease>(frame.body);
  leases_[gateway] = now() + std::chrono::microseconds(lease.duration_us);
  // The echo tells the gateway that this loop is alive, however long a step takes, and which of
  // the requests it named are still here.
  std::vector<std::uint64_t> kept;
  for (const auto request : lease.work_ids)
    if (scheduler_.has(index_of(gateway), request) || grammars_.has(index_of(gateway), request))
      kept.push_back(request);
  auto header = peers_.header();
  header.kind = static_cast<std::uint16_t>(proto::FrameKind::lease);
  header.work_id = frame.header.work_id;
  peers_.send(gateway, transport::make_frame(peers_.buffers(), header,
                                             proto::Lease{lease.duration_us, kept, open_tokens()}));
}

std::uint32_t AttentionRole::open_tokens() const {
  constexpr std::int64_t kMax = std::numeric_limits<std::uint32_t>::max();
  return static_cast<std::uint32_t>(std::min(scheduler_.open_tokens(), kMax));
}

bool AttentionRole::expire_leases() {
  std::vector<PeerId> over;
  for (const auto& [gateway, until] : leases_)
    if (until <= now()) over.push_back(gateway);
  for (const auto gateway : over) {
    leases_.erase(gateway);
    withdraw_all(gateway);
  }
  return !over.empty();
}

bool AttentionRole::work() {
  bool busy = expire_leases() | exchange_.tick(now());
  if (job_open_) return busy;
  if (!step_) {
    start_step();
    return busy || step_ != nullptr;
  }
  return try_continue() || busy;
}

bool AttentionRole::gateways_take_frames() const {
  const auto gateways = peers_.joined_of(proto::Role::gateway);
  return std::all_of(gateways.begin(), gateways.end(), [this](PeerId gateway) {
    return peers_.waiting_frames(gateway) < kGatewayBacklogMax;
  });
}

/// Posts one stage of the open step and adds the time it takes to `seconds`.
void AttentionRole::post_stage(double& seconds, std::function<void()> stage,
                               std::function<void()> done) {
  job_open_ = true;
  auto taken = std::make_shared<Clock::duration>();
  compute_.post(
      [stage = std::move(stage), taken] {
        const auto began = Clock::now();
        stage();
        *taken = Clock::now() - began;
      },
      [this, &seconds, taken, done = std::move(done)] {
        job_open_ = false;
        seconds += std::chrono::duration<double>(*taken).count();
        done();
      });
}

void AttentionRole::start_step() {
  if (!gateways_take_frames()) return;
  scheduler_.expire(now());
  auto plan = scheduler_.next(now());
  send_events();
  if (!plan) return;
  ++steps_total_;
  rows_total_ += plan->batch.rows();
  const auto decodes = [](const StepPart& part) { return part.rows == 1 && part.samples; };
  const bool prefill = !std::all_of(plan->parts.begin(), plan->parts.end(), decodes);
  step_counts_ = prefill ? &prefill_ : &decode_;
  step_counts_->batch_tokens.observe(static_cast<double>(plan->batch.rows()));
  step_began_ = Clock::now();
  step_ = std::make_unique<StepRun>(
      StepTools{model_.get(), &pool_, engine_, &peers_.buffers(), &state_}, std::move(*plan));
  advance();
}

void AttentionRole::advance() {
  post_stage(
      stage_seconds_.attention, [step = step_.get()] { step->advance(); },
      [this] {
        if (step_->at_moe_layer()) return exchange_rows();
        heads_left_ = true;
        try_continue();
      });
}

void AttentionRole::exchange_rows() {
  rows_out_ = true;
  exchange_.begin(step_->layer(), step_->lane(), step_->packed(), step_->live_ranges(), now());
  post_stage(
      stage_seconds_.shared_expert, [step = step_.get()] { step->shared(); },
      [this] {
        wait_began_ = Clock::now();
        try_continue();
      });
}

bool AttentionRole::try_continue() {
  if (job_open_) return false;
  if (rows_out_) {
    if (!exchange_.finished()) return false;
    rows_out_ = false;
    stage_seconds_.wait_experts +=
        std::chrono::duration<double>(Clock::now() - wait_began_).count();
    for (const auto& failure : exchange_.take_failures()) step_->fail(failure.range, failure.error);
    step_->take_answers(exchange_.take_answers());
    if (step_->all_failed())
      finish_step();
    else
      advance();
    return true;
  }
  if (!heads_left_ || !gateways_take_frames()) return false;
  head();
  return true;
}

void AttentionRole::head() {
  if (step_->head_finished()) return finish_step();
  post_stage(
      step_head_seconds_, [step = step_.get()] { step->head(); },
      [this] {
        send_logits();
        send_scores();
        try_continue();
      });
}

void AttentionRole::finish_step() {
  heads_left_ = false;
  step_counts_->step_seconds.observe(Clock::now() - step_began_);
  const auto sampling = std::chrono::duration<double>(step_->sampling_time()).count();
  stage_seconds_.sample += sampling;
  stage_seconds_.head += std::exchange(step_head_seconds_, 0) - sampling;
  scheduler_.complete(step_->outcomes());
  step_.reset();
  send_events();
}

void AttentionRole::send_logits() {
  const auto vocab = static_cast<std::size_t>(model_->config().vocab_size);
  for (const auto& block : step_->take_logits()) {
    const auto& asked = block.sequence->asked;
    if (block.sequence->withdrawn) continue;
    auto header = peers_.header();
    header.work_id = asked.request;
    header.attempt = asked.attempt;
    header.kind = static_cast<std::uint16_t>(proto::FrameKind::logits);
    const std::span<const float> rows(block.rows->data() + block.first_row * vocab,
                                      block.positions.size() * vocab);
    const proto::Logits body{block.source, static_cast<std::uint32_t>(vocab), block.positions,
                             std::as_bytes(rows)};
    auto frame = transport::make_frame_head(peers_.buffers(), header, body);
    frame.rows.push_back(std::as_bytes(rows));
    peers_.send(peer_id(proto::Role::gateway, asked.gateway), std::move(frame),
                [kept = block.rows](Errc) {});
  }
}

void AttentionRole::send_scores() {
  for (const auto& block : step_->take_scores()) {
    const auto& asked = block.sequence->asked;
    if (block.sequence->withdrawn) continue;
    auto header = peers_.header();
    header.work_id = asked.request;
    header.attempt = asked.attempt;
    std::vector<proto::TokenLogprob> entries, top;
    for (const auto& score : block.scores) {
      entries.push_back({score.token, score.logprob});
      for (const auto& [token, logprob] : score.top) top.push_back({token, logprob});
    }
    proto::PromptLogprobs body;
    body.first_position = static_cast<std::uint32_t>(block.first_position);
    body.top_count = static_cast<std::uint16_t>(block.scores.front().top.size());
    body.entries = entries;
    body.top = top;
    peers_.send(peer_id(proto::Role::gateway, asked.gateway),
                transport::make_frame(peers_.buffers(), header, body));
  }
}

void AttentionRole::send_events() {
  for (const auto& event : scheduler_.take_events()) send_tokens(event);
}

void AttentionRole::send_tokens(const SequenceEvent& event) {
  auto header = peers_.header();
  header.work_id = event.request;
  header.attempt = event.attempt;
  std::vector<proto::TokenEntry> entries;
  if (event.sample)
    entries.push_back(
        {static_cast<std::uint32_t>(event.position), event.sample->token, event.sample->logprob});
  std::vector<proto::TokenLogprob> top;
  if (event.sample)
    for (const auto& [token, logprob] : event.sample->top) top.push_back({token, logprob});
  proto::Tokens tokens;
  tokens.entries = entries;
  tokens.top = top;
  tokens.top_count = static_cast<std::uint16_t>(top.size());
  tokens.cached_tokens = static_cast<std::uint32_t>(event.cached);
  tokens.queue_us = static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(event.queued).count());
  tokens.prompt_done = static_cast<std::uint32_t>(event.prompt_computed);
  tokens.finish = event.finish ? wire_finish(*event.finish) : proto::Finish::none;
  tokens.error = static_cast<std::uint16_t>(event.error.code);
  tokens.detail = proto::clip_detail(event.error.detail);
  peers_.send(peer_id(proto::Role::gateway, event.gateway),
              transport::make_frame(peers_.buffers(), header, tokens));
}

std::optional<TimePoint> AttentionRole::role_deadline() const {
  auto next = exchange_.next_deadline();
  for (const auto& [gateway, until] : leases_)
    if (!next || until < *next) next = until;
  return next;
}

RoleLoad AttentionRole::load() const {
  auto oldest = scheduler_.oldest();
  if (const auto other = grammars_.oldest(); other && (!oldest || *other < *oldest)) oldest = other;
  return {oldest, scheduler_.waiting() + grammars_.size()};
}

AttentionStatus AttentionRole::status() const {
  return {static_cast<std::int64_t>(scheduler_.running()),
          static_cast<std::int64_t>(scheduler_.waiting()),
          scheduler_.pages().used(),
          scheduler_.pages().idle(),
          pool_.shape().pages_max,
          scheduler_.preemptions_total(),
          scheduler_.cached_tokens_total(),
          steps_total_,
          rows_total_,
          static_cast<std::int64_t>(exchange_.resent_total()),
          static_cast<std::int64_t>(peers_.stats().stale_frames_total),
          stage_seconds_,
          prefill_,
          decode_};
}

}  // namespace troupe::actors
