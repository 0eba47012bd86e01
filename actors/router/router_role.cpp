// The router's frames, jobs and budgets.
#include "actors/router/router_role.hpp"

#include <algorithm>
#include <limits>
#include <set>

#include "actors/router/row_work.hpp"
#include "actors/row_codec.hpp"
#include "proto/identity.hpp"

namespace troupe::actors {
namespace {

DispatchLedger::Rules rules(const RouterSettings& settings, const model::RouterModel& model) {
  DispatchLedger::Rules rules;
  rules.experts_per_token = model.config().experts_per_token;
  rules.rows_max = settings.dispatch_rows_max;
  rules.width = static_cast<std::uint32_t>(model.config().hidden_size);
  rules.dtype = wire_dtype(settings.numerics.row_dtype());
  rules.row_bytes = proto::row_block_bytes(1, rules.width, rules.dtype);
  return rules;
}

/// What is left of a work item's budget once an eighth is kept for the way back.
TimePoint deadline_of(const proto::FrameHeader& header, std::chrono::milliseconds hop_budget,
                      TimePoint now) {
  const auto budget = header.remaining_us > 0
                          ? std::chrono::microseconds(header.remaining_us)
                          : std::chrono::duration_cast<std::chrono::microseconds>(hop_budget);
  return now + budget - budget / 8;
}

std::uint64_t left_us(TimePoint deadline, TimePoint now) {
  const auto left = std::chrono::duration_cast<std::chrono::microseconds>(deadline - now).count();
  return static_cast<std::uint64_t>(std::max<std::int64_t>(left, 1));
}

}  // namespace

RouterRole::RouterRole(const RoleContext& context, RouterSettings settings,
                       std::shared_ptr<const model::RouterModel> model)
    : Role(context),
      settings_(settings),
      model_(std::move(model)),
      ledger_(rules(settings, *model_)) {}

bool RouterRole::adopt(PlacementPtr placement) {
  const auto& next = placement->placement;
  if (published_) {
    const auto& ours = published_->placement;
    if (std::pair(next.term, next.epoch) <= std::pair(ours.term, ours.epoch)) return false;
  }
  published_ = std::move(placement);
  counts_.term = published_->placement.term;
  counts_.epoch = published_->placement.epoch;
  recompute_live();
  return true;
}

void RouterRole::recompute_live() {
  standings_seen_ = standings_->version();
  if (!published_) return;
  live_ = published_->placement;
  constexpr int kGone = std::numeric_limits<int>::max();
  std::map<model::ShardIndex, int> reluctance;  // of joined shards
  for (const auto expert : peers_.joined_of(proto::Role::expert))
    reluctance[static_cast<model::ShardIndex>(index_of(expert))] = standings_->reluctance(expert);
  const auto reluctance_of = [&](model::ShardIndex shard) {
    const auto found = reluctance.find(shard);
    return found == reluctance.end() ? kGone : found->second;
  };
  for (auto& replicas : live_.replicas) {
    int least = kGone - 1;  // who is gone is never taken
    for (const auto shard : replicas) least = std::min(least, reluctance_of(shard));
    std::erase_if(replicas, [&](model::ShardIndex shard) { return reluctance_of(shard) > least; });
  }
}

void RouterRole::on_joined(PeerId peer) {
  if (role_of(peer) != proto::Role::expert) return;
  ledger_.outstanding_rows(index_of(peer) + 1);
  unsent_.try_emplace(peer, *peers_.credits(peer));
  fit_grants();
  recompute_live();
}

void RouterRole::fit_grants() {
  // A dispatch must fit the smallest grant, or it would wait for credits for ever.
  auto rows_max = settings_.dispatch_rows_max;
  for (const auto expert : peers_.joined_of(proto::Role::expert)) {
    const auto grant = peers_.credits(expert)->grant();
    rows_max = std::min<std::int64_t>(rows_max, grant.rows_max(proto::Lane::prefill));
  }
  ledger_.set_rows_max(std::max<std::int64_t>(rows_max, 1));
}

void RouterRole::on_lost(PeerId peer, const Error&) {
  if (role_of(peer) == proto::Role::attention) {
    for (const auto item : ledger_.items_of(peer)) close(item);
    return;
  }
  unsent_.erase(peer);
  recompute_live();
  counts_.failovers_total += ledger_.shard_lost(static_cast<model::ShardIndex>(index_of(peer)));
}

void RouterRole::on_frame(PeerId peer, transport::ReceivedFrame&& frame) {
  const auto kind = static_cast<proto::FrameKind>(frame.header.kind);
  const bool from_expert = role_of(peer) == proto::Role::expert;
  if (kind == proto::FrameKind::rows && !from_expert) return accept_rows(peer, std::move(frame));
  if (kind == proto::FrameKind::expert_reply && from_expert)
    return on_reply(peer, std::move(frame));
  if (kind == proto::FrameKind::failed && from_expert) return on_refusal(peer, frame);
  peers_.count_stale(peer);
}

std::optional<Error> RouterRole::find_fault(const transport::ReceivedFrame& frame) const {
  const auto& config = model_->config();
  const auto& rows = std::get<proto::Rows>(frame.body).rows;
  const auto layer = frame.header.layer;
  if (layer < 0 || layer >= config.num_layers || !config.is_moe(layer))
    return Error{Errc::invalid_argument, "layer " + std::to_string(layer) + " has no experts"};
  if (rows.rows == 0 || rows.width != static_cast<std::uint32_t>(config.hidden_size) ||
      rows.dtype != dtype())
    return Error{Errc::malformed, "rows of another shape or dtype than this model's"};
  if (ledger_.items().size() >= settings_.items_max)
    return Error{Errc::overloaded, "the router serves " + std::to_string(settings_.items_max) +
                                       " work items already (items_max)"};
  return std::nullopt;
}

void RouterRole::accept_rows(PeerId asker, transport::ReceivedFrame&& frame) {
  if (ledger_.serves(asker, frame.header)) return peers_.count_stale(asker);
  if (const auto fault = find_fault(frame)) return send_failed(asker, frame.header, *fault);
  const auto lane = frame.header.lane;
  auto kept = std::make_shared<transport::ReceivedFrame>(std::move(frame));
  const auto deadline = deadline_of(kept->header, settings_.hop_budget, now());
  auto& item = ledger_.open(asker, std::move(kept), deadline);
  item.arrived = now();
  ungated_[lane].push_back(item.id);
  ++counts_.items_total;
}

std::size_t RouterRole::reply_bytes(std::int64_t rows) const {
  const auto& config = model_->config();
  return static_cast<std::size_t>(rows * config.experts_per_token) *
         proto::row_block_bytes(1, static_cast<std::uint32_t>(config.hidden_size), dtype());
}

bool RouterRole::start_gates() {
  bool busy = false;
  for (auto& lane : ungated_) {
    while (!lane.empty() && published_ && !compute_.full()) {
      const auto* item = ledger_.find(lane.front());
      if (item != nullptr) {
        const auto bytes = reply_bytes(item->rows);
        if (inflight_total_ > 0 && inflight_total_ + bytes > settings_.inflight_bytes_max)
          return busy;
        inflight_bytes_[item->id] = bytes;
        inflight_total_ += bytes;
        gate(item->id);
      }
      lane.pop_front();
      busy = true;
    }
  }
  return busy;
}

struct RouterRole::Gated {
  Expected<void> fits{};
  model::Routing routing;
  std::shared_ptr<transport::Buffer> quantised;  // null: rows go as they came
};

void RouterRole::gate(ItemId id) {
  const bool quantise = published_->quantised_rows;
  auto out = std::make_shared<Gated>();
  const auto& item = *ledger_.find(id);
  const auto work = [this, frame = item.frame, out, quantise] {
    memory_.run(row_work::gate_bytes(*frame, quantise), [&] {
      out->routing = row_work::gate(*model_, engine_, *frame);
      if (quantise)
        out->quantised = std::make_shared<transport::Buffer>(
            row_work::quantise(*model_, engine_, *frame, peers_.buffers()));
    });
  };
  run(
      row_work::gate_work(model_->config(), item.rows),
      [out, work] { out->fits = model::within_memory("another gate", work); },
      [this, id, out] { gated(id, *out); });
}

void RouterRole::gated(ItemId id, Gated& gated) {
  auto* item = ledger_.find(id);
  if (item == nullptr) return;  // given up meanwhile
  if (!gated.fits) return fail_without_memory(*item, gated.fits.error());
  item->quantised = std::move(gated.quantised);
  item->gated = Clock::now();
  ledger_.set_routing(*item, std::move(gated.routing));
  plan(*item);
}

void RouterRole::plan(RouterItem& item) {
  if (standings_->version() != standings_seen_) recompute_live();
  for (const auto work : ledger_.plan(item, live_, now())) {
    auto& dispatch = *ledger_.dispatch(work);
    const auto peer = peer_id(proto::Role::expert, static_cast<std::uint32_t>(dispatch.shard));
    const auto rows = static_cast<std::uint32_t>(dispatch.rows.size());
    const auto lane = static_cast<proto::Lane>(item.header().lane);
    auto queue = unsent_.find(peer);
    ++counts_.dispatches_total;
    const bool queued =
        queue != unsent_.end() && queue->second.push(std::uint64_t{work}, rows, lane).has_value();
    if (!queued) ledger_.recall(work, now() + kPoolRetry);
  }
}

bool RouterRole::plan_waiting() {
  bool busy = false;
  for (const auto id : ledger_.items()) {
    auto& item = *ledger_.find(id);
    const bool due = std::any_of(item.waiting.begin(), item.waiting.end(),
                                 [this](const auto& slot) { return slot.not_before <= now(); });
    const auto waiting = item.waiting.size();
    if (due) plan(item);
    busy |= due && item.waiting.size() != waiting;
  }
  return busy;
}

bool RouterRole::pump() {
  bool busy = false;
  for (auto& [peer, queue] : unsent_)
    while (auto taken = queue.pop()) {
      auto* dispatch = ledger_.dispatch(taken->item);
      if (dispatch != nullptr && dispatch->item != 0)
        send(peer, *dispatch);
      else if (dispatch != nullptr)
        return_credits(peer, taken->rows, taken->lane), ledger_.recall(taken->item, now());
      busy = true;
    }
  return busy;
}

void RouterRole::send(PeerId expert, Dispatch& dispatch) {
  const auto began = Clock::now();
  const auto& item = *ledger_.find(dispatch.item);
  auto header = peers_.header();
  header.work_id = dispatch.work_id;
  header.attempt = dispatch.misses;
  header.layer = item.header().layer;
  header.lane = item.header().lane;
  header.term = published_->placement.term;
  header.epoch = published_->placement.epoch;
  header.kind = static_cast<std::uint16_t>(proto::FrameKind::expert_rows);
  header.remaining_us = left_us(item.deadline, now());
  dispatch.header = header;
  auto frame = row_work::expert_rows(header, dispatch, item, peers_.buffers());
  peers_.send(expert, std::move(frame), [rows = item.frame, codes = item.quantised](Errc) {});
  counts_.pairs_sent_total += static_cast<std::int64_t>(dispatch.pairs.size());
  counts_.dispatch_seconds.observe(Clock::now() - began);
}

void RouterRole::return_credits(PeerId expert, std::int64_t rows, proto::Lane lane) {
  auto* credits = peers_.credits(expert);
  if (credits == nullptr || rows == 0) return;
  const auto released = credits->release(static_cast<std::uint32_t>(rows), lane);
  TROUPE_CHECK(released.has_value(), "credits of a dispatch are returned once");
}

void RouterRole::on_reply(PeerId expert, transport::ReceivedFrame&& frame) {
  auto kept = std::make_shared<transport::ReceivedFrame>(std::move(frame));
  const auto outcome = ledger_.answer(expert, kept, now());
  if (outcome.stale) return peers_.count_stale(expert);
  return_credits(expert, outcome.rows, outcome.lane);
  if (outcome.missed) {
    wants_placement_ = true;
    ++counts_.not_resident_total;
  }
  auto* item = ledger_.find(outcome.item);
  if (item == nullptr) return;
  if (!outcome.exhausted.empty())
    return fail(*item,
                {Errc::unavailable, "layer " + std::to_string(item->header().layer) + ", " +
                                        outcome.exhausted + ": the shards of placement epoch " +
                                        std::to_string(counts_.epoch) + " do not hold it"});
  if (!outcome.complete) return;
  count_complete(expert, *item);
  combine(*item);
}

void RouterRole::count_complete(PeerId expert, const RouterItem& item) {
  counts_.wait_seconds.observe(Clock::now() - item.gated);
  auto& last = counts_.rank_last_total;
  if (last.size() <= index_of(expert)) last.resize(index_of(expert) + 1);
  ++last[index_of(expert)];
}

void RouterRole::on_refusal(PeerId expert, const transport::ReceivedFrame& frame) {
  const auto dispatch = ledger_.refused(expert, frame.header);
  if (!dispatch) return peers_.count_stale(expert);
  return_credits(expert, static_cast<std::int64_t>(dispatch->rows.size()),
                 static_cast<proto::Lane>(dispatch->header.lane));
  const auto& failed = std::get<proto::Failed>(frame.body);
  const auto who = frame.whole() ? expert : self();  // else it had answered
  if (auto* item = ledger_.find(dispatch->item))
    fail(*item,
         {static_cast<Errc>(failed.error), name_of(who) + ": " + std::string(failed.detail)});
}

void RouterRole::combine(RouterItem& item) {
  // The job reads the item's replies; moved, so that the item may be given up meanwhile.
  auto input = std::make_shared<row_work::CombineInput>();
  input->rows = item.rows;
  input->dtype = dtype();
  input->routing = std::move(item.routing);
  input->replies = std::move(item.replies);
  input->frames = std::move(item.reply_frames);
  auto rows = std::make_shared<transport::Buffer>();
  auto fits = std::make_shared<Expected<void>>();
  const auto work = [this, input, rows] {
    memory_.run(row_work::combine_bytes(model_->config(), *input),
                [&] { *rows = row_work::combine(*model_, engine_, *input, peers_.buffers()); });
  };
  run(
      row_work::combine_work(model_->config(), item.rows),
      [fits, work] { *fits = model::within_memory("another combination", work); },
      [this, id = item.id, rows, fits, began = Clock::now()] {
        auto* item = ledger_.find(id);
        if (item == nullptr) return;  // given up meanwhile
        if (!*fits) return fail_without_memory(*item, fits->error());
        answer(*item, rows);
        counts_.combine_seconds.observe(Clock::now() - began);
      });
}

void RouterRole::answer(RouterItem& item, std::shared_ptr<transport::Buffer> rows) {
  const auto& asked = item.header();
  const auto header =
      proto::reply_header(asked, peers_.header().sender_incarnation, left_us(item.deadline, now()));
  const auto& sent = std::get<proto::Rows>(item.frame->body);
  proto::Combined body{sent.micro_batch, sent.rows};
  body.rows.data = rows->span();
  auto frame = transport::make_frame_head(peers_.buffers(), header, body);
  frame.rows.push_back(rows->span());
  peers_.send(item.asker, std::move(frame), [rows](Errc) {});
  close(item.id);
}

void RouterRole::close(ItemId id) {
  if (const auto found = inflight_bytes_.find(id); found != inflight_bytes_.end()) {
    inflight_total_ -= found->second;
    inflight_bytes_.erase(found);
  }
  ledger_.close(id);
}

void RouterRole::fail(RouterItem& item, const Error& error, std::uint32_t retry_after_ms) {
  ++counts_.items_failed_total;
  counts_.rows_failed_total += item.rows;
  send_failed(item.asker, item.header(), error, retry_after_ms);
  close(item.id);
}

void RouterRole::fail_without_memory(RouterItem& item, const Error& error) {
  fail(item, {error.code, name_of(self()) + ": " + error.detail});
}

void RouterRole::send_failed(PeerId asker, const proto::FrameHeader& asked, const Error& error,
                             std::uint32_t retry_after_ms) {
  const auto header = proto::reply_header(asked, peers_.header().sender_incarnation, 0);
  const proto::Failed failed{static_cast<std::uint16_t>(error.code), retry_after_ms,
                             proto::clip_detail(error.detail)};
  peers_.send(asker, transport::make_frame(peers_.buffers(), header, failed));
}

Error RouterRole::uncovered_error(const RouterItem& item) const {
  std::set<model::ShardIndex> gone;
  for (std::size_t slot = 0; published_ && slot < item.replies.size(); ++slot) {
    const auto expert = item.routing.experts[slot];
    const auto layer = item.header().layer;
    if (item.replies[slot] != nullptr || !live_.of(layer, expert).empty()) continue;
    for (const auto shard : published_->placement.of(layer, expert)) gone.insert(shard);
  }
  std::string names = published_ ? "" : "this router has no placement yet";
  for (const auto shard : gone)
    names += (names.empty() ? "" : ", ") +
             name_of(peer_id(proto::Role::expert, static_cast<std::uint32_t>(shard)));
  if (!gone.empty()) names += gone.size() > 1 ? " are not connected" : " is not connected";
  return {Errc::not_resident, ledger_.missing(item) + ": no live expert shard holds them" +
                                  (names.empty() ? "" : " (" + names + ")") +
                                  "; the request can be repeated once one does"};
}

bool RouterRole::expire() {
  bool busy = false;
  for (const auto id : ledger_.items()) {
    auto& item = *ledger_.find(id);
    const bool waited_out =
        item.uncovered_since && now() - *item.uncovered_since >= settings_.uncovered_budget;
    if (!waited_out && item.deadline > now()) continue;
    if (item.uncovered_since || !published_)
      fail(item, uncovered_error(item), waited_out ? 0 : 1);
    else
      fail(item,
           {Errc::unavailable, ledger_.missing(item) + ": no answer within the hop's budget"});
    busy = true;
  }
  return busy;
}

bool RouterRole::work() {
  bool busy = expire();
  busy |= start_gates();
  busy |= plan_waiting();
  return pump() || busy;
}

std::optional<TimePoint> RouterRole::role_deadline() const {
  std::optional<TimePoint> next;
  const auto sooner = [&](TimePoint time) {
    if (!next || time < *next) next = time;
  };
  for (const auto id : ledger_.items()) {
    const auto& item = *ledger_.find(id);
    sooner(item.deadline);
    if (item.uncovered_since) sooner(*item.uncovered_since + settings_.uncovered_budget);
    for (const auto& slot : item.waiting)
      if (slot.not_before > now()) sooner(slot.not_before);
  }
  return next;
}

std::vector<std::int64_t> RouterRole::uncovered() const {
  const auto& config = model_->config();
  std::vector<std::int64_t> counts(static_cast<std::size_t>(config.num_layers), 0);
  for (std::int64_t layer = 0; layer < config.num_layers; ++layer) {
    if (!config.is_moe(static_cast<int>(layer))) continue;
    auto& count = counts[static_cast<std::size_t>(layer)];
    if (!published_) count = config.routed_experts;
    for (std::int64_t expert = 0; published_ && expert < config.routed_experts; ++expert)
      count += live_.of(layer, expert).empty() ? 1 : 0;
  }
  return counts;
}

RoleLoad RouterRole::load() const {
  RoleLoad load;
  if (const auto* oldest = ledger_.oldest()) load.oldest_work = oldest->arrived;
  load.queued_rows = static_cast<std::uint64_t>(ledger_.open_rows());
  return load;
}

RouterStatus RouterRole::status() const {
  auto status = counts_;
  status.items_open = static_cast<std::int64_t>(ledger_.items().size());
  status.stale_frames_total = static_cast<std::int64_t>(peers_.stats().stale_frames_total);
  status.uncovered = uncovered();
  return status;
}

}  // namespace troupe::actors
