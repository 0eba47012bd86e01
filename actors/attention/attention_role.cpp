// Frames in, steps, frames out.
#include "actors/attention/attention_role.hpp"

#include <algorithm>
#include <limits>

#include "actors/row_codec.hpp"
#include "actors/submit_codec.hpp"
#include "model/memory_bounds.hpp"

namespace troupe::actors {
namespace {

BatchScheduler::Settings with_model(BatchScheduler::Settings settings,
                                    const model::ModelConfig& config) {
  settings.positions_max = config.max_position_embeddings;
  settings.vocab_size = config.vocab_size;
  return settings;
}

RowExchangeSettings exchange_settings(const AttentionSettings& settings,
                                      const model::AttentionModel& model, std::uint32_t micro_batch,
                                      std::uint32_t micro_batches) {
  return {settings.hop_budget,
          settings.uncovered_budget,
          settings.attempts_max,
          settings.frame_rows_max,
          static_cast<std::uint32_t>(model.config().hidden_size),
          wire_dtype(model.numerics().row_dtype()),
          micro_batch,
          micro_batches};
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
      pace_(settings.prompt_budget),
      grammars_(settings.tokenizer_directory),
      choice_(settings.micro_batches) {
  const std::uint32_t count = settings.micro_batches == MicroBatching::never ? 1 : 2;
  for (std::uint32_t i = 0; i < count; ++i)
    batches_.push_back(std::make_unique<MicroBatch>(
        RowExchange(peers_, standings_, exchange_settings(settings, *model_, i, count))));
}

RowExchange& AttentionRole::exchange_of(const proto::FrameHeader& reply) {
  const auto count = static_cast<std::uint32_t>(batches_.size());
  return batches_[RowExchange::micro_batch_of(reply.work_id, count)]->exchange;
}

void AttentionRole::on_joined(PeerId peer) {
  if (role_of(peer) != proto::Role::router) return;
  for (const auto& batch : batches_) batch->exchange.on_joined(peer);
}

void AttentionRole::on_lost(PeerId peer, const Error& why) {
  if (role_of(peer) == proto::Role::router) {
    for (const auto& batch : batches_) batch->exchange.on_lost(peer, why, now());
    return;
  }
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
      if (router) return exchange_of(frame.header).on_combined(peer, std::move(frame));
      break;
    case proto::FrameKind::failed:
      if (router) return exchange_of(frame.header).on_failed(peer, frame, now());
      break;
    default: break;
  }
  peers_.count_stale(peer);
}

void AttentionRole::admit(PeerId gateway, const transport::ReceivedFrame& frame) {
  const auto& submit = std::get<proto::Submit>(frame.body);
  SequenceRequest request;
  const auto fits = model::within_memory("another request", [&] {
    request = read_submit(frame.header, submit, index_of(gateway), now());
    if (!model::heap_has(model::kLeftByRequests)) throw std::bad_alloc();
  });
  if (!fits) return refuse(frame.header, index_of(gateway), fits.error());
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
  const auto compile = [this, kept, made] {
    const auto fits =
        model::within_memory("the grammar", [&] { *made = grammars_.state_for(*kept); });
    if (!fits) *made = unexpected(fits.error());
  };
  compute_.post(compile, [this, kept, made, asked] {
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
  bool busy = expire_leases();
  for (const auto& batch : batches_) busy |= batch->exchange.tick(now());
  if (!step_) {
    start_step();
    return busy || step_;
  }
  for (const auto& batch : batches_) busy |= try_continue(*batch);
  return busy;
}

bool AttentionRole::gateways_take_frames() const {
  const auto gateways = peers_.joined_of(proto::Role::gateway);
  return std::all_of(gateways.begin(), gateways.end(), [this](PeerId gateway) {
    return peers_.waiting_frames(gateway) < kGatewayBacklogMax;
  });
}

/// Posts one stage of `batch` and adds the time it takes to `seconds`. A stage that finds no memory
/// ends the requests of `batch`, and `done` is not called.
void AttentionRole::post_stage(MicroBatch& batch, double& seconds, std::function<void()> stage,
                               std::function<void()> done) {
  batch.job_open = true;
  watch_idleness();
  struct Ran {
    Clock::duration taken{};
    Expected<void> fits{};
  };
  auto ran = std::make_shared<Ran>();
  compute_.post(
      [stage = std::move(stage), ran] {
        const auto began = Clock::now();
        ran->fits = model::within_memory("another step", stage);
        ran->taken = Clock::now() - began;
      },
      [this, &batch, &seconds, ran, done = std::move(done)] {
        batch.job_open = false;
        seconds += std::chrono::duration<double>(ran->taken).count();
        if (ran->fits)
          done();
        else
          give_up(batch, ran->fits.error());
        watch_idleness();
      });
}

void AttentionRole::give_up(MicroBatch& batch, const Error& why) {
  step_->disturbed = true;
  batch.run->fail_all(why);
  if (batch.rows_out)
    try_continue(batch);  // once their answers are in
  else
    finish(batch);
}

/// Keeps the time in which rows are out and no micro-batch has anything to compute.
void AttentionRole::watch_idleness() {
  const auto any = [this](bool MicroBatch::*what) {
    return std::any_of(batches_.begin(), batches_.end(),
                       [&](const auto& batch) { return (*batch).*what; });
  };
  const bool idle = any(&MicroBatch::rows_out) && !any(&MicroBatch::job_open);
  if (idle == idle_since_.has_value()) return;
  if (idle) {
    idle_since_ = Clock::now();
    return;
  }
  const std::chrono::duration<double> waited = Clock::now() - *std::exchange(idle_since_, {});
  stage_seconds_.wait_experts += waited.count();
  step_->waited += waited.count();
}

void AttentionRole::start_step() {
  if (!gateways_take_frames()) return;
  scheduler_.expire(now());
  auto plan = scheduler_.next(now(), pace_.rows_max());
  send_events();
  if (!plan) return;
  ++steps_total_;
  rows_total_ += plan->batch.rows();
  const auto decodes = [](const StepPart& part) { return part.rows == 1 && part.samples; };
  const auto decode_rows = std::count_if(plan->parts.begin(), plan->parts.end(), decodes);
  const bool prefill = plan->batch.rows() > decode_rows;
  OpenStep step;
  step.size = {plan->batch.rows(), plan->parts.size(), prefill};
  step.decode_rows = decode_rows;
  step.counts = prefill ? &prefill_ : &decode_;
  step.counts->batch_tokens.observe(static_cast<double>(plan->batch.rows()));
  step.began = Clock::now();
  step.cut = choice_.cut(step.size);
  step_ = step;
  if (!step.cut) return begin(*batches_.front(), *std::move(plan));
  ++cut_steps_total_;
  auto [first, second] = cut_in_two(*std::move(plan));
  begin(*batches_[0], std::move(first));
  begin(*batches_[1], std::move(second));
}

void AttentionRole::begin(MicroBatch& batch, StepPlan plan) {
  batch.finished = false;
  batch.run = std::make_unique<StepRun>(
      StepTools{model_.get(), &pool_, engine_, &peers_.buffers(), &batch.state}, std::move(plan));
  advance(batch);
}

void AttentionRole::advance(MicroBatch& batch) {
  post_stage(
      batch, stage_seconds_.attention, [run = batch.run.get()] { run->advance(); },
      [this, &batch] {
        if (batch.run->at_moe_layer()) return exchange_rows(batch);
        batch.heads_left = true;
        try_continue(batch);
      });
}

void AttentionRole::exchange_rows(MicroBatch& batch) {
  batch.rows_out = true;
  const auto& run = *batch.run;
  batch.exchange.begin(run.layer(), run.lane(), run.packed(), run.live_ranges(), now());
  post_stage(
      batch, stage_seconds_.shared_expert, [run = batch.run.get()] { run->shared(); },
      [this, &batch] { try_continue(batch); });
}

bool AttentionRole::try_continue(MicroBatch& batch) {
  if (!batch.run || batch.job_open || batch.finished) return false;
  if (batch.rows_out) {
    if (!batch.exchange.finished()) return false;
    batch.rows_out = false;
    for (const auto& failure : batch.exchange.take_failures()) {
      batch.run->fail(failure.range, failure.error);
      step_->disturbed = true;
    }
    batch.run->take_answers(batch.exchange.take_answers());
    if (batch.run->all_failed())
      finish(batch);
    else
      advance(batch);
    return true;
  }
  if (!batch.heads_left) return false;
  if (!gateways_take_frames()) {
    step_->disturbed = true;
    return false;
  }
  head(batch);
  return true;
}

void AttentionRole::head(MicroBatch& batch) {
  if (batch.run->head_finished()) return finish(batch);
  post_stage(
      batch, batch.head_seconds, [run = batch.run.get()] { run->head(); },
      [this, &batch] {
        send_logits(*batch.run);
        send_scores(*batch.run);
        try_continue(batch);
      });
}

void AttentionRole::finish(MicroBatch& batch) {
  batch.finished = true;
  batch.heads_left = false;
  const auto sampling = std::chrono::duration<double>(batch.run->sampling_time()).count();
  stage_seconds_.sample += sampling;
  stage_seconds_.head += std::exchange(batch.head_seconds, 0) - sampling;
  watch_idleness();
  const auto open = [](const auto& other) { return other->run && !other->finished; };
  if (std::none_of(batches_.begin(), batches_.end(), open)) finish_step();
}

void AttentionRole::finish_step() {
  const auto took = Clock::now() - step_->began;
  const double seconds = std::chrono::duration<double>(took).count();
  step_->counts->step_seconds.observe(took);
  choice_.observe(step_->size, step_->cut, seconds, step_->waited);
  if (!step_->disturbed)
    pace_.observe(step_->decode_rows, step_->size.rows - step_->decode_rows, seconds);
  std::vector<PartOutcome> outcomes;
  for (const auto& batch : batches_) {
    if (!batch->run) continue;
    const auto own = batch->run->outcomes();
    outcomes.insert(outcomes.end(), own.begin(), own.end());
    batch->run.reset();
  }
  scheduler_.complete(outcomes);
  step_.reset();
  send_events();
}

void AttentionRole::send_logits(StepRun& run) {
  const auto vocab = static_cast<std::size_t>(model_->config().vocab_size);
  for (const auto& block : run.take_logits()) {
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

void AttentionRole::send_scores(StepRun& run) {
  for (const auto& block : run.take_scores()) {
    const auto& asked = block.sequence->asked;
    if (block.sequence->withdrawn) continue;
    auto header = peers_.header();
    header.work_id = asked.request;
    header.attempt = asked.attempt;
    std::vector<proto::TokenLogprob> entries, top;
    std::vector<std::uint32_t> ranks;
    for (const auto& score : block.scores) {
      entries.push_back({score.token, score.logprob});
      if (asked.prompt_ranks) ranks.push_back(static_cast<std::uint32_t>(score.rank));
      for (const auto& [token, logprob] : score.top) top.push_back({token, logprob});
    }
    proto::PromptLogprobs body;
    body.first_position = static_cast<std::uint32_t>(block.first_position);
    body.top_count = static_cast<std::uint16_t>(block.scores.front().top.size());
    body.entries = entries;
    body.top = top;
    body.ranks = ranks;
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
  std::optional<TimePoint> next;
  for (const auto& batch : batches_)
    if (const auto due = batch->exchange.next_deadline(); due && (!next || *due < *next))
      next = due;
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
  std::int64_t resent = 0;
  for (const auto& batch : batches_)
    resent += static_cast<std::int64_t>(batch->exchange.resent_total());
  return {static_cast<std::int64_t>(scheduler_.running()),
          static_cast<std::int64_t>(scheduler_.waiting()),
          scheduler_.pages().used(),
          scheduler_.pages().idle(),
          pool_.shape().pages_max,
          scheduler_.preemptions_total(),
          scheduler_.cached_tokens_total(),
          steps_total_,
          cut_steps_total_,
          rows_total_,
          resent,
          static_cast<std::int64_t>(peers_.stats().stale_frames_total),
          stage_seconds_,
          prefill_,
          decode_};
}

}  // namespace troupe::actors
